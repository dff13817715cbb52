"""The system readings: what the loop knows about itself. They never fail and have no deadline. Spec/beat.md §4.

Ages change with every second, so they are detail; only what should wake the loop is signal.
"""

from typing import Any

from looop.model.errors import Unreadable
from looop.model.records import Ask
from looop.model.text import to_json
from looop.model.workers import WorkerRow
from looop.sense.schedules import schedule_reading
from looop.sense.workers import worker_rows
from looop.state.house import House
from looop.state.mailbox import Mail

BEAT_MARK = "sys-goals"  # written by every beat, so its time is the time of the last beat
SYSTEM_STEMS = ("sys-sessions", "sys-claims", "sys-goals", "sys-schedules", "sys-asks")


def system_readings(house: House, now: int) -> dict[str, bytes]:
    """Every system reading by stem, as one line of JSON."""
    mail = _mail(house, now)
    made = {
        "sys-sessions": _sessions(house, now, mail.pending if isinstance(mail, Mail) else None),
        "sys-claims": _claims(house),
        "sys-goals": _goals(house, now),
        "sys-schedules": _schedules(house, now),
        "sys-asks": _asks(mail, now),
    }
    return {stem: to_json(reading) + b"\n" for stem, reading in made.items()}


def _mail(house: House, now: int) -> Mail | Unreadable:
    """The mailbox, read once for all who want to know; what is damaged in it is put on record once."""
    try:
        mail = house.mailbox.pending(now, house.fleet.living)
    except Unreadable as error:
        return error
    for sentence in house.mailbox.unheard(mail.damaged):
        house.events.emit("guard_degraded", guard="mailbox", error=sentence)
    return mail


def _sessions(house: House, now: int, pending: list[Ask] | None) -> dict[str, Any]:
    """A fleet that cannot be listed is an empty list with the reason beside it. Source: spec/workers.md §4."""
    try:
        rows = worker_rows(house, now, pending)
    except Unreadable as error:
        house.events.emit("fleet_list_degraded", error=str(error))
        return {"signal": [], "detail": {"count": 0, "workers": {}, "message": str(error)}}
    signal = [_worker_signal(row) for row in rows]
    return {"signal": signal, "detail": {"count": len(rows), "workers": {row.id: _worker_detail(row) for row in rows}}}


def _worker_signal(row: WorkerRow) -> dict[str, Any]:
    """When it started is part of it: a second worker that ends just as the first did is news."""
    signal = {"id": row.id, "state": row.state, "exit_code": row.exit_code, "health": row.health}
    signal |= {"started_at": row.started_at} if row.started_at is not None else {}
    return signal | ({"verify": row.verify} if row.verify else {})


def _worker_detail(row: WorkerRow) -> dict[str, Any]:
    """What is known and changes with time, so that it wakes nobody."""
    detail = {
        "verify_output": row.verify_output or None,
        "idle_s": row.idle_s,
        "uptime_s": row.uptime_s,
        "ask_age_s": row.ask_age_s,
        "derived_from": row.derived_from,
        "pending_tells": row.pending_tells or None,
    }
    return {key: value for key, value in detail.items() if value is not None}


def _claims(house: House) -> dict[str, Any]:
    try:
        claims = house.leases.all()
    except Unreadable as error:
        return _unreadable(error)
    return {"signal": [{"name": name, "claim": claim} for name, claim in sorted(claims.items())]}


def _goals(house: House, now: int) -> dict[str, Any]:
    try:
        ids = house.goals.ids()
    except Unreadable as error:
        return _unreadable(error)
    acted = house.guards.activity()
    ages = {
        goal: {
            "last_acted_unix": acted.get(goal),
            "age_s": max(now - acted[goal], 0) if goal in acted else None,
        }
        for goal in ids
    }
    return {"signal": {}, "detail": {"goals": ages}}


def _schedules(house: House, now: int) -> dict[str, Any]:
    try:
        return schedule_reading(house, now)
    except Unreadable as error:
        return _unreadable(error)


def _asks(mail: Mail | Unreadable, now: int) -> dict[str, Any]:
    """A question that is settled, or waits for nobody any more, is a change; its age and what is left of it are not."""
    if isinstance(mail, Unreadable):
        return _unreadable(mail)
    detail: dict[str, Any] = {ask.id: _ask_detail(ask, now) for ask in mail.pending}
    detail |= {"stranded": [ask.id for ask in mail.stranded]} if mail.stranded else {}
    return {"signal": {"pending": [ask.id for ask in mail.pending]}, "detail": detail}


def _ask_detail(ask: Ask, now: int) -> dict[str, Any]:
    left = {} if ask.expires is None else {"expires_in_s": ask.expires - now}
    return {"worker": ask.worker, "age_s": max(now - ask.ts, 0), "urgency": ask.urgency} | left


def _unreadable(error: Unreadable) -> dict[str, Any]:
    return {"signal": {"error": True}, "detail": {"message": str(error)}}
