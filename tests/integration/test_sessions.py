"""Real sessions from their start to their last word: however a command ends, that is on disk, and nothing is left."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from looop.session import spawn
from looop.session.client import ask
from looop.session.fleet import Fleet, KillError, Session, SpawnError
from looop.session.kin import MARK
from tests.fakes.sessions import ENV, SOURCE, ended, log, marked, no_one_left, now, shows, start
from tests.fakes.waiting import until

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at processes in /proc")


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with no_one_left(tmp_path) as fleet:
        yield fleet


@pytest.mark.parametrize("code", [0, 3, 255])
def test_an_exit_code_is_kept(fleet: Fleet, code: int) -> None:
    """A command that exits has exited, with its code and all it printed. Source: spec/workers.md §3.3."""
    start(fleet, "a", f"echo before; exit {code}")
    session = ended(fleet, "a")
    assert (session.state, session.exit_code, session.signal, session.problem) == ("exited", code, None, "")
    assert log(session) == b"before\r\n"


def test_an_end_is_seen_at_once(fleet: Fleet) -> None:
    """Where nobody else has the terminal open there is nothing to wait for. Source: spec/workers.md §3.3."""
    seconds = []
    for turn in range(5):
        began = time.monotonic()
        fleet.start(f"s{turn}", ["true"], ENV)
        ended(fleet, f"s{turn}")
        seconds.append(time.monotonic() - began)
    assert min(seconds) < 0.4


def test_a_starter_has_no_child_left(fleet: Fleet) -> None:
    """A session is nobody's child, not even a dead one. Source: spec/workers.md §3.1."""
    before = children(os.getpid())
    start(fleet, "a", "sleep 60")
    with pytest.raises(SpawnError):
        fleet.start("a", ["true"], ENV)
    assert children(os.getpid()) == before


def test_a_command_that_ends_at_once_is_missed_by_nobody(fleet: Fleet) -> None:
    """Twenty commands that end before anybody looks end all, with all they printed. Source: edge case 163."""
    for turn in range(20):
        fleet.start(f"s{turn}", ["echo", "x"], ENV)
    for turn in range(20):
        session = ended(fleet, f"s{turn}")
        assert (session.state, session.exit_code, log(session)) == ("exited", 0, b"x\r\n")


def test_a_signal_is_no_exit(fleet: Fleet) -> None:
    """A command that a signal ends was killed, and has no exit code. Source: spec/workers.md §3.3."""
    start(fleet, "a", "kill -SEGV $$")
    session = ended(fleet, "a")
    assert (session.state, session.exit_code, session.signal) == ("killed", None, signal.SIGSEGV)


@pytest.mark.parametrize("command", [["/nowhere/at/all"], ["."], ["not-a-program"], ["/dev/null"], [""]])
def test_what_cannot_be_started_says_why(fleet: Fleet, command: list[str]) -> None:
    """A start that fails raises, and its record says the same. Source: spec/workers.md §3.3."""
    with pytest.raises(SpawnError) as raised:
        fleet.start("a", command, ENV)
    session = now(fleet, "a")
    assert (session.state, session.alive, session.exit_code, session.child_pid) == ("exited", False, None, None)
    assert session.error
    assert session.error in str(raised.value)
    assert fleet.reap("a")


@pytest.mark.parametrize("value", ["a\0b", "\ud800", "x" * 3_000_000])
def test_what_the_kernel_refuses_is_a_spawn_error(fleet: Fleet, value: str) -> None:
    """Words no process can get leave nothing behind. Source: spec/workers.md §2.2."""
    for command, env in ((["echo", value], ENV), (["true"], {**ENV, "X": value})):
        with pytest.raises(SpawnError, match="session a: "):
            fleet.start("a", command, env)
    assert not fleet.is_taken("a")


def test_a_command_of_a_megabyte_runs_and_is_known(fleet: Fleet) -> None:
    """A session is listed however long its command is. Source: spec/workers.md §3.2."""
    words = ["日" * 30_000] * 14
    fleet.start("a", ["sh", "-c", "sleep 60", *words], ENV)
    assert now(fleet, "a").alive
    assert now(fleet, "a").command == ["sh", "-c", "sleep 60", *words]


