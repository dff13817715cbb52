"""Which snapshots are restless: their signal changes so often that the skip gate never closes.

A change adds one to the streak, a quiet beat takes one away, so an intermittent flapper still shows.
Source: spec/beat.md §6.4, edge cases 45-48.
"""

from collections.abc import Mapping

from looop.model.records import FlapEntry, FlapLedger
from looop.model.world import Item


def observe(ledger: FlapLedger, items: Mapping[str, Item]) -> FlapLedger:
    """The ledger after one more look. A snapshot that is not there now is forgotten."""
    snaps = {}
    for name, item in items.items():
        if name.startswith("snap:"):
            stem = name.removeprefix("snap:")
            snaps[stem] = FlapEntry(last=item.value, streak=_streak(ledger.snaps.get(stem), item.value))
    return FlapLedger(snaps=snaps)


def crossing(before: FlapLedger, after: FlapLedger, threshold: int) -> list[tuple[str, int]]:
    """Stems that have just reached the threshold, with their streaks. A threshold of 0 switches this off."""
    return [
        (stem, entry.streak)
        for stem, entry in sorted(after.snaps.items())
        if threshold and entry.streak == threshold and before.snaps.get(stem, FlapEntry()).streak < threshold
    ]


def flapping(ledger: FlapLedger, threshold: int) -> list[str]:
    """Stems at or over the threshold, sorted."""
    return sorted(stem for stem, entry in ledger.snaps.items() if threshold and entry.streak >= threshold)


def _streak(entry: FlapEntry | None, value: str) -> int:
    if entry is None or not isinstance(entry.last, str):
        return 0
    return max(entry.streak + (1 if entry.last != value else -1), 0)
