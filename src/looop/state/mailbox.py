"""The mailbox: questions of workers and answers of people. Reading only; asking and answering come with workers.

Source: spec/workers.md §9, edge cases 198, 212, 273.
"""

from msgspec import Struct

from looop.model.records import Answer, Ask, Fault
from looop.state.codec import names_in, read_record
from looop.store.protocol import Store


class Mail(Struct, frozen=True):
    """Asks that wait for an answer in (ts, id) order, and what could not be read, as sentences."""

    pending: list[Ask]
    damaged: list[str]


class Mailbox:
    """`asks/<id>.json` and `answers/<id>.json`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def pending(self) -> Mail:
        """Every ask without a readable answer. A damaged answer keeps its ask pending. Raises Unreadable."""
        asks, damaged = [], []
        for name in names_in(self._store, "asks", ".json"):
            ask = read_record(self._store, f"asks/{name}.json", Ask)
            if isinstance(ask, Fault):
                damaged.append(ask.why)
            elif ask is not None:
                answer = read_record(self._store, f"answers/{name}.json", Answer)
                damaged += [answer.why] if isinstance(answer, Fault) else []
                asks += [] if isinstance(answer, Answer) else [ask]
        return Mail(pending=sorted(asks, key=lambda ask: (ask.ts, ask.id)), damaged=damaged)
