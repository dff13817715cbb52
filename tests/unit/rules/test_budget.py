"""What may be spent, what was, and which limit is reached."""

from typing import NamedTuple

import pytest

from looop.model.records import CostRow, Unmetered
from looop.model.usage import Bill, Price, Tokens, Usage
from looop.rules.budget import (
    Budget,
    bill_since,
    budget_of,
    cost_of,
    count_unmetered,
    exceeded,
    goal_bill,
    goal_exceeded,
    is_blind,
    is_metered,
    limit,
    priced,
    with_run,
)


class Said(NamedTuple):
    """The limits of an environment or a config."""

    max_daily_usd: float | None = None
    max_daily_tokens: float | None = None
    max_goal_usd: float | None = None


def row(cost_usd: float | None, goal: str | None = None, tokens: dict[str, int] | None = None) -> CostRow:
    """A row of the ledger."""
    return CostRow(ts="", kind="tick", id="t", runner="r", cost_usd=cost_usd, goal=goal, tokens=tokens)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [((), None), ((None, 3), 3), ((2, 3), 2), ((0, 3), None), ((-1, 3), None), ((None, 0.5), 0.5)],
)
def test_the_first_limit_that_is_given_counts(wanted: tuple[float | None, ...], expected: float | None) -> None:
    """Zero and less switch a limit off. Source: spec/beat.md §6.5, edge case 51."""
    assert limit(*wanted) == expected


@pytest.mark.parametrize(
    ("first", "then", "expected"),
    [
        (Said(), Said(), Budget(daily_usd=10.0)),
        (Said(), Said(max_daily_usd=3), Budget(daily_usd=3)),
        (Said(max_daily_usd=4), Said(max_daily_usd=3), Budget(daily_usd=4)),
        (Said(max_daily_usd=0), Said(max_daily_usd=3), Budget(daily_usd=None)),
        (Said(), Said(max_daily_tokens=1e6, max_goal_usd=2), Budget(daily_tokens=1_000_000, goal_usd=2)),
        (Said(), Said(max_daily_tokens=0.5), Budget(daily_tokens=1)),
        (Said(), Said(max_daily_tokens=1.9), Budget(daily_tokens=1)),
        (Said(max_daily_tokens=7, max_goal_usd=0), Said(max_daily_tokens=9, max_goal_usd=2), Budget(daily_tokens=7)),
    ],
)
def test_the_limits_in_force(first: Said, then: Said, expected: Budget) -> None:
    """Environment over config over 10 USD a day; tokens and goals have no limit of their own.

    Source: spec/beat.md §6.5, edge case 51.
    """
    assert budget_of(first, then) == expected


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], Bill()),
        ([(9, row(1.0))], Bill()),
        ([(10, row(1.5)), (11, row(0.25))], Bill(1.75)),
        ([(10, row(None)), (12, row(2.0))], Bill(2.0)),
        ([(10**12, row(2.0))], Bill(2.0)),
        ([(10, row(None, tokens={"input": 5, "output": 6}))], Bill(0.0, 11)),
    ],
)
def test_what_was_spent_since(rows: list[tuple[int, CostRow]], expected: Bill) -> None:
    """Rows at or after the moment add up, those of the future too; unmetered ones count nothing.

    Source: edge case 55.
    """
    assert bill_since(rows, 10) == expected


def test_a_goal_has_one_bill_for_life() -> None:
    """What was ever spent on a goal, however long ago, counts against `max_goal_usd`. Source: design §6."""
    rows = [(1, row(1.0, "g")), (10**9, row(1.5, "g")), (5, row(9.0, "other")), (6, row(None, "g"))]
    assert goal_bill(rows, "g") == 2.5
    assert goal_exceeded(Budget(goal_usd=2.5), rows, "g") == "goal g has cost 2.5000 of 2.50 USD (max_goal_usd)"
    assert goal_exceeded(Budget(goal_usd=2.6), rows, "g") == ""
    assert goal_exceeded(Budget(), rows, "g") == ""


