"""What a decider returns: a decision, or why there is none."""

from typing import Literal

from msgspec import Struct

from looop.decide.bundle import Bundle
from looop.model.decision import Decision
from looop.model.prompt import GoalStatus
from looop.model.records import ReflexLedger
from looop.model.usage import Usage
from looop.rules.gates import Note

Ending = Literal["decided", "failed", "no_decision", "over_budget", "closed", "blocked", "stopped"]


class Attempt(Struct, frozen=True):
    """One attempt at obtaining a move.

    `decided`: `decision` is there. `failed`, `no_decision`, `over_budget`: it was tried and `error` says what went
    wrong; that counts against the backoff. `closed`: a breaker let nobody be asked, `note` says which. `blocked`:
    nothing was tried, `error` says what has to be mended. `stopped`: the loop was asked to end.

    `source` names who decided and `why` says what made it so; `goal` is what a reflex acts for; `after` and
    `after_failure` are the reflex ledgers to keep once the move went well or did not; `prompt_bytes` is 0 when nobody
    was asked; `usage` is what the run cost, as the ledger has it.
    """

    ending: Ending
    source: str
    decision: Decision | None = None
    error: str = ""
    bundle: Bundle | None = None
    seconds: float = 0.0
    goal: str | None = None
    after: ReflexLedger | None = None
    after_failure: ReflexLedger | None = None
    why: str = ""
    goals: list[GoalStatus] = []
    prompt_bytes: int = 0
    note: Note | None = None
    usage: Usage = Usage()

    @property
    def run_id(self) -> str:
        """The run bundle's id, empty when there is none."""
        return self.bundle.run_id if self.bundle else ""
