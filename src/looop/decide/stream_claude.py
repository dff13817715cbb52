"""Reader of `claude -p --output-format stream-json` (or `json`). Source: spec/beat.md §9.2; versions 2.1.197, 2.1.328.

Note [What claude counts]
Each block of a message comes as an event of its own that repeats the usage of the message, and its `output_tokens` is
only a first estimate; the true one comes with the end of the message, which `--include-partial-messages` shows, as it
shows the beginning. So messages count once, by id, until the `result`: its figures take their place, and where it
states a count twice the larger holds. `usage` in a result is of that result; `total_cost_usd` is cumulative over the
process and, from 2.1.328 on, over the session that it resumed, so `model_usage_since_last_result` is preferred where it
is given. Costs come with a result only.
"""

import re
from typing import Any

from msgspec.structs import replace

from looop.decide.stream_base import (
    KEEP,
    Event,
    EventReader,
    Verdict,
    at,
    at_least,
    compact,
    dicts_at,
    name_at,
    text_at,
    texts_in,
    tokens_at,
    tool_line,
    usd,
    whole,
)
from looop.model.usage import Tokens, Usage, add_tokens

_USAGE = (("input_tokens",), ("output_tokens",), ("cache_read_input_tokens",), ("cache_creation_input_tokens",))
_MODEL_USAGE = (("inputTokens",), ("outputTokens",), ("cacheReadInputTokens",), ("cacheCreationInputTokens",))
_LIMIT_AS_RESULT = re.compile(r"[\w ]{0,20}usage limit reached\|\d+\s*")
_SINCE = "model_usage_since_last_result"
_RECENT = 64
_DENIED = 20


class ClaudeReader(EventReader):
    """Reads the events of claude."""

    def __init__(self) -> None:
        hears = {"system": self._system, "assistant": self._assistant, "result": self._result}
        super().__init__({**hears, "rate_limit_event": self._rate_limit, "stream_event": self._partial})
        self._recent: dict[str, Tokens] = {}
        self._running: Tokens | None = None
        self._settled: Tokens | None = None
        self._structured: str | None = None
        self._denied: tuple[str, ...] = ()
        self._resets = ""

    def verdict(self) -> Verdict:
        """What the stream said, if it ends here."""
        verdict = replace(super().verdict(), structured=self._structured, denied=self._denied)
        if self.error and self._resets:
            return replace(verdict, limit=f"{self._resets} {self.error}")
        if _LIMIT_AS_RESULT.fullmatch(self.text):
            return replace(verdict, limit=self.text)
        return verdict

    @property
    def usage(self) -> Usage:
        """What the run has used so far; a result's cost does not cover the messages after it."""
        unbilled = self._running if self.cost_usd is not None else None
        return Usage(self.tokens, self.cost_usd, self.model, unbilled)

    def _system(self, event: Event) -> list[str]:
        self.session = name_at(event, "session_id") or self.session
        self.model = name_at(event, "model") or self.model
        return []

    def _assistant(self, event: Event) -> list[str]:
        message = at(event, "message")
        self._count(name_at(message, "id") or "", tokens_at(at(message, "usage"), *_USAGE))
        model = name_at(message, "model")
        if model and model != "<synthetic>":
            self.model = self.model or model
        content = dicts_at(message, "content")
        calls = [block for block in content if block.get("type") == "tool_use"]
        shown = [tool_line(text_at(call, "name"), call.get("input")) for call in calls]
        text = texts_in(content)
        if text and event.get("parent_tool_use_id") is None:
            self.text = text[-KEEP:]
        return [*shown, "\n" + text] if text else shown

    def _partial(self, event: Event) -> list[str]:
        """The beginning of a message and its end have usage; see Note [What claude counts]."""
        part = at(event, "event")
        if text_at(part, "type") in {"message_start", "message_delta"}:
            message = name_at(part, "message", "id") or name_at(event, "api_message_id")
            usage = at(part, "message", "usage") or at(part, "usage")
            self._count(message or "", tokens_at(usage, *_USAGE) if message else None)
        return []

    def _count(self, message: str, tokens: Tokens | None) -> None:
        """Count a message once, at its largest; see Note [What claude counts]."""
        if tokens is None:
            return
        before = self._recent.pop(message, None)
        now = at_least(before, tokens) or tokens
        self._recent[message] = now
        if len(self._recent) > _RECENT:
            del self._recent[next(iter(self._recent))]
        self._running = add_tokens(self._running, _less(now, before))
        self.tokens = add_tokens(self._settled, self._running)

    def _result(self, event: Event) -> list[str]:
        self._settle_tokens(event)
        self._settle_cost(event)
        self.session = name_at(event, "session_id") or self.session
        self.model = self.model or _first_model(event)
        self.ended = True
        self.text = text_at(event, "result")[-KEEP:] or self.text
        self.fail(_error(event))
        self._structured, self._denied = _structured(event), _denied(event)
        return _last_line(event)

    def _settle_tokens(self, event: Event) -> None:
        """Let the result's figures take the place of the messages'; see Note [What claude counts]."""
        of_models: Tokens | None = None
        for model in _models(event):
            of_models = add_tokens(of_models, tokens_at(model, *_MODEL_USAGE))
        stated = at_least(of_models, tokens_at(at(event, "usage"), *_USAGE))
        if (spent := at_least(self._running, stated)) is not None:
            self.tokens = self._settled = add_tokens(self._settled, spent)
        self._running, self._recent = None, {}

    def _settle_cost(self, event: Event) -> None:
        costs = [usd(at(model, "costUSD")) for model in _models(event)]
        total = usd(at(event, "total_cost_usd"))
        if costs and None not in costs:
            self.spend(None, sum(cost or 0.0 for cost in costs))
        elif total is not None:
            self.cost_usd = (self.cost_usd or 0.0) if at(event, _SINCE) == {} else total

    def _rate_limit(self, event: Event) -> list[str]:
        info = at(event, "rate_limit_info")
        rejected, at_s = text_at(info, "status") == "rejected", at(info, "resetsAt")
        self._resets = f"usage limit reached|{at_s}" if rejected and isinstance(at_s, int) else ""
        return []


