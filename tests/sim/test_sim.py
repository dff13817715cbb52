"""The simulator's own tests: every promise is kept over 100,000 beats, and every planted bug is found."""

import pytest

from tests.sim.bugs import BUGS
from tests.sim.loop import simulate
from tests.sim.run import hunt, play_all

BEATS = 100_000


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_promise_is_kept_over_many_beats() -> None:
    """Nothing is lost, done twice, left open or wedged, whatever dies or fails; a seed that says otherwise is named."""
    done, totals, broken = play_all(BEATS)
    assert broken == []
    assert done >= BEATS
    for what in ("deaths", "power cuts", "commands", "answers taken", "messages heard", "workers started"):
        assert totals[what] > BEATS / 500, what


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug: str) -> None:
    """Each promise can be broken, and then the simulator says so within a minute."""
    seconds, why = hunt(bug)
    assert why, f"{bug} was not found in {seconds:.0f} s"


def test_a_seed_plays_the_same_again() -> None:
    """What a seed does depends on nothing else."""
    first, second = simulate(7, 40), simulate(7, 40)
    assert (first.endings, first.store.steps, first.deaths) == (second.endings, second.store.steps, second.deaths)
    assert first.clock.now() == second.clock.now()
