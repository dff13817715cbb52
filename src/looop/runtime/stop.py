"""The wish to end: signal handlers set a flag and wake whoever waits; nothing else happens inside a handler.

Note [Wakeup]: Python runs a handler between two bytecodes. A signal that lands just before a wait begins would
be seen only when the wait is over, so the interpreter itself also writes to the pipe, from the real signal
handler. It does so for every signal with a Python handler; `requested` throws such stray bytes away.
"""

import os
import signal
from contextlib import suppress
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class StopFlag:
    """Implements `runtime.command.Stop`. Once requested it stays so.

    Whoever sees `fileno` readable asks `requested`, and goes on waiting when it says no.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._requested = False
        self._seen: set[int] = set()
        self._previous: dict[int, object] = {}
        self._previous_wakeup = -1

    def requested(self) -> bool:
        if not self._requested:
            with suppress(BlockingIOError):
                os.read(self._reader, 4096)
        return self._requested

    def fileno(self) -> int:
        return self._reader

    def request(self) -> None:
        self._requested = True
        with suppress(BlockingIOError):
            os.write(self._writer, b"!")

    def install(self) -> None:
        """SIGTERM, SIGINT and SIGHUP request a stop from here on; SIGHUP not under nohup. Main thread only."""
        self._previous_wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in _SIGNALS:
            if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue
            self._previous[number] = signal.signal(number, self._on_signal)

    def restore(self) -> None:
        """Put back what `install` found."""
        if not self._previous:
            return
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._previous.clear()
        signal.set_wakeup_fd(self._previous_wakeup)

    def close(self) -> None:
        """Restore, and give the pipe back."""
        self.restore()
        os.close(self._reader)
        os.close(self._writer)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        """Request a stop; the same signal again ends the process as if there were no handler."""
        if number in self._seen:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self._seen.add(number)
        self.request()
