"""Money as a client sees it: what was spent, on what, against which limits; a worker's own report; the repair.

A damaged line of the ledger costs itself alone, and is counted. Source: design §6, spec/cli.md §9.
"""

import math
import os
from calendar import timegm
from collections.abc import Callable, Iterable
from datetime import date
from typing import Literal

from msgspec import Struct

from looop.config.file import Config, load_config
from looop.model.errors import Invalid, LooopError
from looop.model.ids import require_id
from looop.model.records import CostRow
from looop.model.text import one_line
from looop.rules.budget import Budget, TimedRow, bill_since, budget_of, exceeded, total
from looop.runtime.clock import Clock, midnight, utc_stamp
from looop.state.house import House
from looop.state.ledger import DAMAGED, KEY, Rows

Subject = Literal["day", "kind", "runner", "model", "goal"]
SUBJECTS: tuple[Subject, ...] = ("day", "kind", "runner", "model", "goal")
_MOST_USD = 10**9
_RUNNER_CHARS = 200


class Spent(Struct, frozen=True):
    """The runs under one key. `estimated` of them were priced by their tokens, `unmetered` ones named no figure."""

    key: str
    runs: int = 0
    usd: float = 0.0
    tokens: int = 0
    estimated: int = 0
    unmetered: int = 0


class GoalBill(Struct, frozen=True):
    """What a goal has cost in all its life; `reached` when no more may be spent on it."""

    goal: str
    usd: float
    reached: bool


class CostReport(Struct, frozen=True):
    """What was spent today and since `since` (UTC seconds, None: ever), and the limits in force (None: none).

    `reached` says which limit on the day is used up. `goals` are the bills of all goals while there is a limit for
    them. The rows of a table are sorted by what they cost, days by date; a row without that subject is under "".
    `doubts` says in a sentence each what may make the figures wrong.
    """

    now: int
    since: int | None
    today: Spent
    total: Spent
    max_daily_usd: float | None
    max_daily_tokens: int | None
    max_goal_usd: float | None
    reached: str
    goals: list[GoalBill]
    tables: dict[Subject, list[Spent]]
    damaged: int
    doubts: list[str]
    ledger: str


def report(house: House, since: int | date | None = None, by: Subject | None = None) -> CostReport:
    """What was spent: in the last `since` seconds or since that local day. Raises Unreadable."""
    clock = house.setting.clock
    now, ledger = clock.now(), house.ledger.read()
    config, doubts = _config(house)
    budget, start, today = budget_of(house.setting.knobs, config), _start(clock, since, now), midnight(clock, now)
    chosen = [(ts, row) for ts, row in ledger.rows if start is None or ts >= start]
    return CostReport(
        now=now,
        since=start,
        today=_sum("today", [row for ts, row in ledger.rows if ts >= today]),
        total=_sum("total", [row for _, row in chosen]),
        max_daily_usd=budget.daily_usd,
        max_daily_tokens=budget.daily_tokens,
        max_goal_usd=budget.goal_usd,
        reached=exceeded(budget, bill_since(ledger.rows, today)),
        goals=_goal_bills(budget, ledger.rows),
        tables={subject: _table(clock, chosen, subject) for subject in ([by] if by else SUBJECTS)},
        damaged=ledger.damaged,
        doubts=[*doubts, *damage(ledger)],
        ledger=os.path.join(house.setting.root, KEY),
    )


def damage(ledger: Rows) -> list[str]:
    """What is wrong with the ledger and what to do, in a sentence."""
    if not ledger.damaged:
        return []
    lines = "1 line of cost.jsonl is" if ledger.damaged == 1 else f"{ledger.damaged} lines of cost.jsonl are"
    return [f"{lines} damaged and in no figure; while a budget is set nobody is asked: `looop cost repair`"]


