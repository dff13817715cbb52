"""What the readers of the agent CLIs' output tell, from recordings of the real ones and from hostile input."""

import json
import os
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from looop.decide.stream_base import KEEP, Verdict
from looop.decide.stream_limit import limit_reached, parked_until
from looop.decide.streams import Reader, metered, reader_for
from looop.model.usage import CostSpec, Tokens, Usage

RECORDED = os.path.join(os.path.dirname(__file__), "..", "..", "data", "streams-recorded")
COMMANDS = {
    "claude": "claude -p --output-format stream-json --verbose",
    "codex": "codex exec --json -",
    "opencode": "opencode run --format json",
    "pi": "pi -p --mode json",
    "plain": "./decide.sh",
}
DECIDED = "Decision written: continue."
STRUCTURED = {"action": "continue", "reason": "scripted", "next_prompt": "Run the tests."}
SCHEMA_TEXT = '{"action": "continue", "reason": "scripted", "next_prompt": "Run the tests."}'
CUT = "Cannot connect to API: The socket connection was closed unexpectedly."
MALFORMED = "API Error: API returned an empty or malformed response (HTTP 200)"


def reader(cli: str) -> Reader:
    """A fresh reader of that CLI's JSON output."""
    return reader_for(cli, COMMANDS[cli])


def feed(cli: str, *events: Any) -> Reader:
    """A reader that has been fed these events."""
    fed = reader(cli)
    for event in events:
        fed.feed(event if isinstance(event, str | bytes) else json.dumps(event))
    return fed


def recorded(name: str) -> list[bytes]:
    """The lines of one recording."""
    with open(os.path.join(RECORDED, f"{name}.jsonl"), "rb") as file:
        return file.readlines()


def replay(name: str) -> tuple[Reader, list[str]]:
    """A reader fed with one recording, and what a person saw."""
    fed = reader(name.partition("-")[0])
    return fed, [shown for line in recorded(name) for shown in fed.feed(line)]


def turns(count: int, output: int = 50) -> Tokens:
    """The scripted endpoint charges 1000 fresh, 200 cached and 50 output tokens a turn."""
    return Tokens(1000 * count, output * count, 200 * count, 0)


NONE = Tokens()

# recording, final text, tokens, USD, beginning of the error, end mark seen
CLAUDE = [
    ("decide", DECIDED, turns(2), 0.00504, "", True),
    ("bash2", "Both commands ran.", turns(3), 0.00756, "", True),
    ("bashfail", "The command failed with 3.", turns(2), 0.00504, "", True),
    ("think", "Thought and done.", turns(1), 0.00252, "", True),
    ("longcmd", "Ticks done.", turns(2), 0.00504, "", True),
    ("schema", SCHEMA_TEXT.replace(": ", ":").replace(", ", ","), turns(1), 0.00252, "", True),
    ("outputformat-json", DECIDED, turns(2), 0.00504, "", True),
    ("err401", "Invalid API key", NONE, 0.0, "Invalid API key · Fix external API key", True),
    ("err429", "API Error", NONE, 0.0, "API Error: Request rejected (429)", True),
    ("err500", "API Error", NONE, 0.0, "API Error: 500 internal error (scripted).", True),
    ("empty", MALFORMED, NONE, 0.0, MALFORMED, True),
    ("reset", "API Error", NONE, 0.0, "API Error: Connection dropped (ECONNRESET).", True),
    ("toolong", "Prompt is too long", NONE, 0.0, "Prompt is too long", True),
    ("truncate", "This text is cut in the mid of the stream.", Tokens(2000, 58, 400, 0), 0.00462, "", True),
    ("midstream_error", "Half of the text is here.", Tokens(2000, 51, 400, 0), 0.00252, "", True),
    ("garbage", "x", turns(1), 0.00252, "", True),
    ("hang", "", None, None, "", False),
]
CODEX = [
    ("decide", DECIDED, turns(2), None, "", True),
    ("unknown_model", DECIDED, turns(2), None, "", True),
    ("bash2", "Both commands ran.", turns(3), None, "", True),
    ("bashfail", "The command failed with 3.", turns(2), None, "", True),
    ("think", "Thought and done.", turns(1), None, "", True),
    ("schema", SCHEMA_TEXT, turns(1), None, "", True),
    ("err400", "", None, None, '{"error":{"message":"scripted 400"', True),
    ("err429", "", None, None, "exceeded retry limit, last status: 429 Too Many Requests", True),
    ("err500", "", None, None, "We’re currently experiencing high demand", True),
    ("empty", "", None, None, "stream disconnected before completion: stream closed", True),
    ("truncate", "", None, None, "stream disconnected before completion: Transport error", True),
    ("hang", "", None, None, "", False),
]
OPENCODE = [
    ("decide", DECIDED, turns(2), 0.00762, "", True),
    ("bash2", "Both commands ran.", turns(3), 0.01143, "", True),
    ("bashfail", "The command failed with 3.", turns(2), 0.00762, "", True),
    ("think", "Thought and done.", turns(1), 0.00381, "", True),
    ("flaky500", "Recovered after a retry.", turns(1), 0.00381, "", True),
    ("err400", "", None, None, "scripted 400", True),
    ("err429", "", None, None, "rate limited (scripted)", True),
    ("garbage", "", None, None, "JSON parsing failed", True),
    ("midstream_error", "", None, None, '{"message":"Overloaded (scripted, mid-stream)"', True),
    ("reset", "", None, None, CUT, True),
    ("toolong", "", None, None, "prompt is too long: 250000 tokens", True),
    ("truncate", "", None, None, CUT, True),
    ("empty", "", NONE, 0.0, "", False),
]
PI = [
    ("decide", DECIDED, turns(2), 0.00762, "", True),
    ("bash2", "Both commands ran.", turns(3), 0.01143, "", True),
    ("bashfail", "The command failed with 3.", turns(2), 0.00762, "", True),
    ("think", "Thought and done.", turns(1), 0.00381, "", True),
    ("err429", "", NONE, 0.0, '429: {"message":"rate limited (scripted)"', True),
    ("hang", "", NONE, 0.0, "Request timed out.", True),
    ("midstream_error", "Half of the text is here", NONE, 0.0, "Overloaded (scripted, mid-stream)", True),
]
CASES = [
    (f"{cli}-{case[0]}", *case[1:])
    for cli, cases in (("claude", CLAUDE), ("codex", CODEX), ("opencode", OPENCODE), ("pi", PI))
    for case in cases
]


