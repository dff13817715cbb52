"""Reflexes through real beats: they move first and for nothing, make no progress three times at most, and say so."""

import json
from pathlib import Path

import pytest

from tests.fakes.house import Home

GOAL = """\
---
done: sensor.s.signal == 0
reflexes:
  - when: {when}
    move: {move}
---
prose
"""
MAKE = "{action: write_goal, id: made, body: x}"
NOTE = "{action: run_shell, cmd: 'echo ran >> ran'}"


@pytest.fixture
def home(root: Path) -> Home:
    made = Home(root)
    made.write("PLAYBOOK.md", "judge\n")
    made.says("s", {"signal": 1})
    made.decides({"action": "noop"})
    return made


def goal(home: Home, name: str = "g", *, when: str = "sensor.s.signal > 0", move: str = NOTE) -> None:
    home.write(f"goals/{name}.md", GOAL.format(when=when, move=move))


def test_a_reflex_moves_before_the_runner_and_costs_nothing(home: Home) -> None:
    """Its move is made, journaled as `reflex <goal>#<n>`, stamped for its goal, counted as an attempt; nobody is asked.

    Source: design §4, §6.
    """
    goal(home)
    report = home.run_beat()
    assert (report.ending, report.source, report.action) == ("decided", "reflex g#0", "run_shell")
    assert report.why == "`sensor.s.signal > 0` holds" and report.next_interval_s == 5
    assert home.journal() == ["reflex g#0 · run-shell · echo ran >> ran"]
    assert home.asked == 0 and (home.root / "ran").read_text() == "ran\n"
    assert home.record(".goal-activity.json") == {"g": home.clock.now()}
    assert len(home.record(".decide-ledger.json")["ts"]) == 1
    assert not (home.root / "cost.jsonl").exists()


def test_a_reflex_leaves_a_smaller_bundle(home: Home) -> None:
    """World, memory, decision and outcome are kept; there is no prompt and no output.

    Source: design §7.
    """
    goal(home)
    home.run_beat()
    assert {file.name for file in home.bundles()[0].iterdir()} == {
        "world.json",
        "memory.json",
        "decision.json",
        "outcome.json",
    }
    assert json.loads((home.bundles()[0] / "decision.json").read_text()) == {
        "action": "run_shell",
        "cmd": "echo ran >> ran",
        "journal": "reflex g#0 · run-shell · echo ran >> ran",
    }
    assert home.outcome()["source"] == "reflex g#0" and home.outcome()["ending"] == "decided"


def test_a_reflex_fires_once_on_one_world(home: Home) -> None:
    """On the same world nothing repeats, also when the beat is forced: then the runner is asked.

    Source: design §4.
    """
    goal(home)
    home.run_beat()
    assert home.run_beat().ending == "idle"
    assert home.run_beat(forced=True).source == "agent"
    assert (home.root / "ran").read_text() == "ran\n"


def test_the_most_neglected_goal_moves_first(home: Home) -> None:
    """Goals that were never acted on come before others, then the one acted on longest ago; ties by name.

    Source: design §4, spec/edge-cases.md item 84.
    """
    for name in "abc":
        goal(home, name)
    home.write(".goal-activity.json", json.dumps({"a": 5, "b": 3}))
    sources = []
    for number in range(1, 4):
        home.says("s", {"signal": number})
        sources.append(home.later(1).source)
    assert sources == ["reflex c#0", "reflex b#0", "reflex a#0"]


def test_no_progress_is_reported_once_and_not_repeated(home: Home) -> None:
    """After three runs the reflex is suspended; journal, report and prompt say so, the journal exactly once.

    Source: design §4.
    """
    goal(home)
    for number in range(1, 8):
        home.says("s", {"signal": number})
        report = home.later(1)
    assert (home.root / "ran").read_text() == "ran\n" * 3
    assert report.source == "agent" and report.goals[0].suspended == [0]
    said = [line for line in home.journal() if "suspended" in line]
    assert said == ["reflex g#0 suspended: `sensor.s.signal > 0` still holds after 3 runs"]
    assert "reflex #0 suspended" in home.prompt


@pytest.mark.parametrize("how", ["condition", "edit"])
def test_a_suspended_reflex_starts_afresh(home: Home, how: str) -> None:
    """When its condition turns false, or its goal is edited.

    Source: design §4.
    """
    goal(home)
    for number in range(1, 6):
        home.says("s", {"signal": number})
        home.later(1)
    if how == "condition":
        home.says("s", {"signal": 0})
        assert home.later(1).goals[0].status == "done"
        home.says("s", {"signal": 9})
    else:
        goal(home, when="sensor.s.signal > 1")
    assert home.later(1).source == "reflex g#0"
    assert (home.root / "ran").read_text() == "ran\n" * 4


def test_a_failing_reflex_waits_and_then_gives_way(home: Home) -> None:
    """A move that fails backs off like any other, is tried three times, and then the runner is asked.

    Source: design §4, spec/edge-cases.md item 28.
    """
    goal(home, move="{action: run_shell, cmd: 'echo ran >> ran; exit 1'}")
    assert home.run_beat().ending == "failed"
    assert home.record(".last-failure.json")["error"].endswith("exit code 1, and it printed nothing")
    assert home.run_beat().reason == "tick_backoff"
    assert [home.later(wait).ending for wait in (60, 120)] == ["failed"] * 2
    assert home.later(240).source == "agent"
    assert (home.root / "ran").read_text() == "ran\n" * 3


