"""Screens of sessions: replayed at their size, across rotations, no more than is new; and how they are given away."""

import os

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from looop.contract import ghostty, screens
from looop.contract.ghostty import open_emulator
from looop.contract.screens import MOST_REPLAYS, Screens, plain_row, screenshot, shot
from looop.model.errors import Unreadable
from looop.model.text import to_json
from tests.fakes.output import outputs
from tests.fakes.session import Session

pytestmark = pytest.mark.skipif(isinstance(ghostty.library(), str), reason="there is no wheel of libghostty-vt here")


@pytest.fixture
def session(tmp_path):
    """A session that has printed nothing yet."""
    return Session(tmp_path / "s")


def text_of(screen):
    """The rows of a screen, without the blank ones at the end."""
    return "\n".join(map(plain_row, screen.lines)).rstrip("\n")


def text(session, **options):
    """What a screenshot of the session says."""
    return screenshot(str(session.folder), **options).text


# The size.


def test_a_session_has_80_columns_unless_it_says_otherwise(session):
    """The default is 80x24; the record of the session may name another size. Source: spec/workers.md §3.3, §3.6."""
    session.prints("x" * 100 + "\x1b[99;99H!")
    shot = screenshot(str(session.folder))
    assert (shot.rows, shot.cols, shot.cursor.row, shot.cursor.col) == (24, 80, 23, 79)
    shot = screenshot(str(session.folder), (120, 40))
    assert (shot.rows, shot.cols, shot.text.split("\n")[0]) == (40, 120, "x" * 100)


def test_an_absurd_size_is_not_taken(session):
    """Neither a record nor a transcript can ask for a terminal that would cost all memory."""
    session.prints("a\x1b_looop;size=9999x9999\x1b\\b\x1b_looop;size=0x5\x1b\\c")
    shot = screenshot(str(session.folder), (60_000, 60_000))
    assert (shot.rows, shot.cols, shot.text) == (24, 80, "abc")


def test_the_replay_takes_each_size_where_it_was_taken(session):
    """What was printed before a resize is laid out at the old size, what follows at the new one: else moves drift.

    Source: spec/edge-cases.md item 250.
    """
    session.prints("\x1b[1;200Hold")
    session.resizes(120, 40)
    session.prints("\x1b[40;110Hnew")
    shot = screenshot(str(session.folder))
    assert (shot.rows, shot.cols) == (40, 120)
    rows = shot.text.split("\n")
    assert rows[39] == " " * 109 + "new"
    assert rows[0] == " " * 79 + "old"


def test_a_generation_begins_at_its_own_size(session):
    """When the older generations are gone, the mark at the start says how large the terminal is, and how it stands."""
    session.prints("gone")
    session.rotates()
    session.rotates(100, 30, modes="\x1b[?1049h\x1b[?25h")
    session.older.unlink()
    session.prints("\x1b[Hhere")
    shot = screenshot(str(session.folder))
    assert (shot.rows, shot.cols, shot.text, shot.alternate_screen) == (30, 100, "here", True)


# Rotation.


def test_a_rotation_is_not_seen(session):
    """The screen after a rotation is the screen there would have been without it; the modes that the new generation
    repeats for others do not clear it. Source: screens.py, Note [Rotation].
    """
    session.prints("shell\r\n\x1b[?1049h\x1b[Hfirst")
    looked = Screens()
    assert text_of(looked.look(str(session.folder))) == "first"
    session.rotates(modes="\x1b[?25h\x1b[?1049h\x1b[?2004h")
    session.prints("\x1b[2;1Hsecond")
    assert text_of(looked.look(str(session.folder))) == "first\nsecond"
    assert text(session) == "first\nsecond"
    session.prints("\x1b[?1049l$")
    assert text(session) == "shell\n$"


def test_a_program_that_enters_the_other_screen_right_after_a_rotation(session):
    """Only what is in force already is left out: the first screen is left when a program says so."""
    session.prints("shell")
    session.rotates(modes="\x1b[?25h")
    session.prints("\x1b[?1049h\x1b[Hprogram")
    assert text(session) == "program"


