"""The clock: the only reader of the time of day. Everything else takes `now` as an argument.

Times are integer UTC seconds, truncated. People see local time. Source: design §8, edge cases 86, 265.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """What tells the time; tests hand in one that stands still."""

    def now(self) -> int:
        """UTC seconds."""

    def utc_offset_s(self, ts: int) -> int:
        """Seconds local time is ahead of UTC at `ts`."""


class SystemClock:
    """The machine's clock and time zone."""

    def now(self) -> int:
        return int(time.time())

    def utc_offset_s(self, ts: int) -> int:
        return time.localtime(ts).tm_gmtoff


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
