"""The simulator's own tests: every promise is kept over 100,000 beats, and every planted bug is found."""

import pytest

from tests.sim.bugs import BUGS
from tests.sim.loop import REMEMBERED, simulate
from tests.sim.promises import PROMISES, Broken
from tests.sim.run import BEATS_A_HUNT, hunt, play, play_all

BEATS = 100_000


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_promise_is_kept_over_many_beats() -> None:
    """Nothing is lost, done twice, left open or wedged, whatever dies or fails; a seed that says otherwise is named."""
    done, totals, broken = play_all(BEATS)
    assert broken == []
    assert done >= BEATS
    for what in ("deaths", "power cuts", "commands", "answers taken", "messages heard", "workers started", "pushes"):
        assert totals[what] > BEATS / 500, what
    for what in ("scheduled jobs", "records damaged", "stops", "beats idle:tick_capped", "beats idle:parked"):
        assert totals[what] > BEATS / 1000, what


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug: str) -> None:
    """Each promise can be broken, and then the simulator says within a minute that it was this one."""
    catch = hunt(bug)
    assert catch.why, f"{bug} was not found in {catch.seconds:.0f} s; it broke {catch.before}"


def test_every_promise_has_a_bug_that_breaks_it() -> None:
    """A promise that nothing can break is none."""
    assert {bug.promise for bug in BUGS.values()} == PROMISES.keys()


def test_a_seed_plays_the_same_again() -> None:
    """What a seed does depends on nothing else, but for names of files that are made up at random."""
    first, second = simulate(7, 40), simulate(7, 40)
    assert (first.endings, first.store.steps, first.deaths) == (second.endings, second.store.steps, second.deaths)
    assert first.clock.now() == second.clock.now()
    assert [step[:3] for step in first.trace] == [step[:3] for step in second.trace]


def test_a_broken_promise_says_what_happened_before() -> None:
    """The seed, played as its message says, breaks the same promise at the same point, with the last steps told."""
    with BUGS["two moves in one beat"].plant():
        with pytest.raises(Broken) as caught:
            simulate(1, BEATS_A_HUNT)
        _, _, why = play(1, caught.value.beats + 1, with_story=True)
    lines = why.splitlines()
    assert f"    again: scripts/soak --sim --seed 1 --beats {caught.value.beats + 1}" in lines
    story = caught.value.story
    assert [line.split()[:5] for line in lines[: len(story)]] == [line.split()[:5] for line in story]
    assert 10 < len(story) <= REMEMBERED
