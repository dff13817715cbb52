"""A worker as everybody sees it: the reading, the verbs, the clients."""

from typing import Literal

from msgspec import Struct

PULSE = "pulse"  # the session of this id is the loop itself, no worker


class WorkerRow(Struct, frozen=True):
    """One worker. `health` is busy, waiting-ask, stuck or dead, `derived_from` says from what that follows.

    None is not known, or not so: `verify` without a verdict, `ask` when it waits for none. `idle_s` is the silence that
    counts, without the machine's sleep; `uptime_s` of the dead ends with their end.
    """

    id: str
    state: str
    alive: bool
    exit_code: int | None
    signal: int | None
    health: str
    derived_from: str
    verify: Literal["pass", "fail"] | None = None
    verify_output: str = ""
    started_at: int | None = None
    idle_s: int | None = None
    uptime_s: int | None = None
    ask: str | None = None
    ask_age_s: int | None = None
    pending_tells: int = 0
