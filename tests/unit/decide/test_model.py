"""The child of a model API in its parts: what is sent, how answers are read, and what its events mean."""

import json
import math
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import pytest

from looop.config.api import ModelApi
from looop.decide.model_answer import Failed, Reply, decision_in, one_line
from looop.decide.model_price import cost_of
from looop.decide.model_schema import SHORT, request_schema
from looop.decide.model_wire import Asked
from looop.decide.stream_base import EventReader
from looop.decide.streams import reader_for
from looop.model.decision import ACTIONS, parse_decision
from looop.model.usage import Tokens

OPENAI = ModelApi("openai", "gpt-5", "https://api.openai.com/v1")
CLAUDE = ModelApi("anthropic", "claude-sonnet-4-5", "https://api.anthropic.com")
LOCAL = ModelApi("openai", "gpt-5", "http://127.0.0.1:8080/v1")
NOOP = '{"action": "noop"}'


def needs(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(package) is None, reason=f"no {package} here: scripts/test installs it")


def strings_in(schema: Any) -> list[dict[str, Any]]:
    """Every schema of free text below this one."""
    if isinstance(schema, list):
        return [found for item in schema for found in strings_in(item)]
    if not isinstance(schema, dict):
        return []
    own = [schema] if schema.get("type") == "string" and "enum" not in schema else []
    return own + [found for value in schema.values() for found in strings_in(value)]


def objects_in(schema: Any) -> list[dict[str, Any]]:
    if isinstance(schema, list):
        return [found for item in schema for found in objects_in(item)]
    if not isinstance(schema, dict):
        return []
    own = [schema] if schema.get("type") == "object" else []
    return own + [found for value in schema.values() for found in objects_in(value)]


def test_the_schema_is_one_that_strict_modes_take() -> None:
    """No union at the root, every field required, nothing else allowed, no keyword that a strict mode refuses.

    Source: OpenAI and Anthropic, Structured Outputs, supported schemas.
    """
    schema = request_schema()
    assert schema["type"] == "object" and list(schema["properties"]) == ["decision"]
    variants = schema["properties"]["decision"]["anyOf"]
    assert [variant["properties"]["action"]["enum"] for variant in variants] == [[action] for action in ACTIONS]
    for found in objects_in(schema):
        assert found["required"] == list(found["properties"]) and found["additionalProperties"] is False
    assert not any(f'"{word}":' in json.dumps(schema) for word in ("oneOf", "default", "title", "minimum", "$ref"))


def test_every_string_is_bounded() -> None:
    """A small model cannot write on for ever; only the texts of whole files may be long.

    Source: the issue, "maxLength on every string"; llama.cpp #25746, #26613.
    """
    strings = strings_in(request_schema())
    assert len(strings) > 20 and all(string["maxLength"] > 0 for string in strings)
    assert all(string["maxLength"] <= SHORT for string in strings_in(request_schema(longest=SHORT)))
    in_words = strings_in(request_schema(in_words=True))
    assert all("maxLength" not in string and "at most" in string["description"] for string in in_words)


def test_nulls_stand_for_what_is_not_given() -> None:
    """An object with every field of its schema, the optional ones null, is a decision."""
    example = {"string": "x", "integer": 90}
    for variant in request_schema()["properties"]["decision"]["anyOf"]:
        value: dict[str, Any] = {
            name: None if "anyOf" in field else field.get("enum", [example.get(field.get("type"))])[0]
            for name, field in variant["properties"].items()
        }
        if value["action"] == "write_schedule":
            value["every_s"] = 90
        assert parse_decision(json.dumps(value)).move.action == value["action"]


