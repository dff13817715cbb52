"""From a wished schedule to its record: its zone by name, and an expression that runs some day."""

from msgspec.structs import replace

from looop.model.errors import Invalid
from looop.model.moves import WriteSchedule
from looop.model.records import Schedule
from looop.rules import cron
from looop.runtime.zones import checked_zone, local_zone
from looop.state.house import House

_MAX_TIME = 2**62


def in_zone(house: House, move: WriteSchedule, now: int) -> WriteSchedule:
    """The move with the zone it means, the machine's where it names none, so that it keeps its meaning elsewhere.

    Raises Invalid for an expression that is none or never runs, and for a zone nobody knows here.
    """
    if move.cron is None:
        return move
    try:
        tz = zone_for(house, move.cron, move.tz, now)
    except Invalid as error:
        raise Invalid(f"schedule {move.name} not written: {error}") from None
    return replace(move, cron=move.cron.strip(), tz=tz)


def zone_for(house: House, expression: str, tz: str | None, now: int) -> str:
    """The name of the zone in which an expression runs, the machine's where `tz` is None.

    Raises Invalid for an expression that is none or never runs, and for a zone nobody knows here.
    """
    spec = cron.parse(expression)
    name = local_zone(house.setting.env) if tz is None else tz
    if cron.following(spec, checked_zone(name), now) is None:
        raise Invalid(f"cron {expression!r}: it never runs: there is no such day in the next 50 years")
    return name


def record_of(move: WriteSchedule, now: int) -> Schedule:
    """What is kept for a move that is checked and in its zone."""
    if move.in_s is not None:
        return Schedule(at=min(now + move.in_s, _MAX_TIME), note=move.note)
    return Schedule(
        every_s=move.every_s, cron=move.cron, tz=move.tz, anchor=now, catch_up=move.catch_up, note=move.note
    )
