"""What was pushed to whom, `notices.jsonl`, and which replies were taken, `.notify-nonces.jsonl`.

Both have one writer at a time, who holds the lock of `looop notify`.

Note [Keeping the book small]
What a target was told of an ask that waits must not be forgotten, or it is told again. So a book that has grown is not
rotated blindly: its old text goes to `notices.jsonl.1`, and then the rows that still matter take its place, in one
step.

Note [Torn and damaged]
A line that has a beginning and no end was cut off by a crash. It is left out: what it announced was not done, for that
begins when it is on disk. Any other line that is no row may have said that something was sent, so the file counts as
one that cannot be read.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from looop.model.errors import Corrupt
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
        """All rows, without torn lines. Raises Unreadable, Corrupt."""
        return _lines(self._store, BOOK, Notice)

    def append(self, row: Notice) -> int:
        """Add one row, on disk when this returns; how large the book is then. Raises Unwritable."""
        return self._store.append(BOOK, encode_record(row))

    def shrink(self, size: int, keep: Callable[[Sequence[Notice]], list[Notice]]) -> None:
        """Leave out what `keep` does, should the book be large. See Note [Keeping the book small].

        Raises Unreadable, Corrupt, Unwritable.
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

        Raises Unreadable, Corrupt, Unwritable.
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
    """The rows of a file. Raises Unreadable, and Corrupt as Note [Torn and damaged] says."""
    blob = store.read(key)
    rows = []
    for n, line in enumerate(blob.data.split(b"\n") if blob else (), 1):
        if _is_torn(line):
            continue
        try:
            rows.append(msgspec.json.decode(line, type=kind))
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            raise Corrupt(f"{key}: line {n} is damaged, and nobody knows what it said: mend or remove it") from None
    return rows


def _is_torn(line: bytes) -> bool:
    text = line.rstrip(b"\0")
    return not text or (text.startswith(b"{") and not text.endswith(b"}"))