def test_a_kill_is_on_disk_before_it_returns(fleet: Fleet) -> None:
    """Whoever lists after a kill sees it dead, and all processes are. Source: edge case 170."""
    session = start(fleet, "a", "sleep 60 & setsid sleep 60 & wait")
    until(lambda: len(marked(session.mark)) == 3, what="three processes")
    said = fleet.kill(session)
    assert (said["killed"], said["confirmed"], said["state"], said["exit_code"]) == (True, True, "killed", None)
    after = now(fleet, "a")
    assert (after.state, after.alive, after.signal) == ("killed", False, signal.SIGHUP)
    assert marked(session.mark) == []
    with pytest.raises(KillError, match="already finished"):
        fleet.kill(after)


def test_who_ignores_signals_is_killed(fleet: Fleet) -> None:
    """A hangup that is ignored is followed by a kill, 0.3 s later. Source: spec/workers.md §3.5."""
    session = start(fleet, "a", "trap '' HUP TERM INT; echo ready; while :; do sleep 60; done")
    shows(session, b"ready")
    began = time.monotonic()
    said = fleet.kill(session)
    assert 0.3 <= time.monotonic() - began < 2
    assert (said["escalated"], said["state"]) == (True, "killed")
    assert now(fleet, "a").signal == signal.SIGKILL


def test_who_handles_the_hangup_has_a_moment(fleet: Fleet) -> None:
    """A command that tidies up when it is hung up on exits with its own code, and was killed. Source: §3.5."""
    session = start(fleet, "a", "trap 'echo tidy; exit 7' HUP; echo ready; while :; do sleep 0.01; done")
    shows(session, b"ready")
    said = fleet.kill(session)
    after = now(fleet, "a")
    assert (said["exit_code"], after.state, after.exit_code, after.signal) == (7, "killed", 7, None)
    assert b"tidy" in log(after)


def test_who_has_stopped_itself_can_be_killed(fleet: Fleet) -> None:
    """A stop is no end; a stopped command hears the hangup all the same. Source: spec/workers.md §3.5."""
    session = start(fleet, "a", "trap 'echo tidy; exit 7' HUP; echo ready; kill -STOP $$; sleep 60")
    shows(session, b"ready")
    until(lambda: "T" in Path(f"/proc/{session.child_pid}/stat").read_text().split(")")[1][:3], what="the stop")
    assert now(fleet, "a").state == "running"
    assert fleet.kill(session)["exit_code"] == 7


DAEMONS = {
    "setsid": "setsid sleep 60 & ",
    "double fork": "(setsid sh -c 'sleep 60 & ' &) ; ",
    "cleared environment": "(env -i setsid sleep 60 &) ; ",
    "all of it": "(env -i setsid sh -c 'trap \"\" HUP TERM; (setsid sleep 60 &); sleep 60' &) ; ",
    "own group": "set -m; sleep 60 & ",
    "nohup": "nohup sleep 60 >/dev/null 2>&1 & ",
}


@pytest.mark.parametrize("name", DAEMONS)
@pytest.mark.parametrize("end", ["exit", "kill"])
def test_no_daemon_outlives_its_session(fleet: Fleet, name: str, end: str) -> None:
    """Whatever a command detaches ends with its session, by exit or kill. Source: users.md, Orphans."""
    before = sleepers()
    script = DAEMONS[name] + "until [ -e $GO ]; do sleep 0.01; done"
    session = start(fleet, "a", script, env={**ENV, "GO": f"{fleet._root}/go"})
    until(lambda: sleepers() > before, what="the daemon")
    if end == "kill":
        fleet.kill(session)
    else:
        Path(fleet._root, "go").touch()
    assert ended(fleet, "a").state == ("exited" if end == "exit" else "killed")
    until(lambda: sleepers() <= before, 1, "the end of the daemon")


def sleepers() -> set[str]:
    """The processes `sleep 60`, by pid, that are no zombies."""
    listed = subprocess.run(["ps", "-eo", "pid=,stat=,args="], capture_output=True, text=True).stdout
    rows = [row.split(None, 2) for row in listed.splitlines()]
    return {row[0] for row in rows if row[2:] == ["sleep 60"] and row[1][0] != "Z"}


def test_a_daemon_that_ends_is_no_zombie(fleet: Fleet) -> None:
    """What a session has adopted is buried when it ends, while the session goes on. Source: users.md, Orphans."""
    session = start(fleet, "a", "for i in 1 2 3 4 5; do (env -i setsid sleep 0.1 &); done; echo ready; sleep 60")
    shows(session, b"ready")
    until(lambda: children(session.pid) == [session.child_pid], what="only the command")


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_command_may_close_its_terminal_and_open_it_again(fleet: Fleet) -> None:
    """A command that lets go of its terminal goes on, and what it prints there later is kept. Source: §3.3."""
    script = "exec 3>&1; T=$(tty); exec </dev/null >/dev/null 2>&1 3>&-; sleep 0.2; echo back >$T; exit 5"
    start(fleet, "a", script)
    session = ended(fleet, "a")
    assert (session.state, session.exit_code, log(session)) == ("exited", 5, b"back\r\n")


