"""Real processes race with real questions and answers: one wins, nothing is lost, nothing is there twice."""

from pathlib import Path

import pytest

from tests.fakes.contest import CONTESTS, hold


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", CONTESTS)
def test_of_two_at_once_one_wins(tmp_path: Path, name: str) -> None:
    """300 rounds of each: one winner, who is the one on disk; the loser is told so; `benchmarks/races.py` has 10,000.

    Source: spec/workers.md §8, §9, edge cases 185, 196, 200; design §3 row 7.
    """
    tally = hold(CONTESTS[name], tmp_path, 300)
    assert (tally.winners, tally.losers, tally.lost, tally.doubled) == (300, 300, 0, 0)
