"""Anthropic Messages: one forced tool call, the stable part of the prompt marked for the cache.

A model that always thinks refuses to be forced (HTTP 400 about `tool_choice`); it is then only offered the tool.
Input tokens exclude what was read from or written to the cache, as our own do.
"""

import json
import re
from typing import Any

from looop.config.api import ModelApi
from looop.decide.model_answer import Reply
from looop.decide.model_schema import request_schema
from looop.decide.model_wire import Asked, Bend, Body, missing
from looop.decide.stream_base import dicts_at, text_at, tokens_at

_TOOL = "decide"
_SYSTEM = (
    f"You have no files and no look-ups here. Hand over exactly one decision by calling the tool `{_TOOL}` once; "
    "a field that the action does not need is null."
)
_USAGE = (("input_tokens",), ("output_tokens",), ("cache_read_input_tokens",), ("cache_creation_input_tokens",))


def _offer_only(body: Body) -> None:
    body["tool_choice"] = {"type": "auto", "disable_parallel_tool_use": True}


class AnthropicWire:
    """The Messages API. Raises Failed when the SDK is missing."""

    bends: tuple[Bend, ...] = (Bend(re.compile("tool_choice"), _offer_only, "the tool is offered, not forced"),)

    def __init__(self, api: ModelApi, key: str) -> None:
        try:
            import anthropic  # noqa: TID251  this runs in the child of a decide only
        except ImportError as error:
            raise missing(api, error) from None
        self.sdk: Any = anthropic
        self._api = api
        self._client = anthropic.Anthropic(
            api_key=key or "none",
            base_url=api.base_url.removesuffix("/v1"),
            max_retries=0,
            http_client=anthropic.DefaultHttpxClient(follow_redirects=False),
        )

    def body(self, asked: Asked) -> Body:
        """The request."""
        parts: list[Body] = [{"type": "text", "text": text} for text in (asked.stable, asked.rest) if text]
        if asked.stable:
            parts[0]["cache_control"] = {"type": "ephemeral"}
        return {
            "model": self._api.model,
            "max_tokens": self._api.max_tokens,
            "system": _SYSTEM,
            "tools": [{"name": _TOOL, "description": "Hand over the decision.", "input_schema": request_schema()}],
            "tool_choice": {"type": "tool", "name": _TOOL, "disable_parallel_tool_use": True},
            "messages": [{"role": "user", "content": parts}],
        }

    def send(self, body: Body, timeout: Any) -> Any:
        """Send it once."""
        return self._client.messages.with_raw_response.create(**body, timeout=timeout).http_response

    def read(self, answer: Body) -> Reply:
        """The input of the tool, else the text of the answer."""
        blocks, why = dicts_at(answer, "content"), text_at(answer, "stop_reason")
        calls = [json.dumps(block.get("input")) for block in blocks if block.get("type") == "tool_use"]
        text = "".join(text_at(block, "text") for block in blocks if block.get("type") == "text")
        return Reply(
            texts=tuple(calls) or (text,),
            tokens=tokens_at(answer.get("usage"), *_USAGE),
            model=text_at(answer, "model"),
            why_ended=why,
            cut=why in ("max_tokens", "model_context_window_exceeded"),
            refusal=(text or "without a word") if why == "refusal" else "",
            error=text_at(answer, "error", "message"),
        )
