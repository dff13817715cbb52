"""One charset for every id: goals, workers, sensors, asks, claims, schedules. Source: design §3 row 9."""

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
