"""A week in virtual time: the real pulse over a real store, a schedule, and workers whose questions nobody answers.

Beats, gates, runner, bundles, mailbox and the sleep between two beats are the real ones; only the clock is moved, and
the workers are what a fleet tells of them. Their questions are put by the contract's own `ask`, the one that blocks:
each call is cut off by the time limit of its agent's tools, and made again.
"""

import heapq
import json
import math
import shlex
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import cast

from msgspec import Struct

from looop.config.paths import Paths
from looop.contract.ask import ask, took
from looop.contract.questions import Question
from looop.model.errors import Refused
from looop.model.records import Schedule
from looop.pulse.cadence import WATCHED, sleep, wakes_the_pulse
from looop.pulse.main import Pulse
from looop.runtime.command import Stop
from looop.runtime.stop import StopFlag
from looop.runtime.watch import Watcher
from tests.fakes.clock import StillClock
from tests.fakes.fleet import FakeFleet, dead, session
from tests.fakes.house import Home

HOUR_S = 3600
DAY_S = 24 * HOUR_S
WEEK_S = 7 * DAY_S
EVERY_S = 900
ON_TIME_S = 60
AGENT_PAUSE_S = 5  # until an agent whose call was cut off makes it again
_NOOP = {"action": "noop", "journal": "looked after it"}


class Plan(Struct, frozen=True):
    """What the workers do. `ask_after_s`: they ask so long after they start. `tool_limit_s`: their tools cut a call off
    after so long. `restart_s`: so long one lives.

    With `timeout_s` a question expires into `default`, and its worker goes on with that.
    """

    workers: int = 9
    ask_after_s: int = 60
    tool_limit_s: int = 600
    restart_s: int = DAY_S
    timeout_s: int = 0
    default: str = ""
    seconds: int = WEEK_S
    interval: int = 60


class Found(Struct):
    """What was counted. `due` are the schedule's runs, `handled` those that were sensed and decided on time."""

    beats: int = 0
    decides: int = 0
    due: int = 0
    handled: int = 0
    model_calls: int = 0
    calls_of_ask: int = 0
    restarts: int = 0
    questions: int = 0
    records: int = 0
    most_copies: int = 0
    went_on: int = 0
    slowest_beat_s: float = 0.0
    seconds: float = 0.0
    endings: dict[str, int] = {}

    @property
    def uptime(self) -> float:
        """The share of due runs that were handled on time, in percent."""
        return 100 * self.handled / self.due

    @property
    def news(self) -> int:
        """What there is to decide about besides the runs: the first beat, each start, question and end of a worker.

        A restart is two: its question waits for nobody until the new worker asks it again. So is going on: the
        question expires, and its worker ends.
        """
        return 1 + 2 * self.questions + 2 * self.restarts + 2 * self.went_on


class CutOff:
    """The agent's tools end the call as soon as it begins to wait; an answer that is there is read."""

    def __init__(self) -> None:
        self._looks = 0

    def requested(self) -> bool:
        self._looks += 1
        return self._looks > 1

    def fileno(self) -> int:
        return -1


class _Waits:
    """Stands for the pulse's watcher: a wait moves the clock, and what the workers do meanwhile may end it."""

    def __init__(self, week: "Week") -> None:
        self._week = week

    def wait(self, timeout_s: float, stop: Stop, settle_s: float = 0.0) -> set[str]:
        until = self._week.clock.now() + math.ceil(timeout_s)
        while self._week.agenda and self._week.agenda[0][0] <= until:
            before = self._week.stamps()
            self._week.next_event()
            if changed := {name for name, _ in before ^ self._week.stamps()}:
                return changed
        self._week.clock.move(until - self._week.clock.now())
        return set()


