"""Announcing an effect that must not happen twice: before it, and taken back once it is on record. Spec/beat.md §12."""

import os
from collections.abc import Callable
from functools import partial

from looop.model.errors import LooopError
from looop.model.records import Intent
from looop.rules.world import digest
from looop.state.house import House

_SHOWN_CHARS = 200


def intent_of(house: House, kind: str, what: str, now: int) -> Intent:
    """What to announce; its mark is one of its own, by which whatever it starts can be found."""
    return Intent(
        kind=kind,
        fingerprint=digest(what.encode("utf-8", "replace")),
        ts=now,
        shell_timeout_secs=house.setting.knobs.shell_timeout_secs,
        cmd=what[:_SHOWN_CHARS],
        mark=f"{kind}-{os.urandom(8).hex()}",
    )


def announce(house: House, intent: Intent) -> Callable[[], object]:
    """Announce it; what is returned takes it back. One that could not be written does not keep anything from going on.

    Source: edge case 132.
    """
    try:
        token = house.intents.begin(f"{os.getpid()}-{os.urandom(4).hex()}", intent)
    except LooopError as error:
        house.events.emit("guard_degraded", guard=f"announcement of {intent.kind}", error=str(error))
        return _nothing
    return partial(house.best_effort, f"announcement of {intent.kind}", partial(house.intents.end, token, intent))


def _nothing() -> None:
    """There is no announcement to take back."""
