"""How a question is settled without an answer, and what is remembered of it: expiry, withdrawal, strandedness, no."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from looop.model.errors import Missing, Refused, Unreadable
from looop.model.records import Answer, Ask
from looop.state.mailbox import AlreadySettled, IsStranded, Mailbox
from looop.store.memory import MemoryStore

LATER = 10**18
BORN = 100


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def box(store: MemoryStore) -> Mailbox:
    return Mailbox(store)


def asked(box: Mailbox, worker: str = "w", *, since: int = 0, **more: Any) -> str:
    """The id of the question."""
    return box.ask(question(worker, **more), since)[0].id


def question(worker: str = "w", prompt: str = "?", ts: int = 5, **more: Any) -> Ask:
    return Ask(id="", worker=worker, prompt=prompt, ts=ts, **more)


def alive(**born: int) -> Any:
    """These sessions live."""
    return lambda: born


def unknown() -> Mapping[str, int]:
    raise Unreadable("cannot enumerate the fleet")


def record(store: MemoryStore, key: str) -> Any:
    blob = store.read(key)
    return None if blob is None else json.loads(blob.data)


def ids(asks: list[Ask]) -> list[str]:
    return [ask.id for ask in asks]


def test_a_question_that_is_due_is_pending_no_more(store: MemoryStore, box: Mailbox) -> None:
    """From the second of its expiry on it waits for nobody, settled or not; `expire` writes down that nobody decided.

    Source: design §3 row 7, expired asks leave pending.
    """
    asked(box, expires=9, default="no")
    asked(box, expires=9)
    asked(box)
    assert ids(box.pending(8).pending) == ["w-1", "w-2", "w-3"]
    assert ids(box.pending(9).pending) == ["w-3"]
    assert (ids(box.expire(8)), ids(box.expire(20)), ids(box.expire(20))) == ([], ["w-1", "w-2"], [])
    assert record(store, "answers/w-1.json") == {"answer": "no", "ts": 9, "outcome": "expired", "by": "nobody"}
    assert box.answer_of("w-2") == Answer("", 9, "expired", "nobody")


@pytest.mark.parametrize("force", [False, True])
def test_an_answer_that_comes_too_late_is_refused(box: Mailbox, force: bool) -> None:
    """Once it is due a question takes no answer, forced or not, and it is on record at once what the worker gets.

    Source: design §3 row 7; users.md row An unattended prompt.
    """
    asked(box, expires=9, default="no")
    with pytest.raises(AlreadySettled, match="already expired") as refused:
        box.answer("w-1", "yes", 9, force=force)
    assert refused.value.found == box.answer_of("w-1") == Answer("no", 9, "expired", "nobody")


def test_what_was_answered_in_time_does_not_expire(box: Mailbox) -> None:
    """An answer stands, and may be replaced as any other; a damaged one keeps its question, and can be repaired.

    Source: edge cases 198, 200.
    """
    asked(box, expires=9, default="no")
    box.answer("w-1", "yes", 8)
    assert box.expire(20) == []
    box.answer("w-1", "no, wait", 20, force=True)
    assert box.answer_of("w-1") == Answer("no, wait", 20)


def test_a_damaged_settlement_expires_as_little(store: MemoryStore, box: Mailbox) -> None:
    """Somebody has settled it, nobody can tell how: it stays for a forced answer. Source: edge case 198."""
    asked(box, expires=9, default="no")
    store.write("answers/w-1.json", b"{")
    assert box.expire(20) == []
    assert ids(box.pending(8).pending) == ["w-1"]
    with pytest.raises(AlreadySettled) as refused:
        box.answer("w-1", "yes", 20)
    assert refused.value.found is None
    box.answer("w-1", "yes", 20, force=True)
    assert box.answer_of("w-1") == Answer("yes", 20)


def test_a_withdrawn_question_is_settled(store: MemoryStore, box: Mailbox) -> None:
    """Who, why and when are on record; it is pending no more, takes no answer, and is not withdrawn a second time.

    Source: design §3 row 7, `ask withdraw`.
    """
    asked(box)
    assert box.withdraw("w-1", "moot", "person", 7).id == "w-1"
    settled = {"answer": "moot", "ts": 7, "outcome": "withdrawn", "by": "person"}
    assert record(store, "answers/w-1.json") == settled
    assert box.pending(8).pending == []
    for late in (
        lambda: box.answer("w-1", "yes", 8),
        lambda: box.answer("w-1", "yes", 8, force=True),
        lambda: box.withdraw("w-1", "again", "w", 8),
    ):
        with pytest.raises(AlreadySettled, match="already withdrawn"):
            late()
    assert record(store, "answers/w-1.json") == settled
    with pytest.raises(Missing):
        box.withdraw("w-2", "", "w", 8)


def test_what_is_put_away_takes_no_answer(box: Mailbox) -> None:
    """A question in the archive is settled, not unknown; how it was is still told. Source: edge case 271."""
    asked(box)
    box.withdraw("w-1", "moot", "w", 7)
    assert box.archive(LATER) == ["w-1"]
    for force in (False, True):
        with pytest.raises(AlreadySettled, match="withdrawn"):
            box.answer("w-1", "yes", 8, force=force)
    assert [(pair.ask.id, pair.answer.outcome) for pair in box.settled()] == [("w-1", "withdrawn")]


def test_settled_questions_stand_in_the_order_they_were_settled(store: MemoryStore, box: Mailbox) -> None:
    """The latest is last, those in the archive are among them, and what is open or damaged is not."""
    for _ in range(5):
        asked(box)
    box.answer("w-3", "yes", 7)
    box.withdraw("w-1", "", "w", 8)
    box.archive(LATER)
    box.answer("w-2", "no", 6)
    store.write("answers/w-4.json", b"{")
    assert [pair.ask.id for pair in box.settled()] == ["w-2", "w-3", "w-1"]


def test_only_who_has_a_generation_can_be_stranded(box: Mailbox) -> None:
    """A question of a session that is over, or was followed by another, waits for nobody; one without a session, such
    as the seeded one, is never stranded; and who lives is not asked for it.

    Source: users.md row Reboot; spec/workers.md §7.
    """
    asked(box, "old")
    assert ids(box.pending(8, unknown).pending) == ["old-1"]
    asked(box, "here", generation=BORN)
    asked(box, "gone", generation=BORN)
    asked(box, "anew", generation=BORN)
    mail = box.pending(8, alive(here=BORN, anew=BORN + 1, old=3))
    assert (ids(mail.pending), ids(mail.stranded)) == (["here-1", "old-1"], ["anew-1", "gone-1"])
    assert ids(box.pending(8).pending) == ["anew-1", "gone-1", "here-1", "old-1"]


def test_while_nobody_knows_who_lives_nobody_is_stranded(box: Mailbox) -> None:
    """A fleet that cannot be enumerated keeps every question pending, which is said, and settles none.

    Source: edge case 156.
    """
    asked(box, generation=BORN)
    mail = box.pending(8, unknown)
    assert (ids(mail.pending), mail.stranded) == (["w-1"], [])
    assert mail.damaged == ["cannot enumerate the fleet: no question can be called stranded"]
    with pytest.raises(Unreadable):
        box.strand(unknown, 8, 8)
    assert box.answer("w-1", "yes", 8, unknown).id == "w-1"


@pytest.mark.parametrize("force", [False, True])
def test_a_stranded_question_takes_no_answer(box: Mailbox, force: bool) -> None:
    """Nobody would get it: refused, forced or not, and nothing is written. Source: users.md row Reboot."""
    asked(box, generation=BORN)
    with pytest.raises(IsStranded):
        box.answer("w-1", "yes", 8, alive(), force=force)
    assert box.answer_of("w-1") is None
    assert box.withdraw("w-1", "tidied up", "person", 8).id == "w-1"


def test_what_nobody_waits_for_is_given_up(store: MemoryStore, box: Mailbox) -> None:
    """Without a key at once, with one when it is older than sessions are kept; what lives is left alone.

    Source: spec/workers.md §7, generation hygiene.
    """
    asked(box, "w", generation=BORN)
    asked(box, "w", generation=BORN, key="old", ts=5)
    asked(box, "w", generation=BORN, key="young", ts=7)
    asked(box, "v", generation=BORN)
    assert box.strand(alive(w=BORN, v=BORN), 6, 20) == []
    assert ids(box.strand(alive(v=BORN), 6, 20)) == ["w-1", "w-2"]
    assert box.answer_of("w-1") == Answer("", 20, "stranded", "nobody")
    mail = box.pending(20, alive(v=BORN))
    assert (ids(mail.pending), ids(mail.stranded)) == (["v-1"], ["w-3"])
    assert box.strand(alive(v=BORN), 6, 20) == []


def test_the_next_session_takes_an_open_question_over(store: MemoryStore, box: Mailbox) -> None:
    """Under the same key it is the same record, as old as before, and waits again; its answer is owed to who waits now.

    Source: users.md row Ask once; design §3 row 7.
    """
    asked(box, generation=BORN, key="k", ts=BORN + 5)
    before = record(store, "asks/w-1.json")
    found, new = box.ask(question(prompt="?!", ts=BORN + 60, key="k", generation=BORN + 50), BORN + 50)
    assert (found.id, found.ts, new) == ("w-1", BORN + 5, False)
    assert record(store, "asks/w-1.json") == before | {"generation": BORN + 50}
    assert ids(box.pending(BORN + 60, alive(w=BORN + 50)).pending) == ["w-1"]
    box.answer("w-1", "yes", BORN + 70, alive(w=BORN + 50))
    assert asked(box, key="k", ts=BORN + 80, generation=BORN + 50, since=BORN + 50) == "w-1"
    box.take("w-1", BORN + 81)
    assert asked(box, key="k", ts=BORN + 82, generation=BORN + 50, since=BORN + 50) == "w-2"


def test_an_answer_of_the_first_second_is_in_doubt(box: Mailbox) -> None:
    """Two sessions that began in one second cannot be told apart: the answer to the one is not given to the other.

    Source: spec/workers.md §1, ids are used again.
    """
    assert asked(box, key="k", ts=BORN, generation=BORN, since=BORN) == "w-1"
    box.answer("w-1", "yes", BORN)
    assert asked(box, key="k", ts=BORN, generation=BORN, since=BORN) == "w-2"


def test_what_is_given_up_is_not_taken_over(store: MemoryStore, box: Mailbox) -> None:
    """A beat that died between its two steps has given the question up: the next session asks anew, the next beat
    settles the old one.

    Source: docs/continuity.md.
    """
    asked(box, generation=BORN, key="k")
    create, store.create = store.create, lambda key, data: False  # type: ignore[method-assign,assignment]
    assert box.strand(alive(), 6, 20) == []
    store.create = create  # type: ignore[method-assign]
    assert box.answer_of("w-1") is None
    assert ids(box.pending(20, alive(w=BORN + 9)).stranded) == ["w-1"]
    assert asked(box, key="k", generation=BORN + 9, since=BORN + 9) == "w-2"
    assert ids(box.strand(alive(w=BORN + 9), 6, 20)) == ["w-1"]


def test_a_question_goes_by_the_name_of_its_file(store: MemoryStore, box: Mailbox) -> None:
    """A record that was copied, and so has another's id in it, is taken over and given up like any other."""
    asked(box, generation=BORN, key="k")
    store.write("asks/w-2.json", store.read("asks/w-1.json").data)  # type: ignore[union-attr]
    assert asked(box, key="k", ts=BORN + 9, generation=BORN + 9, since=BORN + 9) == "w-2"
    assert ids(box.strand(alive(), BORN + 99, BORN + 99)) == ["w-1", "w-2"]


