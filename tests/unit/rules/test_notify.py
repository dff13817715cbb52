"""What is pushed when: once, batched, nudged, and never in quiet hours. In virtual time, over every order of events."""

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from looop.model.notices import Notice, Push
from looop.model.records import Ask
from looop.rules.notify import DAY_S, Plan, Quiet, Settings, plan, quiet_until, worth_keeping

NOON = 1_795_262_400  # 2026-11-21 12:00 UTC
HOUR = 3600
NIGHT = Quiet(22 * HOUR, 7 * HOUR)
BERLIN = ZoneInfo("Europe/Berlin")


def utc(_: int) -> int:
    return 0


def berlin(moment: int) -> int:
    ahead = datetime.fromtimestamp(moment, BERLIN).utcoffset()
    assert ahead is not None
    return int(ahead.total_seconds())


def at(text: str, zone: ZoneInfo = BERLIN) -> int:
    """UTC seconds of a local time."""
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp())


def wants(*targets: str, offset_s: Callable[[int], int] = utc, **others: Any) -> Settings:
    return Settings(targets or ("a",), offset_s, **others)


def ask(name: str, ts: int = NOON, **fields: Any) -> Ask:
    return Ask(id=name, worker="w", prompt="?", ts=ts, **fields)


class World:
    """Asks, a book, and targets that do as they are told; time goes from one thing to the next."""

    def __init__(self, wishes: Settings, now: int = NOON) -> None:
        self.wishes, self.now = wishes, now
        self.asks: dict[str, Ask] = {}
        self.book: list[Notice] = []
        self.made: list[tuple[int, Push, str]] = []
        self.outcome = "sent"

    def raised(self, name: str, **fields: Any) -> None:
        self.asks[name] = ask(name, self.now, **fields)

    def look(self) -> Plan:
        return plan(self.asks.values(), self.book, self.now, self.wishes)

    def work(self) -> int | None:
        """Make every push that is due; when there will be more."""
        for _ in range(10):
            found = self.look()
            if not found.pushes:
                return found.next_at
            for push in found.pushes:
                self.make(push)
        raise AssertionError(f"pushes without end: {self.made[-3:]}")

    def make(self, push: Push) -> None:
        self.made.append((self.now, push, self.outcome))
        self.note(push, "sending")
        if self.outcome != "cut off":
            self.note(push, self.outcome)

    def note(self, push: Push, outcome: str) -> None:
        self.book.append(Notice(self.now, push.target, push.kind, push.asks, outcome))  # type: ignore[arg-type]

    def until(self, end: int) -> None:
        """Let time pass, always to the next thing that is due."""
        while (following := self.work()) is not None and following <= end:
            assert following > self.now, "nothing is due now, and yet it is"
            self.now = following
        self.now = end

    def times(self, kind: str, target: str = "a") -> list[int]:
        return [when - NOON for when, push, _ in self.made if (push.kind, push.target) == (kind, target)]


def test_what_is_raised_within_the_window_goes_as_one_message():
    """Three asks within five seconds are one push; a fourth, later, is another."""
    world = World(wants(nudge_s=0))
    world.raised("w-1")
    assert world.work() == NOON + 5
    world.until(NOON + 3)
    world.raised("w-2")
    world.until(NOON + 4)
    world.raised("v-1")
    world.until(NOON + 20)
    world.raised("w-3")
    world.until(NOON + 60)
    assert [(when - NOON, push.asks) for when, push, _ in world.made] == [(5, ["w-1", "w-2", "v-1"]), (25, ["w-3"])]


def test_what_is_settled_within_the_window_is_not_pushed():
    """An ask that was answered before its window is over is never seen."""
    world = World(wants())
    world.raised("w-1")
    world.until(NOON + 2)
    del world.asks["w-1"]
    world.until(NOON + DAY_S)
    assert world.made == []


def test_an_ask_past_its_expiry_is_not_pushed():
    """From its expiry on an ask is nobody's question, also where no one has put that on record yet."""
    world = World(wants())
    world.raised("w-1", expires=NOON + 3)
    world.until(NOON + DAY_S)
    assert world.made == []


@pytest.mark.parametrize(("expires", "pushed"), [(None, True), (NOON + 1, True), (NOON, False), (NOON - 1, False)])
def test_an_ask_is_pushed_until_it_expires(expires, pushed):
    """The second of its expiry is the first in which it is nobody's question."""
    found = plan([ask("w-1", expires=expires)], [], NOON, wants(batch_s=0))
    assert bool(found.pushes) is pushed


def test_the_next_look_is_for_the_first_that_is_due():
    """With one target that fails and one that is told, the sooner of retry and nudge is the next time."""
    world = World(wants("a", "b", batch_s=0))
    world.raised("w-1")
    for target, outcome in (("a", "failed"), ("b", "sent")):
        world.note(Push(target, "new", ["w-1"]), outcome)
    assert world.look() == Plan([], NOON + 30)


