"""The goal that the README shows does its work again and again; what the pages name is there."""

import re
import subprocess
import tomllib
from pathlib import Path

import msgspec
import pytest

from looop.config.file import parse_config
from looop.contract.doctor import Checkup, Finding
from looop.contract.emulator import Cursor
from looop.contract.money import CostReport, GoalBill, Spent
from looop.contract.policy import GoalView
from looop.contract.screens import Screenshot, ShownCell
from looop.contract.sensors import SensorRun, SensorView
from looop.contract.verbs import Failing, Money, StateView, WorkerDetail
from looop.contract.worktree import Kept, Made, Pruned, WorktreeView
from looop.model.prompt import GoalStatus
from looop.model.report import BeatReport, SectionSize
from looop.model.workers import WorkerRow
from tests.fakes.command import Looop

ROOT = Path(__file__).parents[2]


@pytest.fixture
def looop(tmp_path: Path) -> Looop:
    """looop with the README's sensor and goal over a repository at ~/app."""
    looop = Looop(tmp_path).settle()
    subprocess.run(["git", "init", "-q", str(tmp_path / "app")], check=True)
    assert looop("sensor", "add", "git-repo", "app", "--path", str(tmp_path / "app")).code == 0
    goal = re.search(
        r"<<'GOAL'\n(.*?)^GOAL$", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert goal
    said = looop("goal", "write", "app-clean", "-", stdin=goal[1])
    assert (said.code, said.err) == (0, "")
    return looop


def test_the_goal_of_the_readme_keeps_working(looop: Looop) -> None:
    """Each time something lies around the reflex writes it down where a person sees it, and it is never worn out."""
    assert looop("beat", "--json").json["source"] == "none"
    draft, log = looop.folder / "app/draft.txt", looop.folder / "app-uncommitted.log"
    for times in range(1, 6):
        draft.write_text("draft\n")
        report = looop("beat", "--json").json
        assert (report["source"], report["action"]) == ("reflex app-clean#0", "run_shell")
        assert log.read_text().count("?? draft.txt\n") == times
        assert looop("beat", "--json").json["ending"] == "idle"
        draft.unlink()
        (status,) = looop("beat", "--json").json["goals"]
        assert (status["status"], status["suspended"]) == ("done", [])


def test_the_goal_of_the_readme_is_bounded(looop: Looop) -> None:
    """While something lies around for long, other changes make it fire three times in all."""
    (looop.folder / "app/draft.txt").write_text("draft\n")
    for n in range(6):
        looop("goal", "write", "other", f"version {n}")
        looop("beat")
    assert (looop.folder / "app-uncommitted.log").read_text().count("?? draft.txt\n") == 3


RECORDS: list[type[msgspec.Struct]] = [
    StateView,
    Failing,
    Money,
    BeatReport,
    SectionSize,
    GoalView,
    GoalStatus,
    SensorView,
    SensorRun,
]


RECORDS += [WorkerRow, WorkerDetail, Screenshot, Cursor, ShownCell, WorktreeView, Made, Pruned, Kept]


@pytest.mark.parametrize("record", [*RECORDS, CostReport, Spent, GoalBill, Checkup, Finding])
def test_the_contract_names_every_field(record: type[msgspec.Struct]) -> None:
    """docs/contract.md names each field that scripts can read."""
    page = (ROOT / "docs/contract.md").read_text(encoding="utf-8")
    assert [field for field in record.__struct_fields__ if f"`{field}`" not in page] == []


def test_the_configs_of_the_runners_page_are_configs() -> None:
    """Each config that docs/runners.md shows is read without a warning, and names a runner."""
    page = (ROOT / "docs/runners.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```toml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    configs = [parse_config(tomllib.loads(block), "config.toml") for block in blocks]
    assert [config.runner for config in configs] == ["anthropic/claude-sonnet-5", "claude"]
    assert not any(config.warnings for config in configs)
