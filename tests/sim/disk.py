"""A store in memory under virtual time: it fails, dies under its user, and lets others go first, as a seed says.

What a store promises holds here as on a disk (store/protocol.py): an operation happens whole or not at all, one that
raises has changed nothing, and a power cut may take away what was not written durably, and tear the last line of a file
that is appended to.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

from looop.model.errors import Unreadable, Unwritable
from looop.store.memory import MemoryStore
from looop.store.protocol import Blob, Entry
from tests.fakes.clock import StillClock
from tests.fakes.disk import Died

READS = frozenset({"read", "list"})
FLUSH_S = 300  # how long the system may keep to itself what is not synced
_NANO = 10**9


class Files(dict[str, Any]):
    """Values by key; `inside` has the keys of each folder, `touched` those that changed since it was emptied."""

    def __init__(self) -> None:
        super().__init__()
        self.inside: dict[str, set[str]] = {}
        self.touched: set[str] = set()

    def __setitem__(self, key: str, file: Any) -> None:
        super().__setitem__(key, file)
        self.inside.setdefault(key.rpartition("/")[0], set()).add(key)
        self.touched.add(key)

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        self.inside[key.rpartition("/")[0]].discard(key)
        self.touched.add(key)


class SimStore(MemoryStore):
    """`meet` is called before each operation with its name and key: others may run; it says whether the caller dies.

    `bad_reads` and `bad_writes` say of a key whether it resists just now; `resisted` holds the keys whose last read by
    `who` failed since it was emptied. `note` hears of what changes. `steps` counts operations.
    """

    _files: Files

    def __init__(self, clock: StillClock, rng: Random) -> None:
        super().__init__()
        self._files = Files()
        self._clock, self._rng = clock, rng
        self.meet: Callable[[str, str], bool] = lambda name, key: False
        self.bad_reads: Callable[[str], bool] = _never
        self.bad_writes: Callable[[str], bool] = _never
        self.who: Callable[[], object] = lambda: None
        self.note: Callable[[str, str], None] = _unheard
        self.steps = 0
        self.resisted: set[tuple[object, str]] = set()
        self._calm = 0
        self._soft: dict[str, tuple[int, Any]] = {}
        self._checked: set[str] = set()

    @property
    def touched(self) -> set[str]:
        """The keys that changed since it was emptied."""
        return self._files.touched

    @contextmanager
    def calm(self) -> Iterator[None]:
        """For who looks on: nothing fails, nobody dies, nobody else runs."""
        self._calm += 1
        try:
            yield
        finally:
            self._calm -= 1

    def cut_power(self) -> None:
        """What was not written durably may be gone."""
        now = self._clock.now()
        for key, (since, before) in self._soft.items():
            if now - since < FLUSH_S and self._rng.random() < 0.5:
                if before is not None:
                    self._files[key] = before
                elif key in self._files:
                    del self._files[key]
        self._soft = {}

    def step(self, name: str, what: str) -> None:
        """Something outside the store is about to happen, or just did."""
        if self._calm:
            return
        dies = self.meet(name, what)
        self.note(name, what)
        if dies:
            self.note("dies", f"at {name} {what}")
            raise Died(name)

    def spoil(self, key: str, how: Callable[[bytes], bytes]) -> bytes | None:
        """Somebody spoils what is there; what it is then."""
        file = self._files.get(key)
        if file is None:
            return None
        self._put(key, how(file.data), file.executable)
        return self._files[key].data

    def forget(self, key: str) -> None:
        """Somebody removes it, if it is there."""
        if key in self._files:
            del self._files[key]

    def peek(self, key: str) -> bytes | None:
        """What is there, for who looks on."""
        file = self._files.get(key)
        return None if file is None else file.data

    def read(self, key: str) -> Blob | None:
        return self._do("read", key, lambda: super(SimStore, self).read(key))

    def _entries(self, folder: str) -> list[Entry]:
        """As MemoryStore.list, without looking through all that is in other folders."""
        start = len(folder) + 1 if folder else 0
        found = []
        for key in sorted(self._files.inside.get(folder, ())):
            file = self._files[key]
            found.append(Entry(key[start:], len(file.data), file.mtime_ns, file.executable))
        return found

    def list(self, folder: str) -> list[Entry]:
        return self._do("list", folder, lambda: self._entries(folder))

    def write(self, key: str, data: bytes, *, executable: bool = False, durable: bool = True) -> None:
        before = self._files.get(key)
        self._do("write", key, lambda: super(SimStore, self).write(key, data, executable=executable))
        self._remember(key, before, durable=durable)

    def create(self, key: str, data: bytes) -> bool:
        return self._do("create", key, lambda: super(SimStore, self).create(key, data))

    def swap(self, key: str, old: bytes, new: bytes | None) -> bool:
        return self._do("swap", key, lambda: super(SimStore, self).swap(key, old, new))

    def append(self, key: str, line: bytes, *, durable: bool = True) -> int:
        before = self._files.get(key)

        def whole() -> int:
            return super(SimStore, self).append(key, line)

        def torn() -> None:
            part = self._rng.randrange(len(line))
            if part:
                self._put(key, (before.data if before else b"") + line[:part], False)

        size = self._do("append", key, whole, torn)
        self._remember(key, before, durable=durable)
        return size

    def move(self, source: str, target: str, *, replace: bool = False, min_size: int = 0) -> bool:
        done = self._do(
            "move", source, lambda: super(SimStore, self).move(source, target, replace=replace, min_size=min_size)
        )
        self._soft.pop(source, None)
        return done

    def _find(self, key: str, error: type[Exception]) -> Any:
        """As MemoryStore._find, which looks at the name of each key, here once."""
        if key in self._checked:
            return self._files.get(key)
        found = super()._find(key, error)
        self._checked.add(key)
        return found

    def _do(self, name: str, key: str, call: Callable[[], Any], torn: Callable[[], None] | None = None) -> Any:
        if self._calm:
            return call()
        self.steps += 1
        dies, reads = self.meet(name, key), name in READS
        if dies and self._rng.random() < 0.5:
            if torn:
                torn()
            self.note("dies", f"before {name} {key}")
            raise Died(name)
        if reads and self.bad_reads(key):
            self.resisted.add((self.who(), key))
            self.note("cannot", f"{name} {key}")
            raise Unreadable(f"{key} cannot be read: Input/output error")
        if not reads and self.bad_writes(key):
            self.note("cannot", f"{name} {key}")
            raise Unwritable(f"cannot write {key}: No space left on device")
        result = call()
        if not reads:
            self.note(name, key if result is not False else f"{key}: no")
        elif self.resisted:
            self.resisted.discard((self.who(), key))
        if dies:
            self.note("dies", f"after {name} {key}")
            raise Died(name)
        return result

    def _remember(self, key: str, before: Any, *, durable: bool) -> None:
        if durable:
            self._soft.pop(key, None)
        elif key not in self._soft or self._clock.now() - self._soft[key][0] >= FLUSH_S:
            self._soft[key] = self._clock.now(), before

    def _put(self, key: str, data: bytes, executable: bool) -> None:
        super()._put(key, data, executable)
        file = self._files[key]
        self._files[key] = type(file)(file.data, self._clock.now() * _NANO + self._count % _NANO, file.executable)


def _never(key: str) -> bool:
    return False


def _unheard(name: str, what: str) -> None:
    """Nobody listens."""