@pytest.mark.parametrize(
    "text",
    [
        NOOP,
        f'  {{"decision": {NOOP}}}\n',
        f"```json\n{NOOP}\n```",
        f'```\n{{"decision": {NOOP}}}\n```',
    ],
)
def test_one_object_is_a_decision(text: str) -> None:
    """Bare, wrapped as the schema has it, or in a markdown fence."""
    assert json.loads(decision_in(Reply(texts=(text,)), 10)) == {"action": "noop"}


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(texts=("I would rather wait.",)), "in prose"),
        (Reply(texts=(f"Here it is: {NOOP}",)), "in prose"),
        (Reply(texts=('["noop"]',)), "in prose"),
        (Reply(texts=('{"action": "no',)), "broken JSON"),
        (Reply(texts=('{"action": "noop", "next_interval_s": NaN}',)), "broken JSON"),
        (Reply(texts=('{"a":' * 100_000,)), "characters"),
        (Reply(texts=('{"a":' * 50_000,)), "broken JSON"),
        (Reply(texts=("x" * 1_000_000,)), "1000000 characters"),
        (Reply(texts=(NOOP + NOOP,)), "two JSON objects"),
        (Reply(texts=(NOOP, NOOP)), "2 decisions"),
        (Reply(texts=(NOOP + " That is all.",)), "something behind"),
        (Reply(texts=("", " \n"), why_ended="stop"), "answered nothing (its reason to end: stop)"),
        (Reply(), "answered nothing"),
        (Reply(texts=(NOOP,), cut=True), "max_tokens = 10"),
        (Reply(texts=(NOOP,), refusal="I\ncannot"), "refused: I cannot"),
        (Reply(texts=(NOOP,), error="overloaded"), "overloaded"),
    ],
)
def test_everything_else_is_one_line(reply: Reply, said: str) -> None:
    """What is no single JSON object, or is not meant as an answer, fails with one short line.

    Source: the issue, "Bad input".
    """
    with pytest.raises(Failed) as failed:
        decision_in(reply, 10)
    assert said in str(failed.value) and "\n" not in str(failed.value) and len(str(failed.value)) < 380


def test_a_line_is_a_line() -> None:
    """Foreign text loses its line ends and its length."""
    assert one_line(" a\r\n\tb ") == "a b"
    assert len(one_line("x" * 10_000_000)) == 120


def reader() -> EventReader:
    found = reader_for(OPENAI.label, OPENAI.command)
    assert isinstance(found, EventReader)
    return found


def feed(reader: EventReader, *events: dict[str, Any]) -> list[str]:
    return [line for event in events for line in reader.feed(json.dumps(event))]


def test_the_child_is_recognised_by_its_command() -> None:
    """Its events are read by their own reader, whatever its settings spell."""
    odd = ModelApi("openai", "claude", "http://h/codex", key_file="/x/pi --mode json/{{prompt_file}}")
    assert type(reader_for(odd.label, odd.command)) is type(reader()) is not type(reader_for("x", "cat"))
    assert "{{prompt_file}}" not in odd.command


def test_what_the_events_of_the_child_mean() -> None:
    """Usage adds up over requests, the result is the structured answer, and people see what happens."""
    one = {"input": 10, "output": 2, "cache_read": 5, "cache_write": 1}
    stream = reader()
    seen = feed(
        stream,
        {"type": "looop.request", "label": "openai/m", "host": "http://h", "bytes": 7},
        {"type": "looop.retry", "why": "HTTP 500", "wait_s": 0.5},
        {"type": "looop.usage", "model": "m", "tokens": one, "cost_usd": 0.5},
        {"type": "looop.usage", "model": "m", "tokens": one, "cost_usd": None},
    )
    assert seen == ["  asking openai/m at http://h: 7 bytes", "  again in 0.5s: HTTP 500"]
    assert stream.usage.tokens == Tokens(20, 4, 10, 2)
    assert (stream.usage.cost_usd, stream.usage.model) == (0.5, "m")
    assert not stream.verdict().ended
    assert feed(stream, {"type": "looop.result", "structured": NOOP}) == ["\n" + NOOP]
    assert stream.verdict().ended and stream.verdict().structured == NOOP and stream.verdict().error == ""


def test_an_error_of_the_child_is_its_verdict() -> None:
    """The line of an error ends the stream and says when a usage limit was reached."""
    stream = reader()
    assert feed(stream, {"type": "looop.error", "error": "HTTP 429 (insufficient_quota)"})[0].startswith("  error: ")
    assert stream.verdict().ended and stream.verdict().limit == stream.verdict().error
    silent = reader()
    feed(silent, {"type": "looop.error"})
    assert "without saying why" in silent.verdict().error


