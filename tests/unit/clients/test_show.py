"""Values become lines that are safe to show and fit where they are shown."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from looop.clients.cli.show import age, change_lines, clip, columns, report_lines, run_line, spelled_usd, state_lines
from looop.contract.sensors import SensorRun
from looop.contract.verbs import Failing, Money, StateView
from looop.model.prompt import GoalStatus
from looop.model.records import Parked
from looop.model.report import BeatReport, SectionSize
from looop.model.text import one_line, visible
from looop.model.workers import WorkerRow
from looop.model.world import Change

MONEY = Money(tokens_today=0, max_daily_usd=10.0, max_daily_tokens=None, max_goal_usd=None, reached="", unmetered="")


def seen(**changes: Any) -> StateView:
    """A view of a quiet loop, with what differs."""
    quiet = StateView(
        world_hash="",
        pulse_alive=True,
        last_beat_age_s=1,
        snapshots={},
        asks=[],
        workers=[],
        goals=[],
        goal_status=[],
        journal_tail=[],
        spent_today_usd=0.0,
        money=MONEY,
        runner="none",
        parked=None,
        now=1,
        data_dir="/d",
        failing=None,
        damaged=[],
    )
    return replace(quiet, **changes)


@pytest.mark.parametrize(
    ("configured", "advice"), [(True, "`looop up` starts it"), (False, "start it with `looop pulse`, or run one")]
)
def test_a_pulse_that_is_down(configured: bool, advice: str) -> None:
    """What is advised can be done: `up` needs a config, and without one refuses."""
    lines = state_lines(seen(pulse_alive=False, configured=configured))
    assert advice in lines[1]
    assert not any("sensed" in line for line in state_lines(seen()))


def test_warnings_about_the_config() -> None:
    """What of the config has no effect is among what is wrong, whole, before the goals."""
    lines = state_lines(seen(warnings=["config.json: unknown key intervall: did you mean interval?\x1b[2J"]))
    assert "! config.json: unknown key intervall: did you mean interval?\\x1b[2J" in lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("日本 ⚑ é", "日本 ⚑ é"),
        ("a\nb\tc", "a b c"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\r\x07\x00\x7f", " \\x07\\x00\\x7f"),
        ("\u009b1m\u0085", "\\x9b1m\\x85"),
        ("\u202etxt\u2028\u2066", "\\u202etxt\\u2028\\u2066"),
        ("\udcff\udc9b", "\\xff\\x9b"),
        ("\ud83d", "\\ud83d"),
    ],
)
def test_one_line(text: str, shown: str) -> None:
    """Control characters, direction marks and broken bytes are made visible, all on one line.

    Source: spec/edge-cases.md items 238, 258.
    """
    assert one_line(text) == shown
    assert one_line(text).encode()


def test_visible_keeps_lines() -> None:
    """A text of several lines keeps its lines and tabs, nothing else that a terminal obeys.

    Source: spec/edge-cases.md item 238.
    """
    assert visible("a\n\tb\r\n\x1b[2J") == "a\n\tb\\x0d\n\\x1b[2J"


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("日本語", 6, "日本語"),
        ("日本語", 5, "日本…"),
        ("日本語", 4, "日…"),
        ("a日本語", 4, "a日…"),
        ("é" * 5, 5, "é" * 5),
        ("e\u0301" * 5, 5, "e\u0301" * 5),
        ("e\u0301" * 6, 5, "e\u0301" * 4 + "…"),
        ("", 3, ""),
        ("ab", 1, "…"),
        ("⚑ x", 3, "⚑ x"),
    ],
)
def test_clip(text: str, width: int, shown: str) -> None:
    """A clipped line takes at most so many columns: wide characters count two, combining ones none.

    Source: spec/edge-cases.md item 238.
    """
    assert clip(text, width) == shown
    assert sum(map(columns, clip(text, width))) <= width


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "never"),
        (0, "just now"),
        (44, "just now"),
        (45, "1m ago"),
        (89, "1m ago"),
        (90, "1m ago"),
        (120, "2m ago"),
        (3599, "59m ago"),
        (3600, "1h ago"),
        (86399, "23h ago"),
        (86400, "1d ago"),
        (8640000, "100d ago"),
    ],
)
def test_age(seconds: int | None, words: str) -> None:
    """Ages are words.

    Source: spec/cli.md §2 state, age words.
    """
    assert age(seconds) == words


def test_reports_are_clean_in_every_field() -> None:
    """A beat's report shows no control character, whichever field it came in.

    Source: spec/edge-cases.md item 238.
    """
    bad = "\x1b[31m"
    texts = dict.fromkeys(("reason", "source", "why", "action", "summary", "journal", "run_id"), bad)
    changes = [Change(kind, bad, trust="untrusted", old=bad, new=bad) for kind in ("added", "removed", "changed")]
    for ending in ("idle", "decided", "failed", "blocked", "stopped"):
        for dry_run in (True, False):
            report = msgspec.convert({"ending": ending, **texts}, BeatReport)
            report = msgspec.structs.replace(report, changes=changes, prompt_bytes=9)
            for one in (report, msgspec.structs.replace(report, action="")):
                assert "\x1b" not in "".join(report_lines(one, dry_run=dry_run))


def changed(old: str, new: str, name: str = "snap:sensor-x") -> str:
    """The line about a reading that changed."""
    (line,) = change_lines([Change("changed", name, old, new, "untrusted")])
    return line


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        ('{"a":1,"b":[1]}', '{"a":2,"b":[1]}', "a: 1 -> 2"),
        ('{"a":1,"b":2}', '{"a":"x","b":null}', 'a: 1 -> "x", b: 2 -> null'),
        ('{"gone":1,"same":1}', '{"new":{"k":1},"same":1}', '-gone, +new: {"k":1}'),
        ('{"a":{"b":{"c":1,"d":2}}}', '{"a":{"b":{"c":3,"d":2}}}', "a.b.c: 1 -> 3"),
        ('{"a":true}', '{"a":1}', "a: true -> 1"),
        ('{"a":null}', "{}", "-a"),
        ("{}", '{"a":null}', "+a: null"),
        ("[1]", "[1,2]", "[1] -> [1,2]"),
        ('{"a":1}', "[1]", '{"a":1} -> [1]'),
        ('"up"', '"down"', '"up" -> "down"'),
        ("(non-JSON, 3 bytes, ab)", '{"a":1}', '(non-JSON, 3 bytes, ab) -> {"a":1}'),
    ],
)
def test_a_changed_reading_shows_what_differs(old: str, new: str, shown: str) -> None:
    """Of two objects only the keys that differ are shown, old and new; of anything else the whole."""
    assert changed(old, new) == f"  ~ sensor-x  {shown}"


def test_a_new_goal_shows_no_hash() -> None:
    """A goal or PLAYBOOK that is new is named; a new reading is shown."""
    changes = [
        Change("added", "goal:g", None, "0123abcd" * 4, "trusted"),
        Change("added", "playbook", None, "0123abcd" * 4, "trusted"),
        Change("added", "snap:sensor-x", None, '{"a":1}', "untrusted"),
    ]
    assert change_lines(changes) == ["  + goal:g", "  + playbook", '  + sensor-x  {"a":1}']


def test_a_report_has_its_headings() -> None:
    """Goals stand under a heading of their own, and nobody is called `none`."""
    goals = [GoalStatus("g", "done")]
    report = BeatReport(ending="decided", source="none", action="noop", summary="noop", journal="noop", goals=goals)
    for dry_run in (True, False):
        lines = report_lines(report, dry_run=dry_run)
        assert lines[lines.index("  ✓ g  done") - 1] == "goals:"
        assert lines[-1] == "because: no runner is configured"
    other = msgspec.structs.replace(report, source="claude", goals=[], why="")
    assert "goals:" not in report_lines(other, dry_run=False)
    assert report_lines(other, dry_run=False)[-1] == "because: claude"


def test_what_is_wrong_is_never_clipped() -> None:
    """A failing loop and damaged files are told in full, right below the first lines."""
    long = "config.toml: " + "x" * 300
    lines = state_lines(seen(failing=Failing(2, "it broke", 60), damaged=[long]))
    assert lines[1:3] == ["! failed 2 times in a row, retry in 60s: it broke", f"! {long}"]


def test_money_is_shown_where_somebody_may_be_asked() -> None:
    """Without a runner and without a row there is no word of money; with either there is one line.

    Source: design §6.
    """
    assert not any("today" in line for line in state_lines(seen()))
    assert state_lines(seen(runner="claude"))[1] == "runner: claude  ·  today: 0 of 10 USD  ·  0 tokens"
    limits = Money(tokens_today=7, max_daily_usd=None, max_daily_tokens=9, max_goal_usd=None, reached="", unmetered="")
    line = "runner: none  ·  today: 1.25 USD  ·  7 of 9 tokens"
    assert state_lines(seen(spent_today_usd=1.25, money=limits))[1] == line


def worker(name: str, **changes: Any) -> dict[str, Any]:
    """A worker as `state` has it: alive and busy, but for what differs."""
    row = WorkerRow(name, "running", True, None, None, "busy", "output 2s ago")
    found: dict[str, Any] = msgspec.to_builtins(replace(row, **changes))
    return found


def test_workers_are_shown() -> None:
    """Who lives is listed with state, health and its reason; the dead only when their work failed its verify.

    Source: spec/cli.md §2 `state`.
    """
    dead = {"state": "exited", "alive": False, "exit_code": 0, "health": "dead", "derived_from": "it exited with 0"}
    rows = [
        worker("a"),
        worker("b", health="waiting-ask", derived_from="ask b-1 has waited 2m"),
        worker("c", **dead, verify="pass"),
        worker("d\x1b", **dead, verify="fail", verify_output="one\n2 \x1bfailed\n"),
        worker("e", **dead, verify="fail"),
    ]
    lines = state_lines(seen(workers=rows, journal_tail=["- now"]))
    assert "workers: 2 live / 5" in lines[0]
    assert lines[1:-2] == [
        "workers (live):",
        "  ● a  running  busy: output 2s ago",
        "  ● b  running  waiting-ask: ask b-1 has waited 2m",
        "workers (verify failed):",
        "  ✗ d\\x1b  it exited with 0: 2 \\x1bfailed",
        "  ✗ e  it exited with 0",
    ]
    assert not any("workers (" in line for line in state_lines(seen(workers=rows[2:3])))


def test_what_keeps_the_runner_from_being_asked() -> None:
    """A used-up budget, an unmetered runner and a usage limit are told above all else, in full.

    Source: design §6.
    """
    money = replace(MONEY, reached="5.0000 of 5.00 USD are spent today", unmetered="x" * 200)
    parked = Parked(until=1_000_000 + 5400, why="limit \x1b reached", runner="pi")
    lines = state_lines(seen(runner="pi", money=money, parked=parked, now=1_000_000))
    assert lines[2] == "! 5.0000 of 5.00 USD are spent today: nobody is asked any more today"
    assert lines[3] == f"! pi is not asked: {'x' * 200}"
    assert lines[4].startswith("! pi is at its usage limit until 1970-01-1")
    assert lines[4].endswith("(in 2h; --no-park asks it anyway): limit \\x1b reached")


@pytest.mark.parametrize(("usd", "text"), [(0, "0"), (10.0, "10"), (1.5, "1.5"), (0.00004, "0"), (0.12345, "0.1235")])
def test_an_amount_of_money(usd: float, text: str) -> None:
    """At most four decimals, no zeros at the end.

    Source: spec/cli.md §9 cost.
    """
    assert spelled_usd(usd) == text


def test_the_parts_of_a_prompt() -> None:
    """A dry run lists each section with its bytes and about how many tokens those are, also when a breaker is closed.

    Source: design §4.
    """
    parts = [SectionSize("GOALS", 400, 100)]
    report = BeatReport(ending="decided", source="pi", prompt_bytes=400, prompt_sections=parts)
    listed = ["prompt: 400 bytes (about 100 tokens)", "  GOALS                 400 bytes  about    100 tokens"]
    assert listed == report_lines(report, dry_run=True)[2:4]
    closed = replace(report, ending="idle", reason="parked", breaker="at its limit")
    assert report_lines(closed, dry_run=True) == ["idle: pi would not be asked: at its limit", *listed]


@pytest.mark.parametrize(
    ("ok", "is_json", "error", "line"),
    [
        (True, True, "", "x is ok in 0.1s: wakes the loop when this changes: 1"),
        (False, True, "too big", "x FAILS in 0.1s: too big"),
    ],
)
def test_a_trial_ends_in_a_verdict(ok: bool, is_json: bool, error: str, line: str) -> None:
    """The verdict is one line."""
    assert run_line(SensorRun("x", ok, error, "1", "", is_json, 1, 0.1)) == line
