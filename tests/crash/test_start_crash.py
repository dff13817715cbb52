"""Kill a beat before any of its disk calls while its reflex starts a worker: it is started once or not at all.

The points are enumerated, not sampled: the beat is first run on a healthy disk to count its calls.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from looop.act.launch import restart_worker
from looop.act.tend import tend
from looop.runtime.proc import Processes
from tests.fakes.crew import Crew, no_worker_left
from tests.fakes.disk import Died, DyingDisk, QuickDisk, WatchedDisk
from tests.fakes.waiting import until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at processes in /proc"),
]
LANES = 4  # each test takes every fourth point, so that none takes too long
COMMAND = "echo started >> starts; sleep 600; : {{prompt_file}}"
GOAL = f"""\
---
reflexes:
  - when: sensor.s.signal == 7 && !worker.alive
    move: {{action: start_worker, id: w, prompt: do, verify: "true", command: "{COMMAND}"}}
---
"""


class AfterDeath(Processes):
    """Processes of a machine on which the one that died is gone; here it would still be this one."""

    def is_alive(self, pid: int) -> bool:
        return False


class QuickDeath(DyingDisk):
    """Dies before the n-th call; waits for no medium."""

    def meet(self, name: str, real: Callable[..., Any], args: Any) -> Any:
        return super().meet(name, (lambda *_: None) if name.startswith("sync") else real, args)


def template(folder: Path, before: str) -> Path:
    """A data dir as it is right before the beat; `before` there was no worker, or one that failed its verify."""
    home = Crew(folder / "template", disk=QuickDisk())
    home.write("goals/w.md", GOAL)
    home.says("s", {"signal": 1})
    if before == "one":
        home.start("w", "exit 0; : {{prompt_file}}", "exit 1")
        home.ended()
        home.write("tells/w-1.json", '{"v": 1, "id": "w-1", "worker": "w", "msg": "old news", "ts": 1}')
    home.run_beat()
    home.says("s", {"signal": 7})
    return home.root


def home_of(root: Path, **options: Any) -> Crew:
    home = Crew(root, **options)
    home.clock.move(10)
    return home


def calls_of_a_beat(origin: Path, root: Path) -> int:
    """How many disk calls the beat makes that nobody disturbs."""
    shutil.copytree(origin, root)
    with no_worker_left(root):
        disk = WatchedDisk()
        report = home_of(root, disk=disk).run_beat()
        assert (report.ending, report.action) == ("decided", "start_worker")
        return len(disk.calls)


def started(home: Crew) -> int:
    """How often the worker has begun; the last one is waited for."""
    starts, session = home.root / "starts", home.house.fleet.find("w")
    if session and "echo started" in session.command[-1]:
        until(starts.exists, what="the worker's first word")
    return starts.read_text().count("started") if starts.exists() else 0


@pytest.mark.parametrize("before", ["none", "one"])
@pytest.mark.parametrize("lane", range(LANES))
def test_a_start_happens_once_or_is_reported(tmp_path: Path, before: str, lane: int) -> None:
    """Killed anywhere, a reflex's worker was started once, or will be, or the journal asks to look; never twice.

    It owes its own verify, no verify stays without a session, and no announcement and no process is left.
    Source: design §4, spec/edge-cases.md items 132, 162, 184, docs/continuity.md.
    """
    origin = template(tmp_path, before)
    calls, in_doubt, ran = calls_of_a_beat(origin, tmp_path / "whole"), 0, 0
    assert calls > 40
    for n in range(1 + lane, calls + 1, LANES):
        root = tmp_path / str(n)
        shutil.copytree(origin, root)
        with no_worker_left(root):
            with pytest.raises(Died):
                home_of(root, disk=QuickDeath(n)).run_beat()
            home = home_of(root, disk=QuickDisk(), processes=AfterDeath())
            for _ in range(3):
                assert home.later(65).ending in ("decided", "idle"), n
            times, reports = started(home), sum("start_worker was interrupted" in line for line in home.journal())
            assert times <= 1 and reports <= 1 and times + reports >= 1, (n, times, reports)
            assert_nothing_is_left(home, times, n)
            in_doubt, ran = in_doubt + reports, ran + times
    assert 0 < in_doubt < calls / LANES / 2 and ran > calls / LANES / 2


def test_a_restart_is_done_or_reported(tmp_path: Path) -> None:
    """Killed anywhere, a restart leaves a live worker, the old one or the new, or the journal asks to look.

    Source: docs/continuity.md; spec/edge-cases.md item 132.
    """
    n, in_doubt = 0, 0
    while True:
        n += 1
        root = tmp_path / str(n)
        with no_worker_left(root):
            Crew(root, disk=QuickDisk()).start(verify="true")
            died = False
            try:
                restart_worker(home_of(root, disk=QuickDeath(n)).house, "w")
            except Died:
                died = True
            home = home_of(root, disk=QuickDisk(), processes=AfterDeath())
            home.later(65)
            session = home.house.fleet.find("w")
            reports = sum("restart_worker was interrupted" in line for line in home.journal())
            assert (session and session.alive) or reports == 1, n
            assert list(root.glob(".action-wal*")) == [], n
            in_doubt += reports
        if not died:
            break
    assert reports == 0 and n > 10 and in_doubt > 3, (n, in_doubt)


def assert_nothing_is_left(home: Crew, times: int, n: int) -> None:
    """What stands on disk belongs to the session that is there."""
    left = [path.name for path in home.root.iterdir() if path.name.startswith((".action-wal", ".open-run"))]
    kept = {path.name for path in home.root.glob("verify/w.*")}
    assert left == [], n
    if times:
        assert home.session().alive and kept == {"w.cmd"}, (n, kept)
        assert (home.root / "verify/w.cmd").read_text() == "true", n
        assert list(home.root.glob("tells/*.json")) == [], n
    elif not home.house.fleet.is_there("w"):
        assert kept == set(), (n, kept)
    assert [name for name in os.listdir(home.root / "sessions") if name.endswith(".tmp")] == [] if times else True


def test_a_removal_that_is_cut_short_is_finished(tmp_path: Path) -> None:
    """Killed anywhere, the removal of an old session leaves nothing that the next beat does not remove.

    Source: spec/workers.md §7, spec/edge-cases.md items 168, 206.
    """
    origin = template(tmp_path, "one")
    n = 0
    while True:
        n += 1
        root = tmp_path / str(n)
        shutil.copytree(origin, root)
        with no_worker_left(root):
            home = home_of(root, disk=QuickDeath(n))
            home.furnish(session_ttl=0)
            died = False
            try:
                tend(home.house, home.clock.now())
            except Died:
                died = True
            again = home_of(root, disk=QuickDisk(), processes=AfterDeath())
            again.furnish(session_ttl=0)
            again.clock.move(65)
            tend(again.house, again.clock.now())
            assert [name for name in os.listdir(root / "sessions") if name != ".ends"] == [], n
            assert not list(root.glob("verify/w.*")) and not list(root.glob("tells/w-*")), n
        if not died:
            assert n > 5
            return
