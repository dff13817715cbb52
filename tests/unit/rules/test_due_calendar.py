"""Schedules by the calendar: what is shown of them, and what becomes of runs that were missed."""

from datetime import UTC, datetime, tzinfo
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from looop.model.errors import Invalid
from looop.model.records import Schedule
from looop.rules import cron
from looop.rules.due import MOST_BEHIND, ON_TIME_S, STEP_S, Before, next_due, probe, ran

HOUR, DAY = 3600, 86400
START = int(datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp())


def zone_of(name: str) -> tzinfo:
    if name == "Nowhere":
        raise Invalid("time zone 'Nowhere' is not known here")
    return ZoneInfo(name)


def hourly(catch_up: str | None = None, **fields: Any) -> Schedule:
    return Schedule(**{"cron": "0 * * * *", "tz": "UTC", "anchor": START, "catch_up": catch_up} | fields)


def run(hours: int) -> dict[str, str]:
    """The signal of the run so many hours after the start."""
    return {"run": datetime.fromtimestamp(START + hours * HOUR, UTC).isoformat()}


class Watch:
    """A schedule that is looked at again and again; `decide` says whether the look is decided on."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule, self.decided, self.published = schedule, None, None
        self.wakes: list[Any] = []
        self.detail: dict[str, Any] = {}

    def look(self, now: int, *, decide: bool = True) -> Any:
        signal, self.detail = probe(self.schedule, now, zone_of, Before(self.decided, self.published))
        self.published = signal
        if signal != self.decided:
            self.wakes.append(signal)
            self.decided = signal if decide else self.decided
        return signal


def test_before_its_first_run_there_is_none() -> None:
    """The anchor is no run itself; the next one is told in local time with its zone."""
    schedule = Schedule(cron="30 2 * * *", tz="Europe/Berlin", anchor=START, note="n")
    assert probe(schedule, START + 60, zone_of, Before()) == (
        {"run": None},
        {
            "kind": "cron",
            "cron": "30 2 * * *",
            "zone": "Europe/Berlin",
            "catch_up": "one",
            "next_due": "2026-11-21T02:30:00+01:00",
            "next_due_in_s": 13 * HOUR + 1740,
            "missed": 0,
            "skipped": 0,
            "note": "n",
        },
    )


def test_the_latest_run_is_shown_from_its_second_on() -> None:
    """A second before it is to come, at its second it is there, and it stays until the next."""
    seen = [probe(hourly(), START + HOUR + second, zone_of)[0] for second in (-1, 0, 1, HOUR - 1, HOUR)]
    assert seen == [{"run": None}, run(1), run(1), run(1), run(2)]


@pytest.mark.parametrize("anchor", [None, 0, -5])
def test_without_an_anchor_it_runs_at_once(anchor: int | None) -> None:
    """As recurring ones do. Source: spec/edge-cases.md item 215."""
    assert probe(hourly(anchor=anchor), START + 5, zone_of)[0] == run(0)


def test_an_anchor_to_come_is_waited_for() -> None:
    """Nothing runs before it; what is due next lies after it."""
    schedule = hourly(anchor=START + 10 * HOUR)
    assert probe(schedule, START + 5 * HOUR, zone_of, Before())[0] == {"run": None}
    assert next_due([schedule], START, zone_of) == START + 11 * HOUR


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"tz": "Nowhere"}, "time zone 'Nowhere' is not known here"),
        ({"tz": None}, 'names its time zone: "tz": "Europe/Berlin"'),
        ({"cron": "nonsense"}, "has 1 fields"),
        ({"cron": "30 2 30 2 *"}, "it never runs"),
        ({"cron": ""}, "has 0 fields"),
        ({"catch_up": "some"}, "catch_up is 'some': expected one of one, all, none"),
    ],
)
def test_a_hand_written_one_that_makes_no_sense(fields: dict[str, Any], why: str) -> None:
    """A stable `invalid` that says why; it has no next moment. Source: spec/edge-cases.md item 216."""
    schedule = hourly(**fields, note="n")
    for now in (START, START + DAY):
        signal, detail = probe(schedule, now, zone_of, Before())
        assert (signal, detail["kind"], detail["note"]) == ("invalid", "invalid", "n") and why in detail["why"]
        assert next_due([schedule], now, zone_of) is None


@pytest.mark.parametrize("fields", [{"at": 5}, {"every_s": 60}, {"at": 5, "every_s": 60}])
def test_two_triggers_are_invalid(fields: dict[str, int]) -> None:
    """Exactly one of the three. Source: spec/edge-cases.md item 216."""
    assert probe(hourly(**fields), START, zone_of, Before()) == ("invalid", {"kind": "invalid", "note": None})
    assert next_due([hourly(**fields)], START, zone_of) is None


def test_one_wake_for_however_many_were_missed() -> None:
    """`one`: the latest run is shown; the others are counted."""
    watch = Watch(hourly())
    assert watch.look(START + HOUR) == run(1)
    assert watch.look(START + 9 * HOUR + 70) == run(9)
    assert (watch.detail["missed"], len(watch.wakes)) == (7, 2)
    watch.look(START + 9 * HOUR + 80)
    assert (watch.detail["missed"], len(watch.wakes)) == (0, 2)


def test_all_missed_runs_are_shown_one_after_the_other() -> None:
    """`all`: the oldest first, each decision moves on by one, and one that was not decided on is shown again."""
    watch = Watch(hourly("all"))
    late = START + 4 * HOUR + 60
    assert [watch.look(late), watch.detail["missed"]] == [run(1), 3]
    assert [watch.look(late + 60, decide=False), watch.detail["missed"]] == [run(2), 2]
    assert [watch.look(late + 120), watch.detail["missed"]] == [run(2), 2]
    assert [watch.look(late + second) for second in (180, 240, 300, 360)] == [run(3), run(4), run(4), run(4)]
    assert watch.detail["missed"] == 0


def test_of_too_many_the_oldest_are_skipped() -> None:
    """`all`: at most a hundred are made up for; how many are not is told."""
    watch = Watch(hourly("all"))
    late = START + (MOST_BEHIND + 30) * HOUR
    assert watch.look(late) == run(31)
    assert (watch.detail["missed"], watch.detail["skipped"]) == (MOST_BEHIND - 1, 30)
    watch.look(late + 60)
    assert (watch.published, watch.detail["missed"], watch.detail["skipped"]) == (run(32), MOST_BEHIND - 2, 0)
    exactly = Watch(hourly("all"))
    assert exactly.look(START + MOST_BEHIND * HOUR) == run(1)
    assert (exactly.detail["missed"], exactly.detail["skipped"]) == (MOST_BEHIND - 1, 0)
    one_more = Watch(hourly("all"))
    assert one_more.look(START + (MOST_BEHIND + 1) * HOUR) == run(2)
    assert (one_more.detail["missed"], one_more.detail["skipped"]) == (MOST_BEHIND - 1, 1)


def test_none_shows_what_was_noticed_in_time() -> None:
    """`none`: a run that a beat came too late for leaves what was shown; one that was noticed stays."""
    watch = Watch(hourly("none"))
    assert watch.look(START + HOUR + ON_TIME_S) == run(1)
    assert watch.look(START + HOUR + ON_TIME_S + 1, decide=False) == run(1)
    assert [watch.look(START + 4 * HOUR + ON_TIME_S + 1), watch.detail["missed"]] == [run(1), 3]
    assert [watch.look(START + 5 * HOUR + 10), watch.detail["missed"]] == [run(5), 0]
    assert watch.wakes == [run(1), run(5)]
    late = Watch(hourly("none"))
    assert [late.look(START + 4 * HOUR - 10), late.detail["missed"]] == [{"run": None}, 3]


def test_none_keeps_a_run_that_was_noticed_and_not_decided_on() -> None:
    """A failed decide does not make it a missed one."""
    watch = Watch(hourly("none"))
    assert watch.look(START + HOUR + 5, decide=False) == run(1)
    assert watch.look(START + HOUR + ON_TIME_S + 500, decide=False) == run(1)


def test_none_falls_back_on_what_was_decided() -> None:
    """Where nothing is published, as in a copied data dir, what the last decision saw stays shown."""
    shown = Before(decided=run(2), published=None)
    assert probe(hourly("none"), START + 3 * HOUR + 1800, zone_of, shown)[0] == run(2)


def test_recurring_ones_have_the_same_choices() -> None:
    """`every_s` with a policy counts periods and chooses among them in the same way."""
    every = Schedule(every_s=HOUR, anchor=START, catch_up="all")
    watch = Watch(every)
    assert [watch.look(START + 3 * HOUR + second)["period"] for second in (0, 1, 2, 3)] == [1, 2, 3, 3]
    assert watch.detail["next_due_in_s"] == HOUR - 3 and watch.detail["kind"] == "recurring"
    watch = Watch(Schedule(every_s=HOUR, anchor=START, catch_up="none"))
    assert [watch.look(START + seconds)["period"] for seconds in (HOUR, 3 * HOUR - 1)] == [1, 1]
    assert watch.detail["missed"] == 1
    assert watch.look(START + 3 * HOUR + 1)["period"] == 3
    watch = Watch(Schedule(every_s=HOUR, anchor=START, catch_up="one"))
    assert [watch.look(START + hours * HOUR)["period"] for hours in (0, 1, 9)] == [0, 1, 9]
    assert watch.detail["missed"] == 7
    fast = Schedule(every_s=59, anchor=START, catch_up="one")
    assert probe(fast, START, zone_of)[0] == "invalid"


def test_recurring_ones_skip_and_count_alike() -> None:
    """`all` over periods: a hundred are made up for, the oldest are skipped, and both are told."""
    watch = Watch(Schedule(every_s=HOUR, anchor=START, catch_up="all"))
    assert watch.look(START + (MOST_BEHIND + 30) * HOUR) == {"period": 31}
    assert (watch.detail["missed"], watch.detail["skipped"]) == (MOST_BEHIND - 1, 30)
    watch.look(START + (MOST_BEHIND + 30) * HOUR + 60)
    assert (watch.published, watch.detail["missed"], watch.detail["skipped"]) == ({"period": 32}, MOST_BEHIND - 2, 0)


@pytest.mark.parametrize("catch_up", ["one", "all", "none"])
def test_a_recurring_one_with_an_anchor_to_come(catch_up: str) -> None:
    """It has no period yet, misses nothing, and its first one ends a period after the anchor."""
    schedule = Schedule(every_s=60, anchor=START + 600, catch_up=catch_up)
    for now in (START, START + 600, START + 659):
        signal, detail = probe(schedule, now, zone_of, Before())
        assert (signal, detail["missed"], detail["next_due_in_s"]) == ({"period": 0}, 0, START + 660 - now)
        assert (detail["kind"], detail["every_s"], detail["catch_up"]) == ("recurring", 60, catch_up)
    assert probe(schedule, START + 660, zone_of, Before())[0] == {"period": 1}


def test_a_recurring_one_without_an_anchor_counts_from_the_epoch() -> None:
    """With a policy as without one. Source: spec/edge-cases.md item 215."""
    schedule = Schedule(every_s=60, catch_up="one")
    assert probe(schedule, START, zone_of, Before({"period": START // 60 - 1}))[0] == {"period": START // 60}
    assert probe(schedule, START, zone_of, Before({"period": START // 60 - 1}))[1]["missed"] == 0


def test_the_bounds_are_those_that_are_promised() -> None:
    """A hundred runs are made up for, five minutes are in time, a clock may step back by an hour."""
    assert (MOST_BEHIND, ON_TIME_S, STEP_S) == (100, 300, HOUR)


@pytest.mark.parametrize("catch_up", ["one", "all", "none"])
def test_a_clock_that_steps_back_makes_no_second_wake(catch_up: str) -> None:
    """A run that was shown stays shown though the clock is before it again, by an hour at most."""
    watch = Watch(hourly(catch_up))
    watch.look(START + HOUR)
    for now in (START + HOUR + 1, START + HOUR - 5, START + 60, START + HOUR - 1, START + HOUR + 2):
        assert watch.look(now) == run(1)
    assert watch.wakes == [run(1)]


@pytest.mark.parametrize("catch_up", ["one", "all", "none"])
def test_a_clock_that_was_far_ahead_is_forgotten(catch_up: str) -> None:
    """It does not silence the schedule until its time comes round again."""
    watch = Watch(hourly(catch_up))
    watch.decided = watch.published = run(24 * 365 * 50)
    assert watch.look(START + HOUR) == run(1)
    assert watch.look(START + 2 * HOUR) == run(2)


def test_what_was_written_anew_has_no_past() -> None:
    """Runs up to the anchor belong to the schedule that was there before."""
    for catch_up, shown in product(("one", "all", "none"), (3, 5)):
        watch = Watch(hourly(catch_up, anchor=START + 5 * HOUR))
        watch.decided = watch.published = run(shown)
        assert watch.look(START + 5 * HOUR + 60) == {"run": None}
        assert watch.look(START + 6 * HOUR) == run(6)


@pytest.mark.parametrize("catch_up", ["one", "all", "none"])
def test_without_knowing_what_was_shown_all_do_as_one(catch_up: str) -> None:
    """The latest run is shown, and nobody says how many were missed."""
    signal, detail = probe(hourly(catch_up), START + 9 * HOUR + 1800, zone_of, None)
    assert (signal, detail["missed"]) == (run(9), None)


@pytest.mark.parametrize("told", [{"run": 5}, {"run": "soon"}, "due", [], 5, {"period": 3}, {"run": None}])
def test_what_was_shown_may_be_anything(told: Any) -> None:
    """A signal that tells no run counts as none."""
    for catch_up in ("one", "all", "none"):
        assert probe(hourly(catch_up), START + HOUR, zone_of, Before(told, told))[0] == run(1)


def test_when_it_ran_last() -> None:
    """The moment of the run that is shown, for every kind; nothing where there is none."""
    calendar, every = hourly(), Schedule(every_s=60, anchor=START)
    assert ran(calendar, run(3), zone_of) == START + 3 * HOUR
    assert ran(calendar, {"run": None}, zone_of) is None
    assert (ran(every, {"period": 5}, None), ran(every, {"period": 0}, None)) == (START + 300, None)
    assert (ran(Schedule(at=7), "due", None), ran(Schedule(at=7), "pending", None)) == (7, None)
    assert ran(Schedule(), "invalid", None) is None


def test_the_sleep_ends_at_the_next_run() -> None:
    """The earliest of all schedules counts, whatever their kind. Source: design §3 row 6."""
    schedules = [hourly(), Schedule(at=START + 2 * HOUR), Schedule(cron="45 12 * * *", tz="UTC", anchor=0)]
    assert next_due(schedules, START + 10, zone_of) == START + 2700
    assert next_due(schedules, START + 2700, zone_of) == START + HOUR


STEPS = st.lists(st.integers(0, 5 * HOUR), min_size=1, max_size=40)
ZONES = st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"])
LINES = st.sampled_from(["30 2 * * *", "0 * * * *", "*/20 1-4 * * *", "15 */2 * * *", "0 3 * * 1"])
STARTS = st.sampled_from([START, 1_774_700_000, 1_792_800_000, 1_775_300_000, 1_791_000_000])


@settings(max_examples=150)
@given(LINES, ZONES, STARTS, STEPS)
def test_one_wakes_once_for_a_gap_and_never_goes_back(line: str, zone: str, start: int, steps: list[int]) -> None:
    """Each look wakes at most once, later looks never show an earlier run, and the next run lies ahead."""
    watch, now, last = Watch(Schedule(cron=line, tz=zone, anchor=start)), start, 0
    for step in steps:
        now, woken = now + step, len(watch.wakes)
        signal = watch.look(now)
        assert watch.look(now) == signal and len(watch.wakes) <= woken + 1
        moment = ran(watch.schedule, signal, zone_of)
        assert (moment or 0) >= last and (moment is None or start < moment <= now)
        last = moment or last
        assert watch.detail["next_due_in_s"] > 0


@settings(max_examples=100)
@given(LINES, ZONES, STARTS, STEPS)
def test_all_skips_none_within_its_bound(line: str, zone: str, start: int, steps: list[int]) -> None:
    """Whatever the gaps, each run is shown exactly once and in order, once there were looks enough."""
    schedule = Schedule(cron=line, tz=zone, anchor=start, catch_up="all")
    watch, now, woken = Watch(schedule), start, -1
    for step in steps[:12]:
        now += step
        watch.look(now)
    while len(watch.wakes) > woken:
        woken = len(watch.wakes)
        watch.look(now)
    shown = [signal for signal in watch.wakes if signal != {"run": None}]
    expected, due = [], next_due([schedule], start, zone_of)
    while due is not None and due <= now:
        expected.append(probe(schedule, due, zone_of)[0])
        due = next_due([schedule], due, zone_of)
    assert shown == expected


def test_the_bound_on_a_clock_that_steps_back() -> None:
    """One second more than the bound, and the schedule follows the clock."""
    shown = Before(run(2), run(2))
    assert probe(hourly(), START + 2 * HOUR - STEP_S, zone_of, shown)[0] == run(2)
    assert probe(hourly(), START + 2 * HOUR - STEP_S - 1, zone_of, shown)[0] == {"run": None}


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["one", "all"])
def test_what_was_missed_is_counted_once_and_not_with_every_beat(policy: str) -> None:
    """Three hundred schedules after months down: while nothing is decided, each further look walks no calendar."""
    lines = [f"{n % 60} {n // 60} * * *" for n in range(300)]
    schedules = [Schedule(cron=line, tz="Europe/Berlin", anchor=START - 120 * DAY, catch_up=policy) for line in lines]
    first = [probe(schedule, START, zone_of, Before()) for schedule in schedules]
    walks = cron.count.cache_info().misses, cron.earlier.cache_info().misses
    assert [probe(schedule, START, zone_of, Before()) for schedule in schedules] == first
    assert (cron.count.cache_info().misses, cron.earlier.cache_info().misses) == walks
