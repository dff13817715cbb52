"""Dead workers are judged once, by real commands, before the world is sensed."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from looop.act.verify import reconcile
from looop.runtime.command import Command, Ended
from looop.runtime.lock import workers_lock
from looop.runtime.proc import Processes
from looop.runtime.stop import StopFlag
from looop.state.house import House
from tests.fakes.fleet import FakeFleet, dead, session
from tests.fakes.house import Home
from tests.fakes.waiting import gone, until


class Judged(Home):
    """A house whose fleet the test decides; `judge` reconciles once, `verdict` is what it left."""

    def staff(self, *sessions: Any, broken: str = "", **knobs: Any) -> House:
        """Furnish with these sessions and knobs."""
        self.house = FakeFleet(*sessions, broken=broken).into(self.furnish(**knobs))
        return self.house

    def judge(self) -> None:
        reconcile(self.house, self.clock.now())

    def verdict(self, worker: str) -> Any:
        return self.record(f"verify/{worker}.json")

    def checks(self) -> list[dict[str, Any]]:
        """The log lines of verdicts."""
        return [line for line in self.lines if line["event"] == "worker.verify"]


class Vanishing(FakeFleet):
    """A fleet that runs something the moment it is listed."""

    def __init__(self, *sessions: Any, then: Callable[[], object]) -> None:
        super().__init__(*sessions)
        self.then = then

    def all(self) -> list[Any]:
        self.then()
        return super().all()


@pytest.fixture
def home(root: Path) -> Judged:
    return Judged(root)


def test_a_dead_worker_is_judged_once(home: Judged) -> None:
    """Its command is run in the data dir at the next beat, and never again. Source: edge cases 163, 177."""
    home.write("verify/w.cmd", "pwd; echo ran >> ran; ls -l /dev/fd/0")
    home.staff(dead("w"))
    home.run_beat()
    home.run_beat()
    found = home.verdict("w")
    assert (found["ok"], found["exit_code"], found["ts"]) == (True, 0, home.clock.now())
    assert found["output"].startswith(f"{home.root}\n") and "/dev/null" in found["output"]
    assert (home.root / "ran").read_text() == "ran\n"
    assert [(line["level"], line["worker"]) for line in home.checks()] == [("info", "w")]


def test_a_failed_check_wakes_the_loop_in_the_same_beat(home: Judged) -> None:
    """The verdict is in the reading of the beat that made it. Source: spec/workers.md §6, spec/beat.md §1 step 6."""
    home.write("verify/w.cmd", "echo out; echo err >&2; exit 3")
    home.staff(session("w"))
    before = home.run_beat().world_hash
    assert home.verdict("w") is None
    home.staff(dead("w"))
    assert home.run_beat().world_hash != before
    assert home.verdict("w") == {"ok": False, "exit_code": 3, "output": "out\nerr\n", "ts": home.clock.now()}
    (row,) = home.snapshot("sys-sessions")["signal"]
    assert row == {"id": "w", "state": "exited", "exit_code": 0, "health": "dead", "verify": "fail"}
    (line,) = home.checks()
    assert (line["level"], line["exit_code"], line["cmd"]) == ("warn", 3, "echo out; echo err >&2; exit 3")
    assert [row["ok"] for row in home.events("worker_verify")] == [False]


@pytest.mark.parametrize(
    "ended",
    [dead("w", 0), dead("w", 1), session("w", "killed", signal=9), session("w", "running", alive=False)],
    ids=["exited", "failed", "killed", "supervisor gone"],
)
def test_every_death_is_judged(home: Judged, ended: Any) -> None:
    """However a worker ended, killed ones too, its obligation stands. Source: spec/edge-cases.md item 176."""
    home.write("verify/w.cmd", "true")
    home.staff(ended)
    home.judge()
    assert home.verdict("w")["ok"] is True


def test_a_live_worker_is_waited_for(home: Judged) -> None:
    """Nothing is run while it works, in whatever state. Source: spec/workers.md §6."""
    for worker in ("a", "b"):
        home.write(f"verify/{worker}.cmd", "echo ran >> ran")
    home.staff(session("a"), session("b", "starting", alive=True))
    home.judge()
    assert not (home.root / "ran").exists() and home.verdict("a") is None


def test_a_worker_nobody_knows_is_forgotten(home: Judged) -> None:
    """Command and verdict go, once they are a minute old: a worker that just starts has no session yet.

    Source: spec/workers.md §6, spec/edge-cases.md item 162.
    """
    home.write("verify/w.cmd", "echo ran >> ran")
    home.write("verify/w.json", "torn")
    home.staff(dead("other"))
    home.judge()
    assert (home.root / "verify/w.cmd").exists()
    home.clock.move(61)
    home.judge()
    assert list((home.root / "verify").glob("w.*")) == [] and not (home.root / "ran").exists()


def test_a_worker_that_starts_in_that_moment_keeps_its_command(home: Judged) -> None:
    """What is forgotten is the command that was seen, not a new one under the same id. Source: edge case 184."""
    command = home.write("verify/w.cmd", "true")
    os.utime(command, (1, 1))
    house = home.staff()
    home.house = Vanishing(then=lambda: house.verify.declare("w", "true")).into(house)
    home.judge()
    assert house.verify.obligations() == ["w"]


def test_a_fleet_that_cannot_be_listed_touches_nothing(home: Judged) -> None:
    """No obligation is dropped or run, and one warning says why. Source: spec/edge-cases.md item 179."""
    home.write("verify/w.cmd", "echo ran >> ran")
    home.clock.move(3600)
    before = home.tree()
    home.staff(broken="cannot list sessions: Input/output error")
    home.judge()
    assert home.tree() == before
    assert home.codes() == ["worker.verify_skipped"] and "Input/output error" in home.lines[0]["msg"]


def test_without_obligations_nobody_asks_for_the_fleet(home: Judged) -> None:
    """A house without verify commands does not pay for them. Source: design §1, idle is free."""
    home.staff(broken="unreadable")
    home.judge()
    assert home.lines == []


def test_a_folder_that_cannot_be_listed_is_said(home: Judged) -> None:
    """What is owed is then not known, and nothing is done. Source: spec/beat.md §0, spec/edge-cases.md item 179."""
    home.write("verify", "a file in the place of the folder")
    home.staff(dead("w"))
    home.judge()
    assert home.codes() == ["worker.verify_skipped"]


def test_a_command_that_vanishes_has_no_verdict(home: Judged) -> None:
    """Forgotten by somebody else in between, it is not judged. Source: spec/edge-cases.md item 180."""
    command = home.write("verify/w.cmd", "true")
    house = home.staff(dead("w"))
    home.house = Vanishing(dead("w"), then=command.unlink).into(house)
    home.judge()
    assert home.verdict("w") is None and home.checks() == []


@pytest.mark.parametrize("damage", ["unreadable", "empty", "blank"])
def test_a_command_that_says_nothing_is_a_failure(home: Judged, damage: str) -> None:
    """It is never run as an empty command, which would pass; the verdict names the file. Source: edge case 180."""
    if damage == "unreadable":
        (home.root / "verify").mkdir()
        (home.root / "verify/w.cmd").symlink_to("w.cmd")
    else:
        home.write("verify/w.cmd", "" if damage == "empty" else " \n")
    home.staff(session("w"))
    home.judge()
    assert home.verdict("w") is None
    home.staff(dead("w"))
    home.judge()
    found = home.verdict("w")
    assert (found["ok"], found["exit_code"]) == (False, None) and "verify/w.cmd" in found["output"]
    assert "verify/w.cmd" in home.checks()[0]["msg"]


def test_a_successor_is_not_judged_by_its_predecessors_check(home: Judged) -> None:
    """Started after the command was read, it keeps its own obligation. Source: spec/edge-cases.md item 184."""
    home.write("verify/w.cmd", "echo old")
    house = home.staff(dead("w"))

    def start_again() -> None:
        house.verify.clear("w")
        house.verify.declare("w", "echo old")

    home.house = Vanishing(dead("w"), then=start_again).into(house)
    home.judge()
    assert home.verdict("w") is None and home.checks() == [] and house.verify.obligations() == ["w"]


def test_a_torn_verdict_is_made_again(home: Judged) -> None:
    """What a crash left half written counts for nothing. Source: spec/edge-cases.md item 177."""
    home.write("verify/w.cmd", "true")
    home.write("verify/w.json", '{"ok":tr')
    home.staff(dead("w"))
    home.judge()
    assert home.verdict("w")["ok"] is True


@pytest.mark.slow
def test_a_hanging_check_is_stopped_with_all_it_started(home: Judged) -> None:
    """At the deadline the whole group goes, and that is a failure that says so. Source: spec/workers.md §6."""
    home.write("verify/w.cmd", "sleep 300 & echo $! > child; echo waiting; wait")
    home.staff(dead("w"), verify_timeout_secs=1)
    home.judge()
    found = home.verdict("w")
    assert (found["ok"], found["exit_code"]) == (False, None)
    assert found["output"] == "waiting\n(stopped after 1s: LOOOP_VERIFY_TIMEOUT_SECS)"
    until(lambda: gone(int((home.root / "child").read_text())), what="the child to be gone")


def test_the_tail_of_a_check_begins_with_a_whole_character(home: Judged) -> None:
    """Of a long output 2048 bytes are kept, and no half character at their start. Source: edge case 261."""
    home.write("verify/w.cmd", "head -c 4000 /dev/zero | sed 's/\\x00/é/g'; printf x")
    home.staff(dead("w"))
    home.judge()
    assert home.verdict("w")["output"] == "é" * 1023 + "x"


def test_a_deadline_of_zero_is_none(home: Judged) -> None:
    """0 does not kill at once. Source: spec/edge-cases.md item 182."""
    home.write("verify/w.cmd", "sleep 0.2; echo done")
    home.staff(dead("w"), verify_timeout_secs=0)
    home.judge()
    assert home.verdict("w")["output"] == "done\n"


@pytest.mark.parametrize(
    ("command", "exit_code", "said"),
    [
        ("kill -9 $$", None, "(killed by signal 9)"),
        ("no-such-program-at-all", 127, "not found"),
        ("echo 'unclosed", 2, "unexpected EOF"),
        ("a\0b", None, "(not run: embedded null byte)"),
        ("--version", 127, "not found"),
    ],
)
def test_what_does_not_end_well_is_a_failure(home: Judged, command: str, exit_code: int | None, said: str) -> None:
    """Signals, bad syntax and what cannot be started never pass. Source: spec/workers.md §6."""
    home.write("verify/w.cmd", command)
    home.staff(dead("w"))
    home.judge()
    found = home.verdict("w")
    assert (found["ok"], found["exit_code"]) == (False, exit_code) and said in found["output"]


def test_only_the_end_of_the_output_is_kept(home: Judged) -> None:
    """The last 2048 bytes of both outputs, whatever was printed before. Source: spec/workers.md §6."""
    home.write("verify/w.cmd", "yes x | head -c 5000000; printf '\\377END'; exit 1")
    home.staff(dead("w"))
    home.judge()
    output = home.verdict("w")["output"]
    assert output.endswith("x\n\ufffdEND") and len(output) == 2048


def test_nothing_of_a_check_lies_in_a_shared_folder(home: Judged, monkeypatch: pytest.MonkeyPatch) -> None:
    """Output comes through a pipe, so there is no file to put a link in the way of. Source: edge case 181."""
    folder = home.root.parent / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    home.write("verify/w.cmd", f"ls -la {folder}; readlink /proc/self/fd/1")
    home.staff(dead("w"))
    home.judge()
    assert list(folder.iterdir()) == []
    if sys.platform == "linux":
        assert "pipe:" in home.verdict("w")["output"]


def test_the_text_of_a_command_cannot_speak_to_the_terminal(home: Judged) -> None:
    """Control characters are blanks and a long command is cut in the log. Source: spec/edge-cases.md item 183."""
    home.write("verify/w.cmd", "true \x1b[31m\r\n\t#" + "x" * 400)
    home.staff(dead("w"))
    home.judge()
    (line,) = home.checks()
    assert line["cmd"].startswith("true  [31m   #xxx") and len(line["cmd"]) == 257 and line["cmd"].endswith("…")


class Slow(Processes):
    """Commands that take so many seconds without taking any; `batches` is what was run side by side."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds, self.batches = seconds, list[list[str]]()

    def run_all(self, commands: Sequence[Command]) -> list[Ended]:
        self.batches.append([command.argv[-1] for command in commands])
        return [Ended(code=0, seconds=self.seconds) for _ in commands]


