"""How the demo looks: 78 columns, labels in one column, colour only where there is a terminal that wants it."""

import json
import re
import textwrap
from collections.abc import Sequence
from typing import Any, TextIO

from looop.model.world import Change

WIDTH = 78
_INDENT = 2
_LABEL = 10
_TONES = {"": "", "bold": "1", "dim": "2", "bad": "31", "good": "32", "command": "36"}
_PLAINER = str.maketrans({"·": "-", "→": ">", "│": "|", "…": ".", "⚑": "*"})
_COMMIT = re.compile(r"[0-9a-f]{8,40}")


class Page:
    """Writes line by line, each at once."""

    def __init__(self, out: TextIO, *, colour: bool) -> None:
        self._out, self._colour = out, colour
        self._encoding = out.encoding or "ascii"

    def scene(self, title: str, right: str = "") -> None:
        """Begin a new part."""
        gap = " " * max(WIDTH - len(title) - len(right), 2)
        self._line("")
        self._line(self._paint(title, "bold") + (gap + self._paint(right, "dim") if right else ""))

    def row(self, label: str, text: str, tone: str = "") -> None:
        """One labelled fact, wrapped below itself."""
        room = WIDTH - _INDENT - _LABEL
        for line in textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]:
            self._line(" " * _INDENT + self._paint(label.ljust(_LABEL), "dim") + self._paint(line, tone))
            label = ""

    def block(self, text: str) -> None:
        """Lines of a file."""
        for line in text.splitlines():
            self._line(" " * _INDENT + self._paint("│ ", "dim") + line)

    def quote(self, text: str, tone: str = "") -> None:
        """What a command printed, each line wrapped below itself."""
        for line in text.splitlines():
            first = " " * (_INDENT + len(line) - len(line.lstrip()))
            for part in textwrap.wrap(line.strip(), WIDTH, initial_indent=first, subsequent_indent=f"{first}  "):
                self._line(self._paint(part, tone))

    def prompt(self, text: str) -> None:
        """Leave the cursor behind a question to whoever sits there."""
        self._line(self._paint(text, "bold"), end=" ")

    def prose(self, text: str, tone: str = "") -> None:
        """A paragraph."""
        for line in textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False):
            self._line(self._paint(line, tone))

    def item(self, text: str, tone: str = "", right: str = "") -> None:
        """One indented line as it stands."""
        gap = " " * max(WIDTH - _INDENT - len(text) - len(right), 2)
        self._line(" " * _INDENT + self._paint(text, tone) + (gap + self._paint(right, "dim") if right else ""))

    def table(self, rows: Sequence[tuple[str, str]]) -> None:
        """Commands to type, each with what it is for, in two columns."""
        wide = max(len(words) for words, about in rows if about)
        for words, about in rows:
            shown = self._paint(words.ljust(wide), "command")
            self._line(" " * _INDENT + shown + self._paint(f"   {about}", "dim"))

    def gap(self) -> None:
        """An empty line."""
        self._line("")

    def _paint(self, text: str, tone: str) -> str:
        visible = "".join(char if char.isprintable() else "?" for char in text)
        code = _TONES[tone] if self._colour and visible.strip() else ""
        return f"\x1b[{code}m{visible}\x1b[0m" if code else visible

    def _line(self, text: str, end: str = "\n") -> None:
        try:
            text.encode(self._encoding)
        except UnicodeError:
            text = text.translate(_PLAINER).encode(self._encoding, "replace").decode(self._encoding)
        print(text.rstrip(), end=end, file=self._out, flush=True)


def facts(signal: Any) -> str:
    """A reading's signal in words: `failed 0 · head 5c1d2e3`; what is null is left out."""
    if not isinstance(signal, dict):
        return _word(signal)
    return " · ".join(f"{key} {_word(value)}" for key, value in signal.items() if value is not None)


def difference(change: Change) -> str:
    """What changed, in words: `tests: failed 0 → 2 · head 5c1d2e3 → 9f8e7d6`."""
    name = change.name.removeprefix("snap:").removeprefix("sensor-")
    if change.old is None or change.new is None:
        return f"{name} is {'edited' if change.kind == 'changed' else change.kind}"
    old, new = _value(change.old), _value(change.new)
    if not isinstance(old, dict) or not isinstance(new, dict):
        return f"{name}: {_rows(old) or change.old} → {_rows(new) or change.new}"
    keys = [key for key in new if old.get(key) != new[key]] + [key for key in old if key not in new]
    return f"{name}: " + " · ".join(f"{key} {_word(old.get(key))} → {_word(new.get(key))}" for key in keys)


def _rows(value: Any) -> str:
    """A list of objects that have an id, in words; nothing for any other value."""
    if not isinstance(value, list) or not all(isinstance(row, dict) and "id" in row for row in value):
        return ""
    rows = [f"{row['id']} ({facts({key: part for key, part in row.items() if key != 'id'})})" for row in value]
    return ", ".join(rows) or "none"


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value[:7] if _COMMIT.fullmatch(value) else value
    return json.dumps(value, ensure_ascii=False)
