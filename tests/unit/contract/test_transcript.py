"""Reading what a session printed: offsets, rotation, logs that are not the ones they were, and text out of it."""

import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looop.contract import transcript as transcripts
from looop.contract.transcript import Reader, Transcript, span
from looop.model.errors import Invalid, Unreadable
from tests.fakes.output import outputs
from tests.fakes.session import Session


@pytest.fixture
def session(tmp_path):
    """A session that has printed nothing yet."""
    return Session(tmp_path / "s")


@pytest.fixture
def transcript(session):
    """Its transcript."""
    return Transcript(str(session.folder), session.is_over)


def new(reader):
    """What a reader finds now: its bytes, and whether they began anew."""
    parts = list(reader.new())
    return b"".join(part.data for part in parts), any(part.is_fresh for part in parts)


# Bytes.


def test_no_log_is_an_empty_one(session):
    """A session that has printed nothing has a transcript of nothing, as has an empty log. Source: edge case 174."""
    reader = Reader(str(session.folder))
    assert new(reader) == (b"", False)
    session.log.touch()
    assert new(reader) == (b"", False)
    assert span(str(session.folder)) == (0, 0)
    assert new(Reader(str(session.folder / "gone"))) == (b"", False)


def test_only_what_is_new_is_read(session):
    """Each reading goes on where the one before ended. Source: spec/edge-cases.md item 253."""
    reader = Reader(str(session.folder))
    session.prints("one")
    assert new(reader) == (b"one", True)
    session.prints("two")
    assert new(reader) == (b"two", False)
    assert new(reader) == (b"", False)


def test_a_log_that_grows_while_it_is_read_loses_nothing(session):
    """What is printed between two pieces of one reading is in the next one. Source: spec/edge-cases.md item 253."""
    session.prints(b"a" * 3_000_000)
    reader, got = Reader(str(session.folder)), []
    for part in reader.new():
        got.append(part.data)
        session.prints("b")
    assert b"".join(got) == b"a" * 3_000_000
    assert new(reader)[0] == b"b" * len(got)


def test_a_reading_that_was_broken_off_counts_what_it_gave(session):
    """Who takes one piece and no more gets the rest the next time. Source: spec/edge-cases.md item 253."""
    session.prints(b"a" * (1 << 20) + b"b" * 10)
    reader = Reader(str(session.folder))
    first = next(reader.new())
    assert (set(first.data), new(reader)) == (set(b"a"), (b"b" * 10, False))


def test_a_rotation_is_read_across(session):
    """First what is left of the log that was renamed, then the new one; nothing twice."""
    reader = Reader(str(session.folder))
    session.prints("one")
    assert new(reader)[0] == b"one"
    session.prints("two")
    session.rotates()
    session.prints("three")
    data, fresh = new(reader)
    assert (data.startswith(b"two\x1b_looop;"), data.endswith(b"three"), fresh) == (True, True, False)


def test_a_log_that_was_renamed_before_the_next_one_is_there(session):
    """Between the two steps of a rotation nothing is lost and nothing begins anew."""
    reader = Reader(str(session.folder))
    session.prints("one")
    assert new(reader)[0] == b"one"
    session.log.replace(session.older)
    assert new(reader) == (b"", False)
    session.prints("two")
    assert new(reader) == (b"two", False)


def test_offsets_go_on_after_the_oldest_part_is_gone(session):
    """An offset means the same byte before and after two rotations. Source: transcript.py, Note [Offsets]."""
    session.prints("a" * 100)
    session.rotates()
    session.prints("b" * 100)
    before = {part.offset: part.data for part in Reader(str(session.folder)).new()}
    assert (min(before), span(str(session.folder))) == (0, (0, session.total))
    session.rotates()
    session.prints("c" * 100)
    first, end = span(str(session.folder))
    assert (first, end) == (100, session.total)
    assert next(part.data for part in Reader(str(session.folder), first).new()) == before[100]


@pytest.mark.parametrize("start", [0, 50, 100, 150, 10**9])
def test_a_reading_begins_where_it_is_told(session, start):
    """From any offset the same bytes are read as when all are read and the first are left out."""
    session.prints("a" * 100)
    session.rotates()
    session.prints("b" * 100)
    everything = b"".join(part.data for part in Reader(str(session.folder)).new())
    parts = list(Reader(str(session.folder), start).new())
    assert b"".join(part.data for part in parts) == everything[start:]
    assert not parts or parts[0].offset == start


