"""One charset for every id: goals, workers, sensors, asks, claims, schedules. Source: design §3 row 9.

What a worker asks and is told has the worker's id and a number: `<worker>-<n>`. Source: spec/workers.md §9, §10.
"""

from collections.abc import Iterable

from looop.model.errors import Invalid

MAX_CHARS = 64
MAX_BYTES = 200  # a file name holds 255 bytes, and suffixes such as `-12.json` must still fit
RULE = "1-64 letters, digits, '-', '_' or '.', not starting with a dot"


def is_id(text: str) -> bool:
    """Whether `text` may name something of ours. Letters and digits of any script are allowed."""
    return (
        0 < len(text) <= MAX_CHARS
        and text[0] != "."
        and all(ch.isalpha() or ch.isdecimal() or ch in "-_." for ch in text)
        and len(text.encode("utf-8", "replace")) <= MAX_BYTES
    )


def require_id(text: str, what: str) -> str:
    """`text` itself when it is an id; raises Invalid naming `what` and the rule otherwise."""
    if not is_id(text):
        raise Invalid(f"invalid {what} {text!r}: expected {RULE}")
    return text


def require_numbered(text: str, what: str) -> str:
    """`text` itself when it is an id, or one with `-<n>` behind it; raises Invalid otherwise."""
    owner, _, number = text.rpartition("-")
    return text if index_of(text, owner) is not None and len(number) <= 20 and is_id(owner) else require_id(text, what)


def index_of(name: str, owner: str) -> int | None:
    """The n of `<owner>-<n>`, None for any other name: `w-1-2` is of `w-1`, never of `w`. Source: edge case 197."""
    number = name.removeprefix(f"{owner}-")
    return int(number) if number != name and number.isascii() and number.isdigit() else None


def next_numbered(owner: str, names: Iterable[str]) -> str:
    """The `<owner>-<n>` that follows all of these names."""
    return f"{owner}-{1 + max((index_of(name, owner) or 0 for name in names), default=0)}"
