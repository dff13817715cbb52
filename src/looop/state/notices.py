"""What was pushed to whom, `notices.jsonl`, and which replies were taken, `.notify-nonces.jsonl`.

Both have one writer at a time, who holds the lock of `looop notify`.

Note [Keeping the book small]
What a target was told of an ask that waits must not be forgotten, or it is told again. So a book that has grown is not
rotated blindly: its old text goes to `notices.jsonl.1`, and then the rows that still matter take its place, in one
step.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from looop.model.notices import Nonce, Notice
from looop.state.codec import encode_record
from looop.store.protocol import Store

BOOK = "notices.jsonl"
NONCES = ".notify-nonces.jsonl"
MOST_BYTES = 1 << 20
_MOST_NONCES = 10_000

T = TypeVar("T")


class Notices:
    """The rows of what was sent, oldest first."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._least = MOST_BYTES

    def rows(self) -> list[Notice]:
        """All rows; a damaged line, such as a torn last one, announced nothing that was sent. Raises Unreadable."""
        return _lines(self._store, BOOK, Notice)

    def append(self, row: Notice) -> int:
        """Add one row, on disk when this returns; how large the book is then. Raises Unwritable."""
        return self._store.append(BOOK, encode_record(row))

    def shrink(self, size: int, keep: Callable[[Sequence[Notice]], list[Notice]]) -> None:
        """Leave out what `keep` does, should the book be large. See Note [Keeping the book small].

        Raises Unreadable, Unwritable.
        """
        if size <= self._least:
            return
        blob = self._store.read(BOOK)
        if blob is not None:
            text = b"".join(map(encode_record, keep(self.rows())))
            self._store.write(f"{BOOK}.1", blob.data)
            self._store.write(BOOK, text)
            self._least = max(MOST_BYTES, 2 * len(text))


class Nonces:
    """The nonces of replies, so that none is taken twice while its signature is fresh."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def take(self, nonce: Nonce, since: int) -> bool:
        """Put it on record; False when it is there, or when there are too many. Those signed before `since` go.

        Raises Unreadable, Unwritable.
        """
        rows = _lines(self._store, NONCES, Nonce)
        fresh = [row for row in rows if row.ts >= since]
        if any(row.nonce == nonce.nonce for row in fresh) or len(fresh) >= _MOST_NONCES:
            return False
        if len(rows) > 2 * len(fresh) + 100:
            self._store.write(NONCES, b"".join(map(encode_record, [*fresh, nonce])))
        else:
            self._store.append(NONCES, encode_record(nonce))
        return True


def _lines(store: Store, key: str, kind: type[T]) -> list[T]:
    blob = store.read(key)
    rows = []
    for line in blob.data.split(b"\n") if blob else ():
        try:
            rows.append(msgspec.json.decode(line, type=kind))
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            continue
    return rows
