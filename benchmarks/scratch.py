"""Scratch data dirs for the benchmarks, filled as a person would fill them, and a real pulse over one."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from looop.model.report import BeatReport
from looop.pulse.main import open_pulse
from looop.runtime.stop import StopFlag
from looop.state.house import House
from looop.state.open import open_house
from paired import clean_env

PROSE = "# Goal {n}\n\nKeep thing {n} in order. " + "Nobody should have to think about it again. " * 6 + "\n"
DECLARED = "---\ngoal: thing {n} is in order\ndone: sensor.s{s}.signal.n == {s}\n---\n" + PROSE
SENSOR = '#!/bin/sh\necho \'{{"signal": {{"n": {n}, "state": "green"}}, "detail": {{"text": "all is well"}}}}\'\n'


@contextmanager
def data_dir(goals: int = 0, sensors: int = 0, goal_text: str = PROSE) -> Iterator[str]:
    """A data dir with so many goals and one-line sensors, and a PLAYBOOK; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="looop-bench-") as root:
        write(os.path.join(root, "PLAYBOOK.md"), "# PLAYBOOK\n\nBe careful.\n")
        for n in range(goals):
            write(os.path.join(root, "goals", f"goal-{n:04d}.md"), goal_text.format(n=n, s=n % max(sensors, 1)))
        for path, n in zip(sensor_files(root, sensors), range(sensors), strict=True):
            write(path, SENSOR.format(n=n), 0o755)
        yield root


def sensor_files(root: str, count: int) -> list[str]:
    """The paths of the sensors of a scratch data dir."""
    return [os.path.join(root, "sensors", f"s{n}.sh") for n in range(count)]


def write(path: str, text: str, mode: int = 0o644) -> None:
    """Put a whole file in place, as editors do."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(f"{path}.new~", "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(f"{path}.new~", mode)
    os.replace(f"{path}.new~", path)


def beaten(root: str) -> None:
    """Let a pulse beat three times over `root`, so that the next beat has no news."""
    for _ in range(3):
        open_pulse(lambda stop: open_house(stop=stop, data_dir=root)).once()


def built(root: str) -> tuple[House, Callable[[], BeatReport]]:
    """A silent house over `root` in this process and one turn of its pulse, after the first: the next has no news.

    A turn is all the pulse does from one sleep to the next, under the lock it holds for life.
    """
    house: list[House] = []

    def open_it(stop: StopFlag) -> tuple:
        opened = open_house(stop=stop, data_dir=root)
        house.append(opened[0])
        return opened

    open_pulse(open_it).once()
    pulse = open_pulse(open_it)
    pulse._lock.acquire()
    turn = partial(pulse._step, forced=False)
    reports = [turn(), turn()]
    if reports[-1].ending != "idle":
        sys.exit(f"the third beat over an unchanged world was not idle but {reports[-1]}")
    return house[-1], turn


@contextmanager
def running_pulse(root: str, **knobs: str) -> Iterator[subprocess.Popen]:
    """A `looop pulse` process over `root` that has beaten and gone to sleep; ended afterwards."""
    env = clean_env(LOOOP_DATA_DIR=root, LOOOP_INTERVAL="3600", **knobs)
    process = subprocess.Popen([sys.executable, "-m", "looop", "pulse"], env=env, stdout=subprocess.DEVNULL)
    try:
        wait_quiet(os.path.join(root, "events.jsonl"))
        yield process
    finally:
        process.terminate()
        process.wait(10)


def wait_quiet(path: str, quiet_s: float = 3.5, limit_s: float = 60.0) -> None:
    """Return once the file is there and has not grown for `quiet_s`."""
    ends = time.monotonic() + limit_s
    seen, since = -1, time.monotonic()
    while time.monotonic() - since < quiet_s or seen <= 0:
        if time.monotonic() > ends:
            sys.exit(f"{path} does not come to rest")
        time.sleep(0.05)
        size = os.path.getsize(path) if os.path.exists(path) else -1
        if size != seen:
            seen, since = size, time.monotonic()
