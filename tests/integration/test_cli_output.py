"""What the command line prints: data on stdout, talk on stderr, nothing a terminal would obey."""

import json
import os
from pathlib import Path

import pytest

from tests.fakes.command import Looop

ESC = "\x1b[31mred\x1b]0;title\x07\u009b1m\u202e"
UNREADABLE_GOAL = b"goals/a\xff\x1b[31m.md"


@pytest.fixture
def looop(tmp_path: Path) -> Looop:
    """looop over a seeded data dir without a pending question."""
    return Looop(tmp_path).settle()


@pytest.fixture
def hostile(looop: Looop) -> Looop:
    """looop over a data dir full of escape sequences, in every place text can come from."""
    looop.write(f"goals/{ESC.replace('/', '')}.md", f"# {ESC}\n")
    looop.write("goals/g.md", f"text {ESC}\n\tsecond line\n")
    looop.write("snapshots/sensor-x.json", json.dumps({"signal": {ESC: ESC}}, ensure_ascii=False))
    looop.write("asks/a.json", json.dumps({"id": ESC, "worker": ESC, "prompt": ESC, "ts": 1, "options": [ESC]}))
    looop.write("journal.md", f"- 2026-01-01 00:00 {ESC}\n")
    looop.write("events.jsonl", json.dumps({"event": "\u009b1m"}, ensure_ascii=False) + f"\nbroken {ESC}\n")
    looop.write("schedules/s.json", json.dumps({"at": 1, "note": ESC}))
    looop.write("sensors/loud.sh", f"#!/bin/sh\necho '{ESC}'; echo '{ESC}' >&2\n", 0o755)
    looop.write("PLAYBOOK.md", f"judge {ESC}\n")
    return looop


def obeyed(text: str) -> list[str]:
    """The characters in a text that a terminal would act on."""
    return [ch for ch in text if ch not in "\n\r\t" and (ord(ch) < 32 or 127 <= ord(ch) < 160 or ch == "\u202e")]


PRINTING = [
    ("state",),
    ("wait",),
    ("journal",),
    ("events",),
    ("goal", "list"),
    ("goal", "show", "g"),
    ("schedule", "list"),
    ("schedule", "show", "s"),
    ("schedule", "show", ESC),
    ("schedule", "next", ESC),
    ("schedule", "write", "x", "--cron", ESC),
    ("schedule", "write", "x", "--cron", "@daily", "--tz", ESC),
    ("sensor", "list"),
    ("sensor", "run", "loud"),
    ("playbook", "show"),
    ("goal", "show", ESC),
    ("goal", "write", ESC, "x"),
    ("run", f"printf '{ESC}'; false"),
    ("beat", "--dry-run"),
    (ESC,),
    ("help", ESC),
]


@pytest.mark.parametrize("words", PRINTING, ids=[repr(words) for words in PRINTING])
def test_escapes_never_reach_a_terminal(hostile: Looop, words: tuple[str, ...]) -> None:
    """Whatever stands in files, names, words and outputs, a terminal gets it made visible.

    Source: spec/edge-cases.md item 238.
    """
    _, text = hostile.on_terminal(*words)
    assert text
    assert obeyed(text) == [], text


@pytest.mark.parametrize("words", [("state", "--json"), ("goal", "list", "--json"), ("events", "--json"), ("events",)])
def test_json_holds_no_escape_either(hostile: Looop, words: tuple[str, ...]) -> None:
    """JSON has its unprintable characters escaped, so its text survives and a terminal is safe.

    Source: spec/edge-cases.md item 238.
    """
    said = hostile(*words)
    assert said.code == 0
    assert obeyed(said.out) == []
    if words[-1] == "--json":
        assert "\u009b1m" in json.dumps(said.json, ensure_ascii=False)


def test_a_pipe_gets_the_bytes(hostile: Looop) -> None:
    """A PLAYBOOK that is piped on is the text as it is.

    Source: spec/cli.md §2; design §8, stdout is data.
    """
    assert hostile("playbook", "show").out == f"judge {ESC}\n"


def test_no_colour_of_ours_without_a_terminal(looop: Looop) -> None:
    """The log has colour on a terminal only, and never with NO_COLOR, whatever the parent decided.

    Source: spec/edge-cases.md item 237.
    """
    knob: dict[str, str | None] = {"LOOOP_FLAP_STREAK": "nonsense"}
    assert "\x1b[" not in looop("beat", "--force", env=knob).err
    assert "\x1b[" in looop.on_terminal("beat", "--force", env=knob)[1]
    assert "\x1b[" not in looop.on_terminal("beat", "--force", env={**knob, "NO_COLOR": ""})[1]


JSON_VERBS = [
    ("state",),
    ("journal",),
    ("events",),
    ("goal", "list"),
    ("goal", "show", "setup"),
    ("sensor", "list"),
    ("sensor", "run", "today"),
    ("playbook", "show"),
    ("playbook", "history"),
    ("schedule", "list"),
    ("beat",),
    ("beat", "--dry-run"),
    ("beat", "--force"),
]


