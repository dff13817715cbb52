"""What looop has promised so far, kept beside it, and what must hold between any two steps.

A promise is made when a verb returns. What was begun and cut off by a death may have happened or not: both are right,
and the next look tells which it was.
"""

from collections import Counter

from looop.model.records import Answer, Ask, Fault
from looop.model.world import World
from looop.state.codec import encode_record, read_record
from looop.state.guards import BASELINE, LAST_HASH
from looop.state.house import House
from tests.sim.disk import SimStore
from tests.sim.machine import RUN_USD, Effect, Machine

DAY_S = 86400
PROMISES = {
    "one move": "one beat makes at most one move",
    "once": "what an agent decided is carried out at most once, and by the beat that it was decided for; what a reflex "
    "does at most once on one world",
    "decided": "a beat idles only on a world that somebody decided",
    "memory": "the hash on disk is of a world that was decided, and the baseline beside it of the same",
    "money": "no agent is asked once the day's money is spent, or three runs in a row named no figure",
    "pace": "an hour sees no more attempts than it may, and nobody is asked before a usage limit ends",
    "guards": "nobody is asked and no reflex fires while a record that could forbid it is damaged or cannot be read",
    "questions": "every question is there, waits or was settled, and is nobody else's",
    "settled once": "a question is settled once, not before its time",
    "answers": "a worker gets what was said to it, or its default when it is due, and nothing of its predecessor's",
    "messages": "a message is heard once, by whom it was told, or waits, or goes with its worker",
    "pushes": "a question that waits is pushed to every target, as new at most once, and nudged no sooner than wished",
    "files": "goals and schedules hold what was written last",
    "runs": "a schedule's run that is due is shown; its job is done at most once, and tried before the loop rests",
    "leases": "a lease is never given away while its holder lives",
    "progress": "a world that changes is decided within a few beats, and one that does not lets the loop come to rest",
    "verdicts": "a dead worker is judged, and not again once its verdict is on record",
    "orphans": "nothing runs on without a supervisor",
}


class Broken(AssertionError):
    """A promise was not kept."""

    def __init__(self, promise: str, what: str) -> None:
        super().__init__(f"{promise}: {what}")
        self.promise, self.means = promise, PROMISES[promise]
        self.beats = 0
        self.story: list[str] = []


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
                raise Broken("files", f"{self._what} {key} is {value!r}, and may be one of {may!r}")
            self._may[key] = {value}


