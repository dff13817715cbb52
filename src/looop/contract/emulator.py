"""A terminal nobody sees: bytes go in, a screen comes out. The port, its values, and what stands in for a library.

Note [Only text]
No cell of a screen holds a character that a terminal would obey, whatever was fed.
"""

from typing import Protocol

from msgspec import Struct

from looop.contract.escapes import stripped, whole

DEFAULT_SIZE = (80, 24)
MOST_CELLS = 1000
_KEPT_CHARS = 1 << 16


class Style(Struct, frozen=True, omit_defaults=True):
    """How a cell looks. A colour is `idxN` (of the terminal's palette) or `#rrggbb`, None is the terminal's own."""

    fg: str | None = None
    bg: str | None = None
    bold: bool = False
    faint: bool = False
    italic: bool = False
    underline: bool = False
    blink: bool = False
    inverse: bool = False
    invisible: bool = False
    strikethrough: bool = False


class Cell(Struct, frozen=True):
    """One character with what combines with it, in a place; `width` is 2 where it takes two columns."""

    col: int
    char: str
    width: int
    style: Style


class Cursor(Struct, frozen=True):
    """Where the cursor is, counted from 0."""

    row: int
    col: int
    hidden: bool


class Screen(Struct, frozen=True):
    """What is seen. `lines` has `rows` rows, each without the blank cells at its end.

    `degraded` says why this is not the screen but only the text that was printed last; it is empty when all is well.
    """

    rows: int
    cols: int
    cursor: Cursor
    alternate_screen: bool
    lines: list[list[Cell]]
    degraded: str = ""


class Emulator(Protocol):
    """A terminal. One thread at a time."""

    def feed(self, data: bytes) -> None:
        """Print this. Pieces may be cut anywhere."""

    def resize(self, cols: int, rows: int) -> None:
        """Have another size from here on."""

    def screen(self) -> Screen:
        """What is seen now. See Note [Only text]."""


PLAIN = Style()


def is_size(cols: int, rows: int) -> bool:
    """Whether a terminal of this size is one we would make; a transcript may ask for any."""
    return 0 < cols <= MOST_CELLS and 0 < rows <= MOST_CELLS


class Stripped:
    """Implements `Emulator` without emulating: the last lines that were printed, without their sequences."""

    def __init__(self, cols: int, rows: int, why: str) -> None:
        self._size, self._why = (cols, rows), why
        self._rest, self._text = b"", ""

    def feed(self, data: bytes) -> None:
        data = self._rest + data
        end = whole(data)
        self._text = (self._text + stripped(data[:end]))[-_KEPT_CHARS:]
        self._rest = data[end:]

    def resize(self, cols: int, rows: int) -> None:
        self._size = (cols, rows)

    def screen(self) -> Screen:
        cols, rows = self._size
        text = (self._text + stripped(self._rest)).expandtabs()
        folded = [line[at : at + cols] for line in text.split("\n") for at in range(0, max(len(line), 1), cols)]
        shown = folded[-rows:]
        lines = [[Cell(col, char, 1, PLAIN) for col, char in enumerate(line.rstrip())] for line in shown]
        lines += [[] for _ in range(rows - len(lines))]
        cursor = Cursor(len(shown) - 1, min(len(shown[-1]), cols - 1), hidden=False)
        return Screen(rows, cols, cursor, alternate_screen=False, lines=lines, degraded=self._why)
