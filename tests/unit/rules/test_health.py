"""The four words for how a worker fares, what they are derived from, and silence on a machine that sleeps."""

import pytest

from looop.model.records import Awake
from looop.model.world import World
from looop.rules.health import Health, Silence, Sleep, Waits, ending, health, live_workers, note_sleep, silence_of
from looop.rules.world import assemble

NOW = 1_700_000_000
ASK = Waits("w-1", 300)
HOURS_8 = 8 * 3600


def silent(seconds: int) -> Silence:
    return Silence(counted_s=seconds, by_clock_s=seconds)


def awake(asleep_s: float = 100.0, since: int = 0, boot: str = "b") -> Awake:
    return Awake(asleep_s=asleep_s, since=since, boot=boot)


@pytest.mark.parametrize(
    ("alive", "waits", "silence", "expected"),
    [
        (False, ASK, silent(5000), Health("dead", "its supervisor is gone")),
        (False, None, None, Health("dead", "its supervisor is gone")),
        (True, ASK, silent(5000), Health("waiting-ask", "ask w-1 has waited 5m")),
        (True, Waits("w-1", 9 * 86400), silent(9 * 86400), Health("waiting-ask", "ask w-1 has waited 9d")),
        (True, None, silent(1200), Health("stuck", "no output for 20m (LOOOP_WORKER_STUCK_SECS 900)")),
        (True, None, silent(900), Health("stuck", "no output for 15m (LOOOP_WORKER_STUCK_SECS 900)")),
        (True, None, silent(899), Health("busy", "output 14m ago")),
        (True, None, silent(3), Health("busy", "output 3s ago")),
        (True, None, None, Health("busy", "no output is on record")),
    ],
)
def test_the_first_that_applies(alive: bool, waits: Waits | None, silence: Silence | None, expected: Health) -> None:
    """Dead before waiting before stuck before busy; a question is never stuck, unknown silence is busy.

    Source: spec/workers.md §5, spec/edge-cases.md items 173, 174.
    """
    assert health(alive, waits, silence, 900) == expected


def test_a_threshold_of_zero_calls_nobody_stuck() -> None:
    """0 switches it off. Source: spec/workers.md §5."""
    assert health(True, None, silent(10**9), 0).word == "busy"
    assert health(True, None, silent(0), 0).word == "busy"
    assert health(True, None, silent(1), 1).word == "stuck"


def test_seconds_change_what_is_said_and_not_the_word() -> None:
    """Between start and threshold the word stays, and it changes once. Source: spec/edge-cases.md item 175."""
    words = [health(True, None, silent(seconds), 900).word for seconds in range(0, 2000, 7)]
    assert words == sorted(words) and set(words) == {"busy", "stuck"}


@pytest.mark.parametrize(
    ("state", "exit_code", "signal", "said"),
    [
        ("exited", 0, None, "it exited with 0"),
        ("exited", 3, None, "it exited with 3"),
        ("exited", None, None, "it exited"),
        ("killed", None, 9, "it was killed by signal 9"),
        ("killed", None, None, "it was killed"),
        ("running", None, None, "its supervisor is gone"),
        ("starting", None, None, "its supervisor is gone"),
    ],
)
def test_how_the_dead_ended(state: str, exit_code: int | None, signal: int | None, said: str) -> None:
    """What is known of the end is said; a state on disk that nobody stands for is a supervisor that is gone.

    Source: spec/workers.md §3.3, §5.
    """
    assert ending(state, exit_code, signal) == said
    assert health(False, None, None, 900, ended=said) == Health("dead", said)


def test_silence_is_counted_from_the_last_output() -> None:
    """Without a sleep it is the clock's difference; output from the future is output just now.

    Source: spec/workers.md §5.
    """
    sleep = Sleep(awake(), 100.0, "b")
    assert silence_of(None, sleep, NOW) is None
    assert silence_of(NOW - 70, sleep, NOW) == silent(70)
    assert silence_of(NOW + 70, sleep, NOW) == silent(0)


def test_a_night_is_not_held_against_a_healthy_worker() -> None:
    """Right after a resume, silence counts from the beat that noted it, and says so. Source: edge case 275."""
    before = NOW - HOURS_8
    noted = note_sleep(Sleep(awake(), 100.0 + HOURS_8, "b"), NOW)
    assert noted == awake(100.0 + HOURS_8, since=NOW)
    silence = silence_of(before - 10, Sleep(noted, noted.asleep_s, "b"), NOW + 5)
    assert silence == Silence(counted_s=5, by_clock_s=HOURS_8 + 15)
    assert health(True, None, silence, 900) == Health("busy", "output 8h ago, counted as 5s: the machine slept")


def test_who_stays_silent_after_the_night_is_stuck() -> None:
    """The threshold counts anew from the resume, and then it is over. Source: spec/edge-cases.md item 275."""
    sleep = Sleep(awake(since=NOW), 100.0, "b")
    assert health(True, None, silence_of(NOW - HOURS_8, sleep, NOW + 899), 900).word == "busy"
    assert health(True, None, silence_of(NOW - HOURS_8, sleep, NOW + 900), 900) == Health(
        "stuck", "no output for 8h, counted as 15m: the machine slept (LOOOP_WORKER_STUCK_SECS 900)"
    )