@given(outputs, outputs, st.booleans())
@settings(deadline=None, max_examples=60)
def test_wherever_a_log_is_rotated_the_screen_is_the_same(tmp_path_factory, before, after, look):
    """Rotated between any two outputs, looked at meanwhile or not, a transcript gives the same screen."""
    one, two = (Session(tmp_path_factory.mktemp("s")) for _ in range(2))
    looked = Screens()
    one.prints(before + after)
    two.prints(before)
    if look:
        looked.look(str(two.folder))
    two.rotates(modes="\x1b[?1049h" if Screens().look(str(two.folder)).alternate_screen else "")
    two.prints(after)
    assert looked.look(str(two.folder)) == Screens().look(str(one.folder))


# Looking again.


def test_a_second_look_costs_what_is_new(session):
    """What was read once is not read again: a change far above, which nobody makes, goes unnoticed."""
    session.prints("first\r\n" + "\x1b[m" * 10_000)
    looked = Screens()
    assert text_of(looked.look(str(session.folder))) == "first"
    with session.log.open("r+b") as file:
        file.write(b"FIRST")
    session.prints("second")
    assert text_of(looked.look(str(session.folder))) == "first\nsecond"
    assert text(session) == "FIRST\nsecond"


@pytest.mark.parametrize("size", [1, 2, 5, 9, 20, 33])
def test_a_mark_that_is_half_there_waits(session, size):
    """A look in the middle of a mark, or of a sequence, shows no part of it, and the next one is right."""
    session.prints("a")
    data = b"\x1b_looop;size=100x30\x1b\\\x1b[31mb"
    looked = Screens()
    for at in range(0, len(data), size):
        session.prints(data[at : at + size])
        assert text_of(looked.look(str(session.folder))) in ("a", "ab")
    screen = looked.look(str(session.folder))
    assert (screen.cols, text_of(screen), screen.lines[0][1].style.fg) == (100, "ab", "idx1")


def test_a_mark_in_a_sequence_does_not_break_it(session):
    """The supervisor writes where it is, be it within a sequence or a character of the program."""
    session.prints(b"\x1b[3")
    session.resizes(100, 30)
    session.prints(b"1mcaf\xc3")
    session.resizes(90, 30)
    session.prints(b"\xa9")
    screen = Screens().look(str(session.folder))
    assert (text_of(screen), screen.lines[0][0].style.fg, screen.cols) == ("café", "idx1", 90)


@pytest.mark.parametrize("again", ["short", "x" * 30_000])
def test_a_log_that_is_another_is_replayed_anew(session, again):
    """Truncated, or rewritten and grown beyond what was read: nothing of the old screen stays.

    Source: spec/edge-cases.md item 252.
    """
    session.prints("\x1b[?1049h\x1b[31mold\r\n" * 500)
    looked = Screens()
    looked.look(str(session.folder))
    session.log.write_bytes(again.encode() + b"\r\nnew")
    screen = looked.look(str(session.folder))
    assert (text_of(screen).split("\n")[-1], screen.alternate_screen) == ("new", False)
    session.log.unlink()
    assert text_of(looked.look(str(session.folder))) == ""


def test_screens_are_kept_apart_and_not_for_ever(tmp_path):
    """Each folder has a screen of its own; of many, those looked at last are kept."""
    looked = Screens()
    sessions = [Session(tmp_path / str(n)) for n in range(MOST_REPLAYS + 3)]
    for n, session in enumerate(sessions):
        session.prints(str(n))
        assert text_of(looked.look(str(session.folder))) == str(n)
    assert [text_of(looked.look(str(session.folder))) for session in sessions] == [str(n) for n in range(len(sessions))]
    assert len(looked._replays) == MOST_REPLAYS


