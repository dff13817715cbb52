"""The words of a push: title, body, and what a program gets. All bounded, and nothing in them that a screen obeys."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from looop.model.notices import Kind
from looop.model.records import Ask
from looop.model.text import clipped, span

MOST_CHARS = 1800  # what the narrowest chat service takes is 2,000
_PROMPT_LINES, _PROMPT_CHARS, _SHORT_CHARS = 12, 700, 200
_MOST_ASKS, _MOST_LISTED, _FIELD_CHARS = 20, 1000, 1000
_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]P_^X][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])?|\x9b[0-?]*[ -/]*[@-~]"
)

Offset = Callable[[int], int]


def title(asks: Sequence[Ask], kind: Kind, now: int) -> str:
    """One line: who asks, or how many do; a nudge says for how long."""
    grave = " (irreversible)" if any(ask.urgency == "irreversible" for ask in asks) else ""
    who = f"{_line(asks[0].worker, 60)} asks" if len(asks) == 1 else f"{len(asks)} questions"
    if kind == "nudge":
        waited = span(max(now - min(ask.ts for ask in asks), 0))
        who = f"{who.replace(' asks', '')} still wait{'s' if len(asks) == 1 else ''}, {waited} now"
    return f"looop: {who}{grave}"


def body(asks: Sequence[Ask], offset_s: Offset) -> str:
    """Each ask with its prompt, options, expiry and how to answer it, as far as there is room for."""
    parts: list[str] = []
    left = MOST_CHARS - 60
    for ask in asks:
        part = _about(ask, offset_s, alone=len(asks) == 1)
        if len(part) + 2 > left:
            break
        parts.append(part)
        left -= len(part) + 2
    if rest := len(asks) - len(parts):
        parts.append(f"and {rest} more: looop asks")
    return "\n\n".join(parts)


def fields(asks: Sequence[Ask], kind: Kind) -> dict[str, Any]:
    """The same for a program: the first asks with all they hold, then the ids of others, then only how many."""
    told = [
        {
            "id": ask.id,
            "worker": ask.worker,
            "prompt": plain(ask.prompt, _FIELD_CHARS),
            "options": [_line(option, 200) for option in ask.options[:20]],
            "urgency": ask.urgency,
            "expires": ask.expires,
            "default": _line(ask.default, 200),
            "ts": ask.ts,
        }
        for ask in asks[:_MOST_ASKS]
    ]
    others = [ask.id for ask in asks[_MOST_ASKS:]]
    return {"kind": kind, "asks": told, "more": others[:_MOST_LISTED], "count": len(asks)}


def plain(text: str, most: int) -> str:
    """`text` without escape sequences and control characters, its lines kept, cut to `most` characters."""
    lines = _ESCAPES.sub("", text.replace("\r\n", "\n")).split("\n")
    kept = "\n".join(clipped(line, most).rstrip() for line in lines).strip()
    return kept if len(kept) <= most else f"{kept[:most].rstrip()}…"


def _about(ask: Ask, offset_s: Offset, *, alone: bool) -> str:
    grave = " · IRREVERSIBLE" if ask.urgency == "irreversible" else ""
    lines = [f"{ask.id} ({_line(ask.worker, 64)}){grave}", _prompt(ask.prompt, alone=alone)]
    if ask.reference:
        lines.append(f"ref: {_line(ask.reference, _SHORT_CHARS)}")
    if ask.options:
        numbered = (f"{n} {_line(option, 40)}" for n, option in enumerate(ask.options[:9], 1))
        lines.append(f"options: {' · '.join(numbered)}")
    if ask.expires is not None:
        then = f"then: {_line(ask.default, 60)}" if ask.default else "then nobody has decided"
        lines.append(f"until {_moment(ask.expires, offset_s)}, {then}")
    return "\n".join([*lines, f"looop answer {ask.id} …"])


def _prompt(prompt: str, *, alone: bool) -> str:
    lines = plain(prompt, _PROMPT_CHARS if alone else _SHORT_CHARS).split("\n")
    most = _PROMPT_LINES if alone else 3
    return "\n".join(lines[:most] + (["…"] if len(lines) > most else []))


def _line(text: str, most: int) -> str:
    return plain(" ".join(text.split("\n")), most)


def _moment(ts: int, offset_s: Offset) -> str:
    """`2026-11-20 14:30 +0100`; a time that no calendar has stands as seconds."""
    try:
        local = datetime.fromtimestamp(ts, UTC).astimezone(timezone(timedelta(seconds=offset_s(ts))))
    except (ValueError, OverflowError, OSError):
        return f"{ts} s UTC"
    return local.strftime("%Y-%m-%d %H:%M %z")
