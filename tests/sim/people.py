"""Who else is at work on the loop's data dir: people who edit, answer and tell, workers who ask, wait and listen.

Each of these is what one process does, and may be cut off or overtaken at any of its steps.
"""

from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Any

from looop.act.perform import perform
from looop.act.shell import run_shell
from looop.model.errors import LooopError, Refused
from looop.model.moves import ArchiveGoal, DropSchedule, StartWorker, WriteGoal, WritePlaybook, WriteSchedule
from looop.model.records import Answer, Ask, Schedule
from looop.rules.answers import is_due
from looop.state.house import House
from looop.state.leases import HeldByLive
from tests.sim.machine import SENSORS
from tests.sim.promises import Broken
from tests.sim.runs import NAMES, wished

if TYPE_CHECKING:
    from tests.sim.loop import Sim

GOALS, SCHEDULES, WORKERS, LEASES = ("g0", "g1", "g2"), ("d0", "d1"), ("g0", "g1", "g2", "w"), ("l0", "l1")

REFLEX = """---
reflexes:
  - when: int(sensor.{sensor}.signal) % 2 == 1
    move: {{action: run_shell, cmd: mend {goal}}}
  - when: int(sensor.{sensor}.signal) % 5 == 4 && !worker.alive
    move: {{action: start_worker, id: {goal}, prompt: do it, verify: verify {goal}}}
---
{text}
"""


def terms(schedule: object) -> object:
    """What was wished of a schedule, as far as its record says the same as its move; None for none."""
    if not isinstance(schedule, Schedule | WriteSchedule):
        return None
    return schedule.every_s, schedule.cron, schedule.tz, schedule.catch_up


def goal_text(rng: Random, goal: str, n: int) -> str:
    """Prose, or a goal with reflexes."""
    if rng.random() < 0.5:
        return f"prose {n}"
    return REFLEX.format(sensor=rng.choice(SENSORS), goal=goal, text=f"text {n}").rstrip("\n")


