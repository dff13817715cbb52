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
_NANO = 10**9


class SimStore(MemoryStore):
    """`meet` is called before each operation with its name and key: others may run; it says whether the caller dies.

    `bad_reads` and `bad_writes` say of a key whether it resists just now; `resisted` holds the keys that did since it
    was emptied. `steps` counts operations.
    """

    def __init__(self, clock: StillClock, rng: Random) -> None:
        super().__init__()
        self._clock, self._rng = clock, rng
        self.meet: Callable[[str, str], bool] = lambda name, key: False
        self.bad_reads: Callable[[str], bool] = _never
        self.bad_writes: Callable[[str], bool] = _never
        self.steps = 0
        self.resisted: set[str] = set()
        self._calm = 0
        self._soft: dict[str, Any] = {}

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
        for key, before in self._soft.items():
            if self._rng.random() < 0.5:
                self._files.pop(key, None)
                if before is not None:
                    self._files[key] = before
        self._soft = {}

    def step(self, name: str, what: str) -> None:
        """Something outside the store is about to happen, or just did."""
        if not self._calm and self.meet(name, what):
            raise Died(name)

    def read(self, key: str) -> Blob | None:
        return self._do("read", key, lambda: super(SimStore, self).read(key))

    def list(self, folder: str) -> list[Entry]:
        return self._do("list", folder, lambda: super(SimStore, self).list(folder))

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

    def _do(self, name: str, key: str, call: Callable[[], Any], torn: Callable[[], None] | None = None) -> Any:
        if self._calm:
            return call()
        self.steps += 1
        dies = self.meet(name, key)
        if dies and self._rng.random() < 0.5:
            if torn:
                torn()
            raise Died(name)
        if name in READS and self.bad_reads(key):
            self.resisted.add(key)
            raise Unreadable(f"{key} cannot be read: Input/output error")
        if name not in READS and self.bad_writes(key):
            self.resisted.add(key)
            raise Unwritable(f"cannot write {key}: No space left on device")
        result = call()
        if dies:
            raise Died(name)
        return result

    def _remember(self, key: str, before: Any, *, durable: bool) -> None:
        if durable:
            self._soft.pop(key, None)
        else:
            self._soft.setdefault(key, before)

    def _put(self, key: str, data: bytes, executable: bool) -> None:
        super()._put(key, data, executable)
        file = self._files[key]
        self._files[key] = type(file)(file.data, self._clock.now() * _NANO + self._count % _NANO, file.executable)


def _never(key: str) -> bool:
    return False