def crowd(home: Judged, count: int) -> list[str]:
    names = [f"w{number:02}" for number in range(count)]
    for name in names:
        home.write(f"verify/{name}.cmd", f"echo {name}")
    return names


def test_many_deaths_take_bounded_time(root: Path) -> None:
    """Once the beat's time is spent the rest waits untouched, with one warning; later beats go on with it.

    Source: spec/edge-cases.md item 178.
    """
    slow = Slow(50.0)
    home = Judged(root, processes=slow)
    names = crowd(home, 20)
    home.staff(*map(dead, names), verify_beat_budget_secs=100)
    home.judge()
    assert [len(batch) for batch in slow.batches] == [4, 4]
    assert [name for name in names if home.verdict(name)] == names[:8]
    assert [line["worker"] for line in home.lines if line["event"] == "worker.verify_deferred"] == [
        ", ".join(names[8:])
    ]
    home.judge()
    home.judge()
    assert [name for name in names if home.verdict(name)] == names
    assert sorted(command for batch in slow.batches for command in batch) == [f"echo {name}" for name in names]
    assert home.codes().count("worker.verify_deferred") == 2


@pytest.mark.parametrize(("budget", "seconds"), [(0, 10**6), (100, 19.0)])
def test_within_the_budget_nobody_waits(root: Path, budget: int, seconds: float) -> None:
    """A budget of 0 is none, and one that is not spent defers nobody. Source: spec/edge-cases.md item 178."""
    home = Judged(root, processes=Slow(seconds))
    names = crowd(home, 20)
    home.staff(*map(dead, names), verify_beat_budget_secs=budget)
    home.judge()
    assert all(home.verdict(name) for name in names) and "worker.verify_deferred" not in home.codes()


