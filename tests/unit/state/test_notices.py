"""The book of what was pushed, and the replies that were taken."""

import pytest

from looop.model.errors import Corrupt, Unreadable
from looop.model.notices import Nonce, Notice
from looop.state.notices import BOOK, NONCES, Nonces, Notices
from looop.store.files import FileStore
from looop.store.open import open_memory
from tests.fakes.disk import QuickDisk


def row(ts: int, outcome: str = "sent", error: str = "") -> Notice:
    return Notice(ts, "json://x#1", "new", ["w-1"], outcome, error)  # type: ignore[arg-type]


def test_rows_come_back_in_their_order():
    """What was appended is read, oldest first; a row without an error has no such field."""
    store = open_memory()
    book = Notices(store)
    rows = [row(1, "sending"), row(2, "failed", "HTTP 500"), row(3)]
    for one in rows:
        book.append(one)
    assert book.rows() == rows
    blob = store.read(BOOK)
    assert blob
    assert blob.data.split(b"\n")[0] == (
        b'{"ts":1,"target":"json://x#1","kind":"new","asks":["w-1"],"outcome":"sending"}'
    )


@pytest.mark.parametrize(
    "torn", [b"{", b'{"ts":2,"target"', b'{"ts":2,"target":"\xc3', b'{"ts":2,"ta\0\0\0', b"\0\0\0", b""]
)
def test_a_torn_line_is_left_out(torn):
    """What a crash cut off, or a file system filled up with zeros, announced nothing that was sent."""
    store = open_memory()
    book = Notices(store)
    book.append(row(1))
    store.append(BOOK, torn + b"\n")
    book.append(row(3))
    assert book.rows() == [row(1), row(3)]


@pytest.mark.parametrize("line", [b"\xff\xfe", b"[]", b'{"ts":1}', b"1", b'{"ts":"1","target":"}'])
def test_a_book_that_holds_something_else_is_not_an_empty_one(line):
    """A line that no crash leaves behind may have been a row: nobody knows what was sent, and which line that is."""
    store = open_memory()
    book = Notices(store)
    book.append(row(1))
    store.append(BOOK, line + b"\n")
    book.append(row(3))
    with pytest.raises(Corrupt, match=r"notices\.jsonl: line 2"):
        book.rows()


def test_replies_are_not_taken_over_nonces_that_cannot_be_told():
    """A damaged record of replies lets none in twice: it lets none in."""
    store = open_memory()
    assert Nonces(store).take(Nonce(100, "abcdefgh"), 0)
    store.append(NONCES, b"garbage\n")
    with pytest.raises(Corrupt, match="line 2"):
        Nonces(store).take(Nonce(100, "other-nonce"), 0)


def test_an_unreadable_book_is_not_an_empty_one(tmp_path):
    """Whoever asks what was sent is told that nobody knows."""
    (tmp_path / BOOK).mkdir()
    with pytest.raises(Unreadable):
        Notices(FileStore(str(tmp_path), QuickDisk())).rows()


def test_a_large_book_shrinks_to_what_matters_and_its_old_text_is_kept():
    """Nothing happens before it is large; then what is kept takes the place of all, and not again at the next row."""
    store = open_memory()
    book = Notices(store)
    asked = []

    def keep(rows):
        asked.append(len(rows))
        return list(rows[-2:])

    size = 0
    for n in range(9000):
        size = book.append(row(n, "failed", "x" * 100))
        if n == 10:
            book.shrink(size, keep)
            assert asked == []
    assert size > 1 << 20
    book.shrink(size, keep)
    assert book.rows() == [row(8998, "failed", "x" * 100), row(8999, "failed", "x" * 100)]
    old = store.read(f"{BOOK}.1")
    assert old
    assert old.data.count(b"\n") == 9000
    book.shrink(book.append(row(9001)), keep)
    assert asked == [9000]


def test_a_book_that_cannot_shrink_is_not_rewritten_at_each_row():
    """Where all of it matters, it is looked at again only when it has doubled."""
    store = open_memory()
    book = Notices(store)
    looked = []

    def keep(rows):
        looked.append(len(rows))
        return list(rows)

    for n in range(10_000):
        book.shrink(book.append(row(n, "failed", "x" * 100)), keep)
    assert len(looked) == 1


def test_a_nonce_counts_once():
    """The second time it is refused, also by another process."""
    store = open_memory()
    assert Nonces(store).take(Nonce(100, "abcdefgh"), 0)
    assert not Nonces(store).take(Nonce(100, "abcdefgh"), 0)
    assert not Nonces(store).take(Nonce(200, "abcdefgh"), 100)
    assert Nonces(store).take(Nonce(200, "abcdefgh"), 101)


def test_old_nonces_go():
    """What is past its time does not fill the disk; what is within it stays."""
    store = open_memory()
    nonces = Nonces(store)
    for n in range(500):
        assert nonces.take(Nonce(n, f"nonce-{n:04}"), n - 50)
    blob = store.read(NONCES)
    assert blob
    assert blob.data.count(b"\n") < 220
    assert not nonces.take(Nonce(499, "nonce-0460"), 449)
