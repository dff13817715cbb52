"""Bugs that are there to be found: what scripts/fuzz must be able to see."""

import json
from contextlib import suppress

from tests.fuzz.target import Target


def behind_a_literal(data: bytes) -> None:
    """A KeyError behind a key and a value that no chance would write."""
    with suppress(ValueError, RecursionError):
        value = json.loads(data)
        if isinstance(value, dict) and isinstance(value.get("cadence"), str):
            text = value["cadence"]
            if text.startswith("every ") and text[6:] == "blue moon":
                raise KeyError(text)


def endless(data: bytes) -> None:
    """A loop that does not move on for one kind of sign."""
    at = 0
    while at < len(data):
        if data[at : at + 2] != b"\\x":
            at += 1


def insatiable(data: bytes) -> None:
    """All the memory there is."""
    kept = []
    while data[:1] == b"[" and data[-1:] == b"]":
        kept.append(bytes(1 << 28))


PLANTED = {
    "planted-key": Target(behind_a_literal, lambda: [b'{"cadence": "daily"}'], ("tests/fuzz/planted.py",)),
    "planted-loop": Target(endless, lambda: [b"a"], by_tokens=False),
    "planted-memory": Target(insatiable, lambda: [b"a"], by_tokens=False),
}
