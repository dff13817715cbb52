"""From a session's transcript to its screen, and to what is shown of it.

Note [Rotation]
A generation of a transcript begins with the modes that are in force, for whoever has nothing before it. Who has
replayed what came before is in them already, and to enter the other screen again would clear it: that is left out then.
"""

import re
from collections.abc import Iterable
from itertools import groupby
from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from looop.contract.emulator import DEFAULT_SIZE, PLAIN, Cell, Cursor, Emulator, Screen, Style, is_size
from looop.contract.ghostty import open_emulator
from looop.contract.transcript import LONGEST_MARK, MARK, Reader, span
from looop.model.text import to_json
from looop.rules.world import digest

Format = Literal["plain", "ansi", "json"]
LONGEST_REPLAY = 1 << 26
MOST_REPLAYS = 32
_MOST_RESIZES = 300
_MARK_START, _MARK_BODY = b"\x1b_looop;", re.compile(rb"\x1b_looop;[a-z0-9=;]*\x1b?")
_MODE = re.compile(rb"\x1b\[\?([0-9]+)[hl]")
_OTHER_SCREEN = (b"47", b"1047", b"1048", b"1049")
_SGR = {
    "bold": 1,
    "faint": 2,
    "italic": 3,
    "underline": 4,
    "blink": 5,
    "inverse": 7,
    "invisible": 8,
    "strikethrough": 9,
}
_SEEN_ON_A_BLANK = ("bg", "underline", "inverse", "strikethrough")


class ShownCell(Style, frozen=True, omit_defaults=True, kw_only=True):
    """A cell that shows something and how it looks, as JSON has it."""

    row: int
    col: int
    char: str
    width: int = 1


class Screenshot(Struct, frozen=True):
    """A screen as it is given away: `text` in the formats plain and ansi, `cells` in json.

    Equal screens have equal hashes. `degraded` is there only where no terminal could be emulated, and says why.
    Source: spec/workers.md §3.6.
    """

    rows: int
    cols: int
    cursor: Cursor
    alternate_screen: bool
    screen_hash: str
    format: Format
    text: str | UnsetType = UNSET
    cells: list[ShownCell] | UnsetType = UNSET
    degraded: str | UnsetType = UNSET


class Screens:
    """The screens of sessions, by folder. A second look at a log that has grown costs what is new. For one thread."""

    def __init__(self) -> None:
        self._replays: dict[str, _Replay] = {}

    def look(self, folder: str, size: tuple[int, int] = DEFAULT_SIZE) -> Screen:
        """The screen now. `size` is that of the session where its transcript says nothing else. Raises Unreadable.

        A transcript that is no longer the one that was read is replayed from its start.
        Source: spec/edge-cases.md items 250, 252, 253, 256.
        """
        replay = self._replays.pop(folder, None) or _Replay(folder, size)
        replay.catch_up()
        self._replays[folder] = replay
        if len(self._replays) > MOST_REPLAYS:
            del self._replays[next(iter(self._replays))]
        return replay.screen()


def screenshot(
    folder: str, size: tuple[int, int] = DEFAULT_SIZE, shown: Format = "plain", *, trim: bool = True
) -> Screenshot:
    """The screen of the session in this folder. Raises Unreadable. Source: spec/workers.md §3.6."""
    return shot(Screens().look(folder, size), shown, trim=trim)


def shot(screen: Screen, shown: Format, *, trim: bool = True) -> Screenshot:
    """A screen in one of the formats; `trim` leaves out the rows at its end that show nothing in that format."""
    draw = ansi_row if shown == "ansi" else plain_row
    last = max((n for n, line in enumerate(screen.lines, 1) if (line if shown == "ansi" else draw(line))), default=0)
    lines = screen.lines[:last] if trim else screen.lines
    return Screenshot(
        rows=screen.rows,
        cols=screen.cols,
        cursor=screen.cursor,
        alternate_screen=screen.alternate_screen,
        screen_hash=digest(to_json(screen)),
        format=shown,
        text=UNSET if shown == "json" else "\n".join(map(draw, lines)),
        cells=[*_cells(screen.lines)] if shown == "json" else UNSET,
        degraded=screen.degraded or UNSET,
    )


def plain_row(line: list[Cell]) -> str:
    """The text of a row; what is set invisible is blank."""
    return "".join(" " * cell.width if cell.style.invisible else cell.char for cell in line).rstrip()


