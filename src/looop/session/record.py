"""What a session keeps in `sessions/<id>/`: who runs it, and how it stands. Source: spec/workers.md §3.2.

`meta.json` never changes; `status.json` is replaced in one step. A folder has its name only once its first records are
in it: it is made under another name, and to be renamed is to win the id.

Note [Full disk]
The status takes a fixed room, so that the last word of a session can be written over the one before it where the disk
has no place for another file. A reader that meets half of each finds no JSON, and looks again.
"""

from __future__ import annotations

import os
import time

from looop.session.light import dumps, loads

META, STATUS, LOG, OLDER_LOG = "meta.json", "status.json", "output.log", "output.log.1"
STARTING, RUNNING, EXITED, KILLED = "starting", "running", "exited", "killed"
ENDED = (EXITED, KILLED)
TEMP = ".tmp"
_ROOM = 1024


class Folder:
    """The folder of one session, held open: it stays the same wherever it is moved."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        self._status = -1

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self.fd)
        if self._status >= 0:
            os.close(self._status)

    def is_gone(self) -> bool:
        """Whether somebody removed it."""
        try:
            return os.fstat(self.fd).st_nlink == 0
        except OSError:
            return True

    def write_meta(self, record: dict[str, object]) -> None:
        """Who this session is. Raises OSError."""
        os.close(self._replace(META, _line(record)))

    def write_status(self, record: dict[str, object]) -> None:
        """How it stands; over the status before where the disk is full. Raises OSError. See Note [Full disk]."""
        data = _line(record).rstrip().ljust(_ROOM - 1) + b"\n"
        try:
            fd = self._replace(STATUS, data)
        except OSError:
            if self._status < 0 or len(data) > _ROOM or self.is_gone():
                raise
            os.pwrite(self._status, data, 0)
            return
        if self._status >= 0:
            os.close(self._status)
        self._status = fd

    def _replace(self, name: str, data: bytes) -> int:
        temp = f".{name}.{os.getpid()}{TEMP}"
        fd = os.open(temp, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644, dir_fd=self.fd)
        try:
            os.write(fd, data)
            os.rename(temp, name, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        except OSError:
            os.close(fd)
            os.unlink(temp, dir_fd=self.fd)
            raise
        return fd


def _line(record: dict[str, object]) -> bytes:
    return dumps(record).encode("ascii") + b"\n"


def read_record(path: str) -> dict[str, object] | None:
    """The record in a file, None when there is none. Raises OSError, and ValueError for what is not one."""
    for last in (False, True):
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        with open(fd, "rb") as file:
            data = file.read(1 << 20)
        try:
            value = loads(data)
        except ValueError:
            if last:
                raise
            continue
        if isinstance(value, dict):
            return value
        raise ValueError("not a JSON object")
    return None


def stamp(ts: float) -> str:
    """RFC 3339 UTC to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ts))
