"""What one beat did, for whoever asked for it: the pulse, `looop beat`, the demo."""

from typing import Literal

from msgspec import Struct

from looop.model.prompt import GoalStatus
from looop.model.usage import Tokens
from looop.model.world import Change

BeatEnding = Literal["idle", "decided", "failed", "blocked", "stopped"]


class SectionSize(Struct, frozen=True):
    """One section of a prompt: its bytes, and about how many tokens they are."""

    title: str
    bytes: int
    tokens: int


class BeatReport(Struct, frozen=True):
    """One beat.

    `idle`: a gate closed, `reason` names it (`world_unchanged`, `tick_backoff` …). `decided`: `action` was made,
    `summary` says what, `journal` is its line. `failed`: it was tried and `reason` says what went wrong. `blocked`:
    something has to be mended first. `source` names who decided, `why` what made it so; `changes` is None where
    there was no baseline to compare with. `next_interval_s` is the decision's wish for the next beat, or None.
    A dry run also measures the prompt in `prompt_sections`, and says in `breaker` what would keep the runner from
    being asked.
    """

    ending: BeatEnding
    reason: str = ""
    world_hash: str = ""
    changes: list[Change] | None = None
    source: str = ""
    why: str = ""
    action: str = ""
    summary: str = ""
    journal: str = ""
    run_id: str = ""
    seconds: float = 0.0
    next_interval_s: int | None = None
    goals: list[GoalStatus] = []
    prompt_bytes: int = 0
    prompt_sections: list[SectionSize] = []
    breaker: str = ""
    cost_usd: float | None = None
    tokens: Tokens | None = None

    @property
    def acted(self) -> bool:
        """Whether a move other than noop was made."""
        return self.ending == "decided" and self.action != "noop"

    @property
    def attempted(self) -> bool:
        """Whether a move was sought: then a due wake has been served. Source: spec/beat.md §15."""
        return self.ending in ("decided", "failed")
