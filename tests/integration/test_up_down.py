"""`looop up` and `looop down` as a person runs them: real processes, a real pulse, real workers.

Source: spec/cli.md §2 `up`, `down`; spec/edge-cases.md items 226, 227.
"""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from looop.contract.local import Local
from looop.contract.updown import Down, down, up
from looop.runtime.lock import holder, is_held, startup_lock
from looop.session.fleet import Session
from looop.session.kin import is_alive
from looop.state.open import open_house
from looop.state.sessions import PULSE, Sessions
from tests.fakes.command import Looop
from tests.fakes.crew import IDLE, no_worker_left, processes_of
from tests.fakes.racing import Track, side_by_side
from tests.fakes.waiting import gone, until

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at processes in /proc")


class Running(Looop):
    """looop over a data dir that is set up, with nobody to decide; `started` are processes beside the test."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.env |= {"LOOOP_INTERVAL": "3600", "LOOOP_MIN_BEAT_GAP": "0"}
        self.started: list[subprocess.Popen[str]] = []

    def pulse(self) -> "subprocess.Popen[str]":
        """A pulse in the foreground, once it holds its lock."""
        self.started.append(self.start("pulse"))
        until(lambda: holder(str(self.data)) == str(self.started[-1].pid), what="the pulse")
        return self.started[-1]

    def up(self) -> Session:
        """The pulse's session after `up`."""
        assert (said := self("up")).code == 0, said
        return self.session(PULSE)

    def session(self, name: str) -> Session:
        return Sessions(str(self.data)).require(name)

    def work(self, *workers: str, command: str = IDLE) -> None:
        for worker in workers:
            assert (said := self("worker", "start", worker, "do", "--command", command)).code == 0, said

    @property
    def held(self) -> bool:
        return is_held(str(self.data))


@pytest.fixture
def looop(tmp_path: Path) -> Iterator[Running]:
    made = Running(tmp_path)
    made.settle()
    made.write("config.json", "{}")
    with no_worker_left(made.data):
        yield made
        for process in made.started:
            with suppress(ProcessLookupError):
                process.kill()
            process.communicate()


def environ(pid: int) -> dict[str, str]:
    parts = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(part.split("=", 1) for part in parts if part)


def test_up_wants_a_looop_that_is_set_up(looop: Running) -> None:
    """Before init one line names it, the exit code is 1, and nothing runs. Source: spec/cli.md §2 `up`."""
    (looop.data / "config.json").unlink()
    said = looop("up")
    assert (said.code, said.out) == (1, "")
    assert said.err.count("\n") == 1 and "looop init" in said.err and "config.json" in said.err
    assert processes_of(looop.data) == []


def test_up_starts_a_pulse_and_down_ends_it(looop: Running) -> None:
    """Each says what it saw, also the second time; the pulse beats, and its log stays until the next one starts.

    Source: spec/cli.md §2.
    """
    assert looop("up").out == "looop: pulse started\n"
    said = looop("up")
    assert (said.code, said.out, said.err) == (0, "looop: pulse already running\n", "")
    assert looop("state", "--json").json["pulse_alive"] is True
    until(lambda: "tick_start" in looop.read("events.jsonl"), what="a beat")
    pid = looop.session(PULSE).child_pid
    said = looop("down")
    assert (said.code, said.out, said.err) == (0, "looop: pulse stopped\n", "")
    assert pid and gone(pid) and not looop.held and "pulse stopped" in looop("log", PULSE).out
    said = looop("down")
    assert (said.code, said.out, said.err) == (0, "looop: pulse not running\n", "")
    assert looop("up").out == "looop: pulse started\n"


def test_of_many_ups_at_once_one_starts_a_pulse(looop: Running) -> None:
    """The others say that one runs already, with exit code 0. Source: spec/edge-cases.md item 226."""
    starters = [looop.start("up") for _ in range(4)]
    said = sorted(starter.communicate(timeout=30) for starter in starters)
    assert said == [("looop: pulse already running\n", "")] * 3 + [("looop: pulse started\n", "")]
    assert [starter.returncode for starter in starters] == [0] * 4
    assert sum(" pulse" in line and "--detached-id" not in line for line in processes_of(looop.data)) == 1


