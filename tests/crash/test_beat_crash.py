"""Kill a beat before any of its disk calls: what its reflex runs is run once, or said to be in doubt; never twice.

The points are enumerated, not sampled: the beat is first run on a healthy disk to count its calls.
"""

import json
from pathlib import Path

import pytest

from looop.runtime.proc import Processes
from looop.state.guards import LAST_HASH
from tests.fakes.disk import Died, DyingDisk, QuickDisk, WatchedDisk
from tests.fakes.house import Home

GOAL = "---\nreflexes:\n  - when: sensor.s.signal == 7\n    move: {move}\n---\n"
SHELL = "{action: run_shell, cmd: echo ran >> ran}"
S, T = "snap:sensor-s", "snap:sensor-t"
NOTE = "{action: write_schedule, name: note, every_s: 900000}"


class AfterDeath(Processes):
    """Processes of a machine on which the one that died is gone; here it would still be this one."""

    def is_alive(self, pid: int) -> bool:
        return False


def home_with(root: Path, disk: WatchedDisk, move: str) -> Home:
    """A house whose one reflex holds, over this disk."""
    home = Home(root, disk=disk)
    home.write("PLAYBOOK.md", "judge\n")
    home.write("goals/g.md", GOAL.format(move=move))
    home.says("s", {"signal": 7})
    return home


def calls_of_a_beat(root: Path, move: str) -> int:
    """How many disk calls a beat makes that nobody disturbs."""
    home = home_with(root, WatchedDisk(), move)
    assert home.run_beat().ending == "decided"
    assert isinstance(home.disk, WatchedDisk)
    return len(home.disk.calls)


def reborn(root: Path) -> Home:
    """The next process over the same files."""
    home = Home(root, disk=QuickDisk(), processes=AfterDeath())
    home.clock.move(10)
    return home


def test_what_runs_runs_once_or_is_in_doubt(tmp_path: Path) -> None:
    """Killed anywhere, a reflex's command ran once, or will, or the journal asks a person to look; never twice.

    Source: spec/edge-cases.md item 132, docs/continuity.md.
    """
    calls, in_doubt = calls_of_a_beat(tmp_path / "whole", SHELL), 0
    for n in range(1, calls + 1):
        root = tmp_path / str(n)
        with pytest.raises(Died):
            home_with(root, DyingDisk(n), SHELL).run_beat()
        home = reborn(root)
        for _ in range(3):
            assert home.run_beat().ending in ("decided", "idle"), n
            home.clock.move(400)
        ran = (root / "ran").read_text().count("ran\n") if (root / "ran").exists() else 0
        reports = sum("was interrupted" in line for line in home.journal())
        assert ran <= 1 and reports <= 1 and ran + reports >= 1, (n, ran, reports)
        in_doubt += reports
        left = [path.name for path in root.iterdir() if path.name.startswith((".action-wal", ".open-run"))]
        assert left == [], n
    assert 0 < in_doubt < calls / 4


def test_what_may_be_repeated_is_not_lost(tmp_path: Path) -> None:
    """Any other move is made in the end, wherever the beat was killed. Source: docs/continuity.md."""
    for n in range(1, calls_of_a_beat(tmp_path / "whole", NOTE) + 1):
        root = tmp_path / str(n)
        with pytest.raises(Died):
            home_with(root, DyingDisk(n), NOTE).run_beat()
        home = reborn(root)
        home.run_beat()
        home.later(400)
        assert json.loads((root / "schedules/note.json").read_text())["every_s"] == 900000, n
        assert home.run_beat().ending == "idle", n


def moved_world(root: Path) -> Home:
    """A house that has decided over its world, in which a sensor then says something else."""
    home = Home(root, disk=QuickDisk())
    home.write("PLAYBOOK.md", "judge\n")
    for sensor in ("s", "t"):
        home.says(sensor, {"signal": 1})
    assert [home.run_beat().ending for _ in range(2)] == ["decided", "idle"]
    home.says("s", {"signal": 2})
    return home


def hash_of(home: Home) -> bytes:
    """The hash of the world that was decided last."""
    blob = home.house.store.read(LAST_HASH)
    assert blob is not None
    return blob.data


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_what_was_decided_is_skipped_and_at_most_told_once_more(tmp_path: Path) -> None:
    """The hash is committed before the baseline: a death in between tells one known change again, and loses no skip.

    Source: spec/edge-cases.md item 269.
    """
    moved_world(tmp_path / "whole")
    watched = WatchedDisk()
    Home(tmp_path / "whole", disk=watched).run_beat()
    told_again = set()
    for n in range(1, len(watched.calls) + 1):
        root = tmp_path / str(n)
        before = hash_of(moved_world(root))
        with pytest.raises(Died):
            Home(root, disk=DyingDisk(n)).run_beat()
        home = reborn(root)
        committed = hash_of(home) != before
        assert home.run_beat().ending == ("idle" if committed else "decided"), n
        home.says("t", {"signal": 2})
        changed = {change.name for change in home.run_beat().changes or []}
        assert changed in ({T}, {S, T}), (n, changed)
        told_again |= {committed} if S in changed else set()
    assert told_again == {True}, "only between the hash and the baseline"
