"""The breakers on money: what may be spent, what was, and when to stop. Source: design §6, spec/beat.md §6.5.

Note [Estimates]
A run that reports tokens and no dollars is priced by its runner's `price`, or by that of the dearest models. So a
budget in dollars stops it all the same: early, never late. Only a run without any figure is unmetered.
"""

from collections.abc import Iterable
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from looop.model.records import CostRow, Unmetered
from looop.model.usage import Bill, Price, Usage

DEFAULT_DAILY_USD = 10.0
MOST_UNMETERED = 3
TimedRow = tuple[int, CostRow]


class Wishes(Protocol):
    """The limits somebody asked for: the environment, or a config. None where nothing was said."""

    @property
    def max_daily_usd(self) -> float | None: ...
    @property
    def max_daily_tokens(self) -> float | None: ...
    @property
    def max_goal_usd(self) -> float | None: ...


class Budget(Struct, frozen=True):
    """What may be spent; None is no limit."""

    daily_usd: float | None = DEFAULT_DAILY_USD
    daily_tokens: int | None = None
    goal_usd: float | None = None

    @property
    def daily(self) -> bool:
        """Whether a limit on the day is in force."""
        return self.daily_usd is not None or self.daily_tokens is not None


def limit(*wanted: float | None) -> float | None:
    """The first limit that was given, None when it is zero or less: switched off. Source: spec/beat.md §6.5."""
    given = next((value for value in wanted if value is not None), None)
    return given if given is not None and given > 0 else None


def budget_of(first: Wishes, then: Wishes) -> Budget:
    """The limits in force: those of `first` over those of `then` over 10 USD a day. Source: spec/beat.md §6.5."""
    tokens = limit(first.max_daily_tokens, then.max_daily_tokens)
    return Budget(
        daily_usd=limit(first.max_daily_usd, then.max_daily_usd, DEFAULT_DAILY_USD),
        daily_tokens=None if tokens is None else max(int(tokens), 1),
        goal_usd=limit(first.max_goal_usd, then.max_goal_usd),
    )


def bill_since(rows: Iterable[TimedRow], since: int) -> Bill:
    """The sum of the rows at or after `since`. A row dated in the future counts: a clock set back hides nothing."""
    counted = [row for ts, row in rows if ts >= since]
    return Bill(
        usd=total(row.cost_usd or 0.0 for row in counted),
        tokens=sum(sum(row.tokens.values()) for row in counted if row.tokens),
    )


def goal_bill(rows: Iterable[TimedRow], goal: str) -> float:
    """US dollars spent on a goal in all its life."""
    return total(row.cost_usd or 0.0 for _, row in rows if row.goal == goal)


def total(costs: Iterable[float]) -> float:
    """US dollars, to a billionth: ten times 0.02 are 0.2, which floats are not, and a run too many would start."""
    return round(sum(costs), 9)


def priced(usage: Usage, price: Price | None) -> Usage:
    """The usage with a cost wherever it has a figure at all. See Note [Estimates]."""
    unbilled = usage.tokens if usage.cost_usd is None else usage.unbilled
    if unbilled is None:
        return usage
    cost = (usage.cost_usd or 0.0) + (price or Price()).of(unbilled)
    return replace(usage, cost_usd=cost, unbilled=None, estimated=True)


def cost_of(usage: Usage, price: Price | None) -> float | None:
    """The cost of a run in US dollars: its own figure, and an estimate of what that does not cover."""
    return priced(usage, price).cost_usd


def exceeded(budget: Budget, spent: Bill) -> str:
    """Which limit on the day is reached, with the figures; empty when none is."""
    if budget.daily_usd is not None and spent.usd >= budget.daily_usd:
        return f"{spent.usd:.4f} of {budget.daily_usd:.2f} USD are spent today"
    if budget.daily_tokens is not None and spent.tokens >= budget.daily_tokens:
        return f"{spent.tokens} of {budget.daily_tokens} tokens are used today"
    return ""


def goal_exceeded(budget: Budget, rows: Iterable[TimedRow], goal: str) -> str:
    """Why no more may be spent on a goal, with the figures; empty when it may."""
    if budget.goal_usd is None or (spent := goal_bill(rows, goal)) < budget.goal_usd:
        return ""
    return f"goal {goal} has cost {spent:.4f} of {budget.goal_usd:.2f} USD (max_goal_usd)"


def with_run(spent: Bill, usage: Usage, price: Price | None) -> Bill:
    """The bill with a run on top, as far as it is known."""
    tokens = usage.tokens.total if usage.tokens else 0
    return Bill(usd=total((spent.usd, cost_of(usage, price) or 0.0)), tokens=spent.tokens + tokens)


def is_metered(budget: Budget, usage: Usage) -> bool:
    """Whether every limit that is in force can see this run."""
    sees_usd = budget.daily_usd is None or cost_of(usage, None) is not None
    return sees_usd and (budget.daily_tokens is None or usage.tokens is not None)


def count_unmetered(before: Unmetered | None, sig: str) -> Unmetered:
    """One more run in a row without a figure; another runner or another way to meter it begins anew."""
    return Unmetered(sig=sig, count=before.count + 1 if before and before.sig == sig else 1)


def is_blind(record: Unmetered | None, sig: str) -> bool:
    """Whether too many runs in a row had no figure for one more to be allowed."""
    return record is not None and record.sig == sig and record.count >= MOST_UNMETERED
