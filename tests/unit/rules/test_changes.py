"""What differs from the baseline, as the prompt is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looop.model.world import Change, Item, Trust
from looop.rules.world import assemble, changes

NAMES = st.sampled_from(["playbook", "goal:a", "goal:b", "snap:sensor-a", "snap:sensor-b", "snap:sys-x"])
MAPS = st.dictionaries(NAMES, st.sampled_from(["1", "2", "!unreadable"]))


def items(trust: Trust = "untrusted", **values: str) -> dict[str, Item]:
    """Items of the given values; `__` in a name stands for the colon."""
    named = {name.replace("__", ":"): value for name, value in values.items()}
    return {name: Item(name, value, trust) for name, value in named.items()}


def test_nothing_changed_is_an_empty_list() -> None:
    """A forced look at the same world has nothing to report. Source: spec/edge-cases.md item 17."""
    assert changes({"playbook": "1", "snap:s": "2"}, items(playbook="1", snap__s="2")) == []


@pytest.mark.parametrize(
    ("baseline", "now", "expected"),
    [
        ({}, {"snap__s": "1"}, Change("added", "snap:s", None, "1", "untrusted")),
        ({"snap:s": "1"}, {"snap__s": "2"}, Change("changed", "snap:s", "1", "2", "untrusted")),
        ({"snap:sensor-s": "1"}, {}, Change("removed", "snap:sensor-s", None, None, "untrusted")),
        ({"goal:g": "1"}, {"goal__g": "2"}, Change("changed", "goal:g", None, None, "untrusted")),
        ({"playbook": "1"}, {"playbook": "2"}, Change("changed", "playbook", None, None, "untrusted")),
        ({"goal:g": "1"}, {}, Change("removed", "goal:g", None, None, "trusted")),
    ],
)
def test_one_difference_of_each_kind(baseline: dict[str, str], now: dict[str, str], expected: Change) -> None:
    """Snapshots show old and new, an edited policy file shows no values: its body is above. Source: spec/beat.md §8."""
    assert changes(baseline, items(**now)) == [expected]


def test_added_and_changed_by_name_then_the_removed() -> None:
    """The order is by name, and what vanished comes last. Source: spec/beat.md §8."""
    baseline = {"snap:a": "1", "snap:c": "1", "goal:z": "1", "goal:y": "1"}
    found = changes(baseline, items(snap__c="2", snap__b="1", goal__x="1"))
    assert [(change.kind, change.name) for change in found] == [
        ("added", "goal:x"),
        ("added", "snap:b"),
        ("changed", "snap:c"),
        ("removed", "goal:y"),
        ("removed", "goal:z"),
        ("removed", "snap:a"),
    ]


@pytest.mark.parametrize("trust", ["trusted", "untrusted"])
def test_a_change_carries_the_trust_of_its_item(trust: Trust) -> None:
    """Where a change comes from goes with it into the record. Source: design §7."""
    assert [change.trust for change in changes({"snap:a": "1"}, items(trust, snap__a="2", snap__b="1"))] == [
        trust,
        trust,
    ]


def test_a_change_that_reverted_later_is_still_reported() -> None:
    """The items sensed this beat are compared, nothing is read again. Source: spec/edge-cases.md items 14, 15."""
    sensed = assemble({}, [("s", b'{"signal":"down"}', "untrusted")])
    assert changes({"snap:s": '"up"'}, sensed.items) == [Change("changed", "snap:s", '"up"', '"down"', "untrusted")]


def test_detail_is_no_change() -> None:
    """A reading whose detail moved is the same item. Source: spec/edge-cases.md item 1."""
    one, two = (assemble({}, [("s", b'{"signal":1,"detail":%d}' % n, "untrusted")]) for n in (1, 2))
    assert changes({name: item.value for name, item in one.items.items()}, two.items) == []


def test_a_goal_that_became_unreadable_is_a_change() -> None:
    """Unreadable is news, and so is readable again. Source: spec/edge-cases.md item 8."""
    fine, hidden = assemble({"goals/g.md": b"x"}, []), assemble({"goals/g.md": None}, [])
    for old, new in ((fine, hidden), (hidden, fine)):
        found = changes({name: item.value for name, item in old.items.items()}, new.items)
        assert [(change.kind, change.name) for change in found] == [("changed", "goal:g")]


@given(MAPS, MAPS)
def test_changes_lead_from_the_baseline_to_the_items(baseline: dict[str, str], values: dict[str, str]) -> None:
    """Applied to the baseline, the changes give the items: none missing, none made up. Source: spec/beat.md §8."""
    now = {name: Item(name, value, "trusted") for name, value in values.items()}
    after = dict(baseline)
    for change in changes(baseline, now):
        if change.kind == "removed":
            del after[change.name]
            continue
        assert (change.kind == "changed") is (change.name in baseline)
        assert change.old == (baseline.get(change.name) if change.name.startswith("snap:") else None)
        assert change.new in (values[change.name], None if not change.name.startswith("snap:") else values[change.name])
        assert baseline.get(change.name) != values[change.name]
        after[change.name] = values[change.name]
    assert after == values


@pytest.mark.parametrize(
    ("name", "trust"),
    [("goal:x", "trusted"), ("playbook", "trusted"), ("snap:sys-asks", "trusted"), ("snap:sensor-x", "untrusted")],
)
def test_a_removed_policy_item_is_a_persons_doing(name, trust):
    """What people and the loop keep is trusted when it goes; a sensor's reading that goes is not. Source: design §7."""
    (change,) = changes({name: "x"}, {})
    assert (change.kind, change.trust) == ("removed", trust)
