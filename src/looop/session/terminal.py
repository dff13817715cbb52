"""The terminal of one command: our end of it, and what is typed into it.

Note [Both ends]
We hold the command's end, too, for as long as it runs: a command may close its terminal and open it again, and what it
printed last is not lost with its last descriptor.
"""

from __future__ import annotations

import fcntl
import os
import select
import sys
import termios
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from looop.session.supervisor import Supervisor

ENTER_S = 0.3  # some programs take a text and its Enter, arriving together, for a paste
_CHUNK = 65536
_MOST_TYPED = 1 << 20


class Terminal:
    """See the module."""

    def __init__(self, session: Supervisor) -> None:
        self._session = session
        self.fd = self._slave = -1
        self._typed, self._keys = bytearray(), list[tuple[float, bytes]]()
        self.is_over = False

    def open(self, size: tuple[int, int]) -> str:
        """Make the terminal; returns the name under which a command opens it. Raises OSError."""
        self.fd, self._slave = os.openpty()
        os.set_blocking(self.fd, False)
        self.resize(size)
        return os.ttyname(self._slave)

    def let_go(self) -> None:
        """The command is over: from here on the terminal ends with whoever else has it open."""
        os.close(self._slave)

    def resize(self, size: tuple[int, int]) -> None:
        """Give the terminal another size, and tell those in front of it."""
        columns, rows = (number.to_bytes(2, sys.byteorder) for number in size)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, rows + columns + bytes(4))

    def read(self) -> bytes:
        """What was printed; empty when that is nothing, and `is_over` once nobody is left to print."""
        try:
            data = os.read(self.fd, _CHUNK)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        self.is_over = not data
        return data

    def type(self, text: bytes, *, enter: bool = False) -> bool:
        """Type into the terminal, and press Enter a moment later; False when too much waits to be read already.

        What is to be typed meanwhile comes behind that Enter.
        """
        keys, now = self._keys, time.monotonic()
        if len(self._typed) + sum(len(part) for _, part in keys) > _MOST_TYPED:
            return False
        at, is_first = max(now, keys[-1][0] if keys else now), not keys
        keys.append((at, text))
        if enter:
            keys.append((at + ENTER_S, b"\r"))
        if is_first:
            self._press()
        return True

    def write(self) -> None:
        """Type what is to be typed, as far as the terminal takes it now."""
        try:
            while self._typed and not self.is_over:
                del self._typed[: os.write(self.fd, self._typed[:1024])]
        except BlockingIOError:
            pass
        except OSError:
            self._typed.clear()
        if not self.is_over:
            self._session.watch_terminal(select.POLLIN | (select.POLLOUT if self._typed else 0))

    def _press(self) -> None:
        """Type what is due."""
        now = time.monotonic()
        while self._keys and self._keys[0][0] <= now:
            self._typed += self._keys.pop(0)[1]
        self.write()
        if self._keys:
            self._session.later(self._keys[0][0] - now, self._press)
