"""The demo: a loop keeps a real git repository working, in a scratch folder, without any model.

Everything that is shown is read back from where it happened: the sensors' readings, the beat's report, the journal,
git. Everything that is promised is checked; the first thing that is not so ends the demo with an error.
"""

import shlex
import sys
from contextlib import suppress
from time import monotonic
from typing import Any

from looop.clients.demo.page import Page, difference, facts
from looop.clients.demo.props import (
    GOAL,
    GOOD,
    MENDER,
    PLAYBOOK,
    REFLEX,
    REPAIR,
    RUN_TESTS,
    SIMPLER,
    TYPO,
    Commit,
    goal_text,
    mender,
    sensor_script,
)
from looop.contract.local import Local
from looop.contract.scratch import Failed, Scratch, scratch
from looop.contract.surroundings import may_colour, pause
from looop.contract.verbs import Engine
from looop.model.errors import LooopError
from looop.model.moves import WriteGoal, WritePlaybook, WriteSensor
from looop.model.report import BeatReport

_SENSORS = ("tests", "repo")
_WORKER_S, _LOOK_S = 60, 0.05
_HOW = (
    "Each beat senses the world. If nothing changed it stops there; if something did, it makes one move. "
    "The second half of `when` keeps it from going in circles: a revert is never reverted."
)
_TONES = {"done": "good", "open": "bad", "unknown": "bad"}


class NotAsPromised(LooopError):
    """The demo saw something else than what looop promises."""


def tell(engine: Engine, *, keep: bool, repair: str = REPAIR) -> None:
    """Tell the whole story on stdout. `repair` is what the worker does to the app.

    Raises NotAsPromised, Missing without git or bash, KeyboardInterrupt or SystemExit when asked to end.
    """
    page = Page(sys.stdout, colour=may_colour(sys.stdout))
    with scratch(keep=keep) as ground:
        story = Story(engine, ground, page)
        try:
            story.set_the_stage(repair, keep=keep)
            story.look_first()
            story.break_it(SIMPLER, "Somebody breaks the app")
            story.repair_it()
            story.watch_it()
            story.see_it_done()
            story.skip()
            story.break_it(TYPO, "Somebody breaks it again: a goal that was done is open again")
            story.repair_it(briefly=True)
            story.watch_it(briefly=True)
            story.see_it_done(briefly=True)
            story.take_stock()
            story.say_goodbye(keep=keep)
        finally:
            story.end()


