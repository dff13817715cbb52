"""Which reflex moves, how often, and when it starts afresh."""

import msgspec
import pytest

from looop.model.moves import Noop, StartWorker
from looop.model.prompt import GoalStatus
from looop.model.records import GoalReflexes, ReflexLedger, ReflexState
from looop.rules.reflexes import MAX_RUNS, Firing, by_neglect, fired, judge
from tests.unit.rules.worlds import NOW, Loop, goal, world

RED = "sensor.ci.signal > 0"


def ci(signal: object, text: str | bytes | None = None, **others: str | bytes | None):
    """A world with goal `g` (red while the CI signal is above 0) and the CI signal."""
    return world({"g": text or goal(RED)} | others, {"ci": {"signal": signal}})


def labels(loop: Loop, *signals: object, text: str | None = None) -> list[str | None]:
    """What fires at each of these CI signals."""
    found = [loop.beat(ci(signal, text)) for signal in signals]
    return [firing.label if firing else None for firing in found]


def test_a_reflex_that_holds_is_the_move() -> None:
    """The move is the one declared, with a label for the journal and the reason. Source: design §4."""
    text = goal("false", RED, move="{action: start_worker, id: w, prompt: p}")
    firing = judge(ci(1, text), ReflexLedger(), {}, NOW).firing
    assert firing == Firing("g", 1, StartWorker("w", "p"), RED)
    assert firing.label == "reflex g#1"


def test_nothing_holds_nothing_moves() -> None:
    """A false condition leaves no trace. Source: design §4."""
    judgement = judge(ci(0), ReflexLedger(), {}, NOW)
    assert (judgement.firing, judgement.ledger, judgement.news) == (None, ReflexLedger(), [])


def test_the_first_reflex_of_a_goal_wins() -> None:
    """Reflexes of a goal are tried in their order. Source: design §4."""
    firing = judge(world({"g": goal("false", "true", "true")}), ReflexLedger(), {}, NOW).firing
    assert firing
    assert firing.index == 1


@pytest.mark.parametrize(
    ("activity", "first"),
    [
        ({}, "a"),
        ({"a": NOW}, "b"),
        ({"a": NOW, "b": NOW - 1, "c": NOW - 2}, "c"),
        ({"a": 5, "b": 5, "c": 5}, "a"),
        ({"a": 1, "c": 2}, "b"),
        ({"a": 0, "b": 0}, "a"),
    ],
)
def test_the_most_neglected_goal_wins(activity: dict[str, int], first: str) -> None:
    """Never acted on comes first, then the longest ago, ties by name. Source: spec/edge-cases.md item 84; design §4."""
    seen = world({name: goal("true") for name in "cab"})
    firing = judge(seen, ReflexLedger(), activity, NOW).firing
    assert firing
    assert firing.goal == first
    assert by_neglect(seen.policy, activity)[0][0] == first


def test_only_goals_are_visited() -> None:
    """The PLAYBOOK is no goal; an unreadable goal is visited. Source: spec/edge-cases.md items 8, 84."""
    assert by_neglect({"PLAYBOOK.md": "---", "goals/a.b.md": None}, {}) == [("a.b", None)]


def test_a_goal_whose_condition_is_false_does_not_hold_up_others() -> None:
    """The most neglected goal that has a move moves. Source: design §4."""
    seen = world({"a": goal("false"), "b": "prose", "c": goal("true")})
    assert Loop().beat(seen) == Firing("c", 0, Noop(), "true")


def test_it_fires_once_on_one_world() -> None:
    """The same world does not move it twice, another does. Source: design §4."""
    assert labels(Loop(), 1, 1, 1, 2, 2) == ["reflex g#0", None, None, "reflex g#0", None]


def test_it_fires_once_on_a_world_that_comes_back_next() -> None:
    """Only the world it fired on last is remembered: the runs bound the rest. Source: design §4."""
    assert labels(Loop(), 1, 2, 1) == ["reflex g#0"] * 3


def test_another_reflex_may_move_on_the_same_world() -> None:
    """The key is goal, index and world: the next one that holds gets its turn. Source: design §4."""
    loop, seen = Loop(), world({"g": goal("true", "true"), "h": goal("true")})
    assert [firing and firing.label for firing in (loop.beat(seen) for _ in range(4))] == [
        "reflex g#0",
        "reflex g#1",
        "reflex h#0",
        None,
    ]


