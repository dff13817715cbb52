"""When a schedule is due, and when its signal moves."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looop.model.records import Fault, Schedule
from looop.rules.due import next_due, probe

NOW = 1_790_000_000
FAULT = Fault("schedules/x.json", "corrupt", "not a record")
ANY = st.none() | st.integers()
SCHEDULES = st.just(FAULT) | st.builds(Schedule, at=ANY, every_s=ANY, anchor=ANY, note=st.none() | st.text(max_size=3))


@pytest.mark.parametrize(
    ("at", "signal", "due_in_s"),
    [
        (NOW + 90, "pending", 90),
        (NOW + 1, "pending", 1),
        (NOW, "due", 0),
        (NOW - 1, "due", 0),
        (NOW - 10**6, "due", 0),
        (0, "due", 0),
        (2**62, "pending", 2**62 - NOW),
    ],
)
def test_a_one_shot(at: int, signal: str, due_in_s: int) -> None:
    """Pending, then due and due it stays; huge is no problem. Source: spec/edge-cases.md items 213, 217."""
    detail = {"kind": "one-shot", "due_in_s": due_in_s, "note": "n"}
    assert probe(Schedule(at=at, note="n"), NOW) == (signal, detail)


def test_a_one_shot_wakes_once() -> None:
    """Its signal moves exactly once in its life. Source: spec/edge-cases.md item 213."""
    signals = [probe(Schedule(at=NOW + 60), NOW + second)[0] for second in range(0, 300, 10)]
    assert signals == ["pending"] * 6 + ["due"] * 24


@pytest.mark.parametrize(
    ("since", "period", "next_due_in_s"),
    [(0, 0, 0), (1, 0, 59), (59, 0, 1), (60, 1, 0), (61, 1, 59), (3600, 60, 0), (-1, -1, 1), (-60, -1, 0)],
)
def test_a_recurring_schedule(since: int, period: int, next_due_in_s: int) -> None:
    """Periods count from the anchor; on the boundary 0 seconds remain. Source: spec/edge-cases.md items 214, 218."""
    schedule = Schedule(every_s=60, anchor=NOW - since, note="n")
    detail = {"kind": "recurring", "every_s": 60, "next_due_in_s": next_due_in_s, "note": "n"}
    assert probe(schedule, NOW) == ({"period": period}, detail)


def test_one_wake_after_several_missed_periods() -> None:
    """However long the pulse was down, the signal has moved once. Source: spec/edge-cases.md item 214."""
    schedule = Schedule(every_s=60, anchor=NOW)
    seen = [probe(schedule, NOW + second)[0]["period"] for second in (0, 30, 59, 600, 610, 659, 660)]
    assert seen == [0, 0, 0, 10, 10, 10, 11]


def test_without_an_anchor_it_counts_from_the_epoch() -> None:
    """It has a period at once and moves on normally. Source: spec/edge-cases.md item 215."""
    signal, detail = probe(Schedule(every_s=60), NOW)
    assert signal == {"period": NOW // 60}
    assert detail["next_due_in_s"] == (-NOW) % 60
    assert probe(Schedule(every_s=60), NOW + 60)[0] == {"period": NOW // 60 + 1}


@pytest.mark.parametrize(
    "fields",
    [
        *({}, {"at": 5, "every_s": 60}, {"at": NOW + 5, "every_s": 5}, {"anchor": 5}),
        *({"every_s": 1}, {"every_s": 59}, {"every_s": 0}, {"every_s": -60}),
    ],
)
def test_a_hand_written_trigger_that_makes_no_sense(fields: dict[str, int]) -> None:
    """Both, neither, or under a minute: a stable `invalid`. Source: spec/edge-cases.md item 216."""
    for now in (NOW, NOW + 1, NOW + 59, NOW + 3600):
        assert probe(Schedule(**fields, note="n"), now) == ("invalid", {"kind": "invalid", "note": "n"})


@pytest.mark.parametrize("kind", ["corrupt", "unreadable"])
def test_a_schedule_that_cannot_be_read(kind: Any) -> None:
    """It is not dropped and does not move: a stable `unparseable`. Source: spec/edge-cases.md items 216, 219."""
    fault = Fault("schedules/x.json", kind, "why")
    assert {repr(probe(fault, now)) for now in (0, NOW)} == {repr(("unparseable", {"kind": "unparseable"}))}


def test_the_shortest_period_is_a_minute() -> None:
    """60 s is allowed. Source: spec/workers.md §11."""
    assert probe(Schedule(every_s=60, anchor=NOW), NOW)[0] == {"period": 0}


@pytest.mark.parametrize(
    ("schedules", "expected"),
    [
        ([], None),
        ([FAULT], None),
        ([Schedule()], None),
        ([Schedule(every_s=5)], None),
        ([Schedule(at=NOW)], None),
        ([Schedule(at=NOW - 5)], None),
        ([Schedule(at=NOW + 5)], NOW + 5),
        ([Schedule(every_s=60, anchor=NOW - 10)], NOW + 50),
        ([Schedule(every_s=60, anchor=NOW)], NOW + 60),
        ([Schedule(every_s=60, anchor=NOW + 10)], NOW + 10),
        ([Schedule(at=NOW + 70), FAULT, Schedule(every_s=60, anchor=NOW - 10)], NOW + 50),
        ([Schedule(at=NOW + 7), Schedule(at=NOW - 7), Schedule(every_s=600, anchor=NOW)], NOW + 7),
    ],
)
def test_the_next_moment(schedules: list[Schedule | Fault], expected: int | None) -> None:
    """The earliest moment a signal moves; what is due or broken has none. Source: design §3 row 6."""
    assert next_due(schedules, NOW) == expected


@given(SCHEDULES, st.integers(0, 2**40))
def test_probing_never_fails(schedule: Schedule | Fault, now: int) -> None:
    """Whatever was written has a signal, and no seconds below 0. Source: spec/edge-cases.md item 219."""
    signal, detail = probe(schedule, now)
    assert signal in ("pending", "due", "invalid", "unparseable") or set(signal) == {"period"}
    assert detail.get("due_in_s", 0) >= 0
    assert 0 <= detail.get("next_due_in_s", 0) <= detail.get("every_s", 0)


@given(st.lists(SCHEDULES, max_size=4), st.integers(0, 2**40))
def test_the_next_moment_lies_ahead_and_moves_a_signal(schedules: list[Schedule | Fault], now: int) -> None:
    """Nothing moves before it, and something moves at it. Source: design §3 row 6."""
    at = next_due(schedules, now)
    signals = [probe(schedule, now)[0] for schedule in schedules]
    if at is None:
        assert [probe(schedule, now + 10**7)[0] for schedule in schedules] == signals
        return
    assert at > now
    assert [probe(schedule, at)[0] for schedule in schedules] != signals
    assert [probe(schedule, at - 1)[0] for schedule in schedules] == signals
