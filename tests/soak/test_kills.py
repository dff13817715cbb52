"""A short soak: 60 kills, and every promise kept; and bugs that it must find. `scripts/soak --kill` takes its time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at processes in /proc"),
]
ROOT = Path(__file__).parents[2]


def soak(*words: str) -> "subprocess.CompletedProcess[str]":
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LOOOP_")}
    return subprocess.run(
        [sys.executable, "-m", "tests.soak.kills", *words],
        cwd=ROOT,
        env=inherited | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
    )


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
