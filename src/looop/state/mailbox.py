"""The mailbox: questions of workers, and how each was settled.

Source: spec/workers.md §9, edge cases 196-201, 211, 212, 271, 273; design §3 rows 7, 10.

Note [Settlement]
`answers/<id>.json` settles a question: a person's answer, or its expiry, its withdrawal, or that nobody asks it any
more. It is created exclusively, so of all who try exactly one wins, and the others find what stands. From `expires` on
a question without a settlement counts as expired, whoever writes that down. A damaged settlement is one that nobody
can read: its question stays pending until a forced answer repairs it.

Note [The same question]
An agent's tools cut a long wait off, and it makes the same call again. A key makes that the same question: while it is
open, and afterwards until the worker has had the answer, which may have come while nobody waited. What an earlier
worker of that id was answered is not for its successor: it may have been an approval, and for something else.

Note [Stranded]
A question whose session is over or was followed by another of its id waits for nobody. It is shown as stranded and
cannot be answered. The next session of that id takes an open one over when it asks under the same key: the record gets
its generation, and the person sees no new question. Who gives a question up writes -1 there first; both changes are
decided on that one record, so a question is taken over or given up, never both.

Note [Two at once]
Of two asks at once the number decides: one creates it, the other looks again. So the number is chosen first and the key
looked for afterwards, or a question that came in between would be above the number and yet unseen. The folders are
looked through in the order in which a question is put away, so that none slips by.
"""

from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from looop.model.errors import LooopError, Missing, Refused, Unreadable
from looop.model.ids import index_of, next_numbered
from looop.model.records import Answer, Ask, Fault
from looop.rules.answers import is_due, is_owed, is_persons, is_refusal, is_stranded
from looop.state.codec import decode_record, encode_bare, encode_record, names_in, read_record, require_record
from looop.store.protocol import Store

NOBODY = "nobody"
_TRIES = 20
_ARCHIVE = "asks/archive"
_GIVEN_UP = -1

Living = Callable[[], Mapping[str, int]]
"""When each live session started, by id. Raises Unreadable."""


class Mail(Struct, frozen=True):
    """Asks that wait for an answer, and those whose worker waits no more, in (ts, id) order.

    `damaged` says in sentences what could not be read.
    """

    pending: list[Ask]
    damaged: list[str]
    stranded: list[Ask] = []


class Settled(Struct, frozen=True):
    """A question and how it was settled."""

    ask: Ask
    answer: Answer


class AlreadySettled(Refused):
    """The question is settled; `found` says how, None where that cannot be read."""

    def __init__(self, ask: Ask, found: Answer | None) -> None:
        super().__init__(f"ask {ask.id} is already {found.outcome if found else 'settled'}")
        self.ask, self.found = ask, found


class IsStranded(Refused):
    """The worker that asked waits no more."""

    def __init__(self, ask: Ask) -> None:
        super().__init__(f"ask {ask.id} is stranded")
        self.ask = ask


