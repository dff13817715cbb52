"""What a person's answer says, as far as a program may tell; and how a question stands.

Note [Refusals]
Only what can hardly mean anything else is a refusal: one remembered by mistake keeps a question from its person, and
one taken for a default would be a yes where nobody has decided. `no problem` is none, nor is `No. 5`; `cancel`, `stop`
and `abort` may be the very thing that was asked about.
"""

import re
from collections.abc import Mapping
from typing import Literal

from looop.model.records import Answer, Ask, Fault

State = Literal["pending", "stranded", "answered", "refused", "expired", "withdrawn"]

PERSON = "person"
_WORDS = (
    r"n|nope|never|den(?:y|ied)|refused?|reject(?:ed)?|don't|do not|not now|not yet",
    r"no(?:[ \t]*(?:$|[,;:!—–\r\n]|\.(?![ \t]*\d|\w)|-(?!\w))|\s+(?:not|never|way|thanks|thank you)\b).*",
)
_REFUSAL = re.compile(rf"(?:{_WORDS[0]})[.! ]*|{_WORDS[1]}", re.IGNORECASE | re.DOTALL)


def is_refusal(text: str) -> bool:
    """Whether an answer says no, beyond doubt. See Note [Refusals]."""
    return _REFUSAL.fullmatch(text.strip().replace("’", "'")) is not None


def is_persons(settled: Answer) -> bool:
    """Whether a person said so, and not a worker, whose id would stand in `by`."""
    return settled.by in ("", PERSON) or " " in settled.by


def state_of(settled: Answer | None, *, stranded: bool = False) -> State:
    """How a question stands, given its settlement; a refusal is told from other answers."""
    if settled is None:
        return "stranded" if stranded else "pending"
    if settled.outcome == "answered":
        return "refused" if is_refusal(settled.answer) else "answered"
    return settled.outcome


def is_due(ask: Ask, now: int) -> bool:
    """Whether the time of a question is over."""
    return ask.expires is not None and ask.expires <= now


def is_stranded(ask: Ask, lives: Mapping[str, int]) -> bool:
    """Whether the session that asked is over, or was followed by another; `lives` says when each live one started."""
    return bool(ask.generation) and lives.get(ask.worker) != ask.generation


def is_owed(ask: Ask, answer: Answer | Fault | None, generation: int, since: int) -> bool:
    """Whether the worker that asks again has yet to get this answer: it asked itself, or took the question over.

    In doubt, asked in the second in which its session began, it did not.
    """
    if ask.taken or (isinstance(answer, Answer) and (answer.outcome == "stranded" or _is_own(ask, answer))):
        return False
    if ask.generation and generation:  # which knows better than a clock that was set back
        return ask.generation == generation and ask.ts != since
    return ask.ts > since


def _is_own(ask: Ask, answer: Answer) -> bool:
    """Whether the worker has withdrawn it itself."""
    return answer.outcome == "withdrawn" and answer.by == ask.worker
