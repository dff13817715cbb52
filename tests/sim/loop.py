"""A whole loop under one seed: its beats, its people, its workers and their troubles, in virtual time.

Each round lets a few processes run together over one store, and may let one die or the power fail; then everything that
was promised is looked at. What happens depends on the seed alone, so a round that breaks a promise can be seen again.
"""

import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from random import Random
from typing import Any
from unittest import mock

from looop.act.perform import perform
from looop.act.shell import run_shell
from looop.config.file import load_config
from looop.config.knobs import Knobs
from looop.config.paths import Paths, child_environment
from looop.decide.decider import Decider
from looop.model.errors import LooopError
from looop.model.moves import ArchiveGoal, DropSchedule, StartWorker, WriteGoal, WritePlaybook, WriteSchedule
from looop.model.records import Answer, Ask
from looop.pulse import beat as beats
from looop.pulse import commit
from looop.runtime.events import Events
from looop.state.house import House, Setting, furnish
from looop.state.leases import HeldByLive
from looop.state.open import NoStop
from tests.fakes.clock import StillClock
from tests.sim import machine as machines
from tests.sim.crowd import Crowd, Process
from tests.sim.disk import SimStore
from tests.sim.machine import SENSORS, Machine, SimFleet
from tests.sim.promises import Broken, Promises

BEGIN = 1_790_000_000
BUDGET_USD = 6.0
CONFIG = f"""\
tick_command = "claude -p --output-format stream-json"
worker_command = "work {{{{prompt_file}}}}"
max_daily_usd = {BUDGET_USD}
"""
GOALS, SCHEDULES, WORKERS, LEASES = ("g0", "g1", "g2"), ("d0", "d1"), ("g0", "g1", "g2", "w"), ("l0", "l1")
GUARDS = (".last-tick-hash", ".decide-ledger.json", "cost.jsonl", ".cost-unmetered", ".parked.json", ".reflexes.json")
REFLEX = """---
reflexes:
  - when: int(sensor.{sensor}.signal) % 2 == 1
    move: {{action: run_shell, cmd: mend {goal}}}
  - when: int(sensor.{sensor}.signal) % 5 == 4 && !worker.alive
    move: {{action: start_worker, id: {goal}, prompt: do it, verify: verify {goal}}}
---
{text}
"""