def _less(now: Tokens, before: Tokens | None) -> Tokens:
    """What was not counted before; `now` is at least `before`."""
    was = before or Tokens()
    return Tokens(
        now.input - was.input,
        now.output - was.output,
        now.cache_read - was.cache_read,
        now.cache_write - was.cache_write,
    )


def _models(event: Event) -> list[Any]:
    """What each model was used for since the result before this one."""
    since = at(event, _SINCE)
    return list(since.values()) if isinstance(since, dict) else []


def _first_model(event: Event) -> str | None:
    models = at(event, "modelUsage")
    first = next(iter(models), "") if isinstance(models, dict) else ""
    return name_at({"model": first}, "model")


def _structured(event: Event) -> str | None:
    """The JSON text of the structured answer, None when there is none or it is too long for one."""
    answer = at(event, "structured_output")
    written = None if answer is None else compact(answer)
    return written if written and len(written) <= KEEP else None


def _denied(event: Event) -> tuple[str, ...]:
    names = (name_at(denial, "tool_name") for denial in dicts_at(event, "permission_denials"))
    return tuple(dict.fromkeys(name for name in names if name))[:_DENIED]


def _failed(event: Event) -> bool:
    return event.get("is_error") is True or text_at(event, "subtype").startswith("error")


def _error(event: Event) -> str:
    if not _failed(event):
        return ""
    errors = event.get("errors")
    told = "; ".join(whole(e) for e in errors if isinstance(e, str)) if isinstance(errors, list) else ""
    return text_at(event, "result") or told or text_at(event, "subtype") or "the run failed without saying why"


def _last_line(event: Event) -> list[str]:
    duration, cost = usd(event.get("duration_ms")), usd(event.get("total_cost_usd"))
    parts = [text_at(event, "subtype")] if _failed(event) else []
    parts += [f"{duration / 1000:.1f}s"] if duration is not None else []
    parts += [f"${cost:.4f}"] if cost is not None else []
    told = " · ".join(part for part in parts if part)
    if _failed(event):
        return [f"  failed ({told})" if told else "  failed"]
    return [f"  done ({told})"] if told else []