def test_a_sleep_before_the_last_output_is_over() -> None:
    """Output since the resume counts by itself. Source: spec/edge-cases.md item 275."""
    assert silence_of(NOW - 50, Sleep(awake(since=NOW - 60), 100.0, "b"), NOW) == silent(50)


def test_a_sleep_that_no_beat_has_noted_is_taken_off() -> None:
    """A reader that may not write is not fooled either, nor forgives silence for good. Source: edge case 275."""
    sleep = Sleep(awake(), 100.0 + HOURS_8, "b")
    assert silence_of(NOW - HOURS_8 - 20, sleep, NOW) == Silence(20, HOURS_8 + 20)
    assert silence_of(NOW - HOURS_8 - 20, sleep, NOW + 900) == Silence(920, HOURS_8 + 920)
    assert silence_of(NOW - 60, sleep, NOW) == Silence(0, 60)


@pytest.mark.parametrize("grown", [0.0, -0.5, -29.5, 12.0, 30.0])
def test_a_short_nap_changes_nothing(grown: float) -> None:
    """Up to 30 s, and whatever two looks at two clocks differ by, the record stays as it is. Source: edge case 275."""
    sleep = Sleep(awake(), 100.0 + grown, "b")
    assert note_sleep(sleep, NOW) is sleep.known
    assert silence_of(NOW - 70, sleep, NOW) == silent(70)


def test_the_record_is_exact_to_a_tenth_of_a_second() -> None:
    """That is far below what counts as a sleep, also when it is written anew. Source: edge case 275."""
    for known, since in ((None, 0), (awake(), NOW)):
        assert note_sleep(Sleep(known, 131.26, "b"), NOW) == awake(131.3, since)


def test_a_second_look_in_the_same_second_leaves_the_record() -> None:
    """A sleep that was noted just now is not noted again. Source: edge case 275."""
    sleep = Sleep(awake(since=NOW), 101.0, "b")
    assert note_sleep(sleep, NOW) is sleep.known


def test_naps_add_up() -> None:
    """The record stays until they come to more than 30 s together, so none is lost. Source: edge case 275."""
    known = awake()
    for nap in (10.0, 20.0, 30.0):
        known = note_sleep(Sleep(known, 100.0 + nap, "b"), NOW)
        assert known == awake()
    assert note_sleep(Sleep(known, 131.0, "b"), NOW) == awake(131.0, since=NOW)


def test_setting_the_clock_is_not_a_sleep() -> None:
    """However far the wall clock jumps, what counts is the machine's own word. Source: spec/edge-cases.md item 275."""
    sleep = Sleep(awake(since=NOW - 5), 100.0, "b")
    assert note_sleep(sleep, NOW + 10**8) is sleep.known


def test_a_record_from_the_future_does_not_forgive_for_ever() -> None:
    """One that was written while the clock was wrong counts from the next beat. Source: edge case 275."""
    assert note_sleep(Sleep(awake(since=NOW + 10**8), 100.0, "b"), NOW) == awake(since=NOW)


@pytest.mark.parametrize(
    "known",
    [None, *(awake(5.0, NOW - 1, boot) for boot in ("other", "")), *(awake(s, NOW - 1) for s in (5000.0, 130.0))],
)
def test_what_tells_nothing_counts_as_never_slept(known: Awake | None) -> None:
    """No record, one of another boot, and a counter that has gone down: nothing is forgiven, and it is written anew.

    Source: spec/edge-cases.md item 275, spec/beat.md §0.
    """
    sleep = Sleep(known, 100.0, "b")
    assert silence_of(NOW - 5000, sleep, NOW) == silent(5000)
    assert note_sleep(sleep, NOW) == awake()


def world(sessions: bytes) -> World:
    return assemble({}, [("sys-sessions", sessions, "trusted")])


@pytest.mark.parametrize(
    ("sessions", "live"),
    [
        (b'{"signal":[],"detail":{"count":0}}', set()),
        (b'{"signal":[{"id":"a","health":"busy"},{"id":"b","health":"dead"},{"id":"c","health":"stuck"}]}', {"a", "c"}),
        (b'{"signal":[],"detail":{"count":0,"message":"cannot list"}}', None),
        (b'{"signal":{"error":true}}', None),
        (b'{"signal":[{"id":["a"],"health":"busy"},5,{}]}', {"['a']", "None"}),
        (b"nonsense", None),
    ],
)
def test_who_lives_in_a_world(sessions: bytes, live: set[str] | None) -> None:
    """All but the dead; a reading that does not say is not taken for an empty fleet. Source: spec/beat.md §0, §4."""
    assert live_workers(world(sessions)) == live
    assert live_workers(assemble({}, [])) is None
