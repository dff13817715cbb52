"""Real sessions from start to verdict: what the supervisor leaves on disk is what health and verify go by."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from looop.sense.workers import worker_rows
from tests.fakes.house import Home
from tests.fakes.waiting import until


@pytest.fixture
def home(root: Path) -> Iterator[Home]:
    made = Home(root)
    yield made
    for session in made.house.fleet.all():
        if session.alive:
            made.house.fleet.kill(session)


def start(home: Home, worker: str, script: str, verify: str) -> None:
    """As a start commits: the obligation first, then the session."""
    home.house.verify.declare(worker, verify)
    env = {"PATH": os.environ["PATH"], "HOME": str(home.tools)}
    home.house.fleet.start(worker, ["bash", "-c", script], env, max_log=1 << 20)


def row(home: Home, worker: str = "w") -> Any:
    return next(found for found in worker_rows(home.house, home.clock.now()) if found.id == worker)


def test_a_worker_that_dies_at_once_is_judged_by_the_next_beat(home: Home) -> None:
    """However short its life, its check runs. Source: spec/edge-cases.md items 163, 176."""
    start(home, "w", "exit 3", "echo judged; exit 1")
    until(lambda: not row(home).alive, what="the worker to end")
    home.run_beat()
    [signal] = home.snapshot("sys-sessions")["signal"]
    assert isinstance(signal.pop("started_at"), int)
    assert signal == {"id": "w", "state": "exited", "exit_code": 3, "health": "dead", "verify": "fail"}
    detail = home.snapshot("sys-sessions")["detail"]["workers"]["w"]
    assert (detail["verify_output"], detail["derived_from"]) == ("judged", "it exited with 3")


def test_a_live_worker_is_known_by_its_output(home: Home) -> None:
    """The supervisor's transcript is the clock of silence. Source: spec/workers.md §3.2, §5, edge case 174."""
    start(home, "w", "echo hello; sleep 300", "true")
    transcript = home.root / "sessions/w/output.log"
    until(lambda: transcript.exists() and b"hello" in transcript.read_bytes(), what="output")
    home.clock.move(60)
    found = row(home)
    assert (found.health, found.verify) == ("busy", None) and 55 <= found.idle_s <= 65 and 55 <= found.uptime_s <= 65
    home.clock.move(900)
    assert row(home).health == "stuck"
    home.write("asks/w-1.json", json.dumps({"id": "w-1", "worker": "w", "prompt": "?", "ts": home.clock.now() - 120}))
    assert row(home).derived_from == "ask w-1 has waited 2m"
    home.run_beat()
    assert home.house.verify.obligations() == ["w"]


def test_a_killed_worker_is_still_judged(home: Home) -> None:
    """Ended by request, it owes its verdict all the same. Source: spec/edge-cases.md item 176."""
    start(home, "w", "sleep 300", "exit 0")
    home.house.fleet.kill(home.house.fleet.require("w"))
    home.run_beat()
    (found,) = home.snapshot("sys-sessions")["signal"]
    assert (found["state"], found["health"], found["verify"]) == ("killed", "dead", "pass")


def test_a_worker_whose_supervisor_died_is_dead(home: Home) -> None:
    """The state on disk may say running: who stands for it is gone, and that is said. Spec/workers.md §3.3, §5."""
    start(home, "w", "sleep 300", "exit 0")
    os.kill(home.house.fleet.require("w").pid, signal.SIGKILL)
    until(lambda: not row(home).alive, what="the supervisor to be gone")
    assert (row(home).health, row(home).derived_from) == ("dead", "its supervisor is gone")
    home.run_beat()
    assert row(home).verify == "pass"
    home.house.fleet.sweep(home.house.fleet.require("w"))
