"""The breakers around a model run: whether one may start, whether it must stop, and the row it leaves. Design §6.

A run is announced before it starts and the announcement taken back once its row is in the ledger, so a run that a
crash cut off is found by the next beat and gets its row, without a figure.
"""

from contextlib import suppress

from msgspec import Struct

from looop.config.file import Config
from looop.decide.bundle import Bundle
from looop.decide.streams import Reader, parked_until, reader_for
from looop.model.errors import Refused, Unreadable
from looop.model.records import CostRow, Fault, OpenRun, Parked
from looop.model.usage import Bill, Usage, add_usage
from looop.rules import budget as rules
from looop.rules.budget import Budget
from looop.rules.gates import Note
from looop.rules.world import digest
from looop.runtime.clock import midnight, utc_stamp
from looop.state.house import House
from looop.state.ledger import DAMAGED, Rows


class OverBudget(Refused):
    """A run reached a limit and was stopped."""


class Meter:
    """Follows one run, over all its attempts, against what the day has left."""

    def __init__(self, budget: Budget, spent: Bill, config: Config) -> None:
        self._budget, self._spent, self._config = budget, spent, config
        self._past = Usage()
        self._reader: Reader | None = None

    @property
    def usage(self) -> Usage:
        """What all attempts have used so far, each priced: one's dollars say nothing of another's tokens."""
        if self._reader is None:
            return self._past
        return add_usage(self._past, rules.priced(self._reader.usage, self._config.price))

    def follow(self, reader: Reader) -> None:
        """A new attempt begins, which this reader reads."""
        self._past, self._reader = self.usage, reader

    def check(self) -> None:
        """Raises OverBudget once the run has used up what the day had left."""
        usage = self.usage
        if usage.tokens is None and usage.cost_usd is None:
            return
        if why := rules.exceeded(self._budget, rules.with_run(self._spent, usage, self._config.price)):
            raise OverBudget(f"the run was stopped, nothing of it is executed: {why}")


class Breakers(Struct, frozen=True):
    """The breakers for one decide with this config."""

    house: House
    config: Config

    @property
    def budget(self) -> Budget:
        """What may be spent: environment over config over the default of 10 USD a day. Source: spec/beat.md §6.5."""
        return rules.budget_of(self.house.setting.knobs, self.config)

    def closed(self, now: int) -> Note | None:
        """Why no model may be asked now, None when one may."""
        found = self.admit(now)
        return found if isinstance(found, Note) else None

    def admit(self, now: int) -> Meter | Note:
        """The meter of a run that may start, else why none may. What cannot be read keeps its breaker closed."""
        spent = self._parked(now) or self._spent_today(now)
        if isinstance(spent, Note):
            return spent
        return self._blind() or Meter(self.budget, spent, self.config)

    def announce(self, bundle: Bundle, now: int) -> None:
        """A run begins, once the one before it is settled. Raises LooopError: then it must not."""
        sweep_open_run(self.house)
        config = self.config
        run = OpenRun(
            id=bundle.run_id,
            runner=config.runner,
            ts=now,
            mark=bundle.mark,
            stream=bundle.file("stream.jsonl"),
            command=config.tick_command or "",
            events=config.events,
            price=config.price,
        )
        self.house.guards.open_run(run)

    def settle(self, run_id: str, usage: Usage, goal: str | None, *, ended_well: bool) -> Usage:
        """Put a run that is over into the ledger, and return its usage with the cost that was put there.

        A row that cannot be written counts as a run without a figure. Source: spec/beat.md §6.5.
        """
        house, cost = self.house, usage.cost_usd
        row = CostRow(
            ts=utc_stamp(house.setting.clock.now()),
            kind="tick",
            id=run_id,
            runner=self.config.runner,
            model=usage.model,
            goal=goal,
            cost_usd=None if cost is None else round(cost, 6),
            tokens=tokens_of(usage),
            metered=usage.tokens is not None or cost is not None,
            estimated=usage.estimated,
        )
        kept = house.best_effort("cost ledger", lambda: house.ledger.append(row))
        house.best_effort("open run", house.guards.close_run if kept else lambda: self._owe(row))
        if self.budget.daily and (ended_well or row.metered):
            self._count(metered=kept and rules.is_metered(self.budget, usage))
        return usage

    def _owe(self, row: CostRow) -> None:
        """Keep a row that the ledger did not take: the next beat puts it there."""
        house = self.house
        house.guards.open_run(OpenRun(row.id, row.runner, house.setting.clock.now(), row=row))

    def park(self, said: str) -> None:
        """Ask nobody until the reset that a runner at its usage limit named; nothing when it named none."""
        house = self.house
        now = house.setting.clock.now()
        until = parked_until(said, now, house.setting.clock.utc_offset_s(now)) if said else None
        if until is not None:
            record = Parked(until, said, self.config.runner)
            house.best_effort("parking", lambda: house.guards.park(record))

    def _parked(self, now: int) -> Note | None:
        if not self.house.setting.knobs.park:
            return None
        record = self.house.guards.parked()
        if isinstance(record, Fault):
            return _degraded("parking", record)
        if record is None or record.until <= now or record.runner != self.config.runner:
            return None
        said = {"runner": record.runner, "retry_in_s": record.until - now, "error": record.why}
        return Note("parked", said)

    def _spent_today(self, now: int) -> Bill | Note:
        """What the day has cost, or why nothing more may be spent."""
        if not self.budget.daily and self.budget.goal_usd is None:
            return Bill()
        try:
            ledger = self.house.ledger.read()
        except Unreadable as error:
            return Note("guard_degraded", {"guard": "budget", "error": str(error)})
        if ledger.damaged:
            return Note("guard_degraded", {"guard": "budget", "error": damaged_ledger(ledger)})
        spent = rules.bill_since(ledger.rows, self._today(now))
        why = rules.exceeded(self.budget, spent)
        figures = {"spent_usd": round(spent.usd, 6), "max_daily_usd": self.budget.daily_usd, "tokens": spent.tokens}
        return Note("budget_exceeded", figures | {"error": why}) if why else spent

    def _blind(self) -> Note | None:
        if not self.budget.daily:
            return None
        record = self.house.guards.unmetered()
        if isinstance(record, Fault):
            return _degraded("unmetered runs", record)
        if not rules.is_blind(record, self._sig):
            return None
        remedy = (
            f"{rules.MOST_UNMETERED} runs in a row named no figure and a budget is set: give the runner a `cost`, use "
            "its JSON output, or set max_daily_usd = 0 for a runner that costs nothing"
        )
        return Note("budget_unmetered", {"runner": self.config.runner, "error": remedy})

    def _count(self, *, metered: bool) -> None:
        guards, before = self.house.guards, self.house.guards.unmetered()
        if metered:
            self.house.best_effort("unmetered runs", lambda: guards.record_unmetered(None))
            return
        record = rules.count_unmetered(None if isinstance(before, Fault) else before, self._sig)
        self.house.events.emit("unmetered", runner=self.config.runner, count=record.count)
        self.house.best_effort("unmetered runs", lambda: guards.record_unmetered(record))

    def _today(self, now: int) -> int:
        return midnight(self.house.setting.clock, now)

    @property
    def _sig(self) -> str:
        """Stands for the runner and how it is metered: a change of either begins the count anew."""
        config = self.config
        return f"{config.runner}|{digest(repr((config.tick_command, config.cost, config.price)).encode())}"


