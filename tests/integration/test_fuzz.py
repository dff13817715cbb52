"""Whatever comes from a model, a person, a disk or a socket: an error of ours or none, no open guard, no hang."""

import io
import json
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import click
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from looop.__main__ import Loop
from looop.clients.cli.parser import VERBS, looop, parse
from looop.config.file import load_config
from looop.model.decision import parse_decision
from looop.model.errors import Invalid, LooopError
from looop.model.moves import ALL_MOVES
from looop.rules.goals import parse_goal
from looop.rules.world import assemble
from looop.session import wire
from looop.session.client import ask
from looop.state import guards
from tests.crash.operations import KINDS, world
from tests.crash.points import Place
from tests.fakes.disk import QuickDisk
from tests.fakes.sessions import connected, no_one_left, now, start

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

EXAMPLES = int(os.environ.get("LOOOP_FUZZ_EXAMPLES", "50"))
often = settings(deadline=None, max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
HANG_S = 10

plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
DEEP = "[" * 50_000
BOMB = "a: &l0 [x, x]\n" + "".join(f"k{n}: &l{n + 1} [*l{n}, *l{n}]\n" for n in range(24))


class Hang(BaseException):
    """It took too long."""


@contextmanager
def in_time() -> Iterator[None]:
    """Fails what does not come to its end."""

    def ring(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, HANG_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def fields(move: type) -> st.SearchStrategy[dict[str, Any]]:
    """Something like a move of this kind."""
    names = [*move.__struct_fields__, "journal", "next_interval_s", "action"]  # type: ignore[attr-defined]
    tag = {"action": move.__struct_config__.tag}  # type: ignore[attr-defined]
    return st.dictionaries(st.sampled_from(names), values, max_size=6).map(lambda odd: tag | odd)


moves = st.sampled_from(ALL_MOVES).flatmap(fields)
documents = (moves | values).map(json.dumps)
cut = st.tuples(documents, st.integers(0, 60)).map(lambda pair: pair[0][: pair[1]])


@given(documents | cut | st.text(max_size=60) | documents.map(lambda text: f"```json\n{text}\n```"))
@example(DEEP)
@example('{"action": "noop", "reason": "\ud800"}')
@example('{"action": "write_schedule", "name": "x", "in_s": 1e999}')
@example('{"action":' * 5000)
@often
def test_any_text_is_a_decision_or_invalid(text: str) -> None:
    """What a model leaves is a decision, or refused in one line. Source: spec/beat.md §10."""
    with in_time(), suppress(Invalid):
        assert parse_decision(text).move


front = st.dictionaries(st.sampled_from(["done", "reflexes", "goal", "x"]), values, max_size=4).map(json.dumps)
reflexes = st.lists(st.fixed_dictionaries({"when": st.text(max_size=20) | plain, "move": moves}), max_size=3)
whens = reflexes.map(lambda held: json.dumps({"done": "true", "reflexes": held}))
yaml_text = st.text(alphabet="ab:-[]{}&*!|>'\"# \n\t%@?,~<0123.", max_size=60)


@given(front | whens | yaml_text)
@example(BOMB)
@example(DEEP)
@example("{a: " * 5000)
@example("done: !!python/object/apply:os.system [exit]")
@example("a: &a [*a]")
@example("done: 2026-01-01\nx: 0x1_0\ny: .nan\n? [1]\n: 2")
@example("when: " + "(" * 5000)
@example(json.dumps({"done": "(" * 5000}))
@example(json.dumps({"done": "!" * 20000 + "true"}))
@often
def test_any_front_matter_is_a_goal_or_invalid(text: str) -> None:
    """What stands above a goal's prose is understood, or said to be wrong, at once. Source: docs/guide.md."""
    with in_time(), suppress(Invalid):
        parse_goal(f"---\n{text}\n---\nprose\n")


@given(st.lists(st.binary(max_size=40) | values.map(lambda value: json.dumps(value).encode()), max_size=4))
@example([DEEP.encode(), b'{"signal": 1e999}', b'{"signal": ' + b"9" * 5000 + b"}", b"\xff\xfe", b"NaN", b""])
@often
def test_any_snapshots_make_a_world(found: list[bytes]) -> None:
    """Whatever sensors have printed, the world is judged, and twice the same. Source: spec/beat.md §5."""
    snapshots = [(f"s{n}", data, "untrusted") for n, data in enumerate(found)]
    with in_time():
        assert assemble({}, snapshots).hash == assemble({}, snapshots[::-1]).hash  # type: ignore[arg-type]


KEYS = ["tick_command", "worker_command", "runner", "default", "runners", "interval", "max_daily_usd", "cost", "price"]
tables = st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), values, max_size=5)


