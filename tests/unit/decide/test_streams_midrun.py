"""What a run has used before it is over: a breaker that stops runs, and the row of one that failed, stand on it."""

import json
from pathlib import Path
from typing import Any

import pytest

from looop.decide.stream_rollout import codex_home
from looop.decide.streams import Tokens, reader_for

THREAD = "01a1fdc0-2b4b-7fa1-bc21-c571a8e6a56c"
STARTED = json.dumps({"type": "thread.started", "thread_id": THREAD})


def used(fresh: int, cached: int, output: int) -> dict[str, int]:
    """Usage as codex writes it: its input includes what came from the cache."""
    return {"input_tokens": fresh + cached, "cached_input_tokens": cached, "output_tokens": output}


def record(usage: Any) -> str:
    """The line that follows each answer of the model."""
    payload = {"thread_id": THREAD, "usage": {"input_tokens": 1}, "thread_token_usage": usage}
    return json.dumps({"type": "token_usage_record", "payload": payload}) + "\n"


def count(usage: Any) -> str:
    """The line that follows each tool call."""
    return json.dumps({"type": "event_msg", "payload": {"type": "token_count", "info": {"total_token_usage": usage}}})


@pytest.fixture
def rollout(tmp_path: Path) -> Path:
    """The session file of the thread, among older ones."""
    for day in ("2026/11/20", "2026/11/21"):
        (tmp_path / ".codex/sessions" / day).mkdir(parents=True)
    (tmp_path / ".codex/sessions/2026/11/21/rollout-2026-11-21T09-00-00-other.jsonl").write_text(record(used(9, 9, 9)))
    return tmp_path / f".codex/sessions/2026/11/21/rollout-2026-11-21T10-56-32-{THREAD}.jsonl"


def test_codex_is_metered_while_it_runs(rollout: Path, tmp_path: Path) -> None:
    """By its session file, which the stream does not replace but may correct. Source: design §6."""
    reader = reader_for("codex", "codex exec --json -", {"HOME": str(tmp_path)})
    reader.feed(STARTED)
    assert reader.usage.tokens is None
    rollout.write_text(json.dumps({"type": "turn_context", "payload": {"model": "gpt-5.5"}}) + "\n")
    with rollout.open("a") as file:
        file.write(record(used(1000, 200, 50)))
        file.flush()
        assert reader.usage.tokens == Tokens(1000, 50, 200)
        line = count(used(1300, 1300, 70))
        file.write(line[:40])
        file.flush()
        assert reader.usage.tokens == Tokens(1000, 50, 200), "half a line says nothing yet"
        file.write(line[40:] + "\n")
    assert (reader.usage.tokens, reader.usage.model) == (Tokens(1300, 70, 1300), "gpt-5.5")
    reader.feed(json.dumps({"type": "turn.completed", "usage": used(1400, 1300, 80)}))
    assert reader.usage.tokens == Tokens(1400, 80, 1300)


@pytest.mark.parametrize("junk", ["not json", "[]", '{"type":"event_msg","payload":7}', "\0\xff", record("x")[:-1]])
def test_a_session_file_may_hold_anything(rollout: Path, tmp_path: Path, junk: str) -> None:
    """What cannot be read there is passed over. Source: Note [What a line may be]."""
    rollout.write_text(f"token_usage {junk}\n{junk}\n" + record(used(1, 2, 3)))
    reader = reader_for("codex", "codex exec --json -", {"HOME": str(tmp_path)})
    reader.feed(STARTED)
    assert reader.usage.tokens == Tokens(1, 3, 2)


@pytest.mark.parametrize("spoil", ["unlink", "folder", "no home"])
def test_without_a_session_file_the_stream_stands_alone(rollout: Path, tmp_path: Path, spoil: str) -> None:
    """No file, a folder in its place, no home to look in: no figure until the end of the turn, and no error."""
    if spoil == "folder":
        rollout.mkdir()
    reader = reader_for("codex", "codex exec --json -", {} if spoil == "no home" else {"HOME": str(tmp_path)})
    reader.feed(STARTED)
    assert reader.usage.tokens is None
    reader.feed(json.dumps({"type": "turn.completed", "usage": used(1, 2, 3)}))
    assert reader.usage.tokens == Tokens(1, 3, 2)


@pytest.mark.parametrize(
    ("command", "env", "home"),
    [
        ("codex exec --json", {"HOME": "/h"}, "/h/.codex"),
        ("codex exec --json", {"HOME": "/h", "CODEX_HOME": "/c"}, "/c"),
        ("CODEX_HOME=/own codex exec --json", {"HOME": "/h", "CODEX_HOME": "/c"}, "/own"),
        ("env CODEX_HOME=$HOME/x codex exec --json", {"HOME": "/h"}, "/h/x"),
        ("CODEX_HOME=~/x codex exec --json", {"HOME": "/h"}, "/h/x"),
        ("codex exec --json", {}, ""),
    ],
)
def test_where_codex_keeps_its_sessions(command: str, env: dict[str, str], home: str) -> None:
    """In the command line's own CODEX_HOME, else the environment's, else ~/.codex, as codex itself looks."""
    assert codex_home(command.split(), env) == home


def test_claude_with_partial_messages_tells_its_true_output() -> None:
    """The end of a message replaces the estimate at its start, and is not counted beside it.

    Source: Note [What claude counts].
    """
    reader = reader_for("claude", "claude -p --output-format stream-json --include-partial-messages")
    first = {"input_tokens": 1000, "cache_read_input_tokens": 200, "output_tokens": 1}
    message = {"id": "msg_1", "usage": first, "content": []}
    reader.feed(json.dumps({"type": "stream_event", "event": {"type": "message_start", "message": message}}))
    assert reader.usage.tokens == Tokens(1000, 1, 200), "before a word of it came"
    reader.feed(json.dumps({"type": "assistant", "message": message}))
    assert reader.usage.tokens == Tokens(1000, 1, 200)
    end = {"type": "message_delta", "usage": first | {"output_tokens": 50}}
    reader.feed(json.dumps({"type": "stream_event", "event": end, "api_message_id": "msg_1"}))
    assert reader.usage.tokens == Tokens(1000, 50, 200)
    reader.feed(json.dumps({"type": "stream_event", "event": end}))
    assert reader.usage.tokens == Tokens(1000, 50, 200), "of no known message"
