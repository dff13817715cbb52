"""The scripted endpoint itself, over plain HTTP: what tests that stand on it rely on."""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.agents.endpoint import Endpoint
from tests.agents.scenarios import DECISION, DECISION_TEXT, Fault, Scenario

MESSAGES, CHAT, RESPONSES = "/v1/messages", "/v1/chat/completions", "/v1/responses"
SHAPE = {"type": "object", "properties": {"action": {"type": "string"}}, "required": ["action"]}
SCHEMA_OF = {name: {"type": "string"} for name in ("command", "path", "content")}
TOOLS = {
    MESSAGES: [{"name": name, "input_schema": {"properties": SCHEMA_OF}} for name in ("Read", "Write", "Bash")],
    CHAT: [{"function": {"name": name, "parameters": {"properties": SCHEMA_OF}}} for name in ("read", "write", "bash")],
    RESPONSES: [{"type": "function", "name": "exec_command", "parameters": {"properties": {"cmd": {}}}}],
}
DIALECTS = (MESSAGES, CHAT, RESPONSES)
Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    extra = {"late": Scenario([{"bash": "true"}, {"text": "never"}], Fault("status", 500, turn=1))}
    with Endpoint(extra) as running:
        yield running


@pytest.fixture
def tag(request: pytest.FixtureRequest) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in request.node.name)


def body_of(path: str, turns: int = 0, **extra: Any) -> dict[str, Any]:
    """A request of that dialect with so many assistant turns behind it and every tool on offer."""
    said = [{"role": "user", "content": "Decide."}]
    for _ in range(turns):
        said += [{"role": "assistant", "content": "words"}, {"role": "user", "content": "and?"}]
    return {"model": "m", "input" if path == RESPONSES else "messages": said, "tools": TOOLS[path], **extra}


def post(endpoint: Endpoint, scenario: str, tag: str, path: str, body: dict[str, Any], wait_s: float = 5) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=wait_s)
    try:
        connection.request("POST", f"/s/{scenario}@{tag}{path}", json.dumps(body))
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def ask(endpoint: Endpoint, scenario: str, tag: str, path: str, body: dict[str, Any]) -> Any:
    status, _, raw = post(endpoint, scenario, tag, path, body)
    assert status == 200, raw
    return json.loads(raw)


def data_of(raw: bytes) -> list[Any]:
    """The data of each event of a stream."""
    lines = [line[6:] for line in raw.decode().splitlines() if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def call_in(path: str, whole: Any) -> tuple[str, Any]:
    """Name and arguments of the first tool call in an unstreamed answer."""
    if path == MESSAGES:
        block = next(block for block in whole["content"] if block["type"] == "tool_use")
        return block["name"], block["input"]
    if path == CHAT:
        call = whole["choices"][0]["message"]["tool_calls"][0]["function"]
    else:
        call = next(item for item in whole["output"] if item["type"] == "function_call")
    return call["name"], json.loads(call["arguments"])


def text_in(path: str, whole: Any) -> str:
    """The words of an unstreamed answer."""
    if path == MESSAGES:
        return str(whole["content"][0]["text"])
    if path == CHAT:
        return str(whole["choices"][0]["message"]["content"])
    return str(whole["output"][0]["content"][0]["text"])


def streamed_text(path: str, events: list[Any]) -> str:
    """The words of a streamed answer, joined from its pieces."""
    if path == MESSAGES:
        return "".join(event["delta"].get("text", "") for event in events if event["type"] == "content_block_delta")
    if path == CHAT:
        choices = [event["choices"][0]["delta"] for event in events[:-2]]
        return "".join(delta.get("content") or "" for delta in choices)
    return "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")


@pytest.mark.parametrize("path", DIALECTS)
def test_the_step_is_the_number_of_turns_in_the_request(endpoint, tag, path):
    """Nothing is remembered: the same request gets the same step, the next turn the next one, the end is `done`."""
    first = ask(endpoint, "decide", tag, path, body_of(path))
    again = ask(endpoint, "decide", tag, path, body_of(path))
    assert call_in(path, first) == call_in(path, again)
    assert text_in(path, ask(endpoint, "decide", tag, path, body_of(path, 1))) == "Decision written."
    assert text_in(path, ask(endpoint, "decide", tag, path, body_of(path, 2))) == "done"
    assert [seen.step for seen in endpoint.seen(tag)] == [0, 0, 1, 2]


