"""What is no file where a file should be, and a machine that is short of something: nobody waits, nothing is lost."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.command import Looop
from tests.fakes.waiting import until

VERBS = [("state", "--json"), ("asks",), ("beat",), ("beat", "--dry-run"), ("journal",), ("goal", "list")]


@pytest.fixture
def looop(tmp_path: Path) -> Looop:
    """looop over a seeded data dir with a runner that decides nothing much."""
    made = Looop(tmp_path).settle()
    made.write("config.json", json.dumps({"tick_command": """echo '{"action":"noop"}'""", "max_daily_usd": 0}))
    return made


@pytest.mark.parametrize(
    "path", ["tick.log", "config.toml", ".lock/lock", ".lock/pid", ".decision.json", "cost.jsonl", "journal.md", "runs"]
)
@pytest.mark.parametrize("kind", ["fifo", "folder", "loop"])
def test_what_is_no_file_makes_nobody_wait(looop: Looop, path: str, kind: str) -> None:
    """Each verb ends by itself, with a code of the contract and no traceback, whatever stands there.

    Source: spec/edge-cases.md items 22, 34; docs/contract.md.
    """
    place = looop.data / path
    place.parent.mkdir(exist_ok=True)
    if place.is_dir():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    if kind == "fifo":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    else:
        place.symlink_to(place)
    for words in VERBS:
        said = looop(*words)
        assert said.code in (0, 1), (words, said)
        assert "Traceback" not in said.err and "a fault in looop" not in said.err, (words, said)
        assert said.code == 0 or said.err, (words, said)
    assert looop("state").code == 0


def test_a_decision_that_is_no_file_says_what_to_do(looop: Looop) -> None:
    """Nobody asked for it, so nothing is asked until a person has removed it; the line says so.

    Source: spec/edge-cases.md item 88.
    """
    os.mkfifo(looop.data / ".decision.json")
    said = looop("beat", "--force")
    assert said.code == 1 and ".decision.json" in said.out + said.err and "remove it" in said.out + said.err


def test_few_descriptors_cost_time_not_readings(looop: Looop) -> None:
    """Sensors that cannot be started yet wait for those that run. Source: spec/beat.md §3 Concurrency."""
    for n in range(30):
        looop.write(f"sensors/s{n:02}.sh", f"#!/bin/sh\nsleep 0.05; echo {n}\n", 0o755)
    said = looop.in_shell("ulimit -n 48; looop beat")
    assert said.code == 0, said
    readings = [json.loads(looop.read(f"snapshots/sensor-s{n:02}.json")) for n in range(30)]
    assert readings == list(range(30))


def test_room_is_made_before_it_is_needed(looop: Looop) -> None:
    """Old run bundles go before a new one is made, so a disk that they filled is free again.

    Source: spec/beat.md §16.
    """
    for n in range(6):
        (looop.data / f"runs/tick-{n}").mkdir(parents=True)
    looop.write("config.json", json.dumps({"tick_command": "ls runs > seen; exit 1"}))
    looop("beat", "--force", env={"LOOOP_RUNS_KEEP": "2"})
    assert len(looop.read("seen").split()) == 3


@pytest.fixture
def pulse(looop: Looop) -> Iterator[Callable[[], "subprocess.Popen[str]"]]:
    """Starts pulses that beat every second; all are ended with the test."""
    env = {"LOOOP_INTERVAL": "1", "LOOOP_MIN_BEAT_GAP": "0", "LOOOP_LOG_FORMAT": "json"}
    started: list[subprocess.Popen[str]] = []

    def start() -> "subprocess.Popen[str]":
        started.append(looop.start("pulse", env=env))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=10)


@pytest.mark.parametrize("how", ["lock removed", "lock folder removed", "data dir replaced"])
def test_a_pulse_notices_that_its_lock_is_another(
    looop: Looop, pulse: Callable[[], "subprocess.Popen[str]"], how: str
) -> None:
    """When the data dir or its lock is replaced under it, it takes the new one, or ends because another pulse has it.

    Source: spec/edge-cases.md items 139-142.
    """
    first = pulse()
    until((looop.data / ".lock/pid").exists, what="the pulse")
    if how == "data dir replaced":
        os.rename(looop.data, looop.folder / "away")
        shutil.copytree(looop.folder / "away", looop.data, dirs_exist_ok=True)
    elif how == "lock removed":
        (looop.data / ".lock/lock").unlink()
    else:
        shutil.rmtree(looop.data / ".lock")
    second = pulse()
    until(lambda: (first.poll() is None) != (second.poll() is None), what="one pulse to give way")
    ended, left = (first, second) if second.poll() is None else (second, first)
    _, said = ended.communicate(timeout=10)
    assert (ended.returncode, "already running" in said) == (1, True), said
    assert left.poll() is None


def test_a_data_dir_seeded_again_is_on_record(looop: Looop, pulse: Callable[[], "subprocess.Popen[str]"]) -> None:
    """When everything vanished under a pulse, the log says that the first files were written anew.

    Source: spec/cli.md §5.
    """
    one, events = pulse(), looop.data / "events.jsonl"
    until((looop.data / "snapshots/sys-goals.json").exists, what="the first beat")
    shutil.rmtree(looop.data, ignore_errors=True)
    until(lambda: events.exists() and '"seeded"' in events.read_text(), what="the record")
    one.send_signal(signal.SIGTERM)
    out, _ = one.communicate(timeout=10)
    assert one.returncode == 0 and "seed.done" in out
    shutil.rmtree(looop.data / "runs", ignore_errors=True)  # the bundle that lost its first half shows no whole prompt


def test_a_lock_that_is_held_ends_in_one_line(looop: Looop) -> None:
    """Whoever holds a folder's lock for longer than any change takes is reported, not waited for without end.

    Source: design §5.
    """
    holder = "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, 2); print(flush=True); time.sleep(60)"
    said = looop.in_shell(
        f'"$PYTHON" -c "{holder}" "$LOOOP_DATA_DIR/goals/.dirlock" > held & '
        "until [ -s held ]; do sleep 0.01; done; looop goal write g x; code=$?; kill %1; exit $code",
        env={"PYTHON": sys.executable},
    )
    assert said.code == 1 and "held its lock" in said.err
