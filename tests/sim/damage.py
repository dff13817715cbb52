"""Records that somebody or something has spoilt: what is there can be read, and says nothing."""

from random import Random

from looop.state import guards
from looop.state.ledger import KEY as LEDGER
from tests.sim.disk import SimStore

_LINE = b'{"ts": "2026-\0\0\n'
KEYS = (
    LEDGER,
    LEDGER,
    guards.PARKED,
    guards.PARKED,
    guards.UNMETERED,
    guards.REFLEXES,
    guards.REFLEXES,
    guards.BACKOFF,
    guards.BACKOFF,
    guards.ATTEMPTS,
    guards.LAST_HASH,
    guards.BASELINE,
    guards.NOOP,
    guards.FAILURE,
    guards.ACTIVITY,
    guards.SHELL,
    guards.FLAPS,
    guards.AWAKE,
)
CLOSING = frozenset((LEDGER, guards.PARKED, guards.UNMETERED))


class Damage:
    """What was spoilt and is so still; `at_begin` was when the beat began. `count` says how often that happened."""

    def __init__(self, store: SimStore, rng: Random) -> None:
        self._store, self._rng = store, rng
        self._spoilt: dict[str, bytes] = {}
        self.at_begin: set[str] = set()
        self.count = 0

    def spoil(self) -> str:
        """Spoil a record, which may be none yet; its key."""
        key = self._rng.choice(KEYS)
        if key == LEDGER:
            data = self._store.spoil(key, lambda data: data + _LINE)
        else:
            junk = self._rng.choice((b"", b"\0\0\0", b"{", b"[]\n", None))
            if self._store.peek(key) is None and key in CLOSING:
                with self._store.calm():
                    self._store.write(key, b"?")
            data = self._store.spoil(key, lambda data: data[: len(data) // 2] if junk is None else junk)
        if data is not None:
            self._spoilt[key] = data
            self.count += 1
        return key

    def there(self) -> set[str]:
        """The keys of what is spoilt still."""
        self._spoilt = {key: data for key, data in self._spoilt.items() if self._is_spoilt(key, data)}
        return set(self._spoilt)

    def begin_beat(self) -> None:
        """A beat begins."""
        self.at_begin = self.there()

    def needs_mending(self) -> bool:
        """Whether something keeps the loop from asking until a person has looked."""
        return not CLOSING.isdisjoint(self._spoilt)

    def mend(self, key: str) -> None:
        """Remove it, if it is spoilt."""
        if key in self.there():
            self._store.forget(key)

    def _is_spoilt(self, key: str, data: bytes) -> bool:
        found = self._store.peek(key)
        return found is not None and (_LINE in found if key == LEDGER else found == data)
