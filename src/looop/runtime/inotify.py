"""The kernel's own reports of changed files on Linux: no thread, no library, and little more than a descriptor.

Source: inotify(7).
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Literal

Kind = Literal["all", "placed", "gone"]
Event = tuple[Any, str]

_MODIFY, _CLOSE_WRITE, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x2, 0x8, 0x40, 0x80, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF, _UNMOUNT, _OVERFLOW, _IGNORED, _ISDIR = 0x400, 0x800, 0x2000, 0x4000, 0x8000, 0x40000000
_ONLYDIR = 0x01000000
_LOST = _DELETE_SELF | _MOVE_SELF | _UNMOUNT | _OVERFLOW | _IGNORED
_PLACED = _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _DELETE
_MASKS: dict[Kind, int] = {"all": _PLACED | _CREATE | _MODIFY, "placed": _PLACED, "gone": _DELETE}
_HEAD = 16


class Inotify:
    """Reports of the folders that are watched. Every method raises OSError where the kernel refuses."""

    def __init__(self) -> None:
        import ctypes

        self._libc, self._errno = ctypes.CDLL(None, use_errno=True), ctypes.get_errno
        self._fd = self._call("inotify_init1", os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        """Readable when there is something to take."""
        return self._fd

    def watch(self, path: str, kind: Kind) -> int:
        """Report what changes in this folder from now on: everything, files that are put in place whole or closed
        after writing, or only removals. The fewer, the fewer sleepers wake for what is not theirs.
        """
        mask = _MASKS[kind] | _DELETE_SELF | _MOVE_SELF | _ONLYDIR
        return self._call("inotify_add_watch", self._fd, os.fsencode(path), mask)

    def unwatch(self, watch: int) -> None:
        """Report no more about this folder."""
        self._call("inotify_rm_watch", self._fd, watch)

    def take(self) -> list[Event]:
        """What was reported since the last time: the watch and the file's name, no name for the folder itself, which
        is gone or another one. A watch of -1: reports were lost.
        """
        events: list[Event] = []
        with suppress(BlockingIOError):
            while data := os.read(self._fd, 65536):
                events += _events(data)
        return events

    def close(self) -> None:
        """Give everything back."""
        os.close(self._fd)

    def _call(self, name: str, *arguments: int | bytes) -> int:
        result: int = getattr(self._libc, name)(*arguments)
        if result < 0:
            number = self._errno()
            raise OSError(number, os.strerror(number))
        return result


def _events(data: bytes) -> Iterator[Event]:
    at = 0
    while at < len(data):
        watch, mask, _, length = memoryview(data)[at : at + _HEAD].cast("i")
        at += _HEAD + length
        if mask & _LOST:
            yield watch, ""
        elif not mask & _ISDIR:
            yield watch, os.fsdecode(data[at - length : at].rstrip(b"\0"))
