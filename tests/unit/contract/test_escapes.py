"""Text without escape sequences, and where a piece of output may be cut."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looop.contract.escapes import LONGEST, stripped, whole
from tests.fakes.output import cut, cuts, outputs

PTY = os.path.join(os.path.dirname(__file__), "..", "..", "data", "pty")


def test_sequences_and_controls_are_gone():
    """What is left is what was said: no colour, no title, no link, no bell, nothing a terminal would obey.

    Source: spec/workers.md §3.7.
    """
    start = b"\x1b]0;title\x07\x1b[1;31mred\x1b[0m \x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\\x07\x08 "
    end = b"\x1bP1$r\x1b\\\x1b_a\x1b\\"
    end += b"\x1b(B\x1b7end\x1b[>4;2m\x1b[?1u\xc2\x9b1m\x7f\xff"
    assert stripped(start + end) == "red link end1m\ufffd"


def test_words_that_were_drawn_apart_stay_apart():
    """A move along the row reads as a space, a move to another row as one end of line."""
    assert stripped(b"Run\x1b[1Cthe\x1b[12Gcommand\r\x1b[1Bnext\x1b[5;1Hlast") == "Run the command\nnext\nlast"


@pytest.mark.parametrize("end", [b"\r\n", b"\r\r\n", b"\n", b"\r"])
def test_every_end_of_line_is_one(end):
    """A terminal's ends of lines, and a progress bar's, are newlines."""
    assert stripped(b"10%" + end + b"20%") == "10%\n20%"


@pytest.mark.parametrize(
    ("data", "left"),
    [
        (b"word", b""),
        (b"word\x1b", b"\x1b"),
        (b"word\x1b[3", b"\x1b[3"),
        (b"word\x1b[31m", b""),
        (b"word\x1b]0;tit", b"\x1b]0;tit"),
        (b"word\x1b]0;tit\x1b", b"\x1b]0;tit\x1b"),
        (b"word\x1b]0;tit\x1b\\", b""),
        (b"word\x1b_looop;size=8", b"\x1b_looop;size=8"),
        (b"word\x1b(", b"\x1b("),
        (b"caf\xc3", b"\xc3"),
        (b"\xe6\x97", b"\xe6\x97"),
        ("日".encode(), b""),
        (b"\xf0\x9f\x91", b"\xf0\x9f\x91"),
        (b"\xff", b""),
        (b"word\r", b"\r"),
        (b"word\r\x1b[2B\x1b[5", b"\r\x1b[2B\x1b[5"),
        (b"", b""),
    ],
)
def test_what_is_not_whole_is_left(data, left):
    """Half a character, half a sequence, and a carriage return whose newline may follow are left for the next time.

    Source: spec/workers.md §3.7.
    """
    assert data[whole(data) :] == left


@pytest.mark.parametrize("start", [b"\x1b]0;", b"\x1bP", b"\r", b"\x1b["])
def test_patience_ends(start):
    """What stays open for ever is not waited for, and looking at it stays quick."""
    data = start + (b"1" if start != b"\r" else b"\r") * (4 * LONGEST)
    assert whole(data) == len(data)


@given(outputs, cuts)
def test_cuts_change_nothing(data, places):
    """Output that arrives in pieces, cut anywhere, reads as it does at once. Source: spec/workers.md §3.7."""
    said, rest = [], b""
    for part in cut(data, places):
        piece = rest + part
        at = whole(piece)
        said.append(stripped(piece[:at]))
        rest = piece[at:]
    assert "".join(said) + stripped(rest) == stripped(data)


@given(st.binary(max_size=300))
def test_nothing_that_a_terminal_obeys_is_left(data):
    """Whatever was printed, its text holds no control character but newlines and tabs."""
    assert not [ch for ch in stripped(data) if ch not in "\n\t" and (ch < " " or "\x7f" <= ch <= "\x9f")]


def test_a_recorded_session_reads_as_text():
    """The recording of an agent at work can be searched for what it said."""
    with open(os.path.join(PTY, "claude.raw"), "rb") as file:
        text = stripped(file.read())
    assert "Run the command that prints hello and report." in text
    assert "● Third task done: I got the pasted text." in text