def test_the_end_of_a_flood_is_an_end(fleet: Fleet) -> None:
    """A background process that never stops printing cannot keep a session from ending. Source: §3.3, drain."""
    start(fleet, "a", "yes & sleep 0.1; exit 4", max_log=100_000)
    session = ended(fleet, "a", 5)
    assert (session.state, session.exit_code) == ("exited", 4)


def test_a_stranger_at_the_terminal_is_no_reason_to_stay(fleet: Fleet) -> None:
    """Nor can a process that is none of the session's, and writes to its terminal without end. Source: §3.3, drain."""
    session = start(fleet, "a", "echo ready; read x; exit 4", max_log=100_000)
    shows(session, b"ready")
    with open(os.readlink(f"/proc/{session.child_pid}/fd/0"), "wb", 0) as terminal:
        strangers = [subprocess.Popen(["yes"], stdout=terminal, start_new_session=True) for _ in range(4)]
        try:
            until(lambda: total(session) > 200_000, what="a flood")
            ask(session.socket, {"op": "send", "text": ""}, 5)
            assert ended(fleet, "a", 5).exit_code == 4
        finally:
            for stranger in strangers:
                stranger.kill()
                stranger.wait()


def test_a_flood_is_bounded_and_can_be_killed(fleet: Fleet) -> None:
    """40 MB through a log of 1 MB: the disk holds two, memory stays, a kill is heard. Source: users.md, Disk."""
    session = start(fleet, "a", "yes 0123456789012345678901234567890", max_log=1_000_000)
    shows(session, b"0123")
    before = private(session.pid)
    until(lambda: total(session) > 40_000_000, 40, "40 MB")
    sizes = [os.path.getsize(os.path.join(session.folder, name)) for name in ("output.log", "output.log.1")]
    assert max(sizes) < 1_100_000
    assert private(session.pid) < before + 1_000
    began = time.monotonic()
    fleet.kill(session)
    assert time.monotonic() - began < 2


def total(session: Session) -> int:
    count = ask(session.socket, {"op": "status"}, 5)["output_bytes"]
    assert isinstance(count, int)
    return count


