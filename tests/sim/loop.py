"""A whole loop under one seed: its beats, its people, its workers and their troubles, in virtual time.

Each round lets a few processes run together over one store, and may let one die or the power fail; then everything that
was promised is looked at. What happens depends on the seed alone, so a round that breaks a promise can be seen again.
"""

import json
import os
import shutil
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from random import Random
from time import gmtime, strftime
from typing import Any
from unittest import mock

from looop.act.perform import perform
from looop.config.knobs import Knobs
from looop.config.paths import Paths, child_environment
from looop.model.errors import LooopError
from looop.model.moves import Move, WriteGoal
from looop.model.world import goals_of
from looop.pulse import beat as beats
from looop.pulse import commit
from looop.pulse.main import Pulse
from looop.runtime.command import Stop
from looop.runtime.events import Events
from looop.state import guards
from looop.state.house import House, Setting, furnish
from looop.state.ledger import KEY as LEDGER
from looop.state.open import NoStop
from tests.fakes.clock import StillClock
from tests.fakes.disk import Died
from tests.sim import machine as machines
from tests.sim import runs as jobs
from tests.sim.agent import Agent
from tests.sim.crowd import Crowd, Process
from tests.sim.damage import Damage
from tests.sim.disk import SimStore
from tests.sim.machine import SENSORS, Effect, Machine, SimFleet
from tests.sim.people import WORKERS, Others, terms
from tests.sim.post import Post
from tests.sim.promises import Broken, Promises

BEGINS = (1_792_600_000, 1_804_900_000, 1_806_000_000)  # some days before the clocks change in one zone or another
BUDGET_USD = 6.0
ATTEMPTS_AN_HOUR = 12
MOST_UNMETERED = 3
PATIENCE = 6
Begin = Callable[[int | None], Process]
CONFIG = f"""\
tick_command = "claude -p --output-format stream-json"
worker_command = "work {{{{prompt_file}}}}"
max_daily_usd = {BUDGET_USD}
"""
REMEMBERED = 60
SCHEDULES_SHOWN = "sys-schedules"
FOR_REFLEXES = frozenset((guards.LAST_HASH, guards.BACKOFF, guards.ATTEMPTS, guards.REFLEXES))
FOR_AGENTS = FOR_REFLEXES | {LEDGER, guards.UNMETERED, guards.PARKED}
CLOSED_BY_DAMAGE = frozenset((LEDGER, guards.UNMETERED, guards.PARKED, guards.BACKOFF))


class AskedToEnd:
    """The pulse's wish to end, which the crowd has."""

    def __init__(self, crowd: Crowd) -> None:
        self.requested: Callable[[], bool] = crowd.is_to_end

    def fileno(self) -> int:
        return -1


class Held:
    """The pulse's lock: there is one pulse at a time here."""

    def keep(self) -> bool:
        return True


