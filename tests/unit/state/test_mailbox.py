"""Questions and answers in the book: ids, keys, what is pending, what is put away."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from looop.model.errors import Missing, Refused, Unreadable
from looop.model.records import Answer, Ask, Fault
from looop.state.mailbox import Mailbox
from looop.store.memory import MemoryStore
from looop.store.protocol import Blob, Entry

LATER = 10**18
HIGHEST = ("asks/w-12.json", "answers/w-12.json", "asks/archive/w-12.json", "asks/archive/w-12.answer.json")


class Shaky(MemoryStore):
    """A store in which some keys cannot be read just now, and in which somebody else is faster at creating."""

    def __init__(self) -> None:
        super().__init__()
        self.unreadable: set[str] = set()
        self.faster = 0

    def read(self, key: str) -> Blob | None:
        if key in self.unreadable:
            raise Unreadable(f"cannot read {key!r}: Input/output error")
        return super().read(key)

    def create(self, key: str, data: bytes) -> bool:
        if self.faster and not key.startswith("answers/"):
            self.faster -= 1
            super().create(key, b'{"id": "?", "worker": "?", "prompt": "somebody else\'s"}')
        return super().create(key, data)


class Interrupted(MemoryStore):
    """A store in which, before the n-th call, somebody else does something; `calls` are all calls."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at, self.calls = at, 0
        self.interlude: Callable[[], None] = lambda: None

    def read(self, key: str) -> Blob | None:
        self._step()
        return super().read(key)

    def list(self, folder: str) -> list[Entry]:
        self._step()
        return super().list(folder)

    def create(self, key: str, data: bytes) -> bool:
        self._step()
        return super().create(key, data)

    def _step(self) -> None:
        self.calls += 1
        if self.calls == self.at:
            self.interlude()


@pytest.fixture
def store() -> Shaky:
    return Shaky()


@pytest.fixture
def box(store: Shaky) -> Mailbox:
    return Mailbox(store)


def question(worker: str = "w", prompt: str = "?", ts: int = 5, **more: Any) -> Ask:
    return Ask(id="", worker=worker, prompt=prompt, ts=ts, **more)


def asked(box: Mailbox, worker: str = "w", *, since: int = 0, **more: Any) -> str:
    """The id of the question."""
    return box.ask(question(worker, **more), since)[0].id


def record(store: MemoryStore, key: str) -> Any:
    blob = store.read(key)
    return None if blob is None else json.loads(blob.data)


def test_a_question_is_written_without_what_is_empty(store: Shaky, box: Mailbox) -> None:
    """The record has the fields of the reference program, reference, options and key only where they say something.

    Source: spec/workers.md §9.
    """
    assert asked(box) == "w-1"
    assert record(store, "asks/w-1.json") == {"v": 1, "id": "w-1", "worker": "w", "prompt": "?", "ts": 5}
    assert asked(box, ts=0, reference="r", options=["a", "b"], key="k") == "w-2"
    assert record(store, "asks/w-2.json") == {
        "v": 1,
        "id": "w-2",
        "worker": "w",
        "prompt": "?",
        "ts": 0,
        "reference": "r",
        "options": ["a", "b"],
        "key": "k",
    }


@pytest.mark.parametrize("highest", HIGHEST)
def test_a_number_is_never_used_again(store: Shaky, box: Mailbox, highest: str) -> None:
    """The next number is above all in asks, answers and the archive, whichever of them lingers.

    Source: spec/workers.md §9; design §3 row 10.
    """
    for used in ("asks/w-2.json", "answers/w-3.json", "asks/archive/w-4.json", "asks/archive/w-5.answer.json"):
        store.write(used, b"{}")
    store.write(highest, b"{}")
    assert asked(box) == "w-13"


def test_workers_with_similar_ids_count_apart(store: Shaky, box: Mailbox) -> None:
    """`w` and `w-1` have numbers of their own, and what only looks like a number is none. Source: edge case 197."""
    for name in ("w-1-8", "w-x", "w-", "w-+3", "w-²", "w", "w-٣", "w- 4"):
        store.write(f"asks/{name}.json", b"{}")
    assert (asked(box), asked(box, "w-1"), asked(box)) == ("w-1", "w-1-9", "w-2")