def ansi_row(line: list[Cell]) -> str:
    """A row as a terminal shows it, reset at its end, so that nothing of it tints the next.

    Source: spec/workers.md §3.6, spec/edge-cases.md item 251.
    """
    runs = groupby(line, lambda cell: cell.style)
    return "".join(_paint(style, "".join(cell.char for cell in cells)) for style, cells in runs) + "\x1b[0m"


def _paint(style: Style, text: str) -> str:
    if style == PLAIN:
        return text
    codes = [str(code) for name, code in _SGR.items() if getattr(style, name)]
    codes += [*_colour(style.fg, 30), *_colour(style.bg, 40)]
    return f"\x1b[0;{';'.join(codes)}m{text}\x1b[0m"


def _colour(colour: str | None, base: int) -> list[str]:
    if colour is None:
        return []
    if colour.startswith("#"):
        return [str(base + 8), "2", *(str(part) for part in bytes.fromhex(colour[1:]))]
    index = int(colour.removeprefix("idx"))
    if index < 16:
        return [str(base + index if index < 8 else base + 52 + index)]
    return [str(base + 8), "5", str(index)]


def _cells(lines: list[list[Cell]]) -> Iterable[ShownCell]:
    for row, line in enumerate(lines):
        for cell in line:
            style = cell.style
            if cell.char != " " or any(getattr(style, name) for name in _SEEN_ON_A_BLANK):
                looks = {name: getattr(style, name) for name in style.__struct_fields__}
                yield ShownCell(row=row, col=cell.col, char=cell.char, width=cell.width, **looks)


class _Replay:
    """One transcript, fed to a terminal as far as it goes."""

    def __init__(self, folder: str, size: tuple[int, int]) -> None:
        self._size = size if is_size(*size) else DEFAULT_SIZE
        self._reader = Reader(folder, span(folder)[1] - LONGEST_REPLAY)
        self._screen: Screen | None = None
        self._begin()

    def catch_up(self) -> None:
        """Feed what is new. Raises Unreadable."""
        for part in self._reader.new():
            if part.is_fresh:
                self._begin()
            self._feed(self._rest + part.data)

    def screen(self) -> Screen:
        """What is seen after all that was fed."""
        self._screen = self._screen or self._emulator.screen()
        return self._screen

    def _begin(self) -> None:
        self._emulator: Emulator = open_emulator(*self._size)
        self._rest, self._screen = b"", None
        self._resizes_left = _MOST_RESIZES

    def _feed(self, data: bytes) -> None:
        """Feed what stands between the marks; a mark that is not whole yet waits."""
        self._screen, at = None, 0
        for mark in MARK.finditer(data):
            self._emulator.feed(data[at : mark.start()])
            at = self._obey(mark)
        end = _open_mark(data, at)
        self._emulator.feed(data[at:end])
        self._rest = data[end:]

    def _obey(self, mark: re.Match[bytes]) -> int:
        """Resize as the mark says; where what belongs to it ends. See Note [Rotation].

        Programs can print marks, too, and a change of size is dear: it is obeyed a few hundred times, then no more.
        """
        if self._resizes_left and mark["cols"] and is_size(int(mark["cols"]), int(mark["rows"])):
            self._resizes_left -= 1
            self._emulator.resize(int(mark["cols"]), int(mark["rows"]))
        if mark["offset"] is None or not self._emulator.screen().alternate_screen:
            return mark.end()
        return self._skip_modes(mark.string, mark.end())

    def _skip_modes(self, data: bytes, at: int) -> int:
        """Feed the modes that begin a generation, each of which stands there once, but do not switch the screen."""
        known = set()
        while (mode := _MODE.match(data, at)) and mode[1] not in known:
            known.add(mode[1])
            if mode[1] not in _OTHER_SCREEN:
                self._emulator.feed(mode[0])
            at = mode.end()
        return at


def _open_mark(data: bytes, at: int) -> int:
    """Where a mark starts that is not closed; the end of `data` where there is none."""
    near = max(at, len(data) - LONGEST_MARK)
    last = data.rfind(b"\x1b", near)
    for start in (data.rfind(b"\x1b", near, max(last, 0)), last):
        if start >= 0 and (_MARK_START.startswith(data[start:]) or _MARK_BODY.fullmatch(data, start)):
            return start
    return len(data)