def test_checks_run_side_by_side(home: Judged) -> None:
    """Several dead workers do not wait for each other. Source: spec/edge-cases.md item 178."""
    for worker, other in (("a", "b"), ("b", "a")):
        home.write(f"verify/{worker}.cmd", f"touch {worker}; until [ -e {other} ]; do sleep 0.01; done")
    home.staff(dead("a"), dead("b"), verify_timeout_secs=20)
    home.judge()
    assert home.verdict("a")["ok"] and home.verdict("b")["ok"]


def test_a_stop_in_the_middle_records_nothing(root: Path) -> None:
    """What was cut off is judged by the next beat, and no further command is begun. Source: spec/workers.md §6."""
    stop = StopFlag()
    try:
        home = Judged(root, stop=stop, processes=Stopping(stop))
        names = crowd(home, 6)
        home.write("verify/w00.cmd", "sleep 300")
        house = home.staff(*map(dead, names))
        home.judge()
        assert house.verify.obligations() == names and home.checks() == []
        assert home.run_beat().ending == "stopped"
    finally:
        stop.close()


class Stopping(Processes):
    """The real thing, with a stop that is requested while the first commands run."""

    def __init__(self, stop: StopFlag) -> None:
        super().__init__(stop)
        self.stop = stop

    def run_all(self, commands: Sequence[Command]) -> list[Ended]:
        self.stop.request()
        return [*super().run_all(commands)]