def replaced(session):
    session.log.rename(session.folder / "away")
    session.prints("another")


def truncated(session):
    session.log.write_bytes(b"another")


def regrown(session):
    session.log.write_bytes(b"another" + b"x" * 20_000)


def copied_and_cut(session):
    session.log.write_bytes(b"")
    session.prints("another")


def rotated_twice(session):
    session.rotates()
    session.rotates()
    session.prints("another")


@pytest.mark.parametrize("happens", [replaced, truncated, regrown, copied_and_cut, rotated_twice])
def test_another_log_begins_anew(session, happens):
    """Truncated, replaced, rewritten and regrown beyond what was read, or rotated away: all of it is read, as new.

    Source: spec/edge-cases.md item 252.
    """
    reader = Reader(str(session.folder))
    session.prints("y" * 10_000)
    assert new(reader)[1]
    happens(session)
    data, fresh = new(reader)
    kept = [file.read_bytes() for file in (session.older, session.log) if file.exists()]
    assert (fresh, data) == (True, b"".join(kept))


def test_logs_that_look_alike_are_told_apart(session):
    """A program that prints the same for ever is read once, though its two logs hold the same."""
    session.prints("y" * 30_000)
    session.rotates()
    session.prints("y" * 10_000)
    reader = Reader(str(session.folder))
    new(reader)
    session.prints("z")
    assert new(reader) == (b"z", False)


def test_a_generation_that_counts_fewer_bytes_is_read_whole(session):
    """Where a reading began has no say in a log that began later, whatever that says of its place."""
    session.prints("a" * 160)
    reader = Reader(str(session.folder), 150)
    assert new(reader)[0] == b"a" * 10
    session.log.replace(session.older)
    session.prints("\x1b_looop;size=80x24;offset=120\x1b\\bbb")
    assert new(reader)[0] == session.log.read_bytes()


def test_a_log_that_is_emptied_begins_anew(session):
    """What was there is gone, and whoever showed it hears of it, once. Source: spec/edge-cases.md item 252."""
    reader = Reader(str(session.folder))
    session.prints("one")
    assert new(reader)[1]
    session.log.write_bytes(b"")
    assert new(reader) == (b"", True)
    assert new(reader) == (b"", False)
    session.log.unlink()
    assert new(reader) == (b"", False)
    session.prints("two")
    assert new(reader) == (b"two", True)


@pytest.mark.parametrize("name", ["output.log", "output.log.1"])
@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_file_is_said_at_once(session, name, make):
    """A folder or a named pipe in the place of the log is an error in words, and nobody waits for a writer."""
    make(session.folder / name)
    with pytest.raises(Unreadable, match="is not a file"):
        new(Reader(str(session.folder)))
    with pytest.raises(Unreadable):
        span(str(session.folder))


def test_a_file_in_the_place_of_the_folder_is_said(tmp_path):
    """What cannot be read is not taken for nothing."""
    (tmp_path / "s").write_text("x")
    with pytest.raises(Unreadable, match="cannot be read"):
        new(Reader(str(tmp_path / "s")))


def test_no_descriptor_is_left_open(session):
    """Readings that end, that are broken off and that fail give back what they opened."""
    session.prints("a")
    session.rotates()
    before = len(os.listdir("/dev/fd"))
    reader = Reader(str(session.folder))
    next(reader.new())
    new(reader)
    session.older.unlink()
    os.mkfifo(session.older)
    with pytest.raises(Unreadable):
        new(reader)
    assert len(os.listdir("/dev/fd")) == before


def test_offsets_of_a_log_without_marks_stay(session):
    """Where no generation says how much came before it, a reader keeps what it has counted."""
    session.prints("a" * 100)
    session.log.replace(session.older)
    session.prints("b" * 50)
    reader = Reader(str(session.folder))
    new(reader)
    session.older.unlink()
    session.prints("c")
    session.log.replace(session.older)
    session.prints("d")
    assert [(part.data, part.offset) for part in reader.new()] == [(b"c", 150), (b"d", 151)]


STEPS = st.lists(st.one_of(st.binary(min_size=1, max_size=30), st.sampled_from(["rotate", "look"])), max_size=20)