class Mailbox:
    """`asks/<id>.json` and `answers/<id>.json`; what is settled for long is in `asks/archive/`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._heard: set[str] = set()

    def pending(self, now: int, living: Living | None = None) -> Mail:
        """Every ask without a settlement; a damaged settlement keeps its ask pending. Raises Unreadable.

        Who lives is asked only where some ask has a generation; where nobody knows, no ask is called stranded.
        """
        asks, damaged = self._open(now)
        try:
            lives = living() if living and any(ask.generation for ask in asks) else None
        except LooopError as error:
            damaged.append(f"{error}: no question can be called stranded")
            return Mail(asks, damaged)
        if lives is None:
            return Mail(asks, damaged)
        pending = [ask for ask in asks if not is_stranded(ask, lives)]
        return Mail(pending, damaged, [ask for ask in asks if is_stranded(ask, lives)])

    def unheard(self, damaged: list[str]) -> list[str]:
        """Those of these sentences that were not returned here before: a process says each once."""
        fresh = [sentence for sentence in damaged if sentence not in self._heard]
        self._heard.update(fresh)
        return fresh

    def settled(self) -> list[Settled]:
        """Every question that was settled, the archive's too, the latest last. Raises Unreadable."""
        found = [*self._pairs("asks", names_in(self._store, "answers", ".json")), *self._archived()]
        return sorted(found, key=lambda pair: (pair.answer.ts, pair.ask.ts, pair.ask.id))

    def ask(self, question: Ask, since: int) -> tuple[Ask, bool]:
        """Put a question on record; as it is there, and whether it is new. Its `id` is given to it here.

        `since` is when the asking worker began, see Note [The same question]; an open one of an earlier session is
        taken over, see Note [Stranded]. Raises Refused, Unreadable, Unwritable.
        """
        for _ in range(_TRIES):
            new = replace(question, id=self._next_id(question.worker))
            if question.key and (known := self._known(question, since)):
                if known.generation == question.generation or self._adopt(known, question.generation):
                    return replace(known, generation=question.generation), False
                continue
            if self._store.create(_ask_key(new.id), encode_bare(new)):
                return new, True
        raise Refused(f"{question.worker} asks too much at once: try again in some seconds")

    def refusal(self, question: Ask, since: int) -> Settled | None:
        """What a person last answered to this question, if it was a no; None while it is open or its answer is owed.

        The same question has the same key, and the same worker or the same words about the same thing. Two answers of
        one second that differ are no refusal: in doubt it is asked. Raises Unreadable.
        """
        if not question.key or self._known(question, since):
            return None
        names = names_in(self._store, "asks", ".json")
        found = [*self._pairs("asks", names, question.key), *self._archived(question.key)]
        same = question.prompt, question.reference
        said = [
            pair
            for pair in found
            if pair.ask.key == question.key
            and (pair.ask.worker == question.worker or (pair.ask.prompt, pair.ask.reference) == same)
            and pair.answer.outcome == "answered"
            and is_persons(pair.answer)
        ]
        latest = max((pair.answer.ts for pair in said), default=0)
        last = [pair for pair in said if pair.answer.ts == latest]
        return last[-1] if last and all(is_refusal(pair.answer.answer) for pair in last) else None

    def ask_of(self, ask_id: str) -> Ask | Fault | None:
        """A question: absent is None. Never raises."""
        return read_record(self._store, _ask_key(ask_id), Ask)

    def answer_of(self, ask_id: str) -> Answer | Fault | None:
        """Its settlement: absent is None. Never raises."""
        return read_record(self._store, _answer_key(ask_id), Answer)

    def put_away(self, ask_id: str) -> Settled | None:
        """A question that is in the archive."""
        ask = read_record(self._store, f"{_ARCHIVE}/{ask_id}.json", Ask)
        answer = read_record(self._store, f"{_ARCHIVE}/{ask_id}.answer.json", Answer) or self.answer_of(ask_id)
        return Settled(ask, answer) if isinstance(ask, Ask) and isinstance(answer, Answer) else None

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

    def answer(
        self, ask_id: str, text: str, now: int, living: Living | None = None, *, force: bool = False, by: str = ""
    ) -> Ask:
        """Answer a question and return it; `force` replaces an answer that is there. Of two at once one wins.

        `by` says who, when it is no person in plain. An ask that vanished meanwhile takes its answer with it. Raises
        Missing, AlreadySettled, IsStranded, Unreadable, Unwritable.
        """
        ask = self._to_settle(ask_id, now)
        if self.answer_of(ask_id) is None:
            self._require_waiting(ask, living)
        record = self._settle(ask, Answer(answer=text, ts=now, by=by), force=force)
        if self.is_gone(ask_id) and self.put_away(ask_id) is None:
            self._store.swap(_answer_key(ask_id), record, None)
            raise Missing(f"ask {ask_id} was withdrawn while it was answered")
        return ask

    def withdraw(self, ask_id: str, why: str, by: str, now: int) -> Ask:
        """Settle a question that needs no answer any more, a stranded one too, and return it.

        Raises Missing, AlreadySettled, Unreadable, Unwritable.
        """
        ask = self._to_settle(ask_id, now)
        self._settle(ask, Answer(answer=why, ts=now, outcome="withdrawn", by=by))
        return ask

    def expire_one(self, ask_id: str, default: str, expires: int) -> bool:
        """Settle a question that is due with what its worker gets then; False when it is settled already.

        Raises Unwritable.
        """
        lapsed = Answer(answer=default, ts=expires, outcome="expired", by=NOBODY)
        return self._store.create(_answer_key(ask_id), encode_record(lapsed))

    def expire(self, now: int) -> list[Ask]:
        """Settle every question that is due; those that were settled here. Raises Unreadable, Unwritable."""
        return [
            ask
            for ask in self._unsettled()
            if ask.expires is not None and ask.expires <= now and self.expire_one(ask.id, ask.default, ask.expires)
        ]

    def strand(
        self, living: Living, keyed_before: int, now: int, spared: Callable[[Ask], bool] = lambda _: False
    ) -> list[Ask]:
        """Settle what nobody waits for: without a key at once, with one when it was asked before that time.

        Those that were settled here. One with a key is `spared` as long as somebody may yet take it over. Nothing is
        settled while nobody knows who lives. Raises Unreadable, Unwritable.
        """
        asks = [ask for ask in self._unsettled() if ask.generation and (not ask.key or ask.ts < keyed_before)]
        lives = living() if asks else {}
        gone = [ask for ask in asks if ask.generation < 0 or not ask.key or not spared(ask)]
        return [ask for ask in gone if is_stranded(ask, lives) and self.give_up(ask, now)]

    def give_up(self, ask: Ask, now: int) -> bool:
        """Settle a stranded question; False when somebody has taken it over or settled it. See Note [Stranded].

        Raises Unreadable, Unwritable.
        """
        gone = Answer(answer="", ts=now, outcome="stranded", by=NOBODY)
        return self._adopt(ask, _GIVEN_UP) and self._store.create(_answer_key(ask.id), encode_record(gone))

    def archive(self, before_ns: int) -> list[str]:
        """Put away what was settled before that moment, question first; the ids. Their numbers stay used.

        A damaged settlement keeps its question pending, so both stay. Raises Unreadable, Unwritable. Edge case 271.
        """
        return [
            name
            for name in self._settled_before(before_ns)
            if (self._store.move(_ask_key(name), f"{_ARCHIVE}/{name}.json") or self.is_gone(name))
            and self._store.move(_answer_key(name), f"{_ARCHIVE}/{name}.answer.json")
        ]

    def _open(self, now: int) -> tuple[list[Ask], list[str]]:
        """Questions that are neither settled nor due, in order, and what is damaged."""
        asks, damaged = list[Ask](), list[str]()
        for ask in self._unsettled(damaged):
            if ask.expires is None or ask.expires > now:
                damaged += [f"asks/{ask.id}.json is of a newer version ({ask.v}): read as it is"] if ask.v > 1 else []
                asks.append(ask)
        return sorted(asks, key=lambda ask: (ask.ts, ask.id)), damaged

    def _unsettled(self, damaged: list[str] | None = None) -> Iterator[Ask]:
        """Every readable question without a settlement that can be read; its id is its file's name.

        Settlements are listed before questions are read, so one that is put away meanwhile is not taken for open.
        """
        settled = set(names_in(self._store, "answers", ".json"))
        for name in names_in(self._store, "asks", ".json"):
            ask = self.ask_of(name)
            answer = self.answer_of(name) if name in settled and isinstance(ask, Ask) else None
            if damaged is not None:
                damaged += [fault.why for fault in (ask, answer) if isinstance(fault, Fault)]
            if isinstance(ask, Ask) and not isinstance(answer, Answer) and not (name in settled and self.is_gone(name)):
                yield ask if ask.id == name else replace(ask, id=name)

    def _next_id(self, worker: str) -> str:
        """The id above all that this worker has used, wherever they are by now. See Note [Two at once]."""
        names = [name for folder in ("asks", "answers", _ARCHIVE) for name in names_in(self._store, folder, ".json")]
        return next_numbered(worker, [name.removesuffix(".answer") for name in names])

    def _known(self, question: Ask, since: int) -> Ask | None:
        """The newest question of that worker and key, if it is still the same one. See Note [The same question].

        Raises Unreadable, also for one of that worker that cannot be read now: it may be the same.
        """
        names = names_in(self._store, "asks", ".json")
        numbers = {name: n for name in names if (n := index_of(name, question.worker)) is not None}
        for name in sorted(numbers, key=lambda name: numbers[name], reverse=True):
            ask = self.ask_of(name)
            if isinstance(ask, Fault) and ask.kind == "unreadable":
                raise Unreadable(ask.why)
            if isinstance(ask, Ask) and (ask.worker, ask.key, ask.detach) == (question.worker, question.key, False):
                answer = self.answer_of(name)
                is_over = isinstance(answer, Answer) or (answer is None and is_due(ask, question.ts))
                is_same = is_owed(ask, answer, question.generation, since) if is_over else ask.generation != _GIVEN_UP
                return replace(ask, id=name) if is_same else None
        return None

    def _adopt(self, ask: Ask, generation: int) -> bool:
        """Give an unchanged question another generation; of many at once one does. See Note [Stranded]."""
        blob = self._store.read(_ask_key(ask.id))
        found = decode_record(blob.data, _ask_key(ask.id), Ask) if blob else None
        if blob is None or not isinstance(found, Ask) or replace(found, id=ask.id) != ask:
            return False
        adopted = encode_bare(replace(ask, generation=generation))
        return ask.generation == generation or self._store.swap(_ask_key(ask.id), blob.data, adopted)

    def _to_settle(self, ask_id: str, now: int) -> Ask:
        """The question of that id; where it is due, that is on record when this returns. See Note [Settlement]."""
        ask = require_record(self._store, _ask_key(ask_id), Ask)
        if ask is None and (away := self.put_away(ask_id)):
            raise AlreadySettled(away.ask, away.answer)
        if ask is None:
            raise Missing(f"no ask {ask_id!r}: `looop asks` shows those that wait")
        if is_due(ask, now) and ask.expires is not None:
            self.expire_one(ask_id, ask.default, ask.expires)
        return replace(ask, id=ask_id)

    def _settle(self, ask: Ask, settlement: Answer, *, force: bool = False) -> bytes:
        """Settle a question, once; `force` replaces a person's answer and a damaged one. What was written.

        Raises AlreadySettled, Unreadable, Unwritable.
        """
        key, record = _answer_key(ask.id), encode_record(settlement)
        for _ in range(_TRIES):
            if self._store.create(key, record):
                return record
            blob = self._store.read(key)
            found = decode_record(blob.data, key, Answer) if blob else None
            if isinstance(found, Answer) and not (force and found.outcome == "answered"):
                raise AlreadySettled(ask, found)
            if blob and not force:
                raise AlreadySettled(ask, None)
            if blob and self._store.swap(key, blob.data, record):
                return record
        raise Refused(f"ask {ask.id} is settled by too many at once: try again in some seconds")

    def _require_waiting(self, ask: Ask, living: Living | None) -> None:
        """Raises IsStranded; where nobody knows who lives, that keeps no answer back."""
        if not ask.generation or not living:
            return
        try:
            lives = living()
        except LooopError:
            return
        if is_stranded(ask, lives):
            raise IsStranded(ask)

    def _settled_before(self, before_ns: int) -> Iterator[str]:
        old = {entry.name for entry in self._store.list("answers") if 0 <= entry.mtime_ns < before_ns}
        for name in names_in(self._store, "answers", ".json") if old else []:
            if f"{name}.json" in old and isinstance(self.answer_of(name), Answer):
                yield name

    def _archived(self, key: str = "") -> Iterator[Settled]:
        names = names_in(self._store, _ARCHIVE, ".json")
        return self._pairs(_ARCHIVE, [name for name in names if not name.endswith(".answer")], key)

    def _pairs(self, folder: str, names: list[str], key: str = "") -> Iterator[Settled]:
        """The settled questions of these names, without most of those of another key."""
        for name in names:
            ask = self._keyed(f"{folder}/{name}.json", key)
            if ask is not None:
                found = self.put_away(name) if folder == _ARCHIVE else self.answer_of(name)
                answer = found.answer if isinstance(found, Settled) else found
                if isinstance(answer, Answer):
                    yield Settled(replace(ask, id=name), answer)

    def _keyed(self, place: str, key: str) -> Ask | None:
        """The question at that place; decoding all of a large archive would take as long again as reading it."""
        try:
            blob = self._store.read(place)
        except LooopError:
            return None
        ask = decode_record(blob.data, place, Ask) if blob and key.encode() in blob.data else None
        return ask if isinstance(ask, Ask) else None


def _ask_key(ask_id: str) -> str:
    return f"asks/{ask_id}.json"


def _answer_key(ask_id: str) -> str:
    return f"answers/{ask_id}.json"
