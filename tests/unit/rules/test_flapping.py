"""Which snapshots are restless."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looop.model.records import FlapEntry, FlapLedger
from looop.model.world import Item
from looop.rules.flapping import crossing, flapping, observe

LEDGERS = st.builds(
    FlapLedger,
    snaps=st.dictionaries(
        st.sampled_from("ab"),
        st.builds(FlapEntry, last=st.none() | st.integers() | st.sampled_from("xyz"), streak=st.integers(-5, 20)),
    ),
)


def items(**signals: str) -> dict[str, Item]:
    """Items of snapshots with these signals, and a goal."""
    snaps = {f"snap:{stem}": Item(f"snap:{stem}", signal, "untrusted") for stem, signal in signals.items()}
    return snaps | {"goal:g": Item("goal:g", "hash", "trusted")}


def run(signals: str, ledger: FlapLedger | None = None) -> list[FlapLedger]:
    """The ledger after each beat; one letter is one signal, a dot a beat without the snapshot."""
    ledgers = [ledger or FlapLedger()]
    for signal in signals:
        ledgers.append(observe(ledgers[-1], items(a=signal) if signal != "." else items()))
    return ledgers[1:]


def streaks(signals: str) -> list[int]:
    """The streak after each beat."""
    return [ledger.snaps.get("a", FlapEntry()).streak for ledger in run(signals)]


def warnings(ledgers: list[FlapLedger], threshold: int = 5) -> list[list[tuple[str, int]]]:
    """What each beat after the first warns of."""
    return [crossing(before, after, threshold) for before, after in pairwise(ledgers)]


@pytest.mark.parametrize(
    ("signals", "expected"),
    [
        ("xyxyxyx", [0, 1, 2, 3, 4, 5, 6]),
        ("xxxx", [0, 0, 0, 0]),
        ("xyyy", [0, 1, 0, 0]),
        ("xyxxyx", [0, 1, 2, 1, 2, 3]),
        ("xy.xy", [0, 1, 0, 0, 1]),
        ("x.y.x.y.x", [0] * 9),
    ],
)
def test_streaks(signals: str, expected: list[int]) -> None:
    """A change adds one, a quiet beat takes one, absence forgets. Source: spec/edge-cases.md items 46, 47, 48."""
    assert streaks(signals) == expected


def test_a_signal_that_always_changes_warns_once() -> None:
    """It warns on reaching the threshold and not again. Source: spec/edge-cases.md item 45."""
    found = warnings(run("xyxyxyxyxy"))
    assert [warning for warning in found if warning] == [[("a", 5)]]
    assert found.index([("a", 5)]) == 4


def test_an_intermittent_flapper_is_found() -> None:
    """Change, change, still: the streak still grows to the threshold. Source: spec/edge-cases.md item 46."""
    assert any(warnings(run("xyz" + "zxyyzx" * 5)))


def test_falling_to_the_threshold_is_no_crossing() -> None:
    """Calming down is not news. Source: spec/edge-cases.md item 45."""
    before, after = (FlapLedger({"a": FlapEntry("x", streak)}) for streak in (6, 5))
    assert crossing(before, after, 5) == []
    assert crossing(after, after, 5) == []
    assert crossing(FlapLedger({"a": FlapEntry("x", 4)}), after, 5) == [("a", 5)]


def test_crossings_are_sorted() -> None:
    """Several stems are told in the order of their names. Source: spec/beat.md §6.4."""
    after = FlapLedger({stem: FlapEntry("x", 5) for stem in "cab"})
    assert crossing(FlapLedger(), after, 5) == [("a", 5), ("b", 5), ("c", 5)]


@pytest.mark.parametrize("entry", [FlapEntry(None, 3), FlapEntry(5, 3), FlapEntry({"x": 1}, 3), FlapEntry(["x"], 3)])
def test_an_entry_without_text_is_a_first_sighting(entry: FlapEntry) -> None:
    """What was not seen as a signal cannot have changed. Source: spec/edge-cases.md item 47."""
    assert observe(FlapLedger({"a": entry}), items(a="x")).snaps == {"a": FlapEntry("x", 0)}


def test_only_snapshots_are_watched() -> None:
    """Goals and the PLAYBOOK may change as often as people like; stems carry no prefix. Source: spec/beat.md §6.4."""
    ledger = observe(FlapLedger(), items(**{"sensor-a": "1", "sys-b": "2"}))
    assert ledger.snaps == {"sensor-a": FlapEntry("1", 0), "sys-b": FlapEntry("2", 0)}


@pytest.mark.parametrize(("threshold", "expected"), [(5, ["a", "c"]), (6, ["c"]), (4, ["a", "b", "c"]), (0, [])])
def test_the_list_for_the_prompt(threshold: int, expected: list[str]) -> None:
    """At or over the threshold, sorted; 0 switches it off. Source: spec/beat.md §6.4."""
    ledger = FlapLedger({"c": FlapEntry("x", 9), "b": FlapEntry("x", 4), "a": FlapEntry("x", 5)})
    assert flapping(ledger, threshold) == expected


def test_zero_switches_the_warning_off() -> None:
    """Without a threshold nothing crosses it. Source: spec/beat.md §6.4."""
    assert not any(warnings(run("xxxxyxyxy"), threshold=0))
    assert crossing(FlapLedger(), FlapLedger({"a": FlapEntry("x", 0)}), 0) == []


@given(LEDGERS, st.dictionaries(st.sampled_from("ab"), st.sampled_from("xyz")))
def test_a_streak_is_never_negative(ledger: FlapLedger, signals: dict[str, str]) -> None:
    """Whatever the ledger says, a streak is at least 0 and moves by one. Source: spec/beat.md §6.4."""
    after = observe(ledger, items(**signals))
    assert set(after.snaps) == set(signals)
    for stem, entry in after.snaps.items():
        assert entry.streak >= 0
        assert entry.streak <= max(ledger.snaps.get(stem, FlapEntry()).streak, 0) + 1


@given(st.integers(1, 30), st.integers(0, 40), st.text("xy", max_size=10))
def test_permanent_change_reaches_the_threshold_once(threshold: int, more: int, history: str) -> None:
    """From any quiet history, a signal that never rests warns exactly once. Source: spec/edge-cases.md item 45."""
    calm = FlapLedger({"a": FlapEntry(run(history)[-1].snaps["a"].last, 0)}) if history else FlapLedger()
    turning = ("pq" * (threshold + more))[: threshold + 1 + more]
    found = [warning for warning in warnings([calm, *run(turning, calm)], threshold) if warning]
    assert found == [[("a", threshold)]]
