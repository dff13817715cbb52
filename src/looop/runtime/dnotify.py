"""The kernel's word that something in a folder changed, for a command that waits for one thing and ends with it.

Source: fcntl(2), F_NOTIFY. Linux only.

Note [Two ways on Linux]
Giving an inotify descriptor back takes the kernel 5 to 15 ms (it waits until nobody can be looking at its watches any
more), and a process that ends gives all back: whoever waits for that end would wait for this, too. A folder opened for
F_NOTIFY is closed at once. But it says neither which folder nor which name, and it says so by a signal, of which a
process has one: so this is for the main thread of a command, and inotify for everything that lives on.
"""

import fcntl
import os
import signal
from contextlib import suppress

from looop.runtime.inotify import Event, Kind

_MASKS: dict[Kind, int] = {
    "all": fcntl.DN_CREATE | fcntl.DN_RENAME | fcntl.DN_MODIFY | fcntl.DN_DELETE,
    "placed": fcntl.DN_CREATE | fcntl.DN_RENAME,
    "gone": 0,  # DN_DELETE also tells of what is renamed: of every file that is put in place
}


class DirNotify:
    """Says that something changed in the folders that are watched: its events have neither watch nor name."""

    def __init__(self) -> None:
        """Raises ValueError outside the main thread; OSError where the kernel has no such thing, or somebody else in
        this process lives on signals.
        """
        os.close(_notify("/", 0))
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._folders: set[int] = set()
        try:
            _take_over(self._writer)
        except BaseException:
            _close(self._reader, self._writer)
            raise

    def fileno(self) -> int:
        """Readable when there is something to take."""
        return self._reader

    def watch(self, path: str, kind: Kind) -> int:
        """Say so when something in this folder changes, from now on; removals alone are not told. Raises OSError."""
        folder = _notify(path, _MASKS[kind] | fcntl.DN_MULTISHOT)
        self._folders.add(folder)
        return folder

    def unwatch(self, watch: int) -> None:
        """Say no more about this folder."""
        self._folders.discard(watch)
        os.close(watch)

    def take(self) -> list[Event]:
        """One event if something changed, or a signal came, since the last time."""
        with suppress(BlockingIOError):
            return [(None, "")] if os.read(self._reader, 4096) else []
        return []

    def close(self) -> None:
        """Give everything back. What the kernel has still to say of it is not listened to."""
        _close(*self._folders)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        _close(self._reader, self._writer)


def _notify(path: str, mask: int) -> int:
    """An open folder of which changes are told. Raises OSError."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)  # noqa: TID251  nothing is written
    try:
        fcntl.fcntl(folder, fcntl.F_NOTIFY, mask)
        return folder
    except BaseException:
        os.close(folder)
        raise


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _take_over(writer: int) -> None:
    """Have signals wake us, if nobody else is woken by them; also where whoever started us has blocked this one."""
    if signal.getsignal(signal.SIGIO) not in (signal.SIG_DFL, signal.SIG_IGN):
        raise OSError("somebody else listens to SIGIO")
    previous = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    if previous != -1:
        signal.set_wakeup_fd(previous)
        raise OSError("somebody else is woken by signals")
    signal.signal(signal.SIGIO, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGIO,))