class Sim:
    """One loop. `beats` and `deaths` are counted; `trouble` is the share of rounds with a death or a bad disk."""

    def __init__(self, seed: int, root: str, trouble: float = 0.4) -> None:
        self.seed, self.root, self.trouble = seed, root, trouble
        self.rng = Random(seed)
        self.clock = StillClock(BEGIN)
        self.store = SimStore(self.clock, self.rng)
        self.crowd = Crowd(self.rng)
        self.store.meet = self.crowd.step
        self.machine = Machine(self.store, self.clock, self.rng)
        self.machine.agent = self._agent
        self.fleet = SimFleet(self.store, self.clock)
        self.promises = Promises(BUDGET_USD)
        self.beats = self.deaths = self.power_cuts = self.rounds = 0
        self.endings: Counter[str] = Counter()
        self._count = 0
        self._pulse: tuple[int, House, Decider] | None = None
        self._together = 1
        self._set_up()

    def play(self, beats_wanted: int) -> None:
        """Rounds until so many beats were made. Raises Broken."""
        with self._in_place():
            while self.beats < beats_wanted:
                self.rounds += 1
                self._round()
                if self.rounds % 40 == 0:
                    self._settle()
        self.promises.check_effects(self.machine.effects)

    @contextmanager
    def _in_place(self) -> Iterator[None]:
        """What is watched of the real beat: which world it looks at, what it carries out."""
        look, real = beats.look, commit.perform

        def looked(*args: Any, **more: Any) -> Any:
            seen = look(*args, **more)
            self.machine.look_at(seen.world.hash)
            return seen

        def performed(*args: Any, **more: Any) -> Any:
            self.promises.moves += 1
            self.promises.decided.add(self.machine.world)
            return real(*args, **more)

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

    def _house(self) -> House:
        """What a new process has."""
        paths = Paths(data_dir=self.root, given_config="", is_default=False)
        setting = Setting(
            root=self.root,
            clock=self.clock,
            processes=self.machine,
            stop=NoStop(),
            knobs=Knobs(runs_keep=3, max_decides_per_hour=40, noop_ttl=7200),
            env=child_environment(paths, "human", {"PATH": self.root, "HOME": self.root}),
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
        runs = [self._beat] if rng.random() < 0.7 else []
        others = (self._person, self._worker)
        runs += [rng.choice(others) for _ in range(rng.choice((0, 1, 1, 2, 3)))] or ([] if runs else [self._person])
        self._run(runs, fuse=rng.randrange(1, 90) if troubled and rng.random() < 0.6 else None)
        self.store.bad_reads = self.store.bad_writes = well
        self._look()

    def _run(self, runs: list[Callable[[House], object]], fuse: int | None = None) -> None:
        victim = self.rng.randrange(len(runs))
        power = fuse is not None and self.rng.random() < 0.3
        self._together = len(runs)
        processes = [self._process(run, fuse if n == victim else None) for n, run in enumerate(runs)]
        self.machine.live_pids = {process.pid for process in processes}
        self.crowd.run(processes)
        dead = [process for process in processes if process.error]
        self.deaths += len(dead)
        if dead and power:
            self.power_cuts += 1
            self.store.cut_power()
            self._pulse = None
        if self._pulse and any(process.pid == self._pulse[0] for process in dead):
            self._pulse = None
        self.machine.live_pids = {self._pulse[0]} if self._pulse else set()

    def _process(self, run: Callable[[House], object], fuse: int | None) -> Process:
        if run == self._beat:
            if self._pulse is None:
                house = self._house()
                decider = Decider(house=house, config=lambda: load_config(os.path.join(self.root, "config.toml")))
                self._pulse = (self.crowd.new_pid(), house, decider)
            return Process("beat", self._pulse[0], self._beat_once, fuse)
        house = self._house()
        return Process(run.__name__, self.crowd.new_pid(), lambda: run(house), fuse)

    def _settle(self) -> None:
        """Troubles over, the loop comes to rest: it decides what changed, and then idles on it."""
        self._together = 1
        for _ in range(60):
            self.clock.move(400)
            self._run([self._beat])
            self._look()
            if self.last == "idle:world_unchanged":
                self._check_rest()
                return
            if self.last == "idle:guard_degraded":
                with self.store.calm():
                    self._house().ledger.repair()
            if self.last.startswith("idle:budget"):
                self.clock.move(86400)
        raise Broken(f"the loop does not come to rest: its last beat was {self.last}")

    def _check_rest(self) -> None:
        """Who is dead was judged, and nothing of it runs on."""
        with self.store.calm():
            owed = set(self._house().verify.obligations())
        for session in self.fleet.sessions.values():
            if session.is_orphaned:
                raise Broken(f"what the dead supervisor of {session.id} left runs on")
            if not session.alive and session.id in owed:
                raise Broken(f"worker {session.id} is dead and its verify was never run")

    # the loop

    def _beat(self, house: House) -> None:
        raise AssertionError("beats are made by the pulse's own house")

    def _beat_once(self) -> None:
        assert self._pulse
        _, house, decider = self._pulse
        self.beats += 1
        self.machine.beat, self.promises.moves = self.beats, 0
        self.store.resisted.clear()
        report = beats.beat(house, decider, self.clock.now(), forced=self.rng.random() < 0.02)
        self.last = report.ending + (f":{report.reason}" if report.ending == "idle" else "")
        self.endings[self.last if report.ending == "idle" else report.ending] += 1
        is_idle = report.ending == "idle" and report.reason == "world_unchanged"
        if is_idle and report.world_hash not in self.promises.decided:
            raise Broken(f"a beat idles on world {report.world_hash}, which nobody decided")

    def _agent(self) -> machines.Answer:
        """What the agent says to a prompt: mostly a move, at times nonsense."""
        rng = self.rng
        if self.store.bad_reads is not well and (blind := self.store.resisted & set(GUARDS)):
            raise Broken(f"an agent is asked although {sorted(blind)} cannot be read")
        self._count += 1
        kind = rng.random()
        if kind < 0.12:
            return rng.choice(
                (
                    machines.Answer("no idea"),
                    machines.Answer('{"action": "explode"}'),
                    machines.Answer('{"action": "noop"} {"action": "run_shell"}'),
                    machines.Answer("", code=1),
                    machines.Answer("", hangs=True, code=-9),
                    machines.Answer("", file='{"action": '),
                    machines.Answer(json.dumps({"action": "noop"}), usd=None),
                )
            )
        move = self._move()
        text = json.dumps(move)
        return machines.Answer(file=text) if rng.random() < 0.5 else machines.Answer(text)

    def _move(self) -> dict[str, Any]:
        rng, n = self.rng, self._count
        goal, schedule = rng.choice(GOALS), rng.choice(SCHEDULES)
        move: dict[str, Any] = rng.choice(
            (
                {"action": "noop", "reason": f"n{n}"},
                {"action": "run_shell", "cmd": f"job {n} of {self.beats}"},
                {"action": "write_goal", "id": goal, "body": self._goal_text(goal)},
                {"action": "archive_goal", "id": goal},
                {"action": "write_schedule", "name": schedule, "every_s": 900 + n},
                {"action": "drop_schedule", "name": schedule},
                {"action": "start_worker", "id": "w", "prompt": f"p{n}", "verify": "verify w"},
                {"action": "kill_worker", "id": rng.choice(WORKERS)},
                {"action": "write_playbook", "body": f"judge {n}"},
            )
        )
        self._proposed(move)
        return move

    def _proposed(self, move: dict[str, Any]) -> None:
        """It may be carried out from now on."""
        match move["action"]:
            case "write_goal":
                self.promises.goals.begin(move["id"], move["body"].rstrip("\n"))
            case "archive_goal":
                self.promises.goals.begin(move["id"], None)
            case "write_schedule":
                self.promises.schedules.begin(move["name"], move["every_s"])
            case "drop_schedule":
                self.promises.schedules.begin(move["name"], None)

    def _goal_text(self, goal: str) -> str:
        self._count += 1
        if self.rng.random() < 0.5:
            return f"prose {self._count}"
        return REFLEX.format(sensor=self.rng.choice(SENSORS), goal=goal, text=f"text {self._count}").rstrip("\n")

    # the world

    def _world_moves(self) -> None:
        rng = self.rng
        if rng.random() < 0.35:
            name = rng.choice(SENSORS)
            self._count += 1
            self.machine.values[name] = None if rng.random() < 0.1 else self._count
        for worker in WORKERS:
            chance = rng.random()
            if chance < 0.03:
                self.fleet.end(worker, code=rng.randrange(2))
            elif chance < 0.04:
                self.fleet.orphan(worker)

    def _spoil_disk(self) -> None:
        rng = self.rng
        keys = rng.choice((GUARDS, ("snapshots/", "goals/", "asks/", "journal.md", "events.jsonl"), ("",)))
        key, reads = rng.choice(keys), rng.random() < 0.5
        spoilt = lambda at: at.startswith(key) and rng.random() < 0.7  # noqa: E731
        self.store.bad_reads = spoilt if reads else well
        self.store.bad_writes = well if reads else spoilt

    # people

    def _person(self, house: House) -> None:
        act = self.rng.choice(
            (self._edits, self._edits, self._schedules, self._answers, self._answers, self._tells, self._runs)
        )
        with suppress(LooopError):
            act(house)

    def _edits(self, house: House) -> None:
        goal, rng = self.rng.choice(GOALS), self.rng
        if rng.random() < 0.1:
            perform(house, WritePlaybook(body=f"judge {rng.random()}"), self.clock.now())
            return
        body = None if rng.random() < 0.2 else self._goal_text(goal)
        self.promises.goals.begin(goal, body)
        perform(house, ArchiveGoal(goal) if body is None else WriteGoal(goal, body), self.clock.now())
        if self._together == 1:
            self.promises.goals.done(goal, body)

    def _schedules(self, house: House) -> None:
        name, every = self.rng.choice(SCHEDULES), self.rng.choice((None, 600 + self._count, 9000 + self._count))
        self.promises.schedules.begin(name, every)
        perform(house, DropSchedule(name) if every is None else WriteSchedule(name, every_s=every), self.clock.now())
        if self._together == 1:
            self.promises.schedules.done(name, every)

    def _answers(self, house: House) -> None:
        """Who settles a question is told so once; whoever comes later is refused."""
        now = self.clock.now()
        pending = house.mailbox.pending(now, house.fleet.living).pending
        if not pending:
            return
        name, kind, promises = self.rng.choice(pending).id, self.rng.random(), self.promises
        self._count += 1
        text = f"answer {self._count}"
        if kind < 0.15:
            house.mailbox.withdraw(name, "moot", "person", now)
            self._settled(name, "withdrawn")
            return
        promises.said.setdefault(name, set()).add(text)
        force = kind < 0.3
        house.mailbox.answer(name, text, now, house.fleet.living, force=force)
        if not force:
            self._settled(name, text)

    def _settled(self, name: str, how: str) -> None:
        if name in self.promises.firm:
            raise Broken(f"ask {name} was settled as {self.promises.firm[name]!r}, and then as {how!r}, too")
        self.promises.firm[name] = how

    def _tells(self, house: House) -> None:
        worker = self.rng.choice(WORKERS)
        found = self.fleet.exact(worker)
        if not found or not found.alive:
            return
        self._count += 1
        msg = f"tell {self._count}"
        self.promises.lost_tells.add(msg)
        self.promises.tells[msg] = (worker, found.mark)
        house.tells.tell(worker, msg, self.clock.now())
        self.promises.lost_tells.discard(msg)

    def _runs(self, house: House) -> None:
        self._count += 1
        run_shell(house, f"by hand {self._count}", "by hand", self.clock.now(), by_person=True).close()

    # workers

    def _worker(self, house: House) -> None:
        alive = [session for session in self.fleet.sessions.values() if session.alive]
        if not alive:
            if self.rng.random() < 0.5:
                with suppress(LooopError):
                    perform(house, StartWorker("w", "do", verify="verify w"), self.clock.now())
            return
        me = self.rng.choice(alive)
        act = self.rng.choice((self._asks, self._asks, self._takes, self._takes, self._listens, self._claims))
        with suppress(LooopError):
            act(house, me)

    def _asks(self, house: House, me: Any) -> None:
        self._count += 1
        now, rng = self.clock.now(), self.rng
        due = now + rng.choice((60, 3600)) if rng.random() < 0.3 else None
        wanted = Ask(
            id="",
            worker=me.id,
            prompt=f"question {self._count}",
            ts=now,
            key=rng.choice(("", "k0", "k1")),
            expires=due,
            default=f"default {self._count}" if due else "",
            generation=me.started_at,
        )
        asked, is_new = house.mailbox.ask(wanted, me.started_at)
        if is_new and asked.id in self.promises.asks:
            raise Broken(f"number {asked.id} is given to a second question")
        self.promises.asks.setdefault(asked.id, asked)

    def _takes(self, house: House, me: Any) -> None:
        promises = self.promises
        mine = [name for name, ask in promises.asks.items() if ask.worker == me.id and name not in promises.taken]
        for name in mine[-3:]:
            found = house.mailbox.answer_of(name)
            if isinstance(found, Answer) and found.outcome in ("answered", "expired"):
                promises.taken[name] = found.answer
                house.mailbox.take(name, self.clock.now())

    def _listens(self, house: House, me: Any) -> None:
        try:
            told = house.tells.drain(me.id, self.clock.now())
        except BaseException:
            self.promises.lost_tells |= {msg for msg, (worker, _) in self.promises.tells.items() if worker == me.id}
            raise
        self.promises.heard.update(tell.msg for tell in told.tells)

    def _claims(self, house: House, me: Any) -> None:
        name = self.rng.choice(LEASES)
        mine = (me.id, me.mark)
        if self.rng.random() < 0.3:
            if self.promises.leases.get(name) == mine:
                del self.promises.leases[name]
            house.leases.unclaim(name, me.id, house.fleet.is_alive)
            return
        claimed = house.leases.claim(name, me.id, self.clock.now(), house.fleet.is_alive, lambda seconds: None)
        other = self.promises.leases.get(name)
        if not isinstance(claimed, HeldByLive):
            if other and other != mine and self._lives(*other):
                raise Broken(f"lease {name} was given to {me.id} while {other[0]} has it and lives")
            self.promises.leases[name] = mine

    def _lives(self, session_id: str, mark: str) -> bool:
        found = self.fleet.exact(session_id)
        return bool(found and found.alive and found.mark == mark)

    # looking

    def _look(self) -> None:
        """Everything that was promised holds."""
        with self.store.calm():
            house, promises = self._house(), self.promises
            promises.check_beat()
            promises.check_spending(self.machine, self.clock.now())
            promises.check_mailbox(house, self.clock.now())
            promises.check_memory(house)
            promises.goals.check(self._goals(house))
            promises.schedules.check(self._schedules_there(house))
            if self.rounds % 10 == 0:
                promises.check_effects(self.machine.effects)
                self._check_tells(house)

    def _check_tells(self, house: House) -> None:
        waiting = set()
        for entry in self.store.list("tells"):
            blob = self.store.read(f"tells/{entry.name}")
            waiting.add(json.loads(blob.data)["msg"] if blob else "")
        gone = {msg for msg, told in self.promises.tells.items() if not self._lives(*told)}
        self.promises.check_tells(waiting, gone)

    @staticmethod
    def _goals(house: House) -> dict[str, object]:
        return {goal: (house.goals.read(goal) or b"").decode().rstrip("\n") for goal in house.goals.ids()}

    @staticmethod
    def _schedules_there(house: House) -> dict[str, object]:
        return {name: getattr(found, "every_s", None) for name, found in house.schedules.all().items()}

    last = ""


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
    """Play one seed. Raises Broken."""
    with scratch() as root:
        sim = Sim(seed, root, trouble)
        sim.play(beats_wanted)
        return sim
