"""What the readers of a runner's output share: their values, the decoding of a line, and the reader itself.

Note [What a line may be]
A stream is written by a program that is not ours and may be cut anywhere, so every look into an event is a total
function: what is missing or of another type reads as nothing. Only events whose `type` a reader knows are decoded
whole; the rest, which is nearly all of a long stream, is skipped.
Source: spec/beat.md §9.2.
"""

import json
from collections.abc import Callable, Container
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from looop.decide.stream_limit import limit_reached
from looop.model.usage import Tokens, Usage, add_tokens

KEEP = 262_144
"""The most characters of a final text that are kept: its end."""
_KEEP_ERROR = 8192
_KEEP_NAME = 256
_MOST_TOKENS = 10**15
_MOST_USD = 10**9

Event = dict[str, Any]
Hearer = Callable[[Event], list[str]]


class Verdict(Struct, frozen=True):
    """What a stream said of its run.

    `ended` when its end mark was seen; `error` why the run failed by its own account, "" when it did not say so.
    `structured` is the JSON text of a structured answer. `denied` names the tools that were refused: no error by
    itself, but the reason when nothing was decided. `limit` is the message that a usage limit was reached, for
    `parked_until`.
    """

    ended: bool = False
    error: str = ""
    text: str = ""
    structured: str | None = None
    session: str | None = None
    denied: tuple[str, ...] = ()
    limit: str = ""


class Reader(Protocol):
    """Reads a runner's output line by line, never keeps it, and never raises whatever the line."""

    def feed(self, line: str | bytes) -> list[str]:
        """Take one line; returns what a person sees of it, without colour. Source: spec/beat.md §9.2."""
        ...

    @property
    def usage(self) -> Usage:
        """What the run has used so far; may be read at any time."""
        ...

    def verdict(self) -> Verdict:
        """What the stream said, if it ends here."""
        ...


class EventReader:
    """A reader of one JSON object a line: hands each event to the method that hears its type."""

    def __init__(self, hears: dict[str, Hearer]) -> None:
        self._hears = hears
        self.tokens: Tokens | None = None
        self.cost_usd: float | None = None
        self.model: str | None = None
        self.session: str | None = None
        self.ended, self.error, self.text = False, "", ""

    @property
    def usage(self) -> Usage:
        """What the run has used so far."""
        return Usage(self.tokens, self.cost_usd, self.model)

    def feed(self, line: str | bytes) -> list[str]:
        """Take one line; what is not JSON passes through unchanged, JSON of no known type shows nothing."""
        data = line.encode("utf-8", "replace") if isinstance(line, str) else line
        event = decode(data.rstrip(b"\r\n"), self._hears)
        if isinstance(event, str):
            return [event] if event else []
        return [] if event is None else self._hears[event["type"]](event)

    def verdict(self) -> Verdict:
        """What the stream said, if it ends here."""
        limit = self.error if limit_reached(self.error) else ""
        return Verdict(ended=self.ended, error=self.error, text=self.text, session=self.session, limit=limit)

    def spend(self, tokens: Tokens | None, cost_usd: float | None) -> None:
        """Add the figures of one step; None adds nothing."""
        if tokens is not None:
            self.tokens = add_tokens(self.tokens, tokens)
        if cost_usd is not None:
            self.cost_usd = (self.cost_usd or 0.0) + cost_usd

    def say(self, text: str) -> list[str]:
        """Remember `text` as what was said last, and render it. Nothing when empty."""
        if not text:
            return []
        self.text = text[-KEEP:]
        return ["\n" + text]

    def fail(self, error: str) -> None:
        """Remember why the run failed; "" when it recovered."""
        self.error = error[:_KEEP_ERROR]


def decode(data: bytes, wanted: Container[str]) -> Event | str | None:
    """The event of a line when its type is wanted, None for other JSON, the text itself when it is not JSON."""
    try:
        kind = _KIND.decode(data).type
        return _ANY.decode(data) if isinstance(kind, str) and kind in wanted else None
    except (ValueError, RecursionError):
        return _decode_odd(data.decode("utf-8", "replace"), wanted)


def _decode_odd(text: str, wanted: Container[str]) -> Event | str | None:
    """As `decode`, for what JavaScript and Python write and strict JSON forbids: half characters, NaN."""
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        return text
    kind = at(event, "type")
    return event if isinstance(kind, str) and kind in wanted else None


class _Kind(Struct):
    type: Any = None


_KIND = msgspec.json.Decoder(_Kind)
_ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


def at(value: Any, *keys: str) -> Any:
    """What stands at this path of keys, None when there is nothing."""
    for key in keys:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def text_at(value: Any, *keys: str) -> str:
    """The text at this path, with `?` for half characters; "" when there is none."""
    found = at(value, *keys)
    return whole(found) if isinstance(found, str) else ""


def name_at(value: Any, *keys: str) -> str | None:
    """The short text at this path, None when there is none."""
    return text_at(value, *keys)[:_KEEP_NAME] or None


def dicts_at(value: Any, *keys: str) -> list[Event]:
    """The objects in the list at this path."""
    found = at(value, *keys)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def texts_in(content: list[Event]) -> str:
    """The text blocks of a message, one after another."""
    return "".join(text_at(block, "text") for block in content if block.get("type") == "text")


def usd(value: Any) -> float | None:
    """A sum of money, None when it is not a figure: negative, not finite, absurd or not a number."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and 0 <= value <= _MOST_USD else None


def count(value: Any) -> int | None:
    """A count of tokens, None when it is not a figure."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(value) if number and 0 <= value <= _MOST_TOKENS else None


def tokens_at(value: Any, *names: tuple[str, ...]) -> Tokens | None:
    """Tokens by the paths of their four counts, in the order of `Tokens`; None when none of them is a figure."""
    counts = [count(at(value, *name)) for name in names]
    return None if all(one is None for one in counts) else Tokens(*(one or 0 for one in counts))


def at_least(one: Tokens | None, two: Tokens | None) -> Tokens | None:
    """The larger of each count: two reports of the same use."""
    if one is None or two is None:
        return one or two
    return Tokens(
        max(one.input, two.input),
        max(one.output, two.output),
        max(one.cache_read, two.cache_read),
        max(one.cache_write, two.cache_write),
    )


def tool_line(name: str, args: Any) -> str:
    """One line for a tool call: its name and the argument that tells most, on one line, never cut."""
    arg = next((arg for key in _TELLING if (arg := text_at(args, key))), None)
    if arg is None and args is not None:
        arg = compact(args)
    return f"  {name or '?'}" + (f": {' '.join(arg.split())}" if arg else "")


_TELLING = ("command", "path", "file_path", "filePath")


def compact(value: Any) -> str:
    """A decoded value as compact JSON text; `…` for one that cannot be written."""
    try:
        return whole(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    except (ValueError, RecursionError):
        return "…"


def whole(text: str) -> str:
    """The text with `?` for half characters, which no file or terminal takes."""
    return text.encode("utf-8", "replace").decode()
