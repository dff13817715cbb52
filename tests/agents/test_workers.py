"""Real agent CLIs as workers, in terminals of their own, started by the presets, prepared as docs/workers.md says."""

import json
import os
import pty
import re
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from looop.contract.screens import Screens, screenshot, shot
from looop.rules.contract_text import worker_prompt
from tests.agents.cli import unavailable
from tests.agents.endpoint import Endpoint, Seen
from tests.agents.works import CLIS, HOLD, START_S, Work, scenarios
from tests.fakes.sessions import marked
from tests.fakes.waiting import until

pytestmark = [
    pytest.mark.agents,
    pytest.mark.skipif(bool(unavailable()), reason=unavailable()),
    pytest.mark.timeout(120),
]

QUICK = ("claude", "codex", "pi")
MOST = 131_071
KILL_S = 3.0
TASK = """Say 'it' and "that", $HOME `too` \\n — ünï → 日本 👩‍🚀.
\t@README.md
/exit
!ls
# all of it
"""
AT_WORK = {"claude": "until test -e hold", "codex": "Working", "pi": "until test -e hold", "opencode": "until test -e"}
RESIDUE = re.compile(r"\[[?<>=]|\][0-9]+;|\[[0-9;]+[A-Za-z]|[0-9];[0-9]+[A-Za-z]")
SCREEN = b"\x1b[0m"
Make = Callable[..., Work]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with Endpoint(scenarios()) as running:
        yield running


@pytest.fixture
def tag(request: pytest.FixtureRequest) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", request.node.name)


@pytest.fixture
def make(tmp_path: Path, endpoint: Endpoint, tag: str) -> Iterator[Make]:
    """Makes the place of a CLI that plays a scenario; nothing of it outlives the test."""
    made: list[Work] = []

    def build(cli: str, scenario: str, **how: Any) -> Work:
        made.append(Work.make(tmp_path, cli, endpoint.base(scenario, tag), **how))
        return made[-1]

    yield build
    for work in made:
        work.end()


def request(endpoint: Endpoint, tag: str, step: int, seconds: float = 15) -> Seen:
    """The request for that step of the scenario, as soon as it is made."""

    def found() -> list[Seen]:
        return [seen for seen in endpoint.seen(tag) if seen.step == step]

    until(lambda: bool(found()), seconds, f"a request for step {step}")
    return found()[0]


