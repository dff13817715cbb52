"""A store over another one that is only ever read: what a dry run writes is seen by the run and by nobody else.

A key is lifted from the base when it is first changed, and from then on lives in memory alone; every other key
is read through, so news in the base is still seen.
"""

from looop.model.errors import Unreadable, Unwritable
from looop.store.memory import MemoryStore
from looop.store.protocol import Blob, Entry, Store


class Overlay:
    """A store for one thread of one process, which forgets its changes when it goes."""

    def __init__(self, base: Store) -> None:
        self._base = base
        self._top = MemoryStore()
        self._lifted: set[str] = set()

    def read(self, key: str) -> Blob | None:
        blob = None if key in self._lifted else self._base.read(key)
        return self._top.read(key) if blob is None else blob

    def write(self, key: str, data: bytes, *, executable: bool = False, durable: bool = True) -> None:
        self._lift(key)
        self._top.write(key, data, executable=executable)

    def create(self, key: str, data: bytes) -> bool:
        self._lift(key)
        return self._top.create(key, data)

    def swap(self, key: str, old: bytes, new: bytes | None) -> bool:
        blob = self.read(key)
        if blob is None or blob.data != old:
            return False
        self._lift(key)
        return self._top.swap(key, old, new)

    def append(self, key: str, line: bytes, *, durable: bool = True) -> int:
        self._lift(key)
        return self._top.append(key, line)

    def move(self, source: str, target: str, *, replace: bool = False, min_size: int = 0) -> bool:
        self._lift(source)
        self._lift(target)
        return self._top.move(source, target, replace=replace, min_size=min_size)

    def list(self, folder: str) -> list[Entry]:
        prefix = f"{folder}/" if folder else ""
        below = [entry for entry in self._base.list(folder) if prefix + entry.name not in self._lifted]
        return sorted(below + self._top.list(folder), key=lambda entry: entry.name)

    def _lift(self, key: str) -> None:
        """Copy a value that is about to change into memory, once."""
        if key in self._lifted:
            return
        try:
            blob = self._base.read(key)
            if blob is not None:
                self._top.load(key, blob, self._is_executable(key))
        except Unreadable as error:
            raise Unwritable(str(error)) from error
        self._lifted.add(key)

    def _is_executable(self, key: str) -> bool:
        folder, _, name = key.rpartition("/")
        return any(entry.executable for entry in self._base.list(folder) if entry.name == name)
