"""The records we keep on disk, field for field as the reference program writes them.

Unknown fields are ignored, so a newer version's record is still read. A wrong type anywhere makes a record
corrupt. Times are integer UTC seconds. Source: spec/beat.md §0, spec/workers.md §8-§11.
"""

from typing import Any, Literal

from msgspec import Struct

from looop.model.usage import Price

Urgency = Literal["low", "normal", "irreversible"]


class Backoff(Struct, frozen=True):
    """Consecutive failures. `hash` is the policy hash; `armed` keeps a forced decide that failed alive.

    `source` is who failed last: a runner's wait does not hold up the reflexes, which are free.
    """

    hash: str
    fails: int = 0
    ts: int = 0
    armed: bool = False
    source: str = ""
    v: int = 1


class Failure(Struct, frozen=True):
    """Feedback for the next prompt; the next success removes it."""

    ts: int
    run_id: str
    code: str
    error: str
    fails: int
    v: int = 1


class ShellOutput(Struct, frozen=True):
    """Tail of the last run_shell's output, shown to one decide."""

    ts: int
    cmd: str
    exit_code: int
    output: str
    v: int = 1


class NoopMark(Struct, frozen=True):
    """The last decision was a noop on this world."""

    ts: int = 0
    hash: str = ""
    v: int = 1


class FlapEntry(Struct, frozen=True):
    """How restless one snapshot's signal is. `last` is the signal seen last."""

    last: Any = None
    streak: int = 0


class FlapLedger(Struct, frozen=True):
    """Flapping, by snapshot stem."""

    snaps: dict[str, FlapEntry] = {}
    v: int = 1


class AttemptLedger(Struct, frozen=True):
    """When moves were obtained from a runner or a reflex, for the hourly cap."""

    ts: list[Any] = []
    v: int = 1


class NextWake(Struct, frozen=True):
    """A one-shot deadline that forces the next beat."""

    due: int
    v: int = 1


class Intent(Struct, frozen=True):
    """Written before a run_shell, removed after it: what is left over was interrupted.

    `cmd` is for people; `mark` finds what it started.
    """

    kind: str
    fingerprint: str
    ts: int
    shell_timeout_secs: int | None = None
    cmd: str = ""
    mark: str = ""


class ReflexState(Struct, frozen=True):
    """What one reflex has done since its condition last turned true, or a schedule it names has run again.

    `run` says which runs of schedules it has fired for last, `served` whether that went well; both outlive a condition
    that turns false.
    """

    runs: int = 0
    fired_on: str = ""
    suspended: bool = False
    run: str = ""
    served: bool = False


class GoalReflexes(Struct, frozen=True):
    """The reflex states of one goal; a changed `goal_hash` starts them afresh."""

    goal_hash: str
    rules: dict[str, ReflexState] = {}
    broken: str = ""


class ReflexLedger(Struct, frozen=True):
    """Reflex states by goal id."""

    goals: dict[str, GoalReflexes] = {}
    v: int = 1


class Schedule(Struct, frozen=True, omit_defaults=True):
    """One-shot (`at`), recurring (`every_s`), or by the calendar (`cron` in the zone named `tz`): exactly one of them.

    The last two count from `anchor`, which is no run itself; `catch_up` says what becomes of runs that were missed:
    one (None), all or none. Anything else reads as invalid.
    """

    v: int = 1
    at: int | None = None
    every_s: int | None = None
    cron: str | None = None
    tz: str | None = None
    anchor: int | None = None
    catch_up: str | None = None
    note: str | None = None


class Ask(Struct, frozen=True):
    """A question of a worker. `detach` is a legacy field: such an ask blocks nobody.

    `key` is the worker's own name for it, `taken` when the worker got the answer; both only where it gave a key.
    From `expires` on nobody can answer: the worker gets `default`, if it named one. `generation` is when the asking
    session started, 0 without a session, -1 once it is settled as stranded. `again` says why it is asked although it
    was refused before.
    """

    id: str
    worker: str
    prompt: str
    ts: int = 0
    reference: str | None = None
    options: list[str] = []
    key: str = ""
    taken: int = 0
    urgency: Urgency = "normal"
    expires: int | None = None
    default: str = ""
    again: str = ""
    generation: int = 0
    detach: bool = False
    v: int = 1


class Answer(Struct, frozen=True, omit_defaults=True):
    """How one ask was settled, once: by a person's answer, or without one. `by` names who, where that needs saying.

    Expired: `answer` is the ask's default, decided by nobody. Withdrawn: `answer` says why. Stranded: nobody asks now.
    """

    answer: str
    ts: int = 0
    outcome: Literal["answered", "expired", "withdrawn", "stranded"] = "answered"
    by: str = ""


class Tell(Struct, frozen=True):
    """Steering of a person for one worker. Source: spec/workers.md §10."""

    id: str
    worker: str
    msg: str
    ts: int = 0
    v: int = 1


class CostRow(Struct, frozen=True, omit_defaults=True):
    """One touch of a model. `ts` is RFC 3339 UTC; `cost_usd` None when the run could not be metered.

    `estimated`: the runner named tokens and no dollars, which a price list supplied.
    """

    ts: str
    kind: str
    id: str
    runner: str
    model: str | None = None
    goal: str | None = None
    cost_usd: float | None = None
    tokens: dict[str, int] | None = None
    metered: bool = True
    estimated: bool = False


class Unmetered(Struct, frozen=True):
    """How many runs in a row had no figure; `sig` stands for the runner and how it is metered."""

    sig: str
    count: int


class OpenRun(Struct, frozen=True):
    """A model run that was begun: what is left over has no row in the ledger yet.

    `mark` finds its processes, `stream` is what it printed, read as `command` and `events` say; or `row` is ready.
    """

    id: str
    runner: str
    ts: int
    mark: str = ""
    stream: str = ""
    command: str = ""
    events: str | None = None
    price: Price | None = None
    row: CostRow | None = None


class Parked(Struct, frozen=True):
    """A runner's usage limit is reached: nobody is asked before `until`. `why` is what the runner said."""

    until: int
    why: str
    runner: str


class Awake(Struct, frozen=True):
    """How long this machine has been suspended in this `boot`, and when it was last found to have been; 0: never."""

    asleep_s: float
    since: int
    boot: str
    v: int = 1


class VerifyResult(Struct, frozen=True):
    """How a worker's verify command ended: `output` is its tail, `exit_code` None when it has none."""

    ok: bool
    exit_code: int | None = None
    output: str = ""
    ts: int = 0


class Fault(Struct, frozen=True):
    """A record that is there and tells us nothing: which one, how, and why. Never to be taken for absent."""

    key: str
    kind: Literal["unreadable", "corrupt"]
    why: str
