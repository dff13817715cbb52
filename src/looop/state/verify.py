"""What each worker is to be judged by, and the verdicts: `verify/<id>.cmd`, `verify/<id>.json`. Spec/workers.md §6.

Note [A new worker under an old id]
Ids are used again, and no verdict may stand for the next worker. Who starts a worker calls `clear`, then `declare`, and
holds the lock of starts; so does who records a verdict, and only for the command that was run. What is compared then
still stands when it is written, and whoever is killed in between leaves no verdict that the next worker would inherit.
Source: edge case 184.
"""

from msgspec import Struct

from looop.model.errors import Unreadable
from looop.model.records import Fault, VerifyResult
from looop.state.codec import discard, encode_record, names_in, read_record
from looop.store.protocol import Store


class Declared(Struct, frozen=True):
    """A verify command as it was declared. `written_ns` is when: another one is another worker's."""

    command: str
    written_ns: int


class Verify:
    """One obligation a worker at most; it is met by its verdict."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def declare(self, worker: str, command: str) -> None:
        """`worker` is to be judged by this shell command once it is dead. Raises Unreadable, Unwritable."""
        discard(self._store, _verdict_key(worker))
        self._store.write(_command_key(worker), command.encode("utf-8", "surrogateescape"))

    def obligations(self) -> list[str]:
        """The workers that have a command and no verdict yet, sorted. A torn verdict is none. Edge case 177.

        One that is there and cannot be read is not asked for again. Raises Unreadable when they cannot be listed.
        """
        return [worker for worker in names_in(self._store, "verify", ".cmd") if self._is_open(worker)]

    def command(self, worker: str) -> Declared | Fault | None:
        """Four-valued; a command without a word in it is corrupt, never run as an empty one. Edge case 180."""
        key = _command_key(worker)
        try:
            blob = self._store.read(key)
        except Unreadable as error:
            return Fault(key=key, kind="unreadable", why=str(error))
        if blob is None:
            return None
        command = blob.data.decode("utf-8", "surrogateescape")
        if not command.strip():
            return Fault(key=key, kind="corrupt", why=f"{key} is empty: nothing says how to judge {worker}")
        return Declared(command, blob.mtime_ns)

    def result(self, worker: str) -> VerifyResult | Fault | None:
        """The verdict, four-valued."""
        return read_record(self._store, _verdict_key(worker), VerifyResult)

    def record(self, worker: str, result: VerifyResult, judged: Declared | Fault | None = None) -> bool:
        """Keep the verdict, unless `judged` is not what stands there now; True when it was kept.

        The caller holds the lock of starts, see Note [A new worker under an old id]. Raises Unreadable, Unwritable.
        """
        if judged is not None and self.command(worker) != judged:
            return False
        self._store.write(_verdict_key(worker), encode_record(result))
        return True

    def clear(self, worker: str) -> None:
        """Forget command and verdict; nothing there is fine. Raises Unreadable, Unwritable."""
        discard(self._store, _command_key(worker))
        discard(self._store, _verdict_key(worker))

    def _is_open(self, worker: str) -> bool:
        found = self.result(worker)
        return found is None or (isinstance(found, Fault) and found.kind == "corrupt")


def _command_key(worker: str) -> str:
    return f"verify/{worker}.cmd"


def _verdict_key(worker: str) -> str:
    return f"verify/{worker}.json"
