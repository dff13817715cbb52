"""Each real agent CLI against the scripted endpoint: it decides, takes a large prompt, and ends when it is told to."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agents.cli import CLIS, LIMIT_S, Place, Running, leftovers, run, start, unavailable
from tests.agents.endpoint import Endpoint
from tests.agents.scenarios import DECISION_TEXT
from tests.fakes.waiting import until

pytestmark = [
    pytest.mark.agents,
    pytest.mark.skipif(bool(unavailable()), reason=unavailable()),
    pytest.mark.timeout(600),
]

SIGNALS = (signal.SIGTERM, signal.SIGKILL)
COMMAND_SURVIVES = {
    ("claude", signal.SIGKILL),
    ("opencode", signal.SIGTERM),
    ("opencode", signal.SIGKILL),
    ("pi", signal.SIGKILL),
}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as running:
        yield running


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Where the CLI runs; whatever it left running ends with the test."""
    made = Place.make(tmp_path / "agent")
    yield made
    for pid in leftovers(made):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def tag(tmp_path: Path) -> str:
    return tmp_path.name


def waiting_for_the_model(cli: str, endpoint: Endpoint, tag: str, place: Place) -> Running:
    """The CLI, started, with a request that is never answered."""
    running = start(cli, endpoint.base("hang", tag), place, "Decide.")
    until(lambda: any(seen.step is not None for seen in endpoint.seen(tag)), LIMIT_S[cli], "a request")
    return running


def in_a_command(cli: str, endpoint: Endpoint, tag: str, place: Place) -> Running:
    """The CLI, started, with the command it was told to run running."""
    running = start(cli, endpoint.base("longcmd", tag), place, "Decide.")
    until(lambda: command_runs(place), LIMIT_S[cli], "the command")
    return running


def command_runs(place: Place) -> bool:
    for pid in leftovers(place):
        try:
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"tail\0"):
                return True
        except OSError:
            continue
    return False


@pytest.mark.parametrize("cli", CLIS)
def test_one_decide(cli, endpoint, tag, place):
    """Two steps of the model: the file is written in the working directory, then the run ends well and alone."""
    ran = run(cli, endpoint.base("decide", tag), place, "Decide.")
    assert (ran.code, ran.late) == (0, False), ran.stderr
    assert place.decision.read_text() == DECISION_TEXT
    assert [seen.step for seen in endpoint.seen(tag) if seen.step is not None] == [0, 1]
    assert all(json.loads(line) for line in ran.stdout.read_text().splitlines())
    assert leftovers(place) == []


@pytest.mark.parametrize("cli", CLIS)
def test_a_large_prompt_arrives_whole(cli, endpoint, tag, place):
    """300 KB on stdin, in one piece and in order."""
    prompt = "\n".join(f"line {number:06} of a long prompt" for number in range(11_000))
    assert len(prompt) > 300_000
    assert run(cli, endpoint.base("decide", tag), place, prompt).code == 0
    first = next(seen for seen in endpoint.seen(tag) if seen.step == 0)
    assert json.dumps(prompt)[1:-1].encode() in first.raw


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("cli", CLIS)
def test_a_signal_to_the_group_ends_a_run_that_waits(cli, number, endpoint, tag, place):
    """While the model is silent, SIGTERM and SIGKILL to the group end the CLI within seconds and leave no process."""
    running = waiting_for_the_model(cli, endpoint, tag, place)
    running.signal(number)
    ran = running.wait(10)
    assert (ran.late, ran.code != 0) == (False, True)
    until(lambda: leftovers(place) == [], 10, "the end of every process")


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("cli", CLIS)
def test_what_becomes_of_a_command_when_the_group_is_signalled(cli, number, endpoint, tag, place):
    """Every CLI starts commands in a group of their own: some outlive it, which a caller has to see to itself."""
    running = in_a_command(cli, endpoint, tag, place)
    running.signal(number)
    assert not running.wait(10).late
    if (cli, number) in COMMAND_SURVIVES:
        assert command_runs(place)
    else:
        until(lambda: leftovers(place) == [], 10, "the end of every process")
