"""A clock that stands still until the test moves it."""

import time


class StillClock:
    """Implements runtime.clock.Clock. Starts at the machine's time, because files get the machine's mtimes."""

    def __init__(self, now: int | None = None, offset_s: int = 0) -> None:
        self._now = int(time.time()) if now is None else now
        self._offset_s = offset_s
        self._asleep_s, self._boot = 0.0, "boot-1"

    def now(self) -> int:
        return self._now

    def utc_offset_s(self, ts: int) -> int:
        return self._offset_s

    def asleep_s(self) -> float:
        return self._asleep_s

    def boot(self) -> str:
        return self._boot

    def move(self, seconds: int) -> None:
        self._now += seconds

    def suspend(self, seconds: int) -> None:
        """The machine sleeps so long."""
        self._now += seconds
        self._asleep_s += seconds

    def reboot(self, boot: str, asleep_s: float = 0.0) -> None:
        """The machine starts anew, and may have slept since."""
        self._boot, self._asleep_s = boot, asleep_s
