"""What goes back and forth between a worker and its person, as values. Source: spec/workers.md §9, §10."""

from msgspec import Struct

from looop.model.records import Answer, Ask, Urgency
from looop.model.text import one_line
from looop.rules.answers import PERSON, State

STEERED = "[A person has steered you while you waited: obey these lines, too.]"


class AskView(Struct, frozen=True):
    """A question, how it stands, and its settlement if it has one."""

    ask: Ask
    state: State
    settled: Answer | None = None


class Questions(Struct, frozen=True):
    """The questions that wait for an answer, oldest first, when they were read, and what of them is damaged.

    `stranded` are those whose worker waits no more; `settled` are the others, the latest last, where they were wanted.
    """

    pending: list[Ask]
    now: int
    damaged: list[str]
    stranded: list[Ask] = []
    settled: list[AskView] = []


class Question(Struct, frozen=True):
    """What a worker asks. Without `worker` it is the session this process works in.

    The same `key` of the same worker is the same question until its answer was taken; "": a question of its own. After
    `timeout_s` the worker gets `default`, or an error without one. `again` says why what was refused is asked again.
    """

    prompt: str
    worker: str | None = None
    reference: str = ""
    options: list[str] = []
    key: str = ""
    timeout_s: int | None = None
    default: str | None = None
    urgency: Urgency = "normal"
    again: str = ""


class Reply(Struct, frozen=True):
    """The answer to question `ask_id`, and what a person told the worker while it waited, a line each.

    `remembered`: the question was not asked; this is how a person refused it before.
    """

    ask_id: str
    answer: str
    steering: list[str]
    remembered: bool = False

    @property
    def text(self) -> str:
        """Both as the worker reads them: steering goes first, closed by a line `---`. Source: spec/workers.md §10."""
        return "\n".join([STEERED, *map(bullet, self.steering), "---", self.answer]) if self.steering else self.answer


class Hearing(Struct, frozen=True):
    """What was told to a worker, a line each, oldest first; and what cannot be read of it, a sentence each."""

    messages: list[str]
    damaged: list[str]


def by_whom(by: str) -> str:
    """Who settled a question, in words."""
    return "a person" if by in ("", PERSON) else one_line(by if " " in by else f"worker {by}")


def bullet(message: str) -> str:
    """A message as its worker reads it."""
    return f"• {message}"