def test_a_failed_run_may_be_repeated_on_the_same_world() -> None:
    """After a known failure it is tried again, and every run counts. Source: design §4."""
    loop, seen = Loop(), ci(1)
    assert [bool(loop.beat(seen, failed=True)) for _ in range(5)] == [True, True, True, False, False]


def test_three_runs_without_progress_suspend_it() -> None:
    """A condition that still holds after three runs is reported, not repeated. Source: design §4."""
    loop = Loop()
    assert labels(loop, 1, 2, 3, 4, 5) == ["reflex g#0"] * 3 + [None] * 2
    assert loop.news == [f"reflex g#0 suspended: `{RED}` still holds after 3 runs"]
    assert loop.judge(ci(6)).statuses == [GoalStatus("g", "open", "", [0])]
    assert MAX_RUNS == 3


def test_it_is_not_suspended_before_the_fourth_look() -> None:
    """Three runs that help are no reason to complain. Source: design §4."""
    loop = Loop()
    labels(loop, 1, 2, 3, 0)
    assert loop.judge(ci(0)).statuses == [GoalStatus("g", "open", "", [])]
    assert loop.news == []


def test_suspending_one_leaves_the_others() -> None:
    """A suspended reflex makes way for the next one of its goal. Source: design §4."""
    loop, text = Loop(), goal(RED, "sensor.ci.signal > 3")
    assert labels(loop, 1, 2, 3, 4, text=text) == ["reflex g#0"] * 3 + ["reflex g#1"]
    assert loop.judge(ci(5, text)).statuses[0].suspended == [0]


@pytest.mark.parametrize("runs", [1, 2, 3, 5])
def test_a_condition_that_turned_false_starts_afresh(runs: int) -> None:
    """Progress pays back the runs, suspended or not. Source: design §4."""
    loop = Loop()
    labels(loop, *range(1, runs + 1))
    assert labels(loop, 0) == [None]
    assert loop.ledger == ReflexLedger()
    assert labels(loop, 1, 2, 3, 4) == ["reflex g#0"] * 3 + [None]


@pytest.mark.parametrize(
    "edit", [goal(RED, prose="other"), goal(RED) + " ", goal(RED, move="{action: noop, reason: x}")]
)
def test_an_edited_goal_starts_afresh(edit: str) -> None:
    """A person's edit, of prose too, lifts the suspension. Source: design §4."""
    loop = Loop()
    assert labels(loop, 1, 2, 3, 4)[-1] is None
    assert labels(loop, 5, 6, 7, 8, text=edit) == ["reflex g#0"] * 3 + [None]
    assert len(loop.news) == 2


def test_editing_another_goal_changes_nothing() -> None:
    """A suspension is its goal's own. Source: design §4."""
    loop = Loop()
    for signal in range(1, 5):
        loop.beat(ci(signal, other="prose"))
    assert loop.beat(ci(5, other="edited")) is None


def test_a_deleted_goal_is_forgotten() -> None:
    """Nothing is remembered of what is not there; written again it starts afresh. Source: design §4."""
    loop = Loop()
    labels(loop, 1, 2, 3, 4)
    loop.beat(world({}))
    assert loop.ledger == ReflexLedger()
    assert labels(loop, 5) == ["reflex g#0"]


def test_a_goal_that_cannot_be_read_keeps_its_past() -> None:
    """Unreadable for a beat is not edited: neither runs nor suspension nor the world are lost. Source: design §4."""
    loop, hidden = Loop(), world({"g": None}, {"ci": {"signal": 1}})
    assert labels(loop, 1) == ["reflex g#0"]
    assert loop.judge(hidden).statuses == [GoalStatus("g", "unknown", "the file cannot be read")]
    assert loop.beat(hidden) is None
    assert loop.beat(hidden) is None
    assert labels(loop, 1, 2, 3, 4) == [None, "reflex g#0", "reflex g#0", None]
    assert loop.news[0] == "goal g reads unknown: the file cannot be read"
    assert len(loop.news) == 2


