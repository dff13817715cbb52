"""Waiting for files to change: by the kernel's events, or by looking again where those cannot be had.

Note [What a watcher may miss]
Events are a hint, never the truth: whoever waits looks at the whole world afterwards, and also after its timeout.
A lost event therefore costs time, nothing else. Folders that were replaced are watched anew at the next wait.
"""

import errno
import os
import select
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any

from looop.runtime.command import Stop, pause

_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.ENOSYS, errno.EINVAL)
Wanted = Callable[[str, str], bool]


class Watcher:
    """Watches some folders below `root`, not what is below them.

    `wanted(folder, name)` says which names matter (the root folder is ``). `degraded` is called at most once, with
    a sentence, when the kernel's events cannot be had; then every `poll_s` the folders are looked at instead.
    """

    def __init__(
        self, root: str, folders: Iterable[str], wanted: Wanted, degraded: Callable[[str], object], poll_s: float = 1.0
    ) -> None:
        self._root, self._folders, self._wanted = root, tuple(folders), wanted
        self._degraded, self._poll_s = degraded, poll_s
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._changed: set[str] = set()
        self._observer: Any = None
        self._watched: dict[str, tuple[tuple[int, int], Any]] = {}
        self._lost: set[str] = set()
        self._stamp: dict[str, tuple[int, int]] = {}

    def start(self) -> None:
        """Begin to watch: whatever changes from now on ends the next wait."""
        try:
            self._observer = _new_observer()
            self._watch_folders()
            self._observer.start()
        except RuntimeError as error:  # no thread to be had
            self._fall_back(OSError(errno.EAGAIN, str(error)))
        except OSError as error:
            if error.errno not in _RESOURCES:
                raise
            self._fall_back(error)

    def stop(self) -> None:
        """End watching and give everything back."""
        if self._observer is not None:
            _end(self._observer)
        os.close(self._reader)
        os.close(self._writer)

    def wait(self, timeout_s: float, stop: Stop, settle_s: float = 0.0) -> set[str]:
        """The paths below the root that changed, once one has and `settle_s` have passed; empty after the timeout
        or when a stop is requested.
        """
        deadline = monotonic() + timeout_s
        self._watch_folders()
        while not stop.requested() and not (changed := self._take()):
            left = deadline - monotonic()
            if left <= 0:
                return set()
            self._sleep(left if self._observer else min(left, self._poll_s), stop)
        if settle_s and not stop.requested():
            pause(stop, settle_s)
        return set() if stop.requested() else changed | self._take()

    def _sleep(self, seconds: float, stop: Stop) -> None:
        fds = [self._reader] + ([stop.fileno()] if stop.fileno() >= 0 else [])
        select.select(fds, [], [], seconds)

    def _take(self) -> set[str]:
        with suppress(BlockingIOError):
            while os.read(self._reader, 4096):
                pass
        if self._observer is None:
            self._look()
        changed, self._changed = self._changed, set()
        return changed

    def _note(self, folder: str, name: str) -> None:
        """Called from the observer's thread."""
        if self._wanted(folder, name):
            self._wake(f"{folder}/{name}" if folder else name)

    def _note_lost(self, folder: str) -> None:
        """Called from the observer's thread: the watched folder itself is gone."""
        self._lost.add(folder)
        self._wake(folder or ".")

    def _wake(self, path: str) -> None:
        self._changed.add(path)
        with suppress(BlockingIOError, OSError):
            os.write(self._writer, b"!")

    def _watch_folders(self) -> None:
        if self._observer is None:
            return
        try:
            for folder in self._folders:
                self._watch_folder(folder)
        except OSError as error:
            self._fall_back(error)

    def _watch_folder(self, folder: str) -> None:
        path = os.path.join(self._root, folder) if folder else self._root
        here = _identity(path)
        seen, watch = self._watched.get(folder, (None, None))
        if watch and (folder in self._lost or here != seen):
            if folder not in self._lost:
                self._changed.add(folder or ".")
            del self._watched[folder]
            with suppress(KeyError, OSError):
                self._observer.unschedule(watch)
        if folder not in self._watched and here:
            self._lost.discard(folder)
            handler = _handler(path, partial(self._note, folder), partial(self._note_lost, folder))
            self._watched[folder] = here, self._observer.schedule(handler, path, event_filter=_event_filter())

    def _fall_back(self, error: OSError) -> None:
        observer, self._observer = self._observer, None
        if observer is not None:
            _end(observer)
        self._degraded(f"files are looked at every {self._poll_s:g}s: no more watches to be had ({error.strerror})")
        self._stamp = self._scan()

    def _look(self) -> None:
        now = self._scan()
        self._changed |= {name for name in now.keys() | self._stamp.keys() if now.get(name) != self._stamp.get(name)}
        self._stamp = now

    def _scan(self) -> dict[str, tuple[int, int]]:
        found = {}
        for folder in self._folders:
            with suppress(OSError), os.scandir(os.path.join(self._root, folder) if folder else self._root) as entries:
                for entry in entries:
                    if self._wanted(folder, entry.name):
                        with suppress(OSError):
                            status = entry.stat()
                            key = f"{folder}/{entry.name}" if folder else entry.name
                            found[key] = (status.st_mtime_ns, status.st_size)
        return found


def _new_observer() -> Any:
    import logging  # noqa: TID251  to silence it: an emitter that ends complains on stderr

    from watchdog.observers import Observer

    logging.getLogger("watchdog").setLevel(logging.CRITICAL)
    return Observer()


def _end(observer: Any) -> None:
    observer.stop()
    if observer.is_alive():
        observer.join()


def _identity(folder: str) -> tuple[int, int] | None:
    """What stays the same as long as the folder at this path is the same one; None without a folder."""
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None


def _handler(watched: str, note: Callable[[str], None], lost: Callable[[], None]) -> Any:
    from watchdog.events import FileSystemEventHandler

    class Handler(FileSystemEventHandler):
        def on_any_event(self, event: Any) -> None:
            if event.is_directory:
                if event.src_path == watched:
                    lost()
                return
            for path in (event.src_path, event.dest_path):
                if path:
                    note(os.path.basename(path))

    return Handler()


def _event_filter() -> list[Any]:
    """Changes only: the beat's own reading must not wake it. Of folders, only that the watched one went."""
    from watchdog import events

    return [
        events.FileCreatedEvent,
        events.FileModifiedEvent,
        events.FileMovedEvent,
        events.FileDeletedEvent,
        events.FileClosedEvent,
        events.DirDeletedEvent,
    ]