def test_small_sums_reach_a_limit_exactly() -> None:
    """Ten runs at 0.02 USD use up a budget of 0.20, of a day and of a goal: no eleventh starts.

    Source: design §6, spec/beat.md §6.5.
    """
    rows = [(10, row(0.02, goal="g")) for _ in range(10)]
    assert bill_since(rows, 10).usd == goal_bill(rows, "g") == 0.2
    assert exceeded(Budget(daily_usd=0.2), bill_since(rows, 10))
    assert goal_exceeded(Budget(goal_usd=0.2), rows, "g")
    assert exceeded(Budget(daily_usd=0.2), with_run(bill_since(rows[1:], 10), Usage(cost_usd=0.02), None))


@pytest.mark.parametrize(
    ("budget", "spent", "expected"),
    [
        (Budget(daily_usd=1), Bill(usd=0.9999), ""),
        (Budget(daily_usd=1), Bill(usd=1), "1.0000 of 1.00 USD are spent today"),
        (Budget(daily_usd=None, daily_tokens=10), Bill(usd=99, tokens=10), "10 of 10 tokens are used today"),
        (Budget(daily_usd=None), Bill(usd=99, tokens=10**9), ""),
    ],
)
def test_a_limit_is_reached_when_it_is_used_up(budget: Budget, spent: Bill, expected: str) -> None:
    """The sentence carries both figures. Source: spec/beat.md §6.5."""
    assert exceeded(budget, spent) == expected


def test_tokens_without_dollars_are_priced_upwards() -> None:
    """A run's own figure wins; tokens alone are priced as the dearest models; nothing stays nothing. Design §6."""
    million = Tokens(input=1_000_000)
    assert cost_of(Usage(million, 0.5), None) == 0.5
    assert cost_of(Usage(million, None), None) == 15.0
    assert cost_of(Usage(million, None), Price(input=1)) == 1.0
    assert cost_of(Usage(), None) is None
    assert with_run(Bill(1.0, 5), Usage(million, 0.5), None) == Bill(1.5, 1_000_005)
    assert with_run(Bill(1.0, 5), Usage(), None) == Bill(1.0, 5)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (Usage(), Usage()),
        (Usage(cost_usd=0.5), Usage(cost_usd=0.5)),
        (Usage(Tokens(input=2), 0.5), Usage(Tokens(input=2), 0.5)),
        (Usage(Tokens(input=2)), Usage(Tokens(input=2), 2.0, estimated=True)),
        (Usage(Tokens(input=3), 0.5, unbilled=Tokens(input=1)), Usage(Tokens(input=3), 1.5, estimated=True)),
    ],
)
def test_an_estimate_says_that_it_is_one(usage: Usage, expected: Usage) -> None:
    """What has no figure is priced on top of what has, once, and the sum is marked. Source: design §6."""
    assert priced(usage, Price(input=1_000_000)) == expected
    assert priced(expected, Price(input=1_000_000)) == expected


@pytest.mark.parametrize(
    ("budget", "daily"),
    [
        (Budget(), True),
        (Budget(daily_usd=None), False),
        (Budget(daily_usd=None, daily_tokens=1), True),
        (Budget(daily_usd=1, daily_tokens=1), True),
        (Budget(daily_usd=None, goal_usd=1), False),
    ],
)
def test_a_day_is_limited_by_dollars_or_tokens(budget: Budget, daily: bool) -> None:
    """Either limit makes the day's spending count; a goal's own limit does not. Source: design §6."""
    assert budget.daily is daily


def test_a_limit_must_see_the_run() -> None:
    """A run is metered when each limit in force has its figure. Source: spec/beat.md §6.5."""
    dollars, tokens = Usage(cost_usd=0.1), Usage(Tokens(input=1))
    assert is_metered(Budget(daily_usd=1), dollars)
    assert is_metered(Budget(daily_usd=1), tokens)
    assert not is_metered(Budget(daily_usd=1, daily_tokens=5), dollars)
    assert not is_metered(Budget(daily_usd=1), Usage())
    assert is_metered(Budget(daily_usd=None), Usage())


def test_three_runs_without_a_figure_are_the_last() -> None:
    """Another runner, or another way to meter it, begins the count anew. Source: edge case 52."""
    record = None
    for n in (1, 2, 3):
        assert not is_blind(record, "a")
        record = count_unmetered(record, "a")
        assert record == Unmetered("a", n)
    assert is_blind(record, "a") and not is_blind(record, "b")
    assert count_unmetered(record, "b") == Unmetered("b", 1)
