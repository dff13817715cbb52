"""Commands with real processes: how they end, what is kept of them, and that nothing stays behind."""

import os
import signal
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from looop.runtime import children
from looop.runtime.command import Command, Ended
from looop.runtime.proc import Processes
from looop.runtime.stop import StopFlag
from tests.fakes.waiting import gone, state_of, until

IGNORES_TERM = "trap '' TERM; "
HOLDS_ON = "while :; do sleep 1; done"


class PolledStop:
    """A stop without a descriptor."""

    def __init__(self, asked: Callable[[], bool]) -> None:
        self.requested = asked

    def fileno(self) -> int:
        return -1


@pytest.fixture(params=["pidfd", "waitpid"], autouse=True)
def exit_source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test holds with pidfd and, as on macOS, without it."""
    if request.param == "waitpid":
        monkeypatch.setattr(children, "_pidfd_open", None)


@pytest.fixture(autouse=True)
def nothing_stays_open() -> Iterator[None]:
    """Every test gives back each file descriptor and leaves no child unreaped."""
    before = open_files()
    yield
    assert open_files() == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.fixture
def stop() -> Iterator[StopFlag]:
    flag = StopFlag()
    yield flag
    flag.close()


def open_files() -> set[str]:
    folder = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
    return {f"{fd} {os.readlink(f'{folder}/{fd}')}" for fd in os.listdir(folder) if os.path.exists(f"{folder}/{fd}")}


def sh(script: str, cwd: Path | str = "/", **options: Any) -> Command:
    return Command(argv=["/bin/sh", "-c", script], cwd=str(cwd), **options)


def executable(path: Path, text: str, mode: int = 0o755) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def pid_in(path: Path) -> int:
    until(lambda: path.exists() and path.read_text().endswith("\n"), what=str(path))
    return int(path.read_text())


def exits_meanwhile(
    folder: Path, last_words: str, afterwards: Callable[[], None] = lambda: None, **options: Any
) -> tuple[Command, Callable[[bytes], None]]:
    """A command and an `on_output` that holds the loop until the command has said its last words and exited."""

    def hold(_: bytes) -> None:
        (folder / "go").touch()
        pid = pid_in(folder / "pid")
        until(lambda: gone(pid), what="the exit")
        afterwards()

    wait = f"while [ ! -e {folder}/go ]; do sleep 0.01; done"
    return sh(f"echo $$ > {folder}/pid; echo on; {wait}; {last_words}", **options), hold


def group_of_two(folder: Path, before: str = "") -> str:
    """A script that starts a grandchild, writes down both pids, says so, and holds on."""
    grandchild = f"({before}{HOLDS_ON}) & echo $! > {folder}/grandchild"
    return f"{before}echo $$ > {folder}/child; {grandchild}; echo ready; {HOLDS_ON}"


@contextmanager
def idle() -> Iterator[None]:
    """The block waits for its processes without spinning."""
    before = time.process_time()
    yield
    assert time.process_time() - before < 0.08


def assert_group_gone(folder: Path) -> None:
    for name in ("child", "grandchild"):
        pid = pid_in(folder / name)
        until(lambda pid=pid: gone(pid), what=f"the end of the {name}")  # type: ignore[misc]


# --- ordinary ends ---------------------------------------------------------------------------------------------


def test_result() -> None:
    """A run gives its exit code, its output, its stderr and how long it took."""
    ended = Processes().run(sh("echo out; echo err >&2; exit 3"))
    assert (ended.code, ended.signal, ended.output, ended.errors) == (3, None, b"out\n", b"err\n")
    assert (ended.timed_out, ended.flooded, ended.stopped, ended.spawn_error) == (False, False, False, "")
    assert ended.output_bytes == 4
    assert 0 < ended.seconds < 5


@pytest.mark.parametrize(
    ("script", "code", "by"),
    [
        ("exit 130", 130, None),
        ("exit 137", 137, None),
        ("kill -INT $$", None, signal.SIGINT),
        ("kill -KILL $$", None, signal.SIGKILL),
    ],
)
def test_signal_only_when_the_system_says_so(script: str, code: int | None, by: int | None) -> None:
    """A script that itself exits 130 is an ordinary failure; one that dies of SIGINT is a signal death.

    Source: spec/edge-cases.md item 60.
    """
    ended = Processes().run(sh(script))
    assert (ended.code, ended.signal) == (code, by)


def test_instant_exit_loses_no_output() -> None:
    """A child that fills its pipe and exits at once is seen to exit, and all it wrote is there."""
    commands = [sh("head -c 65536 /dev/zero; head -c 900 /dev/zero >&2")] * 30
    results = Processes().run_all(commands)
    assert {(ended.code, ended.output_bytes, len(ended.errors)) for ended in results} == {(0, 65536, 900)}


def test_exit_leaves_no_output_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is still in the pipes when the exit is noticed is read before they are closed."""
    monkeypatch.setattr(children, "_CHUNK", 100)
    ended = Processes().run(*exits_meanwhile(tmp_path, "head -c 900 /dev/zero; head -c 800 /dev/zero >&2"))
    assert (ended.code, ended.output_bytes, len(ended.errors)) == (0, 903, 800)


