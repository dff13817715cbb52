"""The three wire formats the scripted endpoint speaks, each as a reader of requests and a writer of answers.

Everything here is a pure function of its arguments but for the ids of answers, which are fresh.
"""

import itertools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tests.agents.scenarios import Usage

Body = Mapping[str, Any]
Event = tuple[str, dict[str, Any] | str]

_TITLE = re.compile(r"title generator|[Gg]enerat\w* an? [^.\"\\]{0,60}title")
_ids = itertools.count(1)


@dataclass(frozen=True)
class Tool:
    """A tool the agent offers: its name and the JSON schema of its arguments."""

    name: str
    schema: Body


@dataclass(frozen=True)
class Asked:
    """What a request says. `turns` counts the assistant turns in it; `forced` names a tool that must be called;
    `shape` is the JSON schema demanded of the text."""

    turns: int
    tools: tuple[Tool, ...]
    forced: str
    shape: Body | None
    title: bool


@dataclass(frozen=True)
class Call:
    """A tool call: `arguments` is the text of a JSON object, or of a part of one."""

    tool: str
    arguments: str


@dataclass(frozen=True)
class Reply:
    """One assistant turn to be said. `cut` says that it ends at the limit of output tokens."""

    text: str
    calls: tuple[Call, ...]
    usage: Usage
    cut: bool
    model: str


class Dialect(Protocol):
    """One wire format. `events` is the streamed form of `whole`; an event's name is empty where the format has none."""

    def read(self, body: Body) -> Asked: ...

    def whole(self, reply: Reply) -> dict[str, Any]: ...

    def events(self, reply: Reply) -> list[Event]: ...

    def error(self, status: int) -> dict[str, Any]: ...

    def midstream_error(self) -> Event: ...


class Messages:
    """Anthropic Messages."""

    def read(self, body: Body) -> Asked:
        mine = [item.get("role") == "assistant" for item in body.get("messages", ())]
        tools = tuple(Tool(tool["name"], tool.get("input_schema", {})) for tool in body.get("tools", ()))
        choice = body.get("tool_choice") or {}
        shape = body.get("output_format") or (body.get("output_config") or {}).get("format") or {}
        return _asked(mine, tools, choice.get("name", ""), shape.get("schema"), body)

    def whole(self, reply: Reply) -> dict[str, Any]:
        blocks: list[dict[str, Any]] = [{"type": "text", "text": reply.text}] if reply.text else []
        blocks += [
            {"type": "tool_use", "id": _fresh("toolu"), "name": call.tool, "input": _object(call.arguments)}
            for call in reply.calls
        ]
        return {**self._message(reply, reply.usage.output), "content": blocks, "stop_reason": self._stop(reply)}

    def events(self, reply: Reply) -> list[Event]:
        start = {**self._message(reply, 1), "content": [], "stop_reason": None}
        events: list[Event] = [_typed("message_start", message=start), _typed("ping")]
        blocks: list[tuple[dict[str, Any], str, str, str]] = []
        if reply.text:
            blocks.append(({"type": "text", "text": ""}, "text_delta", "text", reply.text))
        for call in reply.calls:
            empty = {"type": "tool_use", "id": _fresh("toolu"), "name": call.tool, "input": {}}
            blocks.append((empty, "input_json_delta", "partial_json", call.arguments))
        for index, (empty, kind, key, text) in enumerate(blocks):
            deltas = [{"type": kind, key: piece} for piece in _pieces(text)]
            events.append(_typed("content_block_start", index=index, content_block=empty))
            events += [_typed("content_block_delta", index=index, delta=delta) for delta in deltas]
            events.append(_typed("content_block_stop", index=index))
        end = {"stop_reason": self._stop(reply), "stop_sequence": None}
        events.append(_typed("message_delta", delta=end, usage=self._usage(reply, reply.usage.output)))
        return [*events, _typed("message_stop")]

    def error(self, status: int) -> dict[str, Any]:
        kinds = {
            400: "invalid_request_error",
            401: "authentication_error",
            404: "not_found_error",
            429: "rate_limit_error",
            529: "overloaded_error",
        }
        return {"type": "error", "error": {"type": kinds.get(status, "api_error"), "message": _message(status)}}

    def midstream_error(self) -> Event:
        return "error", self.error(529)

    def _message(self, reply: Reply, output: int) -> dict[str, Any]:
        fixed = {"id": _fresh("msg"), "type": "message", "role": "assistant", "model": reply.model}
        return {**fixed, "stop_sequence": None, "usage": self._usage(reply, output)}

    def _usage(self, reply: Reply, output: int) -> dict[str, int]:
        figures = {"input_tokens": reply.usage.fresh, "cache_read_input_tokens": reply.usage.cached}
        return {**figures, "cache_creation_input_tokens": 0, "output_tokens": output}

    def _stop(self, reply: Reply) -> str:
        return "max_tokens" if reply.cut else "tool_use" if reply.calls else "end_turn"