@given(STEPS)
def test_whatever_the_order_each_byte_is_read_once(tmp_path_factory, steps):
    """Prints, rotations and looks in any order: as long as each generation is looked at, nothing is lost or doubled."""
    session = Session(tmp_path_factory.mktemp("s"))
    reader, printed, got = Reader(str(session.folder)), b"", b""
    for step in steps:
        if step == "look":
            got += new(reader)[0]
        elif step == "rotate" and session.log.exists():
            got += new(reader)[0]
            before = session.total
            session.rotates()
            printed += session.log.read_bytes()
            assert session.total > before
        elif isinstance(step, bytes):
            session.prints(step)
            printed += step
    assert got + new(reader)[0] == printed


# Text.


def test_text_has_no_sequences_and_raw_has_them_all(session, transcript):
    """By default what was said; `raw` every byte, those that are not UTF-8 included. Source: spec/workers.md §3.7."""
    session.prints(b"\x1b[31mred\x1b[m\r\n\xff")
    session.ends()
    assert transcript.read().text == "red\n\ufffd"
    assert transcript.read(raw=True).text.encode("utf-8", "surrogateescape") == b"\x1b[31mred\x1b[m\r\n\xff"


def test_marks_are_not_text(session, transcript):
    """What the supervisor wrote between is no output of the program."""
    session.prints("one\r\n")
    session.rotates(modes="\x1b[?1049h\x1b[?25l")
    session.resizes(100, 30)
    session.prints("two\r\n")
    assert transcript.read().text == "one\ntwo\n"


@pytest.mark.parametrize(("count", "text"), [(1, "c"), (2, "b\nc"), (3, "a\nb\nc"), (9, "a\nb\nc")])
@pytest.mark.parametrize("end", ["", "\n"])
def test_the_last_lines(session, transcript, count, text, end):
    """`tail` counts lines, the last one also without its end."""
    session.prints("a\r\nb\r\nc" + end.replace("\n", "\r\n"))
    assert transcript.read(tail=count).text == text + end


@pytest.mark.parametrize("line", ["x", "x" * 5000, "\x1b[31m\x1b[m" * 500 + "x"])
def test_the_last_lines_of_a_large_log(session, transcript, line):
    """However long lines are, the end of a log is the end of the whole."""
    session.prints(b"".join(b"%d %s\r\n" % (n, line.encode()) for n in range(400)))
    session.rotates()
    session.prints("the end\r\n")
    everything = transcript.read().text.split("\n")
    assert transcript.read(tail=5).text.split("\n") == everything[-6:]


def test_lines_that_match(session, transcript):
    """`grep` chooses lines by what they say, then `tail` among them; raw lines keep their colours."""
    session.prints("\x1b[31mer\x1b[1mror\x1b[m 1\r\nfine\r\nerror 2\r\nerror 3\r\n")
    assert transcript.read(grep="^error [0-9]$").text == "error 1\nerror 2\nerror 3\n"
    assert transcript.read(grep="error", tail=1).text == "error 3\n"
    assert transcript.read(grep="error 1", raw=True).text == "\x1b[31mer\x1b[1mror\x1b[m 1\r\n"
    assert transcript.read(grep="nothing").text == ""


@pytest.mark.parametrize("pattern", ["(", "*", "a{2,1}", "(?P<n", "x{99999999999}"])
def test_a_pattern_that_is_none_is_said(transcript, pattern):
    """A bad expression is named, before anything is read."""
    with pytest.raises(Invalid, match="is not a regular expression"):
        transcript.read(grep=pattern)
    with pytest.raises(Invalid, match="is not a regular expression"):
        next(transcript.follow(grep=pattern))


def test_offsets_lead_from_piece_to_piece(session, transcript):
    """What one call returns as offset, the next takes as `since`: nothing is lost, nothing doubled.

    Half a character and half a sequence wait, as long as the session lives. Source: spec/workers.md §3.7.
    """
    session.prints(b"caf\xc3")
    one = transcript.read()
    assert (one.text, one.offset, one.done) == ("caf", 3, False)
    session.prints(b"\xa9 \x1b[3")
    two = transcript.read(since=one.offset)
    assert (two.text, two.start, two.offset) == ("é ", 3, 6)
    session.ends()
    three = transcript.read(since=two.offset)
    assert (three.text, three.offset, three.done) == ("", session.total, True)


