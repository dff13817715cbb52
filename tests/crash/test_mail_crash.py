"""Stop the mailbox before any of its disk calls: what is on disk is old or new, and the retry leaves one of each.

The points are enumerated, not sampled: each change is first made on a healthy disk, which counts its calls.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from looop.model.records import Answer, Ask
from looop.state.mailbox import Mailbox
from looop.state.tells import Tells
from looop.store.files import FileStore
from looop.store.fsio import Disk
from tests.fakes.disk import Died, DyingDisk, QuickDisk, WatchedDisk

FOLDERS = ("asks", "answers", "asks/archive")
LATER = 10**18 * 5
ANSWER = re.compile(r"^answers/|\.answer\.json$")
NUMBER = re.compile(r"w-(\d+)")


def question(key: str = "", prompt: str = "?") -> Ask:
    return Ask(id="", worker="w", prompt=prompt, ts=5, key=key)


def mailbox(root: Path, disk: Disk | None = None) -> Mailbox:
    return Mailbox(FileStore(str(root), disk or QuickDisk()))


def asked(box: Mailbox, key: str = "") -> None:
    box.ask(question(key), 0)


def answered(box: Mailbox) -> None:
    asked(box, "k")
    box.answer("w-1", "yes", 6)


class Change(Struct, frozen=True):
    """What is there `before`, what is done, and in how many states besides the old and the new it may be cut off."""

    before: Callable[[Mailbox], object]
    make: Callable[[Mailbox], object]
    between: int = 0


CHANGES = {
    "ask": Change(lambda box: None, asked),
    "ask a second": Change(asked, asked),
    "ask with a key": Change(lambda box: None, lambda box: asked(box, "k")),
    "ask with an open key": Change(lambda box: asked(box, "k"), lambda box: asked(box, "k")),
    "ask with an answered key": Change(answered, lambda box: asked(box, "k")),
    "answer": Change(lambda box: asked(box, "k"), lambda box: box.answer("w-1", "yes", 6)),
    "answer by force": Change(answered, lambda box: box.answer("w-1", "no", 7, force=True)),
    "take": Change(answered, lambda box: box.take("w-1", 8)),
    "put away": Change(answered, lambda box: box.archive(LATER), between=1),
}


def found(root: Path) -> dict[str, bytes]:
    """Every value a fresh process finds."""
    store = FileStore(str(root), QuickDisk())
    keys = [f"{folder}/{entry.name}" for folder in FOLDERS for entry in store.list(folder)]
    return {key: blob.data for key in keys if (blob := store.read(key)) is not None}


def numbers(values: dict[str, bytes]) -> set[int]:
    """The numbers that are used by any of these."""
    return {int(match[1]) for key in values if (match := NUMBER.search(key))}


class Death(Struct, frozen=True):
    """A data dir in which the change died before its `at`-th call, what was there before and what is there after it."""

    root: Path
    at: int
    old: dict[str, bytes]
    new: dict[str, bytes]


def deaths(root: Path, change: Change) -> Iterator[Death]:
    """One for each call of the change."""
    healthy = WatchedDisk()
    change.before(mailbox(root / "healthy"))
    change.make(mailbox(root / "healthy", healthy))
    new = found(root / "healthy")
    assert len(healthy.calls) >= 2
    for at in range(1, len(healthy.calls) + 1):
        change.before(mailbox(root / str(at)))
        old = found(root / str(at))
        with pytest.raises(Died):
            change.make(mailbox(root / str(at), DyingDisk(at)))
        yield Death(root / str(at), at, old, new)


@pytest.mark.parametrize("name", CHANGES)
def test_a_death_leaves_old_or_new(tmp_path: Path, name: str) -> None:
    """Before whichever call a change dies, every record is whole, and all of them are as before or as afterwards.

    Source: spec/beat.md §0; design §1 promise 3.
    """
    between = set()
    for death in deaths(tmp_path, CHANGES[name]):
        now = found(death.root)
        if now not in (death.old, death.new):
            between.add(tuple(sorted(now)))
        assert mailbox(death.root).pending(7).damaged == [], death.at
        assert set(now.values()) <= set(death.old.values()) | set(death.new.values()), death.at
    assert len(between) == CHANGES[name].between


@pytest.mark.parametrize("name", CHANGES)
def test_no_number_is_used_again(tmp_path: Path, name: str) -> None:
    """Whoever asks after the death gets a number nobody has seen. Source: spec/workers.md §9; design §3 row 10."""
    for death in deaths(tmp_path, CHANGES[name]):
        seen = numbers(death.old) | numbers(found(death.root))
        new, _ = mailbox(death.root).ask(question("another"), 0)
        assert numbers({new.id: b""}).isdisjoint(seen), death.at


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_answered_is_never_pending_again(tmp_path: Path, name: str) -> None:
    """An answer that is on disk stands, wherever the process died and whatever is done again afterwards.

    Source: spec/workers.md §9; design §1 promise 4.
    """
    for death in deaths(tmp_path, CHANGES[name]):
        settled = numbers({key: b"" for key in found(death.root) if ANSWER.search(key)})
        for _ in range(2):
            waiting = numbers({ask.id: b"" for ask in mailbox(death.root).pending(7).pending})
            assert settled.isdisjoint(waiting), death.at
            mailbox(death.root).archive(LATER)


def test_a_keyed_ask_is_there_once_after_the_retry(tmp_path: Path) -> None:
    """Made again after the death, a question with a key is one record, whether the first call had come to it or not.

    Source: design §3 row 7.
    """
    for death in deaths(tmp_path, CHANGES["ask with a key"]):
        was_there = bool(found(death.root))
        asked, new = mailbox(death.root).ask(question("k"), 0)
        assert (asked.id, new) == ("w-1", not was_there), death.at
        assert list(found(death.root)) == ["asks/w-1.json"], death.at


def test_an_answer_is_there_once_after_the_retry(tmp_path: Path) -> None:
    """A person whose answer died gives it again: it is taken, or already there in the same words.

    Source: edge case 200.
    """
    for death in deaths(tmp_path, CHANGES["answer"]):
        box = mailbox(death.root)
        if not isinstance(box.answer_of("w-1"), Answer):
            box.answer("w-1", "yes", 6)
        answer = box.answer_of("w-1")
        assert isinstance(answer, Answer) and answer.answer == "yes", death.at
        assert box.ask(question("k"), 0)[0].id == "w-1", "the worker that asks again finds it"


@pytest.mark.parametrize("name", ["take", "put away"])
def test_what_died_can_be_done_again(tmp_path: Path, name: str) -> None:
    """Done again after the death, it has its whole effect. Source: edge case 271."""
    for death in deaths(tmp_path, CHANGES[name]):
        CHANGES[name].make(mailbox(death.root))
        assert found(death.root) == death.new, death.at


def test_each_message_is_heard_once_at_most(tmp_path: Path) -> None:
    """`told` dies before any of its calls: the next one hears what was not taken, and nothing twice, nothing is lost.

    Source: spec/workers.md §10; edge cases 203, 204.
    """
    healthy = WatchedDisk()
    for at in range(1, 100):
        root = tmp_path / str(at)
        book = Tells(FileStore(str(root), QuickDisk()), 60)
        for msg in ("one", "two"):
            book.tell("w", msg, 5)
        if at == 1:
            Tells(FileStore(str(root), healthy), 60).drain("w", 6)
            continue
        if at - 1 > len(healthy.calls):
            break
        with pytest.raises(Died):
            Tells(FileStore(str(root), DyingDisk(at - 1)), 60).drain("w", 6)
        taken = len(list((root / "tells" / "consumed").glob("*.json")))
        heard = [tell.msg for tell in book.drain("w", 7).tells]
        assert heard == ["one", "two"][taken:], at
        assert len(list((root / "tells" / "consumed").glob("*.json"))) == 2, "all that was said is on record"
    assert at > 10