def private(pid: int) -> int:
    """The kilobytes only this process has."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def test_a_command_has_its_terminal_and_nothing_else(fleet: Fleet) -> None:
    """Three descriptors, all the terminal, of which it is in control, 80 by 24; its own session. Source: §3.1, §3.3."""
    script = "stty size; tty; ps -o sid=,tpgid= -p $$; echo done; exec sleep 60"
    with open(os.devnull) as extra:
        os.set_inheritable(extra.fileno(), True)
        session = start(fleet, "a", script)
        shows(session, b"done")
    size, terminal, ids, _ = log(session).decode().split("\r\n", 3)
    assert (size, ids.split()) == ("24 80", [str(session.child_pid)] * 2)
    held = f"/proc/{session.child_pid}/fd"
    until(lambda: sorted(os.listdir(held)) == ["0", "1", "2"], what="three descriptors")
    assert [os.readlink(f"{held}/{fd}") for fd in range(3)] == [terminal] * 3
    assert terminal.startswith("/dev/pts/")


def test_a_supervisor_has_what_it_needs_and_nothing_else(fleet: Fleet) -> None:
    """Every descriptor of an idle supervisor is known. Source: edge case 164."""
    session = start(fleet, "a", "sleep 60")
    folder = f"/proc/{session.pid}/fd"
    own = [f"{session.folder}{name}" for name in ("", "/output.log", "/status.json")]
    pts = os.readlink(f"/proc/{session.child_pid}/fd/0")
    needed = sorted(["/dev/null"] * 3 + ["/dev/ptmx", pts, "pipe", "pipe", "socket", *own])

    def held() -> list[str]:
        return sorted(os.readlink(f"{folder}/{fd}").split(":")[0] for fd in os.listdir(folder))

    until(lambda: held() == needed, 2, f"{needed} instead of {held()}")


def test_an_environment_carries_its_own_mark_only(fleet: Fleet) -> None:
    """A session started from inside a run gets the environment it was given, and its own mark. Source: §2.3."""
    env = {"PATH": ENV["PATH"], MARK: ":outer", "X": "1\n2"}
    session = start(fleet, "a", "tr '\\0' '@' </proc/$$/environ; echo; echo done; sleep 60", env=env)
    shows(session, b"done")
    found = log(session).decode().replace("\r\n", "\n").split("@\n")[0].split("@")
    assert sorted(found) == sorted([f"PATH={ENV['PATH']}", "X=1\n2", f"{MARK}=:{session.mark}"])


STARTER = """
import os, signal, sys
{before}
from looop.session.fleet import Fleet
Fleet(sys.argv[1]).start("a", ["sh", "-c", sys.argv[2]], dict(os.environ))
print("started", flush=True)
"""
LIBC_OWN = 3 << 31  # two signals the C library keeps for itself
ODD_STARTERS = {
    "SIGCHLD ignored": "signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
    "all blocked": "signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())",
    "nohup": "[signal.signal(n, signal.SIG_IGN) for n in (1, 2, 3, 13, 15, 17, 20, 21, 22, 25)]",
    "no stdio": "os.closerange(0, 3)",
    "2000 open files": "[os.set_inheritable(os.dup(0), True) for _ in range(2000)]",
    "a waiting thread": "import threading; threading.Thread(target=lambda: __import__('time').sleep(1)).start()",
}


@pytest.mark.parametrize("name", ODD_STARTERS)
def test_any_starter_starts_a_sound_session(fleet: Fleet, name: str) -> None:
    """What the starter ignores, blocks or has open makes no difference. Source: edge cases 164, 263."""
    words = [sys.executable, "-c", STARTER.format(before=ODD_STARTERS[name]), fleet._root]
    script = "while read -r line; do echo $line; done </proc/$$/status; echo ready; exec sleep 60"
    told = subprocess.run([*words, script], env={**ENV, "PYTHONPATH": SOURCE}, capture_output=True, timeout=20)
    assert told.returncode == 0 or name == "no stdio", told.stderr
    session = now(fleet, "a")
    shows(session, b"ready")
    lines = log(session).decode().split("\r\n")
    said = dict(line.partition(": ")[::2] for line in lines)
    until(lambda: sorted(os.listdir(f"/proc/{session.child_pid}/fd")) == ["0", "1", "2"], what="three descriptors")
    assert int(said["SigBlk"], 16) == 0
    assert int(said["SigIgn"], 16) & ~LIBC_OWN == 0
    os.kill(session.child_pid or 0, signal.SIGKILL)
    assert ended(fleet, "a").signal == signal.SIGKILL


def test_a_captured_start_reaches_the_end_of_its_output(fleet: Fleet) -> None:
    """`x=$(start)` ends when the start does, whatever is open in the starter. Source: edge case 164."""
    command = [sys.executable, "-c", STARTER.format(before=""), fleet._root, "sleep 60"]
    script = 'exec 5>&1 7</dev/null; x=$("$@" 6>&1 8>&1 9>&2); echo "[$x]"'
    shell = ["bash", "-c", script, "-", *command]
    told = subprocess.run(shell, env={**ENV, "PYTHONPATH": SOURCE}, capture_output=True, text=True, timeout=10)
    assert told.stdout == "[started]\n", told.stderr
    assert now(fleet, "a").alive


BARE = (
    "import os; del os.waitid, os.pidfd_open; from looop.session import kin; "
    "kin._stat = lambda pid: []; kin._names = lambda: []; kin._boot = lambda: ''; from looop.session.supervisor"
)


def test_a_system_that_says_less_has_sessions_all_the_same(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without /proc, pidfd and waitid a session starts, ends, and is killed with its group. Source: design §8."""
    monkeypatch.setattr(spawn, "_STUB", spawn._STUB.replace("from looop.session.supervisor", BARE))
    start(fleet, "a", "echo out; exit 3")
    session = ended(fleet, "a")
    assert (session.state, session.exit_code, log(session), session.born) == ("exited", 3, b"out\r\n", "")
    session = start(fleet, "b", "trap '' HUP; echo ready; sleep 60; sleep 60")
    shows(session, b"ready")
    assert session.alive
    assert fleet.kill(session)["state"] == "killed"
    assert now(fleet, "b").signal == signal.SIGKILL
    assert fleet.reap("a")
