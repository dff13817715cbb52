"""OpenAI chat completions, and every endpoint that speaks them: one answer in a JSON schema.

The prompt's stable part comes first, which is all that automatic prompt caches want. OpenAI itself takes
`max_completion_tokens` and refuses `maxLength`; local servers know `max_tokens` and bound their grammars by
`maxLength`.
Input tokens include cached ones there, ours do not.
"""

import re
from typing import Any

from looop.config.api import ModelApi
from looop.decide.model_answer import Reply
from looop.decide.model_schema import SHORT, request_schema
from looop.decide.model_wire import Asked, Bend, Body, missing
from looop.decide.stream_base import at, count, dicts_at, text_at, texts_in
from looop.model.usage import Tokens

_SYSTEM = (
    "You have no tools, files or look-ups here. Answer with exactly one JSON object, "
    '{"decision": {…}}, and nothing else; a field that the action does not need is null.'
)


def _other_limit(body: Body) -> None:
    body["max_completion_tokens"] = body.pop("max_tokens", body.get("max_completion_tokens"))


def _shorter(body: Body) -> None:
    body["response_format"] = _in_schema(request_schema(longest=SHORT), strict=True)


def _without_schema(body: Body) -> None:
    body["response_format"] = {"type": "json_object"}


def _in_schema(schema: Body, *, strict: bool) -> Body:
    return {"type": "json_schema", "json_schema": {"name": "decision", "schema": schema, "strict": strict}}


class OpenaiWire:
    """The chat completions API. Raises Failed when the SDK is missing."""

    bends: tuple[Bend, ...] = (
        Bend(re.compile("max_completion_tokens"), _other_limit, "the limit is called max_completion_tokens here"),
        Bend(re.compile("grammar|repetition"), _shorter, "texts are bounded more tightly"),
        Bend(re.compile("response_format|json_schema"), _without_schema, "it takes no schema, plain JSON is asked for"),
    )

    def __init__(self, api: ModelApi, key: str) -> None:
        try:
            import openai  # noqa: TID251  this runs in the child of a decide only
        except ImportError as error:
            raise missing(api, error) from None
        self.sdk: Any = openai
        self._api = api
        self._client = openai.OpenAI(
            api_key=key or "none",
            base_url=api.base_url,
            max_retries=0,
            http_client=openai.DefaultHttpxClient(follow_redirects=False),
        )

    def body(self, asked: Asked) -> Body:
        """The request."""
        own = self._api.own_address
        return {
            "model": self._api.model,
            "max_completion_tokens" if own else "max_tokens": self._api.max_tokens,
            "messages": [
                {"role": "system", "content": _SYSTEM},
                {"role": "user", "content": asked.stable + asked.rest},
            ],
            "response_format": _in_schema(request_schema(in_words=own), strict=True),
        }

    def send(self, body: Body, timeout: Any) -> Any:
        """Send it once."""
        return self._client.chat.completions.with_raw_response.create(**body, timeout=timeout).http_response

    def read(self, answer: Body) -> Reply:
        """The content of the first choice."""
        choice = next(iter(dicts_at(answer, "choices")), {})
        why = text_at(choice, "finish_reason")
        refusal = text_at(choice, "message", "refusal") or ("a content filter" if why == "content_filter" else "")
        return Reply(
            texts=(text_at(choice, "message", "content") or texts_in(dicts_at(choice, "message", "content")),),
            tokens=_tokens(answer.get("usage")),
            model=text_at(answer, "model"),
            why_ended=why,
            cut=why == "length",
            refusal=refusal,
            error=text_at(answer, "error", "message"),
        )


def _tokens(usage: Any) -> Tokens | None:
    given, output = count(at(usage, "prompt_tokens")), count(at(usage, "completion_tokens"))
    if given is None and output is None:
        return None
    cached = min(count(at(usage, "prompt_tokens_details", "cached_tokens")) or 0, given or 0)
    return Tokens(input=(given or 0) - cached, output=output or 0, cache_read=cached)