def test_background_grandchild(tmp_path: Path) -> None:
    """The run ends when the child exits, though a grandchild holds the pipe; the grandchild is let live.

    Source: spec/edge-cases.md item 59.
    """
    ended = Processes().run(sh(f"sleep 30 & echo $! > {tmp_path}/pid; echo reading", deadline_s=20))
    grandchild = pid_in(tmp_path / "pid")
    try:
        assert (ended.code, ended.timed_out, ended.output) == (0, False, b"reading\n")
        assert ended.seconds < 10
        assert not gone(grandchild)
    finally:
        os.kill(grandchild, signal.SIGKILL)


def test_chattering_grandchild(tmp_path: Path) -> None:
    """A grandchild that never stops writing does not keep the run from ending: the last drain is bounded."""

    def slow_reader(_: bytes) -> None:
        """Slower than the writer, so that the pipe is never found empty."""
        until(lambda: gone(pid_in(tmp_path / "child")), what="the exit")
        time.sleep(0.002)

    script = f"echo $$ > {tmp_path}/child; echo on; yes & echo $! > {tmp_path}/pid; exit 0"
    ended = Processes().run(sh(script, deadline_s=20), on_output=slow_reader)
    until(lambda: gone(pid_in(tmp_path / "pid")), what="yes to die of SIGPIPE")
    assert (ended.code, ended.timed_out) == (0, False)
    assert ended.seconds < 10


def test_lost_status_is_no_success() -> None:
    """When SIGCHLD is ignored the system throws the exit status away: that is never taken for exit 0."""
    previous = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        ended = Processes().run(sh("echo done; exit 0"))
    finally:
        signal.signal(signal.SIGCHLD, previous)
    assert (ended.code, ended.output) == (None, b"done\n")
    assert "SIGCHLD" in ended.spawn_error


# --- what the child is given -----------------------------------------------------------------------------------


def test_own_group_and_no_strange_files() -> None:
    """The child leads a group of its own and inherits nothing but its three standard streams.

    Source: spec/edge-cases.md item 263.
    """
    leak, other_end = os.pipe()
    os.set_inheritable(leak, True)
    script = (
        "import os; print(os.getpgid(0) == os.getpid(), [fd for fd in range(3, 99) if os.path.exists(f'/dev/fd/{fd}')])"
    )
    try:
        ended = Processes().run(Command(argv=[sys.executable, "-I", "-S", "-c", script], cwd="/"))
    finally:
        os.close(leak)
        os.close(other_end)
    assert ended.output in (b"True []\n", b"True [3]\n"), ended.errors  # /dev/fd itself, while it is looked at


def test_stdin(tmp_path: Path) -> None:
    """stdin is the named file, or /dev/null. Source: spec/edge-cases.md item 72."""
    (tmp_path / "prompt").write_text("what now?")
    assert Processes().run(sh("cat", stdin=str(tmp_path / "prompt"))).output == b"what now?"
    assert Processes().run(sh("cat")).output == b""