def test_a_question_taken_over_meanwhile_is_not_given_up(store: MemoryStore, box: Mailbox) -> None:
    """Between the look at a question and the step that gives it up somebody took it over: it stays."""
    asked(box, generation=BORN, key="k")

    def living() -> dict[str, int]:
        assert asked(Mailbox(store), key="k", generation=BORN + 9, since=BORN + 9) == "w-1"
        return {}

    assert box.strand(living, 6, 20) == []
    assert ids(box.pending(20, alive(w=BORN + 9)).pending) == ["w-1"]


def test_a_call_that_was_cut_off_gets_the_settlement_once(box: Mailbox) -> None:
    """Expired or withdrawn by a person while nobody waited, the same call gets that; what the worker has withdrawn
    itself, or is stranded, is over for it.

    Source: design §3 row 7.
    """
    assert asked(box, key="k", expires=9, default="no") == "w-1"
    assert asked(box, key="k", ts=10) == "w-1", "due, and nobody has settled it yet"
    box.expire(10)
    assert asked(box, key="k", ts=11) == "w-1"
    box.take("w-1", 12)
    assert asked(box, key="k", ts=13) == "w-2"
    box.withdraw("w-2", "", "person", 14)
    assert asked(box, key="k", ts=15) == "w-2"
    box.take("w-2", 16)
    assert asked(box, key="k", ts=17) == "w-3"
    box.withdraw("w-3", "", "w", 18)
    assert asked(box, key="k", ts=19) == "w-4"


