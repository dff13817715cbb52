"""Reflexes on a schedule: once for each run, whatever the record of when the goal was acted on says."""

from typing import Any

import pytest

from looop.model.prompt import GoalStatus
from looop.model.records import ReflexLedger
from looop.model.world import World
from looop.rules.reflexes import judge
from tests.unit.rules.worlds import NOW, Loop, goal, world

ABSENT = object()


def night(ran: object, when: str = "due.nightly", *, ci: int = 1, **signals: Any) -> World:
    """A world whose schedule `nightly` ran at that moment, with a goal `g` that waits for it."""
    readings = {"signal": {"nightly": {"run": str(ran)}} | signals, "detail": {}}
    readings |= {} if ran is ABSENT else {"ran": {"nightly": ran}}
    return world({"g": goal(when)}, {"ci": {"signal": ci}}, schedules=readings)


def why(seen: World, loop: Loop) -> str:
    """Why nothing moves."""
    return loop.judge(seen).why_none


@pytest.mark.parametrize(
    ("ran", "acted", "fires"),
    [
        (NOW - 10, None, True),
        (NOW - 10, NOW - 11, True),
        (NOW - 10, NOW - 10, False),
        (NOW - 10, NOW, False),
        ([NOW - 10], NOW, True),
        (None, NOW, False),
        (ABSENT, None, False),
        ("junk", None, False),
        (True, None, False),
        (NOW - 10, NOW + 3600, False),
        (NOW - 10, NOW + 3601, True),
    ],
)
def test_it_is_due_when_it_ran_since_the_goal_was_acted_on(ran: object, acted: int | None, fires: bool) -> None:
    """A run in a list is a missed one that is made up for now; a stamp of a clock that was far ahead does not count."""
    activity = {} if acted is None else {"g": acted}
    assert bool(judge(night(ran), ReflexLedger(), activity, NOW).firing) is fires


@pytest.mark.parametrize("signal", ["invalid", "unparseable"])
def test_a_schedule_that_is_not_understood_is_never_due(signal: str) -> None:
    """It has no run that a reflex could be for: the goal reads as one with a broken condition."""
    judgement = judge(night(NOW - 10, nightly=signal), ReflexLedger(), {}, NOW)
    assert judgement.firing is None
    assert judgement.news


def test_without_readings_nothing_is_due() -> None:
    """A world without schedules, or with a reading that is no table, has none."""
    for readings in ({}, {"schedules": {"signal": "none"}}):
        assert judge(world({"g": goal("due.nightly")}, **readings), ReflexLedger(), {}, NOW).firing is None


def test_it_fires_once_for_each_run() -> None:
    """Another world is no other run; the next run is. Source: design §4."""
    loop = Loop()
    seen = [night(NOW - 90), night(NOW - 90, ci=2), night(NOW - 90, ci=3), night(NOW - 30), night(NOW - 30, ci=2)]
    assert [bool(loop.beat(each)) for each in seen] == [True, False, False, True, False]


def test_any_number_of_runs_makes_it_fire() -> None:
    """Each run starts afresh, so a schedule never suspends its reflex."""
    loop = Loop()
    assert all(loop.beat(night(NOW - 100 + n)) for n in range(6))
    assert loop.news == []


def test_a_run_that_failed_is_tried_again() -> None:
    """Three times, as any reflex; then the next run starts afresh."""
    loop = Loop()
    assert [bool(loop.beat(night(NOW - 90), failed=True)) for _ in range(4)] == [True, True, True, False]
    assert loop.beat(night(NOW - 30))


def test_a_run_stays_served_while_the_condition_is_false() -> None:
    """What else a condition asks for may come and go: the run was acted on."""
    loop, when = Loop(), "due.nightly && sensor.ci.signal > 0"
    assert [bool(loop.beat(night(NOW - 90, when, ci=ci))) for ci in (1, 0, 2, 0, 3)] == [True] + [False] * 4
    assert loop.beat(night(NOW - 30, when))