class Promises:
    """All of them."""

    def __init__(self, budget_usd: float) -> None:
        self.budget_usd = budget_usd
        self.goals, self.schedules = Values("goal"), Values("schedule")
        self.asks: dict[str, Ask] = {}
        self.taken: dict[str, str] = {}
        self.said: dict[str, set[str]] = {}
        self.forced: set[str] = set()
        self.tells: dict[str, tuple[str, str]] = {}
        self.lost_tells: set[str] = set()
        self.heard: Counter[str] = Counter()
        self.decided: set[str] = set()
        self.moves = self.latest = 0
        self.leases: dict[str, tuple[str, str]] = {}
        self.firm: dict[str, str] = {}
        self._baselines: dict[bytes, str] = {}
        self._settled: set[str] = set()
        self._carried_out: set[tuple[str, int]] = set()

    def decide(self, world: World) -> None:
        """A beat sets out to make a move for this world."""
        self.moves += 1
        if self.moves > 1:
            raise Broken("one move", f"one beat made {self.moves} moves")
        self.decided.add(world.hash)
        self._baselines[encode_record({name: item.value for name, item in world.items.items()})] = world.hash

    def take_effect(self, effect: Effect) -> None:
        """What an agent decided is carried out at most once, what a reflex does at most once on one world."""
        if effect.cmd.startswith("job ") and effect.cmd.rpartition(" ")[2] != str(effect.beat):
            raise Broken("once", f"beat {effect.beat} carried out {effect.cmd!r}, which was decided for another")
        once = effect.cmd, 0 if effect.cmd.startswith(("job", "by hand")) else effect.visit
        if once in self._carried_out:
            raise Broken("once", f"{effect.cmd!r} was carried out twice on one world")
        self._carried_out.add(once)

    def check_spending(self, machine: Machine, now: int) -> None:
        """One run may pass the limit, not two."""
        today = now - now % DAY_S
        spent = sum(usd for ts, usd in machine.bills if today <= ts < today + DAY_S)
        if spent >= self.budget_usd + RUN_USD:
            raise Broken("money", f"{spent} USD were spent today, with a budget of {self.budget_usd}")

    def check_mailbox(self, house: House, now: int, touched: set[str]) -> None:
        """Every question is there, waits or was settled once; nobody has lost either, or got what nobody said.

        One that was settled is looked at again when something `touched` it.
        """
        self.latest = max(self.latest, now)
        mail = house.mailbox.pending(now, house.fleet.living)
        open_ones = {ask.id for ask in (*mail.pending, *mail.stranded)}
        changed = {key.rpartition("/")[2].removesuffix(".json").removesuffix(".answer") for key in touched}
        for name, asked in self.asks.items():
            if name in self._settled and name not in changed:
                continue
            ask, found = self._kept(house, name)
            if not isinstance(ask, Ask) or (ask.prompt, ask.default) != (asked.prompt, asked.default):
                raise Broken("questions", f"ask {name} is {ask!r}, and should be {asked!r}")
            due = asked.expires is not None and asked.expires <= self.latest
            if isinstance(found, Answer):
                self._check_settled(asked, found, due=due)
                self._settled.add(name)
                continue
            if name not in open_ones and not due:
                raise Broken("questions", f"ask {name} is not settled and does not wait")
            if name in self.firm:
                raise Broken("settled once", f"ask {name} was settled as {self.firm[name]!r}, and is not any more")

    def takes(self, name: str, said: str) -> None:
        """The worker of that question goes away with what was said."""
        self.taken[name] = said
        if said not in self.said.get(name, set()) | {self.asks[name].default}:
            raise Broken("answers", f"the worker of {name} went away with {said!r}, which nobody answered")
        if name in self.firm and name not in self.forced and said != self.firm[name]:
            raise Broken("answers", f"ask {name} was settled as {self.firm[name]!r}, and its worker got {said!r}")

    def _check_settled(self, asked: Ask, found: Answer, *, due: bool) -> None:
        name, said = asked.id, self.said.get(asked.id, set())
        if found.outcome == "expired" and not (due and found.answer == asked.default):
            raise Broken("settled once", f"ask {name} expired with {found.answer!r} before its time, or with another")
        if found.outcome == "answered" and found.answer not in said:
            raise Broken("answers", f"ask {name} is answered {found.answer!r}, which nobody said: {said!r}")
        known = self.firm.get(name)
        stands = found.answer if found.outcome == "answered" else found.outcome
        if known is not None and known != stands and not (found.outcome == "answered" and name in self.forced):
            raise Broken("settled once", f"ask {name} was settled as {known!r}, and now is {stands!r}")

    def check_tells(self, waiting: set[str], gone: set[str]) -> None:
        """A message waits, was heard once, or has `gone` with its worker."""
        for msg in self.tells.keys() - waiting - gone - self.heard.keys() - self.lost_tells:
            raise Broken("messages", f"{msg!r} was told to {self.tells[msg][0]}, who lives and never heard it")

    def hears(self, msg: str, worker: str, mark: str) -> None:
        """A worker hears it; `mark` tells it from others of its id."""
        self.heard[msg] += 1
        if self.heard[msg] > 1:
            raise Broken("messages", f"{msg!r} was told {self.heard[msg]} times")
        if msg not in self.lost_tells and self.tells[msg] != (worker, mark):
            raise Broken("messages", f"{msg!r} was told to {self.tells[msg]}, and {worker} {mark} heard it")

    def check_memory(self, store: SimStore, damaged: set[str], *, whole: bool) -> None:
        """See "memory". `whole`: a beat has just committed, and nothing was in its way."""
        last, baseline = store.peek(LAST_HASH), store.peek(BASELINE)
        world = "" if last is None else last.decode("utf-8", "replace").strip()
        if last and LAST_HASH not in damaged and world not in self.decided:
            raise Broken("memory", f"world {world} is taken for decided, and nobody decided it")
        if baseline and BASELINE not in damaged and baseline not in self._baselines:
            raise Broken("memory", f"the baseline is of a world that nobody decided: {baseline!r}")
        if whole and (baseline is None or self._baselines.get(baseline) != world):
            raise Broken("memory", f"the hash is of world {world}, and the baseline of another")

    @staticmethod
    def _kept(house: House, name: str) -> tuple[Ask | Fault | None, Answer | Fault | None]:
        ask, answer = house.mailbox.ask_of(name), house.mailbox.answer_of(name)
        if ask is None:
            ask = read_record(house.store, f"asks/archive/{name}.json", Ask)
            answer = read_record(house.store, f"asks/archive/{name}.answer.json", Answer) or answer
        return ask, answer
