"""Reading the whole: `state`. It does not sense, it reads what the last beat left. Spec/cli.md §2.

It goes on whatever cannot be read: that costs what stood in it, and `damaged` says so.
"""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from looop.config.knobs import Knobs
from looop.config.paths import is_there
from looop.contract.verbs import Failing, Money, StateView
from looop.model.errors import LooopError
from looop.model.prompt import GoalStatus
from looop.model.records import Ask, Backoff, Failure, Fault, Parked, ReflexLedger, Unmetered
from looop.model.text import one_line
from looop.model.usage import Bill
from looop.model.world import World, goals_of
from looop.rules.budget import MOST_UNMETERED, bill_since, budget_of, exceeded
from looop.rules.gates import Memory, backoff_delay
from looop.rules.goals import declares
from looop.runtime.clock import midnight
from looop.runtime.lock import is_held
from looop.sense.gather import read_world
from looop.sense.system import BEAT_MARK
from looop.sense.workers import worker_rows
from looop.state.house import House
from looop.state.ledger import Rows
from looop.state.mailbox import Mail
from looop.state.sensors import Sensor

if TYPE_CHECKING:
    from looop.config.file import Config

_JOURNAL_LINES = 20
_ERROR_CHARS = 200
_NANO = 10**9
NO_WORLD = World(hash="", policy_hash="", items={}, policy={}, readings={})

T = TypeVar("T")


class Damage(list[str]):
    """What could not be read, in a sentence each."""

    def spare(self, read: Callable[[], T], instead: T) -> T:
        """What `read` returns, or `instead` with a sentence about it."""
        try:
            return read()
        except LooopError as error:
            self.append(str(error))
            return instead


def state_of(house: House, mail: Mail | None = None) -> StateView:
    """Everything at a glance, with this mail where it has been read already. Raises nothing for what cannot be read."""
    damage, now, memory = Damage(), house.setting.clock.now(), house.guards.recall()
    config = damage.spare(lambda: _config(house), None)
    sensors = damage.spare(house.sensors.all, list[Sensor]())
    world = damage.spare(lambda: read_world(house, sensors), NO_WORLD)
    read = mail or damage.spare(lambda: house.mailbox.pending(now, house.fleet.living), None)
    mail = read or Mail([], [])
    journal = damage.spare(lambda: house.journal.tail(_JOURNAL_LINES), list[str]())
    costs = damage.spare(house.ledger.read, Rows([], 0))
    bill = bill_since(costs.rows, midnight(house.setting.clock, now))
    damage += [*mail.damaged, *_damaged_ledger(costs), *_damaged_world(world), *_damaged_memory(house, memory)]
    return StateView(
        world_hash=world.hash,
        pulse_alive=is_held(house.setting.root),
        last_beat_age_s=last_beat_age(house, now),
        snapshots={stem: _snapshot(reading.raw) for stem, reading in world.readings.items() if reading.is_json},
        asks=mail.pending,
        workers=damage.spare(lambda: _workers(house, now, read.pending if read else None), list[dict[str, Any]]()),
        goals=sorted(goals_of(world.policy)),
        goal_status=goal_statuses(house, world, now),
        journal_tail=journal,
        spent_today_usd=round(bill.usd, 6),
        money=_money(house, config, bill, now),
        runner=config.runner if config else "none",
        parked=_parked(house, config, now),
        now=now,
        data_dir=house.setting.root,
        failing=_failing(house, world, memory, now),
        damaged=damage,
        stranded=mail.stranded,
        warnings=list(config.warnings) if config else [],
        configured=os.path.isfile(house.setting.config_file),
    )


def _workers(house: House, now: int, pending: list[Ask] | None) -> list[dict[str, Any]]:
    return [msgspec.to_builtins(row) for row in worker_rows(house, now, pending)]