@given(outputs, st.lists(st.integers(1, 40), max_size=8))
def test_pieces_make_the_whole(tmp_path_factory, data, lengths):
    """Text read in pieces while the session prints is the text of all, whatever it prints and whenever one looks."""
    session = Session(tmp_path_factory.mktemp("s"))
    transcript = Transcript(str(session.folder), session.is_over)
    text, since, at = "", 0, 0
    for length in [*lengths, len(data)]:
        session.prints(data[at : at + length])
        at += length
        piece = transcript.read(since=since)
        text, since = text + piece.text, piece.offset
    session.ends()
    assert text + transcript.read(since=since).text == transcript.read().text


def test_an_offset_that_is_gone_or_not_there_yet(session, transcript):
    """What is no longer kept cannot be read: `start` says where it begins. Beyond the end is the end."""
    session.prints("a" * 50)
    session.rotates()
    session.rotates()
    session.prints("b")
    piece = transcript.read(since=10)
    assert (piece.start, piece.text, piece.offset) == (50, "b", session.total)
    piece = transcript.read(since=10**12)
    assert (piece.text, piece.offset) == ("", session.total)


# Following.


@pytest.fixture
def no_second_look(monkeypatch):
    """A follower that misses an event waits for ever."""
    monkeypatch.setattr(transcripts, "_LOOK_S", 3600)


def followed(session, steps, **options):
    """What a follower gets while these things happen, each after what the one before caused was seen."""
    pieces = Transcript(str(session.folder), session.is_over).follow(**options)
    texts = [next(pieces).text]
    for step in steps:
        step()
        texts.append(next(pieces).text)
    session.ends()
    return texts + [piece.text for piece in pieces]


def test_a_follower_sees_each_thing_and_the_end(session, no_second_look):
    """What is there, what comes, and an end with the session, each as it happens. Source: spec/workers.md §3.7."""
    session.prints("one\r\n")
    texts = followed(session, [lambda: session.prints("two\r\n"), lambda: session.prints("three\r\n")])
    assert texts == ["one\n", "two\n", "three\n", ""]


def test_a_follower_crosses_a_rotation(session):
    """What is left of the log that was renamed comes first, then the new one."""

    def rotate():
        session.prints("two\r\n")
        session.rotates(modes="\x1b[?25h")
        session.prints("three\r\n")

    session.prints("one\r\n")
    assert "".join(followed(session, [rotate])) == "one\ntwo\nthree\n"


def test_a_follower_gets_no_half(session):
    """A character and a sequence that arrive in two pieces are seen in one; at the end what is left is given."""

    def half():
        session.prints(b"caf\xc3")

    def rest():
        session.prints(b"\xa9\x1b[3")

    assert followed(session, [half, rest]) == ["", "caf", "é", ""]


def test_a_follower_matches_whole_lines(session):
    """With `grep` a line is looked at when it has ended, or when the session has."""
    session.prints("er")
    texts = followed(session, [lambda: session.prints("ror 1\r\nfine\r\nerror 2")], grep="error")
    assert texts == ["", "error 1\n", "error 2"]


def test_a_follower_begins_with_the_last_lines(session):
    """`tail` bounds what is there, not what comes."""
    session.prints("a\r\nb\r\nc\r\n")
    assert followed(session, [lambda: session.prints("d\r\ne\r\n")], tail=1) == ["c\n", "d\ne\n", ""]


def test_a_follower_of_what_is_over_ends_at_once(session):
    """A finished session is shown, half sequence and all, and not waited for."""
    session.prints(b"done \xc3")
    session.ends()
    pieces = list(Transcript(str(session.folder), session.is_over).follow())
    assert [(piece.text, piece.done) for piece in pieces] == [("done \ufffd", True)]


def test_a_follower_leaves_nothing_behind(session):
    """Who stops following leaves no thread and no descriptor."""
    session.prints("x")
    before = (threading.active_count(), len(os.listdir("/dev/fd")))
    pieces = Transcript(str(session.folder), session.is_over).follow()
    next(pieces)
    pieces.close()
    assert (threading.active_count(), len(os.listdir("/dev/fd"))) == before