def test_each_target_is_told():
    """Every target gets its own push, and its own retries."""
    world = World(wants("a", "b", nudge_s=0, batch_s=0))
    world.raised("w-1")
    world.until(NOON + 10)
    assert [push.target for _, push, _ in world.made] == ["a", "b"]


def test_nudges_double_up_to_a_day():
    """4, 8, 16, 24, 24 hours after the push before; and no more once it is settled."""
    world = World(wants(batch_s=0))
    world.raised("w-1")
    world.until(NOON + 4 * DAY_S)
    assert [when // HOUR for when in world.times("nudge")] == [4, 12, 28, 52, 76]
    del world.asks["w-1"]
    world.until(NOON + 9 * DAY_S)
    assert len(world.times("nudge")) == 5


def test_a_longer_nudge_stays_as_long():
    """A pause of more than a day is kept, not cut to a day."""
    world = World(wants(batch_s=0, nudge_s=3 * DAY_S))
    world.raised("w-1")
    world.until(NOON + 7 * DAY_S)
    assert world.times("nudge") == [3 * DAY_S, 6 * DAY_S]


@pytest.mark.parametrize(("urgency", "nudge_s"), [("low", 60), ("normal", 0), ("irreversible", 0)])
def test_what_is_not_nudged(urgency, nudge_s):
    """Nothing of low urgency is nudged, and nothing at all without a nudge."""
    world = World(wants(nudge_s=nudge_s))
    world.raised("w-1", urgency=urgency)
    world.until(NOON + 4 * DAY_S)
    assert [push.kind for _, push, _ in world.made] == ["new"]


def test_nudges_of_many_asks_do_not_add_up():
    """A hundred asks, raised a minute apart, nudge at most once in the time of a nudge."""
    world = World(wants(batch_s=0, nudge_s=HOUR))
    for n in range(100):
        world.raised(f"w-{n}")
        world.until(NOON + 60 * (n + 1))
    world.until(NOON + DAY_S)
    times = world.times("nudge")
    assert times
    assert min(later - sooner for sooner, later in pairwise(times)) >= HOUR


def test_a_failed_push_is_made_again_later_and_later():
    """30, 60, 120 s, … up to 15 minutes; what came up meanwhile goes along; a success begins anew."""
    world = World(wants(batch_s=0))
    world.outcome = "failed"
    world.raised("w-1")
    world.until(NOON + 100)
    assert world.times("new") == [0, 30, 90]
    world.raised("w-2")
    world.until(NOON + 3000)
    assert world.times("new") == [0, 30, 90, 210, 450, 930, 1830, 2730]
    world.outcome = "sent"
    world.until(NOON + 4000)
    assert world.made[-1][1].asks == ["w-1", "w-2"]
    world.raised("w-3")
    world.until(NOON + 4001)
    assert world.times("new")[-1] == 4000
    world.outcome = "failed"
    world.raised("w-4")
    world.until(NOON + 4100)
    assert world.times("new")[-3:] == [4001, 4031, 4091]


@pytest.mark.parametrize("outcome", ["cut off", "unknown"])
def test_a_push_whose_end_is_not_known_is_not_made_again(outcome):
    """What may have arrived is brought again by the nudge, not by a retry."""
    world = World(wants(batch_s=0))
    world.outcome = outcome
    world.raised("w-1")
    world.until(NOON + 3 * HOUR)
    assert world.times("new") == [0]
    world.outcome = "sent"
    world.until(NOON + 5 * HOUR)
    assert world.times("nudge") == [4 * HOUR]


def test_a_target_that_may_not_answer_is_left_alone_for_a_while():
    """An end that nobody knows delays the next message to that target as a failure does."""
    world = World(wants(batch_s=0, nudge_s=0))
    world.outcome = "unknown"
    world.raised("w-1")
    world.until(NOON + 10)
    world.raised("w-2")
    world.until(NOON + 60)
    assert world.times("new") == [0, 30]


def test_nudges_that_were_cut_off_count():
    """A nudge that may have arrived doubles the pause like one that did."""
    world = World(wants(batch_s=0))
    world.outcome = "cut off"
    world.raised("w-1")
    world.until(NOON + 2 * DAY_S)
    assert world.times("nudge") == [4 * HOUR, 12 * HOUR, 28 * HOUR]


def test_the_oldest_ask_decides_when_to_nudge():
    """Nobody's nudge waits for that of a newer ask."""
    world = World(wants(batch_s=0, nudge_s=HOUR))
    world.raised("w-1")
    world.until(NOON + 10)
    world.raised("w-2")
    world.until(NOON + HOUR)
    assert [(when - NOON, push.asks) for when, push, _ in world.made[2:]] == [(HOUR, ["w-1"])]


def test_the_shortest_nudge_is_a_second():
    """One second is a nudge as any other; only zero is none."""
    world = World(wants(batch_s=0, nudge_s=1))
    world.raised("w-1")
    world.until(NOON + 4)
    assert world.times("nudge") == [1, 3]


def test_only_a_nudge_puts_off_a_nudge():
    """What is new does not delay the nudge of an older ask, and the newer ask's nudge waits for its turn."""
    world = World(wants(batch_s=0, nudge_s=HOUR))
    world.raised("w-1")
    world.until(NOON + HOUR // 2)
    world.raised("w-2")
    world.until(NOON + 3 * HOUR - 1)
    assert world.times("nudge") == [HOUR, 2 * HOUR]
    assert [push.asks for _, push, _ in world.made[2:]] == [["w-1"], ["w-2"]]


def test_a_failed_nudge_does_not_count():
    """A nudge that failed is made again, and the pause after it is that of the first."""
    world = World(wants(batch_s=0))
    world.raised("w-1")
    world.until(NOON + HOUR)
    world.outcome = "failed"
    world.until(NOON + 4 * HOUR)
    world.outcome = "sent"
    world.until(NOON + 13 * HOUR)
    assert world.times("nudge") == [4 * HOUR, 4 * HOUR + 30, 12 * HOUR + 30]


def test_a_clock_that_was_set_back_delays_nothing():
    """An ask from the future is pushed at once."""
    world = World(wants())
    world.asks["w-1"] = ask("w-1", NOON + DAY_S)
    world.work()
    assert world.times("new") == [0]


@pytest.mark.parametrize("outcome", ["failed", "unknown", "sent"])
def test_rows_of_a_clock_that_was_far_ahead_silence_nothing(outcome):
    """What was put on record in a year to come neither holds back what is new nor the nudge of what is old."""
    world = World(wants(batch_s=0), NOON + 3650 * DAY_S)
    world.raised("w-1")
    world.outcome = outcome
    world.work()
    world.now, world.outcome = NOON, "sent"
    world.raised("w-2")
    world.until(NOON + DAY_S)
    assert {"w-1", "w-2"} <= {name for when, push, _ in world.made if when < NOON + DAY_S for name in push.asks}
    nudges = [when for when in world.times("nudge") if when < DAY_S]
    assert len(nudges) in (2, 3, 4)


@pytest.mark.parametrize(("back", "made"), [(60, 1), (4 * HOUR, 1), (4 * HOUR + 1, 2)])
def test_a_step_back_of_the_clock_makes_no_message(back, made):
    """A clock that is set right by up to the pause of a nudge brings none before its time."""
    world = World(wants(batch_s=0))
    world.raised("w-1")
    world.work()
    world.now = NOON - back
    world.until(NOON + 4 * HOUR - 2)
    assert len(world.made) == made


def test_a_nudge_that_never_comes_is_no_date():
    """Quiet hours are looked up for no year that a calendar does not have."""
    world = World(wants(offset_s=berlin, nudge_s=(10**12 - 1) * DAY_S, quiet=NIGHT))
    world.raised("w-1")
    world.until(NOON + 2 * DAY_S)
    assert len(world.made) == 1


def test_quiet_hours_put_everything_off_to_their_end():
    """What is raised at night goes as one message in the morning; a nudge that falls into the night does, too."""
    world = World(wants(quiet=NIGHT), at("2026-11-20T21:59:58", ZoneInfo("UTC")))
    world.raised("w-1")
    world.until(world.now + HOUR)
    world.raised("w-2")
    world.until(world.now + 2 * DAY_S)
    seen = [(datetime.fromtimestamp(when, UTC).strftime("%d %H:%M"), push.kind) for when, push, _ in world.made]
    assert seen == [("21 07:00", "new"), ("21 11:00", "nudge"), ("21 19:00", "nudge"), ("22 11:00", "nudge")]
    assert world.made[0][1].asks == ["w-1", "w-2"]


@pytest.mark.parametrize(
    ("now", "quiet", "end"),
    [
        ("2026-11-20T23:00", NIGHT, "2026-11-21T07:00"),
        ("2026-11-20T21:59:59", NIGHT, "2026-11-20T21:59:59"),
        ("2026-11-20T22:00", NIGHT, "2026-11-21T07:00"),
        ("2026-11-21T12:00", Quiet(12 * HOUR, 13 * HOUR), "2026-11-21T13:00"),
        ("2026-11-21T11:59:59", Quiet(12 * HOUR, 13 * HOUR), "2026-11-21T11:59:59"),
        ("2026-11-21T06:59:59", NIGHT, "2026-11-21T07:00"),
        ("2026-11-21T07:00", NIGHT, "2026-11-21T07:00"),
        ("2026-11-21T12:30", Quiet(12 * HOUR, 13 * HOUR), "2026-11-21T13:00"),
        ("2026-03-28T23:00", NIGHT, "2026-03-29T07:00"),  # 02:00 becomes 03:00
        ("2026-10-24T23:00", NIGHT, "2026-10-25T07:00"),  # 03:00 becomes 02:00
        ("2026-03-28T23:00", Quiet(22 * HOUR, 9000), "2026-03-29T03:00"),  # 02:30 is skipped
    ],
)
def test_quiet_hours_follow_the_clock_on_the_wall(now, quiet, end):
    """They end when the local clock says so, also in the nights in which it is set."""
    assert quiet_until(at(now), wants(offset_s=berlin, quiet=quiet)) == at(end)


@given(st.integers(at("2026-03-27T00:00"), at("2026-03-31T00:00")), st.integers(0, 1439), st.integers(0, 1439))
@settings(max_examples=300, deadline=None)
def test_the_end_of_quiet_hours_is_outside_of_them_and_not_late(now, begins, ends):
    """Whenever and whatever: at the end it is not quiet, and it was quiet in every minute before."""
    if begins == ends:
        return
    wishes = wants(offset_s=berlin, quiet=Quiet(begins * 60, ends * 60))
    end = quiet_until(now, wishes)
    assert quiet_until(end, wishes) == end
    assert all(quiet_until(moment, wishes) > moment for moment in range(now, end - 60, 60))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.sampled_from(["low", "normal", "irreversible"])),
        st.tuples(st.just("settle"), st.integers(0, 20)),
        st.tuples(st.just("pass"), st.integers(0, 50_000)),
        st.tuples(st.just("outcome"), st.sampled_from(["sent", "failed", "unknown", "cut off"])),
        st.tuples(st.just("shrink"), st.integers(0, 5)),
    ),
    max_size=30,
)


