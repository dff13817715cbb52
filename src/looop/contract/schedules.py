"""Schedules as a client sees them: what each says, when it runs next; and writing one as a person."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from itertools import islice

import msgspec
from msgspec.structs import replace

from looop.act.perform import perform
from looop.act.schedules import in_zone, record_of, zone_for
from looop.contract.timetable import Run, ScheduleView, ScheduleWritten
from looop.model.decision import check_move
from looop.model.errors import Invalid, Missing
from looop.model.moves import WriteSchedule
from looop.model.records import Fault, Schedule
from looop.model.text import span
from looop.rules import cron
from looop.rules.due import line_of, probe
from looop.runtime.zones import checked_zone, local_zone, zone_of
from looop.sense.schedules import shown_before
from looop.state.house import House

SHOWN_RUNS = 5
_CLOCK_TIME = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])\Z")


def views(house: House, runs: int = 1) -> list[ScheduleView]:
    """Every schedule by name. Raises Unreadable."""
    now, schedules = house.setting.clock.now(), house.schedules.all()
    shown = shown_before(house, schedules)
    found = []
    for name, schedule in schedules.items():
        signal, detail = probe(schedule, now, zone_of, shown.before(name))
        if isinstance(schedule, Fault):
            found.append(ScheduleView(name, None, signal, detail | {"error": schedule.why}, [], schedule.why))
            continue
        ahead = [] if signal == "invalid" else list(islice(_runs(house, schedule, now), runs))
        record = msgspec.to_builtins(schedule)
        found.append(ScheduleView(name, record, signal, detail, ahead, _says(schedule, detail, now)))
    return found


def view(house: House, name: str) -> ScheduleView:
    """One schedule with its next runs. Raises Missing, Unreadable."""
    for found in views(house, SHOWN_RUNS):
        if found.name == name:
            return found
    raise Missing(f"no schedule {name!r}: `looop schedule list` shows what there is")


def write(house: House, move: WriteSchedule, journal: str, at: str) -> ScheduleWritten:
    """Write one; `at` is a local time in place of the move's own trigger. Raises Invalid, Unwritable."""
    now, named = house.setting.clock.now(), None
    if at:
        if [move.in_s, move.every_s, move.cron].count(None) != 3:
            raise Invalid(f"schedule {move.name}: a time stands alone, without another trigger")
        zone = checked_zone(local_zone(house.setting.env) if move.tz is None else move.tz)
        named = None if move.tz is None else zone
        move = replace(move, in_s=_moment(at, zone, now, zoned=named is not None) - now, tz=None)
    check_move(move)
    settled = in_zone(house, move, now)
    perform(house, settled, now, journal=journal)
    return ScheduleWritten(settled.summary, next(_runs(house, record_of(settled, now), now, named), None))


def upcoming(house: House, expression: str, tz: str | None) -> list[Run]:
    """The next runs of an expression. Raises Invalid."""
    now = house.setting.clock.now()
    tried = Schedule(cron=expression.strip(), tz=zone_for(house, expression, tz, now), anchor=now)
    return list(islice(_runs(house, tried, now), SHOWN_RUNS))


def _runs(house: House, schedule: Schedule, now: int, named: tzinfo | None = None) -> Iterator[Run]:
    """The runs of a sound schedule after `now`, in its own zone or the machine's; a one-shot in the `named` one."""
    if schedule.at is not None:
        if schedule.at > now:
            yield _run(house, schedule.at, named, now)
        return
    line = line_of(schedule, zone_of)
    zone = zone_of(schedule.tz) if schedule.tz else None
    at = line.following(now)
    while at is not None:
        yield _run(house, at, zone, now)
        at = line.following(at)


def _run(house: House, at: int, zone: tzinfo | None, now: int) -> Run:
    """A moment in words. One that no calendar reaches has its seconds alone."""
    if at > cron.LATEST:
        return Run(at=at, in_s=at - now, time="", words=f"in {span(at - now)}")
    local = datetime.fromtimestamp(at, zone or _machine(house, at))
    words = f"in {span(at - now)}, {local.strftime('%a %d %b %Y %H:%M')}" + (f" {zone}" if zone else "")
    return Run(at=at, in_s=at - now, time=local.isoformat(), words=words)


def _machine(house: House, at: int) -> tzinfo:
    return timezone(timedelta(seconds=house.setting.clock.utc_offset_s(at)))


def _says(schedule: Schedule, detail: dict[str, object], now: int) -> str:
    """The trigger in words, with what becomes of missed runs, or why it is none."""
    if detail["kind"] == "invalid":
        return str(detail.get("why", "expected exactly one of at, every_s (60 at least) and cron"))
    if schedule.at is not None:
        return "once" if schedule.at > now else f"due for {span(now - schedule.at)}, until it is dropped"
    trigger = f"every {_length(schedule.every_s or 0)}" if schedule.cron is None else f"cron {schedule.cron}"
    late = [f"{detail[key]} {key}" for key in ("missed", "skipped") if detail.get(key)]
    return ", ".join([trigger, *([f"catch-up {schedule.catch_up or 'one'}"] if "missed" in detail else []), *late])


def _length(seconds: int) -> str:
    """A length of time as one would write it: `2h`, `90m`, `90s`."""
    exact = (f"{seconds // size}{unit}" for size, unit in ((86400, "d"), (3600, "h"), (60, "m")) if seconds % size == 0)
    return next(exact, f"{seconds}s")


def _moment(text: str, zone: tzinfo, now: int, *, zoned: bool) -> int:
    """The moment of `2026-12-24 18:00`, of `18:00` (the next one), or of RFC 3339.

    Raises Invalid, also for a time with an offset of its own when the zone was named.
    """
    if clock := _CLOCK_TIME.match(text.strip()):
        found = cron.following(cron.parse(f"{int(clock[2])} {int(clock[1])} * * *"), zone, now)
        return now if found is None else found
    try:
        given = datetime.fromisoformat(text.strip())
        at = cron.moment_of(given, zone) if given.tzinfo is None else int(given.astimezone(UTC).timestamp())
    except (ValueError, OverflowError):
        raise Invalid(f"{text!r} is no time: expected 18:00, 2026-12-24 18:00 or 2026-12-24T18:00:00+01:00") from None
    if zoned and given.tzinfo is not None:
        raise Invalid(f"{text!r} has an offset of its own: leave it or --tz out")
    if at <= now:
        raise Invalid(f"{text!r} has passed already: give a time to come")
    return at
