"""A clock that stands still until the test moves it."""

import time


class StillClock:
    """Implements runtime.clock.Clock. Starts at the machine's time, because files get the machine's mtimes."""

    def __init__(self, now: int | None = None, offset_s: int = 0) -> None:
        self._now = int(time.time()) if now is None else now
        self._offset_s = offset_s

    def now(self) -> int:
        return self._now

    def utc_offset_s(self, ts: int) -> int:
        return self._offset_s

    def move(self, seconds: int) -> None:
        self._now += seconds
