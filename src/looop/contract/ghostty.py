"""libghostty-vt, the terminal of Ghostty, by ctypes: the shared library in the pyghostty wheel, not its Python.

Note [It says how it is made]
The library's numbers and layouts change from release to release, so none of them is written down here: it describes
itself in JSON, and what is looked up there by name is right for the library at hand. A name it does not know is a
library that does not fit, which is no worse than one that is not there.

Note [Nothing but a screen]
A transcript is what a program chose to print. Pictures are switched off: one kind of them is a temporary file which
the terminal reads and deletes. No callback is set, so nothing is answered, copied or announced.
"""

import ctypes
import os
from functools import cache, lru_cache
from importlib.machinery import PathFinder
from typing import Any

import msgspec

from looop.contract.emulator import PLAIN, Cell, Cursor, Emulator, Screen, Stripped, Style
from looop.model.text import visible

_NAMES = ("libghostty-vt.so", "libghostty-vt.dylib")
_HANDLE, _OUT, _WORD, _SIZE = ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint16, ctypes.c_size_t
_ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "terminal_new": (_OUT, _OUT, _WORD, _WORD),
    "terminal_free": (_HANDLE,),
    "terminal_set": (_HANDLE, ctypes.c_int, _OUT),
    "terminal_get": (_HANDLE, ctypes.c_int, _OUT),
    "terminal_resize": (_HANDLE, _WORD, _WORD, ctypes.c_uint32, ctypes.c_uint32),
    "terminal_vt_write": (_HANDLE, ctypes.c_char_p, _SIZE),
    "render_state_new": (_OUT, _OUT),
    "render_state_free": (_HANDLE,),
    "render_state_update": (_HANDLE, _HANDLE),
    "render_state_get": (_HANDLE, ctypes.c_int, _OUT),
    "render_state_row_iterator_new": (_OUT, _OUT),
    "render_state_row_iterator_free": (_HANDLE,),
    "render_state_row_iterator_next": (_HANDLE,),
    "render_state_row_get": (_HANDLE, ctypes.c_int, _OUT),
    "render_state_row_cells_new": (_OUT, _OUT),
    "render_state_row_cells_free": (_HANDLE,),
    "render_state_row_cells_select": (_HANDLE, _WORD),
    "render_state_row_cells_get": (_HANDLE, ctypes.c_int, _OUT),
}
_WITHOUT_RESULT = ("terminal_vt_write", "terminal_free")
_FLAGS = ("bold", "faint", "italic", "underline", "blink", "inverse", "invisible", "strikethrough")
_OFF = ("KITTY_IMAGE_STORAGE_LIMIT", "KITTY_IMAGE_MEDIUM_TEMP_FILE")
_CELL_PIXELS = (8, 16)
_PROBE = "e\u0301\x1b[31mx".encode()


class _View(ctypes.Structure):
    _fields_ = (("ptr", ctypes.c_void_p), ("len", _SIZE))


class _Bits:
    """Some bits of a number."""

    def __init__(self, place: dict[str, Any]) -> None:
        self._lsb, self._mask = int(place["lsb"]), (1 << int(place["width"])) - 1

    def of(self, raw: int) -> int:
        return raw >> self._lsb & self._mask


