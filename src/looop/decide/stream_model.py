"""Reader of what the child of a model API prints (decide/model.py): our own events, one JSON object a line.

{"type": "looop.request", "label": "openai/gpt-5", "host": "https://…", "bytes": 12345}
{"type": "looop.retry", "why": "…", "wait_s": 1.5}
{"type": "looop.usage", "model": "gpt-5", "tokens": {"input": …}, "cost_usd": 0.01}     one for each answer
{"type": "looop.result", "structured": "{…}"} or {"type": "looop.error", "error": "…"}  the end mark
"""

from msgspec.structs import replace

from looop.decide.stream_base import Event, EventReader, Verdict, at, count, name_at, text_at, tokens_at, usd

_USAGE = tuple(("tokens", name) for name in ("input", "output", "cache_read", "cache_write"))


class ModelReader(EventReader):
    """Reads the events of the child that asks a model API."""

    def __init__(self) -> None:
        super().__init__(
            {
                "looop.request": self._request,
                "looop.retry": self._retry,
                "looop.usage": self._used,
                "looop.result": self._result,
                "looop.error": self._failed,
            }
        )
        self._structured: str | None = None

    def verdict(self) -> Verdict:
        """What the stream said, if it ends here."""
        return replace(super().verdict(), structured=self._structured)

    def _request(self, event: Event) -> list[str]:
        return [f"  asking {text_at(event, 'label')} at {text_at(event, 'host')}: {count(at(event, 'bytes'))} bytes"]

    def _retry(self, event: Event) -> list[str]:
        return [f"  again in {usd(at(event, 'wait_s')) or 0:.1f}s: {text_at(event, 'why')}"]

    def _used(self, event: Event) -> list[str]:
        self.spend(tokens_at(event, *_USAGE), usd(at(event, "cost_usd")))
        self.model = name_at(event, "model") or self.model
        return []

    def _result(self, event: Event) -> list[str]:
        self.ended = True
        self._structured = text_at(event, "structured")
        return self.say(self._structured)

    def _failed(self, event: Event) -> list[str]:
        self.ended = True
        self.fail(text_at(event, "error") or "it failed without saying why")
        return [f"  error: {self.error}"]
