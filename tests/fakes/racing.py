"""Racers: real processes that start each turn in the same instant, and end with the test whatever happens."""

import os
import signal
import struct
import time
import warnings
from collections.abc import Callable
from mmap import mmap

_SLOT = struct.Struct("=q")
_PATIENCE_S = 20


class Track:
    """A few whole numbers that all racers see; each racer writes only its own."""

    def __init__(self) -> None:
        self._memory = mmap(-1, 4096)

    def put(self, slot: int, value: int) -> None:
        _SLOT.pack_into(self._memory, slot * _SLOT.size, value)

    def get(self, slot: int) -> int:
        return int(_SLOT.unpack_from(self._memory, slot * _SLOT.size)[0])

    def meet(self, me: int, other: int, turn: int) -> None:
        """Return when both have come to this turn, at most some microseconds apart; fail where the other is gone."""
        self.put(me, turn)
        limit = time.monotonic() + _PATIENCE_S
        while self.get(other) < turn:
            assert time.monotonic() < limit, f"racer {other} did not come to turn {turn}"
            os.sched_yield()


def side_by_side(*runs: Callable[[], bytes]) -> list[bytes]:
    """What each run returned, each in a process of its own. Fails when one of them raised."""
    racers = [_start(run) for run in runs]
    told = []
    try:
        for _, answer in racers:
            with os.fdopen(answer, "rb") as file:
                told.append(file.read())
    except BaseException:
        for pid, _ in racers:
            os.kill(pid, signal.SIGKILL)
        raise
    finally:
        ends = [os.waitpid(pid, 0)[1] for pid, _ in racers]
    assert not any(ends), "a racer failed; its traceback is above"
    return told


def _start(run: Callable[[], bytes]) -> tuple[int, int]:
    answer, tell = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a racer uses no thread of the parent's
        pid = os.fork()
    if pid:
        os.close(tell)
        return pid, answer
    status = 1
    try:
        with os.fdopen(tell, "wb") as file:
            file.write(run())
        status = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(status)