class Others:
    """All who are not the loop, in one simulation."""

    def __init__(self, sim: "Sim") -> None:
        self._sim, self._rng, self._promises = sim, sim.rng, sim.promises

    # people

    def person(self, house: House) -> None:
        """One thing that somebody does."""
        acts = (self._edits, self._edits, self._schedules, self._answers, self._answers, self._tells, self._runs)
        self._does(self._rng.choice(acts) if self._rng.random() > 0.04 else self._plans, house)

    def _does(self, act: Callable[..., None], *given: Any) -> None:
        self._sim.note("does", act.__name__.removeprefix("_"))
        with suppress(LooopError):
            act(*given)

    def _edits(self, house: House) -> None:
        goal, rng = self._rng.choice(GOALS), self._rng
        if rng.random() < 0.1:
            perform(house, WritePlaybook(body=f"judge {rng.random()}"), house.setting.clock.now())
            return
        body = None if rng.random() < 0.2 else goal_text(rng, goal, self._sim.count())
        self._promises.goals.begin(goal, body)
        perform(house, ArchiveGoal(goal) if body is None else WriteGoal(goal, body), house.setting.clock.now())
        if self._sim.together == 1:
            self._promises.goals.done(goal, body)

    def _schedules(self, house: House) -> None:
        name, n = self._rng.choice(SCHEDULES), self._sim.count()
        every = self._rng.choice((None, 600 + n, 9000 + n))
        self._write(house, name, None if every is None else WriteSchedule(name, every_s=every))

    def _plans(self, house: House) -> None:
        """A schedule with a job to do gets another time."""
        name = self._rng.choice(NAMES)
        self._write(house, name, wished(name, self._rng))

    def _write(self, house: House, name: str, move: WriteSchedule | None) -> None:
        self._promises.schedules.begin(name, terms(move))
        perform(house, move or DropSchedule(name), house.setting.clock.now())
        if self._sim.together == 1:
            self._promises.schedules.done(name, terms(move))

    def _answers(self, house: House) -> None:
        """Who settles a question is told so once; whoever comes later, or looked a while ago, is refused."""
        now, promises = house.setting.clock.now(), self._promises
        known = [ask.id for ask in house.mailbox.pending(now, house.fleet.living).pending]
        if self._rng.random() < 0.3:
            known = list(promises.asks)[-5:]
        if not known:
            return
        name, kind = self._rng.choice(known), self._rng.random()
        text = f"answer {self._sim.count()}"
        if kind < 0.15:
            house.mailbox.withdraw(name, "moot", "person", now)
            self._settled(name, "withdrawn")
            return
        promises.said.setdefault(name, set()).add(text)
        force = kind < 0.3
        promises.forced |= {name} if force else set()
        try:
            house.mailbox.answer(name, text, now, house.fleet.living, force=force)
        except Refused:
            promises.said[name].discard(text)
            raise
        if not force:
            self._settled(name, text)

    def _settled(self, name: str, how: str) -> None:
        if name in self._promises.firm:
            known = self._promises.firm[name]
            raise Broken("settled once", f"ask {name} was settled as {known!r}, and then as {how!r}, too")
        self._promises.firm[name] = how

    def _tells(self, house: House) -> None:
        worker = self._rng.choice(WORKERS)
        found = self._sim.fleet.exact(worker)
        if not found or not found.alive:
            return
        msg = f"tell {self._sim.count()}"
        self._promises.lost_tells.add(msg)
        self._promises.tells[msg] = (worker, found.mark)
        house.tells.tell(worker, msg, house.setting.clock.now())
        if self._sim.lives(worker, found.mark):
            self._promises.lost_tells.discard(msg)

    def _runs(self, house: House) -> None:
        cmd = f"by hand {self._sim.count()}"
        run_shell(house, cmd, "by hand", house.setting.clock.now(), by_person=True).close()

    # workers

    def worker(self, house: House) -> None:
        """One thing that a worker does, or a person who starts one."""
        alive = [session for session in self._sim.fleet.sessions.values() if session.alive]
        if not alive:
            if self._rng.random() < 0.5:
                self._does(self._starts, house)
            return
        acts = (self._asks, self._asks, self._takes, self._takes, self._listens, self._claims)
        self._does(self._rng.choice(acts), house, self._rng.choice(alive))

    def _starts(self, house: House) -> None:
        perform(house, StartWorker("w", "do", verify="verify w"), house.setting.clock.now())

    def _asks(self, house: House, me: Any) -> None:
        now, rng, n, promises = house.setting.clock.now(), self._rng, self._sim.count(), self._promises
        due = now + rng.choice((60, 3600)) if rng.random() < 0.3 else None
        wanted = Ask(
            id="",
            worker=me.id,
            prompt=f"question {n}",
            ts=now,
            key=rng.choice(("", "k0", "k1")),
            expires=due,
            default=f"default {n}" if due else "",
            generation=me.started_at,
        )
        owned = self._owned(house, me)
        asked, is_new = house.mailbox.ask(wanted, me.started_at)
        if is_new and asked.id in promises.asks:
            raise Broken("questions", f"number {asked.id} is given to a second question")
        if not is_new and owned.get(asked.id, me.started_at) != me.started_at:
            raise Broken("answers", f"{me.id} of {me.started_at} gets the answer to ask {asked.id} of {owned}")
        promises.asks.setdefault(asked.id, asked)

    def _owned(self, house: House, me: Any) -> dict[str, int]:
        """The settled questions of this worker that are not put away, and by which of its generations each was put."""
        with self._sim.store.calm():
            found = {}
            for name, ask in self._promises.asks.items():
                if ask.worker == me.id and isinstance(house.mailbox.answer_of(name), Answer):
                    known = house.mailbox.ask_of(name)
                    found |= {name: known.generation} if isinstance(known, Ask) else {}
        return found

    def _takes(self, house: House, me: Any) -> None:
        """Its wait looks for the answer, and settles what is due."""
        promises, now = self._promises, house.setting.clock.now()
        mine = [name for name, ask in promises.asks.items() if ask.worker == me.id and name not in promises.taken]
        for name in mine[-3:]:
            ask, found = promises.asks[name], house.mailbox.answer_of(name)
            if found is None and is_due(ask, now) and isinstance(house.mailbox.ask_of(name), Ask):
                house.mailbox.expire_one(name, ask.default, ask.expires or 0)
                found = house.mailbox.answer_of(name)
            if isinstance(found, Answer) and found.outcome in ("answered", "expired"):
                promises.takes(name, found.answer)
                house.mailbox.take(name, now)

    def _listens(self, house: House, me: Any) -> None:
        promises = self._promises
        try:
            told = house.tells.drain(me.id, house.setting.clock.now())
        except BaseException:
            promises.lost_tells |= {msg for msg, (worker, _) in promises.tells.items() if worker == me.id}
            raise
        for tell in told.tells:
            if not self._sim.lives(me.id, me.mark):
                promises.lost_tells.add(tell.msg)
            promises.hears(tell.msg, me.id, me.mark)

    def _gives_up(self, name: str, mine: tuple[str, str]) -> None:
        if self._promises.leases.get(name) == mine:
            del self._promises.leases[name]

    def _claims(self, house: House, me: Any) -> None:
        name, leases = self._rng.choice(LEASES), self._promises.leases
        mine = (me.id, me.mark)
        if self._rng.random() < 0.3:
            self._gives_up(name, mine)  # it may die on the way,
            house.leases.unclaim(name, me.id, house.fleet.is_alive)
            self._gives_up(name, mine)  # or have claimed it again meanwhile, in another process
            return
        now = house.setting.clock.now()
        claimed = house.leases.claim(name, me.id, now, house.fleet.is_alive, lambda seconds: None)
        other = leases.get(name)
        if not isinstance(claimed, HeldByLive):
            if other and other != mine and self._sim.lives(*other):
                raise Broken("leases", f"lease {name} was given to {me.id} while {other[0]} has it and lives")
            leases[name] = mine
