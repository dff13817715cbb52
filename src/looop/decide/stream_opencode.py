"""Reader of `opencode run --format json`. Source: measured streams §3.2; version 1.18.33.

It has no end mark: the last step that finished with `stop` is the end, or an error. Tokens and cost come with each step
and are added up. Tool calls are told only when they have finished.
"""

from typing import Any

from msgspec.structs import replace

from looop.decide.stream_base import (
    Event,
    EventReader,
    Verdict,
    at,
    count,
    name_at,
    text_at,
    tokens_at,
    tool_line,
    usd,
)
from looop.decide.stream_limit import limit_reached
from looop.model.usage import Tokens, add_tokens

_TOKENS = (("input",), ("output",), ("cache", "read"), ("cache", "write"))
_KEEP_BODY = 2048


class OpencodeReader(EventReader):
    """Reads the events of opencode."""

    def __init__(self) -> None:
        super().__init__(
            {
                "step_start": self._step_start,
                "step_finish": self._step_finish,
                "text": self._text,
                "tool_use": self._tool,
                "error": self._error,
            }
        )
        self._body = ""

    def verdict(self) -> Verdict:
        """What the stream said, if it ends here."""
        verdict = super().verdict()
        return replace(verdict, limit=self._body) if not verdict.limit and limit_reached(self._body) else verdict

    def _step_start(self, event: Event) -> list[str]:
        self.session = name_at(event, "sessionID") or self.session
        self.ended = False
        return []

    def _step_finish(self, event: Event) -> list[str]:
        used = _with_reasoning(at(event, "part", "tokens"))
        self.spend(used, usd(at(event, "part", "cost")))
        self.ended = text_at(event, "part", "reason") == "stop"
        return []

    def _text(self, event: Event) -> list[str]:
        return self.say(text_at(event, "part", "text"))

    def _tool(self, event: Event) -> list[str]:
        name, state = text_at(event, "part", "tool"), at(event, "part", "state")
        code = at(state, "metadata", "exit")
        failed = text_at(state, "status") == "error" or (isinstance(code, int) and code != 0)
        line = tool_line(name, at(state, "input"))
        return [line, f"  {name or '?'} failed"] if failed else [line]

    def _error(self, event: Event) -> list[str]:
        self.session = name_at(event, "sessionID") or self.session
        error = at(event, "error")
        message = text_at(error, "data", "message") or text_at(error, "name") or "the run failed without saying why"
        self.fail(message)
        self._body = text_at(error, "data", "responseBody")[:_KEEP_BODY]
        self.ended = True
        return [f"  error: {message}"]


def _with_reasoning(tokens: Any) -> Tokens | None:
    """opencode counts reasoning beside the output; with us it is part of it."""
    used, reasoning = tokens_at(tokens, *_TOKENS), count(at(tokens, "reasoning"))
    return add_tokens(used, Tokens(output=reasoning)) if reasoning else used
