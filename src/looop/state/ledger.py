"""The cost ledger: `cost.jsonl`, one row for every touch of a model, also when the run failed. Design §6.

A row that does not parse is counted and skipped when the ledger is read: whoever guards a budget decides what a
damaged ledger means, so the count is part of the answer.
"""

from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from looop.model.records import CostRow
from looop.state.codec import encode_record
from looop.store.protocol import Store

KEY = "cost.jsonl"


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


def _parse(line: bytes) -> tuple[int, CostRow] | None:
    try:
        row = msgspec.json.decode(line, type=CostRow)
        when = datetime.fromisoformat(row.ts)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    if not all(figure >= 0 for figure in (row.cost_usd or 0, *(row.tokens or {}).values())):
        return None
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()), row
