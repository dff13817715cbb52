"""The demo: a loop keeps a real git repository working, in a scratch folder, without any model.

Everything that is shown is read back from where it happened: the sensors' readings, the beat's report, the journal,
git. Everything that is promised is checked; the first thing that is not so ends the demo with an error.
"""

import shlex
import sys
from contextlib import suppress
from time import monotonic

from looop.clients.demo.page import Page
from looop.clients.demo.person import Person
from looop.clients.demo.props import (
    GOAL,
    GOOD,
    MARK,
    MENDER,
    NO,
    PLAYBOOK,
    REFLEX,
    REPAIR,
    RUN_TESTS,
    SIMPLER,
    TYPO,
    YES,
    Commit,
    goal_text,
    mender,
    sensor_script,
)
from looop.clients.demo.question import ASKED, record_of, settle
from looop.clients.demo.stage import SENSORS, NotAsPromised, Stage, is_done, seen_in
from looop.contract.scratch import Failed, Scratch, scratch
from looop.contract.surroundings import may_colour
from looop.contract.verbs import Engine, WorkerDetail
from looop.model.errors import LooopError
from looop.model.moves import WriteGoal, WritePlaybook, WriteSensor
from looop.model.records import Ask
from looop.model.report import BeatReport

_WORKER_S = 60
_HOW = (
    "Each beat senses the world. If nothing changed it stops there; if something did, it makes one move. "
    "The second half of `when` keeps it from going in circles: a revert is never reverted."
)


def tell(engine: Engine, *, keep: bool, answer: str | None = None, repair: str = REPAIR) -> None:
    """Tell the whole story on stdout. `answer` is the person's, None to ask; `repair` is what the worker does.

    Raises NotAsPromised, Invalid for an answer that cannot be meant, Missing without git or bash, KeyboardInterrupt
    or SystemExit when asked to end.
    """
    page = Page(sys.stdout, colour=may_colour(sys.stdout))
    with scratch(keep=keep) as ground:
        story = Story(engine, ground, page)
        try:
            story.set_the_stage(repair, keep=keep)
            story.look_first()
            story.break_it(SIMPLER, "Somebody breaks the app")
            story.repair_it()
            if story.ask(Person(answer, ground, page)) == YES:
                _once_more(story)
            else:
                _leave_it(story)
            story.say_goodbye(keep=keep)
        finally:
            story.end()


def _once_more(story: "Story") -> None:
    """The person said yes: it is repaired, and the next time nobody has to be asked."""
    story.watch_it()
    story.see_it_done()
    story.skip()
    story.break_it(TYPO, "Somebody breaks it again: a goal that was done is open again")
    story.repair_it(briefly=True)
    story.watch_it(briefly=True)
    story.see_it_done(briefly=True)
    story.take_stock()


def _leave_it(story: "Story") -> None:
    """The person did not say yes: nothing is applied, a no is remembered, and the goal stays open."""
    story.watch_it_leave()
    story.repair_it(briefly=True)
    story.see_it_remembered()
    story.take_stock_of_what_is_left()