def test_a_verdict_that_cannot_be_written_costs_only_itself(home: Judged) -> None:
    """It is said, the others are kept, and the next beat judges that worker again. Source: spec/workers.md §6."""
    crowd(home, 2)
    (home.root / "verify/w00.json").mkdir()
    house = home.staff(dead("w00"), dead("w01"))
    assert house.verify.obligations() == ["w01"]
    (home.root / "verify/w00.json").rmdir()
    home.write("verify/w00.cmd", "mkdir verify/w00.json")
    home.judge()
    assert home.verdict("w01")["ok"] is True
    assert [row["guard"] for row in home.events("guard_degraded")] == ["verify of w00"]
    assert [line["worker"] for line in home.checks()] == ["w01"]


def test_no_verdict_comes_between_the_steps_of_a_start(home: Judged, monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody starts or restarts a worker no verdict is written; the next beat judges. Source: edge case 184."""
    monkeypatch.setattr("looop.runtime.lock._STARTUP_S", 0)
    home.write("verify/w.cmd", "echo ran >> ran")
    home.staff(dead("w"))
    with workers_lock(str(home.root)):
        home.judge()
        assert (home.root / "ran").exists() and home.verdict("w") is None
    (said,) = home.events("guard_degraded")
    assert said["guard"] == "verify of w" and "another start of a worker is at work" in said["error"]
    home.judge()
    assert home.verdict("w")["ok"] is True


def test_a_rehearsed_beat_judges_nobody(home: Judged) -> None:
    """`looop beat --dry-run` leaves the one run to the real beat. Source: spec/workers.md §6, design §4."""
    from looop.config.file import Config
    from looop.pulse.rehearse import rehearse

    home.write("verify/w.cmd", "echo ran >> ran")
    rehearse(home.staff(dead("w")), Config())
    assert not (home.root / "ran").exists() and home.verdict("w") is None


CHILD = """\
import sys
from pathlib import Path
from tests.fakes.fleet import dead, FakeFleet
from tests.fakes.house import Home
from looop.act.verify import reconcile
home = Home(Path(sys.argv[1]))
reconcile(FakeFleet(dead("w")).into(home.furnish()), home.clock.now())
"""


def test_a_kill_in_between_runs_it_again(home: Judged) -> None:
    """After kill -9 of the loop between the run and its verdict, the next beat runs it anew, and records it once.

    Source: spec/edge-cases.md item 177, docs/continuity.md.
    """
    home.write("verify/w.cmd", "echo $$ >> ran; [ -e second ] || sleep 300")
    at = Path(__file__).parents[2]
    env = os.environ | {"PYTHONPATH": f"{at / 'src'}{os.pathsep}{at}"}
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(home.root)], env=env)
    ran = home.root / "ran"
    until(lambda: ran.exists() and ran.read_text().endswith("\n"), what="the first run")
    child.kill()
    child.wait()
    home.write("second", "")
    home.staff(dead("w"))
    home.judge()
    home.judge()
    assert len(ran.read_text().split()) == 2 and home.verdict("w")["ok"] is True
    os.killpg(int(ran.read_text().split()[0]), signal.SIGKILL)