@pytest.mark.parametrize("figure", [-1, math.nan, math.inf, "5", True, None, [], 10**30])
def test_figures_that_are_none_are_not_counted(figure: Any) -> None:
    """Negative, endless and absurd figures leave the run without one. Source: the issue, "Bad input"."""
    stream = reader()
    feed(stream, {"type": "looop.usage", "tokens": {"input": figure}, "cost_usd": figure})
    assert stream.usage.tokens is None and stream.usage.cost_usd is None


@needs("openai")
def test_openai_itself_gets_what_it_takes() -> None:
    """`max_completion_tokens` and bounds in words there, `max_tokens` and `maxLength` everywhere else."""
    from looop.decide.model_openai import OpenaiWire

    own, other = (OpenaiWire(api, "k").body(Asked("stable ", "rest")) for api in (OPENAI, LOCAL))
    assert own["max_completion_tokens"] == other["max_tokens"] == 8192
    assert "max_tokens" not in own and "maxLength" not in json.dumps(own) and "maxLength" in json.dumps(other)
    assert own["messages"][-1]["content"] == "stable rest"


@needs("openai")
@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 2}, Tokens(10, 2)),
        ({"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 8}}, Tokens(2, 0, 8)),
        ({"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 8}}, Tokens(0, 0, 3)),
        ({"prompt_tokens": -5, "completion_tokens": "x"}, None),
        ({"prompt_tokens": -5, "completion_tokens": 7}, Tokens(0, 7)),
        ({}, None),
        (None, None),
        ([], None),
    ],
)
def test_cached_input_is_not_counted_twice(usage: Any, tokens: Tokens | None) -> None:
    """OpenAI's input includes what was cached, ours does not; nonsense is no figure."""
    from looop.decide.model_openai import OpenaiWire

    assert OpenaiWire(LOCAL, "k").read({"usage": usage}).tokens == tokens


@needs("openai")
@needs("anthropic")
@pytest.mark.parametrize("answer", [{}, {"choices": [], "content": {}}, {"choices": [1, None], "content": [None, "x"]}])
def test_an_answer_of_any_shape_is_read(answer: dict[str, Any]) -> None:
    """What is missing or of another type reads as nothing."""
    from looop.decide.model_anthropic import AnthropicWire
    from looop.decide.model_openai import OpenaiWire

    for wire in (OpenaiWire(LOCAL, "k"), AnthropicWire(CLAUDE, "k")):
        with pytest.raises(Failed, match="answered nothing"):
            decision_in(wire.read(answer), 10)


@needs("genai_prices")
def test_the_price_list_knows_the_providers_own_models() -> None:
    """With cached input at its lower price; unknown models and other endpoints have none, nor has a priced runner."""
    million = 1_000_000
    for api in (OPENAI, CLAUDE):
        whole = cost_of(api, api.model, Tokens(input=million))
        cached = cost_of(api, api.model, Tokens(cache_read=million))
        assert whole and cached and 0 < cached < whole < 100
        assert cost_of(api, "a-new-name", Tokens(input=million)) == whole
    assert cost_of(OPENAI, OPENAI.model, None) is None
    assert cost_of(LOCAL, LOCAL.model, Tokens(input=1)) is None
    assert cost_of(ModelApi("openai", "gpt-5", OPENAI.base_url, priced=True), "gpt-5", Tokens(input=1)) is None


def test_no_process_but_the_child_loads_an_sdk() -> None:
    """The loop and the decide load no model SDK, and the child's own module loads one only to ask."""
    code = (
        "import looop.pulse.main, looop.decide.decider, looop.decide.model, sys\n"
        "print([name for name in ('anthropic', 'openai', 'genai_prices', 'httpx2', 'pydantic') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_started_by_hand_it_says_who_starts_it() -> None:
    """Without settings, or with others, it ends with one event and no traceback."""
    for argv in ([], ["--settings"], ["--settings", "{"], ["--settings", "{}"], ["--help"]):
        command = [sys.executable, "-m", "looop.decide.model", *argv]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert done.returncode == 1 and done.stderr == ""
        assert "looop starts this program" in json.loads(done.stdout)["error"]
