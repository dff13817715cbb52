"""Reader of `pi --mode json`. Source: spec/beat.md §9.2; versions 0.73.1, 0.74.2, 0.87.1.

Tokens and cost come with each message of the assistant and are added up. Versions up to 0.74 repeat the whole message
in every update: updates are never decoded. An `agent_end` is the end unless it will be retried or the agent starts
again.
"""

from looop.decide.stream_base import (
    Event,
    EventReader,
    at,
    dicts_at,
    name_at,
    text_at,
    texts_in,
    tokens_at,
    tool_line,
    usd,
)

_USAGE = (("input",), ("output",), ("cacheRead",), ("cacheWrite",))


class PiReader(EventReader):
    """Reads the events of pi."""

    def __init__(self) -> None:
        super().__init__(
            {
                "session": self._session,
                "agent_start": self._start,
                "agent_end": self._end,
                "agent_settled": self._end,
                "message_end": self._message,
                "tool_execution_start": self._tool_start,
                "tool_execution_end": self._tool_end,
            }
        )

    def _session(self, event: Event) -> list[str]:
        self.session = name_at(event, "id") or self.session
        return []

    def _start(self, _: Event) -> list[str]:
        self.ended = False
        return []

    def _end(self, event: Event) -> list[str]:
        self.ended = event.get("willRetry") is not True
        return []

    def _message(self, event: Event) -> list[str]:
        message = at(event, "message")
        if at(message, "role") != "assistant":
            return []
        self.spend(tokens_at(at(message, "usage"), *_USAGE), usd(at(message, "usage", "cost", "total")))
        self.model = name_at(message, "model") or self.model
        reason = text_at(message, "stopReason")
        self.fail((text_at(message, "errorMessage") or reason) if reason in {"error", "aborted"} else "")
        return self.say(texts_in(dicts_at(message, "content")))

    def _tool_start(self, event: Event) -> list[str]:
        return [tool_line(text_at(event, "toolName"), event.get("args"))]

    def _tool_end(self, event: Event) -> list[str]:
        failed = event.get("isError") is True
        return [f"  {text_at(event, 'toolName') or '?'} failed"] if failed else []