@pytest.mark.parametrize(("name", "text", "tokens", "cost", "error", "ended"), CASES, ids=[case[0] for case in CASES])
def test_a_recording_is_told(
    name: str, text: str, tokens: Tokens | None, cost: float | None, error: str, ended: bool
) -> None:
    """Final text, tokens, cost, error and end are what the CLI said. Source: edge case 53, measured streams §3.2."""
    fed, _ = replay(name)
    verdict = fed.verdict()
    assert verdict.text.startswith(text) if error else verdict.text == text
    assert fed.usage.tokens == tokens
    assert fed.usage.cost_usd == (cost if cost is None else pytest.approx(cost))
    assert verdict.error.startswith(error) if error else verdict.error == ""
    assert verdict.ended is ended
    assert verdict.limit == ""


def test_every_recording_is_used() -> None:
    """No recording lies about untested."""
    assert {f"{case[0]}.jsonl" for case in CASES} == set(os.listdir(RECORDED))


@pytest.mark.parametrize(
    ("name", "session", "model"),
    [
        ("claude-decide", "f19053b4-d5fd-4882-9b2d-cf74cd0c7cbc", "claude-sonnet-5-5"),
        ("claude-outputformat-json", "d2ef456e-9490-4a69-a1a9-51249a086938", "claude-sonnet-5-5"),
        ("claude-err401", "1190ce04-4b71-4bf5-9148-732c922d0cc6", "claude-sonnet-5-5"),
        ("codex-decide", "01a1f79c-c422-71f0-ba1a-a8170d7edd6f", None),
        ("opencode-decide", "ses_e08633345ffepyYv1dB5u4Oxuu", None),
        ("pi-decide", "01a1f79c-f09b-72a6-95fe-75c83d157bda", "scripted-model"),
    ],
)
def test_session_and_model(name: str, session: str, model: str | None) -> None:
    """The session can be resumed, the model is the one that answered. Source: measured streams §3.2."""
    fed, _ = replay(name)
    assert (fed.verdict().session, fed.usage.model) == (session, model)


def test_structured_output() -> None:
    """The structured answer of claude is kept as JSON text; no other run has one. Source: measured streams §3.1."""
    assert json.loads(replay("claude-schema")[0].verdict().structured or "") == STRUCTURED
    assert replay("claude-decide")[0].verdict().structured is None
    huge = {"type": "result", "structured_output": "x" * (KEEP + 1)}
    assert feed("claude", huge).verdict().structured is None


# ---- rendering


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (
            "claude-decide",
            ["  Write: /rec/here/.decision.json", "\nDecision written: continue.", "  done (0.1s · $0.0050)"],
        ),
        (
            "claude-err500",
            ["\nAPI Error: 500 internal error (scripted).", "  failed (success · 0."],
        ),
        (
            "codex-bashfail",
            [
                "  command: /bin/bash -lc 'echo to-stderr >&2; exit 3'",
                "  command failed",
                "\nThe command failed with 3.",
            ],
        ),
        ("codex-err429", [f"  error: Reconnecting... {n}/5 (exceeded" for n in range(1, 6)] + ["  error: exceeded"]),
        ("opencode-bashfail", ["  bash: echo to-stderr >&2; exit 3", "  bash failed", "\nThe command failed with 3."]),
        ("opencode-decide", ["  write: /rec/here/.decision.json", "\nDecision written: continue."]),
        ("opencode-err400", ["  error: scripted 400"]),
        ("pi-decide", ["  write: /rec/here/.decision.json", "\nDecision written: continue."]),
        ("pi-bashfail", ["  bash: echo to-stderr >&2; exit 3", "  bash failed", "\nThe command failed with 3."]),
        ("pi-err429", []),
    ],
)
def test_what_a_person_sees_of_a_recording(name: str, shown: list[str]) -> None:
    """Tool lines, failures, text and the last line, in order, without colour. Source: spec/beat.md §9.2."""
    lines = replay(name)[1]
    assert len(lines) == len(shown)
    assert all(line.startswith(begin) for line, begin in zip(lines, shown, strict=True))


def tool_use(**given: Any) -> dict[str, Any]:
    """A claude event with one tool call."""
    return {"type": "assistant", "message": {"content": [{"type": "tool_use", **given}]}}


