"""Intents: a run_shell is announced before it runs, so that a crash in the middle is reported and never repeated.

Source: spec/beat.md §12, edge cases 132-138.
"""

import re
from collections.abc import Callable, Iterator

from msgspec import Struct

from looop.model.errors import Unreadable
from looop.model.records import Fault, Intent
from looop.state.codec import decode_record, encode_record, read_record
from looop.store.protocol import Store

_NAME = re.compile(r"\.action-wal(\.(?:([0-9]{1,9})-)?.+)?\.json")
_GRACE_S = 60


class Interrupted(Struct, frozen=True):
    """An action that was begun and never ended; `?` where the record does not say. `cmd` and `mark` may be empty."""

    action: str
    fingerprint: str
    cmd: str = ""
    mark: str = ""


class Intents:
    """Write-ahead records of actions that must not run twice."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def begin(self, actor: str, intent: Intent) -> str:
        """Announce an action; `actor` is unique per action. Returns the token `end` wants. Raises Unwritable."""
        key = f".action-wal.{actor}.json"
        self._store.write(key, encode_record(intent))
        return key

    def end(self, token: str, intent: Intent) -> None:
        """Take an announcement back. Raises Unreadable, Unwritable."""
        self._store.swap(token, encode_record(intent), None)

    def is_open(self, fingerprint: str) -> bool:
        """Whether such an action was begun and nobody knows how it ended. Raises Unreadable."""
        records = [read_record(self._store, key, Intent) for key in self._keys()]
        for record in records:
            if isinstance(record, Fault) and record.kind == "unreadable":
                raise Unreadable(record.why)
        return any(isinstance(record, Intent) and record.fingerprint == fingerprint for record in records)

    def sweep(self, now: int, default_timeout_s: int, is_alive: Callable[[int], bool]) -> Iterator[Interrupted]:
        """What was interrupted, one by one: announced by a process that is gone.

        A record that does not say what it started may have an heir; it counts once it is older than its own deadline
        plus a minute, and never without a deadline. Each record goes once its report has been taken, so a crash in
        between reports it again. Raises Unreadable, Unwritable.
        """
        for key in self._keys():
            blob = self._store.read(key)
            record = None if blob is None else decode_record(blob.data, key, Intent)
            if blob is None or (
                isinstance(record, Intent)
                and not _is_orphaned(key, record, is_alive)
                and not _is_over(record, now, default_timeout_s)
            ):
                continue
            if isinstance(record, Intent):
                yield Interrupted(record.kind, record.fingerprint, record.cmd, record.mark)
            else:
                yield Interrupted(action="?", fingerprint="?")
            self._store.swap(key, blob.data, None)

    def _keys(self) -> list[str]:
        return [entry.name for entry in self._store.list("") if _NAME.fullmatch(entry.name)]


def _is_orphaned(key: str, record: Intent, is_alive: Callable[[int], bool]) -> bool:
    """Whether the process that announced it, named in the key, is gone."""
    found = _NAME.fullmatch(key)
    return bool(record.mark and found and found[2] and not is_alive(int(found[2])))


def _is_over(record: Intent, now: int, default_timeout_s: int) -> bool:
    timeout = default_timeout_s if record.shell_timeout_secs is None else record.shell_timeout_secs
    return timeout != 0 and now - record.ts >= timeout + _GRACE_S
