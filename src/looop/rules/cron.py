"""Cron expressions: what one says, and when it runs in a zone. The zone's rules are handed in as a tzinfo.

Five fields: minute, hour, day of month, month, day of week; ranges, lists, steps, names, `L`, `LW`, `5L`, `1#2`.

Note [Hours that are skipped or doubled]
A time of day that a zone skips runs once, at the moment the clocks have gone forward; one that it has twice runs the
first time only. An hour field that begins with `*` counts hours as they pass instead: `0 * * * *` runs once in every
real hour, the doubled one and the one after the gap included.

The calendar is walked on local time without a zone, where nothing is skipped or doubled, and each local time is then
turned into its moments. `_swing` bounds how far their order may differ.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any

from msgspec import Struct

from looop.model.errors import Invalid

MAX_CHARS = 400
MOST_COUNTED = 1000
LATEST = 250_000_000_000  # in the year 9892: arithmetic on dates ends with the year 9999
ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FIELDS = {
    "minute": "0-59",
    "hour": "0-23",
    "day-of-month": "1-31, L for the last, LW for the last weekday",
    "month": "1-12 or JAN-DEC",
    "day-of-week": "0-7 or SUN-SAT, 5L for the last Friday, 1#2 for the second Monday",
}
_EPOCH = datetime(1970, 1, 1)
_AROUND_S = 2 * 86400
_MOST_WINDOWS = 8192


class Cron(Struct, frozen=True):
    """A checked expression. `passing`: its hours are counted as they pass (see the note above)."""

    fields: str
    passing: bool

    def backward(self, naive: datetime) -> Iterator[datetime]:
        """The local times it names, from `naive` itself backward."""
        from cronsim import CronSim

        return iter(CronSim(self.fields, naive + timedelta(seconds=1), reverse=True))

    def forward(self, naive: datetime) -> Iterator[datetime]:
        """The local times it names after `naive`."""
        from cronsim import CronSim

        return iter(CronSim(self.fields, naive))


class Window(Struct, frozen=True):
    """The last run at or before `since`, and the first after it; None where there is none within 50 years."""

    since: int
    run: int | None
    next: int | None


@lru_cache(maxsize=4096)
def parse(expression: str) -> Cron:
    """The expression, or its alias such as `@daily`. Raises Invalid, which names the field at fault."""
    fields = _five_fields(expression)
    if not _works(fields):
        raise Invalid(f"cron {expression!r}: {_fault(fields)}")
    return Cron(fields=" ".join(fields), passing=fields[1].startswith("*"))


def window(cron: Cron, zone: tzinfo, now: int) -> Window:
    """The runs around `now`. What was found holds until the next run, and is kept so long."""
    now = min(max(now, 0), LATEST)
    if found := _known(cron, zone, now):
        return found
    if len(_windows) >= _MOST_WINDOWS:
        _windows.clear()
    run = latest(cron, zone, now)
    found = Window(since=now if run is None else run, run=run, next=following(cron, zone, now))
    _windows[cron.fields, zone] = found
    return found


def latest(cron: Cron, zone: tzinfo, now: int) -> int | None:
    """The last run at or before `now`, None when there is none within 50 years."""
    now = min(max(now, 0), LATEST)
    low, high = _swing(zone, now)
    best: int | None = None
    for naive in cron.backward(_EPOCH + timedelta(seconds=now + high)):
        past = [moment for moment in _moments(cron, zone, naive) if moment <= now]
        best = max([*past, *([] if best is None else [best])], default=None)
        if best is not None and (low == high or _seconds(naive) - low <= best):
            return best
    return best


def following(cron: Cron, zone: tzinfo, after: int) -> int | None:
    """The first run after that moment, None when there is none within 50 years."""
    after = min(max(after, 0), LATEST)
    if known := _known(cron, zone, after):
        return known.next
    low, high = _swing(zone, after)
    best: int | None = None
    for naive in cron.forward(_EPOCH + timedelta(seconds=after + low)):
        ahead = [moment for moment in _moments(cron, zone, naive) if moment > after]
        best = min([*ahead, *([] if best is None else [best])], default=None)
        if best is not None and (low == high or _seconds(naive) - high >= best):
            return best
    return best


@lru_cache(maxsize=4096)
def earlier(cron: Cron, zone: tzinfo, run: int, by: int) -> int:
    """The run so many runs before `run`, or the first there is."""
    for _ in range(by):
        run = latest(cron, zone, run - 1) or run
    return run


@lru_cache(maxsize=4096)
def count(cron: Cron, zone: tzinfo, after: int, before: int) -> int:
    """How many runs lie between the two moments, both left out; at most MOST_COUNTED are counted."""
    found = 0
    at = following(cron, zone, after)
    while at is not None and at < before and found < MOST_COUNTED:
        found += 1
        at = following(cron, zone, at)
    return found


def moment_of(naive: datetime, zone: tzinfo) -> int:
    """UTC seconds of a local time: the first of two, the end of the gap for one that is skipped."""
    first, second = (_utc(naive, zone, fold) for fold in (0, 1))
    return first if first <= second else _end_of_gap(zone, second, first)


def offset_s(zone: tzinfo, at: int) -> int:
    """Seconds local time is ahead of UTC at a moment."""
    offset = datetime.fromtimestamp(at, zone).utcoffset()
    return int(offset.total_seconds()) if offset else 0


def stamp(moment: int, zone: tzinfo) -> str:
    """RFC 3339 in local time with its offset."""
    return datetime.fromtimestamp(moment, zone).isoformat()


def from_stamp(text: Any) -> int | None:
    """The moment of such a stamp, None for anything else."""
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return int(found.timestamp()) if found.tzinfo else None


_windows: dict[tuple[str, tzinfo], Window] = {}


def _known(cron: Cron, zone: tzinfo, at: int) -> Window | None:
    found = _windows.get((cron.fields, zone))
    return found if found and found.since <= at and (found.next is None or at < found.next) else None


def _five_fields(expression: str) -> list[str]:
    if len(expression) > MAX_CHARS:
        raise Invalid(f"the cron expression has {len(expression)} characters: at most {MAX_CHARS} are allowed")
    text = expression.strip()
    if text.startswith("@"):
        if text.lower() not in ALIASES:
            raise Invalid(f"cron {expression!r}: no such word: expected one of {', '.join(ALIASES)}, or five fields")
        text = ALIASES[text.lower()]
    fields = text.split()
    if len(fields) != len(_FIELDS) or not text.isascii():
        given = f"{len(fields)} fields" if text.isascii() else "signs that are not ASCII"
        raise Invalid(f"cron {expression!r} has {given}: expected five, {', '.join(_FIELDS)}, as in '30 2 * * *'")
    return fields


def _fault(fields: list[str]) -> str:
    """What is wrong, where, and what belongs there: each field is tried alone, since cronsim says little."""
    for n, (name, expected) in enumerate(_FIELDS.items()):
        if not _works(["*"] * n + [fields[n]] + ["*"] * (4 - n)):
            return f"field {n + 1} ({name}) is {fields[n]!r}: expected {expected}, or *, lists, a-b, */n"
    return f"it never runs: no month that field 4 ({fields[3]}) names has a day {fields[2]}"


def _works(fields: list[str]) -> bool:
    from cronsim import CronSim, CronSimError

    try:
        CronSim(" ".join(fields), _EPOCH)
    except (CronSimError, ValueError, AssertionError):
        return False
    return True


def _moments(cron: Cron, zone: tzinfo, naive: datetime) -> list[int]:
    """When it runs for the sake of this local time. See Note [Hours that are skipped or doubled]."""
    first, second = _utc(naive, zone, 0), _utc(naive, zone, 1)
    if first < second:
        return [first, second] if cron.passing else [first]
    if first > second:
        return [] if cron.passing else [_end_of_gap(zone, second, first)]
    return [first]


def _swing(zone: tzinfo, at: int) -> tuple[int, int]:
    """The least and the greatest offset around a moment: one where the clocks stay as they are."""
    offsets = [offset_s(zone, moment) for moment in (at - _AROUND_S, at, at + _AROUND_S)]
    return min(offsets), max(offsets)


def _end_of_gap(zone: tzinfo, before: int, after: int) -> int:
    """The moment the clocks go forward, which lies behind `before` and not behind `after`."""
    old = offset_s(zone, before)
    while after - before > 1:
        middle = (before + after) // 2
        before, after = (middle, after) if offset_s(zone, middle) == old else (before, middle)
    return after


def _utc(naive: datetime, zone: tzinfo, fold: int) -> int:
    return int(naive.replace(tzinfo=zone, fold=fold).timestamp())


def _seconds(naive: datetime) -> int:
    return int(naive.replace(tzinfo=UTC).timestamp())