def test_environment_and_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is inherited unless one is given; the working directory is the one named."""
    monkeypatch.setenv("LOOOP_TEST", "inherited")
    script = 'echo "$LOOOP_TEST"; pwd -P'
    here = str(tmp_path.resolve())
    assert Processes().run(sh(script, tmp_path)).output.decode() == f"inherited\n{here}\n"
    assert Processes().run(sh(script, tmp_path, env={"LOOOP_TEST": "given"})).output.decode() == f"given\n{here}\n"


def test_merged_errors() -> None:
    """With `merge_errors` stderr is part of the output, in the order written."""
    ended = Processes().run(sh("echo 1; echo 2 >&2; echo 3", merge_errors=True))
    assert (ended.output, ended.errors) == (b"1\n2\n3\n", b"")


# --- not started -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ("#!/bin/sh\necho hi\n", 0o644, "exec bit"),
        ("#!/no/such/interpreter\n", 0o755, "interpreter in its #! line"),
        ("\x00\x01 neither script nor program", 0o755, "#! line"),
    ],
    ids=["no exec bit", "bad shebang", "no shebang"],
)
def test_cannot_be_executed(tmp_path: Path, text: str, mode: int, said: str) -> None:
    """A script without exec bit or with a bad first line is a spawn error that says what to look at.

    Source: spec/edge-cases.md item 57.
    """
    path = executable(tmp_path / "sensor.sh", text, mode)
    ended = Processes().run(Command(argv=[path], cwd="/"))
    assert (ended.code, ended.signal, ended.output) == (None, None, b"")
    assert said in ended.spawn_error
    assert path in ended.spawn_error


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (sh("echo hi", cwd="/no/such/folder"), "/no/such/folder"),
        (sh("cat", stdin="/no/such/prompt"), "/no/such/prompt"),
        (sh("echo", env={"BIG": "x" * 4_000_000}), "too long"),
        (sh("echo " + "x" * 4_000_000), "too long"),
        (sh("echo \0"), "null byte"),
        (sh("echo \ud800"), "surrogates"),
    ],
    ids=["missing cwd", "missing stdin", "E2BIG by environment", "E2BIG by argument", "NUL", "no UTF-8"],
)
def test_cannot_be_started(command: Command, said: str) -> None:
    """Whatever keeps a command from starting is told in its result; nothing is raised.

    Source: spec/edge-cases.md items 57, 99.
    """
    ended = Processes().run(command)
    assert (ended.code, ended.signal) == (None, None)
    assert said in ended.spawn_error


# --- what is kept ----------------------------------------------------------------------------------------------


def test_bytes_pass_through() -> None:
    """Output that is not UTF-8 arrives unchanged, in the result and chunk by chunk.

    Source: spec/edge-cases.md items 94, 95.
    """
    chunks: list[bytes] = []
    ended = Processes().run(sh(r"printf 'a\377\376b\nno newline'"), on_output=chunks.append)
    assert ended.output == b"".join(chunks) == b"a\xff\xfeb\nno newline"


def test_chunks_arrive_while_it_runs(tmp_path: Path) -> None:
    """`on_output` sees a chunk as soon as it is written, not at the end."""
    command = sh(f"echo go; while [ ! -e {tmp_path}/seen ]; do sleep 0.01; done; echo end", deadline_s=20)
    ended = Processes().run(command, on_output=lambda _: (tmp_path / "seen").touch())
    assert (ended.code, ended.output) == (0, b"go\nend\n")


def test_head_or_tail() -> None:
    """Of the output the head or the tail is kept, of stderr always the tail, and the full size is known.

    Source: spec/edge-cases.md item 61.
    """
    both = "i=1; while [ $i -le 2000 ]; do echo $i; i=$((i+1)); done"
    head = Processes().run(sh(f"{both}; ({both}) >&2", keep=4, keep_errors=10))
    tail = Processes().run(sh(both, keep=10, keep_end=True))
    none = Processes().run(sh(both, keep=0, keep_end=True, keep_errors=0))
    assert (head.output, head.errors) == (b"1\n2\n", b"1999\n2000\n")
    assert (tail.output, none.output) == (b"1999\n2000\n", b"")
    assert {run.output_bytes for run in (head, tail, none)} == {8893}


@pytest.mark.parametrize("keep_end", [False, True], ids=["head", "tail"])
def test_memory_is_bounded(keep_end: bool) -> None:
    """A child that prints 100 MB on both streams costs what is kept and a chunk, not 100 MB.

    Source: spec/edge-cases.md item 61.
    """
    script = "head -c 100000000 /dev/zero; head -c 20000000 /dev/zero >&2"
    tracemalloc.start()
    try:
        ended = Processes().run(sh(script, keep_end=keep_end))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (ended.output_bytes, len(ended.output), len(ended.errors)) == (100_000_000, 65536, 1024)
    assert peak < 600_000


# --- deadline and flood ----------------------------------------------------------------------------------------


def test_deadline(tmp_path: Path) -> None:
    """At its deadline a hung run and its children are killed; runs beside it end as they would alone.

    Here one of them closes its streams and runs on, another floods, and both are held to their deadline too.
    Source: spec/edge-cases.md items 58, 90, 91.
    """
    started = time.monotonic()
    hung, deaf, loud, quick = Processes().run_all(
        [
            sh(group_of_two(tmp_path, IGNORES_TERM), deadline_s=1),
            sh(f"echo bye; exec >&- 2>&-; {HOLDS_ON}", deadline_s=1),
            sh("yes", deadline_s=1),
            sh("echo quick; exit 4", deadline_s=1),
        ]
    )
    assert time.monotonic() - started < 4
    assert_group_gone(tmp_path)
    for ended in (hung, deaf, loud):
        assert (ended.timed_out, ended.code, ended.signal) == (True, None, signal.SIGKILL)
        assert 1 <= ended.seconds < 3
    assert (hung.output, deaf.output) == (b"ready\n", b"bye\n")
    assert loud.output_bytes > 1_000_000
    assert (quick.code, quick.output, quick.timed_out) == (4, b"quick\n", False)
    assert quick.seconds < 0.8


@pytest.mark.parametrize("deadline", [0, -1, 10**12, 10**400])
def test_no_deadline(deadline: int) -> None:
    """Zero, or a number beyond all clocks, is no deadline and no crash. Source: spec/edge-cases.md items 68, 182."""
    ended = Processes().run(sh("sleep 0.05; echo hi", deadline_s=deadline))
    assert (ended.code, ended.timed_out) == (0, False)


def test_exit_wins_over_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that exits 0 in the moment its deadline passes is a success. Source: spec/edge-cases.md item 93."""
    late = 0.0
    monkeypatch.setattr(children, "monotonic", lambda: time.monotonic() + late)

    def pass_the_deadline() -> None:
        nonlocal late
        late = 100.0

    ended = Processes().run(*exits_meanwhile(tmp_path, "exit 0", pass_the_deadline, deadline_s=50))
    assert (ended.code, ended.timed_out, ended.signal) == (0, False, None)


