"""What one beat leaves for the next: the hashes, the baseline, the failure record and their kin.

Only the holder of the pulse lock writes these, but for a person's own moves, which stamp a goal's activity and
keep a shell output. What they mean is judged in rules/. Source: spec/beat.md §0, §13.
"""

from typing import TypeVar

from looop.model.errors import Unreadable
from looop.model.records import (
    AttemptLedger,
    Awake,
    Backoff,
    Failure,
    Fault,
    FlapLedger,
    NextWake,
    NoopMark,
    OpenRun,
    Parked,
    ReflexLedger,
    ShellOutput,
    Unmetered,
)
from looop.model.world import World
from looop.rules.gates import Memory
from looop.state.codec import decode_record, discard, encode_record, read_record, write_record
from looop.store.protocol import Store

LAST_HASH = ".last-tick-hash"
BASELINE = ".last-world.json"
BACKOFF = ".tick-backoff"
FAILURE = ".last-failure.json"
SHELL = ".last-shell.json"
NOOP = ".noop-at.json"
FLAPS = ".signal-flap.json"
ATTEMPTS = ".decide-ledger.json"
WAKE = ".next-wake.json"
ACTIVITY = ".goal-activity.json"
REFLEXES = ".reflexes.json"
UNMETERED = ".cost-unmetered"
OPEN_RUN = ".open-run.json"
PARKED = ".parked.json"
AWAKE = ".awake.json"

T = TypeVar("T")


