"""Leases as a worker asks for them: take one, give it up. Source: spec/workers.md §8."""

from collections.abc import Callable
from functools import partial

from looop.config.session import session_id
from looop.model.errors import Refused, Unreadable
from looop.runtime.command import pause
from looop.state.house import House
from looop.state.leases import HeldByLive, Won


def claim(house: House, name: str, session: str | None = None, say: Callable[[str], object] | None = None) -> str:
    """`claimed <name>`, nothing where the session had the lease already; `say` hears of a session that does not live.

    Without `session` it is the one of the environment. Raises Refused naming the holder, Invalid, Unreadable,
    Unwritable.
    """
    now, wait, whose = house.setting.clock.now(), partial(pause, house.setting.stop), _session(house, session)
    claimed = house.leases.claim(name, whose, now, house.fleet.is_alive, wait)
    if isinstance(claimed, HeldByLive):
        raise Refused(f"claim {name}: held by live session {claimed.holder!r}")
    if say and _is_dead(house, whose):
        say(f"there is no live session {whose!r}: the next beat takes the lease {name} away again")
    return f"claimed {name}" if isinstance(claimed, Won) else ""


def unclaim(house: House, name: str, session: str | None = None) -> None:
    """Give a lease up; one that is nobody's is fine. Raises Refused, Invalid, Unreadable, Unwritable."""
    if not house.leases.unclaim(name, _session(house, session), house.fleet.is_alive):
        raise Refused(f"unclaim {name}: not given up: held by {_holder(house, name)}")


def _holder(house: House, name: str) -> str:
    """Who holds a lease right now, as words."""
    record = house.leases.all().get(name)
    holder = record.get("session") if isinstance(record, dict) else None
    return f"live session {holder!r}" if holder else "another session, which took it just now"


def _session(house: House, session: str | None) -> str:
    return session_id(house.setting.env) if session is None else session


def _is_dead(house: House, session: str) -> bool:
    """Whether it is known not to live."""
    try:
        return not house.fleet.is_alive(session)
    except Unreadable:
        return False
