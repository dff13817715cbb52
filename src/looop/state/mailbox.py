"""The mailbox: questions of workers and answers of people. Asking comes with workers; answering is here.

Source: spec/workers.md §9, edge cases 198-201, 212, 273.
"""

from msgspec import Struct

from looop.model.errors import Missing, Refused, Unreadable
from looop.model.records import Answer, Ask, Fault, Tell
from looop.state.codec import discard, encode_record, names_in, read_record, require_record
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

    def answer(self, ask_id: str, text: str, now: int, *, force: bool = False) -> Ask:
        """Answer a question and return it; `force` replaces an answer that is there. Of two at once one wins.

        An ask that vanished meanwhile takes its answer with it. Raises Missing, Refused, Unreadable, Unwritable.
        """
        ask = require_record(self._store, _ask_key(ask_id), Ask)
        if ask is None:
            raise Missing(f"no ask {ask_id!r}: `looop asks` shows those that wait")
        record = encode_record(Answer(answer=text, ts=now))
        if force:
            self._store.write(_answer_key(ask_id), record)
        elif not self._store.create(_answer_key(ask_id), record):
            raise Refused(f"ask {ask_id} is already answered: `looop answer --force {ask_id} …` replaces the answer")
        if self._is_gone(ask_id):
            self._store.swap(_answer_key(ask_id), record, None)
            raise Missing(f"ask {ask_id} was withdrawn while it was answered")
        return ask

    def discard_tells(self, worker: str) -> None:
        """What was told to a worker and never read goes with it. Raises Unreadable, Unwritable. Edge cases 206, 273."""
        for name in names_in(self._store, "tells", ".json"):
            tell = read_record(self._store, f"tells/{name}.json", Tell)
            if isinstance(tell, Tell) and tell.worker == worker:
                discard(self._store, f"tells/{name}.json")

    def _is_gone(self, ask_id: str) -> bool:
        """Whether the ask is proven absent; one that cannot be read just now is not."""
        try:
            return self._store.read(_ask_key(ask_id)) is None
        except Unreadable:
            return False


def _ask_key(ask_id: str) -> str:
    return f"asks/{ask_id}.json"


def _answer_key(ask_id: str) -> str:
    return f"answers/{ask_id}.json"
