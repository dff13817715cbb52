"""When a schedule is due, and what of it wakes the loop. Level-triggered: nothing fires, a state is read.

The signal follows from the record, the moment, and for some from what was shown before; what is told of one-shots and
plain recurring ones is the reference's, word for word. Source: spec/workers.md §11, edge cases 213-219.

Note [Runs that were missed]
`one`: the latest run is shown, so however many were missed there is one wake. `all`: the run after the one the last
decision saw is shown, so each decision moves it on by one; of more than MOST_BEHIND the oldest are skipped. `none`:
a run is shown if a beat came in time for it, and as long as no later one did.
A clock that steps back over a run by up to STEP_S does not show the run before it again, which would make two wakes of
one. Where nobody knows what was shown, all of them do as `one` does.
"""

from collections.abc import Callable, Iterable
from datetime import tzinfo
from typing import Any, Protocol

from msgspec import Struct

from looop.model.decision import CATCH_UP, MIN_EVERY_S
from looop.model.errors import Invalid
from looop.model.records import Fault, Schedule
from looop.model.text import clipped
from looop.rules import cron

Probe = tuple[Any, dict[str, Any]]
ZoneOf = Callable[[str], tzinfo]
MOST_BEHIND = 100
STEP_S = 3600
ON_TIME_S = 300


class Before(Struct, frozen=True):
    """What was shown of one schedule: the signal the last decision saw, and the one published last; None without.

    `on_time_s`: how late a beat may be for a run to count as noticed in time.
    """

    decided: Any = None
    published: Any = None
    on_time_s: int = ON_TIME_S


class Line(Protocol):
    """The runs of a schedule, as moments, all of them after `anchor`."""

    @property
    def anchor(self) -> int: ...

    def latest(self, now: int) -> int | None:
        """The last run at or before `now`."""

    def following(self, after: int) -> int | None:
        """The first run after a moment."""

    def earlier(self, run: int, by: int) -> int:
        """The run so many runs before `run`; there are at least that many."""

    def between(self, after: int, before: int) -> int:
        """How many runs lie between two moments, both left out."""

    def signal(self, run: int | None) -> Any:
        """What is published for a run."""

    def run_of(self, signal: Any) -> int | None:
        """The run that such a signal speaks of."""


def probe(schedule: Schedule | Fault, now: int, zone_of: ZoneOf | None = None, before: Before | None = None) -> Probe:
    """The (signal, detail) of one schedule at `now`. Without `before` nobody knows what was shown. Never raises."""
    if isinstance(schedule, Fault):
        return "unparseable", {"kind": "unparseable"}
    if [schedule.at, schedule.every_s, schedule.cron].count(None) != 2:
        return "invalid", {"kind": "invalid", "note": schedule.note}
    if schedule.at is not None:
        return _one_shot(schedule.at, schedule.note, now)
    if schedule.every_s is not None and schedule.catch_up is None:
        return _recurring(schedule.every_s, schedule.anchor or 0, schedule.note, now)
    try:
        line, detail = line_of(schedule, zone_of), _told(schedule)
    except Invalid as error:
        return "invalid", {"kind": "invalid", "note": schedule.note, "why": str(error)}
    shown = choose(line, schedule.catch_up or "one", now, before)
    due = line.following(now)
    if isinstance(line, Calendar):
        detail |= {"next_due": None if due is None else cron.stamp(due, line.zone)}
    detail |= {"next_due_in_s": None if due is None else due - now, "missed": shown.missed, "skipped": shown.skipped}
    return line.signal(shown.run), detail | {"note": schedule.note}


def next_due(schedules: Iterable[Schedule | Fault], now: int, zone_of: ZoneOf | None = None) -> int | None:
    """The first moment after `now` at which a schedule's signal may change, None when none will."""
    moments = []
    for schedule in schedules:
        if isinstance(schedule, Schedule) and schedule.cron is not None:
            moments += [] if (due := _due_by_calendar(schedule, now, zone_of)) is None else [due]
            continue
        signal, detail = probe(schedule, now)
        if signal == "pending":
            moments.append(now + detail["due_in_s"])
        elif isinstance(signal, dict):
            moments.append(now + (detail["next_due_in_s"] or detail["every_s"]))
    return min(moments, default=None)


def ran(schedule: Schedule | Fault, signal: Any, zone_of: ZoneOf | None) -> int | None:
    """When the run that `signal` shows was due, None where it shows none."""
    if isinstance(schedule, Fault) or signal in ("invalid", "pending"):
        return None
    if signal == "due":
        return schedule.at
    return line_of(schedule, zone_of).run_of(signal)


def line_of(schedule: Schedule, zone_of: ZoneOf | None) -> Line:
    """The runs of a schedule that has several. Raises Invalid with what is wrong with it."""
    if schedule.catch_up not in (None, *CATCH_UP):
        raise Invalid(f"catch_up is {clipped(str(schedule.catch_up), 64)!r}: expected one of {', '.join(CATCH_UP)}")
    if schedule.cron is None:
        if schedule.every_s is None or schedule.every_s < MIN_EVERY_S:
            raise Invalid(f"every_s is {schedule.every_s}: at least {MIN_EVERY_S} is allowed")
        return Periods(every_s=schedule.every_s, anchor=schedule.anchor or 0)
    if not schedule.tz or zone_of is None:
        raise Invalid('a cron schedule names its time zone: "tz": "Europe/Berlin"')
    return Calendar(spec=cron.parse(schedule.cron), zone=zone_of(schedule.tz), anchor=schedule.anchor or 0)