def test_a_runners_wait_does_not_hold_up_a_reflex(home: Home) -> None:
    """Reflexes are free and always on: while a failed runner is waited for they act, and the wait goes on.

    Source: design §4.
    """
    goal(home, when="sensor.s.signal > 5")
    home.says("s", {"signal": 1})
    home.runner("exit 1")
    assert home.run_beat().ending == "failed"
    home.says("s", {"signal": 9})
    assert home.later(1).source == "reflex g#0" and (home.root / "ran").read_text() == "ran\n"
    assert home.record(".tick-backoff")["fails"] == 1
    home.says("s", {"signal": 3})
    assert home.later(1).reason == "tick_backoff" and home.asked == 1
    assert home.later(60).source == "agent"


def test_a_reflexs_own_wait_holds_it_up(home: Home) -> None:
    """What a reflex failed at is not tried again before its wait is over; another one may act.

    Source: design §4, spec/edge-cases.md item 28.
    """
    goal(home, name="a", when="sensor.s.signal == 9", move="{action: run_shell, cmd: 'echo a >> ran; exit 1'}")
    home.says("s", {"signal": 9})
    assert home.run_beat().ending == "failed"
    assert home.later(1).reason == "tick_backoff"
    goal(home, name="b", when="sensor.s.signal == 7", move="{action: run_shell, cmd: 'echo b >> ran'}")
    home.says("s", {"signal": 7})
    assert home.later(1).source == "reflex b#0"
    assert (home.root / "ran").read_text() == "a\nb\n"


def test_a_refused_reflex_is_a_failed_beat(home: Home) -> None:
    """What the tripwire refuses fails with its reason and the text reaches the next prompt.

    Source: spec/edge-cases.md item 129.
    """
    goal(home, move="{action: run_shell, cmd: sudo reboot}")
    report = home.run_beat()
    assert report.ending == "failed" and report.reason.startswith("not run: ")


def test_a_broken_condition_stops_nothing_and_is_said_once(home: Home) -> None:
    """The goal reads unknown with the reason; the journal has it once; other goals' reflexes still move.

    Source: design §4.
    """
    goal(home, "bad", when="sensor.nope.signal > 0")
    home.write("goals/worse.md", "---\ndone: '('\n---\n")
    goal(home, "good", move=MAKE)
    assert home.run_beat().source == "reflex good#0"
    (home.root / "goals/good.md").unlink()
    report = home.later(1)
    assert {status.goal: status.status for status in report.goals} == {"bad": "open", "worse": "unknown"}
    home.says("s", {"signal": 5})
    home.later(1)
    said = "\n".join(home.journal())
    assert said.count("goal bad: ") == 1 and said.count("goal worse reads unknown: ") == 1
    assert "=== GOAL STATUS" in home.prompt and "worse: unknown" in home.prompt


def test_news_is_not_lost_when_the_decide_is_blocked(home: Home) -> None:
    """A config that cannot be read at the very beat a goal breaks does not swallow the journal line.

    Source: design §4 (the journal says why once).
    """
    from looop.decide.decider import Decider
    from looop.model.errors import Corrupt
    from looop.pulse.beat import beat

    def broken() -> None:
        raise Corrupt("config.json: not JSON")

    home.write("goals/worse.md", "---\ndone: '('\n---\n")
    decider = Decider(house=home.house, config=broken)
    for _ in range(2):
        assert beat(home.house, decider, home.clock.now()).ending == "blocked"
    assert home.run_beat().ending == "decided"
    assert "\n".join(home.journal()).count("goal worse reads unknown: ") == 1


def test_done_is_level_and_not_edge(home: Home) -> None:
    """A done goal that becomes false again is open again.

    Source: design §4.
    """
    goal(home, when="false")
    statuses = []
    for signal in (1, 0, 2):
        home.says("s", {"signal": signal})
        statuses.append(home.later(1).goals[0].status)
    assert statuses == ["open", "done", "open"]


def test_conditions_see_schedules_and_asks(home: Home) -> None:
    """What is due and who waits are part of the conditions' world.

    Source: design §4.
    """
    now = home.clock.now()
    goal(home, when="size(asks) == 1 && schedules.tea == 'due' && asks[0].worker == 'w'", move=MAKE)
    home.write("asks/w-1.json", json.dumps({"id": "w-1", "worker": "w", "prompt": "?", "ts": now}))
    home.write("schedules/tea.json", json.dumps({"at": now + 10}))
    assert home.run_beat().source == "agent"
    assert home.later(10).source == "reflex g#0"


def test_reflexes_count_toward_the_hourly_cap(home: Home) -> None:
    """A free move is still a move: the cap holds for it.

    Source: design §6, spec/edge-cases.md item 41.
    """
    home.furnish(max_decides_per_hour=1)
    goal(home)
    home.run_beat()
    home.says("s", {"signal": 2})
    assert home.later(1).reason == "tick_capped"
    assert (home.root / "ran").read_text() == "ran\n"


def test_a_failing_reflex_is_remembered_though_the_wait_cannot_be(home: Home) -> None:
    """Its run is counted even when the failure record cannot be written.

    Source: design §4, spec/beat.md §13.
    """
    goal(home, move="{action: run_shell, cmd: 'echo ran >> ran; rm -f .last-failure.json; exit 1'}")
    (home.root / ".last-failure.json").mkdir()
    home.run_beat()
    state = home.record(".reflexes.json")["goals"]["g"]["rules"]["0"]
    assert (state["runs"], state["fired_on"]) == (1, "")