class Library:
    """The shared library, its calls, and what it says of itself. Raises OSError, AttributeError, LookupError."""

    def __init__(self, path: str) -> None:
        self.path, shared = path, ctypes.CDLL(path)
        shared.ghostty_type_json.restype = ctypes.c_char_p
        self._types = msgspec.json.decode(shared.ghostty_type_json())["types"]
        self.call: dict[str, Any] = {}
        for name, arguments in _ARGUMENTS.items():
            function = getattr(shared, f"ghostty_{name}")
            function.argtypes = arguments
            function.restype = None if name in _WITHOUT_RESULT else ctypes.c_int
            self.call[name] = function
        self.call["render_state_row_iterator_next"].restype = ctypes.c_bool
        style, cell = self._types["GhosttyStyle"], self._types["GhosttyCell"]["bits"]
        self.style_size: int = style["size"]
        self.style_at = {name: field["offset"] for name, field in style["fields"].items()}
        self.colour_at: int = self._types["GhosttyStyleColor"]["fields"]["value"]["offset"]
        self.kind, self.content = _Bits(cell["content_tag"]), _Bits(cell["content"])
        self.wide, self.style_id = _Bits(cell["wide"]), _Bits(cell["style_id"])
        self.kinds, self.colours = self._names("CellContentTag"), self._names("StyleColorTag")
        self.first_half, self.second_half = self.number("CellWide", "WIDE"), self.number("CellWide", "SPACER_TAIL")

    def number(self, enum: str, name: str) -> int:
        """The value of a constant. Raises LookupError."""
        return int(self._types[f"Ghostty{enum}"]["values"][name])

    def _names(self, enum: str) -> dict[int, str]:
        return {value: name for name, value in self._types[f"Ghostty{enum}"]["values"].items()}


def open_emulator(cols: int, rows: int) -> Emulator:
    """A blank terminal: libghostty-vt's where it can be had, else one that keeps the text only and says why."""
    found = library()
    return Stripped(cols, rows, found) if isinstance(found, str) else Ghostty(found, cols, rows)


@cache
def library() -> Library | str:
    """The library, or why there is none."""
    spec = PathFinder.find_spec("pyghostty")
    places = spec.submodule_search_locations if spec else None
    if not places:
        return "pyghostty is not installed: this is the text that was printed, not the screen"
    for path in (os.path.join(place, "_lib", name) for place in places for name in _NAMES):
        if os.path.exists(path):
            return open_library(path)
    return "pyghostty holds no libghostty-vt: this is the text that was printed, not the screen"


def open_library(path: str) -> Library | str:
    """The library at this path, or why it cannot be used."""
    try:
        found = Library(path)
        probe = Ghostty(found, 2, 2)
        probe.feed(_PROBE)
        probe.screen()
    except (OSError, AttributeError, LookupError, TypeError, ValueError) as error:
        return f"libghostty-vt cannot be used ({error}): this is the text that was printed, not the screen"
    return found