@given(STEPS, st.sampled_from([0, 5, 600]), st.sampled_from([0, 1800, 14400]), st.booleans())
@settings(max_examples=300, deadline=None)
def test_whatever_happens_each_ask_is_new_once_and_nights_are_quiet(steps, batch_s, nudge_s, quiet):
    """Over all orders of asking, settling, waiting, failing, crashing and shrinking the book.

    Each ask arrives at most once as new at each target, none after it was settled, none in quiet hours; nudges of one
    ask are apart by the nudge's time; and what waits is told in the end.
    """
    wishes = wants("a", "b", offset_s=berlin, batch_s=batch_s, nudge_s=nudge_s, quiet=NIGHT if quiet else None)
    world = World(wishes)
    count, gone = 0, {}
    for step, what in steps:
        if step == "ask":
            count += 1
            world.raised(f"w-{count}", urgency=what)
        elif step == "settle" and world.asks:
            name = sorted(world.asks)[what % len(world.asks)]
            gone[name] = len(world.made)
            del world.asks[name]
        elif step == "pass":
            world.until(world.now + what)
        elif step == "outcome":
            world.outcome = what
        elif step == "shrink":
            world.book = worth_keeping(world.book, world.asks, what)
    world.outcome = "sent"
    world.until(world.now + 2 * DAY_S)
    arrived = [(when, push) for when, push, outcome in world.made if outcome != "failed"]
    for target in ("a", "b"):
        new = [name for _, push in arrived if (push.target, push.kind) == (target, "new") for name in push.asks]
        assert len(new) == len(set(new))
        assert set(world.asks) <= set(new)
        for name in new:
            nudged = [when for when, push in arrived if push.target == target and name in push.asks]
            assert all(later - sooner >= nudge_s for sooner, later in pairwise(nudged))
    assert all(name not in push.asks for name, since in gone.items() for _, push, _ in world.made[since:])
    if quiet:
        assert all(quiet_until(when, wishes) == when for when, _, _ in world.made)


def test_what_the_book_keeps():
    """Of old rows only those stay that tell what was sent of an ask that waits, and a push that was cut off."""
    push, other = Push("a", "new", ["w-1"]), Push("a", "new", ["v-1"])
    rows = [
        Notice(1, "a", "new", push.asks, "sending"),
        Notice(1, "a", "new", push.asks, "failed"),
        Notice(2, "a", "new", push.asks, "sending"),
        Notice(2, "a", "new", push.asks, "sent"),
        Notice(3, "a", "new", other.asks, "sending"),
        Notice(4, "b", "new", push.asks, "sending"),
        Notice(5, "a", "nudge", push.asks, "sending"),
    ]
    assert worth_keeping(rows, ["w-1"], recent=0) == [rows[3], rows[5], rows[6]]
    assert worth_keeping(rows, [], recent=2) == rows[5:]
    many = [Notice(n, "a", "new", [f"w-{n}"], "sent") for n in range(300)]
    assert worth_keeping(many, []) == many[100:]
