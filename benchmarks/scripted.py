"""The real agent CLIs against the scripted endpoint of the tests, for the benchmarks about them."""

import sys
import tempfile
from pathlib import Path

from paired import ROOT

sys.path.append(ROOT)

from tests.agents.beats import GOAL, Base, asked, billed, runaway, scenarios
from tests.agents.cli import CLIS, Options, Place, run, unavailable
from tests.agents.endpoint import Endpoint
from tests.agents.scenarios import Usage

__all__ = [
    "CLIS",
    "GOAL",
    "Base",
    "Endpoint",
    "Options",
    "Place",
    "Usage",
    "asked",
    "billed",
    "fresh",
    "run",
    "runaway",
    "scenarios",
    "unavailable",
]


def fresh() -> Path:
    """A new folder for one run; the system's own housekeeping, or a reboot, removes it."""
    return Path(tempfile.mkdtemp(prefix="looop-bench-")).resolve()