class Chat:
    """OpenAI Chat Completions."""

    def read(self, body: Body) -> Asked:
        mine = [item.get("role") == "assistant" for item in body.get("messages", ())]
        offered = [tool.get("function", {}) for tool in body.get("tools") or ()]
        tools = tuple(Tool(tool["name"], tool.get("parameters", {})) for tool in offered)
        choice = body.get("tool_choice")
        forced = choice.get("function", {}).get("name", "") if isinstance(choice, dict) else ""
        shape = (body.get("response_format") or {}).get("json_schema", {})
        return _asked(mine, tools, forced, shape.get("schema"), body)

    def whole(self, reply: Reply) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": reply.text or None}
        if reply.calls:
            message["tool_calls"] = [self._call(call, call.arguments) for call in reply.calls]
        choice = {"index": 0, "message": message, "finish_reason": self._finish(reply)}
        return {**self._frame(reply, "chat.completion"), "choices": [choice], "usage": self._usage(reply)}

    def events(self, reply: Reply) -> list[Event]:
        frame = self._frame(reply, "chat.completion.chunk")

        def chunk(delta: dict[str, Any], finish: str | None = None) -> Event:
            return "", {**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

        events = [chunk({"role": "assistant", "content": ""})]
        events += [chunk({"content": piece}) for piece in _pieces(reply.text)]
        for index, call in enumerate(reply.calls):
            events.append(chunk({"tool_calls": [{"index": index, **self._call(call, "")}]}))
            for piece in _pieces(call.arguments):
                events.append(chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}))
        events.append(chunk({}, self._finish(reply)))
        return [*events, ("", {**frame, "choices": [], "usage": self._usage(reply)}), ("", "[DONE]")]

    def error(self, status: int) -> dict[str, Any]:
        return _openai_error(status)

    def midstream_error(self) -> Event:
        return "", self.error(500)

    def _frame(self, reply: Reply, kind: str) -> dict[str, Any]:
        return {"id": _fresh("chatcmpl"), "object": kind, "created": 1, "model": reply.model}

    def _call(self, call: Call, arguments: str) -> dict[str, Any]:
        return {"id": _fresh("call"), "type": "function", "function": {"name": call.tool, "arguments": arguments}}

    def _finish(self, reply: Reply) -> str:
        return "length" if reply.cut else "tool_calls" if reply.calls else "stop"

    def _usage(self, reply: Reply) -> dict[str, Any]:
        fresh, cached, output = reply.usage
        figures = {
            "prompt_tokens": fresh + cached,
            "completion_tokens": output,
            "total_tokens": fresh + cached + output,
        }
        return {**figures, "prompt_tokens_details": {"cached_tokens": cached}}


