"""A short soak: 60 kills, and every promise kept; and bugs that it must find. `scripts/soak --kill` takes its time."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.crew import processes_of
from tests.fakes.waiting import until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at processes in /proc"),
]
ROOT = Path(__file__).parents[2]


def begin(*words: str, **more: str) -> "subprocess.Popen[str]":
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LOOOP_")}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.soak.kills", *words],
        cwd=ROOT,
        env=inherited | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"} | more,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def soak(*words: str, **more: str) -> "subprocess.CompletedProcess[str]":
    process = begin(*words, **more)
    out, err = process.communicate()
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def test_sixty_kills_break_no_promise() -> None:
    """Workers, supervisors, the pulse, questions and verbs are killed at random, and all that was promised is so.

    Source: design §1 promise 3, docs/continuity.md, spec/edge-cases.md items 140, 154, 176.
    """
    done = soak("--kills", "60")
    assert done.returncode == 0 and "0 promises broken" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("bug", ["an answer overwrites another", "a key is not looked for"])
def test_the_soak_can_fail(bug: str) -> None:
    """A bug that is planted in the real processes is found; the quickest two stand for all in `--bugs`."""
    done = soak("--bugs", bug)
    assert done.returncode == 0 and "NOT FOUND" not in done.stdout, done.stdout + done.stderr


def busy_root(temp: Path) -> Path:
    """The data dir below, once processes run for it."""
    until(lambda: any(processes_of(root) for root in temp.glob("looop-soak-*/data")), 20, "a soak that runs")
    return next(temp.glob("looop-soak-*/data"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_soak_that_is_asked_to_end_tells_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    """It says what it has done until then, without a traceback; no process and no folder of it is left."""
    process = begin("--minutes", "1", TMPDIR=str(tmp_path))
    root = busy_root(tmp_path)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "ended early" in out and "0 promises broken" in out, out + err
    assert "Traceback" not in err and processes_of(root) == [] and list(tmp_path.iterdir()) == []


def test_what_a_killed_soak_left_is_cleared_away_by_the_next(tmp_path: Path) -> None:
    """The processes of one that was killed end, and its folder goes; a line says so."""
    process = begin("--minutes", "1", TMPDIR=str(tmp_path))
    root = busy_root(tmp_path)
    process.kill()
    process.communicate()
    done = soak("--kills", "1", TMPDIR=str(tmp_path))
    assert done.returncode == 0 and f"removed {root.parent}" in done.stderr, done.stdout + done.stderr
    assert processes_of(root) == [] and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [("--kills", "0"), ("--kills", "-3"), ("--minutes", "0"), ("--minutes", "nan"), ("--kills", "1", "--minutes", "1")],
)
def test_numbers_that_mean_nothing_are_refused(words: tuple[str, ...]) -> None:
    """Only numbers above 0 are taken, and one of the two."""
    done = soak(*words)
    assert done.returncode == 2 and done.stderr.startswith("usage: scripts/soak --kill"), done.stdout + done.stderr
