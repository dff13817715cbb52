"""Sessions whose supervisor is ended, stopped, cut off or killed: what it owned is ended, and the records say so."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from looop.session.fleet import Fleet
from looop.session.kin import birth
from tests.fakes.sessions import ENV, SOURCE, ended, marked, no_one_left, now, shows, start
from tests.fakes.waiting import gone, until

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at processes in /proc")


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with no_one_left(tmp_path) as fleet:
        yield fleet


def test_a_terminated_supervisor_ends_its_session(fleet: Fleet) -> None:
    """A signal to the supervisor is a kill of the session: all ended, and that is on disk. Source: §3.3."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        session = start(fleet, f"s{number}", "trap '' HUP; sleep 60 & setsid sleep 60 & sleep 60")
        until(lambda session=session: len(marked(session.mark)) == 4, what="four processes")  # type: ignore[misc]
        os.kill(session.pid, number)
        assert ended(fleet, session.id).state == "killed"
        assert marked(session.mark) == []


def test_a_session_without_its_socket_can_be_killed(fleet: Fleet) -> None:
    """Where the socket was removed, or nobody answers there, a signal does it. Source: edge case 169."""
    for name, spoil in (("gone", os.unlink), ("stale", lambda path: (os.unlink(path), Path(path).touch()))):
        session = start(fleet, name, "trap '' HUP; sleep 60; sleep 60")
        spoil(session.socket)
        assert fleet.kill(session)["state"] == "killed"
        assert now(fleet, name).state == "killed"
        assert marked(session.mark) == []


@pytest.mark.slow
def test_a_supervisor_that_is_stopped_can_be_killed(fleet: Fleet) -> None:
    """One that answers nothing is woken by a signal, and ends its session as it should. Source: §3.5."""
    session = start(fleet, "a", "trap '' HUP; sleep 60; sleep 60")
    os.kill(session.pid, signal.SIGSTOP)
    said = fleet.kill(session)
    assert said["state"] == "killed"
    after = now(fleet, "a")
    assert (after.state, after.alive) == ("killed", False)
    assert after.problem == ""
    assert marked(session.mark) == []


def test_an_orphan_is_swept(fleet: Fleet) -> None:
    """A supervisor that is killed leaves an orphan; the sweep ends what is left and says so. Source: users.md."""
    session = start(
        fleet, "a", "trap '' HUP; env -i sh -c 'trap \"\" HUP; sleep 60' & setsid sleep 60 & sleep 60; sleep 60"
    )
    until(lambda: len(marked(session.mark)) >= 4, what="the processes")
    before = marked(session.mark)
    os.kill(session.pid, signal.SIGKILL)
    until(lambda: now(fleet, "a").is_orphaned, what="the orphan")
    orphan = now(fleet, "a")
    assert (orphan.state, orphan.alive) == ("running", False)
    assert fleet.sweep(orphan) >= len(before) - 1
    until(lambda: all(gone(pid) for pid in before), what="their end")
    after = now(fleet, "a")
    assert (after.state, after.exit_code, after.is_orphaned) == ("killed", None, False)
    assert after.problem == "its supervisor died, so nobody knows how it ended"


def test_a_sweep_harms_no_stranger(fleet: Fleet) -> None:
    """Whoever has the pid of the command now, and its session, is left alone. Source: edge case 155."""
    session = start(fleet, "a", "exit 0")
    session = ended(fleet, "a")
    time.sleep(0.03)  # a pid comes again, but never within one tick of the clock
    stranger = subprocess.Popen(["env", "-i", "sleep", "60"], start_new_session=True)
    try:
        session.child_pid, session.state = stranger.pid, "running"
        assert session.child_born != birth(stranger.pid)
        assert not fleet.sweep(session)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
    assert now(fleet, "a").state == "exited"


def test_a_stale_look_changes_no_new_session(fleet: Fleet) -> None:
    """A sweep of what was there before leaves the next session of that id alone. Source: spec/workers.md §1."""
    old = start(fleet, "a", "sleep 60")
    os.kill(old.pid, signal.SIGKILL)
    until(lambda: now(fleet, "a").is_orphaned, what="the orphan")
    old = now(fleet, "a")
    assert fleet.reap("a")
    new = start(fleet, "a", "sleep 60")
    fleet.sweep(old)
    assert (now(fleet, "a").state, now(fleet, "a").alive, now(fleet, "a").pid) == ("running", True, new.pid)


NESTED = """
import os, sys
from looop.session.fleet import Fleet
fleet = Fleet(sys.argv[1])
fleet.start("inner", ["sh", "-c", "(env -i setsid sleep 60 &); echo ready; sleep 60"], dict(os.environ))
print("started", flush=True)
os.kill(os.getpid(), 9) if sys.argv[2] == "dies" else sys.stdin.read()
"""


@pytest.mark.parametrize("end", ["dies", "killed"])
def test_a_session_started_in_a_session_outlives_it(fleet: Fleet, end: str) -> None:
    """A worker that the pulse has started goes on when the pulse ends, with all it has. Source: spec/workers.md §1."""
    outer = [sys.executable, "-c", NESTED, fleet._root, end]
    fleet.start("outer", outer, {**ENV, "PYTHONPATH": SOURCE})
    shows(now(fleet, "outer"), b"started")
    inner = now(fleet, "inner")
    shows(inner, b"ready")
    until(lambda: len(descendants(inner.pid)) == 3, what="the daemon in the hands of its own supervisor")
    before = descendants(inner.pid)
    if end == "killed":
        fleet.kill(now(fleet, "outer"))
    assert ended(fleet, "outer").state == "killed"
    until(lambda: gone(now(fleet, "outer").pid), what="the end of the outer supervisor")
    assert now(fleet, "inner").alive
    assert descendants(inner.pid) == before
    fleet.kill(now(fleet, "inner"))
    until(lambda: all(gone(pid) for pid in before), what="the end of all")


def descendants(pid: int) -> list[int]:
    """All below the process."""
    words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sorted(found for word in words for found in (int(word), *descendants(int(word))))