@pytest.mark.parametrize(
    ("cli", "event", "shown"),
    [
        ("claude", tool_use(name="T", input={"file_path": "f", "path": "p", "command": "c"}), ["  T: c"]),
        ("claude", tool_use(name="T", input={"file_path": "f", "path": "p"}), ["  T: p"]),
        ("claude", tool_use(name="T", input={"file_path": "f", "command": 7}), ["  T: f"]),
        ("claude", tool_use(name="T", input={"command": " a\n\t b "}), ["  T: a b"]),
        ("claude", tool_use(name="T", input={"a": ["b", 1, "é"]}), ['  T: {"a":["b",1,"é"]}']),
        ("claude", tool_use(name="T", input={"command": "x" * 5000}), ["  T: " + "x" * 5000]),
        ("claude", tool_use(name="T", input={}), ["  T: {}"]),
        ("claude", tool_use(name="T"), ["  T"]),
        ("claude", tool_use(), ["  ?"]),
        (
            "claude",
            {
                "type": "assistant",
                "message": {
                    "content": [
                        {"type": "text", "text": "one "},
                        {"type": "tool_use", "name": "T", "input": "i"},
                        {"type": "text", "text": "two"},
                    ]
                },
            },
            ['  T: "i"', "\none two"],
        ),
        ("claude", {"type": "result", "duration_ms": 12345, "total_cost_usd": 0.0421}, ["  done (12.3s · $0.0421)"]),
        ("claude", {"type": "result", "duration_ms": 12345}, ["  done (12.3s)"]),
        ("claude", {"type": "result", "total_cost_usd": 1}, ["  done ($1.0000)"]),
        ("claude", {"type": "result"}, []),
        ("claude", {"type": "result", "duration_ms": -1, "total_cost_usd": -1}, []),
        ("claude", {"type": "result", "subtype": "error_max_turns"}, ["  failed (error_max_turns)"]),
        ("claude", {"type": "result", "subtype": "success", "is_error": True}, ["  failed (success)"]),
        ("claude", {"type": "result", "is_error": True, "duration_ms": 50}, ["  failed (0.1s)"]),
        ("claude", {"type": "result", "is_error": True}, ["  failed"]),
        ("claude", {"type": "result", "is_error": "no", "duration_ms": 50}, ["  done (0.1s)"]),
        ("claude", {"type": "system", "subtype": "init"}, []),
        ("claude", {"type": "user", "message": {"content": [{"type": "text", "text": "no"}]}}, []),
        ("codex", {"type": "item.started", "item": {"type": "command_execution", "command": "ls"}}, ["  command: ls"]),
        ("codex", {"type": "item.started", "item": {"type": "agent_message", "text": "x"}}, []),
        (
            "codex",
            {"type": "item.completed", "item": {"type": "command_execution", "exit_code": -1}},
            ["  command failed"],
        ),
        ("codex", {"type": "item.completed", "item": {"type": "command_execution", "exit_code": None}}, []),
        ("codex", {"type": "item.completed", "item": {"type": "command_execution", "exit_code": 0}}, []),
        ("codex", {"type": "item.completed", "item": {"type": "error", "message": "metadata"}}, []),
        ("codex", {"type": "item.completed", "item": {"type": "agent_message", "text": ""}}, []),
        ("codex", {"type": "error", "message": ""}, []),
        (
            "opencode",
            {"type": "tool_use", "part": {"tool": "t", "state": {"status": "error", "input": {"path": "p"}}}},
            ["  t: p", "  t failed"],
        ),
        ("pi", {"type": "tool_execution_end", "toolName": "bash", "isError": False}, []),
        ("pi", {"type": "tool_execution_end", "toolName": "bash", "isError": "yes"}, []),
        ("pi", {"type": "message_end", "message": {"role": "user", "content": [{"type": "text", "text": "x"}]}}, []),
        ("pi", {"type": "message_end", "message": {"role": "assistant", "content": []}}, []),
        ("pi", {"type": "nonsense"}, []),
        ("pi", {"no": "type"}, []),
        ("pi", [1, 2], []),
        ("pi", 42, []),
        ("pi", "not JSON: é", ["not JSON: é"]),
        ("pi", "a warning \r\n", ["a warning "]),
        ("pi", b"\xff half\n", ["� half"]),
        ("pi", "", []),
        ("pi", "\r\n", []),
        ("plain", '{"type":"result"}\n', ['{"type":"result"}']),
        ("plain", b"\xff\r\n", ["�"]),
        ("plain", "\n", []),
    ],
)
def test_what_a_person_sees_of_a_line(cli: str, event: Any, shown: list[str]) -> None:
    """Each shape of the table, and what is of no shape at all. Source: edge case 105, spec/beat.md §9.2."""
    line = event if isinstance(event, str | bytes) else json.dumps(event)
    assert reader(cli).feed(line) == shown


# ---- usage during the run


def assistant(message: str, parent: str | None = None, **usage: Any) -> dict[str, Any]:
    """A claude message with its usage."""
    return {
        "type": "assistant",
        "parent_tool_use_id": parent,
        "message": {"id": message, "model": "m", "content": [], "usage": usage},
    }


def test_claude_counts_while_it_runs() -> None:
    """Each message counts once however many blocks it has; the result has the last word. Source: design §6."""
    running, seen = reader("claude"), []
    for line in recorded("claude-bash2"):
        running.feed(line)
        seen.append(running.usage.tokens)
    one, two, three = (Tokens(1000 * n, n, 200 * n, 0) for n in (1, 2, 3))
    assert seen == [None, one, one, one, two, two, two, three, turns(3)]
    assert replay("claude-bash2")[0].usage.cost_usd == pytest.approx(0.00756)


def test_claude_messages_interleave() -> None:
    """Blocks of a subagent's message between those of the main one do not make either count twice. Design §6."""
    fed = feed(
        "claude",
        assistant("a", input_tokens=10, output_tokens=1),
        assistant("b", "toolu_1", input_tokens=5, cache_creation_input_tokens=3),
        assistant("a", input_tokens=10, output_tokens=7),
        assistant("b", "toolu_1", input_tokens=5, cache_creation_input_tokens=3),
    )
    assert fed.usage == Usage(Tokens(15, 7, 0, 3), None, "m")


def test_claude_results_of_one_process() -> None:
    """Total cost is cumulative, usage is per result; a resumed session's past is not ours. Source: edge case 54."""
    first = {"type": "result", "total_cost_usd": 1.0, "usage": {"input_tokens": 10}}
    second = {"type": "result", "total_cost_usd": 1.5, "usage": {"input_tokens": 5}}
    assert feed("claude", first, second).usage == Usage(Tokens(15), 1.5, None)
    delta = {"m": {"costUSD": 0.25, "inputTokens": 7}, "n": {"costUSD": 0.5, "outputTokens": 2}}
    resumed = {**first, "total_cost_usd": 9.0, "model_usage_since_last_result": delta}
    assert feed("claude", resumed).usage == Usage(Tokens(10, 2), 0.75, None)
    assert feed("claude", resumed, resumed).usage == Usage(Tokens(20, 4), 1.5, None)
    nothing = {**first, "model_usage_since_last_result": {}}
    assert feed("claude", nothing).usage.cost_usd == 0.0
    assert feed("claude", resumed, nothing).usage.cost_usd == 0.75
    broken = {**first, "model_usage_since_last_result": {"m": {"costUSD": -1}}}
    assert feed("claude", broken).usage.cost_usd == 1.0


def test_claude_messages_and_results_do_not_add_up() -> None:
    """A result covers the messages before it, and states no less than they did. Source: design §6."""
    message = assistant("a", input_tokens=10, output_tokens=1)
    result = {"type": "result", "usage": {"input_tokens": 10, "output_tokens": 9}}
    assert feed("claude", message, result).usage.tokens == Tokens(10, 9)
    assert feed("claude", message, result, message).usage.tokens == Tokens(20, 10)
    other = assistant("b", input_tokens=10, output_tokens=1)
    assert feed("claude", message, result, other).usage.tokens == Tokens(20, 10)
    assert feed("claude", message, result, other, result).usage.tokens == Tokens(20, 18)
    assert feed("claude", message, {"type": "result", "usage": {"input_tokens": 0}}).usage.tokens == Tokens(10, 1)
    assert feed("claude", message, {"type": "result"}).usage.tokens == Tokens(10, 1)


