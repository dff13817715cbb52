"""Which gate closes: skip, force, noop TTL, hourly cap; and what must hold of all of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looop.config.knobs import Knobs
from looop.model.facts import FACTS
from looop.model.records import AttemptLedger, Backoff, Fault, NoopMark
from looop.model.world import World
from looop.rules.gates import (
    HOUR_S,
    Limits,
    Memory,
    Note,
    Verdict,
    after_failure,
    waits_for_another,
    weigh,
    with_attempt,
)

NOW = 1_790_000_000
HERE = World(hash="here", policy_hash="policy", items={}, policy={}, readings={})
SAME = Memory(last_hash="here")
BROKEN = Fault(key=".some-file", kind="corrupt", why="not a record")
HIDDEN = Fault(key=".some-file", kind="unreadable", why="permission denied")


def ask(memory: Memory, limits: Limits | None = None, now: int = NOW, *, forced: bool = False) -> Verdict:
    """What the gates say of the world HERE."""
    return weigh(HERE, memory, limits or Limits(), now, forced=forced)


def names(verdict: Verdict) -> list[str]:
    """The facts a verdict puts on record."""
    return [note.name for note in verdict.notes]


def test_an_unchanged_world_is_skipped() -> None:
    """Nothing changed: idle, one fact, nothing else moves. Source: spec/edge-cases.md item 21."""
    assert ask(SAME) == Verdict(idle=True, notes=(Note("world_unchanged"),), backoff=None)


@pytest.mark.parametrize("last", [None, "elsewhere", ""])
def test_a_changed_world_is_decided(last: str | None) -> None:
    """Another world, or none before, goes through. Source: spec/edge-cases.md item 28; spec/beat.md §6.1."""
    assert ask(Memory(last_hash=last)) == Verdict(idle=False, notes=())


@pytest.mark.parametrize("forced", [True, False])
@pytest.mark.parametrize("fault", [HIDDEN, BROKEN])
def test_an_unreadable_hash_idles(fault: Fault, forced: bool) -> None:
    """Who cannot know what was decided does not decide blind. Source: spec/edge-cases.md item 22."""
    verdict = ask(Memory(last_hash=fault), forced=forced)
    fields = {"guard": "skip", "key": fault.key, "error": fault.why}
    assert verdict == Verdict(idle=True, notes=(Note("guard_degraded", fields),))


def test_a_forced_beat_decides_an_unchanged_world() -> None:
    """The first beat of a pulse and a due wake look anyway, and say so. Source: spec/edge-cases.md items 17, 23."""
    assert ask(SAME, forced=True) == Verdict(idle=False, notes=(Note("forced"),))


def test_forcing_a_changed_world_is_no_news() -> None:
    """A changed world would have been decided without force. Source: spec/beat.md §6.1."""
    assert ask(Memory(last_hash="elsewhere"), forced=True).notes == ()


def test_a_forced_beat_respects_backoff() -> None:
    """A crash-restart loop still waits. Source: spec/edge-cases.md item 24."""
    verdict = ask(Memory(last_hash="here", backoff=Backoff("policy", fails=1, ts=NOW)), forced=True)
    assert (verdict.idle, names(verdict)) == (True, ["forced", "tick_backoff"])


def test_a_forced_beat_respects_the_cap() -> None:
    """A crash-restart loop still has an hourly limit. Source: spec/edge-cases.md item 24."""
    verdict = ask(Memory(last_hash="here", attempts=AttemptLedger([NOW])), Limits(decides_per_hour=1), forced=True)
    assert (verdict.idle, names(verdict)) == (True, ["forced", "tick_capped"])


def test_force_does_not_outlive_its_beat() -> None:
    """Once decided, the same world is skipped again. Source: spec/edge-cases.md item 23."""
    assert names(ask(SAME, forced=True)) == ["forced"]
    assert names(ask(SAME)) == ["world_unchanged"]


@pytest.mark.parametrize(
    ("noop", "limits", "revisit"),
    [
        (NoopMark(ts=NOW - 21600, hash="here"), Limits(), True),
        (NoopMark(ts=NOW - 21599, hash="here"), Limits(), False),
        (NoopMark(ts=NOW - 60, hash="here"), Limits(noop_ttl_s=60), True),
        (NoopMark(ts=NOW - 60, hash="here"), Limits(noop_ttl_s=61), False),
        (NoopMark(ts=NOW - 1, hash="here"), Limits(noop_ttl_s=1), True),
        (NoopMark(ts=0, hash="here"), Limits(noop_ttl_s=0), False),
        (NoopMark(ts=0, hash="elsewhere"), Limits(), False),
        (NoopMark(hash="here"), Limits(), True),
        (NoopMark(ts=0), Limits(), False),
        (NoopMark(ts=NOW + 5, hash="here"), Limits(noop_ttl_s=1), False),
        (None, Limits(), False),
        (BROKEN, Limits(), False),
        (HIDDEN, Limits(), False),
    ],
)
def test_an_old_noop_is_revisited(noop: NoopMark | Fault | None, limits: Limits, revisit: bool) -> None:
    """Only a noop on this very world, old enough, with a TTL set. Source: spec/edge-cases.md items 25, 26, 27."""
    verdict = ask(Memory(last_hash="here", noop=noop), limits)
    assert (verdict.idle, names(verdict)) == (not revisit, ["noop_revisit" if revisit else "world_unchanged"])


def test_a_revisit_happens_once_per_window() -> None:
    """The noop that a revisit ends with starts the clock again. Source: spec/edge-cases.md item 25."""
    fresh = Memory(last_hash="here", noop=NoopMark(ts=NOW, hash="here"))
    asked = [ask(fresh, now=NOW + after).idle for after in (0, 60, 21599, 21600)]
    assert asked == [True, True, True, False]


def test_a_failed_decide_is_tried_again() -> None:
    """Its world stays uncommitted, so it is no unchanged world. Source: spec/edge-cases.md items 28, 29."""
    memory = Memory(last_hash="before", backoff=Backoff("policy", fails=1, ts=NOW - 60))
    assert not ask(memory).idle


def test_a_forced_decide_that_failed_stays_armed() -> None:
    """It is tried again after its wait, though the world is the same. Source: spec/edge-cases.md item 267."""
    record = after_failure(HERE, SAME, NOW)
    assert record.armed
    failed = Memory(last_hash="here", backoff=record)
    assert names(ask(failed, now=NOW + 59)) == ["forced", "tick_backoff"]
    assert ask(failed, now=NOW + 60) == Verdict(idle=False, notes=(Note("forced"),))


def test_success_disarms() -> None:
    """With the record gone, the unchanged world is skipped. Source: spec/edge-cases.md items 33, 267."""
    assert ask(SAME, now=NOW + 60).idle


@pytest.mark.parametrize(
    ("memory", "waits"),
    [
        (Memory(last_hash="before", backoff=Backoff("policy", fails=1, ts=NOW)), True),
        (Memory(last_hash="here", backoff=Backoff("policy", fails=1, ts=NOW, armed=True)), True),
        (Memory(last_hash="before", backoff=BROKEN), True),
        (SAME, False),
        (Memory(last_hash="before"), False),
        (Memory(last_hash="before", backoff=Backoff("elsewhere", fails=1, ts=NOW)), False),
        (Memory(last_hash="before", backoff=Backoff("policy", fails=1, ts=NOW - 60)), False),
        (Memory(last_hash="before", attempts=AttemptLedger([NOW] * 120)), False),
    ],
)
def test_only_a_backoff_is_a_wait(memory: Memory, waits: bool) -> None:
    """Reflexes go on while an earlier failure waits, not while the world is unchanged or the hour is full."""
    assert ask(memory).waits is waits


@pytest.mark.parametrize(
    ("earned", "asking", "another"),
    [("", "agent", False), ("agent", "agent", False), ("reflex a#1", "agent", True), ("x", "agent", True)],
)
def test_a_wait_belongs_to_who_failed(earned: str, asking: str, another: bool) -> None:
    """A wait is another's only when it says whose it is. Source: spec/beat.md §6.2."""
    memory = Memory(backoff=after_failure(HERE, Memory(), NOW, earned))
    assert waits_for_another(memory, asking) is another


