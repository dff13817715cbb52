"""Tells in the book: ids, who gets them, in which order, and what becomes of them."""

import json

import pytest

from looop.model.errors import Refused, Unreadable, Unwritable
from looop.model.records import Tell
from looop.state.tells import Tells
from looop.store.memory import MemoryStore
from looop.store.protocol import Blob, Entry

KEEP_S = 100


class Shaky(MemoryStore):
    """A store in which a folder cannot be listed, values cannot be moved, or somebody else is faster."""

    def __init__(self) -> None:
        super().__init__()
        self.unlistable, self.stuck, self.faster, self.unreadable = "", False, 0, ""

    def read(self, key: str) -> Blob | None:
        if self.unreadable and key.startswith(self.unreadable):
            raise Unreadable(f"cannot read {key!r}: Input/output error")
        return super().read(key)

    def list(self, folder: str) -> list[Entry]:
        if folder == self.unlistable:
            raise Unreadable(f"cannot list {folder!r}: Input/output error")
        return super().list(folder)

    def move(self, source: str, target: str, *, replace: bool = False, min_size: int = 0) -> bool:
        if self.stuck:
            raise Unwritable(f"cannot move {source!r}: Not a directory")
        return super().move(source, target, replace=replace, min_size=min_size)

    def create(self, key: str, data: bytes) -> bool:
        if self.faster:
            self.faster -= 1
            super().create(key, b'{"id": "?", "worker": "x", "msg": "?"}')
        return super().create(key, data)


@pytest.fixture
def store() -> Shaky:
    return Shaky()


@pytest.fixture
def tells(store: Shaky) -> Tells:
    return Tells(store, KEEP_S)


def heard(tells: Tells, worker: str = "w", now: int = 9) -> list[str]:
    return [tell.msg for tell in tells.drain(worker, now).tells]


def names(store: MemoryStore, folder: str = "tells") -> list[str]:
    return [entry.name for entry in store.list(folder)]


def put(store: MemoryStore, name: str, **record: object) -> None:
    store.write(f"tells/{name}.json", json.dumps({"id": name, "worker": "w", "msg": name, "ts": 1} | record).encode())


def test_a_message_is_delivered_once_and_kept(store: Shaky, tells: Tells) -> None:
    """Oldest first, each once; its record goes to `consumed` under its id. Source: spec/workers.md §10."""
    first = tells.tell("w", "one", 5)
    assert first == Tell(id="w-1", worker="w", msg="one", ts=5)
    assert json.loads(store.read("tells/w-1.json").data) == {  # type: ignore[union-attr]
        "v": 1,
        "id": "w-1",
        "worker": "w",
        "msg": "one",
        "ts": 5,
    }
    tells.tell("w", "two", 4)
    tells.tell("v", "not yours", 5)
    assert heard(tells) == ["two", "one"]
    assert heard(tells) == []
    assert names(store) == ["v-1.json"]
    assert sorted(name.split(".")[0] for name in names(store, "tells/consumed")) == ["w-1", "w-2"]


def test_ten_messages_of_one_second_keep_their_order(tells: Tells) -> None:
    """Where the time says nothing the number does, and ten comes after nine. Source: spec/workers.md §10."""
    for n in range(12):
        tells.tell("w", str(n), 5)
    assert heard(tells) == [str(n) for n in range(12)]


def test_ids_are_used_again_without_loss(store: Shaky, tells: Tells) -> None:
    """What was delivered frees its id, and the kept copies do not run into each other. Source: edge case 207."""
    for n in range(3):
        assert tells.tell("w", str(n), 5).id == "w-1"
        assert heard(tells) == [str(n)]
    assert len(names(store, "tells/consumed")) == 3


def test_the_record_says_whose_it_is(store: Shaky, tells: Tells) -> None:
    """Messages go by the `worker` field, not by the name of the file. Source: edge case 273."""
    put(store, "odd", msg="by hand")
    put(store, "w-7", worker="v", msg="not yours")
    tells.tell("w-1", "of another", 5)
    assert tells.waiting() == {"w": 1, "v": 1, "w-1": 1}
    assert heard(tells) == ["by hand"]
    tells.discard("v")
    assert names(store) == ["w-1-1.json"]