class Story(Stage):
    """One telling. Each act shows what happened, then checks it."""

    def __init__(self, engine: Engine, ground: Scratch, page: Page) -> None:
        super().__init__(engine, ground, page)
        self._began = monotonic()
        self._repairs, self._waited_s = 0, 0.0
        self._good = self._good_tree = self._broken = self._last_repair = self._asked = self._answer = ""

    def set_the_stage(self, repair: str, *, keep: bool) -> None:
        """Make the repository, the sensors and the goal, and show them."""
        ground, page = self.ground, self.page
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
            self.contract.down()

    def look_first(self) -> None:
        """The first beat: everything is new, and all is well."""
        report, ms = self.beat()
        self.show("the first look", report, ms)
        self._check_done(report)

    def break_it(self, commit: Commit, title: str) -> None:
        """Somebody commits something that breaks the tests."""
        ground, page = self.ground, self.page
        page.scene(title)
        short = ground.commit(commit.subject, commit.files)
        page.item(f'$ git commit -m "{commit.subject}"', "command", short)
        for line in ground.git("show", "--format=", "--unified=0", "HEAD").splitlines():
            if line.startswith(("-", "+")) and not line.startswith(("---", "+++")):
                page.item(f"{line[0]} {line[1:].strip()}", "bad" if line[0] == "-" else "good")

    def repair_it(self, *, briefly: bool = False) -> None:
        """The next beat sees it, and its reflex starts a worker."""
        self._broken = self.ground.git("rev-parse", "HEAD")
        report, ms = self.beat()
        moved = report.source == REFLEX and report.ending == "decided"
        self.show("the loop starts a worker" if moved else "the loop sees it", report, ms, briefly=briefly)
        self.expect(moved, f"{REFLEX} to move, and to end well", seen_in(report))
        self.expect(not is_done(report), f"goal {GOAL} to be open while tests fail", "it reads done")
        self._last_repair = report.run_id

    def ask(self, person: Person) -> str:
        """The worker asks before it takes the commit back; what it was told."""
        settled = settle(self, person)
        self._asked, self._answer, self._waited_s = settled.ask.id, settled.answer, settled.waited_s
        return settled.answer

    def watch_it(self, *, briefly: bool = False) -> None:
        """The worker mends the app in a terminal of its own, which is shown once it has ended."""
        self._watch(briefly=briefly)
        head, broken = self.ground.git("log", "-1", "--format=%P"), self._broken
        self.expect(head == broken, "one new commit on top of the one that broke the app", f"HEAD's parent is {head}")
        self._repairs += 1

    def watch_it_leave(self) -> None:
        """The worker, which was not told yes, applies nothing."""
        self._watch(briefly=False)
        self._check_untouched()

    def see_it_done(self, *, briefly: bool = False) -> None:
        """The beat after that judges the worker and looks again: only what is sensed counts, not what was said."""
        report, ms = self.beat()
        self.show("the loop looks again", report, ms, briefly=briefly)
        self._check_done(report)
        worker = self.contract.worker(GOAL)
        self.page.row("verify", f"{worker.row.verify or 'not run'}: {worker.verify}", "good")
        self.expect(worker.row.verify == "pass", f"worker {GOAL} to be verified", f"its verify {worker.row.verify}")

    def skip(self) -> None:
        """The worker is taken away, which is one more look; the beat after that has nothing new."""
        self.contract.prune_workers()
        self.expect(len(self.contract.workers()) == 1, "no worker to be left", "one is")
        calls, noticed = self.ground.model_calls(), self.beats + 1
        for _ in range(4):
            report, ms = self.beat()
            if report.ending == "idle":
                break
        self.expect(report.reason == "world_unchanged", "a beat with nothing new to be skipped", seen_in(report))
        calls = self.ground.model_calls() - calls
        self.page.scene(f"Beat {self.beats} · nothing changed", f"{ms} ms")
        self.page.row("worker", f"put away: its session and its processes are gone; beat {noticed} saw that")
        self.page.row("skipped", f"nothing asked, nothing done, nothing spent: {calls} model calls", "good")

    def take_stock(self) -> None:
        """Look at the world itself, not at what the loop says of it."""
        ground, page = self.ground, self.page
        self._check_tests()
        same = ground.git("rev-parse", "HEAD^{tree}") == self._good_tree and not ground.git("status", "--porcelain")
        self.expect(same, f"the files to be those of commit {self._good}", "they differ")
        view = self.contract.goal(GOAL)
        self.expect(view.status == "done", f"goal {GOAL} to read done", f"it reads {view.status} {view.why}")
        page.scene("The world is as it was wanted")
        self._show_log()
        page.row("tests", "run once more by hand: all pass", "good")
        page.row("files", f"those of {self._good}, the last good commit", "good")
        page.row("goal", f"{GOAL} is {view.status}", "good")
        self._account()

    def see_it_remembered(self) -> None:
        """The next worker would ask the same: a no is still a no. What is neither yes nor no settled one question."""
        self.until(lambda: self._ended() or self._question(), "end", _WORKER_S)
        anew, record = self._question(), record_of(self, self._asked)
        if anew:
            self.page.row("asked", f"{anew.id}: what you said is no refusal, so the next worker asks anew", "bad")
        else:
            self._show_screen(self.contract.worker(GOAL), briefly=False)
            self.page.row("refused", "the same question is not asked again; your no is the answer to it", "good")
            self.page.row("events", f"about {self._asked}: {', '.join(record)}")
        refused = record == [*ASKED, "ask_refused"]
        self.expect(refused == (anew is None), "a refusal to be remembered", f"on record: {record}")
        self.expect(self._answer != NO or refused, "a no to be remembered", f"{anew} was asked")

    def take_stock_of_what_is_left(self) -> None:
        """After a refusal: everything is as it was, and says so."""
        self._check_untouched()
        view = self.contract.goal(GOAL)
        self.expect(view.status == "open", f"goal {GOAL} to read open", f"it reads {view.status} {view.why}")
        self.page.scene("The world is as you left it")
        self._show_log()
        self.page.row("goal", f"{GOAL} is {view.status}, and stays so until somebody mends the app", "bad")
        self._account()

    def say_goodbye(self, *, keep: bool) -> None:
        """What to look at next."""
        ground, page, looop = self.ground, self.page, self.ground.program()
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
                (f'cat "$LOOOP_DATA_DIR"/answers/{self._asked}.json', ""),
                (f'ls "$LOOOP_DATA_DIR"/runs/{self._last_repair}', ""),
                (f"git -C {shlex.quote(ground.app)} log", ""),
                (f"rm -rf {shlex.quote(ground.root)}", ""),
            )
        )

    def _furnish(self, repair: str) -> None:
        contract = self.contract
        contract.steer(WritePlaybook(body=PLAYBOOK))
        contract.prepare()
        self.ground.write(MENDER, mender(repair, self.ground.app, self.ground.path(MARK)))
        contract.steer(WriteSensor(name="tests", script=sensor_script()))
        contract.add_sensor("git-repo", "repo", {"path": self.ground.app})
        contract.steer(WriteGoal(id=GOAL, body=goal_text()))
        for name in SENSORS:
            tried = contract.try_sensor(name)
            hint = " (may programs run there? TMPDIR says where it is)" if "Permission denied" in tried.error else ""
            said = f"{tried.error} {tried.stderr.strip()}"
            self.expect(tried.ok, f"sensor {name} in {self.ground.root} to read well", said + hint)

    def _watch(self, *, briefly: bool) -> None:
        began = monotonic()
        worker = self.until(self._ended, "end", _WORKER_S)
        self._show_screen(worker, round((monotonic() - began) * 1000), briefly=briefly)

    def _show_screen(self, worker: WorkerDetail, ms: int = 0, *, briefly: bool) -> None:
        """The last screen of a worker that ended well."""
        screen = [line for line in (self.contract.screenshot(GOAL).text or "").split("\n") if line.strip()]
        self.page.scene("The worker, in a terminal of its own", f"{ms} ms" if ms else "")
        for line in screen:
            if line.startswith("* ") or not briefly:
                self.page.item(f"│ {line}")
        said = f"{worker.row.derived_from}: {' / '.join(screen[-3:])}"
        self.expect(worker.row.exit_code == 0, f"worker {GOAL} to end well", said)

    def _show_log(self) -> None:
        for n, line in enumerate(self.ground.git("log", "--format=%h %s").splitlines()):
            self.page.row("" if n else "git log", line)

    def _check_untouched(self) -> None:
        head, dirty = self.ground.git("rev-parse", "HEAD"), self.ground.git("status", "--porcelain")
        self.expect(head == self._broken and not dirty, "nothing to be applied without a yes", f"{head} {dirty}")

    def _check_done(self, report: BeatReport) -> None:
        self.expect(is_done(report), f"goal {GOAL} to read done", seen_in(report))
        self.expect(report.action == "noop", "a beat with nothing to do", seen_in(report))

    def _check_tests(self) -> None:
        try:
            self.ground.run(*RUN_TESTS)
        except Failed as error:
            raise NotAsPromised(f"expected the tests of the app to pass, but {error}") from None

    def _ended(self) -> WorkerDetail | None:
        worker = self.contract.worker(GOAL)
        return None if worker.row.alive else worker

    def _question(self) -> Ask | None:
        return next(iter(self.contract.asks().pending), None)

    def _account(self) -> None:
        """The bill, from the ledger and the run bundles; the time, without what a person took."""
        calls, spent = self.ground.model_calls(), self.contract.state().spent_today_usd
        self.expect(calls == 0 and spent == 0, "no model to be asked", f"{calls} model calls, {spent} USD")
        asked = record_of(self).count("ask")
        took = monotonic() - self._began - self._waited_s
        yours = f" (+ {self._waited_s:.1f} s yours)" if self._waited_s >= 0.1 else ""
        self.page.gap()
        counts = (
            f"{self.beats} beats, {self._repairs} repairs, {asked} question{'s' * (asked != 1)}, {calls} model calls"
        )
        self.page.prose(f"{counts}, ${spent:.2f}, {took:.1f} s{yours}.", "bold")