def add(house: House, row: CostRow) -> str:
    """Put what somebody says he has spent into the ledger, and say so. Raises Invalid, Unwritable. Item 56."""
    require_id(row.kind, "kind")
    require_id(row.id, "id")
    if row.goal is not None:
        require_id(row.goal, "goal id")
    if not row.runner.strip() or len(row.runner) > _RUNNER_CHARS or row.runner != one_line(row.runner):
        raise Invalid(f"invalid runner {row.runner!r}: expected a name on one line, at most {_RUNNER_CHARS} characters")
    usd = row.cost_usd
    if usd is None or not math.isfinite(usd) or not 0 < usd <= _MOST_USD:
        raise Invalid(f"invalid cost {usd}: expected an amount of US dollars above 0, such as 0.42")
    if row.tokens and not all(0 < count <= 10**15 for count in row.tokens.values()):
        raise Invalid("invalid tokens: expected a whole number above 0")
    stamped = CostRow(
        utc_stamp(house.setting.clock.now()), row.kind, row.id, row.runner, None, row.goal, usd, row.tokens
    )
    house.ledger.append(stamped)
    return f"noted {usd:.10g} USD for {row.kind} {row.id}" + (f", goal {row.goal}" if row.goal else "")


def repair(house: House) -> str:
    """Set the ledger's damaged lines aside and say how many. Journaled. Raises Unreadable, Unwritable."""
    count = house.ledger.repair()
    if not count:
        return f"{KEY} is whole: nothing to repair"
    said = f"cost-repair: {count} damaged line{'' if count == 1 else 's'} of {KEY} set aside in {DAMAGED}"
    house.note(said, house.setting.clock.now())
    return said


def _config(house: House) -> tuple[Config, list[str]]:
    try:
        return load_config(house.setting.config_file), []
    except LooopError as error:
        return Config(), [f"the limits of the config are not known: {error}"]


def _start(clock: Clock, since: int | date | None, now: int) -> int | None:
    if since is None or isinstance(since, int):
        return None if since is None else now - since
    day = timegm(since.timetuple())
    return day - clock.utc_offset_s(day - clock.utc_offset_s(day))


def _sum(key: str, rows: Iterable[CostRow]) -> Spent:
    runs = list(rows)
    return Spent(
        key=key,
        runs=len(runs),
        usd=round(math.fsum(row.cost_usd or 0.0 for row in runs), 6),
        tokens=sum(sum(row.tokens.values()) for row in runs if row.tokens),
        estimated=sum(row.estimated for row in runs),
        unmetered=sum(not row.metered for row in runs),
    )


def _goal_bills(budget: Budget, rows: list[TimedRow]) -> list[GoalBill]:
    if budget.goal_usd is None:
        return []
    bills: dict[str, float] = {}
    for _, row in rows:
        if row.goal:
            bills[row.goal] = total((bills.get(row.goal, 0.0), row.cost_usd or 0.0))
    found = [GoalBill(goal, round(usd, 6), usd >= budget.goal_usd) for goal, usd in bills.items()]
    return sorted(found, key=lambda bill: (-bill.usd, bill.goal))


def _table(clock: Clock, rows: list[TimedRow], subject: Subject) -> list[Spent]:
    found: dict[str, list[CostRow]] = {}
    for ts, row in rows:
        found.setdefault(_KEYS[subject](clock, ts, row), []).append(row)
    sums = [_sum(key, group) for key, group in found.items()]
    return sorted(sums, key=lambda row: (row.key,) if subject == "day" else (-row.usd, -row.tokens, row.key))


def _day(clock: Clock, ts: int, row: CostRow) -> str:
    return utc_stamp(ts + clock.utc_offset_s(ts))[:10]


_KEYS: dict[Subject, Callable[[Clock, int, CostRow], str]] = {
    "day": _day,
    "kind": lambda _, __, row: row.kind,
    "runner": lambda _, __, row: row.runner,
    "model": lambda _, __, row: row.model or "",
    "goal": lambda _, __, row: row.goal or "",
}