class Story:
    """One telling. Each act shows what happened, then checks it."""

    def __init__(self, engine: Engine, ground: Scratch, page: Page) -> None:
        self._engine, self._ground, self._page = engine.elsewhere(ground.data_dir), ground, page
        self._contract = Local(ground.data_dir)
        self._began = monotonic()
        self._beats = self._repairs = 0
        self._good = self._good_tree = self._broken = self._last_repair = ""

    def set_the_stage(self, repair: str, *, keep: bool) -> None:
        """Make the repository, the sensors and the goal, and show them."""
        ground, page = self._ground, self._page
        ground.start_repository()
        for commit in GOOD:
            self._good = ground.commit(commit.subject, commit.files)
        self._good_tree = ground.git("rev-parse", "HEAD^{tree}")
        self._furnish(repair)
        page.prose("looop demo", "bold")
        page.prose("A loop keeps a real git repository working: no model, no key, no network.")
        page.gap()
        page.row("folder", f"{ground.root} ({'kept' if keep else 'removed at the end'})")
        page.row("app/", "a git repository: price.py and its tests, two good commits")
        page.row("looop/", "plain files: a goal, two sensors, and what the loop writes down")
        page.scene("What is wanted", f"looop/goals/{GOAL}.md")
        page.block(goal_text().rpartition("---\n")[0] + "---")
        page.gap()
        page.prose(_HOW, "dim")

    def end(self) -> None:
        """Whatever happened, no worker outlives its telling."""
        with suppress(LooopError):
            self._contract.down()

    def look_first(self) -> None:
        """The first beat: everything is new, and all is well."""
        report, ms = self._beat()
        self._show("the first look", report, ms)
        self._check_done(report)

    def break_it(self, commit: Commit, title: str) -> None:
        """Somebody commits something that breaks the tests."""
        ground, page = self._ground, self._page
        page.scene(title)
        short = ground.commit(commit.subject, commit.files)
        page.item(f'$ git commit -m "{commit.subject}"', "command", short)
        for line in ground.git("show", "--format=", "--unified=0", "HEAD").splitlines():
            if line.startswith(("-", "+")) and not line.startswith(("---", "+++")):
                page.item(f"{line[0]} {line[1:].strip()}", "bad" if line[0] == "-" else "good")

    def repair_it(self, *, briefly: bool = False) -> None:
        """The next beat sees it, and its reflex starts a worker."""
        self._broken = self._ground.git("rev-parse", "HEAD")
        report, ms = self._beat()
        moved = report.source == REFLEX and report.ending == "decided"
        self._show("the loop starts a worker" if moved else "the loop sees it", report, ms, briefly=briefly)
        self._expect(moved, f"{REFLEX} to move, and to end well", _seen(report))
        self._expect(not _is_done(report), f"goal {GOAL} to be open while tests fail", "it reads done")
        self._last_repair = report.run_id

    def watch_it(self, *, briefly: bool = False) -> None:
        """The worker mends the app in a terminal of its own, which is shown once it has ended."""
        began, deadline = monotonic(), monotonic() + _WORKER_S
        while (worker := self._contract.worker(GOAL).row).alive:
            self._ground.checkpoint()
            self._expect(monotonic() < deadline, f"worker {GOAL} to end within {_WORKER_S} s", worker.derived_from)
            pause(_LOOK_S)
        screen = [line for line in (self._contract.screenshot(GOAL).text or "").split("\n") if line.strip()]
        self._page.scene("The worker, in a terminal of its own", f"{round((monotonic() - began) * 1000)} ms")
        for line in screen[-2 if briefly else 0 :]:
            self._page.item(f"│ {line}")
        said = f"{worker.derived_from}: {' / '.join(screen[-3:])}"
        self._expect(worker.exit_code == 0, f"worker {GOAL} to end well", said)
        head = self._ground.git("log", "-1", "--format=%P")
        broken = self._broken
        self._expect(head == broken, "one new commit on top of the one that broke the app", f"HEAD's parent is {head}")
        self._repairs += 1

    def see_it_done(self, *, briefly: bool = False) -> None:
        """The beat after that judges the worker and looks again: only what is sensed counts, not what was said."""
        report, ms = self._beat()
        self._show("the loop looks again", report, ms, briefly=briefly)
        self._check_done(report)
        worker = self._contract.worker(GOAL)
        self._page.row("verify", f"{worker.row.verify or 'not run'}: {worker.verify}", "good")
        self._expect(worker.row.verify == "pass", f"worker {GOAL} to be verified", f"its verify {worker.row.verify}")

    def skip(self) -> None:
        """The worker is taken away, which is one more look; the beat after that has nothing new."""
        self._contract.prune_workers()
        self._expect(len(self._contract.workers()) == 1, "no worker to be left", "one is")
        calls, noticed = self._ground.model_calls(), self._beats + 1
        for _ in range(4):
            report, ms = self._beat()
            if report.ending == "idle":
                break
        self._expect(report.reason == "world_unchanged", "a beat with nothing new to be skipped", _seen(report))
        calls = self._ground.model_calls() - calls
        self._page.scene(f"Beat {self._beats} · nothing changed", f"{ms} ms")
        self._page.row("worker", f"put away: its session and its processes are gone; beat {noticed} saw that")
        self._page.row("skipped", f"nothing asked, nothing done, nothing spent: {calls} model calls", "good")

    def take_stock(self) -> None:
        """Look at the world itself, not at what the loop says of it."""
        ground, page = self._ground, self._page
        self._check_tests()
        same = ground.git("rev-parse", "HEAD^{tree}") == self._good_tree and not ground.git("status", "--porcelain")
        self._expect(same, f"the files to be those of commit {self._good}", "they differ")
        view = self._contract.goal(GOAL)
        self._expect(view.status == "done", f"goal {GOAL} to read done", f"it reads {view.status} {view.why}")
        page.scene("The world is as it was wanted")
        for n, line in enumerate(ground.git("log", "--format=%h %s").splitlines()):
            page.row("" if n else "git log", line)
        page.row("tests", "run once more by hand: all pass", "good")
        page.row("files", f"those of {self._good}, the last good commit", "good")
        page.row("goal", f"{GOAL} is {view.status}", "good")
        self._account()

    def say_goodbye(self, *, keep: bool) -> None:
        """What to look at next."""
        ground, page, looop = self._ground, self._page, self._ground.program()
        if not keep:
            page.gap()
            page.table(
                (
                    (f"{looop} demo --keep", "the same, left for you to look at"),
                    (f"{looop} state", "begins a loop of your own"),
                )
            )
            return
        page.scene("Kept for you to look at")
        page.table(
            (
                (f"export LOOOP_DATA_DIR={shlex.quote(ground.data_dir)}", ""),
                (f"{looop} state", "everything at a glance"),
                (f"{looop} journal", "one line for every move"),
                (f"{looop} goal show {GOAL}", "the goal, and how it stands"),
                (f"{looop} sensor run tests", "what the sensor says now"),
                (f"{looop} beat --dry-run", "what the next beat would do, and why"),
                (f'ls "$LOOOP_DATA_DIR"/runs/{self._last_repair}', ""),
                (f"git -C {shlex.quote(ground.app)} log", ""),
                (f"rm -rf {shlex.quote(ground.root)}", ""),
            )
        )

    def _furnish(self, repair: str) -> None:
        contract = self._contract
        contract.steer(WritePlaybook(body=PLAYBOOK))
        contract.prepare()
        self._ground.write(MENDER, mender(repair, self._ground.app))
        contract.steer(WriteSensor(name="tests", script=sensor_script()))
        contract.add_sensor("git-repo", "repo", {"path": self._ground.app})
        contract.steer(WriteGoal(id=GOAL, body=goal_text()))
        for name in _SENSORS:
            tried = contract.try_sensor(name)
            hint = " (may programs run there? TMPDIR says where it is)" if "Permission denied" in tried.error else ""
            said = f"{tried.error} {tried.stderr.strip()}"
            self._expect(tried.ok, f"sensor {name} in {self._ground.root} to read well", said + hint)

    def _beat(self) -> tuple[BeatReport, int]:
        """One real beat, and how many milliseconds it took."""
        self._ground.checkpoint()
        began = monotonic()
        with self._ground.held():
            report = self._engine.beat(quiet=True)
        self._beats += 1
        ms = round((monotonic() - began) * 1000)
        self._ground.checkpoint()
        return report, ms

    def _show(self, title: str, report: BeatReport, ms: int, *, briefly: bool = False) -> None:
        page = self._page
        page.scene(f"Beat {self._beats} · {title}", f"{ms} ms")
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
            page.row("journal", self._contract.journal(1)[-1].removeprefix("- "))

    def _show_senses(self) -> None:
        snapshots = self._contract.state().snapshots
        for n, name in enumerate(_SENSORS):
            reading = snapshots.get(f"sensor-{name}", {})
            failing = reading.get("detail", {}).get("failing") or []
            more = f" ({', '.join(failing)})" if failing else ""
            self._page.row("" if n else "sense", f"{name}: {facts(reading.get('signal'))}{more}")

    def _show_move(self, report: BeatReport, *, briefly: bool) -> None:
        page = self._page
        page.row("decide", report.source or report.ending)
        if not briefly:
            page.row("why", report.why)
            page.row("act", report.summary, "command")
        if report.ending != "decided":
            page.row("failed", report.reason, "bad")

    def _check_done(self, report: BeatReport) -> None:
        self._expect(_is_done(report), f"goal {GOAL} to read done", _seen(report))
        self._expect(report.action == "noop", "a beat with nothing to do", _seen(report))

    def _check_tests(self) -> None:
        try:
            self._ground.run(*RUN_TESTS)
        except Failed as error:
            raise NotAsPromised(f"expected the tests of the app to pass, but {error}") from None

    def _account(self) -> None:
        """The bill, from the ledger and the run bundles."""
        calls, spent = self._ground.model_calls(), self._contract.state().spent_today_usd
        self._expect(calls == 0 and spent == 0, "no model to be asked", f"{calls} model calls, {spent} USD")
        took = monotonic() - self._began
        self._page.gap()
        self._page.prose(
            f"{self._beats} beats, {self._repairs} repairs, {calls} model calls, ${spent:.2f}, {took:.1f} s.", "bold"
        )

    def _expect(self, holds: bool, promised: str, instead: str) -> None:
        if not holds:
            raise NotAsPromised(f"the demo is not as promised: expected {promised}, but {instead.strip()}")


def _is_done(report: BeatReport) -> bool:
    return [goal.status for goal in report.goals if goal.goal == GOAL] == ["done"]


def _seen(report: BeatReport) -> str:
    """What a beat came to, for an error."""
    goals: list[Any] = [f"goal {goal.goal} {goal.status} {goal.why}".strip() for goal in report.goals]
    parts = [f"the beat was {report.ending}", report.source, report.summary, report.reason, *goals]
    return ", ".join(part for part in parts if part)