def test_claude_s_own_words_are_no_model_s() -> None:
    """An error that claude words itself names no model; what a subagent says is not the answer. Streams §3.3."""
    own = {"type": "assistant", "message": {"model": "<synthetic>", "content": [{"type": "text", "text": "no"}]}}
    sub = {**own, "parent_tool_use_id": "toolu_1", "message": {"content": [{"type": "text", "text": "sub"}]}}
    fed = feed("claude", own, sub)
    assert (fed.usage.model, fed.verdict().text) == (None, "no")


def test_codex_is_cumulative_over_a_thread() -> None:
    """The last figure stands, it is not added; cached and written input is not fresh input. Measured streams §3.2."""
    usage = {"input_tokens": 1200, "cached_input_tokens": 200, "cache_write_input_tokens": 100, "output_tokens": 50}
    once = {"type": "turn.completed", "usage": usage}
    twice = {"type": "turn.completed", "usage": {name: 2 * count for name, count in usage.items()}}
    assert feed("codex", once, twice).usage == Usage(Tokens(1800, 100, 400, 200), None, None)
    odd = {"type": "turn.completed", "usage": {"input_tokens": 5, "cached_input_tokens": 9}}
    assert feed("codex", odd).usage.tokens == Tokens(0, 0, 9, 0)


def test_opencode_output_includes_reasoning() -> None:
    """opencode counts reasoning beside output, the others within. Source: design §6."""
    tokens = {"input": 1, "output": 2, "reasoning": 30, "cache": {"read": 4, "write": 5}}
    step = {"type": "step_finish", "part": {"reason": "stop", "tokens": tokens, "cost": 0.5}}
    assert feed("opencode", step, step).usage == Usage(Tokens(2, 64, 8, 10), 1.0, None)


def pi_message(**given: Any) -> dict[str, Any]:
    """A pi event that ends an assistant's message."""
    return {"type": "message_end", "message": {"role": "assistant", **given}}


BAD_FIGURES = ["-1", "-0.5", "NaN", "Infinity", "-Infinity", "1e999", "1e300", "true", '"1"', "null", "[]", "{}"]


@pytest.mark.parametrize("figure", [*BAD_FIGURES, "9" * 40])
def test_what_is_no_figure(figure: str) -> None:
    """Negative, infinite, absurd and wrongly typed figures are not figures: unmetered. Source: design §6."""
    lines = {
        "claude": f'{{"type":"result","total_cost_usd":{figure},"usage":{{"input_tokens":{figure}}}}}',
        "codex": f'{{"type":"turn.completed","usage":{{"input_tokens":{figure},"output_tokens":{figure}}}}}',
        "opencode": f'{{"type":"step_finish","part":{{"reason":"stop","cost":{figure},'
        f'"tokens":{{"input":{figure}}}}}}}',
        "pi": f'{{"type":"message_end","message":{{"role":"assistant","usage":'
        f'{{"input":{figure},"cost":{{"total":{figure}}}}}}}}}',
    }
    for cli, line in lines.items():
        fed = feed(cli, line)
        assert fed.usage == Usage(None, None, None), cli
        assert fed.verdict().ended is (cli != "pi")


def test_a_bad_figure_takes_nothing_away() -> None:
    """What was metered before stays metered. Source: design §6."""
    good = pi_message(usage={"input": 1, "cost": {"total": 0.5}})
    bad = pi_message(usage={"input": -5, "cost": {"total": -1}})
    assert feed("pi", good, bad).usage == Usage(Tokens(1), 0.5, None)
    assert feed("pi", pi_message(usage={"input": 2e3})).usage.tokens == Tokens(2000)
    big = pi_message(usage={"cost": {"total": 1e9}})
    assert feed("pi", *[big] * 50).usage.cost_usd == 5e10


# ---- the end


def denial(name: Any) -> dict[str, Any]:
    """One refused tool call as claude lists it."""
    return {"tool_name": name, "tool_use_id": "t", "tool_input": {}}


def test_claude_says_what_was_denied() -> None:
    """Refused tools are named, once each; they alone are no error, since the run may have decided. Streams §3.3."""
    denied = [denial("Write"), denial("Bash"), denial("Write"), denial(7), "x"]
    verdict = feed("claude", {"type": "result", "result": "ok", "permission_denials": denied}).verdict()
    assert verdict == Verdict(ended=True, text="ok", denied=("Write", "Bash"))
    many = {"type": "result", "permission_denials": [denial(f"tool{n}") for n in range(999)]}
    assert len(feed("claude", many).verdict().denied) == 20


@pytest.mark.parametrize(
    ("result", "error"),
    [
        ({"subtype": "error_max_turns"}, "error_max_turns"),
        ({"subtype": "error_during_execution", "errors": ["a", 7, "b"]}, "a; b"),
        ({"is_error": True, "subtype": "success", "result": "why"}, "why"),
        ({"is_error": True, "subtype": "success"}, "success"),
        ({"is_error": True}, "the run failed without saying why"),
        ({"is_error": False, "subtype": "success", "result": "fine"}, ""),
    ],
)
def test_claude_errors(result: dict[str, Any], error: str) -> None:
    """`is_error` or a subtype that begins with error; the text says why. Source: measured streams §3.3."""
    assert feed("claude", {"type": "result", **result}).verdict().error == error


def test_a_run_that_was_cut() -> None:
    """Without its end mark no stream has ended, and what was said last is kept. Source: measured streams §3.2."""
    text = {"type": "text", "text": "half"}
    message = {"id": "a", "content": [text]}
    assert feed("claude", {"type": "assistant", "message": message}).verdict() == Verdict(text="half")
    reconnecting = {"type": "error", "message": "Reconnecting... 1/5"}
    assert feed("codex", reconnecting).verdict() == Verdict(error="Reconnecting... 1/5")
    assert feed("codex", reconnecting, {"type": "turn.completed"}).verdict() == Verdict(ended=True)
    assert feed("codex", reconnecting, {"type": "turn.failed"}).verdict().error == "Reconnecting... 1/5"
    assert feed("codex", {"type": "turn.failed"}).verdict().error == "the turn failed without saying why"
    assert not feed("codex", {"type": "turn.completed"}, {"type": "turn.started"}).verdict().ended
    step = {"type": "step_finish", "part": {"reason": "tool-calls"}}
    assert not feed("opencode", step).verdict().ended
    stop = {"type": "step_finish", "part": {"reason": "stop"}}
    assert not feed("opencode", stop, {"type": "step_start"}).verdict().ended
    assert not feed("pi", pi_message(content=[text])).verdict().ended


