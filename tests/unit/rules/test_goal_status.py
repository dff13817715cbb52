"""How goals stand, what conditions see, and how a goal that cannot be judged is reported."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looop.model.prompt import GoalStatus
from looop.model.records import ReflexLedger
from looop.rules.reflexes import judge
from tests.unit.rules.worlds import NOW, Loop, goal, status, world

BUSY = {"id": "g", "state": "running", "exit_code": None, "health": "busy"}
DEAD = {"id": "w", "state": "exited", "exit_code": 1, "health": "dead", "verify": "fail"}
SESSIONS = world({}, sessions={"signal": [BUSY, DEAD], "detail": {}})
ASKS = world({}, asks={"signal": {"pending": ["w-1", "w-2"]}, "detail": {"w-1": {"worker": "w", "age_s": 90}}})
SCHEDULES = world({}, schedules={"signal": {"a": "due", "b": {"period": 7}}, "detail": {}})
SENSORS = world({}, {"ci": {"signal": {"failed": 2}, "detail": {"log": "x"}}, "a-b": {"signal": 1}, "plain": [1, 2]})
RAW = world(
    {}, {"raw": b"all fine\n", "broken": {"signal": {"error": True, "exit_code": 1}, "detail": {"message": "m"}}}
)


@pytest.mark.parametrize(
    ("seen", "condition"),
    [
        (SENSORS, "sensor.ci.signal.failed == 2"),
        (SENSORS, 'sensor.ci.detail.log == "x"'),
        (SENSORS, 'sensor["a-b"].signal == 1 && sensor["a-b"].detail == null'),
        (SENSORS, "sensor.plain.signal == [1, 2]"),
        (SENSORS, "size(sensor) == 3"),
        (RAW, 'sensor.raw.signal == "all fine\\n" && sensor.raw.detail == null'),
        (RAW, "has(sensor.broken.signal.error) && sensor.broken.signal.exit_code == 1"),
        (SESSIONS, 'worker.alive && worker.id == "g" && worker.state == "running" && worker.health == "busy"'),
        (SESSIONS, "worker.exit_code == null && worker.verify == null"),
        (SESSIONS, 'workers.exists(w, w.id == "w" && !w.alive && w.exit_code == 1 && w.verify == "fail")'),
        (SESSIONS, "size(workers) == 2 && size(sensor) == 0"),
        (ASKS, 'size(asks) == 2 && asks[0].id == "w-1" && asks[0].worker == "w" && asks[0].age_s == 90'),
        (ASKS, 'asks[1].id == "w-2" && !has(asks[1].worker)'),
        (SCHEDULES, 'schedules.a == "due" && schedules["b"].period == 7'),
        (world({}), "size(workers) == 0 && size(asks) == 0 && size(schedules) == 0 && size(sensor) == 0"),
        (world({}), '!worker.alive && worker.id == "g" && worker.health == "none" && worker.state == null'),
        (world({}), "worker.exit_code == null && worker.verify == null"),
        (world({}), 'goal.id == "g" && goal.last_acted_s == null'),
        (world({}), f"now == {NOW}"),
    ],
)
def test_what_a_condition_sees(seen: Any, condition: str) -> None:
    """Readings, the goal, its worker, all workers, asks, schedules and the time, as documented. Source: design §4."""
    assert status(condition, seen) == ("done", "")


@pytest.mark.parametrize(("acted", "ago"), [(NOW - 60, 60), (NOW, 0), (NOW + 60, 0), (0, NOW)])
def test_when_the_goal_was_acted_on(acted: int, ago: int) -> None:
    """Seconds since the last act, never below 0. Source: spec/edge-cases.md item 265; design §4."""
    assert status(f"goal.last_acted_s == {ago}", activity={"g": acted}) == ("done", "")


@pytest.mark.parametrize("reading", [{"signal": {"error": True}}, b"not json", {"signal": None}, {"signal": [5]}])
def test_a_failed_system_reading_is_empty(reading: Any) -> None:
    """What looop could not say of itself is nothing, not an error in every goal. Source: design §4."""
    seen = world({}, asks=reading, sessions=reading)
    assert status("size(asks) == 0 && size(workers) == 0 && !worker.alive", seen) == ("done", "")


def test_status_is_a_level() -> None:
    """Done while it holds, open again when it does not. Source: design §4."""
    loop, text = Loop(), goal(done="sensor.ci.signal == 0")
    seen = [loop.judge(world({"g": text}, {"ci": signal})).statuses[0].status for signal in (1, 0, 0, 2)]
    assert seen == ["open", "done", "done", "open"]


def test_every_goal_with_declarations_has_a_status_by_name() -> None:
    """Prose has none, reflexes alone are open; neglect does not change the order. Source: design §4."""
    goals = {
        "d": goal(done="false"),
        "c": "prose",
        "b": goal("false"),
        "a": goal(done="true"),
        "e": "---\ngoal: x\n---\n",
    }
    found = judge(world(goals), ReflexLedger(), {"a": NOW}, NOW).statuses
    assert [(one.goal, one.status, one.why) for one in found] == [
        ("a", "done", ""),
        ("b", "open", ""),
        ("d", "open", ""),
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("---\ndone: sensor.\n---\n", "front matter `done`: `sensor.`"),
        ("---\ndnoe: x\n---\n", "front matter: unknown key `dnoe`: did you mean `done`?"),
        ("---\ngoal: [\n---\n", "front matter is not YAML: line 2: "),
        ("---\ndone: 'true'\n", "front matter is not closed"),
        ("---\ngoal: &a [*a]\n---\n", "front matter uses a YAML alias"),
        ("---\ndone: !!bool x\n---\n", "front matter uses a YAML tag"),
        ("---\nreflexes: [{when: 'true', move: {action: fly}}]\n---\n", "reflex #0: unknown action 'fly'"),
        (None, "the file cannot be read"),
    ],
)
def test_a_broken_goal_reads_unknown(text: str | None, why: str) -> None:
    """It costs only itself: its status says why, the others move. Source: design §4."""
    judgement = judge(world({"g": text, "h": goal("true")}), ReflexLedger(), {}, NOW)
    broken = judgement.statuses[0]
    assert (broken.goal, broken.status) == ("g", "unknown")
    assert broken.why.startswith(why)
    assert judgement.news == [f"goal g reads unknown: {broken.why}"]
    assert judgement.firing
    assert judgement.firing.goal == "h"


def test_a_broken_goal_is_reported_once() -> None:
    """Once while it is the same, again when it breaks anew; its status stands all along. Source: design §4."""
    loop, broken, other = Loop(), "---\ndone: sensor.\n---\n", "---\ndone: 1 +\n---\n"
    for text in (broken, broken, broken, other, other, goal(done="true"), broken):
        loop.beat(world({"g": text}))
    assert [news.split("`")[3] for news in loop.news] == ["sensor.", "1 +", "sensor."]
    assert loop.judge(world({"g": broken})).statuses[0].status == "unknown"


@pytest.mark.parametrize(
    ("condition", "part"),
    [
        ("1 / (now - now) == 1", "divide by zero"),
        ("sensor.gone.signal == 1", "gone"),
        ("sensor.ci.signal", "is not true or false but int"),
        ("sensor.list.signal.all(a, sensor.list.signal.all(b, a + b >= 0))", "budget"),
    ],
)
def test_done_that_cannot_be_answered_reads_unknown(condition: str, part: str) -> None:
    """Division by zero, a missing sensor, a non-boolean, an endless loop: unknown, said once. Source: design §4."""
    loop, sensors = Loop(), {"ci": {"signal": 1}, "list": {"signal": list(range(200))}}
    seen = world({"g": goal(done=condition)}, sensors)
    for _ in range(3):
        judgement = loop.judge(seen)
        loop.beat(seen)
        (only,) = judgement.statuses
        assert only.status == "unknown"
        assert part in only.why
    assert len(loop.news) == 1
    assert loop.news[0].startswith("goal g: done: ")


def test_a_reflex_that_cannot_be_answered_does_not_stop_the_next() -> None:
    """Its fault is told once with its number, and the next reflex moves. Source: design §4."""
    loop, seen = Loop(), world({"g": goal("1 / 0 == now", "true")})
    firing = loop.beat(seen)
    assert firing
    assert firing.index == 1
    loop.beat(seen)
    assert loop.news == ["goal g: reflex #0: divide by zero"]
    assert loop.judge(seen).statuses == [GoalStatus("g", "open", "reflex #0: divide by zero")]


def test_faults_of_a_goal_are_told_together() -> None:
    """Each reflex and the `done` are named. Source: design §4."""
    (only,) = judge(world({"g": goal("1 / 0 == 1", done="1 / 0 == 2")}), ReflexLedger(), {}, NOW).statuses
    assert only.why == "reflex #0: divide by zero; done: divide by zero"


def test_a_fault_that_passed_is_told_again_when_it_returns() -> None:
    """Once per trouble, not once for ever. Source: design §4."""
    loop, text = Loop(), goal(done="sensor.ci.signal == 0")
    for sensors in ({}, {}, {"ci": {"signal": 0}}, {}):
        loop.beat(world({"g": text}, sensors))
    assert len(loop.news) == 2


def test_a_condition_without_an_answer_has_not_turned_false() -> None:
    """A sensor that is gone for a beat gives no fresh runs and lifts no suspension. Source: design §4."""
    loop, text = Loop(), goal("sensor.ci.signal > 0")
    fired = []
    for signal in (1, 2, None, 3, 4, None, 5):
        sensors = {} if signal is None else {"ci": {"signal": signal}}
        fired.append(bool(loop.beat(world({"g": text}, sensors))))
    assert fired == [True, True, False, True, False, False, False]


def test_huge_integers_spoil_no_other_goal() -> None:
    """One reading beyond 64 bits leaves every condition answerable. Source: spec/edge-cases.md item 20."""
    sensors = {"big": {"signal": 10**30, "detail": [-(10**30)]}, "ci": {"signal": 0}}
    goals = {"g": goal(done="sensor.ci.signal == 0"), "h": goal(done="sensor.big.signal > 5")}
    assert [one.status for one in judge(world(goals, sensors), ReflexLedger(), {}, NOW).statuses] == ["done", "done"]


@pytest.mark.parametrize("pending", [[{}, ["w"], 5, None, "w-1"], ["w-1"]])
@pytest.mark.parametrize("detail", [{"w-1": 5}, {"w-1": None}, {"w-1": {"id": "x"}}, {}, [], None])
def test_asks_are_those_with_an_id(pending: list[Any], detail: Any) -> None:
    """What is no ask in a damaged reading is passed over, and an ask keeps its id. Source: design §4."""
    seen = world({}, asks={"signal": {"pending": pending}, "detail": detail})
    assert status('size(asks) == 1 && asks[0].id == "w-1"', seen) == ("done", "")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.sampled_from(["w-1", "dead"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "health", "pending", "w-1", "worker", "signal"]), inner, max_size=3)
    ),
    max_leaves=6,
)
READINGS = st.binary(max_size=5) | st.fixed_dictionaries({"signal": JSON, "detail": JSON}) | JSON


@given(READINGS, READINGS, READINGS, READINGS, st.none() | st.just(ReflexLedger()))
def test_any_world_can_be_judged(
    ci: Any, asks: Any, sessions: Any, schedules: Any, ledger: ReflexLedger | None
) -> None:
    """Whatever the readings hold, every goal has a status. Source: design §4."""
    conditions = ["sensor.ci.signal > 1", "worker.alive", "size(asks) > 0", "schedules.w == 'due'"]
    goals = {"g": goal(*conditions, done="workers.exists(w, w.alive)"), "h": goal(done="asks[0].worker == 'x'")}
    judgement = judge(world(goals, {"ci": ci}, asks=asks, sessions=sessions, schedules=schedules), ledger, {}, NOW)
    assert [one.goal for one in judgement.statuses] == ["g", "h"]
    assert all(one.status != "unknown" or one.why for one in judgement.statuses)
