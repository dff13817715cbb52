"""The transcript: what a session printed, byte for byte, bounded.

Note [Rotation]
`output.log` grows to its bound, becomes `output.log.1` in the place of the one before, and begins anew, so between one
and two bounds of output are kept. A terminal cannot be replayed from the middle of its output without the modes it
was put into, so a generation begins with a mark of its own and the private modes that are in force; those are
read from the generation before. A program that draws on the whole screen has drawn all of it within a bound.

Note [Marks]
`ESC _ looop;size=80x24;offset=1234 ESC \\` stands at the start of every generation but the first, and wherever the size
changed (without the offset, which counts the session's bytes before the generation). Terminals ignore such a string.
`lost=N` says that the disk took N bytes less than were printed.
"""

from __future__ import annotations

import os

from looop.session.record import LOG, OLDER_LOG, Folder

_ESC = b"\x1b"
_CHUNK = 1 << 17
_LONGEST_MODE = 64
_SET_AT_FIRST = (b"7", b"25")  # wrapping, and a visible cursor


class Transcript:
    """Appends to the log; what goes wrong costs output, never the session. `max_bytes` 0 is no bound."""

    def __init__(self, folder: Folder, size: tuple[int, int], max_bytes: int) -> None:
        self._folder, self._max = folder, max_bytes
        self.size = size
        self.total = self._in_generation = 0
        self.problem = ""
        self._lost = 0
        self._fd = self._open()
        if size != (80, 24):
            self._append(_mark(f"size={size[0]}x{size[1]}"))
            self._in_generation = 0

    def write(self, data: bytes) -> None:
        """Keep what was printed."""
        self._make_room()
        if self._lost and not self._append(_mark(f"lost={self._lost}")):
            self._lost = 0
        self._lost += len(data) if self._lost else self._append(data)

    def resize(self, size: tuple[int, int]) -> None:
        """From here on the terminal has another size."""
        self._make_room()
        self.size = size
        self._append(_mark(f"size={size[0]}x{size[1]}"))

    def is_removed(self) -> bool:
        """Whether the log is no longer in the folder: somebody removed it, or all of it."""
        return self._fd >= 0 and os.fstat(self._fd).st_nlink == 0

    def reopen(self) -> None:
        """Begin another log in the place of one that was removed."""
        os.close(self._fd)
        self._fd, self._in_generation = self._open(), 0

    def tail(self, count: int) -> bytes:
        """The last bytes of the log as it is now."""
        try:
            end = os.fstat(self._fd).st_size
            return os.pread(self._fd, count, max(end - count, 0))
        except OSError:
            return b""

    def _open(self) -> int:
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK
            return os.open(LOG, flags, 0o644, dir_fd=self._folder.fd)
        except OSError as error:
            self.problem = f"{LOG}: {error.strerror}"
            return -1

    def _append(self, data: bytes) -> int:
        """How many bytes the disk did not take; those it took stay."""
        if self._fd < 0:
            self._fd = self._open()
        view = memoryview(data)
        try:
            while view and self._fd >= 0:
                taken = os.write(self._fd, view)
                self._in_generation += taken
                self.total += taken
                view = view[taken:]
        except OSError as error:
            self.problem = f"{LOG}: {error.strerror}"
        return len(view)

    def _make_room(self) -> None:
        if not self._max or self._in_generation < self._max:
            return
        modes = b""
        try:
            modes = self._modes()
            os.rename(LOG, OLDER_LOG, src_dir_fd=self._folder.fd, dst_dir_fd=self._folder.fd)
        except OSError as error:
            self.problem = f"{OLDER_LOG}: {error.strerror}"
            os.ftruncate(self._fd, 0)
        self.reopen()
        self._append(_mark(f"size={self.size[0]}x{self.size[1]};offset={self.total}") + modes)
        self._in_generation = 0

    def _modes(self) -> bytes:
        """The private modes that are not as at first at the end of this generation, as sequences that make them so."""
        found: dict[bytes, bool] = {}
        rest, at = b"", 0
        while chunk := os.pread(self._fd, _CHUNK, at):
            at += len(chunk)
            rest = _note_modes(rest + chunk, found)
        return b"".join(
            _ESC + b"[?" + mode + (b"h" if is_set else b"l")
            for mode, is_set in found.items()
            if is_set != (mode in _SET_AT_FIRST)
        )


def _note_modes(data: bytes, found: dict[bytes, bool]) -> bytes:
    """Note which modes are set and reset in `data`; returns an unfinished sequence at its end."""
    reset = data.rfind(_ESC + b"c")
    if reset >= 0:
        found.clear()
        data = data[reset + 2 :]
    start = data.find(_ESC + b"[?")
    while start >= 0:
        end = start + 3
        while data[end : end + 1].isdigit() or data[end : end + 1] == b";":
            end += 1
        final = data[end : end + 1]
        if not final and end - start < _LONGEST_MODE:
            return data[start:]
        if final in (b"h", b"l"):
            for mode in data[start + 3 : end].split(b";"):
                found.pop(mode, None)
                found[mode] = final == b"h"
        start = data.find(_ESC + b"[?", end)
    return data[-2:]


def _mark(text: str) -> bytes:
    return _ESC + b"_looop;" + text.encode() + _ESC + b"\\"
