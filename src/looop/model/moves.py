"""The typed moves: the ten things one beat may do. Source: spec/beat.md §10.

A move is a value; performing it is the business of act/. `kind` is the short word used in logs,
`summary` the line that goes to the journal when the decision brings none of its own.
"""

from typing import Annotated, ClassVar, get_args

from msgspec import Meta, Struct

Id = Annotated[str, Meta(description="1-64 letters, digits, '-', '_' or '.', not starting with a dot")]


class Move(Struct, frozen=True, tag_field="action", omit_defaults=True):
    """Base of the moves; `action` is the tag."""

    kind: ClassVar[str]

    @property
    def action(self) -> str:
        """The tag, as a decision spells it."""
        return str(self.__struct_config__.tag)

    @property
    def summary(self) -> str:
        """One line that says what this move does."""
        raise NotImplementedError

    @property
    def goal(self) -> str | None:
        """The goal this move acts on, or None when it counts for no goal."""
        return None


class Noop(Move, frozen=True, tag="noop"):
    """Do nothing this beat."""

    kind = "noop"
    reason: str | None = None

    @property
    def summary(self) -> str:
        return f"noop · {self.reason}" if self.reason else "noop"


class RunShell(Move, frozen=True, tag="run_shell"):
    """Run one short, reversible command in the data dir; its output is shown to the next decide."""

    kind = "shell"
    cmd: str
    reason: str | None = None

    @property
    def summary(self) -> str:
        return f"run-shell · {self.reason or self.cmd}"


class WriteGoal(Move, frozen=True, tag="write_goal"):
    """Create or replace `goals/<id>.md`."""

    kind = "goal"
    id: Id
    body: str

    @property
    def summary(self) -> str:
        return f"write-goal {self.id}"

    @property
    def goal(self) -> str:
        return self.id


class ArchiveGoal(Move, frozen=True, tag="archive_goal"):
    """Move a finished goal to `goals/archive/`."""

    kind = "archive"
    id: Id

    @property
    def summary(self) -> str:
        return f"archive-goal {self.id}"

    @property
    def goal(self) -> str:
        return self.id


class WriteSensor(Move, frozen=True, tag="write_sensor"):
    """Create or replace the executable `sensors/<name>.sh`."""

    kind = "sensor"
    name: Id
    script: str

    @property
    def summary(self) -> str:
        return f"write-sensor {self.name}"


class WritePlaybook(Move, frozen=True, tag="write_playbook"):
    """Replace the whole PLAYBOOK; the old body is kept in `playbook.d/`."""

    kind = "playbook"
    body: str

    @property
    def summary(self) -> str:
        return "write-playbook"


class StartWorker(Move, frozen=True, tag="start_worker"):
    """Start a worker agent in a terminal of its own."""

    kind = "worker"
    id: Id
    prompt: str
    command: str | None = None
    verify: str | None = None

    @property
    def summary(self) -> str:
        return f"start-worker {self.id}" + (" (command override)" if (self.command or "").strip() else "")

    @property
    def goal(self) -> str:
        return self.id


class KillWorker(Move, frozen=True, tag="kill_worker"):
    """End a worker."""

    kind = "kill"
    id: Id
    reason: str | None = None

    @property
    def summary(self) -> str:
        return f"kill-worker {self.id}" + (f" · {self.reason}" if self.reason else "")

    @property
    def goal(self) -> str:
        return self.id


class WriteSchedule(Move, frozen=True, tag="write_schedule"):
    """Create or replace a schedule: exactly one of `in_s` (once), `every_s` (again and again) and `cron`.

    Cron runs in the time zone `tz`, the machine's when it is left out; `catch_up` says what becomes of missed runs:
    `one` (when it is left out), `all` or `none` of them wake the loop.
    """

    kind = "schedule"
    name: Id
    in_s: int | None = None
    every_s: int | None = None
    note: str | None = None
    cron: str | None = None
    tz: str | None = None
    catch_up: str | None = None

    @property
    def summary(self) -> str:
        trigger = f"one-shot, due in {self.in_s}s" if self.every_s is None else f"recurring, every {self.every_s}s"
        if self.cron is not None:
            trigger = f"cron {self.cron}" + (f", {self.tz}" if self.tz else "")
        return f"write-schedule {self.name} ({trigger}{f', catch-up {self.catch_up}' if self.catch_up else ''})"


class DropSchedule(Move, frozen=True, tag="drop_schedule"):
    """Delete a schedule; deleting one that is not there is fine."""

    kind = "drop-schedule"
    name: Id

    @property
    def summary(self) -> str:
        return f"drop-schedule {self.name}"


AnyMove = (
    Noop
    | RunShell
    | WriteGoal
    | ArchiveGoal
    | WriteSensor
    | WritePlaybook
    | StartWorker
    | KillWorker
    | WriteSchedule
    | DropSchedule
)

ALL_MOVES: tuple[type[Move], ...] = get_args(AnyMove)