def texts(value: Any) -> Iterator[str]:
    """Every text in a decoded body."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from texts(each)


def holds(seen: Seen, words: str) -> bool:
    """Whether one text of the request has those words in it."""
    return any(words in text for text in texts(seen.body))


@contextmanager
def typing(work: Work) -> Iterator[Callable[[bytes], object]]:
    """`looop attach w --write` on a terminal of its own: what types there. It must detach when it is told to."""
    keys, slave = pty.openpty()
    termios.tcsetwinsize(slave, (40, 120))
    command = [sys.executable, "-m", "looop", "attach", "w", "--write"]
    viewer = subprocess.Popen(command, env=work.env, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    seen = bytearray()
    reader = threading.Thread(target=drain, args=(keys, seen))
    reader.start()
    try:
        until(lambda: SCREEN in seen.partition(b"detaches")[2], 10, "the screen in looop attach")
        yield lambda typed: os.write(keys, typed)
        os.write(keys, b"\x1c\x1c")
        assert viewer.wait(5) == 0
    finally:
        viewer.kill()
        viewer.wait()
        reader.join()
        os.close(keys)


def drain(fd: int, seen: bytearray) -> None:
    """Read until nobody writes any more."""
    with suppress(OSError):
        while data := os.read(fd, 65536):
            seen += data


def is_sane(screen: str) -> bool:
    """It shows something, and nothing that a terminal should have obeyed. claude writes a no-break space."""
    shown = screen.replace("\n", "").replace("\xa0", " ")
    return bool(shown.strip()) and shown.isprintable() and not RESIDUE.search(shown)


def filler(size: int) -> str:
    """So many bytes of lines."""
    return "".join(f"line {number:06} of it\n" for number in range(size // 18 + 1))[:size]


@pytest.mark.parametrize("cli", CLIS)
def test_a_worker_from_end_to_end(cli: str, make: Make, endpoint: Endpoint, tag: str) -> None:
    """Its whole task arrives; at work it can be looked at; it reports, bills, and ends itself; the beat verifies it.

    Nothing of it is left, wherever it put its commands, and its transcript replays as it was seen to come.
    Source: docs/workers.md, spec/workers.md §2, §3.6, §6.
    """
    work = make(cli, "held")
    work.start("w", TASK + filler(95_000), "--verify", 'test "$(cat reports/w.md)" = "w in $PWD"')
    whole = (work.data / "prompts/w.md").read_text()
    assert len(whole) > 95_000
    assert holds(request(endpoint, tag, 0, START_S[cli]), whole.rstrip("\n"))
    work.shows("w", AT_WORK[cli])
    screens, session = Screens(), work.session("w")
    assert is_sane(str(shot(screens.look(session.folder, session.size), "plain").text))
    assert work.row("w")["health"] == "busy"

    (work.data / HOLD).touch()
    session = work.ended("w")
    assert (session.state, session.problem) == ("killed", "")
    until(lambda: work.left() == [] and marked(session.mark) == [], KILL_S, "the end of every process")
    (bill,) = [json.loads(line) for line in (work.data / "cost.jsonl").read_text().splitlines()]
    assert (bill["kind"], bill["id"], bill["goal"], bill["cost_usd"]) == ("worker", "w", "w", 0.42)

    assert work.run("beat").returncode == 0
    assert (work.row("w")["health"], work.row("w")["verify"]) == ("dead", "pass")
    replayed = screenshot(session.folder, session.size)
    assert shot(screens.look(session.folder, session.size), "plain") == replayed
    assert is_sane(str(replayed.text)) and is_sane(work.run("log", "w", "--tail", "40").stdout)


@pytest.mark.parametrize("cli", ("claude", "codex"))
def test_the_longest_task_that_is_an_argument(cli: str, make: Make, endpoint: Endpoint, tag: str) -> None:
    """A prompt of 131,071 bytes is handed over whole. Source: docs/runners.md, spec/edge-cases.md item 99."""
    work = make(cli, "mute")
    work.start("w", of_size(work, MOST))
    whole = (work.data / "prompts/w.md").read_bytes()
    assert len(whole) == MOST
    assert holds(request(endpoint, tag, 0), whole.decode().rstrip("\n"))


@pytest.mark.parametrize("cli", ("claude", "codex", "opencode"))
def test_a_longer_task_is_read_from_its_file(cli: str, make: Make, endpoint: Endpoint, tag: str) -> None:
    """One byte more is no argument any more: the agent is told the file, and may read it, to its last line.

    Source: docs/runners.md, spec/edge-cases.md item 99.
    """
    work = make(cli, "reads")
    work.start("w", of_size(work, MOST + 1, end="\nThe last word is Tintagel."))
    path = work.data / "prompts/w.md"
    assert path.stat().st_size == MOST + 1
    first = request(endpoint, tag, 0, START_S[cli])
    assert holds(first, f"Read all of {path}, in parts, and do what it says.") and not holds(first, "Tintagel")
    assert holds(request(endpoint, tag, 1), "The last word is Tintagel.")


def test_pi_reads_a_long_task_by_itself(make: Make, endpoint: Endpoint, tag: str) -> None:
    """A prompt of 300 KB is in its first request, whole. Source: docs/runners.md, spec/edge-cases.md item 99."""
    work = make("pi", "mute")
    work.start("w", filler(300_000))
    assert holds(request(endpoint, tag, 0), (work.data / "prompts/w.md").read_text().rstrip("\n"))


def of_size(work: Work, size: int, end: str = "") -> str:
    """A task with which the worker's whole prompt has that many bytes."""
    contract = worker_prompt("w", str(work.data), end, runner=work.cli)
    return filler(size - len(contract.encode())) + end


@pytest.mark.parametrize("cli", QUICK)
def test_a_person_types(cli: str, make: Make, endpoint: Endpoint, tag: str) -> None:
    """What `looop send` types is asked of the model, and so is what is typed through `looop attach --write`.

    Source: docs/workers.md, spec/workers.md §3.4, spec/cli.md §10.
    """
    work = make(cli, "talk")
    work.start("w", "Talk to me.")
    work.shows("w", "Here is answer 0.", START_S[cli])
    assert work.run("send", "w", 'And "then", 日本?').returncode == 0
    assert holds(request(endpoint, tag, 1), 'And "then", 日本?')
    work.shows("w", "Here is answer 1.")
    with typing(work) as types:
        types(b"One more, please")
        work.shows("w", "One more, please")
        types(b"\r")
        assert holds(request(endpoint, tag, 2), "One more, please")
    work.shows("w", "Here is answer 2.")
    assert work.session("w").alive