def test_pi_ends_and_begins_again() -> None:
    """An end that will be retried is none; the last one counts, in old versions too. Source: measured streams §3.2."""
    failed = pi_message(stopReason="error", errorMessage="overloaded", content=[])
    good = pi_message(stopReason="stop", content=[{"type": "text", "text": "done"}])
    end, start = {"type": "agent_end", "messages": []}, {"type": "agent_start"}
    assert not feed("pi", failed, {**end, "willRetry": True}).verdict().ended
    assert not feed("pi", failed, end, start).verdict().ended
    assert feed("pi", failed, end).verdict() == Verdict(ended=True, error="overloaded")
    assert feed("pi", failed, end, start, good, end).verdict() == Verdict(ended=True, text="done")
    assert feed("pi", good, {"type": "agent_settled"}).verdict().ended
    aborted = pi_message(stopReason="aborted", content=[])
    assert feed("pi", aborted, end).verdict().error == "aborted"


def test_plain_text_is_its_tail() -> None:
    """Every line passes, the end of all is the final text, and EOF is the end. Source: spec/beat.md §9.2."""
    fed = reader("plain")
    assert fed.feed("first\n") + fed.feed("last") == ["first", "last"]
    assert fed.verdict() == Verdict(ended=True, text="first\nlast")
    assert fed.usage == Usage(None, None, None)
    for number in range(60_000):
        fed.feed(f"line {number}")
    text = fed.verdict().text
    assert KEEP - 20 < len(text) <= KEEP and text.startswith("line ")
    assert text.endswith("line 59998\nline 59999")
    fed.feed("x" * KEEP)
    assert fed.verdict().text == ""


@pytest.mark.parametrize("cli", ["claude", "codex", "opencode", "pi"])
def test_the_final_text_is_bounded(cli: str) -> None:
    """Of an endless answer the end is kept, of an endless error the beginning. Source: spec/beat.md §9.2."""
    long = "x" * KEEP + "end"
    texts: dict[str, dict[str, Any]] = {
        "claude": {"type": "result", "result": long},
        "codex": {"type": "item.completed", "item": {"type": "agent_message", "text": long}},
        "opencode": {"type": "text", "part": {"text": long}},
        "pi": pi_message(content=[{"type": "text", "text": long}]),
    }
    text = feed(cli, texts[cli]).verdict().text
    assert len(text) == KEEP
    assert text.endswith("xend")
    errors: dict[str, dict[str, Any]] = {
        "claude": {"type": "result", "is_error": True, "result": "begin" + long},
        "codex": {"type": "turn.failed", "error": {"message": "begin" + long}},
        "opencode": {"type": "error", "error": {"data": {"message": "begin" + long}}},
        "pi": pi_message(stopReason="error", errorMessage="begin" + long),
    }
    error = feed(cli, errors[cli]).verdict().error
    assert error.startswith("beginx")
    assert len(error) < 10_000


# ---- usage limits

NOW = 1_795_176_000  # 2026-11-20 12:00:00 UTC, a Friday
HOUR, DAY = 3600, 86400


@pytest.mark.parametrize(
    ("text", "offset_s", "seconds"),
    [
        (f"Claude AI usage limit reached|{NOW + 5}", 0, 5),
        (f"Claude AI usage limit reached|{NOW + 5}000", 0, 5),
        ("You've hit your limit · resets 3pm (Europe/Berlin)", 0, 3 * HOUR),
        ("You've hit your limit · resets 3pm (Europe/Berlin)", HOUR, 2 * HOUR),
        ("You've hit your limit · resets 3pm (UTC)", HOUR, 3 * HOUR),
        ("You've hit your session limit · resets 2:30pm (Pacific/Auckland)", 0, 2 * HOUR + 1800),
        ("5-hour limit reached ∙ resets 3am", 0, 15 * HOUR),
        ("Weekly limit reached · resets 12am (Asia/Seoul) · /upgrade to Max", 0, 12 * HOUR),
        ("Claude usage limit reached. Your limit will reset at 1\u202fPM (Etc/GMT+5).", 0, HOUR),
        ("You've hit your weekly limit · resets Nov 22, 5pm (Europe/Berlin)", 0, 2 * DAY + 5 * HOUR),
        ("You've hit your weekly limit · resets Dec 3 at 5am", 0, 13 * DAY - 7 * HOUR),
        ("You're out of extra usage · resets 15:30", 0, 3 * HOUR + 1800),
        ("You've hit your usage limit. Try again in 3 days 4 hours 12 minutes.", 7, 3 * DAY + 4 * HOUR + 720),
        (
            "You've hit your usage limit. Upgrade to Pro (https://openai.com) or try again in 5 minutes.",
            0,
            300,
        ),
        ("You've hit your usage limit. Try again in less than a minute.", 0, 60),
        ("You've hit your usage limit. Visit x, or try again at Dec 5th, 2026 8:19 PM.", 0, 15 * DAY + 29940),
        ("You've hit your usage limit. Try again at Nov 20, 2026, 1:38 PM.", 0, HOUR + 38 * 60),
        ("You've hit your usage limit, try again at 3:05 PM.", 0, 3 * HOUR + 300),
        ("You have hit your ChatGPT usage limit (plus plan). Try again in ~123 min.", 0, 123 * 60),
        ("Quota exceeded. Your quota will reset after 3h20m5s.", 0, 3 * HOUR + 1205),
        (f'{{"type":"usage_limit_reached","message":"m","resets_at":{NOW + 9},"x":1}}', 0, 9),
        ('{"type":"usage_limit_reached","resets_in_seconds":13872}', 0, 13872),
    ],
)
def test_when_a_limit_ends(text: str, offset_s: int, seconds: int) -> None:
    """The time that a CLI prints with its limit, in the wordings seen. Source: claude-code, codex and pi issues."""
    assert limit_reached(text)
    assert parked_until(text, NOW, offset_s) == NOW + seconds


