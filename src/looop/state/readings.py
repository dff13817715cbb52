"""Readings: what the sensors said last, `snapshots/<stem>.json`, with `.err` for what they complained about."""

from looop.model.errors import Unreadable
from looop.state.codec import names_in
from looop.store.protocol import Entry, Store

FOLDER = "snapshots"


class Readings:
    """The snapshots of the world. They are made anew each beat, so nothing here is worth an fsync."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def entries(self) -> dict[str, Entry]:
        """Every file in the folder by name, stray ones included. Raises Unreadable."""
        return {entry.name: entry for entry in self._store.list(FOLDER)}

    def read(self, stem: str) -> bytes | None:
        """The snapshot of one stem. Raises Unreadable."""
        blob = self._store.read(f"{FOLDER}/{stem}.json")
        return blob.data if blob else None

    def read_all(self) -> dict[str, bytes]:
        """All snapshots by stem; one that cannot be read is empty bytes. Raises Unreadable for the folder only."""
        found = {}
        for stem in names_in(self._store, FOLDER, ".json"):
            try:
                found[stem] = self.read(stem) or b""
            except Unreadable:
                found[stem] = b""
        return found

    def publish(self, stem: str, data: bytes, errors: bytes = b"", *, keep_same: bool = False) -> None:
        """Make `data` the snapshot of `stem`, and `errors`, when there are any, its `.err`. Raises Unwritable.

        With `keep_same` a snapshot that says the same already stays as it is, its time included.
        """
        if not (keep_same and self._says(f"{stem}.json", data)):
            self._store.write(f"{FOLDER}/{stem}.json", data, durable=False)
        if errors:
            self._store.write(f"{FOLDER}/{stem}.err", errors, durable=False)
        else:
            self._remove(f"{stem}.err")

    def prune(self, stems: set[str]) -> None:
        """Remove every file that belongs to none of `stems`. Source: spec/beat.md §3, edge cases 64, 65."""
        for name in self.entries():
            if name.rpartition(".")[0] not in stems:
                self._remove(name)

    def _says(self, name: str, data: bytes) -> bool:
        try:
            blob = self._store.read(f"{FOLDER}/{name}")
        except Unreadable:
            return False
        return blob is not None and blob.data == data

    def _remove(self, name: str) -> None:
        key = f"{FOLDER}/{name}"
        try:
            blob = self._store.read(key)
        except Unreadable:
            return
        if blob is not None:
            self._store.swap(key, blob.data, None)
