"""How long the loop sleeps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looop.rules.cadence import clamp_interval, clamp_nudge, sleep_until

NOW = 1_790_000_000


@pytest.mark.parametrize(
    ("wanted", "ceiling", "expected"),
    [
        *((60, 300, 60), (5, 300, 5), (4, 300, 5), (0, 300, 5), (300, 300, 300), (301, 300, 300), (10**30, 300, 300)),
        *((60, 5, 5), (60, 4, 5), (60, 0, 5), (60, -1, 5), (3, 2, 5), (900, 3600, 900)),
    ],
)
def test_a_nudge_is_clamped(wanted: int, ceiling: int, expected: int) -> None:
    """Within 5 s and the ceiling; a ceiling below 5 collapses to 5. Source: spec/edge-cases.md items 123, 152."""
    assert clamp_nudge(wanted, ceiling) == expected


@pytest.mark.parametrize("ceiling", [0, 5, 300])
def test_the_follow_up_of_a_shell_move_is_never_stretched(ceiling: int) -> None:
    """The implicit 5 s stay 5 s under every ceiling. Source: spec/edge-cases.md item 122."""
    assert clamp_nudge(5, ceiling) == 5


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        *((60, 60), (1, 1), (0, 1), (-5, 1), (0.2, 1), (0.99, 1), (1.5, 1), (2.9, 2), (-0.5, 1)),
        *((float("nan"), 1), (float("-inf"), 1), (float("inf"), 2**31), (1e300, 2**31)),
    ],
)
def test_an_interval_is_whole_and_at_least_a_second(interval: float, expected: int) -> None:
    """Zero, negative, fractional or no number at all: never a busy loop. Source: spec/edge-cases.md items 145, 265."""
    assert clamp_interval(interval) == expected
    assert type(clamp_interval(interval)) is int


@pytest.mark.parametrize(
    ("deadlines", "expected"),
    [
        ([], 60),
        ([None], 60),
        ([NOW + 10], 10),
        ([NOW + 1, None, NOW + 10], 1),
        ([NOW + 90], 60),
        ([NOW], 60),
        ([NOW - 1], 60),
        ([0], 60),
        ([NOW - 5, NOW + 20], 20),
    ],
)
def test_only_a_deadline_ahead_shortens_the_sleep(deadlines: list[int | None], expected: int) -> None:
    """A new deadline wakes earlier, one that has passed does not. Source: spec/edge-cases.md items 149, 151."""
    assert sleep_until(NOW, 60, deadlines) == NOW + expected


@given(st.integers(1, 2**31), st.lists(st.none() | st.integers(-(2**60), 2**60)))
def test_the_loop_never_spins_nor_oversleeps(interval: int, deadlines: list[int | None]) -> None:
    """Whatever lies around, the next beat is after now and within the interval. Source: spec/edge-cases.md item 149."""
    assert NOW < sleep_until(NOW, interval, deadlines) <= NOW + interval
