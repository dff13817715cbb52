"""Reader of `codex exec --json`. Source: spec/beat.md §9.2; version 0.169.0.

Its usage comes once, with the end of a turn, and is cumulative over the thread: the last figure stands. After
`codex exec resume` it includes what the thread had used before. There is no cost and no model in it. Until the end, and
for a turn that has none, the session file says what was used.
"""

from looop.decide.stream_base import Event, EventReader, at, at_least, name_at, text_at, tokens_at, tool_line
from looop.decide.stream_rollout import USAGE, Rollout
from looop.model.usage import Tokens, Usage


class CodexReader(EventReader):
    """Reads the events of codex."""

    def __init__(self, rollout: Rollout | None = None) -> None:
        self._rollout = rollout or Rollout("")
        super().__init__(
            {
                "thread.started": self._thread,
                "turn.started": self._turn,
                "turn.completed": self._completed,
                "turn.failed": self._failed,
                "item.started": self._item_started,
                "item.completed": self._item_completed,
                "error": self._error,
            }
        )

    @property
    def usage(self) -> Usage:
        """What the run has used so far, by the stream or the session file."""
        if not self.session:
            return super().usage
        self._rollout.look(self.session)
        used = self._rollout.tokens
        return Usage(at_least(self.tokens, _fresh(used) if used else None), None, self.model or self._rollout.model)

    def _thread(self, event: Event) -> list[str]:
        self.session = name_at(event, "thread_id") or self.session
        return []

    def _turn(self, _: Event) -> list[str]:
        self.ended = False
        return []

    def _completed(self, event: Event) -> list[str]:
        self.ended = True
        self.fail("")
        if used := tokens_at(at(event, "usage"), *USAGE):
            self.tokens = at_least(self.tokens, _fresh(used))
        return []

    def _failed(self, event: Event) -> list[str]:
        self.ended = True
        self.fail(text_at(event, "error", "message") or self.error or "the turn failed without saying why")
        return []

    def _item_started(self, event: Event) -> list[str]:
        command = text_at(event, "item", "type") == "command_execution"
        return [tool_line("command", {"command": text_at(event, "item", "command")})] if command else []

    def _item_completed(self, event: Event) -> list[str]:
        kind, code = text_at(event, "item", "type"), at(event, "item", "exit_code")
        if kind == "agent_message":
            return self.say(text_at(event, "item", "text"))
        return ["  command failed"] if kind == "command_execution" and isinstance(code, int) and code != 0 else []

    def _error(self, event: Event) -> list[str]:
        """Not final: codex reports each reconnect as an error."""
        message = text_at(event, "message")
        self.fail(message)
        return [f"  error: {message}"] if message else []


def _fresh(used: Tokens) -> Tokens:
    """With the input that was neither read from nor written to a cache; codex includes both."""
    return Tokens(
        max(used.input - used.cache_read - used.cache_write, 0), used.output, used.cache_read, used.cache_write
    )
