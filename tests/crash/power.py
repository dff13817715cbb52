"""A disk under a power cut: what was not synced may be lost, torn, or there without what was done before it.

Note [What a cut may take]
The content of a file that was not synced may be missing, a part of it, or zeros. A name that was made, given or removed
since its folder was synced may be as before; of several such changes any may have reached the medium, in any order. One
rename happens whole or not at all, also between two folders, as on every file system that keeps a journal.

Note [Folders that move]
What is in a folder is known by the path the folder had first, wherever it is moved.
"""

import os
import shutil
from random import Random
from typing import Any

from tests.fakes.disk import QuickDeath

FOLDER = -1
NAMES_OF = {"create": 1, "extend": 1, "mkdir": 1, "unlink": 1, "rename": 2}


class _File:
    """One file: its content as everybody sees it and as it is on the medium. A folder has the mode FOLDER."""

    def __init__(self, data: bytes, safe: bytes, mode: int = 0o644) -> None:
        self.data, self.safe, self.mode = data, safe, mode


class PowerDisk(QuickDeath):
    """The power fails just before the n-th call; then `cut` leaves on disk what a medium may have kept."""

    def __init__(self, at: int) -> None:
        super().__init__(at)  # type: ignore[no-untyped-call]
        self._open: dict[int, _File] = {}
        self._now: dict[str, _File | None] = {}
        self._safe: dict[str, _File | None] = {}
        self._loose: list[dict[str, _File | None]] = []
        self._moved: dict[str, _File] = {}

    def meet(self, name: str, real: Any, args: Any) -> Any:
        for path in args[: NAMES_OF.get(name, 0)]:
            self.know(path, path)
        result = super().meet(name, real, args)  # type: ignore[no-untyped-call]
        if after := getattr(self, f"_after_{name}", None):
            after(result, *args)
        return result

    def know(self, path: str, place: str) -> None:
        """What is there before the first change is on the medium."""
        if path not in self._now:
            self._now[path] = self._safe[path] = _found(place)

    def cut(self, rng: Random, names: float, data: float) -> None:
        """Leave what the medium kept: of what was not synced, names and contents with these chances."""
        final, loose = dict(self._safe), list(self._loose)
        rng.shuffle(loose)
        for change in loose:
            if rng.random() < names:
                final.update(change)
        final = self._put_back(final)
        for path, file in final.items():
            if file is not None and file.mode != FOLDER:
                _leave(path, file, file.data if rng.random() < data else _torn(file, rng))
        for path, file in final.items():
            if file is None and os.path.isdir(path):
                shutil.rmtree(path)
            elif file is None and os.path.lexists(path):
                os.unlink(path)

    def _put_back(self, final: dict[str, _File | None]) -> dict[str, _File | None]:
        """Give folders that were moved the names the medium knows, and say what is in them by those."""
        for first, folder in self._moved.items():
            here = next((path for path, file in self._now.items() if file is folder), "")
            there = [path for path, file in final.items() if file is folder]
            for path in there[:-1]:
                final[path] = None
            if there and here:
                os.rename(here, there[-1])
            elif there:
                os.mkdir(there[-1])
            inside = {path: file for path, file in final.items() if os.path.dirname(path) == first}
            final = {path: file for path, file in final.items() if path not in inside}
            final |= {there[-1] + path.removeprefix(first): file for path, file in inside.items() if there}
        return final

    def _after_create(self, fd: int, path: str) -> None:
        self._open[fd] = _File(b"", b"", os.fstat(fd).st_mode & 0o777)
        self._change({path: self._open[fd]})

    def _after_extend(self, fd: int, path: str) -> None:
        file = self._now[path]
        assert file is not None
        self._open[fd] = file

    def _after_write(self, taken: int, fd: int, data: bytes) -> None:
        self._open[fd].data += bytes(data[:taken])

    def _after_truncate(self, _: None, fd: int, size: int) -> None:
        self._open[fd].data = self._open[fd].data[:size]

    def _after_chmod(self, _: None, fd: int, mode: int) -> None:
        self._open[fd].mode = mode

    def _after_sync(self, _: None, fd: int) -> None:
        self._open[fd].safe = self._open[fd].data

    def _after_close(self, _: None, fd: int) -> None:
        self._open.pop(fd, None)

    def _after_rename(self, _: None, source: str, target: str) -> None:
        file = self._now[source]
        if file is not None and file.mode == FOLDER:
            self._moved.setdefault(source, file)
        self._change({source: None, target: file})

    def _after_unlink(self, _: None, path: str) -> None:
        self._change({path: None})

    def _after_mkdir(self, _: None, path: str) -> None:
        self._change({path: _File(b"", b"", FOLDER)})

    def _after_sync_folder(self, _: None, folder: str) -> None:
        synced = [change for change in self._loose if any(os.path.dirname(path) == folder for path in change)]
        for change in synced:
            self._safe.update(change)
        self._loose = [change for change in self._loose if change not in synced]

    def _change(self, change: dict[str, _File | None]) -> None:
        self._now.update(change)
        self._loose.append(change)


def _found(path: str) -> _File | None:
    if os.path.isdir(path):
        return _File(b"", b"", FOLDER)
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return None
    return _File(data, data, os.stat(path).st_mode & 0o777)


def _torn(file: _File, rng: Random) -> bytes:
    """What may be there of content that was not synced."""
    if file.data == file.safe:
        return file.data
    kept = file.safe if file.data.startswith(file.safe) else b""
    rest = file.data[len(kept) :]
    part = rng.randrange(len(rest) + 1) if rng.random() < 0.5 else 0
    return kept + rest[:part] + b"\0" * ((len(rest) - part) * (rng.random() < 0.3))


def _leave(path: str, file: _File, data: bytes) -> None:
    if os.path.isdir(os.path.dirname(path)) and ((found := _found(path)) is None or found.data != data):
        with open(path, "wb") as out:
            out.write(data)
        os.chmod(path, file.mode)
