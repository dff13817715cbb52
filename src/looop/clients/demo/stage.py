"""What every act of the demo uses: a beat that is run and shown, and a promise that is checked."""

from collections.abc import Callable
from time import monotonic
from typing import Any, TypeVar

from looop.clients.demo.page import Page, difference, facts
from looop.clients.demo.props import GOAL
from looop.contract.local import Local
from looop.contract.scratch import Scratch
from looop.contract.surroundings import pause
from looop.contract.verbs import Engine
from looop.model.errors import LooopError
from looop.model.report import BeatReport

SENSORS = ("tests", "repo")
LOOK_S = 0.05
_TONES = {"done": "good", "open": "bad", "unknown": "bad"}

T = TypeVar("T")


class NotAsPromised(LooopError):
    """The demo saw something else than what looop promises."""


class Stage:
    """The loop over a scratch world, and the page it is shown on. `beats` counts them."""

    def __init__(self, engine: Engine, ground: Scratch, page: Page) -> None:
        self.contract, self.ground, self.page = Local(ground.data_dir), ground, page
        self._engine = engine.elsewhere(ground.data_dir)
        self.beats = 0

    def beat(self) -> tuple[BeatReport, int]:
        """One real beat, and how many milliseconds it took."""
        self.ground.checkpoint()
        began = monotonic()
        with self.ground.held():
            report = self._engine.beat(quiet=True)
        self.beats += 1
        ms = round((monotonic() - began) * 1000)
        self.ground.checkpoint()
        return report, ms

    def show(self, title: str, report: BeatReport, ms: int, *, briefly: bool = False) -> None:
        """What a beat saw and did."""
        page = self.page
        page.scene(f"Beat {self.beats} · {title}", f"{ms} ms")
        if not briefly:
            self._show_senses()
        for n, change in enumerate(report.changes or []):
            page.row("" if n else "changed", difference(change))
        if report.changes is None and report.ending == "decided":
            page.row("changed", "everything is new")
        for goal in report.goals:
            page.row("goal", f"{goal.goal} is {goal.status} {goal.why}", _TONES[goal.status])
        if report.action == "noop":
            page.row("decide", report.summary)
        else:
            self._show_move(report, briefly=briefly)
        if report.journal:
            page.row("journal", self.contract.journal(1)[-1].removeprefix("- "))

    def until(self, look: Callable[[], T | None], promised: str, seconds: float, pause_s: float = LOOK_S) -> T:
        """What `look` finds, as soon as it finds something. Raises NotAsPromised when that takes too long."""
        deadline = monotonic() + seconds
        while (found := look()) is None:
            self.ground.checkpoint()
            late = monotonic() > deadline
            seen = self.contract.worker(GOAL).row.derived_from if late else ""
            self.expect(not late, f"worker {GOAL} to {promised} within {seconds} s", seen)
            pause(pause_s)
        return found

    def expect(self, holds: bool, promised: str, instead: str) -> None:
        """Raises NotAsPromised unless it holds."""
        if not holds:
            raise NotAsPromised(f"the demo is not as promised: expected {promised}, but {instead.strip()}")

    def _show_senses(self) -> None:
        snapshots = self.contract.state().snapshots
        for n, name in enumerate(SENSORS):
            reading = snapshots.get(f"sensor-{name}", {})
            failing = reading.get("detail", {}).get("failing") or []
            more = f" ({', '.join(failing)})" if failing else ""
            self.page.row("" if n else "sense", f"{name}: {facts(reading.get('signal'))}{more}")

    def _show_move(self, report: BeatReport, *, briefly: bool) -> None:
        page = self.page
        page.row("decide", report.source or report.ending)
        if not briefly:
            page.row("why", report.why)
            page.row("act", report.summary, "command")
        if report.ending != "decided":
            page.row("failed", report.reason, "bad")


def is_done(report: BeatReport) -> bool:
    """Whether the beat found the demo's goal done."""
    return [goal.status for goal in report.goals if goal.goal == GOAL] == ["done"]


def seen_in(report: BeatReport) -> str:
    """What a beat came to, for an error."""
    goals: list[Any] = [f"goal {goal.goal} {goal.status} {goal.why}".strip() for goal in report.goals]
    parts = [f"the beat was {report.ending}", report.source, report.summary, report.reason, *goals]
    return ", ".join(part for part in parts if part)
