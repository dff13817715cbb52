"""What was spent. The breakers that act on it stand in the gates. Source: spec/beat.md §6.5, design §6."""

from collections.abc import Iterable

from looop.model.records import CostRow


def spent_since(rows: Iterable[tuple[int, CostRow]], since: int) -> float:
    """US dollars of the rows (each with its time) at or after `since`; unmetered rows count nothing."""
    return sum(row.cost_usd or 0.0 for ts, row in rows if ts >= since)
