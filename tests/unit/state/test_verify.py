"""The book of verify commands and verdicts, over a store in memory."""

import json

import pytest

from looop.model.errors import Unreadable
from looop.model.records import Fault, VerifyResult
from looop.state.verify import Declared, Verify
from looop.store.memory import MemoryStore
from looop.store.protocol import Blob, Entry

FAILED = VerifyResult(ok=False, exit_code=2, output="no\n", ts=5)


class Blind(MemoryStore):
    """A store in which a key or a folder resists."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self.resists = key

    def read(self, key: str) -> Blob | None:
        if key == self.resists:
            raise Unreadable(f"cannot read {key!r}: Input/output error")
        return super().read(key)

    def list(self, folder: str) -> list[Entry]:
        if folder == self.resists:
            raise Unreadable(f"cannot list {folder!r}: Input/output error")
        return super().list(folder)


def declared(book: Verify, worker: str) -> Declared:
    found = book.command(worker)
    assert isinstance(found, Declared)
    return found


def test_the_files_are_those_of_the_reference() -> None:
    """The command stands raw, the verdict as one line of JSON with its four fields. Source: spec/workers.md §6."""
    store = MemoryStore()
    book = Verify(store)
    book.declare("w", "make test && echo 'ok'\n")
    assert store.read("verify/w.cmd").data == b"make test && echo 'ok'\n"  # type: ignore[union-attr]
    assert book.record("w", FAILED, declared(book, "w"))
    written = store.read("verify/w.json").data  # type: ignore[union-attr]
    assert written == b'{"ok":false,"exit_code":2,"output":"no\\n","ts":5}\n'
    assert book.result("w") == FAILED


def test_what_the_reference_wrote_is_read() -> None:
    """Only `ok` is required, and what is unknown is ignored. Source: spec/workers.md §6."""
    store = MemoryStore()
    store.write("verify/w.json", b'{"ok":true,"exit_code":null,"output":"","ts":1,"v":2}')
    assert Verify(store).result("w") == VerifyResult(ok=True, ts=1)


def test_an_obligation_is_a_command_without_a_verdict() -> None:
    """Met by any verdict, sorted by id; a verdict without a command is none. Source: spec/workers.md §6."""
    store = MemoryStore()
    book = Verify(store)
    assert book.obligations() == []
    for worker in ("b", "a", "c"):
        book.declare(worker, "true")
    store.write("verify/lost.json", b'{"ok":true}')
    store.write("verify/.hidden.cmd", b"true")
    assert book.obligations() == ["a", "b", "c"]
    book.record("b", FAILED)
    book.record("c", VerifyResult(ok=True))
    assert book.obligations() == ["a"]


@pytest.mark.parametrize("torn", [b"", b'{"ok":', b"[]", b'{"ok":"yes"}', b'{"exit_code":0}', b"\xff"])
def test_a_torn_verdict_is_none(torn: bytes) -> None:
    """What does not parse is made again. Source: spec/edge-cases.md item 177."""
    store = MemoryStore()
    book = Verify(store)
    book.declare("w", "true")
    store.write("verify/w.json", torn)
    assert book.obligations() == ["w"]
    assert book.record("w", FAILED) and book.obligations() == []


def test_a_verdict_that_cannot_be_read_is_not_made_again() -> None:
    """It is there, and whoever asks for it is told that it resists. Source: spec/beat.md §0, spec/workers.md §6."""
    book = Verify(Blind("verify/w.json"))
    book._store.write("verify/w.cmd", b"true")
    assert book.obligations() == []
    found = book.result("w")
    assert isinstance(found, Fault) and found.kind == "unreadable"


def test_obligations_that_cannot_be_listed_are_not_none() -> None:
    """The folder that resists raises. Source: spec/edge-cases.md item 179."""
    with pytest.raises(Unreadable):
        Verify(Blind("verify")).obligations()


def test_a_command_is_read_four_valued() -> None:
    """Gone is None, one that resists or says nothing is a Fault that names the file. Source: edge case 180."""
    store = Blind("verify/r.cmd")
    book = Verify(store)
    assert book.command("w") is None
    book.declare("w", "true")
    assert declared(book, "w").command == "true"
    for empty in (b"", b" \n\t"):
        store.write("verify/w.cmd", empty)
        found = book.command("w")
        assert isinstance(found, Fault) and found.kind == "corrupt" and "verify/w.cmd" in found.why
    found = book.command("r")
    assert isinstance(found, Fault) and found.kind == "unreadable" and "verify/r.cmd" in found.why


@pytest.mark.parametrize("command", ["printf '\\xff'", "echo é 日本", "printf '\udcff'", "a\nb\tc\x1b"])
def test_a_command_is_kept_byte_for_byte(command: str) -> None:
    """Bytes that are no text come back as they went. Source: spec/workers.md §6."""
    book = Verify(MemoryStore())
    book.declare("w", command)
    assert declared(book, "w").command == command


def test_clearing_forgets_both() -> None:
    """Command and verdict go, and nothing there is fine. Source: spec/workers.md §7, spec/edge-cases.md item 162."""
    store = MemoryStore()
    book = Verify(store)
    book.declare("w", "true")
    book.record("w", FAILED)
    book.clear("w")
    book.clear("w")
    assert store.list("verify") == [] and book.result("w") is None


def test_a_new_command_takes_the_old_verdict_away() -> None:
    """The next worker of that id is judged by itself. Source: spec/edge-cases.md item 184."""
    book = Verify(MemoryStore())
    book.declare("w", "true")
    book.record("w", FAILED)
    book.declare("w", "true")
    assert book.result("w") is None and book.obligations() == ["w"]


@pytest.mark.parametrize("successor", ["none", "same command", "other command"])
def test_a_verdict_on_the_predecessor_is_never_written(successor: str) -> None:
    """A worker started while its predecessor was judged has no verdict, not for a moment. Source: edge case 184."""
    store = MemoryStore()
    book = Verify(store)
    book.declare("w", "true")
    old = declared(book, "w")
    book.clear("w")
    if successor != "none":
        book.declare("w", "true" if successor == "same command" else "false")
    store.write = None  # type: ignore[assignment,method-assign] # whoever writes now fails
    assert book.record("w", FAILED, old) is False
    assert book.result("w") is None


class Between(MemoryStore):
    """A store in which, right after the n-th change or read, a verdict on the predecessor is recorded."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.left, self.old, self.busy = at, Declared("", 0), False

    def meet(self) -> None:
        if self.busy:
            return
        self.left -= 1
        if self.left == 0:
            self.busy = True
            Verify(self).record("w", FAILED, self.old)
            self.busy = False

    def read(self, key: str) -> Blob | None:
        self.meet()
        return super().read(key)

    def swap(self, key: str, old: bytes, new: bytes | None) -> bool:
        self.meet()
        return super().swap(key, old, new)

    def write(self, key: str, data: bytes, *, executable: bool = False, durable: bool = True) -> None:
        self.meet()
        super().write(key, data, executable=executable, durable=durable)


@pytest.mark.parametrize("with_verify", [True, False])
@pytest.mark.parametrize("at", range(1, 14))
def test_no_moment_of_a_start_keeps_the_old_verdict(at: int, with_verify: bool) -> None:
    """Wherever in a start the verdict on the predecessor is recorded, it does not stand. Source: edge case 184."""
    store = Between(10**9)
    book = Verify(store)
    book.declare("w", "true")
    store.old, store.left = declared(book, "w"), at
    book.clear("w")
    if with_verify:
        book.declare("w", "true")
    reached, store.left = store.left <= 0, 10**9
    if not reached:
        store.busy = True
        assert book.record("w", FAILED, store.old) is False
    assert book.result("w") is None
    assert book.obligations() == (["w"] if with_verify else [])


def test_the_verdict_is_valid_json_whatever_was_printed() -> None:
    """Half characters and control characters of the output harm nobody. Source: spec/edge-cases.md item 183."""
    store = MemoryStore()
    Verify(store).record("w", VerifyResult(ok=False, output="\ud800\x00\x1b[31m"))
    assert json.loads(store.read("verify/w.json").data)["output"] == "?\x00\x1b[31m"  # type: ignore[union-attr]