@given(tables.map(json.dumps) | st.text(max_size=80) | st.sampled_from([DEEP, "a = [" * 3000, '{"a":' * 3000]))
@example('{"runners": {"x": {"provider": "anthropic", "price": {"input": -1}}}, "runner": "x"}')
@often
def test_any_config_is_one_or_said_to_be_none(text: str) -> None:
    """A config file that cannot be used is an error of ours, in TOML and in JSON. Source: spec/cli.md §4."""
    with tempfile.TemporaryDirectory() as folder, in_time():
        for name in ("config.toml", "config.json"):
            path = Path(folder) / name
            path.write_bytes(text.encode("utf-8", "replace"))
            with suppress(LooopError):
                load_config(str(path))


STATE = sorted(
    [value for name, value in vars(guards).items() if name.isupper() and isinstance(value, str)]
    + ["cost.jsonl", "journal.md", ".reflexes.json", ".action-wal.7-x.json", "config.json", "schedules/d.json"]
)
CLOSING = {guards.LAST_HASH, guards.ATTEMPTS, guards.UNMETERED, guards.PARKED, guards.REFLEXES, "cost.jsonl"}
odd_files = st.dictionaries(
    st.sampled_from(STATE), st.none() | st.binary(max_size=40) | values.map(lambda value: json.dumps(value).encode())
)


@given(odd_files)
@example(dict.fromkeys(STATE))
@example(dict.fromkeys(STATE, b""))
@example(dict.fromkeys(STATE, DEEP.encode()))
@example(dict.fromkeys(STATE, b'{"v": 1, "ts": 1e400, "due": 99999999999999999999}'))
@often
def test_a_beat_over_any_state_files(found: dict[str, bytes | None]) -> None:
    """A beat comes to an end over whatever its records hold (None: a folder is in the way), makes one move at most,
    and asks nobody while a guard cannot be read or the ledger is damaged.

    Source: spec/beat.md §0; edge cases 34, 35.
    """
    with tempfile.TemporaryDirectory(prefix="looop-fuzz-") as folder, in_time():
        place = Place(Path(folder) / "data", QuickDisk())
        world(place, KINDS["write_goal"], "runner")
        asked = place.machine.asked
        for name, data in found.items():
            path = place.root / name
            path.unlink(missing_ok=True)
            path.mkdir() if data is None else path.write_bytes(data)
        for _ in range(2):
            place.clock.move(400)
            assert place.home.run_beat().ending in ("decided", "idle", "failed", "blocked")
        assert place.machine.asked - asked <= 2
        if any(found.get(name, b"") is None for name in CLOSING) or is_damaged(found.get("cost.jsonl")):
            assert place.machine.asked == asked, found


def is_damaged(ledger: bytes | None) -> bool:
    """Whether some line of it is no row."""
    return any(line.strip() and b'"ts"' not in line for line in (ledger or b"").split(b"\n"))


frames = st.one_of(
    st.binary(max_size=200),
    st.tuples(st.integers(0, 255), st.binary(max_size=60)).map(lambda pair: wire.frame(*pair)),
    st.tuples(st.integers(0, 255), st.integers(0, 2**32 - 1)).map(lambda p: bytes((p[0],)) + p[1].to_bytes(4, "big")),
)
ops = st.sampled_from(["status", "log", "resize", "attach", "detach", "send", "", "nonsense"])
requests = st.dictionaries(st.sampled_from(["cols", "rows", "tail", "text", "write", "newline"]), values, max_size=3)
lines = st.tuples(ops, requests).map(lambda pair: json.dumps({"op": pair[0]} | pair[1]).encode() + b"\n")


