"""Intents: a run_shell is announced before it runs, so that a crash in the middle is reported and never repeated.

Source: spec/beat.md §12, edge cases 132-138.
"""

import re
from collections.abc import Iterator

from msgspec import Struct

from looop.model.errors import Unreadable
from looop.model.records import Fault, Intent
from looop.state.codec import encode_record, read_record
from looop.store.protocol import Store

_NAME = re.compile(r"\.action-wal(\..+)?\.json")
_GRACE_S = 60


class Interrupted(Struct, frozen=True):
    """An action that was begun and never ended; `?` where the record does not say."""

    action: str
    fingerprint: str


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

    def sweep(self, now: int, default_timeout_s: int) -> Iterator[Interrupted]:
        """Remove what was interrupted, one by one: announced, and older than its own deadline plus a minute.

        An action without a deadline is never judged. Raises Unreadable, Unwritable.
        """
        for entry in self._store.list(""):
            if _NAME.fullmatch(entry.name) and (left := self._take(entry.name, now, default_timeout_s)):
                yield left

    def _take(self, key: str, now: int, default_timeout_s: int) -> Interrupted | None:
        record = read_record(self._store, key, Intent)
        if record is None or (isinstance(record, Fault) and record.kind == "unreadable"):
            return None
        if isinstance(record, Intent) and not _is_over(record, now, default_timeout_s):
            return None
        try:
            blob = self._store.read(key)
        except Unreadable:
            return None
        if blob is None or not self._store.swap(key, blob.data, None):
            return None
        if isinstance(record, Fault):
            return Interrupted(action="?", fingerprint="?")
        return Interrupted(action=record.kind, fingerprint=record.fingerprint)


def _is_over(record: Intent, now: int, default_timeout_s: int) -> bool:
    timeout = default_timeout_s if record.shell_timeout_secs is None else record.shell_timeout_secs
    return timeout != 0 and now - record.ts >= timeout + _GRACE_S