@pytest.mark.parametrize("record", [None, BROKEN, HIDDEN])
def test_a_wait_without_a_record_is_nobodys(record: Fault | None) -> None:
    """What cannot be read does not say who failed."""
    assert not waits_for_another(Memory(backoff=record), "agent")


def test_a_real_change_takes_the_place_of_an_armed_force() -> None:
    """When a changed world fails instead, its hash is its own reason. Source: spec/edge-cases.md item 267."""
    armed = Memory(last_hash="before", backoff=Backoff("policy", fails=1, ts=0, armed=True))
    record = after_failure(HERE, armed, NOW)
    assert not record.armed
    back = weigh(
        World("before", "policy", {}, {}, {}), Memory(last_hash="before", backoff=record), Limits(), NOW, forced=False
    )
    assert names(back) == ["world_unchanged"]


def test_an_unarmed_failure_does_not_force() -> None:
    """A failure of an earlier world does not reopen this one. Source: spec/edge-cases.md item 267."""
    assert ask(Memory(last_hash="here", backoff=Backoff("policy", fails=1, ts=0))).idle


@pytest.mark.parametrize(
    ("ages", "cap", "retry"),
    [
        ([10, 20, 30], 3, 3570),
        ([3599], 1, 1),
        ([3600], 1, None),
        ([0], 1, 3600),
        ([10, 20], 3, None),
        ([10, 4000, 5000], 2, None),
        ([10, 20, 30, 40], 3, 3560),
        ([], 1, None),
        ([-50], 1, 3650),
        ([-3600], 1, None),
        ([-(10**9)], 1, None),
        ([10, 20, 30], 0, None),
    ],
)
def test_the_hourly_cap(ages: list[int], cap: int, retry: int | None) -> None:
    """At the cap it idles until the oldest attempt is an hour old. Source: spec/edge-cases.md items 42, 44."""
    verdict = ask(Memory(attempts=AttemptLedger([NOW - age for age in ages])), Limits(decides_per_hour=cap))
    expected = () if retry is None else (Note("tick_capped", {"retry_in_s": retry}),)
    assert verdict == Verdict(idle=retry is not None, notes=expected)