def test_when_a_limit_ends_next_year() -> None:
    """A date without a year that has passed is next year's. Source: claude-code issues."""
    december = NOW + 40 * DAY
    assert parked_until("You've hit your limit · resets Jan 2, 12pm", december, 0) == december + 3 * DAY


@pytest.mark.parametrize(
    "text",
    [
        "",
        "API Error: Request rejected (429) · rate limited (scripted)",
        "exceeded retry limit, last status: 429 Too Many Requests",
        "Rate limit reached for gpt-5. Please try again in 11.054s.",
        "Reset the sensor at 3pm",
        "the meeting resets 3pm",
        "context limit reached, resets 3pm",
        "x" * 5000 + "usage limit reached, resets 3pm",
    ],
)
def test_what_is_no_limit(text: str) -> None:
    """A burst limit and a talk of times are no usage limit. Source: measured streams §3.3."""
    assert not limit_reached(text)
    assert parked_until(text, NOW, 0) is None


@pytest.mark.parametrize(
    "text",
    [
        "usage limit reached",
        "usage limit reached|",
        f"usage limit reached|{NOW}",
        f"usage limit reached|{NOW - 100}",
        f"usage limit reached|{NOW + 400 * DAY}",
        "usage limit reached|99999999999999999999",
        "usage limit reached, resets 13pm",
        "usage limit reached, resets 0am",
        "usage limit reached, resets 25:00",
        "usage limit reached, resets 3:75pm",
        "usage limit reached, resets 3",
        "usage limit reached, resets Nov 31, 5pm",
        "usage limit reached, resets Feb 30, 2027, 5pm",
        "usage limit reached, resets Nov 99, 5pm",
        "usage limit reached, resets Nov 20, 2025, 5pm",
        "usage limit reached, resets Nov 20, 9999, 5pm",
        "usage limit reached, resets 11:58am",
        "usage limit reached, try again in 0 minutes",
        "usage limit reached, try again in " + "9" * 400 + " days",
        "usage limit reached, try again in 400 days",
        "usage limit reached, try again in some time",
        "usage limit reached " + " " * 5000 + "resets 3pm",
    ],
)
def test_a_limit_without_a_time_to_believe(text: str) -> None:
    """No time, an impossible one, one just passed or one too far off: nobody is parked. Source: edge cases."""
    assert limit_reached(text)
    assert parked_until(text, NOW, 0) is None


@given(st.text(), st.integers(0, 2**33), st.integers(-DAY, DAY))
def test_parking_never_raises_and_never_ends_in_the_past(noise: str, now: int, offset_s: int) -> None:
    """Whatever the text says, the time is ahead and within five weeks. Source: design §6."""
    for text in (noise, f"usage limit reached, resets {noise}", f"usage limit reached, try again in {noise}"):
        until = parked_until(text, now, offset_s)
        assert until is None or now < until <= now + 35 * DAY


@pytest.mark.timeout(5)
@pytest.mark.parametrize(
    "piece", ["hit your ", "resets ", "try again in 1 ", "1 day ", "Nov 1 ", "resets Nov 1, 1", "(("]
)
def test_parking_is_quick(piece: str) -> None:
    """No text keeps the parser busy. Source: edge cases."""
    assert (parked_until("usage limit reached, try again in " + piece * 200_000, NOW, 0) or NOW) >= NOW


def test_limits_in_the_streams() -> None:
    """Each CLI's own way to say that a limit was reached ends as a message that can be parsed. Source: issues."""
    said = "You've hit your usage limit. Try again in 2 hours."
    body = '{"error":{"type":"usage_limit_reached","resets_in_seconds":7200}}'
    streams: dict[str, list[Any]] = {
        "claude": [
            {"type": "rate_limit_event", "rate_limit_info": {"status": "rejected", "resetsAt": NOW + 2 * HOUR}},
            {"type": "result", "is_error": True, "result": "You've hit your limit · resets 9pm (Asia/Tokyo)"},
        ],
        "codex": [{"type": "error", "message": said}, {"type": "turn.failed", "error": {"message": said}}],
        "opencode": [
            {"type": "error", "error": {"data": {"message": "Too Many", "responseBody": body + "x" * 10_000}}},
        ],
        "pi": [pi_message(stopReason="error", errorMessage=f"Codex error: {body}"), {"type": "agent_end"}],
        "plain": ["working", said, ""],
    }
    for cli, events in streams.items():
        limit = feed(cli, *events).verdict().limit
        assert parked_until(limit, NOW, 0) == NOW + 2 * HOUR, cli
        assert len(limit) < 10_000


def test_what_is_no_limit_in_the_streams() -> None:
    """Who talks of limits has reached none; who was refused and yet succeeded neither. Source: design §6."""
    rejected = {"type": "rate_limit_event", "rate_limit_info": {"status": "rejected", "resetsAt": NOW + 5}}
    allowed = {"type": "rate_limit_event", "rate_limit_info": {"status": "allowed", "resetsAt": NOW + 5}}
    talk = {"type": "result", "result": f"The log says: usage limit reached|{NOW + 5}, resets 3pm. I fixed it."}
    burst = {"type": "result", "is_error": True, "result": "API Error: 529 Overloaded"}
    assert feed("claude", rejected, talk).verdict().limit == ""
    assert feed("claude", allowed, burst).verdict().limit == ""
    assert feed("claude", rejected, allowed, burst).verdict().limit == ""
    assert feed("plain", "usage limit reached, resets 3pm", "I fixed it.").verdict().limit == ""
    old = {"type": "result", "is_error": False, "result": f"Claude AI usage limit reached|{NOW + 5}"}
    assert parked_until(feed("claude", old).verdict().limit, NOW, 0) == NOW + 5


# ---- which reader