@pytest.mark.parametrize("words", JSON_VERBS, ids=" ".join)
def test_json_is_one_document(looop: Looop, words: tuple[str, ...]) -> None:
    """Every verb that prints data prints one valid JSON document with --json, and nothing else.

    Source: design §8, every verb that prints data has --json.
    """
    looop("schedule", "write", "s", "--every", "1h")
    said = looop(*words, "--json")
    assert (said.code, said.err) == (0, "")
    assert isinstance(said.json, dict | list)


def test_state_has_the_keys_scripts_read(looop: Looop) -> None:
    """`state --json` has every key the reference has.

    Source: spec/cli.md §2 state.
    """
    looop("beat")
    view = looop("state", "--json").json
    assert {"world_hash", "pulse_alive", "snapshots", "asks", "workers", "goals", "journal_tail", "data_dir"} <= set(
        view
    )
    assert view["goals"] == ["playbook-daily", "setup"]
    assert "sensor-today" in view["snapshots"]
    assert len(view["journal_tail"]) == 1


def test_state_for_people(looop: Looop) -> None:
    """`state` says in lines: pulse, asks, goals, sensors, journal; and what to do while the pulse is down.

    Source: spec/cli.md §2 state.
    """
    looop("beat")
    looop.write("asks/q.json", '{"id": "q", "worker": "w", "prompt": "Go?\\nmore", "ts": 1, "options": ["yes", "no"]}')
    lines = looop("state").out.split("\n")
    assert lines[0].startswith("pulse: DOWN  ·  last beat: just now  ·  asks: 1  ·  workers: 0 live / 0  ·  goals: 2")
    assert "looop pulse" in lines[1]
    assert lines[2].startswith("  ⚑ q (w · ")
    assert lines[2].endswith("d ago): Go? …")
    assert lines[3] == "      options: 1 yes, 2 no"
    assert "  · setup  open" in lines
    assert any(line.startswith('  sensor-today  {"date":') for line in lines)


@pytest.mark.parametrize("columns", [40, 57, 200])
def test_lines_fit_the_terminal(looop: Looop, columns: int) -> None:
    """No line of `state` is wider than the terminal, wide characters counted as two columns.

    Source: spec/edge-cases.md item 238; spec/cli.md §2 clip width.
    """
    looop.write("snapshots/sensor-wide.json", json.dumps({"signal": "日本語" * 60}, ensure_ascii=False))
    _, text = looop.on_terminal("state", columns=columns)
    wide = next(line for line in text.split("\r\n") if "sensor-wide" in line)
    assert wide.endswith("…")
    taken = sum(2 if ord(ch) > 0x3000 else 1 for ch in wide)
    assert columns - 1 <= taken <= columns


@pytest.fixture
def damaged(looop: Looop) -> Looop:
    """looop over a data dir in which every kind of record is broken."""
    looop.write("snapshots/sensor-bad.json", "garbage")
    looop.write("snapshots/sensor-bin.json", b"\xff\xfe{")
    looop.write("snapshots/sensor-deep.json", "[" * 5000 + "]" * 5000)
    looop.write("snapshots/sensor-big.json", '{"signal": 1e400}')
    looop.write("snapshots/sensor-good.json", '{"signal": 123456789012345678901234567890}')
    looop.write("asks/broken.json", "not json")
    looop.write("asks/q.json", '{"id": "q", "worker": "w", "prompt": "?", "ts": 1}')
    looop.write("answers/q.json", "[")
    looop.write("goals/bin.md", b"\xff bytes")
    looop.write("goals/bad.md", "---\ndone: 1 +\n---\n")
    looop.write(UNREADABLE_GOAL, "name")
    os.mkfifo(looop.data / "goals/pipe.md")
    (looop.data / "goals/link.md").symlink_to("/nowhere")
    (looop.data / "snapshots/sensor-dir.json").mkdir()
    looop.write("schedules/s.json", "no")
    looop.write("journal.md", b"- 2026-01-01 00:00 \xff\n- torn")
    looop.write("events.jsonl", b'{"event":"x"}\n\xff\n{"torn')
    looop.write("cost.jsonl", b"\xff\n{")
    looop.write(".activity.json", "nope")
    return looop


READING = [
    ("state",),
    ("wait",),
    ("goal", "list"),
    ("goal", "show", "bin"),
    ("goal", "show", "bad"),
    ("goal", "show", "pipe"),
    ("sensor", "list"),
    ("schedule", "list"),
    ("journal",),
    ("events",),
]


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_damage_is_said_and_survived(damaged: Looop, words: tuple[str, ...]) -> None:
    """Reading verbs print what is whole and name what is broken, and stdout stays valid.

    Source: spec/edge-cases.md item 232; design §5.
    """
    plain, said = damaged(*words), damaged(*words, "--json")
    assert (plain.code, said.code) == (0, 0), plain.err + said.err
    assert plain.out
    assert "Traceback" not in plain.err + said.err
    assert isinstance(said.json, dict | list)
    assert "fault in looop" not in plain.err + said.err


