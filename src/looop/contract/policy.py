"""Policy and its readings as a client sees them: goals, sensors, schedules, and a command that was run."""

from typing import Any

from msgspec import Struct


class GoalView(Struct, frozen=True):
    """One goal: its text, how it stands, and how long ago it was acted on (None: never).

    `error` says what is wrong with the file or its front matter; `done` and `reflexes` are not known then.
    """

    id: str
    text: str
    status: str
    why: str
    done: str | None
    reflexes: list[str]
    suspended: list[int]
    age_s: int | None
    error: str


class GoalWritten(Struct, frozen=True):
    """A goal that was written: its summary, and in a sentence each what its author may not have meant."""

    summary: str
    doubts: list[str]


class SensorView(Struct, frozen=True):
    """One sensor and its last reading. `error` is empty when all is well.

    `age_s` is how long ago the sensor ran last for the loop, None when it has not run yet.
    """

    name: str
    file: str
    interval_s: int
    trust: str
    error: str
    signal: Any
    age_s: int | None


class SensorRun(Struct, frozen=True):
    """A sensor run for trying: what the loop would publish, whether it would call that good, and what would wake it.

    Output that is not JSON is good and compared as a whole: `is_json` is False then, and `signal` None.
    """

    name: str
    ok: bool
    error: str
    output: str
    stderr: str
    is_json: bool
    signal: Any
    seconds: float


class ScheduleView(Struct, frozen=True):
    """One schedule: its record (None when it cannot be read), what wakes the loop, and the rest."""

    name: str
    record: dict[str, Any] | None
    signal: Any
    detail: dict[str, Any]


class ShellRun(Struct, frozen=True):
    """A command a person had run: its summary, and the tail of what it printed."""

    summary: str
    output: str
