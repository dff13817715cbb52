"""Leases: `claims/<name>.json`, who works on what. Reading only; claiming comes with workers."""

from typing import Any

import msgspec

from looop.model.errors import Unreadable
from looop.state.codec import names_in
from looop.store.protocol import Store


class Leases:
    """The claims as they stand on disk. Source: spec/workers.md §8."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def all(self) -> dict[str, Any]:
        """Each lease's record as JSON by name, None where it does not parse. Raises Unreadable for the folder."""
        return {name: self._record(f"{name}.json") for name in names_in(self._store, "claims", ".json")}

    def _record(self, name: str) -> Any:
        try:
            blob = self._store.read(f"claims/{name}")
            return msgspec.json.decode(blob.data) if blob else None
        except (Unreadable, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
