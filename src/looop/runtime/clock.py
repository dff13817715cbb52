"""The clock: the only reader of the time of day. Everything else takes `now` as an argument.

Times are integer UTC seconds, truncated. People see local time. Source: design §8, edge cases 86, 265.
"""

import sys
import time
from contextlib import suppress
from typing import Protocol


class Clock(Protocol):
    """What tells the time; tests hand in one that stands still."""

    def now(self) -> int:
        """UTC seconds."""

    def utc_offset_s(self, ts: int) -> int:
        """Seconds local time is ahead of UTC at `ts`."""

    def asleep_s(self) -> float:
        """Seconds this machine has been suspended since it was started; 0.0 where it does not say.

        Two looks differ by what it slept in between, give or take the moment a look takes. Setting the time of day
        changes nothing.
        """

    def boot(self) -> str:
        """A word that another start of the machine does not share; empty where it has none."""


class SystemClock:
    """The machine's clock and time zone."""

    def now(self) -> int:
        return int(time.time())

    def utc_offset_s(self, ts: int) -> int:
        return time.localtime(ts).tm_gmtoff

    def asleep_s(self) -> float:
        if sys.platform == "linux":
            always, awake = time.CLOCK_BOOTTIME, time.CLOCK_MONOTONIC
        elif sys.platform == "darwin":
            always, awake = time.CLOCK_MONOTONIC, time.CLOCK_UPTIME_RAW
        else:
            return 0.0
        return max(0.0, time.clock_gettime(always) - time.clock_gettime(awake))

    def boot(self) -> str:
        with suppress(OSError), open("/proc/sys/kernel/random/boot_id", encoding="ascii", errors="replace") as file:
            return file.read().strip()
        return ""


def minute_stamp(clock: Clock, ts: int) -> str:
    """`YYYY-MM-DD HH:MM` local time, for the journal."""
    return time.strftime("%Y-%m-%d %H:%M", _local(clock, ts))


def second_stamp(clock: Clock, ts: int) -> str:
    """`YYYYmmdd-HHMMSS` local time, for names of files."""
    return time.strftime("%Y%m%d-%H%M%S", _local(clock, ts))


def wall_clock(clock: Clock, ts: int) -> str:
    """`HH:MM:SS` local time, for log lines."""
    return time.strftime("%H:%M:%S", _local(clock, ts))


def utc_stamp(ts: int) -> str:
    """RFC 3339 UTC to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ts))


def midnight(clock: Clock, ts: int) -> int:
    """When the local day of `ts` began. Source: edge case 55."""
    local = ts + clock.utc_offset_s(ts)
    return ts - local % 86400


def _local(clock: Clock, ts: int) -> time.struct_time:
    return time.gmtime(ts + clock.utc_offset_s(ts))
