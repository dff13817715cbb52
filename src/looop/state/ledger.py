"""The cost ledger: `cost.jsonl`, one row for every touch of a model, also when the run failed. Design §6.

A row that does not parse is counted and skipped when the ledger is read: whoever guards a budget decides what a
damaged ledger means, so the count is part of the answer.

Note [Repair]
Damaged lines are on disk in `cost.jsonl.damaged` before they leave the ledger, and the ledger is replaced in one step,
only if nobody has changed it meanwhile. So a kill leaves the old ledger or the new one; a second repair does not set
the same lines aside twice, but where somebody added a row just between.
"""

from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from looop.model.records import CostRow
from looop.state.codec import encode_record
from looop.store.protocol import Store

KEY = "cost.jsonl"
DAMAGED = f"{KEY}.damaged"


class Rows(Struct, frozen=True):
    """The rows that parse, each with its time in UTC seconds, and how many lines did not."""

    rows: list[tuple[int, CostRow]]
    damaged: int


class CostLedger:
    """Append and read; rows of the reference program (`ts, kind, id, runner, cost_usd`) are read as they are."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def append(self, row: CostRow) -> None:
        """Add one row, on disk when this returns. Raises Unwritable."""
        self._store.append(KEY, encode_record(row))

    def read(self) -> Rows:
        """All rows. Raises Unreadable."""
        blob = self._store.read(KEY)
        rows: list[tuple[int, CostRow]] = []
        damaged = 0
        for line in blob.data.split(b"\n") if blob else ():
            if line.strip():
                row = _parse(line)
                damaged += row is None
                rows += [row] if row else []
        return Rows(rows=rows, damaged=damaged)

    def repair(self) -> int:
        """Set the damaged lines aside and return how many there were. See Note [Repair].

        Raises Unreadable, Unwritable.
        """
        while (blob := self._store.read(KEY)) is not None:
            lines = [line for line in blob.data.split(b"\n") if line.strip()]
            damaged = [line for line in lines if _parse(line) is None]
            if not damaged:
                break
            self._set_aside(_text(damaged))
            if self._store.swap(KEY, blob.data, _text([line for line in lines if _parse(line)])):
                return len(damaged)
        return 0

    def mend_end(self) -> bool:
        """Set a last line aside that a crash left unfinished: nobody was told that it is there. True when it was.

        Raises Unreadable, Unwritable.
        """
        blob = self._store.read(KEY)
        whole, _, last = blob.data.rpartition(b"\n") if blob else (b"", b"", b"")
        if blob is None or not last.strip() or _parse(last):
            return False
        self._set_aside(_text([last]))
        return self._store.swap(KEY, blob.data, whole and whole + b"\n")

    def _set_aside(self, text: bytes) -> None:
        kept = self._store.read(DAMAGED)
        if kept is None or not (b"\n" + kept.data).endswith(b"\n" + text):
            self._store.append(DAMAGED, text)


def _text(lines: list[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def _parse(line: bytes) -> tuple[int, CostRow] | None:
    try:
        row = msgspec.json.decode(line, type=CostRow)
        when = datetime.fromisoformat(row.ts)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    if not all(figure >= 0 for figure in (row.cost_usd or 0, *(row.tokens or {}).values())):
        return None
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()), row