def test_the_default_cap_is_120() -> None:
    """Without a knob 120 attempts are allowed an hour. Source: spec/beat.md §6.3."""
    assert not ask(Memory(attempts=AttemptLedger([NOW] * 119))).idle
    assert ask(Memory(attempts=AttemptLedger([NOW] * 120))).idle


def test_without_knobs_the_gates_judge_as_with_their_defaults() -> None:
    """The limits of the gates are the knobs' own defaults. Source: spec/beat.md §6."""
    knobs = Knobs()
    assert Limits() == Limits(
        noop_ttl_s=knobs.noop_ttl,
        decides_per_hour=knobs.max_decides_per_hour,
        backoff_cap_s=knobs.backoff_cap,
        flap_streak=knobs.flap_streak,
    )


def test_attempts_are_counted_not_successes() -> None:
    """An attempt counts from when it is made, whatever becomes of it. Source: spec/edge-cases.md item 41."""
    memory = Memory()
    for second in range(3):
        assert not ask(memory, Limits(decides_per_hour=3), NOW + second).idle
        memory = Memory(attempts=with_attempt(memory, NOW + second))
    assert ask(memory, Limits(decides_per_hour=3), NOW + 3).idle


def test_the_ledger_keeps_one_hour() -> None:
    """Recording an attempt drops those that no longer count. Source: spec/beat.md §6.3."""
    old = AttemptLedger([NOW - HOUR_S, NOW - HOUR_S + 1, NOW - 5])
    assert with_attempt(Memory(attempts=old), NOW).ts == [NOW - 3599, NOW - 5, NOW]


@pytest.mark.parametrize("junk", ["x", None, True, 1.5, [NOW], {"ts": NOW}, str(NOW)])
def test_a_bad_entry_costs_only_itself(junk: object) -> None:
    """The other entries still count, and the next attempt sweeps it away. Source: spec/edge-cases.md items 43, 260."""
    memory = Memory(attempts=AttemptLedger([junk, NOW - 10, junk]))
    assert not ask(memory, Limits(decides_per_hour=2)).idle
    notes = ask(memory, Limits(decides_per_hour=1)).notes
    assert notes[1:] == (Note("tick_capped", {"retry_in_s": 3590}),)
    fields = {"guard": "hourly cap", "error": "2 entries are no times and do not count"}
    assert notes[0] == Note("guard_degraded", fields)
    assert with_attempt(memory, NOW).ts == [NOW - 10, NOW]


