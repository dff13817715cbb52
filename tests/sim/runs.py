"""Schedules that have a job to do, and when they run, told without rules/due.py and rules/cron.py.

Each has a goal of its own, whose reflex does the job when the schedule is due. What is looked at: a run that is due is
shown, the job is done at most once for what is shown, and when the loop rests it was done or tried.
"""

import json
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from looop.model.moves import RunShell, WriteSchedule
from looop.model.records import Schedule
from looop.rules.due import MOST_BEHIND, ON_TIME_S, STEP_S
from looop.state.codec import decode_record
from tests.sim.promises import Broken

NAMES = ("r0", "r1", "r2")
ZONES = ("Europe/Berlin", "America/New_York")
GOAL = """---
reflexes:
  - when: due.{name}
    move: {{action: run_shell, cmd: nightly {name}}}
---
do it each time"""


def wished(name: str, rng: Random) -> WriteSchedule:
    """What a person may want of a schedule of that name: each has a kind of its own."""
    minute, zone = rng.choice((0, 15, 30)), rng.choice(ZONES)
    kinds = {
        "r0": [{"cron": f"{minute} 2 * * *", "tz": zone}, {"cron": f"{minute} 9 * * *", "tz": zone, "catch_up": "one"}],
        "r1": [{"every_s": 43200, "catch_up": "all"}, {"cron": f"{minute} 2 * * *", "tz": zone, "catch_up": "all"}],
        "r2": [
            {"in_s": rng.choice((60, 7200, 86400))},
            {"every_s": 28800},
            {"cron": f"{minute} * * * *", "tz": zone, "catch_up": "none"},
        ],
    }
    return WriteSchedule(name, **rng.choice(kinds[name]))


def latest(schedule: Schedule, now: int) -> int | None:
    """The last run at or before `now`."""
    return max((run for run in _around(schedule, now) if (schedule.anchor or 0) < run <= now), default=None)


def following(schedule: Schedule, after: int) -> int:
    """The first run after a moment."""
    return min(run for run in _around(schedule, after) if run > max(after, schedule.anchor or 0))


def _around(schedule: Schedule, moment: int) -> list[int]:
    """The runs near a moment."""
    if schedule.every_s is not None:
        first = (schedule.anchor or 0) + (moment - (schedule.anchor or 0)) // schedule.every_s * schedule.every_s
        return [first + n * schedule.every_s for n in (-1, 0, 1, 2)]
    minute, hour = (schedule.cron or "").split()[:2]
    if hour == "*":
        first = moment - (moment - 60 * int(minute)) % 3600
        return [first + n * 3600 for n in (-1, 0, 1, 2)]
    zone = ZoneInfo(schedule.tz or "")
    today = datetime.fromtimestamp(moment, zone).date()
    return [_moment(today + timedelta(days=n), int(hour), int(minute), zone) for n in (-2, -1, 0, 1, 2)]


def _moment(day: date, hour: int, minute: int, zone: ZoneInfo) -> int:
    """The first time that the clocks of the zone show it on that day, or go past it."""
    wanted = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
    if wanted.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != wanted.replace(tzinfo=None):
        wanted = wanted.replace(hour=hour + 1, minute=0)
    return int(wanted.timestamp())


def run_of(schedule: Schedule, signal: Any) -> int | None:
    """The run that a signal shows."""
    if isinstance(signal, str):
        return schedule.at if signal == "due" else None
    if "run" in signal:
        return None if signal["run"] is None else int(datetime.fromisoformat(signal["run"]).timestamp())
    return (schedule.anchor or 0) + signal["period"] * (schedule.every_s or 0) if signal["period"] > 0 else None


