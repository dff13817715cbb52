"""A command to run and how it ended, as values; and the wish to end. Running is the business of runtime/proc.py."""

import select
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Protocol

from msgspec import Struct

OnChunk = Callable[[bytes], None]
OnTick = Callable[[], None]


class Command(Struct, frozen=True):
    """What to run. `deadline_s` and `flood`: 0 is never. `stdin` names a file, None is /dev/null; `feed` goes there
    instead, and is on no disk.

    All that it starts is found by `mark` (see session/kin.py), one of its own unless it is given.
    """

    argv: Sequence[str]
    cwd: str
    env: Mapping[str, str] | None = None
    stdin: str | None = None
    feed: bytes = b""
    deadline_s: int = 0
    keep: int = 65536
    keep_end: bool = False
    keep_errors: int = 1024
    merge_errors: bool = False
    flood: int = 0
    mark: str = ""


class Ended(Struct, frozen=True):
    """How a run ended. Only `code == 0` with none of the reasons set is a success.

    `signal` is set only when the OS reports one. `flooded`: the output went over the limit, whenever that was
    noticed. `output` is the kept part of `output_bytes`, `errors` the tail of stderr.
    """

    code: int | None = None
    signal: int | None = None
    timed_out: bool = False
    flooded: bool = False
    stopped: bool = False
    spawn_error: str = ""
    output: bytes = b""
    output_bytes: int = 0
    errors: bytes = b""
    seconds: float = 0.0


class Stop(Protocol):
    """A wish to end. `fileno` becomes readable when it comes up; -1 when it has to be polled."""

    def requested(self) -> bool: ...
    def fileno(self) -> int: ...


def pause(stop: Stop, seconds: float) -> bool:
    """Let `seconds` pass, or less when a stop is requested; says whether it is."""
    deadline = monotonic() + seconds
    fds = [stop.fileno()] if stop.fileno() >= 0 else []
    while not stop.requested() and (left := deadline - monotonic()) > 0:
        select.select(fds, [], [], left)
    return stop.requested()
