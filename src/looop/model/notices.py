"""What leaves the house to tell a person that somebody asks, as values."""

from typing import Literal

from msgspec import Struct

Kind = Literal["new", "nudge", "test"]


class Push(Struct, frozen=True):
    """One message that is to go to one target, about these asks. `target` names it without its secrets."""

    target: str
    kind: Kind
    asks: list[str]


class Notice(Struct, frozen=True, omit_defaults=True):
    """A row of `notices.jsonl`. `ts` is UTC seconds, `error` why it failed, or why nobody knows.

    `sending` is on disk before anything leaves. `unknown`: it may have arrived, so it counts as sent. A
    `test` is on no record.
    """

    ts: int
    target: str
    kind: Kind
    asks: list[str]
    outcome: Literal["sending", "sent", "failed", "unknown"]
    error: str = ""


class Nonce(Struct, frozen=True):
    """A reply that was taken: `ts` is when its sender says to have signed it."""

    ts: int
    nonce: str