@pytest.mark.parametrize(
    ("name", "command", "cli"),
    [
        ("claude", "claude -p --output-format stream-json --verbose", "claude"),
        ("x", "claude -p --output-format=stream-json", "claude"),
        ("x", "claude -p --output-format json", "claude"),
        ("x", "FOO=1 IS_SANDBOX=1 /opt/bin/claude -p --output-format stream-json<prompt.md", "claude"),
        ("x", "cd /srv && timeout 60 claude --output-format stream-json -p | tee log", "claude"),
        ("x", "npx -y @anthropic-ai/claude-code -p --output-format stream-json", "claude"),
        ("x", 'bash -lc "cd /srv; claude -p --output-format stream-json"', "claude"),
        ("x", "notes 'claude --output-format stream-json'", "plain"),
        ("x", "claude --json", "plain"),
        ("claude", "./mine --output-format stream-json | claude -p", "plain"),
        ("x", "./mine --output-format stream-json | claude -p", "plain"),
        ("x", "claude -p --append-system-prompt a#b --output-format stream-json", "claude"),
        ("claude", "claude -p --dangerously-skip-permissions", "plain"),
        ("claude", "claude -p 'use --output-format stream-json'", "plain"),
        ("codex", "codex exec --json -", "codex"),
        ("x", "codex --model m e --experimental-json -", "codex"),
        ("x", "npx @openai/codex@0.169.0 exec --json -", "codex"),
        ("codex", "codex exec -", "plain"),
        ("opencode", "opencode run --format json", "opencode"),
        ("opencode", "opencode run --format=json", "opencode"),
        ("opencode", "opencode run", "plain"),
        ("opencode", "opencode run --format default", "plain"),
        ("pi", "pi -p --mode json --model m/n", "pi"),
        ("pi", "pi -p --mode=json @{{prompt_file}}", "pi"),
        ("pi", "pi -p", "plain"),
        ("x", "cd /home/pi && codex exec --json -", "codex"),
        ("x", "/home/pi/decide --mode fast", "plain"),
        ("claude", "./wrapper.sh --output-format stream-json", "claude"),
        ("mine", "./wrapper.sh --output-format stream-json", "plain"),
        ("claude", "./wrapper.sh", "plain"),
        ("x", "it's claude --output-format stream-json", "claude"),
        ("x", "jq --mode json", "plain"),
        ("x", "", "plain"),
        ("", "\ud800 pi --mode json \x00", "pi"),
        ("x", "claude --output-format", "plain"),
    ],
)
def test_which_reader(name: str, command: str, cli: str) -> None:
    """The program and its JSON flag choose; a wrapper script is told by the runner's name. Spec/beat.md §9.2."""
    assert type(reader_for(name, command)) is type(reader(cli))


# ---- the cost that a config declares


def spent(cost: Any, *lines: str) -> float | None:
    """What a plain runner with this cost spec has spent after these lines."""
    fed = metered(reader("plain"), CostSpec(**cost))
    for line in lines:
        fed.feed(line)
    return fed.usage.cost_usd


FIGURES = ['{"type":"usage","a":{"b":[0,1.5]}}', '{"type":"usage","a":{"b":[0,0.25]}}', '{"type":"x","a":{"b":[0,9]}}']


@pytest.mark.parametrize(
    ("mode", "usd"),
    [({}, 1.75), ({"mode": "sum"}, 1.75), ({"mode": "last"}, 0.25), ({"mode": "total"}, 0.25), ({"mode": "max"}, 1.5)],
)
def test_a_declared_cost(mode: dict[str, str], usd: float) -> None:
    """Sum of the figures (the default), the last or the largest; `total` is the old word for last. §9.3."""
    assert spent({"type": "usage", "pointer": "/a/b/1", **mode}, *FIGURES) == usd


@pytest.mark.parametrize(
    ("pointer", "line", "usd"),
    [
        ("/a~1b/~0c", '{"type":"t","a/b":{"~c":2}}', 2.0),
        ("/~01", '{"type":"t","~1":2}', 2.0),
        ("/", '{"type":"t","":2}', 2.0),
        ("", '{"type":"t"}', None),
        ("/a/-", '{"type":"t","a":[1]}', None),
        ("/a/01", '{"type":"t","a":[1,2]}', None),
        ("/a/9", '{"type":"t","a":[1]}', None),
        ("/a/٠", '{"type":"t","a":[1]}', None),
        ("/a/0", '{"type":"t","a":{"0":3}}', 3.0),
        ("/a", '{"type":"t","a":-3}', None),
        ("/a", '{"type":"t","a":"3"}', None),
        ("/a", '{"type":"t","a":true}', None),
        ("/a", '{"type":"t","a":1e999}', None),
        ("/a", '{"type":"t","a":NaN}', None),
        ("/a", '{"type":"t"}', None),
        ("/a/b", '{"type":"t","a":7}', None),
        ("/a", "junk", None),
        ("/a", "[]", None),
    ],
)
def test_a_pointer(pointer: str, line: str, usd: float | None) -> None:
    """A JSON pointer into lines of the type; what is not there or no figure is unmetered. Source: RFC 6901, §9.3."""
    assert spent({"type": "t", "pointer": pointer}, line) == usd


def test_a_declared_cost_replaces_the_reader_s_own() -> None:
    """The built-in figure counts no more; all else passes through. Source: spec/beat.md §9.3."""
    cost = {"type": "result", "pointer": "/usage/input_tokens", "mode": "last"}
    fed = metered(reader("claude"), CostSpec(**cost))
    shown = [line for raw in recorded("claude-decide") for line in fed.feed(raw)]
    plain, plain_shown = replay("claude-decide")
    assert fed.usage == Usage(plain.usage.tokens, 2000.0, plain.usage.model)
    assert (fed.verdict(), shown) == (plain.verdict(), plain_shown)
    silent = metered(reader("claude"), CostSpec("none", "/x"))
    silent.feed('{"type":"result","total_cost_usd":1}')
    assert silent.usage.cost_usd is None


# ---- hostile input

JUNK = [
    b"",
    b"\x00\x01\xff",
    b"[" * 100_000,
    b'{"type":' + b"[" * 100_000,
    b'{"type":"result","x":' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}",
    b'{"type":"assistant","message":{"content":[{"type":"tool_use","name":"T","input":'
    + b"[" * 950
    + b"]" * 950
    + b"}]}}",
    b'{"type":"result","x":' + b"9" * 5000 + b"}",
    b'{"type":{}}',
    b'{"type":["result"]}',
    b'{"type":null}',
    b'{"type":"result"} trailing',
    b'{"type":"result"',
    b"x" * 1_000_000,
    '{"type":"result","result":"\ud800"}',
    "\udcff",
]


