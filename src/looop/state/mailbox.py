"""The mailbox: questions of workers and answers of people.

Source: spec/workers.md §9, edge cases 196-201, 211, 212, 271, 273; design §3 rows 7, 10.

Note [The same question]
An agent's tools cut a long wait off, and it makes the same call again. A key makes that the same question: while it is
open, and afterwards until the worker has had the answer, which may have come while nobody waited. What an earlier
worker of that id was answered is not for its successor: it may have been an approval, and for something else.

Note [Two at once]
Of two asks at once the number decides: one creates it, the other looks again. So the number is chosen first and the key
looked for afterwards, or a question that came in between would be above the number and yet unseen. The folders are
looked through in the order in which a question is put away, so that none slips by.
"""

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from looop.model.errors import Missing, Refused
from looop.model.ids import index_of, next_numbered
from looop.model.records import Answer, Ask, Fault
from looop.state.codec import decode_record, encode_bare, encode_record, names_in, read_record, require_record
from looop.store.protocol import Store

_TRIES = 20
_ARCHIVE = "asks/archive"


class Mail(Struct, frozen=True):
    """Asks that wait for an answer in (ts, id) order, and what could not be read, as sentences."""

    pending: list[Ask]
    damaged: list[str]


class Mailbox:
    """`asks/<id>.json` and `answers/<id>.json`; what is settled for long is in `asks/archive/`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._heard: set[str] = set()

    def pending(self) -> Mail:
        """Every ask without a readable answer. A damaged answer keeps its ask pending. Raises Unreadable."""
        asks, damaged = [], []
        for name in names_in(self._store, "asks", ".json"):
            ask = self.ask_of(name)
            if isinstance(ask, Fault):
                damaged.append(ask.why)
            elif ask is not None and not isinstance(answer := self.answer_of(name), Answer):
                damaged += [answer.why] if answer else []
                damaged += [f"asks/{name}.json is of a newer version ({ask.v}): read as it is"] if ask.v > 1 else []
                asks += [] if self.is_gone(name) else [ask]
        return Mail(pending=sorted(asks, key=lambda ask: (ask.ts, ask.id)), damaged=damaged)

    def fresh_damage(self) -> list[str]:
        """What of `pending` is damaged and was not returned here before: a process says it once. Raises Unreadable."""
        fresh = [sentence for sentence in self.pending().damaged if sentence not in self._heard]
        self._heard.update(fresh)
        return fresh

    def ask(self, question: Ask, since: int) -> tuple[Ask, bool]:
        """Put a question on record; as it is there, and whether it is new. Its `id` is given to it here.

        `since` is when the asking worker began, see Note [The same question]. Raises Refused, Unreadable, Unwritable.
        """
        for _ in range(_TRIES):
            new = replace(question, id=self._next_id(question.worker))
            if question.key and (known := self._known(question, since)):
                return known, False
            if self._store.create(_ask_key(new.id), encode_bare(new)):
                return new, True
        raise Refused(f"{question.worker} asks too much at once: try again in some seconds")

    def ask_of(self, ask_id: str) -> Ask | Fault | None:
        """A question: absent is None. Never raises."""
        return read_record(self._store, _ask_key(ask_id), Ask)

    def answer_of(self, ask_id: str) -> Answer | Fault | None:
        """Its answer: absent is None. Never raises."""
        return read_record(self._store, _answer_key(ask_id), Answer)

    def is_gone(self, ask_id: str) -> bool:
        """Whether the ask is proven absent; one that cannot be read just now is not."""
        return self.ask_of(ask_id) is None

    def take(self, ask_id: str, now: int) -> None:
        """Put on record that the worker has had its answer: its key is free for another question.

        Raises Unreadable, Unwritable.
        """
        blob = self._store.read(_ask_key(ask_id))
        ask = None if blob is None else decode_record(blob.data, _ask_key(ask_id), Ask)
        if blob is not None and isinstance(ask, Ask) and ask.key and not ask.taken:
            self._store.swap(_ask_key(ask_id), blob.data, encode_bare(replace(ask, taken=now)))

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
        if self.is_gone(ask_id):
            self._store.swap(_answer_key(ask_id), record, None)
            raise Missing(f"ask {ask_id} was withdrawn while it was answered")
        return ask

    def archive(self, before_ns: int) -> list[str]:
        """Put away what was answered before that moment, question first; the ids. Their numbers stay used.

        A damaged answer keeps its question pending, so both stay. Raises Unreadable, Unwritable. Edge case 271.
        """
        return [
            name
            for name in self._settled(before_ns)
            if (self._store.move(_ask_key(name), f"{_ARCHIVE}/{name}.json") or self.is_gone(name))
            and self._store.move(_answer_key(name), f"{_ARCHIVE}/{name}.answer.json")
        ]

    def _settled(self, before_ns: int) -> Iterator[str]:
        old = {entry.name for entry in self._store.list("answers") if 0 <= entry.mtime_ns < before_ns}
        for name in names_in(self._store, "answers", ".json") if old else []:
            if f"{name}.json" in old and isinstance(self.answer_of(name), Answer):
                yield name

    def _next_id(self, worker: str) -> str:
        """The id above all that this worker has used, wherever they are by now. See Note [Two at once]."""
        folders = ("asks", "answers", _ARCHIVE)
        return next_numbered(worker, [name for folder in folders for name in names_in(self._store, folder, ".json")])

    def _known(self, question: Ask, since: int) -> Ask | None:
        """The newest question of that worker and key, if it is still the same one. See Note [The same question]."""
        names = names_in(self._store, "asks", ".json")
        numbers = {name: n for name in names if (n := index_of(name, question.worker)) is not None}
        for name in sorted(numbers, key=lambda name: numbers[name], reverse=True):
            ask = self.ask_of(name)
            if isinstance(ask, Ask) and (ask.worker, ask.key, ask.detach) == (question.worker, question.key, False):
                open_still = not isinstance(self.answer_of(name), Answer)
                return ask if open_still or (not ask.taken and ask.ts > since) else None
        return None


def _ask_key(ask_id: str) -> str:
    return f"asks/{ask_id}.json"


def _answer_key(ask_id: str) -> str:
    return f"answers/{ask_id}.json"