def test_words_and_call_side_by_side_are_one_turn(endpoint, tag):
    """In the Responses format a turn may be several items."""
    body = body_of(RESPONSES)
    body["input"] += [{"role": "assistant", "content": "I look."}, {"type": "function_call", "name": "exec_command"}]
    body["input"] += [{"type": "function_call_output", "output": "ok"}]
    assert text_in(RESPONSES, ask(endpoint, "bash", tag, RESPONSES, body)) == "It said hello."


@pytest.mark.parametrize(
    ("path", "name", "known"),
    [
        (MESSAGES, "Write", {"path": ".decision.json", "content": DECISION_TEXT}),
        (CHAT, "write", {"path": ".decision.json", "content": DECISION_TEXT}),
        (RESPONSES, "exec_command", {"cmd": f"printf %s '{DECISION_TEXT}' > .decision.json"}),
    ],
)
def test_a_write_uses_the_writing_tool_or_else_the_shell(endpoint, tag, path, name, known):
    """The action is said with the tool and the argument names on offer."""
    assert call_in(path, ask(endpoint, "decide", tag, path, body_of(path))) == (name, known)


@pytest.mark.parametrize("path", DIALECTS)
@pytest.mark.parametrize("scenario", ["text", "huge", "bash"])
def test_a_stream_says_what_the_whole_answer_says(endpoint, tag, path, scenario):
    """The pieces of a streamed answer add up to the unstreamed one."""
    whole = ask(endpoint, scenario, tag, path, body_of(path))
    _, headers, raw = post(endpoint, scenario, tag, path, body_of(path, stream=True))
    assert headers["content-type"] == "text/event-stream"
    assert streamed_text(path, data_of(raw)) == text_in(path, whole)


def test_the_figures_of_turns_differ_and_are_told_in_each_dialect(endpoint, tag):
    """The first turn costs 1000 fresh, 200 cached and 50 output tokens, later ones 300, 1100 and 20."""
    messages = [ask(endpoint, "decide", tag, MESSAGES, body_of(MESSAGES, turn))["usage"] for turn in (0, 1)]
    assert [usage["input_tokens"] for usage in messages] == [1000, 300]
    assert [usage["cache_read_input_tokens"] for usage in messages] == [200, 1100]
    assert [usage["output_tokens"] for usage in messages] == [50, 20]
    chat = ask(endpoint, "decide", tag, CHAT, body_of(CHAT))["usage"]
    assert (chat["prompt_tokens"], chat["prompt_tokens_details"]["cached_tokens"]) == (1200, 200)
    responses = data_of(post(endpoint, "decide", tag, RESPONSES, body_of(RESPONSES, stream=True))[2])[-1]["response"]
    assert (responses["usage"]["input_tokens"], responses["usage"]["output_tokens"]) == (1200, 50)


SHAPED = {
    MESSAGES: {"output_config": {"format": {"type": "json_schema", "schema": SHAPE}}},
    CHAT: {"response_format": {"type": "json_schema", "json_schema": {"name": "d", "schema": SHAPE}}},
    RESPONSES: {"text": {"format": {"type": "json_schema", "name": "d", "schema": SHAPE}}},
}
FORCED = {
    MESSAGES: {"type": "tool", "name": "decide"},
    CHAT: {"type": "function", "function": {"name": "decide"}},
    RESPONSES: {"type": "function", "name": "decide"},
}


@pytest.mark.parametrize("path", DIALECTS)
def test_a_json_schema_is_answered_with_the_decision_as_text(endpoint, tag, path):
    """A request that demands a shape gets the decision in one answer and no file."""
    whole = ask(endpoint, "decide", tag, path, body_of(path, **SHAPED[path]))
    assert json.loads(text_in(path, whole)) == DECISION


@pytest.mark.parametrize("path", DIALECTS)
def test_a_forced_tool_is_called_with_the_decision(endpoint, tag, path):
    """So does a request that names the tool to call."""
    whole = ask(endpoint, "decide", tag, path, body_of(path, tool_choice=FORCED[path]))
    assert call_in(path, whole) == ("decide", DECISION)


