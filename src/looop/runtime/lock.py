"""The single-instance lock: a kernel lock on `.lock/lock`, held for life, gone with its holder however it dies.

The lock file is never removed: a fresh file could be locked by a second pulse. Only the pid note beside it is.
Source: spec/beat.md §15, edge cases 139-142.
"""

import fcntl
import os
import select
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from looop.model.errors import AlreadyRunning, Refused, Unwritable
from looop.session.kin import birth, signal_process

_TRIES, _PAUSE_S, _STARTUP_S = 5, 0.01, 20


class PulseLock:
    """Held from `acquire` until `release` or the end of the process."""

    def __init__(self, root: str) -> None:
        self._folder = os.path.join(root, ".lock")
        self._fd = -1

    def acquire(self) -> None:
        """Take the lock. Raises AlreadyRunning naming the holder, Unwritable when it cannot even be opened."""
        path = os.path.join(self._folder, "lock")
        try:
            os.makedirs(self._folder, exist_ok=True)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o644)
        except OSError as error:
            raise Unwritable(f"cannot open the lock {path}: {error.strerror}") from None
        if not _lock(fd):
            os.close(fd)
            raise AlreadyRunning(f"already running (pid {holder(os.path.dirname(self._folder)) or '?'})")
        self._fd = fd
        self._note_pid()

    def keep(self) -> bool:
        """Make sure that the lock file is still the one that is held; False when it had to be taken anew.

        A data dir, or its `.lock`, can be replaced under a pulse. Raises AlreadyRunning, Unwritable.
        """
        try:
            there, held = os.stat(os.path.join(self._folder, "lock")), os.fstat(self._fd)
            if (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino):
                return True
        except OSError:
            pass
        with suppress(OSError):
            os.close(self._fd)
        self._fd = -1
        self.acquire()
        return False

    def release(self) -> None:
        """Give the lock up and remove the pid note."""
        if self._fd >= 0:
            with suppress(OSError):
                os.unlink(os.path.join(self._folder, "pid"))
            os.close(self._fd)
            self._fd = -1

    def _note_pid(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK
        with suppress(OSError), open(os.path.join(self._folder, "pid"), "w", opener=_opener(flags)) as file:
            file.write(f"{os.getpid()}\n{birth(os.getpid())}\n")


def _lock(fd: int, tries: int = _TRIES) -> bool:
    """Take the lock; tried for a moment, because `is_held` holds it shared for the time of a call. Edge case 142."""
    for _ in range(tries):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError:
            select.select([], [], [], _PAUSE_S)
    return False


def startup_lock(root: str) -> AbstractContextManager[None]:
    """Hold what lets one starter of a pulse at a time look and start. Raises Refused, Unwritable. Edge case 226."""
    return _alone(root, ".dirlock", "another `looop up`", _STARTUP_S)


def workers_lock(root: str) -> AbstractContextManager[None]:
    """Hold what lets one at a time start, judge or remove a worker; never inside itself. Raises Refused, Unwritable."""
    return _alone(root, ".workers", "another start of a worker", _STARTUP_S)


def checkouts_lock(folder: str, patience_s: int) -> AbstractContextManager[None]:
    """Hold what lets one at a time make or remove checkouts in a folder. Raises Refused, Unwritable."""
    return _alone(folder, "lock", "another worktree command", patience_s)


def notify_lock(root: str) -> AbstractContextManager[None]:
    """Hold what lets one at a time push notifications. Raises Refused at once when somebody does, Unwritable."""
    return _alone(root, ".notify", "another `looop notify`", 0)


@contextmanager
def _alone(folder: str, name: str, who: str, patience_s: int) -> Iterator[None]:
    path = os.path.join(folder, ".lock", name)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o644)
    except OSError as error:
        raise Unwritable(f"cannot open {path}: {error.strerror}") from None
    try:
        if not _lock(fd, max(int(patience_s / _PAUSE_S), 1)):
            raise Refused(f"{who} is at work in {folder}: try again later")
        yield
    finally:
        os.close(fd)


def is_held(root: str) -> bool:
    """Whether a pulse runs. A lock that cannot be opened is held by nobody."""
    try:
        fd = os.open(os.path.join(root, ".lock", "lock"), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def holder(root: str) -> str:
    """The pid the holder noted, empty when it cannot be told."""
    return _note(root)[0]


def signal_holder(root: str, number: int) -> bool:
    """Signal the process that holds the lock; False when it cannot be told which one that is."""
    pid, born = _note(root)
    return is_held(root) and pid.isdigit() and signal_process(int(pid), born, number)


def _note(root: str) -> tuple[str, str]:
    try:
        flags = os.O_RDONLY | os.O_NONBLOCK
        with open(os.path.join(root, ".lock", "pid"), encoding="ascii", opener=_opener(flags)) as file:
            pid, born, *_ = [*(file.read(200) or "").split("\n"), ""]
            return pid.strip(), born.strip()
    except (OSError, ValueError):
        return "", ""


def _opener(flags: int) -> Callable[[str, int], int]:
    """Opens with these flags alone: what is not a file, such as a FIFO, must not make us wait."""
    return lambda path, _: os.open(path, flags, 0o644)
