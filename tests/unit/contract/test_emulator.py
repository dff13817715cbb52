"""The terminal behind the port: libghostty-vt, and what stands in where there is none."""

import base64
import os
import subprocess
import sys

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from looop.contract import ghostty
from looop.contract.emulator import PLAIN, Stripped, Style, is_size
from looop.contract.ghostty import open_emulator
from looop.contract.screens import plain_row
from tests.fakes.output import cut, cuts, outputs

needs_library = pytest.mark.skipif(isinstance(ghostty.library(), str), reason="there is no wheel of libghostty-vt here")


def seen(data, cols=20, rows=6):
    """The screen after this was printed."""
    emulator = open_emulator(cols, rows)
    emulator.feed(data if isinstance(data, bytes) else data.encode())
    return emulator.screen()


def text(screen):
    """Its rows, without the blank ones at the end."""
    return "\n".join(map(plain_row, screen.lines)).rstrip("\n")


def styles(screen, row=0):
    """Each run of a row with its style."""
    return [(cell.char, cell.style) for cell in screen.lines[row]]


@needs_library
def test_a_screen_says_its_size_and_cursor():
    """Rows, columns, cursor from 0, all rows there, blank cells at their ends left out."""
    screen = seen("one\r\n  two   ", cols=30, rows=4)
    assert (screen.rows, screen.cols, len(screen.lines)) == (4, 30, 4)
    assert (screen.cursor.row, screen.cursor.col, screen.cursor.hidden) == (1, 8, False)
    assert [len(line) for line in screen.lines] == [3, 5, 0, 0]
    assert not screen.degraded


@needs_library
def test_wide_and_combining_characters_take_their_cells():
    """A wide character is one cell of width 2, a combining one belongs to its base, a family of emoji is one."""
    line = seen("日x e\u0301👨‍👩‍👧!").lines[0]
    assert [(cell.col, cell.char, cell.width) for cell in line][:4] == [
        (0, "日", 2),
        (2, "x", 1),
        (3, " ", 1),
        (4, "e\u0301", 1),
    ]
    assert line[4].char.startswith("👨")
    assert line[-1].char == "!"


@needs_library
def test_a_wide_character_that_does_not_fit_wraps():
    """Half of a wide character is never shown: it goes to the next row, and a blank is left."""
    assert [plain_row(line) for line in seen("abc日", cols=4, rows=2).lines] == ["abc", "日"]


@needs_library
def test_styles_are_told_apart():
    """Colours of the palette and true ones, and each way of writing."""
    screen = seen("\x1b[31;1ma\x1b[0;3;4;38;2;1;2;255mb\x1b[0;48;5;200;7mc\x1b[0;2;5;8;9md\x1b[0;95me\x1b[mf")
    assert styles(screen) == [
        ("a", Style(fg="idx1", bold=True)),
        ("b", Style(fg="#0102ff", italic=True, underline=True)),
        ("c", Style(bg="idx200", inverse=True)),
        ("d", Style(faint=True, blink=True, invisible=True, strikethrough=True)),
        ("e", Style(fg="idx13")),
        ("f", PLAIN),
    ]


@needs_library
def test_an_erased_row_keeps_its_background():
    """Blank cells that have a colour are seen, of the palette or true."""
    screen = seen("\x1b[41m\x1b[2K\x1b[2;1H\x1b[48;2;10;11;12m\x1b[2K", cols=3, rows=2)
    assert styles(screen) == [(" ", Style(bg="idx1"))] * 3
    assert styles(screen, 1) == [(" ", Style(bg="#0a0b0c"))] * 3


@needs_library
def test_the_alternate_screen_comes_and_goes():
    """What was on the first screen is back when a program leaves the other one. Source: spec/workers.md §3.6."""
    inside = seen("shell\r\n\x1b[?1049h\x1b[Hprogram")
    assert (text(inside), inside.alternate_screen) == ("program", True)
    left = seen("shell\r\n\x1b[?1049h\x1b[Hprogram\x1b[?1049l$")
    assert (text(left), left.alternate_screen) == ("shell\n$", False)


@needs_library
@pytest.mark.parametrize(
    ("data", "shown"),
    [
        ("1\r\n2\r\n3\r\n4\x1b[2;3r\x1b[3;1H\n", "1\n3\n\n4"),  # DECSTBM: only the region scrolls
        ("a\x1b[?2026hb\x1b[?2026l", "ab"),  # synchronised update
        ("a\x1b[?2026hb", "ab"),  # one that was cut off
        ("a\x1b[>1u\x1b[?u\x1b[=1;1u\x1b[<ub", "ab"),  # kitty keyboard
        ("a\x1b[>4;2m\x1b[?4mb", "ab"),  # XTMODKEYS, which is no SGR
        ("a\x1b]0;t\x07\x1b]11;?\x1b\\\x1bP+q544e\x1b\\\x1b^x\x1b\\\x1bXx\x1b\\b", "ab"),  # strings
        ("a\x1b_Ga=T,f=24,s=1,v=1;AAAA\x1b\\b", "ab"),  # a picture
        ("a\x1b_looop;size=9x9\x1b\\b", "ab"),  # our own mark
        ("a\x1b[14t\x1b[6n\x1b[c\x1b[>q\x1b[?2026$pb", "ab"),  # questions, which nobody answers
        ("\x1b[?25l\x1b7\x1b[5;5H\x1b8a", "a"),
        ("ab\x1b[1GX", "Xb"),
    ],
)
def test_what_agents_send_is_understood(data, shown):
    """The sequences seen in recordings of agents leave what a terminal would show. Source: agents.md §4."""
    assert text(seen(data)) == shown


