"""Waiting for files to change: by the kernel's events, or by looking again where those cannot be had.

Note [What a watcher may miss]
Events are a hint, never the truth: whoever waits looks at the whole world afterwards, and also after its timeout.
A lost event therefore costs time, nothing else. A folder that is replaced is watched anew before a wait ends with it;
one that is missing is looked for every `poll_s`.
"""

import os
import select
import stat
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any, Protocol

from looop.runtime.command import Stop, pause
from looop.runtime.inotify import Event, Inotify, Kind

_ON_LINUX = sys.platform == "linux"
Wanted = Callable[[str, str], bool]
Stamp = tuple[int, int, int]


class Source(Protocol):
    """What reports changes; see runtime/inotify.py for what its methods promise."""

    def fileno(self) -> int: ...
    def watch(self, path: str, kind: Kind, /) -> Any: ...
    def unwatch(self, watch: Any, /) -> None: ...
    def take(self) -> list[Event]: ...
    def close(self) -> None: ...


class Watcher:
    """Watches some folders below `root`, not what is below them; of each everything, or what it is mapped to.

    `wanted(folder, name)` says which names matter (the root folder is ``), or it is the one that does. `degraded` is
    called at most once, with a sentence, when the kernel's events cannot be had, or `why_not` says that there are none;
    then every `poll_s` the folders are looked at instead. `brief`: this process ends with the wait, see
    runtime/dnotify.py.
    """

    def __init__(
        self,
        root: str,
        folders: Iterable[str] | Mapping[str, Kind],
        wanted: Wanted | str,
        degraded: Callable[[str], object],
        poll_s: float = 1.0,
        why_not: str = "",
        *,
        brief: bool = False,
    ) -> None:
        self._root, self._degraded, self._brief = root, degraded, brief
        self._only = wanted if isinstance(wanted, str) else ""
        self._wanted: Wanted = (lambda _, name: name == self._only) if isinstance(wanted, str) else wanted
        self._folders: dict[str, Kind] = (
            dict(folders) if isinstance(folders, Mapping) else dict.fromkeys(folders, "all")
        )
        self._poll_s, self._why_not = poll_s, why_not
        self._source: Source | None = None
        self._started = False
        self._watched: dict[str, tuple[tuple[int, int], Any]] = {}
        self._changed: set[str] = set()
        self._stamp: dict[str, Stamp] = {}

    def start(self) -> None:
        """Begin to watch: whatever changes from now on ends the next wait."""
        if self._why_not:
            self._fall_back(self._why_not)
            return
        try:
            self._source = _new_source(brief=self._brief)
            self._watch_folders()
            self._stamp = self._scan() if self._brief else {}
            self._started = True
        except RuntimeError as error:
            self._fall_back(str(error))
        except OSError as error:
            self._lack(error)

    def stop(self) -> None:
        """End watching and give everything back."""
        source, self._source = self._source, None
        if source is not None:
            source.close()

    def wait(self, timeout_s: float, stop: Stop, settle_s: float = 0.0) -> set[str]:
        """The paths below the root that changed, once one has and `settle_s` have passed; empty after the timeout
        or when a stop is requested. A folder stands for everything in it.
        """
        deadline = monotonic() + timeout_s
        self._watch_folders()
        while not stop.requested() and not (changed := self._take()):
            left = deadline - monotonic()
            if left <= 0:
                return set()
            self._sleep(left if self._whole() else min(left, self._poll_s), stop)
        if settle_s and not stop.requested():
            pause(stop, settle_s)
        return set() if stop.requested() else changed | self._take()

    def _whole(self) -> bool:
        """Whether the kernel reports all folders: one that is missing may come without a word."""
        return self._source is not None and len(self._watched) == len(self._folders)

    def _sleep(self, seconds: float, stop: Stop) -> None:
        poll = select.poll()
        for fd in (self._source.fileno() if self._source else -1, stop.fileno()):
            if fd >= 0:
                poll.register(fd, select.POLLIN)
        poll.poll(max(seconds * 1000, 1))

    def _take(self) -> set[str]:
        if self._source is None:
            self._look()
        else:
            events = self._source.take()
            for watch, name in events:
                if watch is None:
                    self._look()
                else:
                    self._note(watch, name)
            if not self._whole() or (self._brief and events):
                self._watch_folders()
        changed, self._changed = self._changed, set()
        return changed

    def _note(self, watch: Any, name: str) -> None:
        for folder, (_, mine) in list(self._watched.items()):
            if watch in (mine, -1) and not name:
                self._forget(folder)
            elif watch == mine and self._wanted(folder, name):
                self._changed.add(f"{folder}/{name}" if folder else name)

    def _forget(self, folder: str) -> None:
        """What a folder is now nobody knows: it is watched anew at the next wait."""
        self._changed.add(folder or ".")
        _, watch = self._watched.pop(folder)
        if self._source is not None:
            with suppress(OSError):
                self._source.unwatch(watch)

    def _watch_folders(self) -> None:
        if self._source is None:
            return
        try:
            for folder, kind in self._folders.items():
                self._watch_folder(self._source, folder, kind)
        except OSError as error:
            self._lack(error)

    def _watch_folder(self, source: Source, folder: str, kind: Kind) -> None:
        path = os.path.join(self._root, folder) if folder else self._root
        here = _identity(path)
        if folder in self._watched and self._watched[folder][0] != here:
            self._forget(folder)
        if folder not in self._watched and here:
            with suppress(FileNotFoundError, NotADirectoryError):
                self._watched[folder] = here, source.watch(path, kind)
                if self._started:
                    self._changed.add(folder or ".")

    def _lack(self, error: OSError) -> None:
        self._fall_back(f"the kernel does not report them all ({error.strerror})")

    def _fall_back(self, why: str) -> None:
        self.stop()
        self._watched.clear()
        self._degraded(f"files are looked at every {self._poll_s:g}s: {why}")
        self._stamp = self._scan()
        self._changed |= {"."} if self._started else set()

    def _look(self) -> None:
        now = self._scan()
        self._changed |= {name for name in now.keys() | self._stamp.keys() if now.get(name) != self._stamp.get(name)}
        self._stamp = now

    def _scan(self) -> dict[str, Stamp]:
        found = {}
        for folder in self._folders:
            for name in [self._only] if self._only else self._names(folder):
                key = f"{folder}/{name}" if folder else name
                if stamp := _stamp_of(os.path.join(self._root, key)):
                    found[key] = stamp
        return found

    def _names(self, folder: str) -> list[str]:
        with suppress(OSError):
            return [name for name in os.listdir(os.path.join(self._root, folder)) if self._wanted(folder, name)]
        return []


def _new_source(*, brief: bool) -> Source:
    if _ON_LINUX and brief:
        from looop.runtime.dnotify import DirNotify

        with suppress(OSError, ValueError):
            return DirNotify()
    if _ON_LINUX:
        return Inotify()
    from looop.runtime.observer import Observer

    return Observer()


def _stamp_of(path: str) -> Stamp | None:
    """What differs when a file was written, None without one; what is there and tells nothing has a stamp, too."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return (0, 0, 0) if os.path.islink(path) else None
    except OSError:
        return 0, 0, 0
    return status.st_ino, status.st_mtime_ns, status.st_size


def _identity(folder: str) -> tuple[int, int] | None:
    """What stays the same as long as the folder at this path is the same one; None without a folder."""
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None
