"""The wait after failures: how long, what ends it, and what a damaged record means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looop.model.records import AttemptLedger, Backoff, Fault
from looop.model.world import World
from looop.rules.gates import Limits, Memory, Note, Verdict, after_failure, backoff_delay, weigh

NOW = 1_790_000_000
FAULTS = [Fault(".tick-backoff", "corrupt", "not a record"), Fault(".tick-backoff", "unreadable", "permission denied")]


def world(name: str = "w", policy: str = "p") -> World:
    """A world with nothing but its hashes."""
    return World(hash=name, policy_hash=policy, items={}, policy={}, readings={})


def wait(record: Backoff | Fault | None, now: int = NOW, *, policy: str = "p", cap_s: int = 300) -> Verdict:
    """What the gates say of a changed world with this failure record."""
    return weigh(world(policy=policy), Memory(backoff=record), Limits(backoff_cap_s=cap_s), now, forced=False)


@pytest.mark.parametrize(
    ("fails", "cap_s", "delay"),
    [
        *((0, 300, 0), (1, 300, 60), (2, 300, 120), (3, 300, 240), (4, 300, 300), (5, 300, 300), (4, 3600, 480)),
        *(
            (1, 30, 30),
            (7, 3600, 3600),
            (10**9, 300, 300),
            (10**30, 2**70, 60 << 20),
            (-1, 300, 0),
            (21, 2**70, 60 << 20),
        ),
    ],
)
def test_the_delay_table(fails: int, cap_s: int, delay: int) -> None:
    """60, 120, 240 and on up to the cap, however many. Source: spec/edge-cases.md items 36, 38; spec/beat.md §6.2."""
    assert backoff_delay(fails, cap_s) == delay


@given(st.integers(), st.integers(), st.integers(0, 2**70))
def test_the_delay_is_monotonic_and_capped(one: int, two: int, cap_s: int) -> None:
    """More failures never wait less, and never longer than the cap. Source: spec/edge-cases.md item 36."""
    fewer, more = sorted((one, two))
    assert 0 <= backoff_delay(fewer, cap_s) <= backoff_delay(more, cap_s) <= cap_s


def test_no_record_is_no_wait() -> None:
    """Success removes the record, and with it the wait. Source: spec/edge-cases.md item 33."""
    assert wait(None) == Verdict(idle=False, notes=())


@pytest.mark.parametrize(
    ("fails", "age", "remaining"),
    [(1, 0, 60), (1, 59, 1), (1, 60, 0), (1, 61, 0), (2, 60, 60), (4, 299, 1), (4, 300, 0), (9, 0, 300), (0, 0, 0)],
)
def test_it_waits_to_the_second(fails: int, age: int, remaining: int) -> None:
    """It idles while time remains, says how much, and then attempts. Source: spec/beat.md §6.2."""
    notes = (Note("tick_backoff", {"fails": fails, "retry_in_s": remaining}),) if remaining else ()
    assert wait(Backoff("p", fails=fails, ts=NOW - age)) == Verdict(idle=remaining > 0, notes=notes)


def test_a_failing_move_that_changes_the_world_backs_off() -> None:
    """Each new world counts on, the wait grows. Source: spec/edge-cases.md items 30, 268."""
    now, record, delays = NOW, None, []
    for turn in range(6):
        churning = world(f"world-{turn}")
        assert not weigh(churning, Memory(backoff=record), Limits(), now, forced=False).idle
        record = after_failure(churning, Memory(last_hash="w", backoff=record), now)
        next_world = world(f"world-{turn + 1}")
        began = now
        while weigh(next_world, Memory(backoff=record), Limits(), now, forced=False).idle:
            now += 1
        delays.append(now - began)
    assert delays == [60, 120, 240, 300, 300, 300]


def test_sensor_churn_does_not_end_the_wait() -> None:
    """Another world under the same policy keeps waiting. Source: spec/edge-cases.md item 32."""
    record = after_failure(world("one"), Memory(), NOW)
    assert weigh(world("two"), Memory(backoff=record), Limits(), NOW + 30, forced=False).idle


def test_an_edited_policy_cuts_the_wait_and_keeps_the_count() -> None:
    """A person's edit is worth an attempt now; failing again counts on. Source: spec/edge-cases.md item 31."""
    record = Backoff("old policy", fails=3, ts=NOW - 1)
    assert wait(record) == Verdict(idle=False, notes=(Note("backoff_cut", {"fails": 3}),))
    assert after_failure(world(), Memory(backoff=record), NOW) == Backoff("p", fails=4, ts=NOW)