class Guards:
    """The beat's memory on disk."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def recall(self) -> Memory:
        """Everything the gates and the prompt need. Never raises: what cannot be read is a Fault."""
        return Memory(
            last_hash=self._last_hash(),
            baseline=self.baseline(),
            backoff=self._read(BACKOFF, Backoff),
            noop=self._read(NOOP, NoopMark),
            attempts=self._read(ATTEMPTS, AttemptLedger),
            failure=self._read(FAILURE, Failure),
            shell=self._read(SHELL, ShellOutput),
            activity=self.activity(),
        )

    def baseline(self) -> dict[str, str] | Fault | None:
        """The world of the last decision: each item's name and what is compared of it."""
        return self._read(BASELINE, dict[str, str])

    def damage(self, memory: Memory) -> list[Fault]:
        """What cannot be used and no gate asks for: the beat goes on without it, but somebody should hear of it."""
        found = (memory.baseline, memory.noop, memory.failure, memory.shell, self._read(ACTIVITY, dict[str, int]))
        return [record for record in found if isinstance(record, Fault)]

    def commit(self, world: World) -> None:
        """The decision for this world stands: hash first, then baseline. Raises Unwritable. Edge cases 15, 29, 269."""
        self._store.write(LAST_HASH, world.hash.encode() + b"\n")
        write_record(self._store, BASELINE, {name: item.value for name, item in world.items.items()})

    def forgive(self) -> None:
        """All that speaks of failure goes. Raises Unreadable, Unwritable. Source: edge case 33."""
        discard(self._store, BACKOFF)
        discard(self._store, FAILURE)

    def mark_noop(self, mark: NoopMark | None) -> None:
        """The last decision was this noop, or none. Raises Unreadable, Unwritable. Source: edge cases 25, 26."""
        if mark is None:
            discard(self._store, NOOP)
        else:
            write_record(self._store, NOOP, mark)

    def record_failure(self, backoff: Backoff, failure: Failure) -> None:
        """One more failure: the wait first, then what the next prompt says of it. Raises Unwritable."""
        write_record(self._store, BACKOFF, backoff)
        write_record(self._store, FAILURE, failure)

    def repair_backoff(self, backoff: Backoff) -> None:
        """Replace a record that could not be used. Raises Unwritable."""
        write_record(self._store, BACKOFF, backoff)

    def record_attempts(self, attempts: AttemptLedger) -> None:
        """The hourly ledger. Raises Unwritable."""
        write_record(self._store, ATTEMPTS, attempts)

    def flaps(self) -> FlapLedger | Fault | None:
        """The flapping ledger."""
        return self._read(FLAPS, FlapLedger)

    def record_flaps(self, ledger: FlapLedger) -> None:
        """Replace the flapping ledger. Raises Unwritable."""
        write_record(self._store, FLAPS, ledger, durable=False)

    def reflexes(self) -> ReflexLedger | Fault | None:
        """What the reflexes have done."""
        return self._read(REFLEXES, ReflexLedger)

    def record_reflexes(self, ledger: ReflexLedger) -> None:
        """Replace the reflex ledger. Raises Unwritable."""
        write_record(self._store, REFLEXES, ledger)

    def unmetered(self) -> Unmetered | Fault | None:
        """The runs in a row without a figure."""
        return self._read(UNMETERED, Unmetered)

    def record_unmetered(self, record: Unmetered | None) -> None:
        """Replace that record; None once a run had its figure. Raises Unreadable, Unwritable."""
        if record is None:
            discard(self._store, UNMETERED)
        else:
            write_record(self._store, UNMETERED, record)

    def opened_run(self) -> OpenRun | Fault | None:
        """The model run that has no row in the ledger yet. Raises nothing."""
        return self._read(OPEN_RUN, OpenRun)

    def open_run(self, run: OpenRun) -> None:
        """A model run begins. Raises Unwritable."""
        write_record(self._store, OPEN_RUN, run)

    def close_run(self) -> None:
        """Its row is in the ledger. Raises Unreadable, Unwritable."""
        discard(self._store, OPEN_RUN)

    def parked(self) -> Parked | Fault | None:
        """Until when a usage limit lets nobody be asked."""
        return self._read(PARKED, Parked)

    def park(self, record: Parked) -> None:
        """Replace that record. Raises Unwritable."""
        write_record(self._store, PARKED, record)

    def awake(self) -> Awake | Fault | None:
        """How long the machine had slept when last a beat noted it. Raises nothing."""
        return self._read(AWAKE, Awake)

    def record_awake(self, record: Awake) -> None:
        """Replace that record. Raises Unwritable."""
        write_record(self._store, AWAKE, record, durable=False)

    def record_shell(self, output: ShellOutput, *, only_if_free: bool = False) -> None:
        """Keep a shell output for the next prompt; `only_if_free` leaves one that waits there. Raises Unwritable."""
        if only_if_free:
            self._store.create(SHELL, encode_record(output))
        else:
            write_record(self._store, SHELL, output)

    def drop_shell(self, shown: ShellOutput) -> None:
        """Remove the shell output that a prompt has shown, unless a newer one took its place. Raises Unwritable."""
        if self._read(SHELL, ShellOutput) == shown:
            discard(self._store, SHELL)

    def activity(self) -> dict[str, int]:
        """When each goal was last acted on; empty when unknown: only fairness rests on it. Edge case 125."""
        found = self._read(ACTIVITY, dict[str, int])
        return found if isinstance(found, dict) else {}

    def stamp(self, goal: str, now: int) -> None:
        """Note that `goal` was acted on. Raises Unreadable: what is known of the others is kept; Unwritable."""
        found = self._read(ACTIVITY, dict[str, int])
        if isinstance(found, Fault) and found.kind == "unreadable":
            raise Unreadable(found.why)
        write_record(self._store, ACTIVITY, (found if isinstance(found, dict) else {}) | {goal: now})

    def wake(self) -> tuple[bytes, NextWake | Fault] | None:
        """The pending wake with its exact bytes, for `drop_wake`; None when there is none. Raises Unreadable."""
        blob = self._store.read(WAKE)
        return None if blob is None else (blob.data, decode_record(blob.data, WAKE, NextWake))

    def set_wake(self, due: int) -> None:
        """Force the beat at `due`. Raises Unwritable."""
        write_record(self._store, WAKE, NextWake(due=due))

    def drop_wake(self, seen: bytes) -> bool:
        """Remove the wake if it is still the one that was seen. Raises Unwritable. Source: edge case 150."""
        return self._store.swap(WAKE, seen, None)

    def _last_hash(self) -> str | Fault | None:
        try:
            blob = self._store.read(LAST_HASH)
        except Unreadable as error:
            return Fault(key=LAST_HASH, kind="unreadable", why=str(error))
        return blob.data.decode("utf-8", "replace").strip() if blob else None

    def _read(self, key: str, kind: type[T]) -> T | Fault | None:
        return read_record(self._store, key, kind)