def test_state_names_what_is_damaged(damaged: Looop) -> None:
    """`state` shows the readings and goals that are whole, and names each record that is not, once.

    Source: spec/edge-cases.md items 198, 232; spec/cli.md §2 state.
    """
    said = damaged("state", "--json")
    for record in ("asks/broken.json", "answers/q.json", "sensor-bad.json", "sensor-bin.json", "sensor-deep.json"):
        assert said.err.count(record) == 1, record
        assert len([sentence for sentence in said.json["damaged"] if record in sentence]) == 1, record
        plain = damaged("state")
        assert (plain.out.count(record), plain.err) == (1, ""), record
    view = said.json
    assert [ask["id"] for ask in view["asks"]] == ["q"]
    assert set(view["snapshots"]) == {"sensor-good"}
    assert [goal for goal in view["goals"] if goal.isalpha()] == ["bad", "bin", "pipe", "setup"]
    status = {status["goal"]: status["status"] for status in view["goal_status"]}
    assert (status["bad"], status["pipe"], status["bin"]) == ("unknown", "unknown", "open")


@pytest.mark.parametrize("words", ["state", "help", "journal", "state --json", "goal list", "help sensor"])
def test_a_reader_that_leaves(looop: Looop, words: str) -> None:
    """`looop state | head -1` dies quietly: nothing on stderr, no traceback.

    Source: spec/edge-cases.md item 264; spec/cli.md §1 SIGPIPE.
    """
    looop.write("journal.md", "- line\n" * 20000)
    said = looop.in_shell(
        f"set -o pipefail; looop {words} --tail 20000 | true; echo ${{PIPESTATUS[0]}}".replace(
            "--tail 20000", "--tail 20000" if words == "journal" else ""
        )
    )
    assert said.err == ""
    assert said.out.strip() in ("141", "0")


def test_a_reader_that_leaves_a_beat(looop: Looop) -> None:
    """A beat whose reader leaves goes on to its end, without a traceback.

    Source: spec/edge-cases.md item 264.
    """
    said = looop.in_shell("looop beat --force | true; true")
    assert (said.out, said.err) == ("", "")
    assert "noop" in looop.read("journal.md")


def test_output_that_cannot_be_written(looop: Looop) -> None:
    """A full disk behind stdout is exit code 1 and one line; closed streams are no fault.

    Source: spec/cli.md §1 errors.
    """
    for verb in ("state", "help", "goal list"):
        said = looop.in_shell(f"looop {verb} > /dev/full")
        assert (said.code, said.err) == (1, "looop: cannot go on: No space left on device\n")
        assert looop.in_shell(f"looop {verb} >&-").code == 0
        assert looop.in_shell(f"looop {verb} 2>&-").code == 0
    assert looop.in_shell("looop nope 2>&-").code == 1


@pytest.mark.parametrize(
    "locale", [{"LC_ALL": "C"}, {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}]
)
def test_a_terminal_without_utf8(looop: Looop, locale: dict[str, str]) -> None:
    """Signs that the locale cannot show are escaped, never a fault.

    Source: spec/cli.md §1.
    """
    looop.write("asks/q.json", '{"id": "q", "worker": "w", "prompt": "日本", "ts": 1}')
    for words in (("state",), ("state", "--json"), ("help",)):
        said = looop(*words, env=locale)
        assert (said.code, said.err) == (0, ""), words


def test_a_slow_sensor_is_named_on_a_terminal(looop: Looop) -> None:
    """Whoever waits longer than two seconds at a terminal is told for what; a pipe hears nothing.

    Source: spec/users.md, a slow tick says so.
    """
    looop.write("sensors/slow.sh", "#!/bin/sh\nsleep 2.3; echo 1\n", 0o755)
    assert "running slow" in looop.on_terminal("sensor", "run", "slow")[1]


def test_state_goes_by_without_the_parser(looop: Looop) -> None:
    """The short way of `state` prints what the long way prints, and loads no command line library.

    Source: users.md, a manager that costs nothing.
    """
    short, long = looop("state", "--json").json, looop("state", "--json", "--json").json
    assert short | {"now": 0} == long | {"now": 0}
    assert looop("state").out == looop("_", "state").out
    loaded = looop("state", env={"PYTHONPROFILEIMPORTTIME": "1"}).err
    for heavy in (
        "click",
        "subprocess",
        "watchdog",
        "yaml",
        "cel_expr_python",
        "tree_sitter",
        "threading",
        "json.decoder",
    ):
        assert f" {heavy}\n" not in loaded, heavy
