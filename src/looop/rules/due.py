"""When a schedule is due, and what of it wakes the loop. Level-triggered: nothing fires, a state is read.

Source: spec/workers.md §11, edge cases 213-219.
"""

from collections.abc import Iterable
from typing import Any

from looop.model.decision import MIN_EVERY_S
from looop.model.records import Fault, Schedule

Probe = tuple[Any, dict[str, Any]]


def probe(schedule: Schedule | Fault, now: int) -> Probe:
    """The (signal, detail) of one schedule at `now`."""
    if isinstance(schedule, Fault):
        return "unparseable", {"kind": "unparseable"}
    if (schedule.at is None) == (schedule.every_s is None):
        return "invalid", {"kind": "invalid", "note": schedule.note}
    if schedule.at is not None:
        return _one_shot(schedule.at, schedule.note, now)
    return _recurring(schedule.every_s or 0, schedule.anchor or 0, schedule.note, now)


def next_due(schedules: Iterable[Schedule | Fault], now: int) -> int | None:
    """The first moment after `now` at which a schedule's signal changes, None when none will."""
    moments = []
    for schedule in schedules:
        signal, detail = probe(schedule, now)
        if signal == "pending":
            moments.append(now + detail["due_in_s"])
        elif isinstance(signal, dict):
            moments.append(now + (detail["next_due_in_s"] or detail["every_s"]))
    return min(moments, default=None)


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
