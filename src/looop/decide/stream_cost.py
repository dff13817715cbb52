"""The cost that a config declares for a runner, `runners.<name>.cost = {type, pointer, mode}`. Spec/beat.md §9.3."""

from typing import Any

from msgspec.structs import replace

from looop.decide.stream_base import Reader, Verdict, decode, usd
from looop.model.usage import CostSpec, Usage


class MeteredReader:
    """A reader whose cost is the declared one: its own figure is replaced entirely, all else is its own."""

    def __init__(self, reader: Reader, kind: str, path: list[str], mode: str) -> None:
        self._reader, self._kind, self._path, self._mode = reader, kind, path, mode
        self._cost_usd: float | None = None

    @property
    def usage(self) -> Usage:
        """The reader's, with the declared cost; None until a line gave a figure."""
        return replace(self._reader.usage, cost_usd=self._cost_usd, unbilled=None)

    def feed(self, line: str | bytes) -> list[str]:
        """Meter the line, and let the reader take it."""
        data = line.encode("utf-8", "replace") if isinstance(line, str) else line
        event = decode(data.rstrip(b"\r\n"), (self._kind,))
        if isinstance(event, dict) and (figure := usd(_follow(event, self._path))) is not None:
            self._cost_usd = self._met(figure)
        return self._reader.feed(line)

    def verdict(self) -> Verdict:
        """The reader's."""
        return self._reader.verdict()

    def _met(self, figure: float) -> float:
        if self._cost_usd is None or self._mode == "last":
            return figure
        return self._cost_usd + figure if self._mode == "sum" else max(self._cost_usd, figure)


def metered(reader: Reader, cost: CostSpec | None) -> Reader:
    """The reader with the declared cost; the reader itself without one. `total` is the old word for `last`."""
    if cost is None:
        return reader
    path = [part.replace("~1", "/").replace("~0", "~") for part in cost.pointer.split("/")[1:]]
    return MeteredReader(reader, cost.type, path, "last" if cost.mode == "total" else cost.mode)


def _follow(value: Any, path: list[str]) -> Any:
    """What stands at a JSON pointer, None when there is nothing. Source: RFC 6901."""
    for part in path:
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and _index(part) is not None and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def _index(part: str) -> int | None:
    plain = part.isascii() and part.isdigit() and len(part) < 10 and (part == "0" or part[0] != "0")
    return int(part) if plain else None