class Responses:
    """OpenAI Responses."""

    _CALLS = ("function_call", "reasoning")

    def read(self, body: Body) -> Asked:
        items = body.get("input")
        items = items if isinstance(items, list) else []
        mine = [item.get("role") == "assistant" or item.get("type") in self._CALLS for item in items]
        offered = [tool for tool in body.get("tools") or () if tool.get("type") == "function"]
        tools = tuple(Tool(tool["name"], tool.get("parameters") or {}) for tool in offered)
        choice = body.get("tool_choice")
        forced = choice.get("name", "") if isinstance(choice, dict) else ""
        shape = (body.get("text") or {}).get("format") or {}
        return _asked(mine, tools, forced, shape.get("schema"), body)

    def whole(self, reply: Reply) -> dict[str, Any]:
        return self._response(reply, self._items(reply))

    def events(self, reply: Reply) -> list[Event]:
        items = self._items(reply)
        done = self._response(reply, items)
        begun = {**done, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
        events = [_typed("response.created", response=begun), _typed("response.in_progress", response=begun)]
        for index, item in enumerate(items):
            at = {"output_index": index, "item_id": item["id"]}
            events.append(_typed("response.output_item.added", output_index=index, item=self._begun(item)))
            events += self._said(item, at) if item["type"] == "message" else self._called(item, at)
            events.append(_typed("response.output_item.done", output_index=index, item=item))
        events.append(_typed(f"response.{done['status']}", response=done))
        return [
            (name, {**data, "sequence_number": n}) for n, (name, data) in enumerate(events) if isinstance(data, dict)
        ]

    def error(self, status: int) -> dict[str, Any]:
        return _openai_error(status)

    def midstream_error(self) -> Event:
        return _typed("error", code="server_error", message=_message(500), param=None, sequence_number=99)

    def _items(self, reply: Reply) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        if reply.text:
            part = {"type": "output_text", "text": reply.text, "annotations": []}
            items.append({"type": "message", "id": _fresh("msg"), "role": "assistant", "content": [part]})
        for call in reply.calls:
            named = {"type": "function_call", "id": _fresh("fc"), "call_id": _fresh("call"), "name": call.tool}
            items.append({**named, "arguments": call.arguments})
        return [{**item, "status": "completed"} for item in items]

    def _begun(self, item: dict[str, Any]) -> dict[str, Any]:
        empty: dict[str, Any] = {"content": []} if item["type"] == "message" else {"arguments": ""}
        return {**item, "status": "in_progress", **empty}

    def _said(self, item: dict[str, Any], at: dict[str, Any]) -> Iterable[Event]:
        (part,) = item["content"]
        at = {**at, "content_index": 0}
        yield _typed("response.content_part.added", part={**part, "text": ""}, **at)
        for piece in _pieces(part["text"]):
            yield _typed("response.output_text.delta", delta=piece, **at)
        yield _typed("response.output_text.done", text=part["text"], **at)
        yield _typed("response.content_part.done", part=part, **at)

    def _called(self, item: dict[str, Any], at: dict[str, Any]) -> Iterable[Event]:
        for piece in _pieces(item["arguments"]):
            yield _typed("response.function_call_arguments.delta", delta=piece, **at)
        yield _typed("response.function_call_arguments.done", arguments=item["arguments"], **at)

    def _response(self, reply: Reply, items: list[dict[str, Any]]) -> dict[str, Any]:
        fresh, cached, output = reply.usage
        usage = {
            "input_tokens": fresh + cached,
            "input_tokens_details": {"cached_tokens": cached},
            "output_tokens": output,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": fresh + cached + output,
        }
        status = "incomplete" if reply.cut else "completed"
        why = {"reason": "max_output_tokens"} if reply.cut else None
        frame = {"id": _fresh("resp"), "object": "response", "created_at": 1, "model": reply.model, "error": None}
        return {**frame, "status": status, "incomplete_details": why, "output": items, "usage": usage}


DIALECTS: dict[str, Dialect] = {
    "/v1/messages": Messages(),
    "/v1/chat/completions": Chat(),
    "/v1/responses": Responses(),
}


def _asked(mine: list[bool], tools: tuple[Tool, ...], forced: str, shape: Body | None, body: Body) -> Asked:
    """An assistant turn is a run of items that are its own: some formats put words and calls side by side."""
    turns = sum(now and not before for before, now in itertools.pairwise([False, *mine]))
    return Asked(turns, tools, forced, shape, not tools and _asks_for_title(shape, body))


def _asks_for_title(shape: Body | None, body: Body) -> bool:
    if shape is not None:
        return set(shape.get("properties", ())) == {"title"}
    return _TITLE.search(json.dumps(body, ensure_ascii=False)) is not None


def _typed(kind: str, /, **fields: Any) -> Event:
    return kind, {"type": kind, **fields}


def _pieces(text: str) -> list[str]:
    """The text in pieces small enough that half of them is half of the text, and never more than some 200."""
    size = max(8, len(text) // 200)
    return [text[at : at + size] for at in range(0, len(text), size)]


def _fresh(prefix: str) -> str:
    return f"{prefix}_{next(_ids):08d}"


def _object(text: str) -> Any:
    """A format that carries arguments as an object cannot carry a part of one: it is empty then."""
    try:
        return json.loads(text)
    except ValueError:
        return {}


def _message(status: int) -> str:
    return f"scripted error {status}"


def _openai_error(status: int) -> dict[str, Any]:
    codes = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
    kind = "invalid_request_error" if status < 429 else "server_error"
    return {"error": {"message": _message(status), "type": kind, "param": None, "code": codes.get(status)}}
