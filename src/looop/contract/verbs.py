"""What a client may ask for, and the records it gets. No path, store key or process goes through this door.

`Reading verbs` change nothing. `Steering verbs` are journaled and return the line that was written; each raises a
LooopError whose text can be shown as it is.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol

from msgspec import Struct

from looop.contract.policy import GoalView, GoalWritten, ShellRun
from looop.contract.questions import AskView, Hearing, Question, Questions, Reply
from looop.contract.timetable import Run, ScheduleView, ScheduleWritten
from looop.model.moves import AnyMove, RunShell, WriteGoal, WriteSchedule
from looop.model.prompt import GoalStatus
from looop.model.records import Ask, Parked
from looop.model.report import BeatReport
from looop.model.workers import WorkerRow

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
    from looop.model.notices import Notice
    from looop.model.records import CostRow

Filter = Literal["any", "actionable", "only-asks"]


class Failing(Struct, frozen=True):
    """The last beats failed: how many in a row, why the last did (one bounded line), and seconds until the next try.

    0 seconds means at the next beat: the wait is over, or an edit of the policy has cut it.
    """

    fails: int
    error: str
    retry_in_s: int


class Money(Struct, frozen=True):
    """What today has cost besides dollars, and the limits in force (None: none).

    `reached` says which limit on the day is used up, `unmetered` that the runner names no figure and is not asked
    for that; both are empty while all is well.
    """

    tokens_today: int
    max_daily_usd: float | None
    max_daily_tokens: int | None
    max_goal_usd: float | None
    reached: str
    unmetered: str


class StateView(Struct, frozen=True):
    """Everything at a glance. `last_beat_age_s` is None before the first beat; `goals` are ids, sorted.

    `failing` is None while all is well, `parked` while the runner is not at its usage limit. `damaged` says in a
    sentence each what is there and cannot be read, the config included; nothing of it is in the other fields.
    `asks` wait for an answer; `stranded` are those whose worker waits no more.
    `warnings` says what of the config has no effect, `configured` whether there is one, which `up` needs.
    """

    world_hash: str
    pulse_alive: bool
    last_beat_age_s: int | None
    snapshots: dict[str, Any]
    asks: list[Ask]
    workers: list[dict[str, Any]]
    goals: list[str]
    goal_status: list[GoalStatus]
    journal_tail: list[str]
    spent_today_usd: float
    money: Money
    runner: str
    parked: Parked | None
    now: int
    data_dir: str
    failing: Failing | None
    damaged: list[str]
    stranded: list[Ask] = []
    warnings: list[str] = []
    configured: bool = False


class Woke(Struct, frozen=True):
    """Why a wait ended: changed categories, sorted, or `pulse-down` or `pulse-up` alone; and the state then.

    `new_asks` are the ids of the questions of `state.asks` that are news; `cursor` names all of them, for the next
    wait. Nothing changed where the time was up.
    """

    changed: list[str]
    state: StateView
    new_asks: list[str]
    cursor: str

    @property
    def pulse_down(self) -> bool:
        """Whether nothing can change any more because no pulse runs."""
        return self.changed == ["pulse-down"]


class WorkerDetail(Struct, frozen=True):
    """All that is known of one session. Texts are empty where there is none."""

    row: WorkerRow
    command: list[str]
    task: str
    verify: str
    verify_output: str
    started_at: int | None
    last_change: int | None
    size: tuple[int, int]
    problem: str
    supervisor_pid: int
    child_pid: int | None


class Stop(Protocol):
    """A wish to end a wait. `fileno` becomes readable when it comes up; -1 when it has to be polled."""

    def requested(self) -> bool: ...
    def fileno(self) -> int: ...


class Contract(Protocol):
    """The verbs."""

    def workers(self) -> list[WorkerRow]:
        """The pulse first, then every session, those that have ended too. Raises Unreadable."""

    def worker(self, worker_id: str) -> WorkerDetail:
        """One session. Raises Missing, Unreadable."""

    def kill_worker(self, worker_id: str) -> str:
        """End a live worker and return its id. Raises Missing, Refused."""

    def restart_worker(self, worker_id: str) -> str:
        """End it if it is alive, start the same again, say so in one line. Journaled. Raises Missing, Refused."""

    def prune_workers(self) -> list[str]:
        """Remove every worker's session that has ended; their ids. Raises Unreadable, Unwritable."""

    def screenshot(self, session_id: str, shown: "Format" = "plain", *, trim: bool = True) -> "Screenshot":
        """The screen of a session, the pulse's too, as it is or was at its end. Raises Missing, Unreadable."""

    def transcript(self, session_id: str) -> "Transcript":
        """What a session has printed and prints. Raises Missing, Unreadable."""

    def attach(self, session_id: str, *, write: bool = False, size: "tuple[int, int] | None" = None) -> "Attachment":
        """Look into a live session. Raises Missing, Refused."""

    def send(self, session_id: str, text: str, *, enter: bool = True) -> str:
        """Type into a live session. Journaled. Raises Missing, Refused."""

    def up(self, *, json_log: bool = False) -> bool:
        """Start the pulse as a session; False when one runs already. Raises Refused, Unreadable, Unwritable."""

    def down(self) -> "Down":
        """End the pulse, then every worker. Raises Unreadable."""

    def state(self) -> StateView:
        """Everything at a glance. Senses nothing; what cannot be read is in `damaged`."""

    def wait(
        self,
        wanted: Filter,
        held: Collection[str] | None = None,
        timeout_s: int | None = None,
        say: Callable[[str], object] | None = None,
    ) -> Woke:
        """The first of `changes`; one that names nothing when the time is up."""

    def changes(
        self,
        wanted: Filter,
        stop: Stop,
        held: Collection[str] | None = None,
        say: Callable[[str], object] | None = None,
    ) -> Iterator[Woke]:
        """Everything of the wanted kind that changes from the first step on, until `stop`; for any thread.

        A question that is pending and not `held` is news at once, and once; so is a pulse that does not run. Nothing
        is missed while the caller is busy between two steps. Close it to have its descriptors back. `say` gets a
        sentence where files have to be looked at, since the kernel does not report their changes.
        """

    def held_asks(self, since: str) -> frozenset[str]:
        """What `since` says is known: a cursor's asks, with `now` all that wait, with a UTC second all before it.

        Raises Invalid, Unreadable.
        """

    def asks(self, *, everything: bool = False) -> Questions:
        """Every open question, with `everything` the settled ones, too. Raises Unreadable when none can be listed."""

    def ask_of(self, ask_id: str) -> AskView:
        """One question, however it stands, also from the archive. Raises Invalid, Missing, Unreadable, Corrupt."""

    def answer(
        self, ask_id: str, text: str = "", *, option: int | None = None, force: bool = False, by: str = ""
    ) -> str:
        """Answer a question with a text, or its n-th option, and say so in one line; `force` replaces an answer.

        `by` names the way it came, for the record. Raises Invalid, Missing; Refused when it is settled, or nobody
        waits for it any more.
        """

    def withdraw(self, ask_id: str, why: str = "") -> str:
        """Settle a question that has become moot, and say so in one line. Raises Invalid, Missing, Refused."""

    def notifier(self, wishes: "Wishes") -> "Notifier":
        """What pushes questions to a person. Raises what bad wishes raise: Invalid, Refused, Missing, Unreadable."""

    def ask(self, question: Question, stop: Stop, say: Callable[[str], object]) -> Reply:
        """Ask as a worker, and return once a person has answered, or time is up; `stop` ends the wait.

        Call `took` afterwards, unless the reply was remembered. `say` gets sentences about what cannot be read just
        now, and about who decided, if nobody did. Raises Invalid, Refused, Missing, Corrupt.
        """

    def took(self, ask_id: str) -> None:
        """The worker has its answer in hand: from now on the key of that question is free. Never raises."""

    def tell(self, worker: str, msg: str) -> str:
        """Leave a message for a live worker and say so in one line. Raises Refused, and Unreadable: try again."""

    def told(self, worker: str | None = None) -> Hearing:
        """Take the messages that wait for a worker; nobody gets them a second time. Raises Invalid, Unreadable."""

    def goals(self) -> list[GoalView]:
        """Every live goal."""

    def goal(self, goal: str) -> GoalView:
        """One live goal. Raises Missing."""

    def sensors(self) -> "list[SensorView]":
        """Every sensor."""

    def write_goal(self, move: WriteGoal, journal: str = "") -> GoalWritten:
        """Create or replace a goal. Journaled. Raises Invalid, and Refused where a reflex could never run."""

    def try_sensor(self, name: str) -> "SensorRun":
        """Run one sensor without publishing its reading. Raises Missing, and Refused where the loop would not."""

    def remove_sensor(self, name: str, journal: str = "") -> str:
        """Remove a sensor's file for good and return the summary. Journaled. Raises Missing, Refused."""

    def playbook(self, version: str | None = None) -> str:
        """The PLAYBOOK, or a kept version of it. Raises Missing."""

    def playbook_versions(self) -> list[str]:
        """Names of the kept versions, oldest first."""

    def schedules(self) -> list[ScheduleView]:
        """Every schedule, with its next run. Raises Unreadable."""

    def schedule(self, name: str) -> ScheduleView:
        """One schedule, with its next runs. Raises Missing, Unreadable."""

    def write_schedule(self, move: WriteSchedule, journal: str = "", at: str = "") -> ScheduleWritten:
        """Create or replace a schedule. Journaled. Raises Invalid.

        `at` is a local time instead of the move's own trigger, in the zone the move names or the machine's.
        """

    def upcoming(self, expression: str, tz: str | None = None) -> list[Run]:
        """The next runs of a cron expression; nothing is written. Raises Invalid."""

    def journal(self, count: int) -> list[str]:
        """The last lines of the journal."""

    def events(self, count: int) -> list[str]:
        """The last rows of the event log, as JSON text."""

    def steer(self, move: AnyMove, journal: str = "") -> str:
        """Make one move as a person and return its summary. Journaled."""

    def run(self, move: RunShell, journal: str = "") -> ShellRun:
        """Run a command as a person. Journaled. Output that waits for the loop's next prompt stays in its place."""

    def add_sensor(self, kind: str, name: str, options: Mapping[str, str], journal: str = "") -> str:
        """Write a sensor from a template and return the summary. Raises Refused when the name is taken."""

    def costs(self, since: "int | date | None" = None, by: "Subject | None" = None) -> "CostReport":
        """What was spent: in the last `since` seconds, or since that local day. Raises Unreadable."""

    def add_cost(self, row: "CostRow") -> str:
        """Put what somebody says he has spent into the ledger, stamped with the time. Raises Invalid."""

    def repair_costs(self) -> str:
        """Set the ledger's damaged lines aside and say how many. Journaled."""

    def setup(self) -> "Setup":
        """Who decides now, and who could. Raises Unreadable, Corrupt."""

    def plan_setup(self, wanted: "Wiring") -> "Plan":
        """What would be written for these wishes; nothing is. Raises Invalid, Refused, Unreadable, Corrupt."""

    def write_setup(self, plan: "Plan") -> None:
        """Write a plan. Raises Refused when the config has changed since; Unwritable."""

    def check_up(self, *, ask: bool) -> "Checkup":
        """Look whether everything works; `ask` also has the runner decide something trivial."""

    def claim(self, name: str, session: str | None = None, say: Callable[[str], object] | None = None) -> str:
        """Take a lease; `claimed <name>`, nothing where the session had it. Raises Refused naming the holder, Invalid.

        `say` gets a sentence where the session does not live: the next beat takes its lease away.
        """

    def unclaim(self, name: str, session: str | None = None) -> None:
        """Give a lease up; one that is nobody's is fine. Raises Refused where another live session has it, Invalid."""

    def make_worktree(self, repo: str, session: str | None = None, branch: str = "", base: str = "") -> "Made":
        """The session's checkout of a repository, made when there is none. Raises Invalid, Missing, Refused."""

    def worktrees(self) -> "list[WorktreeView]":
        """Every checkout. Raises Unreadable, and Missing without git."""

    def remove_worktree(self, name: str, *, force: bool = False) -> str:
        """Remove a checkout and say what went. Raises Missing, and Refused where work would be lost, unless forced."""

    def prune_worktrees(self) -> "Pruned":
        """Remove the checkouts that have served. Raises Unreadable, Missing."""


class Engine(Protocol):
    """The loop itself, for the clients that start it."""

    def pulse(self, *, park: bool = True) -> None:
        """Beat until asked to stop. Raises AlreadyRunning and what a bad setting raises.

        Without `park` a runner at its usage limit is asked all the same.
        """

    def beat(
        self, *, forced: bool = False, dry_run: bool = False, quiet: bool = False, park: bool = True
    ) -> BeatReport:
        """One beat; with `dry_run` one that changes nothing. Problems are logged on stderr unless `quiet`."""

    def elsewhere(self, data_dir: str) -> "Engine":
        """The same loop over another data dir, with every knob at its default."""

    def notify(self, wishes: "Wishes", tell: "Callable[[Notice], None]", talk: Callable[[str], object]) -> bool:
        """Push questions to a person until asked to stop, or once; False when a push that was to be the last failed.

        `tell` gets what was sent and what was not, `talk` sentences. Raises what bad wishes raise; Refused beside
        another one.
        """

    def demo(self, *, keep: bool, answer: str | None = None) -> None:
        """Show the loop at work in a scratch world; `answer` is the person's there, None to ask for it."""