def goal_statuses(house: House, world: World, now: int) -> list[GoalStatus]:
    """How every goal stands; goals of prose are open. Nothing is compiled when no goal declares anything."""
    texts = goals_of(world.policy)
    found: dict[str, GoalStatus] = {}
    if any(text is None or declares(text) for text in texts.values()):
        from looop.rules.reflexes import judge

        ledger = house.guards.reflexes()
        known = ledger if isinstance(ledger, ReflexLedger) else ReflexLedger()
        found = {status.goal: status for status in judge(world, known, house.guards.activity(), now).statuses}
    return [found.get(goal, GoalStatus(goal, "open")) for goal in sorted(texts)]


def last_beat_age(house: House, now: int) -> int | None:
    """Seconds since the last beat, None before the first one or when that cannot be told."""
    try:
        entry = house.readings.entries().get(f"{BEAT_MARK}.json")
    except LooopError:
        return None
    return max(now - entry.mtime_ns // _NANO, 0) if entry else None


def _failing(house: House, world: World, memory: Memory, now: int) -> Failing | None:
    backoff, last = memory.backoff, memory.failure
    if not isinstance(backoff, Backoff) or backoff.fails < 1:
        return None
    left = backoff_delay(backoff.fails, house.limits.backoff_cap_s) - max(now - backoff.ts, 0)
    error = one_line(last.error) if isinstance(last, Failure) else "why is not on record"
    if len(error) > _ERROR_CHARS:
        error = error[: _ERROR_CHARS - 1] + "…"
    return Failing(backoff.fails, error, max(left, 0) if backoff.hash == world.policy_hash else 0)


def _config(house: House) -> "Config | None":
    """The config, None where there is no file: then nothing is loaded for it. Raises Unreadable, Corrupt."""
    path = house.setting.config_file
    if not is_there(path):
        return None
    from looop.config.file import load_config

    return load_config(path)


def _money(house: House, config: "Config | None", bill: Bill, now: int) -> Money:
    budget = budget_of(house.setting.knobs, config or Knobs())
    return Money(
        tokens_today=bill.tokens,
        max_daily_usd=budget.daily_usd,
        max_daily_tokens=budget.daily_tokens,
        max_goal_usd=budget.goal_usd,
        reached=exceeded(budget, bill),
        unmetered=_unmetered(house, config, now),
    )


def _unmetered(house: House, config: "Config | None", now: int) -> str:
    """Why the runner is not asked for want of a figure; the breakers are loaded only where that may be."""
    record = house.guards.unmetered()
    if config is None or not isinstance(record, Unmetered) or record.count < MOST_UNMETERED:
        return ""
    from looop.decide.breakers import Breakers

    note = Breakers(house, config).closed(now)
    return str(note.fields["error"]) if note and note.name == "budget_unmetered" else ""


def _parked(house: House, config: "Config | None", now: int) -> Parked | None:
    record = house.guards.parked()
    if not isinstance(record, Parked) or config is None or not house.setting.knobs.park:
        return None
    return record if record.until > now and record.runner == config.runner else None


def _damaged_ledger(costs: Rows) -> list[str]:
    if not costs.damaged:
        return []
    return [f"cost.jsonl: {costs.damaged} rows cannot be read, and are not in what was spent: `looop cost repair`"]


def _damaged_world(world: World) -> list[str]:
    """What of the policy resists, and which readings have no JSON to show."""
    policy = [f"{path} cannot be read" for path, text in sorted(world.policy.items()) if text is None]
    bad = sorted((stem, reading.raw) for stem, reading in world.readings.items() if not reading.is_json)
    return policy + [
        f"snapshots/{stem}.json {'is not JSON' if raw else 'is empty or cannot be read'}: it is compared as a whole, "
        "and not shown"
        for stem, raw in bad
    ]


def _damaged_memory(house: House, memory: Memory) -> list[str]:
    """What of the loop's own records cannot be used; what needs one of them stands still, or starts afresh."""
    guards = house.guards
    guarding = (
        memory.last_hash,
        memory.backoff,
        memory.attempts,
        guards.reflexes(),
        guards.parked(),
        guards.unmetered(),
    )
    faults = [record for record in guarding if isinstance(record, Fault)] + guards.damage(memory)
    return [fault.why for fault in faults]


def _snapshot(raw: str) -> Any:
    return msgspec.json.decode(raw)