def test_flood(tmp_path: Path) -> None:
    """Output over the limit stops the whole group. Source: spec/edge-cases.md item 90."""
    ended = Processes().run(sh(f"sleep 30 & echo $! > {tmp_path}/pid; yes", flood=300_000, deadline_s=20))
    assert (ended.flooded, ended.timed_out, ended.code) == (True, False, None)
    assert 300_000 < ended.output_bytes < 3_000_000
    until(lambda: gone(pid_in(tmp_path / "pid")), what="the end of the group")


def test_flood_limit() -> None:
    """The limit itself is no flood, one byte more is, also when the child has exited before anyone looked."""
    at, over = Processes().run_all([sh("printf 12345", flood=5), sh("printf 123456", flood=5)])
    assert (at.flooded, at.code) == (False, 0)
    assert (over.flooded, over.output) == (True, b"123456")


def test_no_kill_after_reap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stop: StopFlag) -> None:
    """A group is signalled only while its leader is unreaped, and never after an ordinary exit.

    Source: spec/edge-cases.md item 92.
    """
    signalled: list[str] = []
    killpg = os.killpg

    def watched(pid: int, number: int) -> None:
        signalled.append(state_of(pid))
        killpg(pid, number)

    monkeypatch.setattr(os, "killpg", watched)
    Processes().run_all([sh("exit 0"), sh("sleep 0.2 & exit 1"), sh("kill -9 $$")])
    assert signalled == []
    processes = Processes(stop)
    processes.run(sh("yes", flood=1000))
    processes.run(sh(HOLDS_ON, deadline_s=1))
    processes.run(sh(f"echo; {HOLDS_ON}"), on_output=lambda _: stop.request())
    assert len(signalled) >= 4
    assert "" not in signalled


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_child_that_cannot_be_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: StopFlag) -> None:
    """A child that survives SIGKILL (it belongs to root, the disk hangs) is left behind, not waited for.

    A stop that comes after the kill changes neither that nor the reason given.
    """
    monkeypatch.setattr(children, "_REAP_GRACE_S", 0.1)
    with monkeypatch.context() as powerless:
        powerless.setattr(os, "killpg", lambda pid, number: None)
        powerless.setattr(os, "kill", lambda pid, number: None)
        command = sh(f"echo $$ > {tmp_path}/pid; echo flood; exec sleep 30", flood=1)
        ended = Processes(stop).run(command, on_output=lambda _: stop.request())
    child = pid_in(tmp_path / "pid")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert (ended.flooded, ended.stopped, ended.code, ended.signal) == (True, False, None, None)
    assert ended.seconds < 5


