"""A terminal with a person in front of it: a program runs on it, keys go in, and what it shows comes out."""

import errno
import os
import select
import struct
import subprocess
import termios
import time
import tty
from collections.abc import Mapping, Sequence
from fcntl import ioctl
from pathlib import Path
from typing import Any

_STEP_S = 0.05


class Terminal:
    """A pseudo-terminal whose program is a child of the test. `seen` is all that it wrote so far."""

    def __init__(
        self,
        words: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        size: tuple[int, int] = (80, 24),
        **streams: Any,
    ) -> None:
        self.fd, self.program_fd = os.openpty()
        self.resize(*size)
        self.before = termios.tcgetattr(self.program_fd)
        ends = {"stdin": self.program_fd, "stdout": self.program_fd, "stderr": self.program_fd} | streams
        self.process = subprocess.Popen(words, cwd=cwd, env=env, start_new_session=True, preexec_fn=self._own, **ends)  # noqa: PLW1509 - no threads here
        self.seen = b""

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size, as dragging a window does."""
        ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self.fd, keys)

    def shows(self, text: bytes, seconds: float = 10) -> None:
        """Return once that was written, behind what was looked for before."""
        limit, at = time.monotonic() + seconds, getattr(self, "_at", 0)
        while text not in self.seen[at:]:
            assert time.monotonic() < limit, f"waited {seconds} s for {text!r}, seen: {self.seen[-2000:]!r}"
            self.read(_STEP_S)
        self._at = self.seen.index(text, at) + len(text)

    def read(self, seconds: float) -> bytes:
        """What it writes within that time, or until there is a pause."""
        if not select.select([self.fd], [], [], seconds)[0]:
            return b""
        try:
            data = os.read(self.fd, 65536)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            data = b""
        self.seen += data
        return data

    def ends(self, seconds: float = 10) -> int:
        """The program's exit code, once it has ended and all it wrote is seen."""
        limit = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < limit, f"waited {seconds} s for the end, seen: {self.seen[-2000:]!r}"
            self.read(_STEP_S)
        while self.read(0):
            pass
        return self.process.returncode

    @property
    def is_raw(self) -> bool:
        """Whether keys go to the program as they are."""
        return not termios.tcgetattr(self.program_fd)[tty.LFLAG] & (termios.ICANON | termios.ECHO | termios.ISIG)

    @property
    def is_as_before(self) -> bool:
        """Whether the modes are those it had before the program."""
        return termios.tcgetattr(self.program_fd) == self.before

    def hang_up(self) -> None:
        """Close the window."""
        os.close(self.fd)
        os.close(self.program_fd)
        self.fd = -1

    def close(self) -> None:
        """End what still runs, and the terminal with it."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.fd >= 0:
            self.hang_up()

    def _own(self) -> None:
        ioctl(self.program_fd, termios.TIOCSCTTY, 0)