def test_a_goal_in_another_encoding_is_bounded_too() -> None:
    """Bytes that are no UTF-8 in the prose do not make every beat a first one. Source: design §4."""
    loop, latin = Loop(), goal(RED).encode() + b"caf\xe9\n"
    assert [bool(loop.beat(ci(signal, latin))) for signal in (1, 1, 2, 3, 4)] == [True, False, True, True, False]


def test_without_a_ledger_nothing_fires_on_this_world() -> None:
    """Who does not know what ran before does not run it again; the next world is free. Source: design §4, §5."""
    seen = world({"g": goal("true", "sensor.ci.signal > 1"), "h": goal("true")}, {"ci": {"signal": 1}})
    judgement = judge(seen, None, {}, NOW)
    assert judgement.firing is None
    assert judge(seen, judgement.ledger, {}, NOW).firing is None
    after = world({"g": goal("true", "sensor.ci.signal > 1"), "h": goal("true")}, {"ci": {"signal": 2}})
    firing = judge(after, judgement.ledger, {}, NOW).firing
    assert firing
    assert firing.label == "reflex g#0"


def test_without_a_ledger_goals_still_have_a_status() -> None:
    """What is done is known from the world alone. Source: design §4."""
    seen = world({"g": goal("true", done="true"), "h": goal(done="false")})
    assert judge(seen, None, {}, NOW).statuses == [GoalStatus("g", "done"), GoalStatus("h", "open")]


def test_an_empty_ledger_is_not_a_lost_one() -> None:
    """Before the first beat nothing ran, and that is known. Source: design §4."""
    assert judge(ci(1), ReflexLedger(), {}, NOW).firing


def test_running_is_written_down() -> None:
    """The ledger counts the run, names the world and forgets it after a failure. Source: design §4."""
    seen = ci(1)
    judgement = judge(seen, ReflexLedger(), {}, NOW)
    assert judgement.firing
    goal_hash = seen.items["goal:g"].value
    for failed, world_hash in ((False, seen.hash), (True, "")):
        state = ReflexState(runs=1, fired_on=world_hash)
        after = fired(judgement.ledger, judgement.firing, seen, failed=failed)
        assert after == ReflexLedger({"g": GoalReflexes(goal_hash, {"0": state})})


def test_a_run_leaves_other_goals_and_reflexes_alone() -> None:
    """Only the state of the one that ran moves on. Source: design §4."""
    others = {"h": GoalReflexes("x", {"0": ReflexState(2, "w")}), "g": GoalReflexes("y", {"1": ReflexState(1, "w")})}
    after = fired(ReflexLedger(others), Firing("g", 0, Noop(), "true"), ci(1)).goals
    assert after["h"] == others["h"]
    assert after["g"].rules == {"1": ReflexState(1, "w"), "0": ReflexState(1, ci(1).hash)}


def test_what_did_not_run_leaves_no_trace() -> None:
    """A reflex that could not be answered, or had to stand back, is not remembered. Source: design §4."""
    seen = world({"a": goal("true"), "b": goal("true", "1 / 0 == now")})
    ledger = judge(seen, ReflexLedger(), {}, NOW).ledger
    assert [(name, entry.rules) for name, entry in ledger.goals.items()] == [("b", {})]


def test_judging_changes_nothing() -> None:
    """The same question has the same answer, and what was handed in stays as it was. Source: design §4."""
    loop = Loop()
    labels(loop, 1, 2)
    before = msgspec.json.encode(loop.ledger)
    activity = {"g": 5}
    assert judge(ci(3), loop.ledger, activity, NOW) == judge(ci(3), loop.ledger, activity, NOW)
    assert (msgspec.json.encode(loop.ledger), activity) == (before, {"g": 5})


def test_a_quiet_ledger_does_not_change() -> None:
    """A beat without news writes the same ledger: idle is free. Source: design §1."""
    loop = Loop()
    labels(loop, 1, 2, 3, 4)
    before = loop.ledger
    labels(loop, 5, 6)
    assert loop.ledger == before


def test_the_ledger_survives_the_disk() -> None:
    """Written and read back, it says the same. Source: design §4."""
    loop = Loop()
    labels(loop, 1, 2, 3, 4)
    assert msgspec.json.decode(msgspec.json.encode(loop.ledger), type=ReflexLedger) == loop.ledger
