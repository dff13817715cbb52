"""The end of a worker wakes the pulse: its verify is not left until the interval is over."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from looop.contract.local import Local
from looop.model.moves import StartWorker
from looop.runtime.lock import is_held
from tests.fakes.waiting import until


@pytest.mark.slow
def test_the_end_of_a_worker_wakes_the_pulse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With beats a minute apart a worker is verified within seconds of its end. Source: design §3 row 6."""
    monkeypatch.setenv("LOOOP_DATA_DIR", str(tmp_path / "data"))
    local = Local()
    local.prepare()
    pulse = subprocess.Popen([sys.executable, "-m", "looop", "pulse"], stdout=subprocess.DEVNULL, env=dict(os.environ))
    try:
        until(lambda: is_held(str(tmp_path / "data")))
        local.steer(StartWorker("w", "x", "sleep 3; : {{prompt_file}}", "echo looked > verified"))
        began = time.monotonic()
        until((tmp_path / "data/verified").exists, 20)
        assert time.monotonic() - began < 15
    finally:
        pulse.send_signal(signal.SIGTERM)
        pulse.wait(10)
        local.down()