def test_of_a_very_large_log_the_end_is_replayed(session, monkeypatch):
    """A log beyond all bounds shows its tail. Source: spec/edge-cases.md item 256."""
    monkeypatch.setattr(screens, "LONGEST_REPLAY", 1000)
    session.prints(b"\x1b]0;t\x07\x1b[?25l" + b"".join(b"line %d\r\n" % n for n in range(5000)) + b"end")
    rows = text(session).split("\n")
    assert (rows[-2:], len(rows)) == (["line 4999", "end"], 24)
    assert not screenshot(str(session.folder)).cursor.hidden
    session.prints("\r\nmore")
    assert text(session).endswith("line 4999\nend\nmore")


@pytest.mark.slow
def test_a_log_of_16_megabytes_is_replayed_whole(session):
    """What was printed first still counts at the end: the mode, the title row."""
    session.prints(
        b"\x1b[?1049h\x1b[1;1Htop\x1b[2;24r\x1b[24;1H" + b"\x1b[32mline\x1b[m of output\r\n" * (16 * 2**20 // 26)
    )
    shot = screenshot(str(session.folder))
    assert (shot.text.split("\n")[0], shot.text.split("\n")[22], shot.alternate_screen) == (
        "top",
        "line of output",
        True,
    )


# What is not a log.


def test_no_log_is_a_blank_screen(session):
    """A session that has printed nothing, or whose log is empty, has a blank screen."""
    assert text(session) == ""
    session.log.touch()
    shot = screenshot(str(session.folder), shown="json")
    assert (shot.rows, shot.cols, shot.cells, shot.cursor.row) == (24, 80, [], 0)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_file_is_said(session, make):
    """A folder or a named pipe in the log's place is an error in words; nobody waits."""
    make(session.log)
    with pytest.raises(Unreadable, match="is not a file"):
        text(session)


# How it is given away.


def test_trimming_leaves_out_blank_rows_at_the_end(session):
    """By default the blank rows at the end go, those between stay; all of them stay on request. §3.6"""
    session.prints("a\r\n\r\nb  \r\n   \r\n")
    assert text(session) == "a\n\nb"
    assert text(session, trim=False) == "a\n\nb" + "\n" * 21
    assert screenshot(str(session.folder), shown="ansi").text == "a\x1b[0m\n\x1b[0m\nb\x1b[0m"


def test_colours_end_with_their_row(session):
    """A long red row does not tint the rows after it: every row is reset at its end, blank ones too.

    Source: spec/edge-cases.md item 251.
    """
    session.prints("\x1b[31;44m" + "x" * 80 + "\r\n\x1b[m\r\nplain")
    rows = screenshot(str(session.folder), shown="ansi", trim=False).text.split("\n")
    assert len(rows) == 24
    assert all(row.endswith("\x1b[0m") for row in rows)
    assert rows[0] == "\x1b[0;31;44m" + "x" * 80 + "\x1b[0m\x1b[0m"
    assert rows[2:4] == ["plain\x1b[0m", "\x1b[0m"]


def test_a_row_with_only_a_background_is_seen_in_colour_and_blank_in_text(session):
    """What shows nothing as text is trimmed as text, not as picture."""
    session.prints("a\r\n\x1b[41m\x1b[K")
    assert text(session) == "a"
    assert screenshot(str(session.folder), shown="ansi").text.split("\n")[1] == f"\x1b[0;41m{' ' * 80}\x1b[0m\x1b[0m"


@pytest.mark.parametrize(
    ("sgr", "shown"),
    [
        ("31", "31"),
        ("95", "95"),
        ("107", "107"),
        ("38;5;200", "38;5;200"),
        ("48;5;9", "101"),
        ("38;2;1;2;3;48;2;4;5;6", "38;2;1;2;3;48;2;4;5;6"),
        ("1;2;3;4;5;7;9;35", "1;2;3;4;5;7;9;35"),
        ("8", "8"),
    ],
)
def test_each_style_is_rendered(session, sgr, shown):
    """Every style and every kind of colour comes out as it went in."""
    session.prints(f"\x1b[{sgr}mx")
    assert screenshot(str(session.folder), shown="ansi").text == f"\x1b[0;{shown}mx\x1b[0m\x1b[0m"


@given(outputs)
@settings(deadline=None)
def test_a_rendering_shows_the_same_again(data):
    """Whatever was printed: the rendering with colours, printed on a terminal, is the same screen."""
    one, two = open_emulator(30, 8), open_emulator(30, 8)
    one.feed(data)
    two.feed("\r\n".join((shot(one.screen(), "ansi", trim=False).text or "").split("\n")).encode())
    assert two.screen().lines == one.screen().lines


@given(outputs)
@settings(deadline=None)
def test_a_rendering_holds_only_colours(data):
    """Text has no control character but newlines, and the rendering with colours none but SGR sequences of ours."""
    emulator = open_emulator(30, 8)
    emulator.feed(data)
    screen = emulator.screen()
    painted = shot(screen, "ansi").text
    assert not [ch for ch in shot(screen, "plain").text if ch != "\n" and (ch < " " or "\x7f" <= ch <= "\x9f")]
    assert all(part.split("m")[0].replace(";", "").isdigit() for part in painted.split("\x1b[")[1:])
    assert painted.count("\x1b") == painted.count("\x1b[")


def test_hidden_text_stays_hidden_in_text(session):
    """What a program set invisible is blank in text, and said to be invisible in JSON."""
    session.prints("a\x1b[8msecret\x1b[28mb")
    assert text(session) == "a      b"
    assert [cell.invisible for cell in screenshot(str(session.folder), shown="json").cells][:2] == [False, True]


def test_json_is_as_the_reference_has_it(session):
    """Size, cursor, screen, hash, format, and the cells that show something, with what is not ordinary about them.

    Source: spec/workers.md §3.6.
    """
    session.prints("\x1b[?25l\x1b[1;31ma\x1b[m 日\x1b[2;3H\x1b[48;2;1;2;3m ")
    found = msgspec.json.decode(to_json(screenshot(str(session.folder), shown="json")))
    digits = found.pop("screen_hash")
    assert found == {
        "rows": 24,
        "cols": 80,
        "cursor": {"row": 1, "col": 3, "hidden": True},
        "alternate_screen": False,
        "format": "json",
        "cells": [
            {"row": 0, "col": 0, "char": "a", "fg": "idx1", "bold": True},
            {"row": 0, "col": 2, "char": "日", "width": 2},
            {"row": 1, "col": 2, "char": " ", "bg": "#010203"},
        ],
    }
    assert len(digits) == 32


def test_text_formats_carry_text(session):
    """In the formats plain and ansi there is `text` and there are no cells."""
    session.prints("a")
    found = msgspec.json.decode(to_json(screenshot(str(session.folder))))
    assert (found["text"], found["format"], "cells" in found, "degraded" in found) == ("a", "plain", False, False)


def test_the_hash_stands_for_what_is_seen(session):
    """Equal screens have equal hashes, however they came about; a colour, a letter and the cursor make another."""
    seen = {}
    for data in ("ab", "\x1b[1mx\x1b[m\rab", "ab\x1b[31m", "aB", "a\x1b[31mb", "ab\x1b[1D", "ab\x1b[?25l"):
        session.log.write_text(data)
        seen[data] = screenshot(str(session.folder)).screen_hash
    same = [seen.pop("ab"), seen.pop("\x1b[1mx\x1b[m\rab"), seen.pop("ab\x1b[31m")]
    assert len(set(same)) == 1
    assert len({same[0], *seen.values()}) == 1 + len(seen)


def test_where_there_is_no_library_the_text_is_shown(session, monkeypatch):
    """Without an emulator the last text is given, and every format says that it is not the screen."""
    monkeypatch.setattr(ghostty, "library", lambda: "no library here")
    session.prints("\x1b[31mred\x1b[m\r\nmore")
    for shown in ("plain", "ansi", "json"):
        assert screenshot(str(session.folder), shown=shown).degraded == "no library here"
    assert text(session) == "red\nmore"
    assert [cell.char for cell in screenshot(str(session.folder), shown="json").cells] == list("redmore")
