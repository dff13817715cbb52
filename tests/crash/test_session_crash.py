"""Kill -9 at any call of a supervisor, a starter or a remover: the records tell the truth, and all goes on.

The points are enumerated, not sampled: the process under test kills itself before its first call that matters, then
before its second, and so on until it comes to its end alive.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from looop.session import spawn
from looop.session.fleet import Fleet, KillError, SpawnError
from looop.session.kin import is_alive
from tests.fakes import dying
from tests.fakes.sessions import ENV, SOURCE, ended, left_in, marked, now, start
from tests.fakes.waiting import until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at processes in /proc"),
]
LANES = 4  # each test takes every fourth point, so that none takes too long
HARNESS = f"exec(open({dying.__file__!r}).read()); arm({{number}}, {{told!r}}); "
ENDS = {
    "exit": "trap '' HUP; setsid sleep {token} & echo out; exit 3",
    "kill": "trap '' HUP; setsid sleep {token} & sleep {token}; sleep {token}",
    "no such program": "",
}


def points(tmp_path: Path, lane: int) -> Iterator[tuple[int, Path]]:
    """The numbers of this lane, with the file in which a process says that it died; until one did not."""
    for number in range(1 + lane, 2000, LANES):
        told = tmp_path / f"died-{number}"
        yield number, told
        if not told.exists():
            assert number > 5
            return


def processes(token: str) -> list[str]:
    listed = subprocess.run(["ps", "-eo", "pid=,stat=,args="], capture_output=True, text=True).stdout
    return [row for row in listed.splitlines() if f"sleep {token}" in row and row.split()[1][0] != "Z"]


def settled(fleet: Fleet) -> bool:
    """Whether no supervisor of the session is left; looked at three times, as one that just begins has no words yet."""
    return not any(is_at_work(fleet) or time.sleep(0.02) for _ in range(3))


def is_at_work(fleet: Fleet) -> bool:
    listed = subprocess.run(["ps", "-eo", "args="], capture_output=True, text=True).stdout
    return f"--detached-id a --root={fleet._root} " in listed or any(one.alive for one in fleet.sessions())


def assert_told_truly(fleet: Fleet, kind: str) -> None:
    """What the records say is what happened, as far as anybody can know."""
    for found in fleet.sessions():
        session = found
        if found.is_orphaned:
            fleet.sweep(found)
            session = now(fleet, "a")
            assert (session.state, session.exit_code) == ("killed", None)
            assert "supervisor died" in session.problem
        elif kind == "exit":
            assert (session.state, session.exit_code) == ("exited", 3)
        elif kind == "kill":
            assert (session.state, session.exit_code) == ("killed", None)
        else:
            assert (session.state, session.exit_code, session.child_pid) == ("exited", None, None)
            assert session.error


def assert_goes_on(fleet: Fleet, token: str) -> None:
    """No process, socket or folder is left, and the id is as good as new."""
    session = fleet.session("a")
    assert fleet.reap("a") == (session is not None)
    until(lambda: nothing_is_left(fleet), 2, "the end of all debris")
    until(lambda: processes(token) == [], 2, "the end of all processes")
    if session:
        assert not os.path.exists(session.socket)
    fleet.start("a", ["true"], ENV)
    assert ended(fleet, "a").exit_code == 0
    assert fleet.reap("a")


def nothing_is_left(fleet: Fleet) -> bool:
    """Whether cleaning up has removed everything; who is just dying still lives for a moment."""
    fleet.clean()
    folder = os.path.join(fleet._root, "sessions")
    return not os.path.isdir(folder) or left_in(fleet) == []


@pytest.mark.parametrize("kind", ENDS)
@pytest.mark.parametrize("lane", range(LANES))
def test_a_supervisor_killed_at_any_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, lane: int) -> None:
    """Before whichever call a supervisor is killed, nothing is alive that is not, and nothing stays behind.

    Source: users.md rows Orphans, Honest status; edge case 154.
    """
    fleet, stub = Fleet(str(tmp_path / "d")), spawn._STUB
    for number, told in points(tmp_path, lane):
        token = f"{80_000 + number}.{os.getpid()}"
        with monkeypatch.context() as patch:
            patch.setattr(spawn, "_STUB", HARNESS.format(number=number, told=str(told)) + stub)
            with suppress(SpawnError):
                fleet.start("a", ["sh", "-c", ENDS[kind].format(token=token)] if ENDS[kind] else ["/no/such"], ENV)
        if kind == "kill" and (session := fleet.session("a")):
            with suppress(KillError):
                fleet.kill(session)
        until(lambda: settled(fleet), what=f"the end of the supervisor, killed before call {number}")
        assert_told_truly(fleet, kind)
        assert_goes_on(fleet, token)
    assert number > 30


def run_killed(script: str, fleet: Fleet, number: int, told: Path) -> None:
    """Run a script over the fleet in a process that dies before that call."""
    code = f"import sys; {HARNESS.format(number=number, told=str(told))}\n{script}"
    command = [sys.executable, "-c", code, fleet._root]
    told_by = subprocess.run(command, env={**ENV, "PYTHONPATH": SOURCE}, capture_output=True, timeout=30)
    assert told_by.returncode == (-9 if told.exists() else 0), told_by.stderr


START = """
from looop.session.fleet import Fleet
Fleet(sys.argv[1]).start("a", ["sh", "-c", "setsid sleep {token} & sleep {token}"], {env})
"""


@pytest.mark.parametrize("lane", range(LANES))
def test_a_starter_killed_at_any_call(tmp_path: Path, lane: int) -> None:
    """Before whichever call a starter is killed, the session runs, or it does not and nothing is left.

    Source: spec/workers.md §2.2; users.md row Orphans.
    """
    fleet = Fleet(str(tmp_path / "d"))
    for number, told in points(tmp_path, lane):
        token = f"{80_000 + number}.{os.getpid()}"
        run_killed(START.format(token=token, env=ENV), fleet, number, told)
        until(lambda: settled(fleet) or is_running(fleet), what="an end or a run")
        session = fleet.session("a")
        if session and session.alive:
            with suppress(KillError):
                fleet.kill(session)
        until(lambda: settled(fleet), what="the end of the supervisor")
        assert_goes_on(fleet, token)


def is_running(fleet: Fleet) -> bool:
    session = fleet.session("a")
    return session is not None and session.alive and session.state == "running"


ACTS: dict[str, tuple[str, Callable[[Fleet], object]]] = {
    "sweep": ("fleet.sweep(fleet.session('a'))", lambda fleet: fleet.sweep(now(fleet, "a"))),
    "reap": ("fleet.reap('a')", lambda fleet: fleet.reap("a")),
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("lane", range(LANES))
def test_whoever_tidies_up_killed_at_any_call(tmp_path: Path, act: str, lane: int) -> None:
    """A sweep or a removal that is killed before any of its calls can be done again. Source: spec/workers.md §7."""
    script, again = ACTS[act]
    fleet = Fleet(str(tmp_path / "d"))
    for number, told in points(tmp_path, lane):
        token = f"{80_000 + number}.{os.getpid()}"
        session = start(fleet, "a", f"trap '' HUP; sleep {token} & sleep {token}")
        os.kill(session.pid, 9)
        until(lambda session=session: not is_alive(session.pid, session.born), what="the orphan")  # type: ignore[misc]
        run_killed(f"from looop.session.fleet import Fleet; fleet = Fleet(sys.argv[1]); {script}", fleet, number, told)
        found = fleet.session("a")
        assert found is None or not found.alive
        if found:
            again(fleet)
        assert marked(session.mark) == []
        assert_goes_on(fleet, token)
