"""What a session keeps in `sessions/<id>/`: who runs it, and how it stands. Source: spec/workers.md §3.2.

`meta.json` never changes; `status.json` is replaced in one step. A folder has its name only once its first records are
in it: it is made under another name, and to be renamed is to win the id.

Note [Full disk]
The status takes a fixed room, so that the last word of a session can be written over the one before it where the disk
has no place for another file. A reader that meets half of each finds no JSON, and looks again.

Note [Power cut]
A folder without a whole `meta.json` is touched by nobody, and would hold its id for ever: so that record is on the disk
itself, content and name, before the folder has its name, and a folder has lost its name there before anything in it
goes. A start is reported once its folder's name is there, or nobody would know that there had been a worker. A status
that is lost with the power is one of the dead.
"""

from __future__ import annotations

import os
import time

from looop.session.kin import birth, is_alive
from looop.session.light import dumps, loads

META, STATUS, LOG, OLDER_LOG = "meta.json", "status.json", "output.log", "output.log.1"
ENDS = ".session-ended"  # in the data dir: touched whenever one has ended, for whoever watches
STARTING, RUNNING, EXITED, KILLED = "starting", "running", "exited", "killed"
ENDED = (EXITED, KILLED)
TEMP = ".tmp"
_ROOM = 1024
_CHUNK, _LARGEST = 1 << 16, 1 << 24  # a command may have as many bytes as the kernel takes


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

    def announce_end(self) -> None:
        """Touch what is watched for the end of sessions; who misses it finds the record at the next look."""
        if self.is_gone():
            return
        try:
            fd = os.open(f"../../{ENDS}", os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK, 0o644, dir_fd=self.fd)
        except OSError:
            return
        os.utime(fd)
        os.close(fd)

    def is_gone(self) -> bool:
        """Whether somebody removed it, or is about to: without `meta.json` nobody finds the session any more."""
        try:
            os.stat(META, dir_fd=self.fd)
        except FileNotFoundError:
            return True
        except OSError:
            pass
        return False

    def write_meta(self, record: dict[str, object]) -> None:
        """Who this session is. Raises OSError. See Note [Power cut]."""
        fd = self._replace(META, _line(record))
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        settle(self.path)

    def write_status(self, record: dict[str, object]) -> None:
        """How it stands; over the status before where the disk is full. Raises OSError. See Note [Full disk]."""
        if self.is_gone():
            raise FileNotFoundError(2, "its folder was removed", self.path)
        data = _line(record).rstrip().ljust(_ROOM - 1) + b"\n"
        try:
            fd = self._replace(STATUS, data)
        except OSError:
            fd = self._overwrite(STATUS, data)
        if self._status >= 0:
            os.close(self._status)
        self._status = fd

    def _replace(self, name: str, data: bytes) -> int:
        temp = f".{name}.{os.getpid()}{TEMP}"
        fd = os.open(temp, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644, dir_fd=self.fd)
        try:
            _write(fd, data)
            os.rename(temp, name, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        except OSError:
            os.close(fd)
            os.unlink(temp, dir_fd=self.fd)
            raise
        return fd

    def _overwrite(self, name: str, data: bytes) -> int:
        fd = os.open(name, os.O_RDWR, dir_fd=self.fd)
        try:
            _write(fd, data)
            os.ftruncate(fd, len(data))
        except OSError:
            os.close(fd)
            raise
        return fd


def settle(folder: str) -> None:
    """Bring the names in a folder to the disk, as far as its file system lets us. See Note [Power cut]."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return
    try:
        os.fsync(fd)
    except OSError:
        pass
    finally:
        os.close(fd)


def temporary() -> str:
    """A name for a folder that nobody else ever has, and that says who made it. See `is_left_over`."""
    pid = os.getpid()
    return f".{pid}.{birth(pid)}.{os.urandom(4).hex()}{TEMP}"


def is_left_over(name: str) -> bool:
    """Whether the name is a temporary one, of a process that is no more."""
    parts = name.split(".")
    is_ours = len(parts) == 5 and parts[0] == "" and parts[1].isdecimal() and name.endswith(TEMP)
    return is_ours and not is_alive(int(parts[1]), parts[2])


def remove(folder: str) -> None:
    """Remove a folder of a session, whatever is in it, and nothing a link leads to; it may be gone already.

    Raises OSError.
    """
    if os.path.islink(folder):
        os.unlink(folder)
        return
    for path, folders, files in os.walk(folder, topdown=False):
        for name in files + folders:
            inner = os.path.join(path, name)
            _remove(inner, is_folder=name in folders and not os.path.islink(inner))
    _remove(folder, is_folder=True)


def _remove(path: str, *, is_folder: bool) -> None:
    try:
        if is_folder:
            os.rmdir(path)
        else:
            os.unlink(path)
    except FileNotFoundError:
        pass


def _line(record: dict[str, object]) -> bytes:
    return dumps(record).encode("ascii") + b"\n"


def _write(fd: int, data: bytes) -> None:
    if os.write(fd, data) < len(data):
        raise OSError(28, "No space left on device")


def read_record(name: str, folder: int | None = None) -> dict[str, object] | None:
    """The record in a file, None when there is none. Raises OSError, and ValueError for what is not one."""
    try:
        try:
            value = loads(_read(name, folder))
        except ValueError:
            value = loads(_read(name, folder))
    except FileNotFoundError:
        return None
    if isinstance(value, dict):
        return value
    raise ValueError("not a JSON object")


def _read(name: str, folder: int | None) -> bytes:
    fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK, dir_fd=folder)
    try:
        data = bytearray()
        while len(data) < _LARGEST and (part := os.read(fd, _CHUNK)):
            data += part
        return bytes(data)
    finally:
        os.close(fd)


def stamp(ts: float) -> str:
    """RFC 3339 UTC to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ts))