@given(st.lists(frames | lines, max_size=6))
@often
def test_frames_and_requests_are_taken_or_refused(parts: list[bytes]) -> None:
    """However the bytes are cut, what is taken is whole, and the rest is kept or refused.

    Source: spec/workers.md §3.4.
    """
    for take in (wire.take_frame, wire.take_request):
        heard = bytearray()
        with in_time(), suppress(ValueError):
            for byte in b"".join(parts):
                heard.append(byte)
                take(heard)


def test_a_supervisor_withstands_any_client(tmp_path: Path) -> None:
    """Garbage, half requests and floods cost their own connection; the session runs on and answers others.

    Source: spec/workers.md §3.4.
    """
    with no_one_left(tmp_path) as fleet:
        session = start(fleet, "a", "stty -echo; cat > /dev/null")

        @given(st.lists(frames | lines, max_size=6), st.integers(1, 3))
        @example([b'{"op":"attach","write":true}\n', *[wire.frame(wire.INPUT, b"x" * 60_000)] * 5], 3)
        @example([b"{" * (wire.MAX_LINE + 2)], 2)
        @example([b'{"op":"status"}\n' * 20_000], 1)
        @often
        def talks(parts: list[bytes], clients: int) -> None:
            with in_time():
                held = [connected(session) for _ in range(clients)]
                for connection in held:
                    connection.setblocking(False)
                    for part in parts:
                        with suppress(OSError):
                            connection.send(part)
                assert ask(session.socket, {"op": "status"}, 5)["state"] == "running"
                for connection in held:
                    connection.close()

        talks()
        assert now(fleet, "a").alive


WAITS = {"pulse", "wait", "attach", "demo", "notify", "ask", "up", "service", "concierge", "doctor", "beat"}
WORDS = [
    "",
    "-",
    "--",
    "x",
    "w-1",
    "setup",
    "../x",
    "a b",
    "\x1b[31m",
    "ü",
    "\udcff",
    "0",
    "-1",
    "1e999",
    "9" * 30,
    "{",
    "x" * 300,
]


def vocabulary(verb: str) -> list[str]:
    """Words that a verb may or may not know."""
    command = looop.get_command(click.Context(looop), verb)
    assert command is not None
    subs = getattr(command, "list_commands", lambda context: [])(click.Context(command))
    commands = [command, *(command.get_command(click.Context(command), sub) for sub in subs)]  # type: ignore[attr-defined]
    options = sorted({name for each in commands for option in each.params for name in option.opts})
    return [*WORDS, *subs, *options, "--help", "--json"]


def said_with(verb: str) -> list[str]:
    """The verb; one that waits gets a word it does not know."""
    return [verb, *(["--no-such-option"] if verb in WAITS else [])]


def words_of(verb: str) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(vocabulary(verb)), max_size=5).map(lambda words: said_with(verb) + words)


@contextmanager
def scratch() -> Iterator[Path]:
    """A place where nothing of anybody's is."""
    before, here = dict(os.environ), os.getcwd()
    with tempfile.TemporaryDirectory(prefix="looop-fuzz-") as folder:
        keep = {name: value for name, value in before.items() if not name.startswith(("LOOOP_", "XDG_"))}
        home = {"HOME": folder, "LOOOP_DATA_DIR": f"{folder}/data", "PATH": "/usr/bin:/bin", "EDITOR": "true"}
        os.environ.clear()
        os.environ.update(keep | home)
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(here)
            os.environ.clear()
            os.environ.update(before)


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_any_words_end_in_an_answer_or_an_error(verb: str) -> None:
    """Any words behind a verb end with a code, or with an error of ours in one line. Source: spec/cli.md §1."""

    @given(words_of(verb))
    @settings(often, max_examples=max(EXAMPLES // 5, 10))
    def says(words: list[str]) -> None:
        say(words)

    says()


def say(words: list[str]) -> None:
    """Words on the command line, in a place of their own."""
    with scratch(), in_time(), mock.patch("sys.stdin", io.TextIOWrapper(io.BytesIO(b"x\n"))):
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), suppress(LooopError, SystemExit):
            assert parse(words, Loop()) in range(256), words
        assert "Traceback" not in out.getvalue() + err.getvalue()
