"""How every worker fares, for the reading `sys-sessions` and for whoever lists workers. Writes nothing.

Source: spec/workers.md §5, spec/beat.md §4.
"""

from collections import Counter
from typing import Literal

from msgspec import Struct

from looop.model.errors import Unreadable
from looop.model.records import Ask, Awake, Fault
from looop.model.workers import PULSE, WorkerRow
from looop.rules.health import Sleep, Waits, ending, health, silence_of
from looop.session.fleet import Session
from looop.state.house import House

_BLIND = "; the asks cannot be read, so it may as well wait for an answer"


def worker_rows(house: House, now: int, pending: list[Ask] | None = None) -> list[WorkerRow]:
    """Every worker, the dead included, by id; the pulse is none. Raises Unreadable when nobody can tell who is there.

    `pending` are the asks that wait, where somebody has read them already. A mailbox that cannot be read blocks nobody:
    `derived_from` says so, and `sys-asks` is an error then.
    """
    sessions = [session for session in house.fleet.all() if session.id != PULSE]
    asks = _first_asks(_pending(house, sessions, now) if pending is None else pending)
    around = _Around(asks, _tells(house), sleep_of(house), house.setting.knobs.worker_stuck_secs, now)
    return [_row(house, session, around) for session in sorted(sessions, key=lambda session: session.id)]


def sleep_of(house: House) -> Sleep:
    """What is known of this machine's sleep."""
    found, clock = house.guards.awake(), house.setting.clock
    return Sleep(found if isinstance(found, Awake) else None, clock.asleep_s(), clock.boot())


class _Around(Struct, frozen=True):
    """What concerns all workers. `asks` holds the first that blocks each of them; None when they cannot be read."""

    asks: dict[str, Ask] | None
    tells: Counter[str]
    sleep: Sleep
    threshold_s: int
    now: int


def _row(house: House, session: Session, around: _Around) -> WorkerRow:
    now, alive = around.now, session.alive
    ask = around.asks.get(session.id) if alive and around.asks else None
    waits = Waits(ask.id, max(now - ask.ts, 0)) if ask else None
    silence = silence_of(session.output_at, around.sleep, now)
    ended = ending(session.state, session.exit_code, session.signal)
    fares = health(alive, waits, silence, around.threshold_s, ended=ended)
    verdict, output = (None, "") if alive else _verdict(house, session.id)
    return WorkerRow(
        id=session.id,
        state=session.state,
        alive=alive,
        exit_code=session.exit_code,
        signal=session.signal,
        health=fares.word,
        derived_from=fares.derived_from + (_BLIND if alive and around.asks is None else ""),
        verify=verdict,
        verify_output=output,
        started_at=session.started_at,
        idle_s=silence.counted_s if silence else None,
        uptime_s=_uptime(session, now),
        ask=waits.ask if waits else None,
        ask_age_s=waits.age_s if waits else None,
        pending_tells=around.tells[session.id],
    )


def _uptime(session: Session, now: int) -> int | None:
    until = now if session.alive else session.last_change
    return None if session.started_at is None or until is None else max(until - session.started_at, 0)


def _verdict(house: House, worker: str) -> tuple[Literal["pass", "fail"] | None, str]:
    """The verdict and what a failed one printed. One that cannot be read is never a pass; a torn one is made anew."""
    found = house.verify.result(worker)
    if isinstance(found, Fault):
        return ("fail", found.why) if found.kind == "unreadable" else (None, "")
    if found is None or found.ok:
        return ("pass" if found else None), ""
    return "fail", found.output.strip()


def _pending(house: House, sessions: list[Session], now: int) -> list[Ask] | None:
    living = {session.id: session.started_at for session in sessions if session.alive and session.started_at}
    try:
        return house.mailbox.pending(now, lambda: living).pending
    except Unreadable:
        return None


def _first_asks(pending: list[Ask] | None) -> dict[str, Ask] | None:
    return None if pending is None else {ask.worker: ask for ask in reversed(pending) if not ask.detach}


def _tells(house: House) -> Counter[str]:
    """How many messages wait for each worker; none when they cannot be listed."""
    try:
        return house.tells.waiting()
    except Unreadable:
        return Counter()