def tokens_of(usage: Usage) -> dict[str, int] | None:
    """The tokens as a row of the ledger holds them."""
    from msgspec import to_builtins

    return None if usage.tokens is None else to_builtins(usage.tokens)


def damaged_ledger(ledger: Rows) -> str:
    """What is wrong with the ledger, and what to do about it."""
    return (
        f"cost.jsonl has {ledger.damaged} damaged lines, so what was spent today is not known: "
        "`looop cost repair` sets them aside"
    )


def _degraded(guard: str, fault: Fault) -> Note:
    return Note("guard_degraded", {"guard": guard, "key": fault.key, "error": f"{fault.why}; remove it to go on"})


def sweep_open_run(house: House) -> None:
    """End a run that a crash cut off, and give it its row, with what its stream says. Raises LooopError: later.

    Left to itself it would go on spending, and hand over a decision that the next run is taken for. One that
    was cut off right after its row has it already.
    """
    left = house.guards.opened_run()
    if left is None:
        return
    if isinstance(left, Fault) and left.kind == "unreadable":
        raise Unreadable(left.why)
    run = left if isinstance(left, OpenRun) else OpenRun(id="?", runner="?", ts=house.setting.clock.now())
    house.setting.processes.kill_left(run.mark)
    if house.ledger.mend_end():
        house.events.emit("guard_degraded", guard="cost ledger", error=f"a torn last line is set aside in {DAMAGED}")
    if not any(_is_of(run, row, when) for when, row in house.ledger.read().rows):
        house.ledger.append(run.row or _row_of(run))
    house.guards.close_run()


def _is_of(run: OpenRun, row: CostRow, when: int) -> bool:
    """Whether this is the row of that run: ids are local times, which may come again."""
    return row == run.row if run.row else (row.kind, row.id) == ("tick", run.id) and when >= run.ts


def _row_of(run: OpenRun) -> CostRow:
    usage = rules.priced(_heard(run), run.price)
    return CostRow(
        ts=utc_stamp(run.ts),
        kind="tick",
        id=run.id,
        runner=run.runner,
        model=usage.model,
        cost_usd=usage.cost_usd,
        tokens=tokens_of(usage),
        metered=usage.cost_usd is not None,
        estimated=usage.estimated,
    )


def _heard(run: OpenRun) -> Usage:
    """What the stream of a run said until it broke off; nothing when it cannot be read."""
    reader = reader_for(run.runner, run.command, None, run.events)
    with suppress(OSError), open(run.stream, "rb") as file:
        for line in file:
            reader.feed(line)
    return reader.usage
