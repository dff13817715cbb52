"""The ready-made wirings, as `looop init` writes them, decide with the real agent CLIs; doctor says so, too."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from looop.config.presets import PRESETS
from tests.agents import cli
from tests.agents.beats import Base, asked, scenarios
from tests.agents.endpoint import Endpoint

pytestmark = [
    pytest.mark.agents,
    pytest.mark.skipif(bool(cli.unavailable()), reason=cli.unavailable()),
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with Endpoint(scenarios()) as running:
        yield running


def run(base: Base, *words: str) -> subprocess.CompletedProcess[str]:
    """One looop command over this base."""
    command = [sys.executable, "-m", "looop", *words]
    return subprocess.run(command, env=base.env, capture_output=True, text=True, timeout=120)


def found_on_path(base: Base) -> None:
    """Put the CLIs where their commands are looked for, and looop beside them."""
    tools = base.place.root / "bin"
    tools.mkdir()
    for name, path in cli.PROGRAMS.items():
        (tools / name).symlink_to(path)
    base.env["PATH"] = f"{tools}:{cli.NODE}:/usr/bin:/bin"


def knows_the_model(base: Base) -> None:
    """pi asks for the preset's model by name: the scripted one answers to it."""
    models = base.place.home / ".pi/agent/models.json"
    if models.exists():
        models.write_text(models.read_text().replace('"scripted-model"', '"claude-sonnet-4-5"'))


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_decides(name: str, tmp_path: Path, endpoint: Endpoint) -> None:
    """Set up by name it makes the scripted move and is billed; a `-fast` one with one request. Then doctor agrees.

    Source: docs/runners.md, issue 3 ("Presets", "One-request decides").
    """
    preset = PRESETS[name]
    base = Base.make(tmp_path, preset.program, endpoint.base("act", f"preset-{name}"))
    (base.data / "config.json").unlink()
    found_on_path(base)
    knows_the_model(base)
    try:
        assert json.loads(run(base, "init", "--runner", name, "--json").stdout)["doubts"] == []
        report = base.beat(deadline_s=100)
        assert report["ending"] == "decided", report["reason"]
        assert base.acted()
        assert (asked(endpoint, f"preset-{name}") == 1) is name.endswith("-fast")
        (row,) = base.rows()
        assert row["cost_usd"] > 0
        doctor = run(base, "doctor")
        assert doctor.returncode == 0, doctor.stdout
        assert re.search(r"^ok    decision +it decided write_goal \(", doctor.stdout, re.MULTILINE), doctor.stdout
        assert len(base.rows()) == 2
        assert base.left() == []
    finally:
        base.end()
