"""A dry run: it senses, judges and measures, changes nothing that lasts, and asks nobody."""

import json
from pathlib import Path

import pytest

from looop.config.file import Config
from looop.pulse.rehearse import rehearse
from tests.fakes.house import Home

GOAL = """\
---
done: sensor.s.signal == 0
reflexes:
  - when: sensor.s.signal == 7
    move: {action: run_shell, cmd: "echo ran > ran"}
---
"""


@pytest.fixture
def home(root: Path) -> Home:
    """A house with something in every file a beat would touch."""
    made = Home(root)
    made.write("PLAYBOOK.md", "judge\n")
    made.write("goals/g.md", GOAL)
    made.says("s", {"signal": 1})
    made.sensor("bad", "echo noise >&2; exit 1")
    made.decides({"action": "noop"})
    made.run_beat()
    return made


def untouched(home: Home, *, forced: bool = False, config: Config | None = None):
    """The report of a dry run that left the tree as it was, byte for byte."""
    before, asked, rows = home.tree(), home.asked, list(home.rows)
    report = rehearse(home.house, config or home.config, forced=forced)
    assert home.tree() == before
    assert (home.asked, home.rows) == (asked, rows)
    return report


def test_an_idle_beat_is_foretold(home: Home) -> None:
    """Over an unchanged world it names the gate that would close.

    Source: design §4 (`--dry-run`).
    """
    report = untouched(home)
    assert (report.ending, report.reason, report.changes) == ("idle", "world_unchanged", [])


def test_a_change_is_shown_with_the_prompts_size(home: Home) -> None:
    """It shows what changed and how large the prompt would be, and the beat that follows has exactly that prompt.

    Source: design §4.
    """
    home.says("s", {"signal": 2})
    report = untouched(home)
    assert [(change.name, change.old, change.new) for change in report.changes or []] == [("snap:sensor-s", "1", "2")]
    assert (report.ending, report.source, report.action) == ("decided", "agent", "")
    assert home.run_beat().prompt_bytes == report.prompt_bytes > 0


def test_the_move_of_a_reflex_is_shown_with_its_reason(home: Home) -> None:
    """The reflex that would move is named and does not move.

    Source: design §4.
    """
    home.says("s", {"signal": 7})
    report = untouched(home)
    assert (report.source, report.action, report.why) == ("reflex g#0", "run_shell", "`sensor.s.signal == 7` holds")
    assert report.goals[0].status == "open"
    assert home.run_beat().source == "reflex g#0"


def test_a_fresh_house_stays_empty(root: Path) -> None:
    """Over a data dir in which nothing is, nothing is made; without a runner the move is a noop.

    Source: design §4.
    """
    home = Home(root)
    report = untouched(home)
    assert (report.ending, report.source, report.action, report.changes) == ("decided", "none", "noop", None)
    assert list(root.iterdir()) == []


def test_debris_and_damage_are_left_alone(home: Home) -> None:
    """What a beat would prune, repair, report or remove stays exactly as it is.

    Source: design §4, spec/edge-cases.md items 34, 64, 88, 132.
    """
    home.write(".decision.json", "{}")
    home.write("snapshots/foreign.json", "{}")
    home.write(".action-wal.1-x.json", json.dumps({"kind": "shell", "fingerprint": "f", "ts": 1}))
    home.write(".signal-flap.json", "{")
    home.write("PLAYBOOK.md", "edited\n")
    assert untouched(home).ending == "decided"
    home.write("asks/torn.json", "{")
    home.write(".tick-backoff", "{")
    assert untouched(home).reason == "tick_backoff"
    assert "torn.json" in home.said and ".signal-flap.json" in home.said


def test_a_reflex_that_has_run_is_named(root: Path) -> None:
    """When a condition holds and nothing moves, the report says why: it is no lack of a reflex.

    Source: design §4.
    """
    home = Home(root)
    home.write("goals/g.md", GOAL.replace("echo ran > ran", "true"))
    home.says("s", {"signal": 7})
    home.run_beat()
    said = "noop · reflex g#0 holds, but has already run on this world"
    assert untouched(home, forced=True).summary == said
    assert home.run_beat(forced=True).summary == said
    home.says("s", {"signal": 1})
    assert home.run_beat().summary == "noop · no reflex holds"


def test_sensors_do_run_and_may_write(home: Home) -> None:
    """A dry run senses like any beat: what a sensor itself does is not undone, its reading is not published.

    Source: design §4.
    """
    home.sensor("s", 'echo x >> sensed; echo "{\\"signal\\": $(wc -l < sensed)}"')
    published = home.snapshot("sensor-s")
    report = rehearse(home.house, home.config, forced=True)
    assert [change.new for change in report.changes or []] == ["1"] or report.changes == []
    assert (home.root / "sensed").read_text() == "x\n"
    assert home.snapshot("sensor-s") == published


def test_a_fresh_reading_is_not_taken_again(home: Home) -> None:
    """Cadence holds for a dry run as well.

    Source: spec/beat.md §3 Cadence.
    """
    home.sensor("slow", "# looop:interval=900\necho x >> sensed; echo 1")
    home.run_beat()
    untouched(home, forced=True)
    assert (home.root / "sensed").read_text() == "x\n"
