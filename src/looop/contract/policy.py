"""Policy as a client sees it: goals, and a command that was run."""

from msgspec import Struct


class GoalView(Struct, frozen=True):
    """One goal: its text, how it stands, and how long ago it was acted on (None: never).

    `error` says what is wrong with the file or its front matter; `done` and `reflexes` are not known then.
    """

    id: str
    text: str
    status: str
    why: str
    done: str | None
    reflexes: list[str]
    suspended: list[int]
    age_s: int | None
    error: str


class GoalWritten(Struct, frozen=True):
    """A goal that was written: its summary, and in a sentence each what its author may not have meant."""

    summary: str
    doubts: list[str]


class ShellRun(Struct, frozen=True):
    """A command a person had run: its summary, and the tail of what it printed."""

    summary: str
    output: str
