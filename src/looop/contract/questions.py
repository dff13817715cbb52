"""What goes back and forth between a worker and its person, as values. Source: spec/workers.md §9, §10."""

from msgspec import Struct

from looop.model.records import Ask

STEERED = "[A person has steered you while you waited: obey these lines, too.]"


class Questions(Struct, frozen=True):
    """The questions that wait for an answer, oldest first, when they were read, and what of them is damaged."""

    pending: list[Ask]
    now: int
    damaged: list[str]


class Question(Struct, frozen=True):
    """What a worker asks. Without `worker` it is the session this process works in.

    The same `key` of the same worker is the same question until its answer was taken; "": a question of its own.
    """

    prompt: str
    worker: str | None = None
    reference: str = ""
    options: list[str] = []
    key: str = ""


class Reply(Struct, frozen=True):
    """The answer to question `ask_id`, and what a person told the worker while it waited, a line each."""

    ask_id: str
    answer: str
    steering: list[str]

    @property
    def text(self) -> str:
        """Both as the worker reads them: steering goes first, closed by a line `---`. Source: spec/workers.md §10."""
        return "\n".join([STEERED, *map(bullet, self.steering), "---", self.answer]) if self.steering else self.answer


class Hearing(Struct, frozen=True):
    """What was told to a worker, a line each, oldest first; and what cannot be read of it, a sentence each."""

    messages: list[str]
    damaged: list[str]


def bullet(message: str) -> str:
    """A message as its worker reads it."""
    return f"• {message}"