class Sim:
    """One loop. `beats` and `deaths` are counted; `trouble` is the share of rounds with a death or a bad disk.

    `trace` has the last things that happened, oldest first: when, who, what.
    """

    def __init__(self, seed: int, root: str, trouble: float = 0.4) -> None:
        self.seed, self.root, self.trouble = seed, root, trouble
        self.rng = Random(seed)
        self._paths = Paths(data_dir=root, given_config="", is_default=False)
        self.clock = StillClock(self.rng.choice(BEGINS))
        self.trace: deque[tuple[int, str, str, str]] = deque(maxlen=REMEMBERED)
        self.crowd = Crowd(self.rng)
        self.store = SimStore(self.clock, self.rng)
        self.store.meet, self.store.who, self.store.note = self.crowd.step, self.crowd.who, self.note
        self.machine = Machine(self.store, self.clock, self.rng)
        self.machine.agent, self.machine.is_to_end = self._agent, self.crowd.is_to_end
        self.machine.did, self.machine.judges = self._did, self._judges
        self.fleet = SimFleet(self.store, self.clock)
        self.promises, self.runs = Promises(BUDGET_USD), jobs.Runs()
        self.agent, self.others = Agent(self.rng, self.promises), Others(self)
        self.damage = Damage(self.store, self.rng)
        self.post = Post(root, self.store, self.clock, self.rng)
        self.machine.post = self.post.deliver
        self.beats = self.deaths = self.power_cuts = self.stops = self.rounds = self.together = 0
        self.endings: Counter[str] = Counter()
        self.last = ""
        self._count = self._figureless = self._parked_until = 0
        self._answered, self._asked = machines.Answer(), False
        self._disturbed = self._committed = False
        self._attempts: list[int] = []
        self._pulse: tuple[int, Pulse] | None = None
        self._forced = self._is_calm = False
        self._notify: tuple[int, House, Any] | None = None
        self._set_up()

    def play(self, beats_wanted: int) -> None:
        """Rounds until so many beats were made. Raises Broken."""
        with self._in_place():
            while self.beats < beats_wanted:
                self.rounds += 1
                self._round()
                if self.rounds % 40 == 0:
                    self._settle()

    def note(self, what: str, of: str) -> None:
        """Put into the trace what whoever runs now does."""
        self.trace.append((self.clock.now(), self.crowd.who(), what, of))

    def story(self) -> list[str]:
        """The trace, as lines."""
        return [
            f"{strftime('%d %H:%M:%S', gmtime(at))}  {who:<12} {what} {of}"[:160] for at, who, what, of in self.trace
        ]

    def count(self) -> int:
        """Another number."""
        self._count += 1
        return self._count

    def lives(self, session_id: str, mark: str) -> bool:
        """Whether that very session does."""
        found = self.fleet.exact(session_id)
        return bool(found and found.alive and found.mark == mark)

    @contextmanager
    def _in_place(self) -> Iterator[None]:
        """What is watched of the real beat: which world it looks at, what it carries out."""
        look, real = beats.look, commit.perform

        def looked(*args: Any, **more: Any) -> Any:
            before = {name: self.store.peek(f"schedules/{name}.json") for name in jobs.NAMES}
            seen = look(*args, **more)
            self.machine.look_at(seen.world.hash)
            self._seen = seen.world
            self._look_at_schedules(before, args[1])
            return seen

        def performed(house: House, move: Move, *args: Any, **more: Any) -> Any:
            self.promises.decide(self._seen)
            goals, waits = goals_of(self._seen.policy), self.store.peek(guards.BACKOFF) is not None
            unread = {name for name in jobs.NAMES if goals.get(name) is None}
            self.runs.decides(more.get("goal"), unread=unread, waits=waits)
            if more.get("goal"):
                self._reflex(move)
            return real(house, move, *args, **more)

        patches = mock.patch.object(beats, "look", looked), mock.patch.object(commit, "perform", performed)
        with self.crowd.in_place(), patches[0], patches[1]:
            yield

    def _set_up(self) -> None:
        with open(os.path.join(self.root, "config.toml"), "w", encoding="utf-8") as file:
            file.write(CONFIG)
        with open(os.path.join(self.root, "work"), "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\n")
        os.chmod(os.path.join(self.root, "work"), 0o755)
        with self.store.calm():
            self.store.write("PLAYBOOK.md", b"judge\n")
            for name in SENSORS:
                self.store.write(f"sensors/{name}.sh", b"#!/bin/sh\n", executable=True)
            house = self._house()
            for name in jobs.NAMES:
                body, plan = jobs.GOAL.format(name=name), jobs.wished(name, self.rng)
                for move in (WriteGoal(name, body), plan):
                    perform(house, move, self.clock.now())
                self.promises.goals.done(name, body)
                self.promises.schedules.done(name, terms(plan))

    def _house(self, stop: Stop | None = None) -> House:
        """What a new process has."""
        setting = Setting(
            root=self.root,
            clock=self.clock,
            processes=self.machine,
            stop=stop or NoStop(),
            knobs=Knobs(runs_keep=3, max_decides_per_hour=ATTEMPTS_AN_HOUR, noop_ttl=7200),
            env=child_environment(self._paths, "human", {"PATH": self.root, "HOME": self.root, "TZ": "UTC"}),
        )
        house = furnish(setting, self.store, Events(self.clock))
        books = {field: getattr(house, field) for field in house.__struct_fields__}
        return House(**books | {"fleet": self.fleet})

    # rounds

    def _round(self) -> None:
        rng = self.rng
        self.clock.move(rng.choice((2, 5, 60, 60, 300, 3600)) if rng.random() < 0.97 else rng.choice((-120, 86400)))
        self._world_moves()
        troubled = rng.random() < self.trouble
        if troubled and rng.random() < 0.4:
            self._spoil_disk()
        if rng.random() < 0.04:
            self._rot()
        if self.damage.needs_mending() and rng.random() < 0.3:
            self._mend()
        runs: list[Begin] = [self._beat] if rng.random() < 0.7 else []
        others = partial(self._visit, self.others.person), partial(self._visit, self.others.worker)
        runs += [rng.choice(others) for _ in range(rng.choice((0, 1, 1, 2, 3)))] or ([] if runs else [others[0]])
        if rng.random() < 0.2:
            runs.append(self._pushes)
        self._run(runs, fuse=rng.randrange(1, 90) if troubled and rng.random() < 0.6 else None)
        self.store.bad_reads = self.store.bad_writes = well
        self._look()

    def _run(self, runs: list[Begin], fuse: int | None = None) -> None:
        victim = self.rng.randrange(len(runs))
        power = fuse is not None and self.rng.random() < 0.3
        self.together = len(runs)
        self._disturbed = fuse is not None or self.store.bad_reads is not well or self.store.bad_writes is not well
        self._committed = False
        processes = [run(fuse if n == victim else None) for n, run in enumerate(runs)]
        if fuse is not None and runs[0] == self._beat and self.rng.random() < 0.2:
            processes[victim].fuse, processes[0].dies_of_agent = None, True
        self.machine.live_pids = {process.pid for process in processes}
        if self.crowd.run(processes, with_power=power):
            self.power_cuts += 1
            self.store.cut_power()
            self.note("the power", "fails")
            self._pulse = self._notify = None
        gone = {process.pid for process in processes if process.error or process.is_to_end}
        self.deaths += sum(process.error is not None for process in processes)
        self.stops += sum(process.is_to_end for process in processes)
        if self._pulse and self._pulse[0] in gone:
            self._pulse = None
        if self._notify and self._notify[0] in gone:
            self._notify = None
        self.machine.live_pids = {self._pulse[0]} if self._pulse else set()

    def _beat(self, fuse: int | None) -> Process:
        """The pulse makes a beat; a new one when there is none."""
        if self._pulse is None:
            stop: Any = AskedToEnd(self.crowd)
            pulse: Any = Pulse(self._house(stop), self._paths, stop)
            pulse._lock = Held()
            self._pulse, self._forced = (self.crowd.new_pid(), pulse), True
        is_to_end = not self._is_calm and self.rng.random() < self.trouble / 16
        patience = self.rng.randrange(1, 300) if is_to_end else None
        self._disturbed |= is_to_end
        return Process("beat", self._pulse[0], self._beat_once, fuse, patience)

    def _pushes(self, fuse: int | None) -> Process:
        """The notifier looks what is to be pushed; a new one when there is none."""
        if self._notify is None:
            house = self._house()
            with self.store.calm():
                self._notify = (self.crowd.new_pid(), house, self.post.notifier(house))
        return Process("notify", self._notify[0], self._push_once, fuse)

    def _visit(self, act: Callable[[House], None], fuse: int | None) -> Process:
        """Somebody comes by."""
        house = self._house()
        return Process(act.__name__, self.crowd.new_pid(), lambda: act(house), fuse)

    # when troubles are over

    def _settle(self) -> None:
        """Troubles over, the loop decides what changes, comes to rest, and idles on it."""
        self._mend()
        self._is_calm = self.agent.sane = self.machine.sane = self.post.sane = True
        self._rest()
        self._check_rest()
        for _ in range(2):
            self._decides_a_change()
        self._is_calm = self.agent.sane = self.machine.sane = self.post.sane = False

    def _rest(self) -> None:
        for _ in range(60):
            self._calm_beat()
            if self.last == "idle:world_unchanged":
                return
        raise Broken("progress", f"the loop does not come to rest: its last beat was {self.last}")

    def _calm_beat(self) -> None:
        """A beat with nothing in its way, but what waits for a person or another day."""
        self.clock.move(400)
        self._run([self._beat])
        self._look()
        if self.last in ("idle:guard_degraded", "idle:budget_unmetered"):
            self._mend()
        if self.last.startswith("idle:budget"):
            self.clock.move(86400)
        if self.last in ("idle:parked", "idle:tick_capped"):
            self.clock.move(3600)

    def _decides_a_change(self) -> None:
        """Something changes, and a few beats later a world with it was decided."""
        sensor, value = self.rng.choice(SENSORS), self.count()
        self.machine.values[sensor] = value
        tried = 0
        while tried < PATIENCE:
            self._calm_beat()
            tried += not self.last.startswith(("idle:budget", "idle:parked", "idle:tick_capped"))
            if self.last == "decided" and self._seen.readings[f"sensor-{sensor}"].signal == value:
                return
        raise Broken("progress", f"{sensor} became {value} {tried} beats ago; the last of them was {self.last}")

    def _check_rest(self) -> None:
        """Who is dead was judged, nothing of it runs on; who waits was pushed; what is due was done."""
        with self.store.calm():
            owed = set(self._house().verify.obligations())
        for session in self.fleet.sessions.values():
            if session.is_orphaned:
                raise Broken("orphans", f"what the dead supervisor of {session.id} left runs on")
            if not session.alive and session.id in owed:
                raise Broken("verdicts", f"worker {session.id} is dead and its verify was never run")
        for name in jobs.NAMES:
            self.runs.check_rest(name, self.store.peek(f"schedules/{name}.json") or b"")
        for _ in range(3):
            self.clock.move(1000)
            self._run([self._pushes])
        with self.store.calm():
            house = self._house()
            self.post.check_rest(house.mailbox.pending(self.clock.now(), house.fleet.living).pending)

    # the loop

    def _push_once(self) -> None:
        assert self._notify
        _, house, notifier = self._notify
        with suppress(LooopError):
            self.post.push_all(house, notifier)

    def _beat_once(self) -> None:
        assert self._pulse
        pulse = self._pulse[1]
        self.beats += 1
        self.machine.beat, self.promises.moves = self.beats, 0
        self.store.resisted.clear()
        self.damage.begin_beat()
        self._answered, self._asked = machines.Answer(), False
        self.note("beat", str(self.beats))
        try:
            report = pulse._step(forced=self._forced or self.rng.random() < 0.02)
        except Died:
            self._figureless = 0
            raise
        self._forced = self._forced and report.ending == "blocked"
        self.last = report.ending + (f":{report.reason}" if report.ending == "idle" else "")
        self.note("ends", self.last)
        self.endings[self.last if report.ending == "idle" else report.ending] += 1
        self._committed = report.ending == "decided"
        self._after(report.ending)
        is_idle = report.ending == "idle" and report.reason == "world_unchanged"
        if is_idle and report.world_hash not in self.promises.decided:
            raise Broken("decided", f"a beat idles on world {report.world_hash}, which nobody decided")

    def _after(self, ending: str) -> None:
        """What the beat has learned of its agent, as far as nothing was in its way."""
        answer = self._answered
        if self._disturbed or ending == "stopped":
            self._figureless = 0
        elif answer.usd is None:
            self._figureless += 1
        elif self._asked:
            self._figureless = 0
        if "limit reached|" in answer.text and not self._disturbed:
            self._parked_until = int(answer.text.rpartition("|")[2])

    def _agent(self) -> machines.Answer:
        """Somebody asks it: may they? What it says."""
        self._attempt(FOR_AGENTS)
        now, blind = self.clock.now(), self.damage.there() & CLOSED_BY_DAMAGE
        if blind:
            raise Broken("guards", f"an agent is asked although {sorted(blind)} is damaged")
        if self._figureless >= MOST_UNMETERED:
            raise Broken("money", f"an agent is asked although {self._figureless} runs in a row had no figure")
        if now < self._parked_until and self.store.peek(guards.PARKED):
            raise Broken("pace", f"an agent is asked {self._parked_until - now} s before its usage limit ends")
        self._asked = True
        self._answered = self.agent.answer(self.count(), self.beats, now)
        return self._answered

    def _reflex(self, move: Move) -> None:
        """A reflex is about to make its move."""
        self._attempt(FOR_REFLEXES)
        if blind := self.damage.at_begin & {guards.REFLEXES, guards.BACKOFF}:
            raise Broken("guards", f"a reflex fires although {sorted(blind)} is damaged")
        self.runs.tries(move)

    def _attempt(self, needed: frozenset[str]) -> None:
        """Somebody is asked for a move: everything that is `needed` to know whether they may be was readable."""
        now, me = self.clock.now(), self.crowd.who()
        if blind := {key for key in needed if (me, key) in self.store.resisted}:
            raise Broken("guards", f"somebody is asked although {sorted(blind)} cannot be read")
        self._attempts = [ts for ts in self._attempts if abs(now - ts) < 86400]
        if sum(abs(now - ts) < 3600 for ts in self._attempts) >= ATTEMPTS_AN_HOUR:
            raise Broken("pace", f"this is more than the {ATTEMPTS_AN_HOUR} attempts that an hour may see")
        self._attempts.append(now)

    def _did(self, effect: Effect) -> None:
        self.machine.effects.append(effect)
        if effect.cmd.startswith("nightly "):
            self.runs.done(effect.cmd.removeprefix("nightly "))
        else:
            self.promises.take_effect(effect)

    def _judges(self, worker: str) -> None:
        """A verify command runs: is there a verdict already?"""
        if (verdict := self.store.peek(f"verify/{worker}.json")) is not None:
            raise Broken("verdicts", f"{worker} is judged again: {verdict!r} is on record")

    def _look_at_schedules(self, before: dict[str, bytes | None], now: int) -> None:
        reading = self._seen.readings.get(SCHEDULES_SHOWN)
        baseline = self.store.peek(guards.BASELINE)
        well_known = not self._disturbed and not self.damage.at_begin
        is_blind = guards.BASELINE in self.damage.at_begin or (
            self._disturbed and reading is not None and '"missed":null' in reading.raw
        )
        decided: Any = None
        if not is_blind:
            with suppress(ValueError):
                known = json.loads(baseline) if baseline else {}
                decided = json.loads(known.get(f"snap:{SCHEDULES_SHOWN}", "{}"))
        for name, record in before.items():
            strict = well_known and record == self.store.peek(f"schedules/{name}.json")
            self.runs.look(name, record or b"", reading and reading.signal, decided, now, strict=strict)

    # the world

    def _world_moves(self) -> None:
        rng = self.rng
        if rng.random() < 0.35:
            name = rng.choice(SENSORS)
            self.machine.values[name] = None if rng.random() < 0.1 else self.count()
        for worker in WORKERS:
            chance = rng.random()
            if chance < 0.03:
                self.fleet.end(worker, code=rng.randrange(2))
            elif chance < 0.04:
                self.fleet.orphan(worker)

    def _spoil_disk(self) -> None:
        rng = self.rng
        keys = rng.choice((tuple(FOR_AGENTS), ("snapshots/", "goals/", "asks/", "journal.md", "notices.jsonl"), ("",)))
        key, reads = rng.choice(sorted(keys)), rng.random() < 0.5
        spoilt = lambda at: at.startswith(key) and rng.random() < 0.7  # noqa: E731
        self.store.bad_reads = spoilt if reads else well
        self.store.bad_writes = well if reads else spoilt
        self.note("the disk", f"{'cannot read' if reads else 'takes no'} {key}*")

    def _rot(self) -> None:
        """A record is damaged; what it said is forgotten, here, too."""
        key = self.damage.spoil()
        self.note("damage", key)
        if key == guards.ATTEMPTS:
            self._attempts = []
        if key == guards.REFLEXES:
            self.runs.forget()
        if key == guards.UNMETERED:
            self._figureless = 0

    def _mend(self) -> None:
        """A person sets right what keeps the loop from asking."""
        self.note("mends", "")
        with self.store.calm():
            self._house().ledger.repair()
            self.damage.mend(guards.PARKED)
            self.store.forget(guards.UNMETERED)
        self._figureless = 0

    # looking

    def _look(self) -> None:
        """Everything that was promised holds."""
        with self.store.calm():
            house, promises, touched = self._house(), self.promises, self.store.touched
            promises.check_spending(self.machine, self.clock.now())
            if self.rounds % 4 == 0 or any(key.startswith(("asks/", "answers/")) for key in touched):
                promises.check_mailbox(house, self.clock.now(), touched)
            promises.check_memory(self.store, self.damage.there(), whole=self._committed and not self._disturbed)
            if any(key.startswith("goals/") for key in touched):
                promises.goals.check(self._goals(house))
            if any(key.startswith("schedules/") for key in touched):
                promises.schedules.check({name: terms(found) for name, found in house.schedules.all().items()})
            if any(key.startswith("tells/") for key in touched):
                self._check_tells()
            touched.clear()

    def _check_tells(self) -> None:
        waiting = set()
        for entry in self.store.list("tells"):
            blob = self.store.read(f"tells/{entry.name}")
            waiting.add(json.loads(blob.data)["msg"] if blob else "")
        gone = {msg for msg, told in self.promises.tells.items() if not self.lives(*told)}
        self.promises.check_tells(waiting, gone)

    @staticmethod
    def _goals(house: House) -> dict[str, object]:
        return {goal: (house.goals.read(goal) or b"").decode().rstrip("\n") for goal in house.goals.ids()}


def well(key: str) -> bool:
    """The disk is well."""
    return False


@contextmanager
def scratch() -> Iterator[str]:
    """A folder in memory where there is such a thing, for what the loop writes beside its store."""
    base = "/dev/shm" if os.path.isdir("/dev/shm") else None
    root = tempfile.mkdtemp(prefix="looop-sim-", dir=base)
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def simulate(seed: int, beats_wanted: int, trouble: float = 0.4) -> Sim:
    """Play one seed. Raises Broken, which then says when, and what happened before."""
    with scratch() as root:
        sim = Sim(seed, root, trouble)
        try:
            sim.play(beats_wanted)
        except Broken as error:
            error.beats, error.story = sim.beats, sim.story()
            raise
        return sim
