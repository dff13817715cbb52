"""A short soak: 60 kills, and every promise kept. `scripts/soak` runs as many as one likes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at processes in /proc"),
]
ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(240)
def test_sixty_kills_break_no_promise() -> None:
    """Workers, supervisors and the pulse are killed at random, and all that was promised is so.

    Source: design §1 promise 3, docs/continuity.md, spec/edge-cases.md items 140, 154, 176.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LOOOP_")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak.kills", "--kills", "60"],
        cwd=ROOT,
        env=inherited | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "0 promises broken" in done.stdout, done.stdout + done.stderr
    assert ": 60 kills in" in done.stdout