def test_a_refusal_is_remembered(box: Mailbox) -> None:
    """The same key of the same worker, or in the same words of another one; also once it is put away.

    Source: users.md row Ask once, refused things come back.
    """
    asked(box, key="k", prompt="Drop it?")
    box.answer("w-1", "no, never", 6)
    box.take("w-1", 7)
    for _ in range(2):
        for worker, words, is_refused in (
            ("w", "Drop it?", True),
            ("w", "Really, drop it?", True),
            ("v", "Drop it?", True),
            ("v", "Drop that?", False),
        ):
            assert box.refusal(question("v", "Drop it?", key="k", ts=9, reference="orders"), 0) is None
            found = box.refusal(question(worker, words, key="k", ts=9), 0)
            assert (found.ask.id if found else None) == ("w-1" if is_refused else None), (worker, words)
        assert box.refusal(question(prompt="Drop it?", key="other"), 0) is None
        assert box.refusal(question(prompt="Drop it?"), 0) is None
        box.archive(LATER)


def test_only_the_last_word_of_a_person_counts(box: Mailbox) -> None:
    """A later yes lifts a refusal; what expired, was withdrawn or stranded decides nothing either way."""
    for n, (text, refused) in enumerate([("no", True), ("yes", False), ("yes", False), ("not now", True)], 1):
        asked(box, key="k", ts=10 * n)
        box.answer(f"w-{n}", text, 10 * n + 1)
        box.take(f"w-{n}", 10 * n + 2)
        assert bool(box.refusal(question(key="k", ts=10 * n + 3), 0)) is refused
    asked(box, key="k", ts=50, expires=51, default="no")
    box.expire(51)
    box.take("w-5", 52)
    found = box.refusal(question(key="k", ts=53), 0)
    assert found is not None and found.ask.id == "w-4"


