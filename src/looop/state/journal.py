"""The journal: one line for every move, in local time, for people to read."""

from looop.model.text import one_line
from looop.state.codec import LineLog
from looop.store.protocol import Store

KEY = "journal.md"


class Journal:
    """`journal.md`, with one older generation. Source: spec/beat.md §14, edge cases 119, 246."""

    def __init__(self, store: Store, max_bytes: int) -> None:
        self._log = LineLog(store, KEY, max_bytes)

    def write(self, text: str, stamp: str) -> None:
        """Add `- <stamp> <text>` as one line that is safe to show. Raises Unwritable."""
        self._log.append(f"- {stamp} {one_line(text)}")

    def tail(self, count: int) -> list[str]:
        """The last `count` lines verbatim. Raises Unreadable."""
        return self._log.tail(count)