# --- side by side ----------------------------------------------------------------------------------------------


def test_side_by_side(tmp_path: Path) -> None:
    """Commands run at the same time: two that wait for one another both end."""
    for name in ("a", "b"):
        os.mkfifo(tmp_path / name)
    first = sh("echo from-1 > a; cat b", tmp_path, deadline_s=10)
    second = sh("cat a; echo from-2 > b", tmp_path, deadline_s=10)
    assert [ended.output for ended in Processes().run_all([first, second])] == [b"from-2\n", b"from-1\n"]


def test_order_and_isolation() -> None:
    """Results come in the order given, and a command that fails or cannot start fails alone.

    Source: spec/edge-cases.md item 69.
    """
    commands = [sh("sleep 0.1; echo 0"), Command(argv=["/no/such"], cwd="/"), sh("echo 2; exit 7"), sh("echo 3")]
    results = Processes().run_all(commands)
    assert [ended.output for ended in results] == [b"0\n", b"", b"2\n", b"3\n"]
    assert [ended.code for ended in results] == [0, None, 7, 0]
    assert Processes().run_all([]) == []


def test_more_than_fit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """When more commands are given than run at once, the rest follow, and never more than that run at once."""
    monkeypatch.setattr(children, "_SIDE_BY_SIDE", 2)
    script = f"mkdir {tmp_path}/$$; ls {tmp_path}; rmdir {tmp_path}/$$"
    results = Processes().run_all([sh(script)] * 9)
    assert [ended.code for ended in results] == [0] * 9
    assert max(ended.output.count(b"\n") for ended in results) <= 2


# --- stop ------------------------------------------------------------------------------------------------------


def test_stopped_before_start(tmp_path: Path, stop: StopFlag) -> None:
    """After a stop was requested nothing is started."""
    stop.request()
    results = Processes(stop).run_all([sh(f"touch {tmp_path}/started")] * 2)
    assert results == [Ended(stopped=True)] * 2
    assert list(tmp_path.iterdir()) == []


def test_stop_is_polite_first(stop: StopFlag) -> None:
    """On a stop the group gets SIGTERM, and one that cleans up and exits is not waited for any longer."""
    script = f"trap 'echo cleaned; exit 5' TERM; echo ready; {HOLDS_ON}"
    ended = Processes(stop).run(sh(script), on_output=lambda _: stop.request())
    assert (ended.stopped, ended.timed_out, ended.code) == (True, False, 5)
    assert ended.output == b"ready\ncleaned\n"
    assert ended.seconds < 1.4


def test_stop_gives_grace_to_the_group(stop: StopFlag) -> None:
    """A grandchild that cleans up on SIGTERM may finish, though its parent is gone already."""
    tidy = f"trap 'sleep 0.1; echo cleaned; exit' TERM; echo ready; {HOLDS_ON}"
    ended = Processes(stop).run(sh(f'sh -c "{tidy}" & exec sleep 30'), on_output=lambda _: stop.request())
    assert (ended.stopped, ended.output) == (True, b"ready\ncleaned\n")
    assert ended.seconds < 1.4


def test_stop_kills_what_is_left(tmp_path: Path, stop: StopFlag, monkeypatch: pytest.MonkeyPatch) -> None:
    """A group that ignores SIGTERM is killed when its grace is over."""
    monkeypatch.setattr(children, "_STOP_GRACE_S", 0.2)
    command = sh(group_of_two(tmp_path, IGNORES_TERM), deadline_s=20)
    with idle():
        ended = Processes(stop).run(command, on_output=lambda _: stop.request())
    assert (ended.stopped, ended.timed_out, ended.signal) == (True, False, signal.SIGKILL)
    assert 0.2 <= ended.seconds < 5
    assert_group_gone(tmp_path)