@needs_library
def test_a_cell_never_holds_what_a_terminal_obeys():
    """Control characters of any kind, printed by whatever trick, do not become text.

    Source: emulator.py, Note [Only text].
    """
    screen = seen("a\x7fb\u202ec\u200f\u0085d\u009b31me\ufeff")
    shown = "".join(cell.char for cell in screen.lines[0])
    assert shown.isprintable()
    assert "\x7f" not in shown


@needs_library
def test_a_picture_reads_and_deletes_no_file(tmp_path):
    """A transcript that asks for a temporary file to be shown, which deletes it, has no effect on the disk."""
    path = tmp_path / "tty-graphics-protocol-x"
    path.write_bytes(bytes(3))
    name = base64.b64encode(os.fsencode(path)).decode()
    seen(f"\x1b_Ga=T,f=24,s=1,v=1,t=t;{name}\x1b\\\x1b_Ga=T,f=24,s=1,v=1,t=f;{name}\x1b\\")
    assert path.exists()


@needs_library
def test_a_resize_keeps_what_is_there():
    """A terminal that gets another size shows its lines anew; from then on the new size holds."""
    emulator = open_emulator(10, 3)
    emulator.feed(b"0123456789abc")
    emulator.resize(20, 4)
    screen = emulator.screen()
    assert (screen.cols, screen.rows, text(screen)) == (20, 4, "0123456789abc")


@needs_library
@given(outputs, cuts)
@settings(deadline=None)
def test_cuts_change_nothing(data, places):
    """Output that arrives in pieces, cut anywhere, gives the screen that it gives at once."""
    emulator = open_emulator(20, 6)
    for piece in cut(data, places):
        emulator.feed(piece)
    assert emulator.screen() == seen(data)


@needs_library
@given(st.binary(max_size=400))
@settings(deadline=None)
def test_any_bytes_are_a_screen(data):
    """Noise crashes nothing, and leaves no character that a terminal would obey."""
    screen = seen(data)
    assert len(screen.lines) == screen.rows
    assert not [cell for line in screen.lines for cell in line if cell.char < " " or "\x7f" <= cell.char[0] <= "\x9f"]


@needs_library
def test_terminals_are_given_back():
    """A thousand terminals one after the other take no more memory than a few."""
    code = (
        "import resource; from looop.contract.ghostty import open_emulator\n"
        "def rss(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "def use(): e = open_emulator(120, 40); e.feed(b'x\\r\\n' * 500); e.screen()\n"
        "[use() for _ in range(50)]; before = rss(); [use() for _ in range(500)]; print(rss() - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 20_000 * (1024 if sys.platform == "darwin" else 1)


@needs_library
def test_its_python_is_not_imported():
    """The library is opened without the binding's own Python, which takes a tenth of a second."""
    code = "import sys; from looop.contract.ghostty import open_emulator; open_emulator(80, 24); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"pyghostty", "cffi", "json"} & set(done.stdout.split())


@pytest.mark.parametrize(("cols", "rows"), [(0, 24), (80, 0), (1001, 24), (80, 1001), (-1, 5)])
def test_absurd_sizes_are_not_taken(cols, rows):
    """A transcript may claim any size; one that no terminal has would cost all memory."""
    assert not is_size(cols, rows)
    assert is_size(80, 24)


# Without the library.


def test_a_file_that_is_no_library_is_said(tmp_path):
    """What cannot be loaded is a reason in words, never an exception."""
    (tmp_path / "libghostty-vt.so").write_bytes(b"not a library")
    assert "libghostty-vt cannot be used" in str(ghostty.open_library(str(tmp_path / "libghostty-vt.so")))


def test_another_library_is_said():
    """A library that lacks what we call is refused before it is called."""
    assert "libghostty-vt cannot be used" in str(ghostty.open_library(msgspec._core.__file__))


@needs_library
def test_a_library_with_other_names_is_said(monkeypatch):
    """A release that renamed a constant we need does not fit, and that is said. Source: ghostty.py [It says how]."""
    path = ghostty.library()
    assert not isinstance(path, str)
    monkeypatch.setattr(ghostty, "_OFF", ("NO_SUCH_OPTION",))
    assert "NO_SUCH_OPTION" in str(ghostty.open_library(path.path))


def test_no_package_is_said(monkeypatch):
    """Where there is no wheel, a terminal is opened all the same, and says why it shows text only."""
    monkeypatch.setattr(ghostty.PathFinder, "find_spec", lambda _: None)
    ghostty.library.cache_clear()
    try:
        screen = seen("\x1b[31mred\x1b[m\r\nand more")
        assert "pyghostty is not installed" in screen.degraded
        assert text(screen) == "red\nand more"
    finally:
        ghostty.library.cache_clear()


def test_text_alone_fills_the_last_rows():
    """Without emulation the last lines that were printed are shown, folded at the width, cursor behind them."""
    emulator = Stripped(5, 3, "why")
    for piece in (b"one\r\ntwo\r\n\x1b[3", b"1mthree and\x1b[m\r\nx"):
        emulator.feed(piece)
    screen = emulator.screen()
    assert [plain_row(line) for line in screen.lines] == ["three", " and", "x"]
    assert (screen.cursor.row, screen.cursor.col, screen.degraded) == (2, 1, "why")
    emulator.resize(20, 2)
    assert [plain_row(line) for line in emulator.screen().lines] == ["three and", "x"]


def test_text_alone_begins_blank():
    """A terminal without a library to which nothing was printed is blank."""
    screen = Stripped(5, 3, "why").screen()
    assert (screen.lines, screen.cursor.row) == ([[], [], []], 0)
