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
from looop.session import kin
from looop.session.kin import MARK, birth, is_alive, kill_kin, marked, unmarked
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


def test_a_birth_is_of_one_process_only() -> None:
    """Two processes never have the same pid and birth; one process always has the same. Source: edge case 155."""
    assert birth(os.getpid()) == birth(os.getpid())
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        assert birth(sleeper.pid)
        assert is_alive(sleeper.pid, birth(sleeper.pid))
    finally:
        sleeper.kill()
        sleeper.wait()
    assert birth(sleeper.pid) == ""
    assert not is_alive(sleeper.pid, "")


def test_a_stranger_with_the_pid_is_not_the_process() -> None:
    """A pid of another boot or another tick is somebody else; without a birth the pid alone counts.

    Source: edge cases 154, 155.
    """
    boot, tick = birth(os.getpid()).split("-")
    for other in (f"{boot}-{int(tick) + 1}", f"00000000-{tick}", "x"):
        assert not is_alive(os.getpid(), other)
    assert is_alive(os.getpid(), "")


def test_a_zombie_is_dead() -> None:
    """What nobody has reaped yet runs no more. Source: edge case 154."""
    child = subprocess.Popen(["true"])
    born = birth(child.pid)
    until(lambda: gone(child.pid), what="the end of the child")
    assert not is_alive(child.pid, born)
    assert not is_alive(child.pid)
    child.wait()


@pytest.mark.parametrize("pid", [2**31, 2**64])
def test_no_number_breaks_it(pid: int) -> None:
    """What no process can have is nobody. Source: edge case 154."""
    assert not is_alive(pid)
    assert birth(pid) == ""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can start a process of somebody else")
def test_a_process_of_somebody_else_is_alive() -> None:
    """A process we must not signal is there all the same. Source: edge case 155."""
    script = "import os; from looop.session.kin import is_alive; os.setuid(65534); print(is_alive(os.getppid()))"
    path = os.path.dirname(os.path.dirname(sys.modules["looop"].__file__ or ""))
    told = subprocess.run([sys.executable, "-c", script], env={"PYTHONPATH": path}, capture_output=True, text=True)
    assert told.stdout == "True\n", told.stderr


def cleared(then: str) -> subprocess.Popen[bytes]:
    """A leader of a session that carries mark `m`, and one of it with nothing in its environment: see `then`."""
    script = f"env -i {then} & echo $! >&2; wait"
    return subprocess.Popen(["sh", "-c", script], env=marked(ENV, "m"), stderr=subprocess.PIPE, start_new_session=True)


def pid_told(leader: subprocess.Popen[bytes]) -> int:
    assert leader.stderr
    return int(leader.stderr.readline())


def test_who_cleared_its_environment_belongs_to_its_parent() -> None:
    """A child that hides its mark is found by its parent's, in whatever session it is. Source: users.md, Orphans."""
    for then in ("sleep 60", "setsid sleep 60", "setsid sh -c 'setsid sleep 60; true'"):
        with cleared(then) as leader:
            pid = pid_told(leader)
            until(lambda pid=pid: _marks_of(pid) is None, what="the cleared environment")  # type: ignore[misc]
            assert kill_kin("other") == 0
            assert kill_kin("m") >= 2
            until(lambda pid=pid: gone(pid), what="its end")  # type: ignore[misc]


def test_who_cleared_its_environment_belongs_to_its_session() -> None:
    """One whose parent is gone is found by its session, as long as its leader is who it was. Source: users.md."""
    script = "(env -i sleep 60 & echo $! >&2); exec env -i sleep 60"
    leader = subprocess.Popen(
        ["sh", "-c", script], env=marked(ENV, "m"), stderr=subprocess.PIPE, start_new_session=True
    )
    with leader:
        pid, born = pid_told(leader), birth(leader.pid)
        until(lambda: _marks_of(pid) is None and _marks_of(leader.pid) is None, what="the cleared environments")
        assert kill_kin("m") == 0
        assert kill_kin("m", leader.pid, f"{born}0") == 0
        assert kill_kin("m", leader.pid) == 0
        assert not gone(pid)
        assert kill_kin("m", leader.pid, born) == 2
        until(lambda: gone(pid), what="its end")


def test_a_mark_of_nobody_is_left_alone() -> None:
    """What was detached on purpose outlives its run, though it is a child of one. Source: workers.md §3.1."""
    script = "LOOOP_RUN_MARK= sleep 60 & echo $! >&2; wait"
    with subprocess.Popen(["sh", "-c", script], env=marked(ENV, "m"), stderr=subprocess.PIPE) as leader:
        pid = pid_told(leader)
        until(lambda: _marks_of(pid) == [""], what="its own environment")
        assert kill_kin("m", parent=leader.pid) == 1
        assert not gone(pid)
        os.kill(pid, 9)
    assert unmarked(marked(ENV, "m"))[MARK] == ""


def _marks_of(pid: int) -> list[str] | None:
    return kin._marks(str(pid))


HIDES = """
import ctypes, os, time
from looop.session import kin
if os.getuid() == 0: os.setuid(65534)
reader, writer = os.pipe()
child = os.fork()
if child == 0:
    ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
    os.write(writer, b"x")
    time.sleep(60)
os.read(reader, 1)
try: kin._marks(str(child)); print("shown")
except PermissionError: print("hidden")
print(kin.kill_kin("other"), kin.kill_kin("other", parent=os.getpid()), os.waitpid(child, 0)[1])
"""


def test_who_hides_its_environment_belongs_to_its_parent() -> None:
    """A program that lets nobody look, as agents for keys do, is found by its parent. Source: users.md, Orphans."""
    path = os.path.dirname(os.path.dirname(sys.modules["looop"].__file__ or ""))
    command = [sys.executable, "-c", HIDES]
    told = subprocess.run(command, env={**ENV, "PYTHONPATH": path}, capture_output=True, text=True)
    assert told.stdout == "hidden\n0 1 9\n", told.stderr
