"""`looop wait` beside a real pulse: what ends it, how fast, and what does not."""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.command import Looop
from tests.fakes.waiting import until, watches

AT_ONCE_S = 1.0
READY_S = 0.5


class Waiting:
    """A `looop wait --json` that runs beside the test."""

    def __init__(self, looop: Looop, *flags: str) -> None:
        self.process = looop.start("wait", "--json", *flags, env={"LOOOP_WAIT_POLL_MS": "200"})
        until(lambda: not Path("/proc/self").exists() or watches(self.process.pid), what="the watch on the data dir")
        time.sleep(READY_S)

    def ends(self) -> tuple[int, list[str], float, dict[str, Any]]:
        """Exit code, what changed, seconds it took from now, the state."""
        began = time.monotonic()
        out, err = self.process.communicate(timeout=10)
        took = time.monotonic() - began
        assert "Traceback" not in err
        state = json.loads(out)
        return self.process.returncode, state["changed"], took, state

    def goes_on(self, seconds: float = 0.6) -> None:
        """It is still waiting after so many seconds."""
        try:
            out, _ = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            return
        raise AssertionError(f"ended by {json.loads(out)['changed']}: {out}")


@pytest.fixture
def looop(tmp_path: Path) -> Looop:
    """looop over a seeded data dir without a pending question."""
    return Looop(tmp_path).settle()


@pytest.fixture
def pulse(looop: Looop) -> Iterator["subprocess.Popen[str]"]:
    """A real pulse that has made its first beat and sleeps."""
    process = looop.start("pulse", env={"LOOOP_INTERVAL": "600"})
    until((looop.data / "journal.md").exists, what="the first beat")
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def waiting(looop: Looop, pulse: object) -> Iterator[Callable[..., Waiting]]:
    """Starts waits, and ends those that are left."""
    started: list[Waiting] = []

    def start(*flags: str) -> Waiting:
        started.append(Waiting(looop, *flags))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.communicate()


@pytest.mark.parametrize("flags", [(), ("--actionable",), ("--only-asks",), ("--actionable", "--only-asks")])
def test_a_pending_question_ends_it_at_once(looop: Looop, flags: tuple[str, ...]) -> None:
    """A question that is pending ends every wait at once, pulse or not, with exit code 0.

    Source: spec/cli.md §2 wait 1.
    """
    looop.write("asks/q.json", '{"id": "q", "worker": "w", "prompt": "?", "ts": 1}')
    said = looop("wait", "--json", *flags)
    assert (said.code, said.err) == (0, "")
    assert said.json["changed"] == ["asks"]
    assert said.json["asks"][0]["id"] == "q"


@pytest.mark.parametrize("flags", [(), ("--actionable",), ("--only-asks",), ("--json",)])
def test_without_a_pulse(looop: Looop, flags: tuple[str, ...]) -> None:
    """Without a pulse every wait ends at once with exit code 2, and the state is printed.

    Source: spec/edge-cases.md items 209, 231; spec/cli.md §2 wait 4.
    """
    said = looop("wait", *flags)
    assert (said.code, said.err) == (2, "")
    if "--json" in flags:
        assert (said.json["changed"], said.json["pulse_alive"]) == (["pulse-down"], False)
    else:
        assert said.out.startswith("changed: pulse-down\npulse: DOWN")


CHANGES: list[tuple[str, str, str]] = [
    ("goals", "goals/new.md", "wanted\n"),
    ("goals", "goals/setup.md", "edited\n"),
    ("playbook", "PLAYBOOK.md", "judge anew\n"),
    ("snapshots", "snapshots/sensor-today.json", '{"date": "2001-01-01"}'),
    ("snapshots", "snapshots/sensor-odd.json", "not JSON at all"),
]


@pytest.mark.parametrize(("kind", "path", "text"), CHANGES, ids=[path for _, path, _ in CHANGES])
def test_a_change_ends_it(looop: Looop, waiting: Callable[..., Waiting], kind: str, path: str, text: str) -> None:
    """An edited goal or PLAYBOOK and a new reading end the wait at once; a reading need not be JSON.

    Source: spec/cli.md §2 wait 3; spec/edge-cases.md items 230, 232; design §3 row 6.
    """
    wait = waiting()
    looop.write(path, text)
    code, changed, took, state = wait.ends()
    assert (code, kind in changed) == (0, True)
    assert "pulse-down" not in changed
    assert state["pulse_alive"] is True
    assert took < AT_ONCE_S


def test_a_journal_line_ends_it(looop: Looop, waiting: Callable[..., Waiting]) -> None:
    """A journal line ends a wait for anything and one for what is actionable, not one for questions.

    Source: spec/cli.md §2 wait 3.
    """
    anything, actionable, asks = waiting(), waiting("--actionable"), waiting("--only-asks")
    assert looop("schedule", "write", "s", "--in", "1d").code == 0
    assert "journal" in anything.ends()[1]
    assert "journal" in actionable.ends()[1]
    asks.goes_on()
    looop.write("asks/q.json", '{"id": "q", "worker": "w", "prompt": "?", "ts": 1}')
    code, changed, took, _ = asks.ends()
    assert (code, changed) == (0, ["asks"])
    assert took < AT_ONCE_S


