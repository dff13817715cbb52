"""The store in memory: what the promises mean in the fewest words, and a fast stand-in for tests.

Times of last writing are numbers of a counter, not of a clock. Folders come with the first value in them and stay.
"""

from msgspec import Struct

from looop.model.errors import Unreadable, Unwritable
from looop.store.protocol import Blob, Entry, check, check_line


class _File(Struct, frozen=True):
    data: bytes
    mtime_ns: int
    executable: bool


class MemoryStore:
    """A store for one thread of one process."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        self._folders: set[str] = set()
        self._count = 0

    def read(self, key: str) -> Blob | None:
        file = self._find(key, Unreadable)
        return None if file is None else Blob(file.data, file.mtime_ns)

    def write(self, key: str, data: bytes, *, executable: bool = False, durable: bool = True) -> None:
        old = self._find(key, Unwritable)
        self._put(key, data, executable or (old is not None and old.executable))

    def create(self, key: str, data: bytes) -> bool:
        if self._find(key, Unwritable) is not None:
            return False
        self._put(key, data, False)
        return True

    def swap(self, key: str, old: bytes, new: bytes | None) -> bool:
        file = self._find(key, Unreadable)
        if file is None or file.data != old:
            return False
        if new is None:
            del self._files[key]
        else:
            self._put(key, new, file.executable)
        return True

    def append(self, key: str, line: bytes, *, durable: bool = True) -> int:
        check_line(line)
        old = self._find(key, Unwritable)
        before = b"" if old is None else old.data
        text = line if before[-1:] in (b"", b"\n") else b"\n" + line
        self._put(key, before + text, old is not None and old.executable)
        return len(before) + len(text)

    def move(self, source: str, target: str, *, replace: bool = False, min_size: int = 0) -> bool:
        file, taken = self._find(source, Unwritable), self._find(target, Unwritable)
        if file is None or len(file.data) < min_size or (taken is not None and not replace):
            return False
        del self._files[source]
        self._keep(target, file)
        return True

    def list(self, folder: str) -> list[Entry]:
        if folder:
            self._find(f"{folder}/-", Unreadable)
        start = len(folder) + 1 if folder else 0
        inside = [(key[start:], file) for key, file in self._files.items() if not folder or key[:start] == folder + "/"]
        return sorted(
            (Entry(name, len(file.data), file.mtime_ns, file.executable) for name, file in inside if "/" not in name),
            key=lambda entry: entry.name,
        )

    def load(self, key: str, blob: Blob, executable: bool) -> None:
        """Take over a value of another store with its time; whatever is written from now on is later than that."""
        self._count = max(self._count, blob.mtime_ns)
        self._keep(key, _File(blob.data, blob.mtime_ns, executable))

    def _find(self, key: str, error: type[Exception]) -> _File | None:
        """The file of `key`; raises `error` where a folder stands for a value or a value for a folder."""
        check(key)
        if key in self._folders:
            raise error(f"cannot use {key!r}: Is a directory")
        for folder in _above(key):
            if folder in self._files:
                raise error(f"cannot use {key!r}: Not a directory")
        return self._files.get(key)

    def _put(self, key: str, data: bytes, executable: bool) -> None:
        self._count += 1
        self._keep(key, _File(data, self._count, executable))

    def _keep(self, key: str, file: _File) -> None:
        self._files[key] = file
        self._folders.update(_above(key))


def _above(key: str) -> list[str]:
    """The folders a key lies in, the innermost first."""
    folders = []
    while "/" in key:
        key = key.rpartition("/")[0]
        folders.append(key)
    return folders
