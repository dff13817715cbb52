"""Every state file, one at a time, damaged or unreadable: the beat goes on or stays closed, says so, and recovers."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.house import Home

DAMAGE = {
    "garbage": b"not json at all",
    "truncated": b'{"v":1,"ts":',
    "wrong type": b'[1,"2",{}]',
    "wrong field": b'{"hash":5,"ts":"x","fails":"y","snaps":3,"due":"z","goals":1,"cmd":1,"g":"x"}',
    "empty": b"",
    "binary": b"\x00\xff\xfe\x80" * 64,
}
LEFT_ALONE = (".last-world.json", ".noop-at.json", ".last-failure.json", ".last-shell.json", ".goal-activity.json")
RECORDS = (*LEFT_ALONE, ".tick-backoff", ".signal-flap.json", ".decide-ledger.json", ".reflexes.json")
REFLEX = """\
---
done: "false"
reflexes:
  - when: sensor.s.signal == 1
    move: {action: write_goal, id: written, body: x}
---
"""
APPEND = {"action": "run_shell", "cmd": "echo ran >> ran"}


@pytest.fixture
def home(root: Path) -> Home:
    """A house that has decided once, on a world that is unchanged since."""
    made = Home(root)
    made.write("PLAYBOOK.md", "judge\n")
    made.write("goals/g.md", "a goal\n")
    made.says("s", {"signal": 1})
    made.decides({"action": "noop"})
    made.run_beat()
    return made


def move_world(home: Home, value: int = 2) -> None:
    home.says("s", {"signal": value})


def block(home: Home, key: str) -> Callable[[], None]:
    """Put a folder in the place of a file: even root cannot read it. Returns what repairs it."""
    place, away = home.root / key, home.root / f"{key}.away"
    if place.exists():
        place.rename(away)
    place.mkdir(parents=True)

    def repair() -> None:
        place.rmdir()
        if away.exists():
            away.rename(place)

    return repair


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("key", RECORDS)
def test_a_damaged_record_is_named_and_survived(home: Home, key: str, damage: bytes) -> None:
    """A record that does not parse never raises, is named in the log, and is whole after the next commit.

    The two that only a move of its own kind writes stay until then, or until a person removes them.

    Source: spec/beat.md §0 (four-valued reads), spec/edge-cases.md items 16, 27, 34, 43, 81.
    """
    home.write(key, damage)
    move_world(home)
    report = home.run_beat()
    assert key in home.said
    assert report.ending == ("idle" if key == ".tick-backoff" else "decided")
    if key == ".tick-backoff":
        assert home.record(key)["fails"] == 4
        report = home.later(300)
    assert report.ending == "decided" and home.asked == 2
    if key in (".last-shell.json", ".goal-activity.json"):
        (home.root / key).unlink()
    said = home.said.count(key)
    assert home.run_beat().ending == "idle"
    assert home.said.count(key) == said


@pytest.mark.parametrize("damage", [b"garbage", b"", b"\xff\x00", b"0" * 32], ids=["text", "empty", "binary", "other"])
def test_a_damaged_hash_costs_one_decide(home: Home, damage: bytes) -> None:
    """A hash that is not this world's is decided once, and the file is whole again.

    Source: spec/edge-cases.md items 19, 29.
    """
    home.write(".last-tick-hash", damage)
    assert home.run_beat().ending == "decided"
    assert home.run_beat().ending == "idle"
    assert home.asked == 2


@pytest.mark.parametrize("key", [".last-tick-hash", ".decide-ledger.json", ".tick-backoff"])
def test_a_gate_that_cannot_read_stays_closed(home: Home, key: str) -> None:
    """An unreadable guard idles every beat, also a forced one, names the file, and opens once it is repaired.

    Source: spec/edge-cases.md items 22, 35, spec/beat.md §0.
    """
    move_world(home)
    repair = block(home, key)
    for forced in (False, True):
        assert home.later(400, forced=forced).ending == "idle"
    assert home.asked == 1 and key in home.said
    assert not home.record(".last-failure.json")
    repair()
    assert home.run_beat().ending == "decided"
    assert home.run_beat().ending == "idle"


@pytest.mark.parametrize("key", [".reflexes.json", ".decision.json"])
def test_what_a_decide_cannot_do_without_blocks_it(home: Home, key: str) -> None:
    """Unreadable reflex memory, or a decision that cannot be removed: nobody is asked.

    No failure is counted, no attempt, no bundle is left, and it goes on by itself once repaired.
    Source: spec/edge-cases.md items 35, 39, 40, 88.
    """
    attempts, bundles = home.record(".decide-ledger.json"), home.bundles()
    move_world(home)
    repair = block(home, key)
    for _ in range(3):
        report = home.later(60)
        assert report.ending == "blocked" and key in report.reason
    assert "tick.error" in home.codes() and key in home.said
    assert home.asked == 1 and home.bundles() == bundles
    assert home.record(".decide-ledger.json") == attempts and home.record(".tick-backoff") is None
    repair()
    assert home.run_beat().ending == "decided"


@pytest.mark.parametrize("key", [*LEFT_ALONE, ".signal-flap.json", "cost.jsonl", "tick.log"])
def test_what_guards_nothing_stops_nothing(home: Home, key: str) -> None:
    """The beat goes on without it, names it, commits all the rest, and after a repair all is as before.

    Source: spec/beat.md §0, §6.4, spec/edge-cases.md items 27, 81, 96, 125.
    """
    move_world(home)
    repair = block(home, key)
    assert home.run_beat().ending == "decided"
    assert key in home.said
    assert home.run_beat().ending == "idle"
    assert home.asked == 2
    repair()
    said = home.said.count(key)
    move_world(home, 3)
    assert home.run_beat().ending == "decided"
    assert home.run_beat().ending == "idle"
    assert home.said.count(key) == said


def test_one_bad_record_does_not_keep_the_others_from_being_committed(home: Home) -> None:
    """With LAST FAILURE unreadable a reflex is still remembered, a noop marked and a shown output dropped.

    Source: spec/beat.md §13, docs Note [Order of a commit].
    """
    home.decides({"action": "run_shell", "cmd": "echo out"})
    home.run_beat(forced=True)
    assert home.record(".last-shell.json")["output"] == "out\n"
    home.write("goals/r.md", REFLEX)
    block(home, ".last-failure.json")
    assert home.run_beat().source == "reflex r#0"
    assert home.record(".reflexes.json")["goals"]["r"]["rules"]["0"]["runs"] == 1
    (home.root / "goals/r.md").unlink()
    home.decides({"action": "noop"})
    assert home.run_beat().action == "noop"
    assert home.record(".last-shell.json") is None
    assert home.record(".noop-at.json")["hash"] == (home.root / ".last-tick-hash").read_text().strip()
    assert ".last-failure.json" in home.said


def test_a_failure_is_counted_though_its_text_cannot_be_kept(home: Home) -> None:
    """The wait stands even when LAST FAILURE cannot be written.

    Source: spec/beat.md §6.2 Persistence failure.
    """
    home.runner("exit 1")
    move_world(home)
    block(home, ".last-failure.json")
    assert home.run_beat().ending == "failed"
    assert home.run_beat().reason == "tick_backoff"


def test_a_corrupt_wait_is_repaired_once_and_ends(home: Home) -> None:
    """The imposed wait of four failures begins when it is found and does not start anew at each read.

    Source: spec/edge-cases.md item 34.
    """
    home.write(".tick-backoff", "{")
    move_world(home)
    assert home.run_beat().reason == "tick_backoff"
    assert home.later(299).reason == "tick_backoff"
    assert home.later(1).ending == "decided"


def test_a_failure_over_a_corrupt_wait_counts_as_four(home: Home) -> None:
    """With the cap at zero nobody waits, and a failure over a record that is lost makes four.

    Source: spec/beat.md §6.2.
    """
    home.furnish(backoff_cap=0)
    home.write(".tick-backoff", "{")
    home.runner("exit 1")
    move_world(home)
    assert home.run_beat().ending == "failed"
    assert home.record(".tick-backoff")["fails"] == 4


def test_one_bad_entry_of_the_ledger_costs_only_itself(home: Home) -> None:
    """Entries that are no integers are skipped one by one, and the good ones still count.

    Source: spec/edge-cases.md items 43, 260.
    """
    home.furnish(max_decides_per_hour=2)
    now = home.clock.now()
    home.write(".decide-ledger.json", json.dumps({"v": 1, "ts": [now, "x", None, True, 1.5, now - 5000, now - 1]}))
    move_world(home)
    assert home.run_beat().reason == "tick_capped"
    home.furnish(max_decides_per_hour=3)
    assert home.run_beat().ending == "decided"
    assert home.record(".decide-ledger.json")["ts"] == [now, now - 1, now]


@pytest.mark.parametrize("damage", [*DAMAGE.values(), None], ids=[*DAMAGE, "unreadable"])
def test_a_lost_reflex_memory_lets_no_reflex_fire(home: Home, damage: bytes | None) -> None:
    """What ran before is not known, so on this world nothing fires; on the next one it does.

    Source: design §4, spec/beat.md §0.
    """
    home.write("goals/r.md", REFLEX)
    repair = block(home, ".reflexes.json") if damage is None else lambda: None
    if damage is not None:
        home.write(".reflexes.json", damage)
    assert home.run_beat().source in ("agent", "")
    assert not (home.root / "goals/written.md").exists()
    assert ".reflexes.json" in home.said
    repair()
    home.says("t", {"signal": 1})
    assert home.run_beat().source == "reflex r#0"


def test_a_folder_is_no_goal(home: Home) -> None:
    """A folder named like a goal, made while the loop runs, wakes nobody and is no goal to anybody.

    Source: spec/edge-cases.md item 9.
    """
    asked = home.asked
    (home.root / "goals/x.md").mkdir(parents=True)
    assert home.run_beat().reason == "world_unchanged" and home.asked == asked
    move_world(home)
    home.run_beat()
    assert "x" not in home.snapshot("sys-goals")["detail"]["goals"] and "--- x.md" not in home.prompt


@pytest.mark.parametrize("key", ["PLAYBOOK.md", "goals/g.md"])
def test_policy_that_is_missing_or_not_text_is_borne(home: Home, key: str) -> None:
    """Absent policy is absent, bytes that are no UTF-8 are shown with a mark; both are a change like any other.

    Source: spec/edge-cases.md item 7.
    """
    home.write(key, b"\xff\xfe binary")
    assert home.run_beat().ending == "decided"
    assert "\ufffd\ufffd binary" in home.prompt
    (home.root / key).unlink()
    report = home.run_beat()
    assert [change.kind for change in report.changes or []] == ["removed"]


def test_policy_that_resists_is_visible(home: Home) -> None:
    """A PLAYBOOK that cannot be read differs from an absent and from a readable one, and the prompt says so.

    Source: spec/edge-cases.md item 8.
    """
    repair = block(home, "PLAYBOOK.md")
    report = home.run_beat()
    assert [(change.kind, change.name) for change in report.changes or []] == [("changed", "playbook")]
    assert "=== PLAYBOOK ===\n(unreadable)" in home.prompt
    assert home.record(".last-world.json")["playbook"] == "!unreadable"
    repair()
    assert home.run_beat().ending == "decided"
    block(home, "goals/g.md")
    report = home.run_beat()
    assert [(change.kind, change.name) for change in report.changes or []] == [("removed", "goal:g")]


def test_a_journal_that_cannot_be_written_is_a_warning(home: Home) -> None:
    """The move has taken effect, so it stands; a journal that fails afterwards must not repeat it.

    Source: spec/edge-cases.md item 118.
    """
    home.decides(APPEND, then="mv journal.md journal.away; mkdir journal.md")
    move_world(home)
    assert home.run_beat().ending == "decided"
    assert "journal: cannot write" in home.said
    assert home.run_beat().ending == "idle"
    assert (home.root / "ran").read_text() == "ran\n"


def test_events_that_cannot_be_kept_stop_nothing(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder in the place of events.jsonl is said on stderr, and the beat goes on.

    Source: spec/beat.md §14 (never raises).
    """
    from looop.runtime.events import Events
    from looop.state.house import event_rows, furnish

    (home.root / "events.jsonl").mkdir()
    rows = event_rows(home.house.store, home.house.setting.knobs)
    home.house = furnish(home.house.setting, home.house.store, Events(home.clock, rows.append))
    move_world(home)
    assert home.run_beat().ending == "decided"
    assert "events.jsonl" in capsys.readouterr().err


def test_a_journal_that_cannot_be_shown_blocks_nobody(home: Home) -> None:
    """A journal guards nothing: the decide goes on without its lines, and says so. Source: edge case 118."""
    move_world(home)
    repair = block(home, "journal.md")
    assert home.later(60).ending == "decided"
    assert any("journal.md" in str(row) for row in home.events("guard_degraded"))
    repair()