@pytest.mark.parametrize("cli", QUICK)
def test_a_worker_is_ended_from_outside(cli: str, make: Make, endpoint: Endpoint, tag: str) -> None:
    """`looop worker kill` ends it within 3 s, with commands that ignore every signal and went into another session.

    Source: spec/workers.md §3.5, §4.
    """
    work = make(cli, "deaf")
    work.start("w", "Never end.")
    until(lambda: sum(line.startswith("tail\0") for line in work.left()) == 2, START_S[cli], "both its commands")
    began = time.monotonic()
    assert work.run("worker", "kill", "w").returncode == 0
    assert time.monotonic() - began < KILL_S
    session = work.session("w")
    assert session.state == "killed" and marked(session.mark) == []
    until(lambda: work.left() == [], KILL_S - (time.monotonic() - began), "the end of every process")


DIALOGS = {
    "claude-trust": ("claude", ".claude/.claude.json", "projects", "Yes, I trust this folder"),
    "claude-bypass": ("claude", ".claude/settings.json", "skipDangerousModePermissionPrompt", "Yes, I accept"),
    "claude-onboarding": ("claude", ".claude/.claude.json", "hasCompletedOnboarding", "Choose the text style"),
    "codex-model": ("codex", ".codex/config.toml", '"gpt-5.5" = "gpt-6-sol"', "Use existing model"),
}


def forget(work: Work, file: str, what: str) -> None:
    """Undo one answer that the CLI was prepared with."""
    path = work.place.home / file
    if file.endswith(".toml"):
        path.write_text(path.read_text().replace(what, ""))
    else:
        path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != what}))


@pytest.mark.parametrize("name", DIALOGS)
def test_a_dialog_is_seen_and_not_answered(name: str, make: Make, endpoint: Endpoint, tag: str) -> None:
    """A CLI that asks a person shows it on its screen, is stuck once it is silent, and waits: nobody presses Enter.

    Source: docs/workers.md, spec/workers.md §5.
    """
    cli, file, what, words = DIALOGS[name]
    work = make(cli, "report", worker_stuck_secs=1)
    forget(work, file, what)
    work.start("w", "Do it.")
    work.shows("w", words)
    assert is_sane(work.screen("w"))
    until(lambda: work.row("w")["health"] == "stuck", 10, "the worker to be stuck")
    assert work.run("beat").returncode == 0
    assert work.session("w").alive and words in work.screen("w")
    assert [seen for seen in endpoint.seen(tag) if seen.step is not None] == []


def test_a_person_answers_a_dialog(make: Make, endpoint: Endpoint, tag: str) -> None:
    """The answer that somebody gives through `looop attach --write` lets the worker begin. Source: docs/workers.md."""
    work = make("claude", "report", worker_stuck_secs=1)
    forget(work, ".claude/.claude.json", "projects")
    work.start("w", "Do it.")
    work.shows("w", "❯ No, exit")
    until(lambda: work.row("w")["health"] == "stuck", 10, "the worker to be stuck")
    with typing(work) as types:
        types(b"\x1b[B")
        work.shows("w", "❯ Yes, I trust this folder")
        types(b"\r")
        request(endpoint, tag, 0)
    assert work.ended("w").state == "killed"


def test_codex_does_without_a_running_daemon(make: Make, endpoint: Endpoint, tag: str) -> None:
    """Beside a codex that shares its daemon a worker runs its commands itself: as itself, and when that one is ended.

    The daemon ends with the session that started it. Source: docs/workers.md.
    """
    work = make("codex", "held")
    shared = 'codex --dangerously-bypass-approvals-and-sandbox "$(cat {{prompt_file}})"'
    work.start("other", "Do it.", "--command", shared)
    request(endpoint, tag, 0)
    assert any("\0app-server\0" in line for line in work.left())
    work.start("w", "Do it.")
    until(lambda: sum(seen.step == 0 for seen in endpoint.seen(tag)) == 2, 15, "its first request")
    assert work.run("worker", "kill", "other").returncode == 0
    assert not any("\0app-server\0" in line for line in work.left())
    (work.data / HOLD).touch()
    assert work.ended("w").state == "killed"
    assert (work.data / "reports/w.md").read_text() == f"w in {work.data}"
    until(lambda: work.left() == [], KILL_S, "the end of every process")