def test_a_reading_is_not_actionable(looop: Looop, waiting: Callable[..., Waiting]) -> None:
    """A reading does not end a wait for what is actionable; when it ends later, the reading is named, too.

    Source: spec/cli.md §2 wait 3, all changed categories, sorted.
    """
    wait = waiting("--actionable")
    looop.write("snapshots/sensor-odd.json", "1")
    wait.goes_on()
    with (looop.data / "journal.md").open("a") as journal:
        journal.write("- a line of a person\n")
    assert wait.ends()[1] == ["journal", "snapshots"]


def test_detail_does_not_end_it(looop: Looop, waiting: Callable[..., Waiting]) -> None:
    """A reading whose signal stays, and files that are none of ours, do not end a wait.

    Source: spec/cli.md §2 wait 3, wake signals.
    """
    looop.write("snapshots/sensor-d.json", '{"signal": 1, "detail": 1}')
    wait = waiting()
    looop.write("snapshots/sensor-d.json", '{"signal": 1, "detail": 2}')
    looop.write("notes.txt", "mine")
    looop.write("goals/.setup.md.swp", "an editor's")
    wait.goes_on()


def test_a_file_that_is_being_written(looop: Looop, waiting: Callable[..., Waiting]) -> None:
    """An editor that empties a file and fills it again with the same does not end a wait.

    Source: spec/cli.md §2 wait 3; design §3 row 6.
    """
    wait = waiting()
    text = looop.read("goals/setup.md")
    with (looop.data / "goals/setup.md").open("w") as goal:
        goal.flush()
        time.sleep(0.01)
        goal.write(text)
    wait.goes_on()


def test_a_pulse_that_is_killed(waiting: Callable[..., Waiting], pulse: "subprocess.Popen[str]") -> None:
    """A pulse that dies by kill -9 ends a wait with exit code 2 and the state.

    Source: spec/cli.md §2 wait 4; spec/users.md, a dead pulse is visible everywhere.
    """
    wait = waiting("--only-asks")
    pulse.send_signal(signal.SIGKILL)
    code, changed, took, state = wait.ends()
    assert (code, changed, state["pulse_alive"]) == (2, ["pulse-down"], False)
    assert took < 2


def test_it_ends_with_ctrl_c(waiting: Callable[..., Waiting]) -> None:
    """Ctrl-C ends a wait with exit code 130, without a word.

    Source: spec/cli.md §1 exit codes.
    """
    wait = waiting()
    wait.process.send_signal(signal.SIGINT)
    out, err = wait.process.communicate(timeout=5)
    assert (wait.process.returncode, out, err.strip()) == (130, "", "")


def test_a_held_question_does_not_end_it(looop: Looop, waiting: Callable[..., Waiting]) -> None:
    """With the cursor of the last wait a question that is still pending ends nothing; the next one does, at once.

    Source: spec/edge-cases.md item 209.
    """
    looop.write("asks/q-1.json", '{"id": "q-1", "worker": "q", "prompt": "?", "ts": 1}')
    first = looop("wait", "--json", "--only-asks", "--new-asks", "").json
    assert (first["changed"], first["new_asks"], first["cursor"]) == (["asks"], ["q-1"], "q-1")
    held = [waiting("--only-asks", "--new-asks", since) for since in (first["cursor"], "now", "2")]
    held[0].goes_on()
    looop.write("asks/q-2.json", '{"id": "q-2", "worker": "q", "prompt": "?", "ts": 2}')
    for wait in held:
        code, changed, took, state = wait.ends()
        assert (code, changed, state["new_asks"], state["cursor"]) == (0, ["asks"], ["q-2"], "q-1,q-2")
        assert took < AT_ONCE_S


def test_a_dead_pulse_ends_it_whatever_is_held(looop: Looop) -> None:
    """Held questions do not hide that no pulse runs. Source: spec/edge-cases.md items 209, 231."""
    looop.write("asks/q-1.json", '{"id": "q-1", "worker": "q", "prompt": "?", "ts": 1}')
    said = looop("wait", "--json", "--new-asks", "now")
    assert (said.code, said.json["changed"], said.json["new_asks"]) == (2, ["pulse-down"], [])


@pytest.mark.parametrize("since", ["../q-1", "q-1,,q-2", "an hour ago", "\x1b[31m"])
def test_what_is_no_moment_is_refused(looop: Looop, since: str) -> None:
    """What names neither questions nor a moment is one line on stderr that says what would."""
    said = looop("wait", "--new-asks", since)
    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert "a cursor of `looop wait --json`, `now`, or a UTC second" in said.err


@pytest.mark.usefixtures("pulse")
def test_a_wait_with_a_limit(looop: Looop) -> None:
    """When its time is up a wait ends with exit code 0, prints the state, and names nothing that changed."""
    said = looop("wait", "--json", "--only-asks", "--timeout", "1")
    assert (said.code, said.err, said.json["changed"], said.json["new_asks"]) == (0, "", [], [])
    assert looop("wait", "--only-asks", "--timeout", "0").out.startswith("changed: nothing\npulse: live")
    assert "is not a duration" in looop("wait", "--timeout", "soon").err
