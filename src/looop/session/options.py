"""The words a supervisor is started with. Source: spec/workers.md §3.1."""

from __future__ import annotations


class Options:
    """What a session is: see `parse`."""

    def __init__(self) -> None:
        self.id = self.root = self.without = ""
        self.size = (80, 24)
        self.max_log = 0
        self.command: list[str] = []


def parse(words: list[str]) -> Options | str:
    """The options in `run --detached-id ID --root DIR [--flag VALUE]… -- COMMAND…`, or what is wrong with them.

    A flag that is not known is passed over with its value, as a newer program may give it. Source: edge case 171.
    """
    options, end = Options(), words.index("--", 3)
    options.id, options.command = words[2], words[end + 1 :]
    at = 3
    while at < end:
        flag, equals, value = words[at].partition("=")
        if not equals and at + 1 < end and not words[at + 1].startswith("-"):
            at, value = at + 1, words[at + 1]
        at += 1
        if flag in ("--root", "--without"):
            setattr(options, flag[2:], value)
        elif flag == "--size":
            options.size = size_of(value.replace("x", " ").split()) or options.size
        elif flag == "--max-log" and value.isdecimal():
            options.max_log = int(value)
    if not options.id or not options.root or not options.command:
        return "run: --detached-id, --root and a command behind -- are needed"
    if not is_name(options.id):
        return f"run: {options.id!r} cannot name a session"
    return options


def is_name(session_id: str) -> bool:
    """Whether a folder in `sessions/` may have that name. What an id is, is ruled elsewhere."""
    return session_id[:1] not in ("", ".") and "/" not in session_id and "\0" not in session_id


def size_of(numbers: list[str]) -> tuple[int, int] | None:
    """Columns and rows, None for what no terminal has."""
    if len(numbers) != 2 or not all(number.isdecimal() and 0 < int(number) < 1000 for number in numbers):
        return None
    return int(numbers[0]), int(numbers[1])
