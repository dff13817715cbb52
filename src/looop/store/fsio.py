"""The system calls that matter, one small method each, so that a test can make any one of them fail.

Only this file opens files for writing. Every descriptor is close-on-exec (PEP 446) and every call that a signal
interrupts is made again (PEP 475). Nothing here decides anything: the order of the calls is files.py's business.

Note [Not a file]: a named pipe would block its opener for ever and read as empty, so files are opened
non-blocking (which a regular file does not notice) and anything that is not a regular file is an error.

Note [Full sync]: on macOS fsync leaves the data in the drive's cache; F_FULLFSYNC does not, where it is supported.
"""

import errno
import fcntl
import os
import select
import stat
import time
from itertools import count

_serial = count()
_PATIENCE_S = 10
_FULL_SYNC: int | None = getattr(fcntl, "F_FULLFSYNC", None)


def temp_name() -> str:
    """A name no other writer picks. It leaves out the target's name, which may be as long as a name can be."""
    return f".{os.getpid()}-{time.monotonic_ns():x}-{next(_serial)}.tmp"


def is_temp_name(name: str) -> bool:
    """Whether `temp_name` may have made this name."""
    parts = name.removeprefix(".").removesuffix(".tmp").split("-")
    return name[:1] == "." and name[-4:] == ".tmp" and len(parts) == 3 and parts[0].isdigit() and parts[2].isdigit()


class Disk:
    """The real disk. Every method raises OSError and nothing else."""

    def read(self, path: str) -> tuple[bytes, int]:
        """The content of a regular file and its mtime in nanoseconds, both of the same open file."""
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            found = _regular(fd)
            chunks = []
            while chunk := os.read(fd, found.st_size + 4096):
                chunks.append(chunk)
            return b"".join(chunks), found.st_mtime_ns
        finally:
            os.close(fd)

    def stat(self, path: str) -> os.stat_result:
        """What the path leads to, links followed."""
        return os.stat(path)

    def scan(self, folder: str) -> list[tuple[str, os.stat_result | None]]:
        """Every name in a folder with what it leads to, None where that cannot be told.

        A name that left while we looked is left out; a link to nowhere is not.
        """
        found: list[tuple[str, os.stat_result | None]] = []
        with os.scandir(folder) as names:
            for name in names:
                try:
                    found.append((name.name, name.stat()))
                except OSError as error:
                    if error.errno != errno.ENOENT or name.is_symlink():
                        found.append((name.name, None))
        return found

    def lock(self, path: str) -> int:
        """Wait for the exclusive lock on a file, made if absent; it is held until the descriptor is closed.

        Raises TimeoutError when somebody else holds it for longer than any change of ours takes.
        """
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o644)
        try:
            _flock(fd)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def create(self, path: str) -> int:
        """Open a new file for writing; its mode is 0o644 without what the umask takes away."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)

    def extend(self, path: str) -> int:
        """Open a regular file that exists, so that every write goes to its end."""
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_NONBLOCK)
        try:
            _regular(fd)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def tail(self, fd: int) -> tuple[int, bytes]:
        """The size of an open file and its last byte, which is empty in an empty file."""
        size = os.fstat(fd).st_size
        return size, os.pread(fd, 1, size - 1) if size else b""

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """Write once; the number of bytes that were taken, which may be fewer than given."""
        return os.write(fd, data)

    def truncate(self, fd: int, size: int) -> None:
        """Cut an open file to `size`."""
        os.ftruncate(fd, size)

    def chmod(self, fd: int, mode: int) -> None:
        """Set the permission bits of an open file."""
        os.fchmod(fd, mode)

    def sync(self, fd: int) -> None:
        """Return when the content of an open file is on the medium. See Note [Full sync]."""
        if _FULL_SYNC is not None:
            try:
                fcntl.fcntl(fd, _FULL_SYNC)
                return
            except OSError:
                pass
        os.fsync(fd)

    def close(self, fd: int) -> None:
        """Give the descriptor back, and with it a lock it held."""
        os.close(fd)

    def rename(self, source: str, target: str) -> None:
        """Put `source` in the place of `target` in one step."""
        os.rename(source, target)

    def unlink(self, path: str) -> None:
        """Remove one name."""
        os.unlink(path)

    def mkdir(self, path: str) -> None:
        """Make one folder."""
        os.mkdir(path)

    def sync_folder(self, path: str) -> None:
        """Return when the names in a folder are on the medium."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _flock(fd: int) -> None:
    ends, pause_s = time.monotonic() + _PATIENCE_S, 0.0005
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > ends:
                raise TimeoutError(errno.ETIMEDOUT, f"another process has held its lock for {_PATIENCE_S} s") from None
            select.select([], [], [], pause_s)
            pause_s = min(pause_s * 1.5, 0.01)


def _regular(fd: int) -> os.stat_result:
    """What an open file is; raises when it is no regular file. See Note [Not a file]."""
    found = os.fstat(fd)
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "Not a regular file")
    return found