def test_who_loses_a_race_takes_the_next_number(store: Shaky, tells: Tells) -> None:
    """Two people at once leave two messages; after twenty lost races it is refused. Source: spec/workers.md §10."""
    store.faster = 19
    assert tells.tell("w", "hi", 5).id == "w-20"
    store.faster = 20
    with pytest.raises(Refused, match="told too much at once"):
        tells.tell("w", "hi", 5)


def test_only_who_moves_it_delivers_it(store: Shaky, tells: Tells) -> None:
    """A message that another one takes in between is not delivered here, and what has its id now is not lost.

    Source: edge case 204.
    """
    tells.tell("w", "one", 5)
    other, move = Tells(store, KEEP_S), store.move
    seen, follows = list[list[str]](), list[str]()

    def meanwhile(source: str, target: str, *, replace: bool = False, min_size: int = 0) -> bool:
        store.move = move  # type: ignore[method-assign]
        seen.append(heard(other))
        for msg in follows:
            other.tell("w", msg, 6)
        return move(source, target)

    store.move = meanwhile  # type: ignore[method-assign]
    assert heard(tells) == []
    tells.tell("w", "one", 5)
    follows.append("two")
    store.move = meanwhile  # type: ignore[method-assign]
    assert heard(tells) == ["two"]
    assert seen == [["one"], ["one"]]


def test_what_cannot_be_taken_waits(store: Shaky, tells: Tells) -> None:
    """Without a place for what was delivered nothing is delivered, and nothing is lost. Source: spec/workers.md §10."""
    tells.tell("w", "one", 5)
    store.stuck = True
    told = tells.drain("w", 9)
    assert (told.tells, len(told.damaged)) == ([], 1)
    assert "stays for the next time" in told.damaged[0]
    store.stuck = False
    assert heard(tells) == ["one"]


def test_a_damaged_message_keeps_no_other_back(store: Shaky, tells: Tells) -> None:
    """One that cannot be understood is said and stays; one of a newer version is delivered and said.

    Source: edge cases 211, 212.
    """
    store.write("tells/w-1.json", b"{")
    put(store, "w-2", v=2, msg="newer")
    told = tells.drain("w", 9)
    assert [tell.msg for tell in told.tells] == ["newer"]
    assert ["tells/w-1.json" in told.damaged[0], told.damaged[1:]] == [
        True,
        ["tell w-2 is of a newer version (2): read as it is"],
    ]
    assert names(store) == ["w-1.json"]


def test_an_unlistable_folder_is_an_error(store: Shaky, tells: Tells) -> None:
    """Nobody is told "nothing" by a folder that cannot be read. Source: style, fail closed."""
    store.unlistable = "tells"
    with pytest.raises(Unreadable):
        tells.drain("w", 9)


@pytest.mark.parametrize(("keep_s", "kept"), [(KEEP_S, 0), (0, 1)])
def test_what_was_delivered_expires(store: Shaky, keep_s: int, kept: int) -> None:
    """Kept copies go after their time, 0 keeps them for good; that they resist keeps nothing back.

    Source: edge case 207.
    """
    tells = Tells(store, keep_s)
    tells.tell("w", "one", 5)
    heard(tells)
    assert len(names(store, "tells/consumed")) == 1
    tells.drain("w", 9)
    assert len(names(store, "tells/consumed")) == 1
    tells.drain("w", 10**9)
    assert len(names(store, "tells/consumed")) == kept
    tells.tell("w", "two", 5)
    store.unlistable = "tells/consumed"
    told = tells.drain("w", 9)
    assert ([tell.msg for tell in told.tells], len(told.damaged)) == (["two"], int(keep_s > 0))


def test_a_generation_takes_its_messages_along(store: Shaky, tells: Tells) -> None:
    """What was never heard is discarded, delivered to nobody, and not kept as delivered. Source: edge case 206."""
    tells.tell("w", "one", 5)
    tells.tell("v", "stays", 5)
    tells.discard("w")
    assert heard(tells) == []
    assert names(store, "tells/consumed") == []
    assert heard(tells, "v") == ["stays"]


def test_what_cannot_be_read_once_it_is_won_is_put_back(store: Shaky, tells: Tells) -> None:
    """A message that was taken and cannot be read just then waits for the next time, and is said to be damaged.

    Source: spec/edge-cases.md item 204.
    """
    tells.tell("w", "careful", 1)
    store.unreadable = "tells/consumed/"
    told = tells.drain("w", 2)
    assert told.tells == [] and len(told.damaged) == 1
    store.unreadable = ""
    assert heard(tells) == ["careful"]
    assert heard(tells) == []
