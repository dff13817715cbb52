"""Stop every operation of tests/crash/operations.py at each of its points: old or new, and the next beat goes on.

The points are enumerated, not sampled: each operation is first run on a healthy disk, which counts its calls. See also
`python -m tests.crash.points`.
"""

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from tests.crash.mail import MAIL
from tests.crash.operations import BEATS, BOOKS, KINDS
from tests.crash.points import APART_S, Operation, Points, Stopped
from tests.crash.sessions import SESSIONS

ROUNDS = 3
STEPS = BOOKS | MAIL | SESSIONS


def goes_on(stopped: Stopped, name: str) -> None:
    """Some beats later the move is made, or a person was told to look; nothing is open, owed or damaged."""
    place, kind = stopped.place, KINDS[name.split(maxsplit=1)[0]]
    endings = []
    for _ in range(ROUNDS):
        place.clock.move(APART_S)
        if kind.once and kind.effect(place) == stopped.new:
            place.machine.values["s0"] = 1
        endings.append(place.home.run_beat().ending)
    journal = place.home.journal()
    reports = sum("was interrupted" in line for line in journal)
    where = (stopped.at, endings, journal)
    assert set(endings) <= {"decided", "idle"} and endings[-1] == "idle", where
    if kind.announced:
        assert kind.effect(place) <= 1 and reports <= 1 and kind.effect(place) + reports >= 1, where
    else:
        assert kind.effect(place) == stopped.new and reports == 0, where
    guards = place.house.guards
    assert guards.damage(guards.recall()) == [] and isinstance(guards.recall().last_hash, str), where
    assert [path.name for path in place.root.iterdir() if path.name.startswith((".action-wal", ".open-run"))] == []
    runs = billed(place.root)
    assert len(runs) == len(set(runs)) and len(runs) - place.machine.asked - place.with_runner in (0, 1), where


def billed(root: Path) -> list[str]:
    """The runs that are in the ledger: one before, and one that was announced and never began may be among them."""
    ledger = root / "cost.jsonl"
    return [json.loads(line)["id"] for line in ledger.read_text().splitlines()] if ledger.exists() else []


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", BEATS)
def test_a_beat_that_dies_leaves_old_or_new(quick_path: Path, name: str) -> None:
    """Killed before any call, a beat has made its move or not; later beats make it, or ask a person to look.

    No run of a model stays unbilled, and none is billed twice. Source: docs/continuity.md; edge case 132.
    """
    for stopped in Points(BEATS[name], quick_path).deaths():
        assert BEATS[name].reading(stopped.place) in (stopped.old, stopped.new), stopped.at
        goes_on(stopped, name)
    assert stopped.old != stopped.new or name.startswith("noop")


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", BEATS)
def test_a_beat_whose_power_fails_leaves_old_or_new(quick_path: Path, name: str) -> None:
    """The same when the power fails, and what was not synced goes with it.

    Source: store/protocol.py, Note [Promises].
    """
    for stopped in Points(BEATS[name], quick_path).cuts():
        assert BEATS[name].reading(stopped.place) in (stopped.old, stopped.new), stopped.at
        goes_on(stopped, name)


@pytest.mark.parametrize("name", STEPS)
def test_what_takes_steps_and_dies_leaves_old_or_new(quick_path: Path, name: str) -> None:
    """Killed before any call, a change of several steps tells a whole truth; done again it has its whole effect.

    A question waits or is settled, its number is its own, and each message is heard once. Source: spec/beat.md §0, last
    paragraph; spec/workers.md §9, §10; design §3 rows 7, 10; edge cases 200, 203, 204, 271.
    """
    operation, between = STEPS[name], []
    for stopped in Points(operation, quick_path).deaths():
        found = operation.reading(stopped.place)
        if found not in (stopped.old, stopped.new, *between):
            between.append(found)
        done_again(operation, stopped)
    assert stopped.old != stopped.new and len(between) == operation.between, between


@pytest.mark.parametrize("name", STEPS)
def test_what_takes_steps_and_whose_power_fails_leaves_old_or_new(quick_path: Path, name: str) -> None:
    """What a durable call has promised is there after a power cut; done again, the change has its whole effect."""
    points = Points(STEPS[name], quick_path)
    truths = truths_of(points)
    for stopped in points.cuts():
        found = points.operation.reading(stopped.place)
        is_promised = stopped.done and points.operation.durable
        assert found in ([stopped.new] if is_promised else truths), (stopped.at, found)
        done_again(points.operation, stopped)


@pytest.mark.parametrize("name", BOOKS | MAIL)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_what_takes_steps_on_a_bad_disk_leaves_old_or_new(quick_path: Path, name: str, number: int) -> None:
    """A call that fails, on a full disk or any other, is an error of ours or did not matter; done again all is well.

    Of two things that are to be done each may fail by itself.
    Source: spec/edge-cases.md item 240.
    """
    operation = STEPS[name]
    for stopped in Points(operation, quick_path).failures(number):
        found = operation.reading(stopped.place)
        assert operation.between or found in (stopped.old, stopped.new), stopped.at
        done_again(operation, stopped)


def truths_of(points: Points) -> list[Any]:
    """What may be read after a death."""
    found = [(points.operation.reading(stopped.place), stopped) for stopped in points.deaths()]
    return [*(reading for reading, _ in found), found[0][1].new]


def done_again(operation: Operation, stopped: Stopped) -> None:
    if operation.again:
        operation.act(stopped.place)
        assert operation.reading(stopped.place) == stopped.new, stopped.at