def test_the_structured_output_tool_is_used_where_it_is_offered(endpoint, tag):
    """claude offers it without forcing it."""
    body = body_of(MESSAGES)
    body["tools"] = [*TOOLS[MESSAGES], {"name": "StructuredOutput", "input_schema": SHAPE}]
    assert call_in(MESSAGES, ask(endpoint, "decide", tag, MESSAGES, body)) == ("StructuredOutput", DECISION)


@pytest.mark.parametrize(
    ("scenario", "end", "good"),
    [("cutjson", "length", False), ("twojson", "stop", False), ("unknown", "stop", True), ("prose", "stop", False)],
)
def test_bad_answers(endpoint, tag, scenario, end, good):
    """A cut answer, two objects, an unknown action, prose: each arrives as a model would send it."""
    choice = ask(endpoint, scenario, tag, CHAT, body_of(CHAT, **SHAPED[CHAT]))["choices"][0]
    assert choice["finish_reason"] == end
    if good:
        assert json.loads(choice["message"]["content"])["action"] == "launch_rocket"
    else:
        with pytest.raises(ValueError, match=r"."):
            json.loads(choice["message"]["content"])


def test_a_cut_answer_says_so_in_each_dialect(endpoint, tag):
    """The end at the limit of output tokens has a name in each dialect."""
    message = ask(endpoint, "cutjson", tag, MESSAGES, body_of(MESSAGES, **SHAPED[MESSAGES]))
    assert message["stop_reason"] == "max_tokens"
    stream = post(endpoint, "cutjson", tag, RESPONSES, body_of(RESPONSES, stream=True, **SHAPED[RESPONSES]))[2]
    assert data_of(stream)[-1]["type"] == "response.incomplete"


def test_two_answers_through_a_forced_tool_are_two_calls(endpoint, tag):
    """A tool call holds one object, so a second one is a second call."""
    body = body_of(MESSAGES, tool_choice=FORCED[MESSAGES])
    assert [block["type"] for block in ask(endpoint, "twojson", tag, MESSAGES, body)["content"]] == ["tool_use"] * 2


@pytest.mark.parametrize("path", DIALECTS)
@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 529])
def test_status_codes(endpoint, tag, path, status):
    """An error has its status, a JSON body in the dialect's shape, and for 429 a retry-after."""
    found, headers, raw = post(endpoint, f"err{status}", tag, path, body_of(path))
    assert found == status
    assert json.loads(raw)["error"]["message"] == f"scripted error {status}"
    assert headers.get("retry-after") == ("1" if status == 429 else None)


def test_a_fault_of_the_first_request_only(endpoint, tag):
    """With `times` the fault befalls so many requests of a tag, and another tag starts anew."""
    codes = [post(endpoint, "flaky500", name, CHAT, body_of(CHAT))[0] for name in (tag, tag, tag + "-other")]
    assert codes == [500, 200, 500]


def test_a_fault_from_a_turn_on(endpoint, tag):
    """With `turn` the turns before it are played."""
    assert [post(endpoint, "late", tag, CHAT, body_of(CHAT, turn))[0] for turn in (0, 1)] == [200, 500]


@pytest.mark.parametrize("path", DIALECTS)
def test_answers_that_are_none(endpoint, tag, path):
    """HTML, nothing, garbage: all with status 200."""
    for scenario, start in (("html", b"<html>"), ("empty", b""), ("garbage", b"data: {this is not json")):
        status, _, raw = post(endpoint, scenario, tag, path, body_of(path, stream=True))
        assert (status, raw[: len(start) or 1]) == (200, start)


@pytest.mark.parametrize("path", DIALECTS)
@pytest.mark.parametrize("streamed", [True, False])
def test_a_truncated_answer_ends_early(endpoint, tag, path, streamed):
    """The connection closes in the middle of the body, which HTTP can tell."""
    with pytest.raises(http.client.IncompleteRead) as caught:
        post(endpoint, "truncate", tag, path, body_of(path, stream=streamed))
    assert len(caught.value.partial) > 50