def test_who_loses_a_race_takes_the_next_number(store: Shaky, box: Mailbox) -> None:
    """A number somebody else has just taken is passed over, up to twenty times. Source: edge case 196."""
    store.faster = 19
    assert asked(box) == "w-20"
    store.faster = 20
    with pytest.raises(Refused, match="asks too much at once"):
        asked(box)


def test_a_key_is_the_same_question_while_it_is_open(store: Shaky, box: Mailbox) -> None:
    """The same key of the same worker finds its open question, in other words too; without a key, or of another
    worker, it is another one. Source: design §3 row 7.
    """
    first, new = box.ask(question(prompt="Merge?", key="k"), 0)
    assert (first.id, new) == ("w-1", True)
    again, new = box.ask(question(prompt="May I merge?", key="k", ts=9), 7)
    assert (again, new) == (first, False)
    assert [asked(box), asked(box, key="other"), asked(box, "v", key="k")] == ["w-2", "w-3", "v-1"]
    store.write("answers/w-1.json", b"{")
    assert asked(box, key="k") == "w-1"


@pytest.mark.parametrize("answered", [False, True])
def test_a_race_over_a_key_ends_with_one_question(answered: bool) -> None:
    """Who is overtaken by the same question, before any of its looks at the store, finds it and asks no second one.

    Source: design §3 row 7; edge case 196.
    """
    for at in range(1, 100):
        store = Interrupted(at)
        store.interlude = lambda store=store: same_question(Mailbox(store), answered=answered)
        found, new = Mailbox(store).ask(question(key="k"), 0)
        if store.calls < at:
            break
        assert (found.id, new) == ("w-1", False), at
        assert [entry.name for entry in store.list("asks")] == ["w-1.json"], at
    assert (at, new) == (6, True), "each of the five calls was preceded once"


def same_question(box: Mailbox, *, answered: bool) -> None:
    """What overtakes: the question of that key, and its answer."""
    assert box.ask(question(key="k"), 0)[1]
    if answered:
        box.answer("w-1", "yes", 6)


def test_an_answer_that_nobody_took_is_still_its_keys(store: Shaky, box: Mailbox) -> None:
    """A call that was cut off gets the answer that came in between, once; the key is a new question afterwards.

    Source: design §3 row 7; spec/workers.md §9.
    """
    assert asked(box, key="k") == "w-1"
    box.answer("w-1", "yes", 6)
    assert asked(box, key="k", ts=7) == "w-1"
    box.take("w-1", 8)
    assert record(store, "asks/w-1.json")["taken"] == 8
    assert asked(box, key="k", ts=9) == "w-2"
    box.answer("w-1", "no, wait", 10, force=True)
    assert asked(box, key="k", ts=11) == "w-2"


def test_an_answer_to_an_earlier_worker_is_not_for_its_successor(box: Mailbox) -> None:
    """What a worker was answered that has ended does not answer the next one of its id: it may be an approval.

    In doubt, within one second, the person is asked again. Source: spec/workers.md §1, ids are used again.
    """
    assert asked(box, key="k", ts=5) == "w-1"
    box.answer("w-1", "yes", 6)
    assert asked(box, key="k", ts=7, since=4) == "w-1"
    assert asked(box, key="k", ts=7, since=5) == "w-2"


def test_taking_leaves_alone_what_has_changed(store: Shaky, box: Mailbox) -> None:
    """A question without a key, one that is gone, and one that is damaged are left as they are."""
    asked(box)
    before = record(store, "asks/w-1.json")
    store.write("asks/w-3.json", b"{")
    for ask_id in ("w-1", "w-2", "w-3"):
        box.take(ask_id, 9)
    assert record(store, "asks/w-1.json") == before
    assert store.read("asks/w-2.json") is None


