"""What a run has started is found and killed wherever it went, when the run is ended by force."""

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from looop.runtime import children
from looop.runtime.command import Command
from looop.runtime.proc import Processes
from looop.runtime.stop import StopFlag
from looop.session.kin import MARK, kill_kin, marked
from tests.fakes.waiting import gone, until

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="this system shows no environments")
ENV = {"PATH": os.environ["PATH"]}
LEAVES = "setsid sh -c 'echo $$ > {pid}; exec sleep 60' & until [ -s {pid} ]; do sleep 0.01; done; echo ready; "


@pytest.fixture
def stop() -> Iterator[StopFlag]:
    flag = StopFlag()
    yield flag
    flag.close()


def leaving(folder: Path, then: str, **options: int) -> Command:
    """A command that starts a process in a session of its own, says so, and does `then`."""
    script = LEAVES.format(pid=folder / "pid") + then
    return Command(argv=("sh", "-c", script), cwd=str(folder), env=ENV, **options)  # type: ignore[arg-type]


def pid_in(folder: Path) -> int:
    return int((folder / "pid").read_text())


def test_a_deadline_takes_what_left_the_group(tmp_path: Path) -> None:
    """An agent CLI that gives its commands a session of their own leaves none behind. Source: design §6."""
    ended = Processes().run(leaving(tmp_path, "sleep 60", deadline_s=1))
    assert ended.timed_out
    until(lambda: gone(pid_in(tmp_path)), what="the end of what left")


def test_a_stop_takes_what_left_the_group(tmp_path: Path, stop: StopFlag) -> None:
    """So does a stop. Source: spec/edge-cases.md item 143."""
    Processes(stop).run(leaving(tmp_path, "sleep 60"), on_output=lambda _: stop.request())
    until(lambda: gone(pid_in(tmp_path)), what="the end of what left")


def test_an_exception_takes_what_left_the_group(tmp_path: Path) -> None:
    """And so does a listener that has seen enough. Source: design §6."""

    def refuse(_: bytes) -> None:
        raise ValueError

    with pytest.raises(ValueError):
        Processes().run(leaving(tmp_path, "sleep 60"), on_output=refuse)
    until(lambda: gone(pid_in(tmp_path)), what="the end of what left")


def test_a_run_that_ends_by_itself_leaves_its_background_alone(tmp_path: Path) -> None:
    """What a command detaches on purpose is its own business. Source: spec/beat.md §3."""
    assert Processes().run(leaving(tmp_path, "exit 0", deadline_s=30)).code == 0
    pid = pid_in(tmp_path)
    assert not gone(pid)
    os.kill(pid, 9)


def test_a_run_inside_a_run_is_kin_of_both() -> None:
    """Each mark finds it, and no part of a mark does."""
    env = marked(marked(ENV, "outer"), "inner")
    for mark, found in (("inne", False), ("", False), ("inner", True)):
        sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], env=env)
        kill_kin(mark)
        assert (sleeper.poll() is None and not found) or sleeper.wait(10) == -9
        sleeper.kill()
        sleeper.wait()
    assert env[MARK] == ":outer:inner"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Popen misses its child
def test_a_signal_between_start_and_entry_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler may raise at any line; a child that nobody knows yet is found by its mark. Source: design §2."""

    def interrupted(_pid: int) -> int:
        until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").stat().st_size > 0, what="the child")
        raise KeyboardInterrupt

    monkeypatch.setattr(children, "_open_exit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Processes().run(Command(argv=("sh", "-c", "echo $$ > pid; sleep 60"), cwd=str(tmp_path), env=ENV))
    until(lambda: gone(pid_in(tmp_path)), what="the end of the child")
    os.waitpid(pid_in(tmp_path), 0)
    gc.collect()


def test_nobody_kills_itself_or_those_it_came_from() -> None:
    """A loop that was started from inside a run carries that run's mark, and must outlive the sweep for it."""
    script = "from looop.session.kin import kill_kin; kill_kin('m'); print('alive')"
    path = os.path.dirname(os.path.dirname(sys.modules["looop"].__file__ or ""))
    command = [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {script!r}])"]
    ended = subprocess.run(command, env={**marked(ENV, "m"), "PYTHONPATH": path}, capture_output=True, text=True)
    assert (ended.stdout, ended.returncode) == ("alive\n", 0)
