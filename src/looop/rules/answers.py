"""What a person's answer says, as far as a program may tell; and how a question stands.

Note [Refusals]
Only what can hardly mean anything else is a refusal: one remembered by mistake keeps a question from its person, and
one taken for a default would be a yes where nobody has decided. `no problem` is none, nor is `No. 5`; `cancel`, `stop`
and `abort` may be the very thing that was asked about.
"""

import re
from typing import Literal

from looop.model.records import Answer

State = Literal["pending", "stranded", "answered", "refused", "expired", "withdrawn"]

_WORDS = (
    r"n|nope|never|den(?:y|ied)|refused?|reject(?:ed)?|don't|do not|not now|not yet",
    r"no(?:[ \t]*(?:$|[,;:!—–\r\n]|\.(?![ \t]*\d|\w)|-(?!\w))|\s+(?:not|never|way|thanks|thank you)\b).*",
)
_REFUSAL = re.compile(rf"(?:{_WORDS[0]})[.! ]*|{_WORDS[1]}", re.IGNORECASE | re.DOTALL)


def is_refusal(text: str) -> bool:
    """Whether an answer says no, beyond doubt. See Note [Refusals]."""
    return _REFUSAL.fullmatch(text.strip().replace("’", "'")) is not None


def state_of(settled: Answer | None, *, stranded: bool = False) -> State:
    """How a question stands, given its settlement; a refusal is told from other answers."""
    if settled is None:
        return "stranded" if stranded else "pending"
    if settled.outcome == "answered":
        return "refused" if is_refusal(settled.answer) else "answered"
    return settled.outcome