def test_an_answer_is_read_four_valued(store: Shaky, box: Mailbox) -> None:
    """Absent, an answer, unreadable, corrupt; a record without a text is corrupt. Source: edge cases 198, 199."""
    asked(box)
    assert box.answer_of("w-1") is None
    for broken in (b"", b"{", b"{}", b'{"answer": 1}', b'{"answer": null}'):
        store.write("answers/w-1.json", broken)
        found = box.answer_of("w-1")
        assert isinstance(found, Fault) and found.kind == "corrupt"
        assert [ask.id for ask in box.pending(8).pending] == ["w-1"]
    store.write("answers/w-1.json", b'{"answer": "yes"}')
    assert box.answer_of("w-1") == Answer("yes")
    store.unreadable.add("answers/w-1.json")
    found = box.answer_of("w-1")
    assert isinstance(found, Fault) and found.kind == "unreadable"


def test_what_may_be_the_same_question_is_not_asked_again(store: Shaky, box: Mailbox) -> None:
    """While a question of that worker cannot be read nobody knows, so a keyed one fails; another worker's is asked.

    Source: design §1 promise 4; users.md, ask once.
    """
    first = asked(box, key="k")
    store.unreadable.add("asks/w-1.json")
    with pytest.raises(Unreadable):
        asked(box, key="k")
    assert asked(box, "v", key="k") == "v-1"
    store.unreadable.clear()
    assert asked(box, key="k") == first


def test_gone_is_proven_only(store: Shaky, box: Mailbox) -> None:
    """A question that cannot be read just now, or is damaged, is not gone. Source: edge case 199."""
    asked(box)
    store.write("asks/w-2.json", b"{")
    store.unreadable.add("asks/w-1.json")
    assert [box.is_gone(name) for name in ("w-1", "w-2", "w-3")] == [False, False, True]


def test_an_answer_to_a_question_that_vanishes_is_taken_back(store: Shaky, box: Mailbox) -> None:
    """Removed while it is answered: the answer goes, too; somebody's forced one stays. Source: edge case 201."""
    write = store.create

    def removed(key: str, data: bytes) -> bool:
        done = write(key, data)
        store.swap("asks/w-1.json", store.read("asks/w-1.json").data, None)  # type: ignore[union-attr]
        if forced:
            store.write(key, b'{"answer": "forced"}')
        return done

    for forced in (False, True):
        asked_record = b'{"id": "w-1", "worker": "w", "prompt": "?"}'
        store.write("asks/w-1.json", asked_record)
        store.create = removed  # type: ignore[method-assign]
        with pytest.raises(Missing, match="withdrawn"):
            box.answer("w-1", "yes", 6)
        store.create = write  # type: ignore[method-assign]
        assert record(store, "answers/w-1.json") == ({"answer": "forced"} if forced else None)


def test_records_of_a_newer_version_are_read_and_said(store: Shaky, box: Mailbox) -> None:
    """A record with a higher `v` is read as far as it is understood, with one sentence. Source: edge case 211."""
    store.write("asks/w-1.json", b'{"v": 3, "id": "w-1", "worker": "w", "prompt": "?", "ts": 1, "new": []}')
    mail = box.pending(8)
    assert [ask.id for ask in mail.pending] == ["w-1"]
    assert mail.damaged == ["asks/w-1.json is of a newer version (3): read as it is"]


def test_damage_is_said_once_in_a_process(store: Shaky, box: Mailbox) -> None:
    """What was said at one beat is not said again at the next, new damage is. Source: edge case 212."""
    store.write("asks/w-1.json", b"{")
    assert len(box.unheard(box.pending(8).damaged)) == 1
    store.write("asks/w-2.json", b"{")
    assert ["w-2" in sentence for sentence in box.unheard(box.pending(8).damaged)] == [True]
    assert box.unheard(box.pending(8).damaged) == []
    assert len(box.pending(8).damaged) == 2


