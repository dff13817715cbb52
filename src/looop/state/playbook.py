"""The PLAYBOOK: how to judge, in a person's words; every older version is kept for a while."""

from itertools import chain, count

from looop.model.errors import Missing
from looop.state.codec import names_in, with_newline
from looop.store.protocol import Store

KEY = "PLAYBOOK.md"
HISTORY = "playbook.d"


class Playbook:
    """`PLAYBOOK.md` and its history in `playbook.d/`, of which the newest `keep` stay (0: all)."""

    def __init__(self, store: Store, keep: int) -> None:
        self._store, self._keep = store, keep

    def read(self) -> bytes | None:
        """The body, None when there is none. Raises Unreadable."""
        blob = self._store.read(KEY)
        return blob.data if blob else None

    def write(self, body: str, stamp: str) -> None:
        """Replace the body; the old one is kept as `<stamp>.md` first. Raises Unreadable, Unwritable.

        Source: spec/beat.md §10.1, edge case 117.
        """
        if (old := self.read()) is not None:
            self._remember(old, stamp)
        self._store.write(KEY, with_newline(body))

    def versions(self) -> list[str]:
        """Names of the kept versions, oldest first. Raises Unreadable."""
        return names_in(self._store, HISTORY, ".md")

    def version(self, name: str) -> bytes:
        """One kept version. Raises Missing, Unreadable."""
        blob = self._store.read(f"{HISTORY}/{name}.md") if name in self.versions() else None
        if blob is None:
            raise Missing(f"no version {name!r} of the playbook: `looop playbook history` lists them")
        return blob.data

    def _remember(self, body: bytes, stamp: str) -> None:
        names = chain([stamp], (f"{stamp}-{n:04d}" for n in count(1)))
        next(name for name in names if self._store.create(f"{HISTORY}/{name}.md", body))
        if self._keep:
            for name in self.versions()[: -self._keep]:
                key = f"{HISTORY}/{name}.md"
                if (blob := self._store.read(key)) is not None:
                    self._store.swap(key, blob.data, None)