def test_why_nothing_moves_is_said() -> None:
    """Each reflex that holds and may not move says why; the sentences of several stand side by side."""
    loop, seen = Loop(), night(NOW - 90)
    assert why(world({"g": goal("false")}), loop) == "no reflex holds"
    loop.beat(seen)
    assert why(seen, loop) == "reflex g#0 holds, but has already run on this world"
    assert why(night(NOW - 90, ci=2), loop) == ("reflex g#0 holds, but has already run for this run of its schedule")
    both = world({"g": goal("true"), "h": goal("true")})
    for _ in range(2):
        loop.beat(both)
    said = "holds, but has already run on this world"
    assert why(both, loop) == f"reflex g#0 {said}; reflex h#0 {said}"


def test_a_suspended_reflex_says_so() -> None:
    """Its goal shows which of its reflexes is suspended, and nothing moves for that reason."""
    loop = Loop()
    for ci in range(4):
        loop.beat(world({"g": goal("true")}, {"ci": {"signal": ci}}))
    last = world({"g": goal("true")}, {"ci": {"signal": 9}})
    assert why(last, loop) == "reflex g#0 holds, but is suspended"
    assert loop.judge(last).statuses == [GoalStatus("g", "open", "", [0])]


def test_every_goal_offers_one_move() -> None:
    """A goal's first reflex that may fire is offered, the most neglected goal's first."""
    seen = world({"a": goal("true", "true"), "b": goal("false", "true")})
    held = judge(seen, ReflexLedger(), {"a": NOW}, NOW).held
    assert [firing.label for firing in held] == ["reflex b#1", "reflex a#0"]


def test_the_worker_of_a_goal_is_its_own() -> None:
    """Another goal's worker is nobody to this one."""
    rows = [{"id": "other", "state": "running", "health": "working", "exit_code": None, "verify": None}]
    seen = world(
        {"g": goal("!worker.alive && worker.id == 'g'"), "other": goal("worker.alive")}, sessions={"signal": rows}
    )
    held = judge(seen, ReflexLedger(), {}, NOW).held
    assert [firing.goal for firing in held] == ["g", "other"]


def test_only_what_is_due_is_served() -> None:
    """A reflex for either of two schedules fires for the one that ran, and again when the other runs."""
    loop = Loop()

    def both(a: int | None, b: int | None) -> World:
        ran = {name: run for name, run in (("a", a), ("b", b)) if run is not None}
        readings = {"signal": {"a": "x", "b": "x"}, "detail": {}, "ran": ran}
        return world({"g": goal("due.a || due.b")}, {"ci": {"signal": str(ran)}}, schedules=readings)

    first = loop.judge(both(NOW - 90, None)).firing
    assert first
    assert first.run == f'["a",{NOW - 90}]'
    assert [bool(loop.beat(both(*runs))) for runs in ((NOW - 90, None), (NOW - 90, NOW - 50))] == [True, True]


def test_a_run_that_is_made_up_for_goes_first() -> None:
    """It is shown for one decision only; a goal that was neglected for longer has its turn on the next."""
    goals = {"a": goal("true"), "b": goal("due.nightly")}
    for ran, first in ((NOW - 90, "a"), ([NOW - 90], "b")):
        reading = {"signal": {"nightly": {"period": 1}}, "detail": {}, "ran": {"nightly": ran}}
        held = judge(world(goals, schedules=reading), ReflexLedger(), {"b": NOW - 100}, NOW).held
        assert held[0].goal == first
        assert len(held) == 2


def test_a_schedule_that_is_written_anew_has_runs_of_its_own() -> None:
    """Its first period is another than the first of the one before it, which was served."""
    loop = Loop()

    def first_period(ran: int) -> World:
        reading = {"signal": {"nightly": {"period": 1}}, "detail": {}, "ran": {"nightly": ran}}
        return world({"g": goal("due.nightly")}, {"ci": {"signal": ran}}, schedules=reading)

    assert loop.beat(first_period(NOW - 90))
    assert not loop.beat(first_period(NOW - 90))
    assert loop.beat(first_period(NOW - 30))