def test_what_was_answered_long_ago_is_put_away(store: Shaky, box: Mailbox) -> None:
    """Question and answer go to the archive together; what is open, fresh or damaged stays, and ids stay used.

    Source: design §3 row 10; edge case 271.
    """
    for _ in range(4):
        asked(box)
    box.answer("w-1", "yes", 6)
    store.write("answers/w-2.json", b"{")
    before = store.read("answers/w-2.json").mtime_ns + 1  # type: ignore[union-attr]
    box.answer("w-3", "fresh", 6)
    assert box.archive(before) == ["w-1"]
    assert store.read("asks/w-1.json") is store.read("answers/w-1.json") is None
    assert record(store, "asks/archive/w-1.json")["prompt"] == "?"
    assert record(store, "asks/archive/w-1.answer.json")["answer"] == "yes"
    assert [ask.id for ask in box.pending(8).pending] == ["w-2", "w-4"]
    for name in ("w-3", "w-4"):
        box.answer(name, "yes", 6, force=True)
    assert box.archive(LATER) == ["w-3", "w-4"]
    assert asked(box) == "w-5"


def test_putting_away_goes_on_where_it_was_cut_off(store: Shaky, box: Mailbox) -> None:
    """Between the two moves the question is away and its answer is not: nothing is pending, the next time mends it.

    Source: docs/continuity.md.
    """
    asked(box)
    box.answer("w-1", "yes", 6)
    store.move("asks/w-1.json", "asks/archive/w-1.json")
    assert box.pending(8).pending == []
    assert box.archive(LATER) == ["w-1"]
    assert store.list("answers") == []


def test_an_answer_without_its_question_is_not_taken_for_anothers(store: Shaky, box: Mailbox) -> None:
    """A question that was removed by hand leaves its answer, which is put away: the next one has a number of its own.

    Source: design §3 row 10, ids are never reused; edge case 272.
    """
    asked(box)
    box.answer("w-1", "yes, that one", 6)
    store.swap("asks/w-1.json", store.read("asks/w-1.json").data, None)  # type: ignore[union-attr]
    box.archive(LATER)
    assert asked(box) == "w-2"


@pytest.mark.parametrize("moves", [1, 2])
def test_an_answer_that_is_replaced_while_it_is_put_away_is_not_lost(store: Shaky, box: Mailbox, moves: int) -> None:
    """The question is in the archive, or both are, when the forced answer has been written: it stands, there or here.

    Source: design §3 row 10; edge case 201.
    """
    asked(box)
    box.answer("w-1", "yes", 6)
    swap = store.swap

    def put_away(key: str, old: bytes, new: bytes | None) -> bool:
        store.swap = swap  # type: ignore[method-assign]
        done = swap(key, old, new)
        store.move("asks/w-1.json", "asks/archive/w-1.json")
        if moves == 2:
            store.move("answers/w-1.json", "asks/archive/w-1.answer.json")
        return done

    store.swap = put_away  # type: ignore[method-assign]
    box.answer("w-1", "no", 7, force=True)
    box.archive(LATER)
    found = box.put_away("w-1")
    assert found is not None and found.answer == Answer("no", 7)


def test_the_archive_replaces_nothing(store: Shaky, box: Mailbox) -> None:
    """A pair whose name is taken there, such as that of a second seeding, stays where it is. Source: edge case 248."""
    store.write("asks/archive/w-1.json", b"older")
    store.write("asks/w-1.json", b'{"id": "w-1", "worker": "w", "prompt": "?"}')
    box.answer("w-1", "yes", 6)
    assert box.archive(LATER) == []
    assert store.read("asks/archive/w-1.json").data == b"older"  # type: ignore[union-attr]
    assert box.answer_of("w-1") == Answer("yes", 6)


def test_a_question_that_is_put_away_meanwhile_is_not_pending(store: Shaky, box: Mailbox) -> None:
    """Who lists the questions while one is put away does not take it for open. Source: edge case 271."""
    asked(box)
    box.answer("w-1", "yes", 6)
    other, answer_of = Mailbox(store), box.answer_of

    def meanwhile(ask_id: str) -> Answer | Fault | None:
        other.archive(LATER)
        return answer_of(ask_id)

    box.answer_of = meanwhile  # type: ignore[method-assign]
    assert box.pending(8).pending == []
