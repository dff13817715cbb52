"""Text from outside, made safe to show and to store. Source: edge cases 119, 183, 238."""

import re
from typing import Any

import msgspec

_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]",
)


def visible(text: str) -> str:
    """`text` with control and direction characters and half characters made visible; its lines and tabs stay."""
    return _CONTROL.sub(_name_of, text)


def one_line(text: str) -> str:
    """`text` on one line, with nothing in it that a terminal would obey."""
    return visible(text.replace("\r", " ").replace("\n", " ").replace("\t", " "))


def clipped(text: str, most: int) -> str:
    """`text` with a blank for each control character and line end, cut to `most` characters and `…`."""
    flat = _CONTROL.sub(" ", text.replace("\n", " ").replace("\t", " "))
    return flat if len(flat) <= most else flat[:most] + "…"


def tail_text(data: bytes, most: int) -> str:
    """The end of an output of which at most `most` bytes were kept; half a character at its start is left out.

    What else is no UTF-8 becomes a mark. Source: edge case 261.
    """
    start = 0
    while len(data) >= most and start < min(3, len(data)) and data[start] & 0xC0 == 0x80:
        start += 1
    return data[start:].decode("utf-8", "replace")


def span(seconds: int) -> str:
    """A length of time in its largest whole unit: `42s`, `5m`, `2h`, `3d`."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def to_json(value: Any, *, sorted_keys: bool = False) -> bytes:
    """Compact JSON of a value of ours; half characters, which stand for bytes that are not UTF-8, become `?`."""
    order: Any = "sorted" if sorted_keys else None
    try:
        return msgspec.json.encode(value, order=order)
    except UnicodeEncodeError:
        return msgspec.json.encode(_whole(msgspec.to_builtins(value)), order=order)


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_whole(key): _whole(part) for key, part in value.items()}
    return [_whole(part) for part in value] if isinstance(value, list | tuple) else value


def _name_of(match: re.Match[str]) -> str:
    """A byte that is not UTF-8 and a control character as \\xff, any other as \\uffff."""
    code = ord(match.group())
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