@pytest.mark.parametrize("streams", ["", ">/dev/null 2>&1"], ids=["holds the pipe", "holds nothing"])
def test_stop_leaves_no_grandchild(
    tmp_path: Path, stop: StopFlag, monkeypatch: pytest.MonkeyPatch, streams: str
) -> None:
    """A grandchild that ignores SIGTERM goes too, though its parent obeyed and is gone."""
    monkeypatch.setattr(children, "_STOP_GRACE_S", 0.2)
    deaf = f"sh -c \"trap '' TERM; echo \\$\\$ > {tmp_path}/pid; {HOLDS_ON}\" {streams} &"
    polite = f"{deaf} while [ ! -s {tmp_path}/pid ]; do sleep 0.01; done; echo ready; exec sleep 30"
    with idle():
        ended = Processes(stop).run(sh(polite), on_output=lambda _: stop.request())
    assert ended.stopped
    assert ended.seconds < 5
    until(lambda: gone(pid_in(tmp_path / "pid")), what="the end of the grandchild")


def test_stop_reaches_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop ends every run at once, keeps what had ended before, and starts none of the rest."""
    monkeypatch.setattr(children, "_SIDE_BY_SIDE", 3)
    names = ("early", "one", "two")

    def all_started_and_the_first_reaped() -> bool:
        started = all((tmp_path / name).exists() for name in names)
        return started and state_of(pid_in(tmp_path / "early")) == ""

    commands = [sh(f"echo $$ > {tmp_path}/early")]
    commands += [sh(f"echo $$ > {tmp_path}/{name}; exec sleep 30") for name in ("one", "two", "never")]
    early, one, two, never = Processes(PolledStop(all_started_and_the_first_reaped)).run_all(commands)
    assert (early.code, early.stopped) == (0, False)
    for ended in (one, two):
        assert (ended.stopped, ended.signal) == (True, signal.SIGTERM)
        assert ended.seconds < 1.4
    assert never == Ended(stopped=True) or never.signal == signal.SIGTERM
    assert never.stopped


def test_stop_wakes_a_silent_wait(stop: StopFlag, tmp_path: Path) -> None:
    """A signal that requests a stop ends the wait for a run that says nothing, within its grace.

    Source: spec/edge-cases.md item 143.
    """
    stop.install()
    ended = Processes(stop).run(sh(f"kill -TERM {os.getpid()}; exec sleep 30"))
    assert (ended.stopped, ended.signal) == (True, signal.SIGTERM)
    assert ended.seconds < 1.4


# --- exceptions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_exception_kills_all(tmp_path: Path, kind: type[BaseException]) -> None:
    """Whatever `on_output` raises propagates, after the group was killed and reaped."""

    def refuse(_: bytes) -> None:
        raise kind("over budget")

    with pytest.raises(kind, match="over budget"):
        Processes().run(sh(group_of_two(tmp_path, IGNORES_TERM)), on_output=refuse)
    assert_group_gone(tmp_path)


def test_interrupt_kills_all_groups(tmp_path: Path) -> None:
    """A KeyboardInterrupt while several run leaves none of them behind."""
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()

    def interrupt() -> bool:
        if all((folder / "grandchild").exists() and pid_in(folder / "grandchild") for folder in folders):
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        Processes(PolledStop(interrupt)).run_all([sh(group_of_two(folder)) for folder in folders])
    for folder in folders:
        assert_group_gone(folder)


@pytest.mark.parametrize("size", [1, 65_536, 1_000_000])
def test_a_command_is_fed(size):
    """What it is fed is its stdin, whole, however large, and ends."""
    ended = Processes().run(sh("wc -c", feed=b"x" * size, deadline_s=20))
    assert (ended.code, int(ended.output)) == (0, size)


def test_a_command_that_does_not_read_what_it_is_fed_ends_as_it_ends():
    """Neither a reader that leaves nor one that never reads holds anything up."""
    assert Processes().run(sh("head -c 1 >/dev/null; exit 3", feed=b"x" * 1_000_000)).code == 3
    assert Processes().run(sh(HOLDS_ON, feed=b"x" * 1_000_000, deadline_s=1)).timed_out