class Runs:
    """What was shown of each schedule, and what was done for it: `served` counts jobs."""

    def __init__(self) -> None:
        self._shown: dict[str, tuple[object, str]] = {}
        self._tried: dict[str, tuple[object, str]] = {}
        self._done: set[tuple[str, object, str]] = set()
        self._excused: set[str] = set()
        self._late: set[str] = set()
        self._made_up: set[str] = set()
        self._stale: dict[str, int] = {}
        self._covered: dict[str, tuple[object, int]] = {}
        self.served = 0

    def look(self, name: str, record: bytes, signals: Any, decided: Any, now: int, *, strict: bool) -> None:
        """A beat shows these signals; `decided` are those of the last decision, None when nobody knows.

        `strict`: nothing was in its way.
        """
        schedule = decode_record(record, name, Schedule)
        if not isinstance(schedule, Schedule) or not isinstance(signals, dict) or name not in signals:
            if strict:
                raise Broken("runs", f"schedule {name} is not shown")
            return
        signal, which = signals[name], (schedule.anchor, schedule.at)
        self._goes_back(name, which, schedule, signal)
        self._shown[name] = (which, json.dumps(signal))
        last = decided.get(name) if isinstance(decided, dict) else None
        is_known = isinstance(decided, dict) and "error" not in decided and last not in ("invalid", "unparseable")
        if not is_known and schedule.catch_up == "all":
            self._excused.add(name)  # all that was missed is one run then
        is_made_up = schedule.catch_up == "all" and signal != last and run_of(schedule, signal) is not None
        self._made_up = self._made_up - {name} | ({name} if is_made_up else set())
        self._late = self._late - {name} | ({name} if is_made_up and strict else set())
        self._note_stale(name, schedule, now, strict=strict)
        if not strict:
            return
        wanted = self._wanted(schedule, signal, last, now, is_known=is_known)
        if wanted:
            raise Broken("runs", f"schedule {name} shows {signal!r} at {now}, and should show {wanted}: {record!r}")

    def _goes_back(self, name: str, which: object, schedule: Schedule, signal: Any) -> None:
        """A cut took the last reading away, and what is shown then is an earlier run, whose job may be done anew."""
        before = self._shown.get(name)
        if before is None or before[0] != which or schedule.catch_up not in ("all", "none"):
            return
        if (run_of(schedule, signal) or 0) < (run_of(schedule, json.loads(before[1])) or 0):
            self._done = {run for run in self._done if run[0] != name}

    def _note_stale(self, name: str, schedule: Schedule, now: int, *, strict: bool) -> None:
        """A reading that cannot be replaced shows an earlier run: a job done then is done after the last one, too."""
        self._stale.pop(name, None)
        if strict or schedule.at is not None or schedule.catch_up == "all":
            return
        if last := latest(schedule, now):
            self._stale[name] = last

    def decides(self, goal: str | None, *, unread: set[str], waits: bool) -> None:
        """A beat sets out to make a move, for that goal: what is made up for is shown this once.

        While a failure is waited for (`waits`), the reflex that failed has no turn, and others go on. Nor has a reflex
        one whose goal could not be read (`unread`): the loop goes on without it, and moves its schedule on.
        """
        self._excused |= self._made_up & unread
        late = self._late - self._excused - {goal}
        if waits:
            self._excused |= late
            return
        for name in late:
            if self._tried.get(name) != self._shown[name]:
                raise Broken("runs", f"{name} makes up for {self._shown[name]}, and a move is made for {goal}")

    def tries(self, move: object) -> None:
        """A beat sets out to make this move of a reflex."""
        if isinstance(move, RunShell) and move.cmd.startswith("nightly "):
            name = move.cmd.removeprefix("nightly ")
            self._tried[name] = self._shown[name]
            self._covered.pop(name, None)
            if name in self._stale:
                self._covered[name] = (self._shown[name][0], self._stale[name])
            self._excused.discard(name)

    def done(self, name: str) -> None:
        """The job of that schedule was done."""
        run = (name, *self._shown[name])
        if run in self._done:
            raise Broken("runs", f"the job of {name} was done twice for {run}")
        self._done.add(run)
        self.served += 1

    def forget(self) -> None:
        """What reflexes did is damaged: those that hold are held back on this world, and a run may be served again."""
        self._excused = set(NAMES)
        self._done.clear()

    def check_rest(self, name: str, record: bytes) -> None:
        """The loop rests: what is shown was acted on."""
        schedule = decode_record(record, name, Schedule)
        if not isinstance(schedule, Schedule) or name not in self._shown or name in self._excused:
            return
        which, shown = self._shown[name]
        run, tried = run_of(schedule, json.loads(shown)), self._tried.get(name, (None, ""))
        if which != (schedule.anchor, schedule.at) or run is None:
            return
        served = run_of(schedule, json.loads(tried[1])) if tried[0] == which else None
        covered = self._covered.get(name, (None, 0))
        if covered[0] == which and covered[1] >= run:
            return
        if served is None or served < run:
            raise Broken("runs", f"{name} shows {shown}, and its job was last tried for {tried}")

    @staticmethod
    def _wanted(schedule: Schedule, signal: Any, decided: Any, now: int, *, is_known: bool) -> str:
        """What should be shown instead, empty when all is well."""
        if schedule.at is not None:
            wanted = "due" if now >= schedule.at else "pending"
            return "" if signal == wanted else wanted
        shown, last = run_of(schedule, signal), latest(schedule, now)
        if schedule.every_s is not None and schedule.catch_up is None:
            return "" if shown == last else f"the run of {last}"
        if shown is not None and shown not in _around(schedule, shown):
            is_of_before = shown <= (schedule.anchor or 0) + STEP_S  # written anew just after the clock was set back
            return "" if is_of_before else "a run"
        if schedule.catch_up == "none":
            is_late = last is None or now - last > ON_TIME_S
            return "" if is_late or (shown is not None and shown >= last) else f"the run of {last}, which is in time"
        if shown is not None and now < shown <= now + STEP_S:
            return ""
        if schedule.catch_up != "all" or last is None or not is_known:
            return "" if shown == last else f"the run of {last}"
        before = None if decided is None else run_of(schedule, decided)
        before = before if before is not None and (schedule.anchor or 0) < before <= now + STEP_S else schedule.anchor
        if before >= last:
            return "" if shown == last else f"the run of {last}"
        wanted = following(schedule, before)
        is_far = last - wanted > (MOST_BEHIND - 2) * min(schedule.every_s or 86400, 82800)
        return "" if is_far or shown == wanted else f"the run of {wanted}, the first after {before}"