class Week:
    """One run over a data dir of its own."""

    def __init__(self, root: Path, plan: Plan) -> None:
        self.plan, self.clock = plan, StillClock()
        self.home = Home(root, clock=self.clock)
        self.fleet, self.found = FakeFleet(), Found()
        self.house = self.fleet.into(self.home.house)
        self.agenda: list[tuple[int, int, Callable[[], None]]] = []
        self._turn = 0
        self.began = self.clock.now()
        self._handled: set[int] = set()

    def run(self) -> Found:
        """Live through it, and count."""
        began = time.monotonic()
        self._furnish()
        stop = StopFlag()
        paths = Paths(data_dir=str(self.home.root), given_config="", is_default=True)
        pulse = Pulse(self.house, paths, stop)
        pulse._lock.acquire()
        try:
            self._live(pulse)
        finally:
            pulse._lock.release()
            stop.close()
        self._count()
        self.found.seconds = time.monotonic() - began
        return self.found

    def _furnish(self) -> None:
        self.home.write("PLAYBOOK.md", "# PLAYBOOK\n\nBe careful.\n")
        self.home.write("goals/check.md", "# Check\n\nLook after it every quarter of an hour.\n")
        decision = self.home.tools / "decision.json"
        decision.write_text(json.dumps(_NOOP))
        runner = f"cp {shlex.quote(str(decision))} .decision.json"
        config = {"tick_command": runner, "max_daily_usd": 0, "interval": self.plan.interval}
        self.home.write("config.json", json.dumps(config))
        self.house.schedules.write("check", Schedule(every_s=EVERY_S, anchor=self.began))
        for number in range(self.plan.workers):
            born = self.began + number * HOUR_S + 400
            self._at(born, lambda worker=f"w{number + 1}": self._start(worker))

    def _live(self, pulse: Pulse) -> None:
        """The pulse's own loop: a beat, then its own sleep, whose watcher is ours."""
        ends, forced = self.began + self.plan.seconds, True
        watcher = cast(Watcher, _Waits(self))
        while self.clock.now() <= ends:
            self._beat(pulse, forced=forced)
            forced = False
            sleep(self.house, watcher, pulse._interval())
            self.clock.move(max(self._last + self.house.setting.knobs.min_beat_gap - self.clock.now(), 0))

    def _beat(self, pulse: Pulse, *, forced: bool) -> None:
        self._last, began = self.clock.now(), time.monotonic()
        report = pulse._step(forced=forced)
        self.found.slowest_beat_s = max(self.found.slowest_beat_s, time.monotonic() - began)
        self.found.beats += 1
        self.found.endings = dict(Counter(self.found.endings) + Counter([report.ending]))
        self.found.decides += report.ending == "decided"
        run, late_s = divmod(self._last - self.began, EVERY_S)
        sensed = any("sys-schedules" in change.name for change in report.changes or [])
        if run and sensed and late_s <= ON_TIME_S and report.ending == "decided":
            self._handled.add(run)

    def _count(self) -> None:
        found = self.found
        found.due, found.handled = self.plan.seconds // EVERY_S, len(self._handled)
        found.model_calls = len(self.home.events("decide_start"))
        files = [file for file in (self.home.root / "asks").rglob("*.json") if file.name[0] != "."]
        asks = [json.loads(file.read_bytes()) for file in files if not file.name.endswith(".answer.json")]
        copies = Counter((record["worker"], record["key"]) for record in asks)
        found.records, found.questions = len(asks), len(copies)
        found.most_copies = max(copies.values(), default=0)

    def stamps(self) -> set[tuple[str, int]]:
        """The files a pulse would be woken by, each with its time."""
        files = [(folder, file) for folder in WATCHED for file in (self.home.root / folder).iterdir() if file.is_file()]
        return {
            (f"{folder}/{file.name}", file.stat().st_mtime_ns)
            for folder, file in files
            if wakes_the_pulse(folder, file.name)
        }

    def next_event(self) -> None:
        """Move the clock to what happens next, and let it happen."""
        moment, _, happen = heapq.heappop(self.agenda)
        self.clock.move(max(moment - self.clock.now(), 0))
        happen()

    def _at(self, moment: int, happen: Callable[[], None]) -> None:
        self._turn += 1
        heapq.heappush(self.agenda, (moment, self._turn, happen))

    def _start(self, worker: str) -> None:
        """A generation begins; it asks, and is started anew after its time."""
        now = self.clock.now()
        self._replace(worker, session(worker, started_at=now))
        self._at(now + self.plan.ask_after_s, lambda: self._ask(worker, now))
        if self.plan.restart_s:
            self._at(now + self.plan.restart_s, lambda: self._restart(worker, now))

    def _restart(self, worker: str, generation: int) -> None:
        if self._is(worker, generation):
            self.found.restarts += 1
            self._start(worker)

    def _ask(self, worker: str, generation: int) -> None:
        """One call: it waits for an answer until its agent's tools cut it off, and is made again."""
        if not self._is(worker, generation):
            return
        self.found.calls_of_ask += 1
        try:
            reply = ask(self.house, self._question(worker), CutOff(), lambda _: None)
        except Refused as error:
            assert "stays asked" in str(error), error
            self._at(self.clock.now() + self.plan.tool_limit_s + AGENT_PAUSE_S, lambda: self._ask(worker, generation))
            return
        took(self.house, reply.ask_id)
        assert reply.answer == self.plan.default, reply
        self.found.went_on += 1
        self._replace(worker, dead(worker))

    def _question(self, worker: str) -> Question:
        limit = {"timeout_s": self.plan.timeout_s, "default": self.plan.default} if self.plan.timeout_s else {}
        return Question(prompt=f"May {worker} go on?", worker=worker, options=["yes", "no"], key="go-on", **limit)

    def _is(self, worker: str, generation: int) -> bool:
        return any(one.id == worker and one.alive and one.started_at == generation for one in self.fleet.sessions)

    def _replace(self, worker: str, now: object) -> None:
        self.fleet.sessions[:] = [one for one in self.fleet.sessions if one.id != worker] + [now]  # type: ignore[list-item]
