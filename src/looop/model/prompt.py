"""Everything a prompt is made of. Kept in the run bundle, so that the prompt can be rebuilt byte for byte."""

from typing import Literal

from msgspec import Struct

from looop.model.records import Failure, ShellOutput
from looop.model.world import Change

AskTag = Literal["LIVE", "STRANDED"]
Status = Literal["done", "open", "unknown"]


class PendingAsk(Struct, frozen=True):
    """A question that waits for a person. STRANDED: nobody is blocked on it any more."""

    id: str
    worker: str
    prompt: str
    tag: AskTag
    reference: str | None = None
    options: list[str] = []


class GoalStatus(Struct, frozen=True):
    """What a goal's `done:` says of it; `why` explains an unknown; `suspended` lists reflexes without progress."""

    goal: str
    status: Status
    why: str = ""
    suspended: list[int] = []


class PromptInput(Struct, frozen=True):
    """The inputs of one prompt. `policy` maps relative paths (`PLAYBOOK.md`, `goals/<id>.md`) to text, None where

    unreadable; `readings` maps snapshot stems to raw text; `changes` is None without a readable baseline;
    `activity` maps goal ids to when they were last acted on; `max_bytes` 0 means no limit.
    """

    data_dir: str
    now: int
    utc_offset_s: int
    max_bytes: int
    max_nudge_s: int
    policy: dict[str, str | None]
    readings: dict[str, str]
    asks: list[PendingAsk]
    statuses: list[GoalStatus]
    activity: dict[str, int]
    journal: list[str]
    changes: list[Change] | None
    shell: ShellOutput | None
    flapping: list[str]
    failure: Failure | None


class Prompt(Struct, frozen=True):
    """The text, the bytes of each section by title in order, and how many items of which kind were left out."""

    text: str
    sections: list[tuple[str, int]]
    omitted: dict[str, int]