@pytest.mark.parametrize("path", DIALECTS)
def test_an_error_in_the_middle_of_a_stream(endpoint, tag, path):
    """Half of the answer comes, then an error in the dialect's form, then a proper end of the body."""
    *_, last = data_of(post(endpoint, "midstream", tag, path, body_of(path, stream=True))[2])
    assert "scripted error" in json.dumps(last)


@pytest.mark.parametrize(("scenario", "streamed"), [("hang", True), ("stall", True), ("stall", False)])
def test_silence(endpoint, tag, scenario, streamed):
    """Without a head, or after half of the answer, nothing more comes and the connection stays open."""
    with pytest.raises(TimeoutError):
        post(endpoint, scenario, tag, MESSAGES, body_of(MESSAGES, stream=streamed), wait_s=0.2)
    assert [seen.step for seen in endpoint.seen(tag)] == [0]


def test_a_reset_connection(endpoint, tag):
    """The client sees a reset and not an end."""
    with pytest.raises(ConnectionResetError):
        post(endpoint, "reset", tag, MESSAGES, body_of(MESSAGES))


def test_the_log_holds_whole_requests(endpoint, tag):
    """Path, size and body of each request are there, also of those that are no step."""
    ask(endpoint, "text", tag, CHAT, body_of(CHAT, marker="m" * 1000))
    ask(endpoint, "text", tag, "/v1/messages/count_tokens", {"messages": []})
    assert post(endpoint, "text", tag, "/npm/some-package", {})[0] == 404
    first, *others = endpoint.seen(tag)
    assert (first.path, first.body["marker"]) == (CHAT, "m" * 1000)
    assert first.size > 1000
    assert [(seen.path, seen.step) for seen in others] == [
        ("/v1/messages/count_tokens", None),
        ("/npm/some-package", None),
    ]


def test_a_request_is_logged_before_it_is_answered(endpoint, tag):
    """Whoever has the answer finds the request in the log."""
    for count in range(1, 20):
        ask(endpoint, "text", tag, CHAT, body_of(CHAT))
        assert len(endpoint.seen(tag)) == count


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "system", "content": "You are a title generator."}]},
        {"messages": [{"role": "user", "content": "Generate a short title for this."}]},
        {"messages": [], "response_format": {"json_schema": {"schema": {"properties": {"title": {}}}}}},
    ],
)
def test_a_request_for_a_title_is_no_step(endpoint, tag, body):
    """It gets a title, whatever the scenario, and the log says what it was."""
    whole = ask(endpoint, "err500", tag, CHAT, body)
    assert "Scripted title" in text_in(CHAT, whole)
    assert [(seen.title, seen.step) for seen in endpoint.seen(tag)] == [(True, None)]


def test_a_chunked_request_is_read_whole(endpoint, tag):
    """Clients may send a body whose length they do not know beforehand."""
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=5)
    parts = json.dumps(body_of(CHAT)).encode()
    connection.request("POST", f"/s/text@{tag}{CHAT}", iter([parts[:40], parts[40:]]), encode_chunked=True)
    assert connection.getresponse().status == 200
    connection.close()
    assert endpoint.seen(tag)[0].raw == parts


def test_models_are_listed(endpoint, tag):
    """A list that both vendors' clients can read."""
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=5)
    connection.request("GET", f"/s/decide@{tag}/v1/models?limit=5")
    assert "scripted-model" in [model["id"] for model in json.loads(connection.getresponse().read())["data"]]
    connection.close()


def test_an_unknown_scenario_is_refused(endpoint, tag):
    """By the address book at once, by the server with 404."""
    with pytest.raises(KeyError):
        endpoint.base("no-such", tag)
    assert post(endpoint, "no-such", tag, CHAT, body_of(CHAT))[0] == 404


def test_an_endpoint_leaves_no_thread():
    """Kept connections, a hang and a stall end with the endpoint, within a second."""
    before = set(threading.enumerate())
    kept = []
    with Endpoint() as endpoint:
        for scenario in ("text", "hang", "stall"):
            connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=5)
            connection.request("POST", f"/s/{scenario}@t{CHAT}", json.dumps(body_of(CHAT)))
            kept.append(connection)
        kept[0].getresponse().read()
        started = time.monotonic()
    assert time.monotonic() - started < 1
    assert set(threading.enumerate()) <= before
    for connection in kept:
        connection.close()
