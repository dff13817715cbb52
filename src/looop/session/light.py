"""JSON for the supervisor: the standard package costs each supervisor 1.1 MB, its C halves cost 20 kB.

Only objects, arrays, strings, integers, booleans and null are written; all JSON is read. What is none makes the C half
look for the standard package's error, and raise SystemError where that package was never loaded.
"""

from __future__ import annotations

from _json import encode_basestring_ascii, make_scanner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _Rules:
    """What the scanner asks of its owner."""

    strict = True
    object_hook = object_pairs_hook = array_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float


def dumps(value: object) -> str:
    """`value` as compact ASCII JSON."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{encode_basestring_ascii(str(key))}:{dumps(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(dumps, value)) + "]"
    if isinstance(value, str):
        return encode_basestring_ascii(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def loads(data: bytes) -> object:
    """The value in `data`. Raises ValueError."""
    text = data.decode().strip()
    scan: Any = make_scanner
    try:
        value, end = scan(_Rules)(text, 0)
    except (StopIteration, RecursionError, SystemError):
        raise ValueError("not JSON") from None
    if end != len(text):
        raise ValueError("more than one JSON value")
    return value