def test_a_wait_that_is_over_is_not_cut() -> None:
    """When nothing remains, the edit is no reason worth telling. Source: spec/beat.md §6.2."""
    assert wait(Backoff("old policy", fails=1, ts=NOW - 60)) == Verdict(idle=False, notes=())


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_record_is_four_failures_from_now(fault: Fault) -> None:
    """Corrupt or unreadable, it waits and is repaired. Source: spec/edge-cases.md items 34, 35."""
    verdict = wait(fault)
    assert verdict.idle
    assert verdict.backoff == Backoff("p", fails=4, ts=NOW)
    degraded = Note("guard_degraded", {"guard": "backoff", "key": fault.key, "error": fault.why})
    assert verdict.notes == (degraded, Note("tick_backoff", {"fails": 4, "retry_in_s": 300}))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_repaired_record_ends(fault: Fault) -> None:
    """The wait runs from the repair, not from each reading anew. Source: spec/edge-cases.md item 34."""
    repaired = wait(fault).backoff
    assert wait(repaired, NOW + 299).notes == (Note("tick_backoff", {"fails": 4, "retry_in_s": 1}),)
    assert wait(repaired, NOW + 300) == Verdict(idle=False, notes=())


def test_a_good_record_needs_no_repair() -> None:
    """A record that reads well is left as it is. Source: spec/beat.md §6.2."""
    assert wait(Backoff("p", fails=1, ts=NOW)).backoff is None


@pytest.mark.parametrize("fault", FAULTS)
def test_a_repair_is_told_even_when_it_does_not_wait(fault: Fault) -> None:
    """With waiting switched off the damage is still reported and mended. Source: spec/edge-cases.md item 34."""
    verdict = wait(fault, cap_s=0)
    assert (verdict.idle, [note.name for note in verdict.notes]) == (False, ["guard_degraded"])
    assert verdict.backoff == Backoff("p", fails=4, ts=NOW)


@pytest.mark.parametrize("ahead", [1, 3600, 10**9])
def test_a_clock_that_moved_back(ahead: int) -> None:
    """A failure in the future waits its delay from now on and no more. Source: spec/edge-cases.md items 37, 265."""
    verdict = wait(Backoff("p", fails=2, ts=NOW + ahead))
    mended = Backoff("p", fails=2, ts=NOW)
    assert verdict == Verdict(True, (Note("tick_backoff", {"fails": 2, "retry_in_s": 120}),), mended)
    assert not wait(mended, NOW + 120).idle


@pytest.mark.parametrize(
    ("before", "fails"),
    [(None, 1), (Backoff("p", fails=0), 1), (Backoff("x", fails=7), 8), (FAULTS[0], 4), (FAULTS[1], 4)],
)
def test_a_failure_counts_on(before: Backoff | Fault | None, fails: int) -> None:
    """One more than was known; a lost record counts as four. Source: spec/beat.md §6.2."""
    assert after_failure(world(), Memory(last_hash="x", backoff=before), NOW) == Backoff("p", fails=fails, ts=NOW)


@pytest.mark.parametrize("last", [None, Fault(".last-tick-hash", "unreadable", "no")])
def test_a_first_failure_is_not_armed(last: Fault | None) -> None:
    """Only a decide over the world decided last needs arming. Source: spec/edge-cases.md item 267."""
    assert not after_failure(world(), Memory(last_hash=last), NOW).armed


def test_a_cut_wait_of_a_clock_that_moved_back_is_mended_too() -> None:
    """The edit ends the wait, and the record no longer lies in the future. Source: spec/edge-cases.md items 31, 37."""
    verdict = wait(Backoff("old policy", fails=3, ts=NOW + 3600))
    cut = Note("backoff_cut", {"fails": 3})
    assert verdict == Verdict(idle=False, notes=(cut,), backoff=Backoff("old policy", fails=3, ts=NOW))


@pytest.mark.parametrize("source", ["", "agent", "reflex tests#0"])
def test_a_failure_says_whose_it_is(source: str) -> None:
    """The record names who failed, so that only they wait. Source: spec/beat.md §6.2."""
    assert after_failure(world(), Memory(), NOW, source) == Backoff("p", fails=1, ts=NOW, source=source)


@pytest.mark.parametrize("attempts", [AttemptLedger(ts=[NOW]), Fault(".decide-ledger.json", "unreadable", "I/O error")])
def test_a_full_hour_closes_a_wait_to_reflexes(attempts: AttemptLedger | Fault) -> None:
    """What a reflex does while a failure is waited for is an attempt, too; nothing is while nobody can count them."""
    waiting = Memory(backoff=Backoff("p", fails=1, ts=NOW), attempts=attempts)
    assert weigh(world(), Memory(backoff=waiting.backoff), Limits(), NOW, forced=False).waits
    verdict = weigh(world(), waiting, Limits(decides_per_hour=1), NOW, forced=False)
    assert (verdict.idle, verdict.waits) == (True, False)


def test_a_damaged_ledger_of_attempts_leaves_a_wait_a_wait() -> None:
    """It is told, and counts as empty. Source: spec/beat.md §6.3."""
    damaged = Fault(".decide-ledger.json", "corrupt", "not a record")
    memory = Memory(backoff=Backoff("p", fails=1, ts=NOW), attempts=damaged)
    verdict = weigh(world(), memory, Limits(), NOW, forced=False)
    assert verdict.waits
    assert [note.name for note in verdict.notes] == ["guard_degraded", "tick_backoff"]
