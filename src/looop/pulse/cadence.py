"""The sleep between two beats: until something is due, or something changes. Source: spec/beat.md §15."""

from contextlib import suppress
from time import monotonic

from looop.model.errors import LooopError, Unreadable
from looop.model.records import Fault, NextWake
from looop.rules.cadence import sleep_until
from looop.rules.due import next_due
from looop.runtime.watch import Watcher
from looop.runtime.zones import zone_of
from looop.session.record import ENDS
from looop.state.guards import WAKE
from looop.state.house import House

WATCHED = ("", "goals", "sensors", "schedules", "asks", "answers")
SETTLE_S = 0.2
_ROOT_FILES = ("PLAYBOOK.md", "config.toml", "config.json", WAKE, ENDS)


def wakes_the_pulse(folder: str, name: str) -> bool:
    """Whether a changed file may mean another beat. The beat's own bookkeeping does not."""
    return name in _ROOT_FILES if folder == "" else not name.startswith(".")


def due_wake(house: House, now: int) -> bytes | None:
    """The exact bytes of a wake that is due, None without one. A wake that cannot be understood is removed."""
    try:
        found = house.guards.wake()
        if found is None:
            return None
        seen, record = found
        if isinstance(record, Fault):
            house.events.emit("pulse_degraded", error=f"{record.why}: removed")
            house.guards.drop_wake(seen)
            return None
    except LooopError as error:
        house.events.emit("pulse_degraded", error=str(error))
        return None
    return seen if record.due <= now else None


def sleep(house: House, watcher: Watcher, interval_s: int) -> None:
    """Wait for the next beat: the interval, an earlier deadline, a changed file, or a stop, whichever comes first."""
    clock, stop = house.setting.clock, house.setting.stop
    began, now = monotonic(), clock.now()
    while not stop.requested():
        until = sleep_until(now, interval_s, _deadlines(house, now))
        left = until - now - (monotonic() - began)
        changed = watcher.wait(max(left, 0), stop, SETTLE_S)
        if changed != {WAKE}:
            break
    late = clock.now() - now - interval_s
    if late > max(interval_s, 60):
        house.events.emit("late_beat", late_s=late)


def _deadlines(house: House, now: int) -> list[int | None]:
    """When a wake and a schedule are due. What cannot be read has no deadline: the interval is the net."""
    deadlines: list[int | None] = []
    with suppress(Unreadable):
        found = house.guards.wake()
        deadlines.append(found[1].due if found and isinstance(found[1], NextWake) else None)
    with suppress(Unreadable):
        deadlines.append(next_due(house.schedules.all().values(), now, zone_of))
    return deadlines
