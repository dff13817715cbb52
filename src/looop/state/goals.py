"""Goals: `goals/<id>.md`, and the archive of finished ones."""

from collections.abc import Iterator
from itertools import chain, count

from looop.model.errors import Missing
from looop.state.codec import names_in, with_newline
from looop.store.protocol import Store


class Goals:
    """The goals a person and the loop keep. Ids come from file names, whatever they are."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def ids(self) -> list[str]:
        """The ids of all live goals, sorted. Raises Unreadable."""
        return names_in(self._store, "goals", ".md")

    def read(self, goal: str) -> bytes | None:
        """The file of one goal, None when there is none. Raises Unreadable."""
        blob = self._store.read(_key(goal))
        return blob.data if blob else None

    def write(self, goal: str, body: str) -> None:
        """Create or replace a goal; the body ends in exactly one newline if it had none. Raises Unwritable."""
        self._store.write(_key(goal), with_newline(body))

    def archive(self, goal: str) -> str:
        """Move a goal to the archive under its name or the first free `-1`, `-2` …; returns that name.

        Nothing in the archive is ever overwritten. Raises Missing, Unreadable, Unwritable. Source: edge cases 114, 115.
        """
        for name in _archive_names(goal):
            if self._store.move(_key(goal), f"goals/archive/{name}.md"):
                return name
            if self._store.read(_key(goal)) is None:
                break
        raise Missing(f"no goal {goal!r}: `looop goal list` shows the live ones")


def _key(goal: str) -> str:
    return f"goals/{goal}.md"


def _archive_names(goal: str) -> Iterator[str]:
    return chain([goal], (f"{goal}-{n}" for n in count(1)))