def test_true_is_not_the_first_second() -> None:
    """A boolean is no time, however small the clock. Source: spec/edge-cases.md item 260."""
    assert with_attempt(Memory(attempts=AttemptLedger([True, 5])), 10).ts == [5, 10]


def test_a_corrupt_ledger_starts_anew_loudly() -> None:
    """It is known to hold nothing: open, with a warning. Source: spec/edge-cases.md item 43."""
    fields = {"guard": "hourly cap", "key": BROKEN.key, "error": BROKEN.why}
    assert ask(Memory(attempts=BROKEN)) == Verdict(idle=False, notes=(Note("guard_degraded", fields),))
    assert with_attempt(Memory(attempts=BROKEN), NOW) == AttemptLedger([NOW])


def test_an_unreadable_ledger_closes() -> None:
    """It may hold anything: closed, unless there is no cap. Source: spec/edge-cases.md item 43; design §5."""
    assert (ask(Memory(attempts=HIDDEN)).idle, names(ask(Memory(attempts=HIDDEN)))) == (True, ["guard_degraded"])
    assert ask(Memory(attempts=HIDDEN), Limits(decides_per_hour=0)) == Verdict(idle=False, notes=())


NUMBERS = st.integers(0, 2**40) | st.integers()
HASHES = st.sampled_from(["here", "policy", "elsewhere", ""])
FAULTS = st.sampled_from([BROKEN, HIDDEN])
MEMORIES = st.builds(
    Memory,
    last_hash=st.none() | FAULTS | HASHES,
    backoff=st.none() | FAULTS | st.builds(Backoff, hash=HASHES, fails=NUMBERS, ts=NUMBERS, armed=st.booleans()),
    noop=st.none() | FAULTS | st.builds(NoopMark, ts=NUMBERS, hash=HASHES),
    attempts=st.none()
    | FAULTS
    | st.builds(AttemptLedger, ts=st.lists(NUMBERS | st.none() | st.text() | st.booleans() | st.floats(), max_size=5)),
)
LIMITS = st.builds(
    Limits,
    noop_ttl_s=st.integers(0, 2**70),
    decides_per_hour=st.integers(0, 5) | st.integers(0, 2**70),
    backoff_cap_s=st.integers(1, 2**70),
)


@given(MEMORIES, LIMITS, st.integers(0, 2**40), st.booleans())
def test_the_gates_never_raise_and_fail_closed(memory: Memory, limits: Limits, now: int, forced: bool) -> None:
    """There is always a verdict, and what cannot be read opens nothing. Source: spec/beat.md §0; design §5."""
    verdict = ask(memory, limits, now, forced=forced)
    unreadable_ledger = memory.attempts == HIDDEN and limits.decides_per_hour > 0
    if isinstance(memory.last_hash, Fault) or isinstance(memory.backoff, Fault) or unreadable_ledger:
        assert verdict.idle
    if verdict.idle:
        assert verdict.notes
    after_failure(HERE, memory, now)
    assert with_attempt(memory, now).ts[-1] == now


@given(MEMORIES, LIMITS, st.integers(0, 2**40), st.booleans())
def test_every_note_is_a_known_fact(memory: Memory, limits: Limits, now: int, forced: bool) -> None:
    """What a gate puts on record can be told with the fields it gives. Source: spec/beat.md §14."""
    for note in ask(memory, limits, now, forced=forced).notes:
        assert FACTS[note.name].text.format(**note.fields)
        assert note.fields.get("retry_in_s", 1) >= 1


@given(MEMORIES, LIMITS, st.integers(0, 2**40))
def test_force_opens_only_the_skip_gate(memory: Memory, limits: Limits, now: int) -> None:
    """What a forced beat may do, a beat over a changed world may do as well. Source: spec/beat.md §6.1."""
    changed = Memory(**{name: getattr(memory, name) for name in memory.__struct_fields__} | {"last_hash": "before"})
    if not ask(memory, limits, now, forced=True).idle:
        assert not ask(changed, limits, now).idle