class Ghostty:
    """Implements `emulator.Emulator`."""

    def __init__(self, library: Library, cols: int, rows: int) -> None:
        self._lib, self._call = library, library.call
        self._freeing: list[tuple[Any, ctypes.c_void_p]] = []
        self._terminal = self._new("terminal", cols, rows)
        self._state = self._new("render_state")
        self._row = self._new("render_state_row_iterator")
        self._cells = self._new("render_state_row_cells")
        for option in _OFF:
            nothing = ctypes.byref(ctypes.c_uint64(0))
            self._do("terminal_set", self._terminal, library.number("TerminalOption", option), nothing)

    def feed(self, data: bytes) -> None:
        self._call["terminal_vt_write"](self._terminal, data, len(data))

    def resize(self, cols: int, rows: int) -> None:
        self._do("terminal_resize", self._terminal, cols, rows, *_CELL_PIXELS)

    def screen(self) -> Screen:
        self._do("render_state_update", self._state, self._terminal)
        self._get("render_state", self._state, "RenderStateData", "ROW_ITERATOR", self._row)
        lines = []
        while self._call["render_state_row_iterator_next"](self._row):
            lines.append(self._line())
        cursor = Cursor(self._fact("CURSOR_Y"), self._fact("CURSOR_X"), hidden=not self._fact("CURSOR_VISIBLE"))
        alternate = self._fact("ACTIVE_SCREEN") == self._lib.number("TerminalScreen", "ALTERNATE")
        return Screen(self._fact("ROWS"), self._fact("COLS"), cursor, alternate, lines)

    def __del__(self) -> None:
        for free, handle in reversed(self._freeing):
            free(handle)

    def _new(self, what: str, *arguments: int) -> ctypes.c_void_p:
        handle = ctypes.c_void_p()
        self._do(f"{what}_new", None, ctypes.byref(handle), *arguments)
        self._freeing.append((self._call[f"{what}_free"], handle))
        return handle

    def _do(self, name: str, *arguments: Any) -> None:
        if code := self._call[name](*arguments):
            raise ValueError(f"{name} says {code}")

    def _get(self, what: str, handle: ctypes.c_void_p, enum: str, name: str, out: Any) -> None:
        self._do(f"{what}_get", handle, self._lib.number(enum, name), ctypes.byref(out))

    def _fact(self, name: str) -> int:
        value = ctypes.c_uint64(0)
        self._get("terminal", self._terminal, "TerminalData", name, value)
        return value.value

    def _line(self) -> list[Cell]:
        """The cells of the row at hand. Styles are numbered per page of the terminal, and a row is in one page."""
        view, lib = _View(), self._lib
        self._get("render_state_row", self._row, "RenderStateRowData", "CELLS_RAW", view)
        self._get("render_state_row", self._row, "RenderStateRowData", "CELLS", self._cells)
        styles: dict[int, Style] = {0: PLAIN}
        line = []
        for col, raw in enumerate((ctypes.c_uint64 * view.len).from_address(view.ptr or 0)):
            wide = lib.wide.of(raw)
            if wide == lib.second_half:
                continue
            style_id = lib.style_id.of(raw)
            if style_id not in styles:
                styles[style_id] = self._style(col)
            char, style = self._content(col, raw, styles[style_id])
            line.append(Cell(col, char, 2 if wide == lib.first_half else 1, style))
        while line and line[-1].char == " " and line[-1].style == PLAIN:
            line.pop()
        return line

    def _content(self, col: int, raw: int, style: Style) -> tuple[str, Style]:
        lib, content = self._lib, self._lib.content.of(raw)
        kind = lib.kinds[lib.kind.of(raw)]
        if kind == "CODEPOINT":
            return (_clean(chr(content)) if content else " "), style
        if kind == "CODEPOINT_GRAPHEME":
            return _clean(self._grapheme(col)), style
        return " ", Style(
            bg=f"idx{content & 255}" if kind == "BG_COLOR_PALETTE" else _hex(content.to_bytes(3, "little"))
        )

    def _grapheme(self, col: int) -> str:
        """A character with those that combine with it."""
        count = ctypes.c_uint64(0)
        self._do("render_state_row_cells_select", self._cells, col)
        self._get("render_state_row_cells", self._cells, "RenderStateRowCellsData", "GRAPHEMES_LEN", count)
        points = (ctypes.c_uint32 * count.value)()
        self._get("render_state_row_cells", self._cells, "RenderStateRowCellsData", "GRAPHEMES_BUF", points)
        return "".join(map(chr, points))

    def _style(self, col: int) -> Style:
        size = self._lib.style_size
        buffer = ctypes.create_string_buffer(size.to_bytes(8, "little"), size)
        self._do("render_state_row_cells_select", self._cells, col)
        self._get("render_state_row_cells", self._cells, "RenderStateRowCellsData", "STYLE", buffer)
        raw, at = buffer.raw, self._lib.style_at
        flags = {name: bool(raw[at[name]]) for name in _FLAGS}
        return Style(self._colour(raw[at["fg_color"] :]), self._colour(raw[at["bg_color"] :]), **flags)

    def _colour(self, raw: bytes) -> str | None:
        kind, value = self._lib.colours[raw[0]], raw[self._lib.colour_at :]
        return None if kind == "NONE" else f"idx{value[0]}" if kind == "PALETTE" else _hex(value[:3])


def _hex(rgb: bytes) -> str:
    return f"#{rgb.hex()}"


@lru_cache(4096)
def _clean(text: str) -> str:
    """What a cell may hold. See emulator.py, Note [Only text]."""
    return text if text.isprintable() else "".join(ch for ch in text if visible(ch) == ch) or "\ufffd"
