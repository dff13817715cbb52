"""Short verbs that are ended from outside take what they started along."""

import signal
from pathlib import Path

import pytest

from tests.fakes.command import Looop
from tests.fakes.waiting import gone, until


@pytest.fixture
def looop(tmp_path: Path) -> Looop:
    """looop over a seeded data dir."""
    return Looop(tmp_path).settle()


def started(looop: Looop) -> int:
    """The pid of what a verb started, once it is known."""
    note = looop.data / "pid"
    until(lambda: note.exists() and note.read_text().endswith("\n"), what="the command")
    return int(note.read_text())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    "words", [("run", "echo $$ > pid; sleep 30"), ("sensor", "run", "slow")], ids=["run", "sensor"]
)
def test_a_verb_that_is_ended_takes_its_command_along(
    looop: Looop, words: tuple[str, ...], number: signal.Signals
) -> None:
    """The command's group dies with the verb, which says nothing and exits as a shell expects.

    Source: spec/cli.md §1, spec/edge-cases.md item 143.
    """
    looop.write("sensors/slow.sh", "#!/bin/sh\necho $$ > pid; sleep 30\n", 0o755)
    process = looop.start(*words)
    pid = started(looop)
    process.send_signal(number)
    _, said = process.communicate(timeout=10)
    assert process.returncode == 128 + number and "Traceback" not in said
    until(lambda: gone(pid), what="the end of the command")


def test_a_run_under_nohup_outlives_its_terminal(looop: Looop) -> None:
    """A hangup that is ignored when looop starts stays ignored."""
    said = looop.in_shell("trap '' HUP; looop run 'kill -HUP $PPID; echo went on'")
    assert said.code == 0 and "went on" in said.out