class Periods(Struct, frozen=True):
    """Every so many seconds from `anchor` on, which is no run itself."""

    every_s: int
    anchor: int

    def latest(self, now: int) -> int | None:
        period = (now - self.anchor) // self.every_s
        return self.anchor + period * self.every_s if period > 0 else None

    def following(self, after: int) -> int | None:
        return self.anchor + max((after - self.anchor) // self.every_s + 1, 1) * self.every_s

    def earlier(self, run: int, by: int) -> int:
        return run - by * self.every_s

    def between(self, after: int, before: int) -> int:
        first = max((after - self.anchor) // self.every_s, 0)
        return max((before - 1 - self.anchor) // self.every_s - first, 0)

    def signal(self, run: int | None) -> Any:
        return {"period": 0 if run is None else (run - self.anchor) // self.every_s}

    def run_of(self, signal: Any) -> int | None:
        period = signal.get("period") if isinstance(signal, dict) else None
        return self.anchor + period * self.every_s if type(period) is int and period > 0 else None


class Calendar(Struct, frozen=True):
    """A cron expression in a zone, from `anchor` on, which is no run itself."""

    spec: cron.Cron
    zone: tzinfo
    anchor: int

    def latest(self, now: int) -> int | None:
        run = cron.window(self.spec, self.zone, now).run
        return run if run is not None and run > self.anchor else None

    def following(self, after: int) -> int | None:
        return cron.following(self.spec, self.zone, max(after, self.anchor))

    def earlier(self, run: int, by: int) -> int:
        return cron.earlier(self.spec, self.zone, run, by)

    def between(self, after: int, before: int) -> int:
        return cron.count(self.spec, self.zone, max(after, self.anchor), before)

    def signal(self, run: int | None) -> Any:
        return {"run": None if run is None else cron.stamp(run, self.zone)}

    def run_of(self, signal: Any) -> int | None:
        return cron.from_stamp(signal.get("run")) if isinstance(signal, dict) else None


class Choice(Struct, frozen=True):
    """The run that is shown, and how many others were missed (None: nobody knows) or skipped for good."""

    run: int | None
    missed: int | None = 0
    skipped: int = 0


def choose(line: Line, policy: str, now: int, before: Before | None) -> Choice:
    """The run to show at `now`. See Note [Runs that were missed]."""
    run = line.latest(now)
    if before is None:
        return Choice(run, missed=None)
    if policy == "none":
        return _if_in_time(line, run, now, before)
    decided = _seen(line, before.decided, now)
    if decided is not None and decided > now:
        return Choice(decided)
    if run is None or (decided is not None and decided >= run):
        return Choice(run)
    since = line.anchor if decided is None else decided
    missed = line.between(since, run)
    if policy == "one":
        return Choice(run, missed=missed)
    if missed < MOST_BEHIND:
        return Choice(line.following(since), missed=missed)
    oldest = line.earlier(run, MOST_BEHIND - 1)
    return Choice(oldest, missed=MOST_BEHIND - 1, skipped=line.between(since, oldest))


def _if_in_time(line: Line, run: int | None, now: int, before: Before) -> Choice:
    shown = _seen(line, before.decided if before.published is None else before.published, now)
    if run is None or (shown is not None and shown >= run):
        return Choice(shown)
    if now - run <= before.on_time_s:
        return Choice(run)
    return Choice(shown, missed=line.between(line.anchor if shown is None else shown, run + 1))


def _seen(line: Line, signal: Any, now: int) -> int | None:
    """The run that was shown. One before the anchor was another schedule's; one far ahead is a wrong clock's."""
    run = line.run_of(signal)
    return run if run is not None and line.anchor < run <= now + STEP_S else None


def _due_by_calendar(schedule: Schedule, now: int, zone_of: ZoneOf | None) -> int | None:
    if schedule.at is not None or schedule.every_s is not None:
        return None
    try:
        return line_of(schedule, zone_of).following(now)
    except Invalid:
        return None


def _told(schedule: Schedule) -> dict[str, Any]:
    if schedule.cron is None:
        return {"kind": "recurring", "every_s": schedule.every_s, "catch_up": schedule.catch_up}
    return {"kind": "cron", "cron": schedule.cron, "zone": schedule.tz, "catch_up": schedule.catch_up or "one"}


def _one_shot(at: int, note: str | None, now: int) -> Probe:
    detail = {"kind": "one-shot", "due_in_s": max(at - now, 0), "note": note}
    return ("due" if now >= at else "pending"), detail


def _recurring(every_s: int, anchor: int, note: str | None, now: int) -> Probe:
    if every_s < MIN_EVERY_S:
        return "invalid", {"kind": "invalid", "note": note}
    period, since = divmod(now - anchor, every_s)
    detail = {
        "kind": "recurring",
        "every_s": every_s,
        "next_due_in_s": every_s - since if since else 0,
        "note": note,
    }
    return {"period": period}, detail
