"""Events: each fact is emitted once, and becomes a row of `events.jsonl` and a log line of the same record.

Emitting never raises and never stops the loop: a file that cannot be written or a reader that went away costs the
record, not the beat. Source: spec/beat.md §14, edge cases 144, 247.
"""

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal, TextIO

from looop.model.errors import LooopError
from looop.model.facts import FACTS, Level
from looop.model.text import one_line, to_json
from looop.runtime.clock import Clock, utc_stamp, wall_clock

Format = Literal["human", "json"]
_RESERVED = {"ts", "event", "level", "msg"}
_DIM, _RED, _YELLOW, _BRIGHT, _RESET = "\x1b[2m", "\x1b[31m", "\x1b[33m", "\x1b[97m", "\x1b[0m"
_COLOURS: dict[Level, str] = {"info": _DIM, "step": _DIM, "ok": _BRIGHT, "warn": _YELLOW, "error": _RED}
_PROBLEMS: tuple[Level, ...] = ("warn", "error")


class Events:
    """The one voice of the loop. `sink` takes a row of JSON, `out` the log lines; either may be None.

    With `only_problems` the log shows warnings and errors alone; rows are kept all the same.
    """

    def __init__(
        self,
        clock: Clock,
        sink: Callable[[str], None] | None = None,
        out: TextIO | None = None,
        style: Format = "human",
        colour: bool = False,
        only_problems: bool = False,
    ) -> None:
        self._clock, self._sink, self._out = clock, sink, out
        self._style, self._colour = style, colour
        self._sink_works = True
        self._shown = _PROBLEMS if only_problems else tuple(_COLOURS)

    def emit(self, name: str, **fields: Any) -> None:
        """Put one fact of model/facts.py on record."""
        fact, now = FACTS[name], self._clock.now()
        kept = {key: value for key, value in fields.items() if not key.startswith("_")}
        if fact.row:
            self._write_row(fact.event or name, kept, now)
        if fact.code and fact.level in self._shown and self._out is not None:
            self._write_line(fact.code, fact.level, fact.text.format(**fields), kept, now)

    def unrecorded(self) -> "Events":
        """The same voice, which keeps no rows and speaks of problems alone: for what changes nothing."""
        return Events(self._clock, None, self._out, self._style, self._colour, only_problems=True)

    @property
    def json(self) -> bool:
        """Whether log lines are JSON: then the finer facts are worth a line too."""
        return self._style == "json"

    def _write_row(self, name: str, fields: dict[str, Any], now: int) -> None:
        if self._sink is None:
            return
        row = {"ts": utc_stamp(now).replace("Z", ".000Z"), "event": name}
        row |= {key: value for key, value in fields.items() if key not in row}
        try:
            self._sink(to_json(row).decode())
            self._sink_works = True
        except LooopError as error:
            if self._sink_works:
                with suppress(OSError, ValueError):
                    sys.stderr.write(f"looop: events are not kept: {error}\n")
            self._sink_works = False

    def _write_line(self, code: str, level: Level, text: str, fields: dict[str, Any], now: int) -> None:
        if self._style == "json":
            record = {"ts": utc_stamp(now), "level": level, "event": code, "msg": text}
            record |= {key: value for key, value in fields.items() if key not in _RESERVED}
            line = to_json(record, sorted_keys=True).decode()
        else:
            line = self._human(level, text, wall_clock(self._clock, now))
        try:
            if self._out is not None:
                self._out.write(line + "\n")
                self._out.flush()
        except (OSError, ValueError):
            self._out = None

    def _human(self, level: Level, text: str, clock: str) -> str:
        flat = one_line(text)
        if not self._colour:
            return f"[{clock}] {flat}"
        if level in ("info", "step"):
            return f"{_DIM}[{clock}] {flat}{_RESET}"
        return f"{_DIM}[{clock}]{_RESET} {_COLOURS[level]}{flat}{_RESET}"
