"""The contract over the house of this machine."""

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from looop.contract.policy import GoalView, GoalWritten, ShellRun
from looop.contract.questions import AskView, Hearing, Question, Questions, Reply
from looop.contract.timetable import Run, ScheduleView, ScheduleWritten
from looop.contract.verbs import Filter, StateView, Stop, Woke, WorkerDetail
from looop.model.errors import Missing, Refused, Unwritable
from looop.model.ids import require_id
from looop.model.moves import AnyMove, RunShell, WriteGoal, WriteSchedule, WriteSensor
from looop.model.workers import WorkerRow
from looop.state.open import open_house, settle_or_say

if TYPE_CHECKING:
    from datetime import date

    from looop.act.worktrees import Made
    from looop.contract.attach import Attachment
    from looop.contract.doctor import Checkup
    from looop.contract.money import CostReport, Subject
    from looop.contract.notices import Wishes
    from looop.contract.notifier import Notifier
    from looop.contract.screens import Format, Screenshot
    from looop.contract.sensors import SensorRun, SensorView
    from looop.contract.setup import Plan, Setup, Wiring
    from looop.contract.transcript import Transcript
    from looop.contract.updown import Down
    from looop.contract.worktree import Pruned, WorktreeView
    from looop.model.records import CostRow


class Local:
    """Implements contract.verbs.Contract for the data dir the environment names, or for another one."""

    def __init__(self, data_dir: str | None = None, stop: Stop | None = None) -> None:
        self._house, self._paths = open_house(data_dir=data_dir, stop=stop)

    def prepare(self) -> None:
        """Seed a fresh data dir; a failure is said on stderr and the verb goes on. Raises Unwritable without a folder.

        Source: spec/cli.md §1, first-run seeding.
        """
        root = self._house.setting.root
        try:
            os.makedirs(root, 0o700, exist_ok=True)
        except OSError as error:
            raise Unwritable(f"cannot use {root} as data dir: {error.strerror}; LOOOP_DATA_DIR names another") from None
        settle_or_say(self._house)

    def state(self) -> StateView:
        from looop.contract.observe import state_of

        return state_of(self._house)

    def wait(
        self,
        wanted: Filter,
        held: Collection[str] | None = None,
        timeout_s: int | None = None,
        say: Callable[[str], object] | None = None,
    ) -> Woke:
        from looop.contract.changes import wait_for

        return wait_for(self._house, wanted, held, timeout_s, say)

    def changes(
        self,
        wanted: Filter,
        stop: Stop,
        held: Collection[str] | None = None,
        say: Callable[[str], object] | None = None,
    ) -> Iterator[Woke]:
        from looop.contract.changes import changes

        return changes(self._house, wanted, stop, held, say)

    def held_asks(self, since: str) -> frozenset[str]:
        from looop.contract.changes import held_asks

        return held_asks(self._house, since)

    def workers(self) -> list[WorkerRow]:
        from looop.contract.workers import rows

        return rows(self._house)

    def worker(self, worker_id: str) -> WorkerDetail:
        from looop.contract.workers import detail

        return detail(self._house, worker_id)

    def kill_worker(self, worker_id: str) -> str:
        from looop.act.launch import kill_worker

        return kill_worker(self._house, worker_id, self._house.setting.clock.now())

    def restart_worker(self, worker_id: str) -> str:
        from looop.contract.workers import restart

        return restart(self._house, worker_id)

    def prune_workers(self) -> list[str]:
        from looop.contract.workers import prune

        return prune(self._house)

    def screenshot(self, session_id: str, shown: "Format" = "plain", *, trim: bool = True) -> "Screenshot":
        from looop.contract.screens import screenshot

        session = self._house.fleet.require(session_id)
        return screenshot(session.folder, session.size, shown, trim=trim)

    def transcript(self, session_id: str) -> "Transcript":
        from looop.contract.transcript import Transcript

        session = self._house.fleet.require(session_id)
        return Transcript(session.folder, lambda: not self._house.fleet.is_alive(session.id))

    def attach(self, session_id: str, *, write: bool = False, size: tuple[int, int] | None = None) -> "Attachment":
        from looop.contract.attach import attach

        return attach(self._house, session_id, write=write, size=size)

    def send(self, session_id: str, text: str, *, enter: bool = True) -> str:
        from looop.contract.attach import send

        return send(self._house, session_id, text, enter=enter)

    def up(self, *, json_log: bool = False) -> bool:
        from looop.contract.updown import up

        return up(self._house, self._paths, json_log=json_log)

    def down(self) -> "Down":
        from looop.contract.updown import down

        return down(self._house)

    def asks(self, *, everything: bool = False) -> Questions:
        from looop.contract.mail import asks

        return asks(self._house, everything=everything)

    def ask_of(self, ask_id: str) -> AskView:
        from looop.contract.mail import ask_of

        return ask_of(self._house, ask_id)

    def answer(
        self, ask_id: str, text: str = "", *, option: int | None = None, force: bool = False, by: str = ""
    ) -> str:
        from looop.contract.mail import answer

        return answer(self._house, ask_id, text, option=option, force=force, by=by)

    def withdraw(self, ask_id: str, why: str = "") -> str:
        from looop.contract.mail import withdraw

        return withdraw(self._house, ask_id, why)

    def notifier(self, wishes: "Wishes") -> "Notifier":
        from looop.contract.notifier import Notifier

        return Notifier(self._house, wishes)

    def ask(self, question: Question, stop: Stop, say: Callable[[str], object]) -> Reply:
        from looop.contract.ask import ask

        return ask(self._house, question, stop, say)

    def took(self, ask_id: str) -> None:
        from looop.contract.ask import took

        took(self._house, ask_id)

    def tell(self, worker: str, msg: str) -> str:
        from looop.contract.ask import tell

        return tell(self._house, worker, msg)

    def told(self, worker: str | None = None) -> Hearing:
        from looop.contract.ask import told

        return told(self._house, worker)

    def goals(self) -> list[GoalView]:
        from looop.contract.goals import views

        return views(self._house)

    def goal(self, goal: str) -> GoalView:
        for view in self.goals():
            if view.id == goal:
                return view
        raise Missing(f"no goal {goal!r}: `looop goal list` shows the live ones")

    def write_goal(self, move: WriteGoal, journal: str = "") -> GoalWritten:
        from looop.contract.goals import doubts

        return GoalWritten(self.steer(move, journal), doubts(self._house, move))

    def sensors(self) -> "list[SensorView]":
        from looop.contract.sensors import views

        return views(self._house)

    def try_sensor(self, name: str) -> "SensorRun":
        from looop.contract.sensors import try_out

        return try_out(self._house, name)

    def remove_sensor(self, name: str, journal: str = "") -> str:
        from looop.contract.sensors import remove

        summary = remove(self._house, name)
        self._house.note(journal.strip() or summary, self._house.setting.clock.now())
        return summary

    def playbook(self, version: str | None = None) -> str:
        playbook = self._house.playbook
        body = playbook.read() if version is None else playbook.version(version)
        if body is None:
            raise Missing("there is no PLAYBOOK yet: `looop state` seeds one, `looop playbook write` makes one")
        return body.decode("utf-8", "replace")

    def playbook_versions(self) -> list[str]:
        return self._house.playbook.versions()

    def schedules(self) -> list[ScheduleView]:
        from looop.contract.schedules import views

        return views(self._house)

    def schedule(self, name: str) -> ScheduleView:
        from looop.contract.schedules import view

        return view(self._house, name)

    def write_schedule(self, move: WriteSchedule, journal: str = "", at: str = "") -> ScheduleWritten:
        from looop.contract.schedules import write

        return write(self._house, move, journal, at)

    def upcoming(self, expression: str, tz: str | None = None) -> list[Run]:
        from looop.contract.schedules import upcoming

        return upcoming(self._house, expression, tz)

    def journal(self, count: int) -> list[str]:
        return self._house.journal.tail(count)

    def events(self, count: int) -> list[str]:
        from looop.state.house import event_rows

        return event_rows(self._house.store, self._house.setting.knobs).tail(count)

    def steer(self, move: AnyMove, journal: str = "") -> str:
        from looop.act.perform import perform

        perform(self._house, move, self._house.setting.clock.now(), journal=journal)
        return move.summary

    def run(self, move: RunShell, journal: str = "") -> ShellRun:
        from looop.act.shell import run_shell

        now = self._house.setting.clock.now()
        ran = run_shell(self._house, move.cmd, move.reason or move.cmd, now, by_person=True)
        self._house.note(journal.strip() or move.summary, now)
        ran.close()
        return ShellRun(summary=move.summary, output=ran.output)

    def add_sensor(self, kind: str, name: str, options: Mapping[str, str], journal: str = "") -> str:
        from looop.contract.templates import render

        script = render(kind, options)
        require_id(name, "sensor name")
        if any(sensor.stem == name for sensor in self._house.sensors.all()):
            raise Refused(f"there is a sensor {name!r} already: give another name, or `looop sensor write {name}`")
        return self.steer(WriteSensor(name=name, script=script), journal)

    def costs(self, since: "int | date | None" = None, by: "Subject | None" = None) -> "CostReport":
        from looop.contract.money import report

        return report(self._house, since, by)

    def add_cost(self, row: "CostRow") -> str:
        from looop.contract.money import add

        return add(self._house, row)

    def repair_costs(self) -> str:
        from looop.contract.money import repair

        return repair(self._house)

    def setup(self) -> "Setup":
        from looop.contract.setup import look

        return look(self._house)

    def plan_setup(self, wanted: "Wiring") -> "Plan":
        from looop.contract.setup import plan

        return plan(self._house, wanted)

    def write_setup(self, plan: "Plan") -> None:
        from looop.contract.setup import write

        if plan.changes:
            write(plan)

    def check_up(self, *, ask: bool) -> "Checkup":
        from looop.contract.doctor import check_up

        return check_up(self._house, ask=ask)

    def claim(self, name: str, session: str | None = None, say: Callable[[str], object] | None = None) -> str:
        from looop.contract.leases import claim

        return claim(self._house, name, session, say)

    def unclaim(self, name: str, session: str | None = None) -> None:
        from looop.contract.leases import unclaim

        unclaim(self._house, name, session)

    def make_worktree(self, repo: str, session: str | None = None, branch: str = "", base: str = "") -> "Made":
        from looop.contract.worktree import make

        return make(self._house, repo, session, branch, base)

    def worktrees(self) -> "list[WorktreeView]":
        from looop.contract.worktree import views

        return views(self._house)

    def remove_worktree(self, name: str, *, force: bool = False) -> str:
        from looop.contract.worktree import remove

        return remove(self._house, name, force=force)

    def prune_worktrees(self) -> "Pruned":
        from looop.contract.worktree import prune

        return prune(self._house)


def open_local() -> Local:
    """The contract over the environment's data dir, made and seeded when it is new. Raises NoHome, Unwritable."""
    local = Local()
    local.prepare()
    return local