def test_of_two_ups_in_the_same_instant_one_starts_a_pulse(looop: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """However close they are, neither fails and neither is told that it started what the other did. Edge case 226."""
    for name, value in looop.env.items():
        monkeypatch.setenv(name, value)
    track = Track()

    def racer(me: int) -> bytes:
        said = b""
        for turn in range(1, 9, 2):
            house, paths = open_house()
            track.meet(me, 1 - me, turn)
            said += b"1" if up(house, paths) else b"0"
            track.meet(me, 1 - me, turn + 1)
            if me == 0:
                assert down(house) == Down(pulse_stopped=True, workers=[], left=[])
        return said

    first, second = side_by_side(lambda: racer(0), lambda: racer(1))
    assert [a + b for a, b in zip(first, second, strict=True)] == [ord("0") + ord("1")] * 4


def test_up_that_cannot_have_the_lease_says_so(looop: Running) -> None:
    """What is in the place of the lease is one line and exit code 1. Source: spec/cli.md §2 `up`."""
    with startup_lock(str(looop.data)):
        pass
    (looop.data / ".lock/.dirlock").unlink()
    (looop.data / ".lock/.dirlock").mkdir()
    said = looop("up")
    assert said.code == 1 and said.err.count("\n") == 1 and ".dirlock" in said.err


def test_what_up_printed_ends_with_it(looop: Running) -> None:
    """Whoever captures it is not kept waiting by the pulse. Source: spec/edge-cases.md item 164."""
    began = time.monotonic()
    said = looop.in_shell('x=$(looop up 2>&1 | cat); echo "[$x]"')
    assert said.out == "[looop: pulse started]\n" and time.monotonic() - began < 15
    assert looop.held


def test_a_pulse_outlives_its_terminal(looop: Running) -> None:
    """The terminal it was started from goes, with a hangup to all in it; the pulse beats on. Source: spec/cli.md §2."""
    ours, theirs = pty.openpty()
    script = f'"{sys.executable}" -m looop up; echo ready; sleep 600'
    shell = subprocess.Popen(
        ["setsid", "--ctty", "sh", "-c", script], stdin=theirs, stdout=theirs, stderr=theirs, env=looop.env
    )
    os.close(theirs)
    seen = b""
    while b"ready" not in seen:
        seen += os.read(ours, 4096)
    os.close(ours)
    assert shell.wait(10) != 0
    assert looop.held and b"pulse started" in seen
    until((looop.data / "snapshots/sys-sessions.json").exists, what="the first beat")
    count = looop.read("events.jsonl").count("tick_start")
    looop.write("goals/new.md", "a goal\n")
    until(lambda: looop.read("events.jsonl").count("tick_start") > count, what="another beat")


def test_down_ends_the_pulse_before_the_workers(looop: Running) -> None:
    """When the first worker is told to end, nobody holds the pulse's lock any more. Source: edge case 227."""
    looop.up()
    note = "trap 'flock -n .lock/lock echo pulse-gone >> order; exit' HUP; echo x > ready; sleep 600 & wait"
    looop.work("w", command=f"{note}; : {{{{prompt_file}}}}")
    until((looop.data / "ready").exists)
    said = looop("down")
    assert said.out == "looop: stopped 1 worker (w)\nlooop: pulse stopped\n"
    assert looop.read("order") == "pulse-gone\n"


@pytest.mark.parametrize(
    ("workers", "line"), [(["a"], "stopped 1 worker (a)"), (["a", "b", "ü"], "stopped 3 workers (a, b, ü)")]
)
def test_down_names_whom_it_ended(looop: Running, workers: list[str], line: str) -> None:
    """One or many, also without a pulse; they are dead and still owe their verify. Source: spec/cli.md §2 `down`."""
    looop.work(*workers)
    said = looop("down")
    assert (said.code, said.out, said.err) == (0, f"looop: {line}\nlooop: pulse not running\n", "")
    assert [looop.session(name).state for name in workers] == ["killed"] * len(workers)
    assert processes_of(looop.data) == []


def test_down_ends_who_does_not_listen(looop: Running) -> None:
    """A worker that ignores every signal it can is gone with all it started. Source: edge cases 170, 227."""
    looop.up()
    looop.work("deaf", command="trap '' HUP TERM INT; setsid -f sleep 600; sleep 600 & sleep 600; : {{prompt_file}}")
    looop.work("stopped", command="kill -STOP $$; : {{prompt_file}}")
    assert looop("down").out == "looop: stopped 2 workers (deaf, stopped)\nlooop: pulse stopped\n"
    assert processes_of(looop.data) == []


def test_down_ends_what_a_dead_supervisor_left(looop: Running) -> None:
    """Without a pulse nobody else would. Source: users.md row Orphans; edge case 227."""
    looop.work("w", command="trap '' HUP; setsid -f sleep 600; sleep 600; : {{prompt_file}}")
    session = looop.session("w")
    until(lambda: len(processes_of(looop.data)) >= 4)
    os.kill(session.pid, signal.SIGKILL)
    until(lambda: not is_alive(session.pid, session.born))
    said = looop("down")
    assert (said.code, said.err) == (0, "")
    assert processes_of(looop.data) == [] and looop.session("w").state == "killed"


def test_down_ends_a_pulse_in_the_foreground(looop: Running) -> None:
    """However it was started; and `up` beside it starts none. Source: spec/cli.md §2 `up`, `down`."""
    process = looop.pulse()
    assert looop("up").out == "looop: pulse already running\n"
    assert looop("down").out == "looop: pulse stopped\n"
    assert process.wait(10) == 0


@pytest.mark.parametrize("where", ["session", "foreground", "supervisor"])
def test_down_ends_a_pulse_that_is_stopped(looop: Running, where: str) -> None:
    """One that somebody has suspended is woken, and ends as if it had been awake. Source: edge case 227."""
    if where == "foreground":
        pid = looop.pulse().pid
    else:
        session = looop.up()
        pid = session.pid if where == "supervisor" else session.child_pid or 0
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    said = looop("down")
    assert (said.code, said.out, said.err) == (0, "looop: pulse stopped\n", "")
    assert not looop.held and time.monotonic() - began < 20
    until(lambda: gone(pid), 5, "the end of its process")


def test_a_killed_pulse_is_replaced(looop: Running) -> None:
    """Pulse or supervisor killed, `up` starts another one over what is left. Source: spec/cli.md §2 `up`."""
    for victim in ("child", "supervisor"):
        session = looop.up()
        os.kill(session.child_pid if victim == "child" and session.child_pid else session.pid, signal.SIGKILL)
        until(lambda session=session: not is_alive(session.pid, session.born) and not looop.held)  # type: ignore[misc]
        assert looop("up").out == "looop: pulse started\n"
        assert looop("down").out == "looop: pulse stopped\n"


def test_a_pulse_may_log_json(looop: Running) -> None:
    """With --json every line of its log is one JSON document. Source: spec/cli.md §2 `up`."""
    assert looop("up", "--json").out == "looop: pulse started [json]\n"
    log = looop.data / "sessions" / PULSE / "output.log"
    until(lambda: log.exists() and b"tick." in log.read_bytes(), what="log lines")
    lines = [line for line in log.read_text().replace("\r", "").split("\n")[:-1] if line]
    assert len(lines) >= 2 and all("event" in json.loads(line) for line in lines)


def test_up_before_init_is_about_init(looop: Running) -> None:
    """Without a config it says so and names `init`, whatever runner is missing, and nothing is started.

    Source: edge case 225.
    """
    (looop.data / "config.json").unlink()
    said = looop("up", env={"PATH": "/nonexistent"})
    assert (said.code, said.out) == (1, "") and "not initialized" in said.err and "looop init" in said.err
    assert "PATH" not in said.err and processes_of(looop.data) == []


def test_down_needs_no_runner(looop: Running) -> None:
    """With the runner uninstalled, and even a config gone bad, pulse and workers end. Source: edge case 224."""
    looop.up()
    looop.work("w")
    for config in ('{"tick_command": "no-such-agent", "worker_command": "no-such-agent {{prompt_file}}"}', "{"):
        looop.write("config.json", config)
        said = looop("down")
        assert (said.code, said.err) == (0, "")
    assert processes_of(looop.data) == []


def test_the_log_format_of_the_pulse_is_not_ours(looop: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """--json goes to the pulse with the environment it is given; ours is as it was before. Source: edge case 228."""
    for name, value in looop.env.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    local = Local()
    assert local.up(json_log=True) and dict(os.environ) == before
    child = looop.session(PULSE).child_pid
    assert child and environ(child)["LOOOP_LOG_FORMAT"] == "json"


@pytest.mark.parametrize("config", ["{broken", '{"interval": "often"}', "[]"])
def test_a_config_that_cannot_be_read_is_one_line(looop: Running, config: str) -> None:
    """The pulse is not started; what is wrong is said at once, on stderr. Source: spec/cli.md §2 `up`, §4."""
    looop.write("config.json", config)
    said = looop("up")
    assert (said.code, said.out) == (1, "") and said.err.count("\n") == 1 and "config.json" in said.err
    assert processes_of(looop.data) == []


@pytest.mark.parametrize("kind", ["folder", "link to itself"])
def test_a_config_that_may_not_be_looked_at_is_no_missing_one(looop: Running, kind: str) -> None:
    """`up` says what keeps it from reading the config, and does not send anybody to `init`; `state` names it, too.

    Source: edge cases 234, 266.
    """
    place = looop.data / "config.json"
    place.unlink()
    place.mkdir() if kind == "folder" else place.symlink_to(place.name)
    said = looop("up")
    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert "cannot read the config" in said.err and "init" not in said.err
    assert "! cannot read the config" in looop("state").out
    assert processes_of(looop.data) == []


def test_a_pulse_that_does_not_come_up_is_told(looop: Running) -> None:
    """One line, exit code 1, where to look; and there it says why. Source: spec/cli.md §2 `up`."""
    (looop.data / ".lock/lock").mkdir(parents=True)
    said = looop("up")
    assert (said.code, said.out) == (1, "") and said.err.count("\n") == 1
    assert "did not come up" in said.err and f"looop log {PULSE}" in said.err
    assert "cannot open the lock" in looop("log", PULSE).out


def test_the_pulse_is_told_of_a_config_only_if_one_was_given(looop: Running) -> None:
    """Then it uses that one wherever it stands; else a config.toml that comes later counts. Source: spec/cli.md §3."""
    assert "LOOOP_CONFIG" not in environ(looop.up().child_pid or 0)
    looop("down")
    for given in (looop.folder / "elsewhere.json", looop.data / "other.json", looop.data / "config.json"):
        given.write_text("{}")
        assert looop("up", env={"LOOOP_CONFIG": str(given)}).code == 0
        assert environ(looop.session(PULSE).child_pid or 0)["LOOOP_CONFIG"] == str(given)
        looop("down")


def test_a_fleet_nobody_can_list_stops_both(looop: Running) -> None:
    """Neither starts nor ends anything then, and says why. Source: spec/edge-cases.md items 156, 157."""
    process = looop.pulse()
    shutil.rmtree(looop.data / "sessions", ignore_errors=True)
    looop.write("sessions", "a file in the place of the folder")
    said = looop("down")
    assert (said.code, said.out) == (1, "") and "cannot enumerate the fleet" in said.err
    assert process.poll() is None
    process.terminate()
    process.wait(10)
    said = looop("up")
    assert (said.code, said.out) == (1, "") and f"{looop.data}/sessions" in said.err
    (looop.data / "sessions").unlink()


def test_down_while_a_beat_decides(looop: Running) -> None:
    """The runner ends with the pulse, nothing is decided, and no process stays. Source: edge cases 143, 227."""
    runner = looop.data / "runner.sh"
    looop.write("runner.sh", "#!/bin/sh\ntrap '' TERM HUP\necho x > asked\nsleep 600\n", 0o755)
    looop.write("config.json", json.dumps({"tick_command": str(runner)}))
    looop.up()
    until((looop.data / "asked").exists, what="the runner")
    assert looop("down").out == "looop: pulse stopped\n"
    until(lambda: processes_of(looop.data) == [], 3, "the runner's end")
    assert not (looop.data / ".tick-backoff").exists()
