"""What looop has promised so far, kept beside it, and what must hold between any two steps.

A promise is made when a verb returns. What was begun and cut off by a death may have happened or not: both are right,
and the next look tells which it was.
"""

from collections import Counter
from collections.abc import Collection

from looop.model.records import Answer, Ask, Fault
from looop.state.codec import read_record
from looop.state.guards import LAST_HASH
from looop.state.house import House
from tests.sim.machine import RUN_USD, Effect, Machine

DAY_S = 86400


class Broken(AssertionError):
    """A promise was not kept."""


class Values:
    """What keys may hold: more than one value where somebody was cut off, or two wrote at once."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._may: dict[str, set[object]] = {}

    def begin(self, key: str, value: object) -> None:
        """Somebody sets out to give it this value (None: none)."""
        self._may.setdefault(key, {None}).add(value)

    def done(self, key: str, value: object) -> None:
        """It has it, and nobody else was at it."""
        self._may[key] = {value}

    def check(self, found: dict[str, object]) -> None:
        """Every key holds what it may; from now on that, and nothing else."""
        for key in self._may.keys() | found.keys():
            value, may = found.get(key), self._may.get(key, {None})
            if value not in may:
                raise Broken(f"{self._what} {key} is {value!r}, and may be one of {may!r}")
            self._may[key] = {value}


class Promises:
    """All of them."""

    def __init__(self, budget_usd: float) -> None:
        self.budget_usd = budget_usd
        self.goals, self.schedules = Values("goal"), Values("schedule")
        self.asks: dict[str, Ask] = {}
        self.taken: dict[str, str] = {}
        self.said: dict[str, set[str]] = {}
        self.tells: dict[str, tuple[str, str]] = {}
        self.lost_tells: set[str] = set()
        self.heard: Counter[str] = Counter()
        self.decided: set[str] = set()
        self.moves = self.latest = 0
        self.leases: dict[str, tuple[str, str]] = {}
        self.firm: dict[str, str] = {}

    def check_effects(self, effects: Collection[Effect]) -> None:
        """What an agent decided is carried out at most once, what a reflex does at most once on one world."""
        for effect in effects:
            if effect.beat and effect.cmd.startswith("job ") and effect.cmd.rpartition(" ")[2] != str(effect.beat):
                raise Broken(f"beat {effect.beat} carried out {effect.cmd!r}, which was decided for another")
        once = Counter((effect.cmd, effect.visit if effect.cmd.startswith("mend") else 0) for effect in effects)
        for (cmd, _), count in once.items():
            if count > 1:
                raise Broken(f"{cmd!r} was carried out {count} times on one world")

    def check_beat(self) -> None:
        """One beat makes at most one move."""
        if self.moves > 1:
            raise Broken(f"one beat made {self.moves} moves")

    def check_spending(self, machine: Machine, now: int) -> None:
        """No agent is asked once the day's money is spent: one run may pass the limit, not two."""
        today = now - now % DAY_S
        spent = sum(usd for ts, usd in machine.bills if today <= ts < today + DAY_S)
        if spent >= self.budget_usd + RUN_USD:
            raise Broken(f"{spent} USD were spent today, with a budget of {self.budget_usd}")

    def check_mailbox(self, house: House, now: int) -> None:
        """Every question is there, waits or was settled once; nobody has lost either, or got what nobody said."""
        self.latest = max(self.latest, now)
        mail = house.mailbox.pending(now, house.fleet.living)
        open_ones = {ask.id for ask in (*mail.pending, *mail.stranded)}
        for name, asked in self.asks.items():
            ask, found = self._kept(house, name)
            if not isinstance(ask, Ask) or (ask.prompt, ask.default) != (asked.prompt, asked.default):
                raise Broken(f"ask {name} is {ask!r}, and should be {asked!r}")
            due = asked.expires is not None and asked.expires <= self.latest
            if not isinstance(found, Answer):
                if name not in open_ones and not due:
                    raise Broken(f"ask {name} is not settled and does not wait")
                if name in self.firm:
                    raise Broken(f"ask {name} was settled as {self.firm[name]!r}, and is not any more")
            else:
                self._check_settled(asked, found, due=due)
        for name, said in self.taken.items():
            if said not in self.said.get(name, set()) | {self.asks[name].default}:
                raise Broken(f"the worker of {name} went away with {said!r}, which nobody answered")

    def _check_settled(self, asked: Ask, found: Answer, *, due: bool) -> None:
        name, said = asked.id, self.said.get(asked.id, set())
        if found.outcome == "expired" and not (due and found.answer == asked.default):
            raise Broken(f"ask {name} expired with {found.answer!r} before its time, or with another default")
        if found.outcome == "answered" and found.answer not in said:
            raise Broken(f"ask {name} is answered {found.answer!r}, which nobody said: {said!r}")
        if found.outcome in ("withdrawn", "stranded") and name in self.firm and self.firm[name] != found.outcome:
            raise Broken(f"ask {name} was settled as {self.firm[name]!r}, and now is {found.outcome}")

    def check_tells(self, waiting: set[str], gone: set[str]) -> None:
        """A message waits, was heard once, or has `gone` with its worker."""
        for msg, count in self.heard.items():
            if count > 1:
                raise Broken(f"{msg!r} was told {count} times")
        for msg in self.tells.keys() - waiting - gone - self.heard.keys() - self.lost_tells:
            raise Broken(f"{msg!r} was told to {self.tells[msg][0]}, who lives and never heard it")

    def check_memory(self, house: House) -> None:
        """The hash on disk is of a world that somebody decided; the baseline is of such a world, too."""
        blob = house.store.read(LAST_HASH)
        if blob and (last := blob.data.decode().strip()) not in self.decided:
            raise Broken(f"world {last} is taken for decided, and nobody decided it")

    @staticmethod
    def _kept(house: House, name: str) -> tuple[Ask | Fault | None, Answer | Fault | None]:
        ask, answer = house.mailbox.ask_of(name), house.mailbox.answer_of(name)
        if ask is None:
            ask = read_record(house.store, f"asks/archive/{name}.json", Ask)
            answer = read_record(house.store, f"asks/archive/{name}.answer.json", Answer) or answer
        return ask, answer
