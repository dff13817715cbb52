"""Handing messages to targets: each in a child of its own, bounded in time, whose memory is given back.

Note [Known to have failed]
Only a child that says so, or was never started, has failed for certain. One that was killed, at its deadline or by
anything else, may have handed its message over: nobody knows, and so it is not made again.
"""

import sys
from importlib.util import find_spec
from typing import Literal

import msgspec
from msgspec import Struct

from looop.contract.delivery import Done, Order
from looop.contract.targets import Target
from looop.model.errors import Invalid, Missing
from looop.model.text import clipped
from looop.runtime.command import Command, Ended
from looop.state.house import House

INSTALL = "pip install 'looop[notify]', or scripts/install --extra notify"
_CHECK_S = 60
_ERROR_CHARS = 300


class Delivered(Struct, frozen=True):
    """How a delivery ended. `unknown`: see Note [Known to have failed]."""

    outcome: Literal["sent", "failed", "unknown"]
    error: str = ""


def require_library(targets: list[Target]) -> None:
    """Raises Missing, with the way to install it, where a target needs the library and it is not there."""
    needy = [target.id for target in targets if not target.is_own]
    if needy and find_spec("apprise") is None:
        raise Missing(f"{needy[0]} needs the notification library, which is not installed: {INSTALL}")


def require_understood(house: House, targets: list[Target]) -> None:
    """Raises Invalid where the library understands a target's URL not; what cannot be told now shows later."""
    asked = [target for target in targets if not target.is_own]
    if not asked:
        return
    ended = _run(house, Order(urls=[target.url for target in asked], limit_s=_CHECK_S))
    done = _done(ended)
    if done and done.bad:
        names = ", ".join(asked[place].id for place in done.bad)
        raise Invalid(f"apprise does not understand {names}: `apprise --details` lists what it takes")


def deliver(house: House, target: Target, order: Order) -> Delivered:
    """Carry out one order for one target and say how it went. Never raises for what the target does."""
    ended = _run(house, order)
    done = _done(ended)
    if done is not None:
        error = clipped(target.without_secrets(done.error), _ERROR_CHARS)
        error = error if done.installed else f"apprise is not installed: {INSTALL}"
        return Delivered("failed", error) if done.error else Delivered("sent")
    if ended.spawn_error:
        return Delivered("failed", f"cannot be started: {ended.spawn_error}")
    if ended.stopped and not ended.seconds:
        return Delivered("failed", "looop ended before it began")
    why = f"no end after {order.limit_s} s" if ended.timed_out else "looop ended" if ended.stopped else _how(ended)
    return Delivered("unknown", f"{why}: it may have arrived")


def _run(house: House, order: Order) -> Ended:
    """Run the child. Python's own search path leaves out the folder it runs in, which workers write to."""
    argv = (sys.executable, "-P", "-m", "looop.contract.delivery")
    feed = msgspec.json.encode(order)
    return house.setting.processes.run(
        Command(argv=argv, cwd="/", env=house.setting.env, feed=feed, deadline_s=order.limit_s, keep_end=True)
    )


def _done(ended: Ended) -> Done | None:
    try:
        return msgspec.json.decode(ended.output.strip().rpartition(b"\n")[2], type=Done)
    except msgspec.DecodeError:
        return None


def _how(ended: Ended) -> str:
    return f"ended by signal {ended.signal}" if ended.signal else f"ended with exit code {ended.code}"
