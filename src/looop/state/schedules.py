"""Schedules: `schedules/<name>.json`. What is due is judged in rules/due.py; here they are only kept."""

import msgspec

from looop.model.records import Fault, Schedule
from looop.model.text import to_json
from looop.state.codec import discard, names_in, read_record
from looop.store.protocol import Store


class Schedules:
    """One-shot and recurring wake-ups a person or the loop has set."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def all(self) -> dict[str, Schedule | Fault]:
        """Every schedule by name; one that cannot be read is a Fault, never dropped. Raises Unreadable."""
        found: dict[str, Schedule | Fault] = {}
        for name in names_in(self._store, "schedules", ".json"):
            record = read_record(self._store, f"schedules/{name}.json", Schedule)
            if record is not None:
                found[name] = record
        return found

    def write(self, name: str, schedule: Schedule) -> None:
        """Create or replace a schedule, as pretty JSON for a person to edit. Raises Unwritable."""
        record = {"v": schedule.v} | msgspec.to_builtins(schedule)
        text = msgspec.json.format(to_json(record), indent=2)
        self._store.write(f"schedules/{name}.json", text + b"\n")

    def drop(self, name: str) -> None:
        """Delete a schedule; one that is not there is fine. Raises Unwritable."""
        discard(self._store, f"schedules/{name}.json")