@pytest.mark.parametrize("cli", COMMANDS)
def test_junk_never_raises(cli: str) -> None:
    """Junk, nesting, endless numbers and cut lines are shown or dropped, never an error. Source: edge case 94."""
    fed = feed(cli, *JUNK)
    for line in [*fed.feed("after"), fed.verdict().text, fed.verdict().error]:
        line.encode()
    assert fed.usage == Usage(None, None, None)


@pytest.mark.parametrize("cli", ["claude", "codex", "opencode", "pi"])
def test_half_a_character_hides_no_line(cli: str) -> None:
    """JavaScript cuts text between the halves of a character; such a line is still read. Source: edge case 94."""
    lines = {
        "claude": r'{"type":"result","result":"a\ud83d"}',
        "codex": r'{"type":"item.completed","item":{"type":"agent_message","text":"a\ud83d"}}',
        "opencode": r'{"type":"text","part":{"text":"a\ud83d"}}',
        "pi": r'{"type":"message_end","message":{"role":"assistant","content":[{"type":"text","text":"a\ud83d"}]}}',
    }
    assert feed(cli, lines[cli]).verdict().text == "a?"


def test_arguments_that_are_hard_to_write() -> None:
    """A tool line shows half characters and any depth of nesting without harm. Source: edge case 94, §9.2."""
    start = '{"type":"tool_execution_start","toolName":"T","args":'
    assert reader("pi").feed(start + r'["\ud83d",NaN]}') == ['  T: ["?",NaN]']
    shown = [reader("pi").feed(start + "[" * depth + "]" * depth + "}")[0] for depth in range(1, 1100)]
    assert shown[0] == "  T: []"
    assert all(line.startswith(("  T: ", start)) for line in shown)


KEYS = [
    *("type", "subtype", "message", "content", "usage", "item", "part", "error", "data", "tokens", "cache", "cost"),
    *("total", "input", "text", "name", "id", "role", "result", "is_error", "model", "input_tokens", "output_tokens"),
    *("total_cost_usd", "permission_denials", "model_usage_since_last_result", "modelUsage", "costUSD", "stopReason"),
    *("errorMessage", "reason", "state", "rate_limit_info", "resetsAt", "status", "structured_output", "errors"),
]
TYPES = [
    *("system", "assistant", "user", "result", "rate_limit_event", "thread.started", "turn.started", "turn.completed"),
    *("turn.failed", "item.started", "item.completed", "error", "step_start", "step_finish", "text", "tool_use"),
    *("session", "agent_start", "agent_end", "agent_settled", "message_end", "tool_execution_start"),
    *("tool_execution_end", "command_execution", "agent_message"),
]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["\ud800", "assistant", "error", "rejected", "stop", *TYPES])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=12,
)
EVENTS = st.builds(
    lambda kind, body: json.dumps({**body, "type": kind}),
    st.sampled_from(TYPES),
    st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=8),
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(COMMANDS)), st.lists(EVENTS | st.text() | st.binary(), max_size=6))
def test_whatever_comes_is_read(cli: str, lines: list[str | bytes]) -> None:
    """Nothing raises, figures are finite and never fall, and all that is told can be written. §9.2, design §6."""
    fed = metered(reader(cli), CostSpec("result", "/usage/cost") if len(lines) % 2 else None)
    cost, tokens = 0.0, [0, 0, 0, 0]
    for line in lines:
        for shown in fed.feed(line):
            shown.encode()
        usage = fed.usage
        now = usage.tokens or Tokens()
        counts = [now.input, now.output, now.cache_read, now.cache_write]
        assert all(later >= earlier for earlier, later in zip(tokens, counts, strict=True))
        assert (usage.cost_usd or 0.0) >= (0 if cli == "claude" else cost)
        assert (usage.cost_usd or 0.0) < float("inf")
        cost, tokens = usage.cost_usd or 0.0, counts
    verdict = fed.verdict()
    json.dumps([verdict.error, verdict.text, verdict.session, verdict.limit, *verdict.denied]).encode()
    "".join([verdict.error, verdict.text, verdict.session or "", verdict.limit, fed.usage.model or ""]).encode()


# ---- memory


def old_pi(deltas: int) -> Iterator[bytes]:
    """The stream of pi 0.74 on a long answer: each delta repeats the whole message twice."""
    yield b'{"type":"session","id":"s"}\n'
    text = ""
    for number in range(deltas):
        text += f"{number % 10_000:>11} "
        message = {"role": "assistant", "content": [{"type": "text", "text": text}]}
        update = {"type": "message_update", "message": message, "assistantMessageEvent": {"partial": message}}
        yield json.dumps(update).encode() + b"\n"
    usage = {"input": 7, "output": 8, "cost": {"total": 0.5}}
    end = {"role": "assistant", "content": [{"type": "text", "text": text}], "usage": usage, "stopReason": "stop"}
    yield json.dumps({"type": "message_end", "message": end}).encode() + b"\n"
    yield json.dumps({"type": "agent_end", "messages": [end]}).encode() + b"\n"


def endless_claude(messages: int) -> Iterator[bytes]:
    """A claude run of very many messages, with a bash output in each."""
    for number in range(messages):
        yield json.dumps(assistant(f"{number:0>250}", input_tokens=1)).encode()
        yield json.dumps({"type": "user", "message": {"content": "y" * 500}}).encode()


def peak_and_size(fed: Reader, lines: Iterator[bytes]) -> tuple[int, int]:
    """The most memory held at any time while reading, in bytes, and the size of the stream."""
    size = 0
    tracemalloc.start()
    try:
        for line in lines:
            size += len(line)
            fed.feed(line)
        return tracemalloc.get_traced_memory()[1], size
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("cli", "lines", "least", "tokens"),
    [
        ("pi", lambda: old_pi(1690), 34_000_000, Tokens(7, 8)),
        ("claude", lambda: endless_claude(15_000), 8_000_000, Tokens(15_000)),
        ("plain", lambda: (b"z" * 500 for _ in range(40_000)), 19_000_000, None),
    ],
    ids=["pi", "claude", "plain"],
)
def test_a_stream_is_not_kept(cli: str, lines: Callable[[], Iterator[bytes]], least: int, tokens: Any) -> None:
    """A stream of 35 MB is read in less than 5 MB of memory. Source: measured streams §3.2, pi before 0.87."""
    fed = reader(cli)
    peak, size = peak_and_size(fed, lines())
    assert size > least
    assert peak < 5_000_000
    assert fed.usage.tokens == tokens
