"""A store in a folder: one file per key, readable and editable by a person.

Readers take no lock: a value is prepared under a temporary name in its own folder and renamed into place, so what
a reader opens is whole. Writers of a folder are one at a time: each change is decided and made under an exclusive
flock of `<folder>/.dirlock`, also between threads of one process. No method calls another that takes a lock.

Note [Append]: an append changes the file in place, so a reader may meet an unfinished last line, and a crash may
leave one. Under the lock a failed append is cut off again, and a line after a torn one starts with a newline.

Note [Debris]: temporary files are made and renamed under the folder's lock, so one that is seen by the holder of
the lock belongs to a writer that was killed. Each store removes such debris the first time it locks a folder.

Note [Two folders]: a move locks both folders in the order of their real paths, so that two moves in opposite
directions do not wait for each other and two names of one folder are one lock.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from looop.model.errors import Unreadable, Unwritable
from looop.store.fsio import Disk, is_temp_name, temp_name
from looop.store.protocol import LOCK_NAME, Blob, Entry, check, check_line, is_own


class FileStore:
    """The store under `root`. Every call may come from any thread or process."""

    def __init__(self, root: str, disk: Disk | None = None) -> None:
        self._root = os.path.abspath(root)
        self._disk = Disk() if disk is None else disk
        self._swept: set[str] = set()

    def read(self, key: str) -> Blob | None:
        path = self._path(key)
        try:
            return Blob(*self._disk.read(path))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unreadable(_sentence("read", path, error=error)) from error

    def write(self, key: str, data: bytes, *, executable: bool = False, durable: bool = True) -> None:
        path = self._path(key)
        with self._changing(path):
            self._put(path, data, mode=0o755 if executable else self._mode(path), durable=durable)

    def create(self, key: str, data: bytes) -> bool:
        path = self._path(key)
        with self._changing(path):
            if self._found(path) is not None:
                return False
            self._put(path, data)
            return True

    def swap(self, key: str, old: bytes, new: bytes | None) -> bool:
        path = self._path(key)
        with self._changing(path):
            blob = self.read(key)
            if blob is None or blob.data != old:
                return False
            if new is None:
                self._disk.unlink(path)
                self._settle(path)
            else:
                self._put(path, new, mode=self._mode(path))
            return True

    def append(self, key: str, line: bytes, *, durable: bool = True) -> int:
        check_line(line)
        path = self._path(key)
        with self._changing(path):
            try:
                fd = self._disk.extend(path)
            except FileNotFoundError:
                self._put(path, line, durable=durable)
                return len(line)
            try:
                return self._extend(fd, line, durable=durable)
            finally:
                self._release(fd)

    def move(self, source: str, target: str, *, replace: bool = False, min_size: int = 0) -> bool:
        old, new = self._path(source), self._path(target)
        with self._changing(old, new):
            found, taken = self._found(old), self._found(new)
            if found is None or found.st_size < min_size or (taken is not None and not replace):
                return False
            self._disk.rename(old, new)
            self._settle(new)
            self._settle(old)
            return True

    def list(self, folder: str) -> list[Entry]:
        path = self._path(folder) if folder else self._root
        try:
            names = self._disk.scan(path)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise Unreadable(_sentence("list", path, error=error)) from error
        return sorted((_entry(*pair) for pair in names if _is_value(*pair)), key=lambda entry: entry.name)

    def _path(self, key: str) -> str:
        """The one place where a key becomes a path."""
        return f"{self._root}/{check(key)}"

    @contextmanager
    def _changing(self, *paths: str) -> Iterator[None]:
        """Hold the lock of each path's folder, made if absent; what the system refuses becomes Unwritable."""
        folders = {os.path.dirname(path) for path in paths}
        if len(folders) > 1:
            folders = {os.path.realpath(folder) for folder in folders}
        held: list[int] = []
        try:
            for folder in sorted(folders):
                held.append(self._lock(folder))  # noqa: PERF401 - what is held must be known when the next one fails
            yield
        except OSError as error:
            raise Unwritable(_sentence("move" if paths[1:] else "write", *paths, error=error)) from error
        finally:
            for fd in held:
                self._release(fd)

    def _lock(self, folder: str) -> int:
        path = f"{folder}/{LOCK_NAME}"
        try:
            fd = self._disk.lock(path)
        except FileNotFoundError:
            self._make(folder)
            fd = self._disk.lock(path)
        if folder not in self._swept:
            self._swept.add(folder)
            self._sweep(folder)
        return fd

    def _sweep(self, folder: str) -> None:
        """Remove what writers that were killed left behind. See Note [Debris]."""
        with suppress(OSError):
            for name, _ in self._disk.scan(folder):
                if is_temp_name(name):
                    self._disk.unlink(f"{folder}/{name}")

    def _make(self, folder: str) -> None:
        """Make a folder and those above it. Another process may be doing the same."""
        with suppress(FileExistsError):
            try:
                self._disk.mkdir(folder)
            except FileNotFoundError:
                self._make(os.path.dirname(folder))
                self._disk.mkdir(folder)
            self._settle(folder)

    def _put(self, path: str, data: bytes, *, mode: int | None = None, durable: bool = True) -> None:
        """Replace the file at `path` in one step, or raise OSError and leave everything as it was."""
        temp = f"{os.path.dirname(path)}/{temp_name()}"
        try:
            self._fill(temp, data, mode, durable)
            self._disk.rename(temp, path)
        except BaseException:
            with suppress(OSError):
                self._disk.unlink(temp)
            raise
        if durable:
            self._settle(path)

    def _fill(self, temp: str, data: bytes, mode: int | None, durable: bool) -> None:
        fd = self._disk.create(temp)
        try:
            if mode is not None:
                self._disk.chmod(fd, mode)
            rest = memoryview(data)
            while rest:
                rest = rest[self._disk.write(fd, rest) :]
            if durable:
                self._disk.sync(fd)
        finally:
            self._disk.close(fd)

    def _extend(self, fd: int, line: bytes, *, durable: bool) -> int:
        """Add a line to an open file and return the new size. See Note [Append]."""
        size, last = self._disk.tail(fd)
        text = line if last in (b"", b"\n") else b"\n" + line
        try:
            if self._disk.write(fd, text) != len(text):
                raise OSError(errno.ENOSPC, "Only a part of the line could be written")
            if durable:
                self._disk.sync(fd)
        except OSError:
            with suppress(OSError):
                self._disk.truncate(fd, size)
            raise
        return size + len(text)

    def _found(self, path: str) -> os.stat_result | None:
        """What is at `path`, None when nothing is. A folder in the place of a value raises OSError."""
        try:
            found = self._disk.stat(path)
        except FileNotFoundError:
            return None
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        return found

    def _mode(self, path: str) -> int | None:
        found = self._found(path)
        return None if found is None else stat.S_IMODE(found.st_mode)

    def _settle(self, path: str) -> None:
        """Bring the folder of `path` to the medium, as far as the file system lets us: the change itself is made."""
        with suppress(OSError):
            self._disk.sync_folder(os.path.dirname(path))

    def _release(self, fd: int) -> None:
        """Close a descriptor whose work is done and no longer depends on the answer."""
        with suppress(OSError):
            self._disk.close(fd)


def _is_value(name: str, found: os.stat_result | None) -> bool:
    return not is_own(name) and (found is None or not stat.S_ISDIR(found.st_mode))


def _entry(name: str, found: os.stat_result | None) -> Entry:
    if found is None:
        return Entry(name, -1, -1, False)
    return Entry(name, found.st_size, found.st_mtime_ns, bool(found.st_mode & 0o111))


def _sentence(verb: str, *paths: str, error: OSError) -> str:
    return f"cannot {verb} {' to '.join(map(repr, paths))}: {error.strerror or error}"