@pytest.mark.parametrize("words", [("no", "yes"), ("yes", "no")])
def test_a_yes_of_the_same_second_leaves_it_in_doubt(box: Mailbox, words: tuple[str, str]) -> None:
    """Which of two answers of one second came last nobody can tell: the person is asked again."""
    for n, text in enumerate(words, 1):
        asked(box, key="k", ts=5)
        box.answer(f"w-{n}", text, 6)
        box.take(f"w-{n}", 6)
    assert box.refusal(question(key="k", ts=7), 0) is None


def test_an_expiry_is_no_refusal(box: Mailbox) -> None:
    """A default that says no was nobody's word: the question is asked again."""
    asked(box, key="k", expires=9, default="no")
    box.expire(9)
    box.take("w-1", 10)
    assert box.refusal(question(key="k", ts=11), 0) is None


def test_an_open_question_is_joined_though_it_was_refused_before(box: Mailbox) -> None:
    """Raised again with a reason, it is open: the same call without the reason waits for it. Nor is a refusal that the
    worker has yet to get a memory: it is the answer to this call.
    """
    asked(box, key="k")
    box.answer("w-1", "no", 6)
    assert box.refusal(question(key="k", ts=7), 0) is None
    box.take("w-1", 7)
    assert box.refusal(question(key="k", ts=8), 0) is not None
    assert asked(box, key="k", ts=9, again="a backup exists") == "w-2"
    assert box.refusal(question(key="k", ts=10), 0) is None


def test_what_cannot_be_read_remembers_nothing(store: MemoryStore, box: Mailbox) -> None:
    """A damaged question or answer of the past keeps no new one from its person."""
    asked(box, key="k")
    box.answer("w-1", "no", 6)
    box.take("w-1", 7)
    store.write("answers/w-1.json", b'{"answer": "no')
    store.write("asks/archive/w-9.json", b'{"key": "k", ')
    store.write("asks/archive/w-9.answer.json", b"{}")
    store.write("asks/w-1.json", b'"k"')
    assert box.refusal(question(key="k", ts=8), 0) is None


def test_too_many_at_once_is_an_error_that_says_so(store: MemoryStore, box: Mailbox) -> None:
    """A forced answer that is overtaken again and again gives up in the end, and says what to do."""
    asked(box)
    box.answer("w-1", "yes", 6)
    store.swap = lambda key, old, new: False  # type: ignore[method-assign,assignment]
    with pytest.raises(Refused, match="try again"):
        box.answer("w-1", "no", 7, force=True)
