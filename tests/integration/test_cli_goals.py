"""`looop goal`: what an author hears when a goal is written, and what is shown of one that is broken."""

from pathlib import Path

import pytest

from tests.fakes.command import Looop

GOAL = """---
goal: a goal
done: {done}
reflexes:
  - when: {when}
    move: {{action: run_shell, cmd: "{cmd}"}}
---
prose
"""


def goal(done: str = "now > 5", when: str = "now > 5", cmd: str = "true") -> str:
    """A goal with these conditions and this command."""
    return GOAL.format(done=done, when=when, cmd=cmd)


@pytest.fixture
def looop(tmp_path: Path) -> Looop:
    """looop over a seeded data dir without a pending question."""
    return Looop(tmp_path).settle()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (goal(done="sensor.todya.signal == 1"), ["`done`", "'todya'", "did you mean today?"]),
        (goal(when="sensor.app.signal == 1"), ["reflex #0", "'app'", "there are today"]),
        (goal(when="due.nihgtly"), ["reflex #0", "a schedule 'nihgtly'", "there are none"]),
        (goal("sensor.app.signal == 1", 'sensor["app"].signal == 1'), ["`done` and reflex #0", "'app'"]),
    ],
)
def test_a_sensor_that_is_not_there_is_named(looop: Looop, text: str, parts: list[str]) -> None:
    """A condition over a sensor that does not exist is written, and its author hears of it in one line."""
    said = looop("goal", "write", "g", "-", stdin=text)
    assert (said.code, said.out) == (0, "write-goal g\n")
    assert said.err.count("\n") == 1
    assert [part for part in parts if part not in said.err] == []
    assert looop.read("goals/g.md") == text


@pytest.mark.parametrize(
    "text",
    [goal("sensor.today.signal.date > ''"), goal("has(sensor.app) && sensor.app.signal == 1"), "prose\n", "goals: x\n"],
)
def test_what_is_well_raises_no_doubt(looop: Looop, text: str) -> None:
    """Sensors that are there, or whose absence is provided for, and prose are not remarked upon."""
    said = looop("goal", "write", "g", "-", stdin=text)
    assert (said.code, said.err) == (0, "")


def test_a_goal_can_be_written_though_sensors_cannot_be_listed(looop: Looop) -> None:
    """A doubt that cannot be settled is not raised, and stops nothing."""
    (looop.data / "sensors").rename(looop.data / "away")
    looop.write("sensors", "in the way")
    said = looop("goal", "write", "g", "-", stdin=goal("sensor.app.signal == 1"))
    assert said.code == 0
    assert "'app'" not in said.err


@pytest.mark.parametrize(
    "text", ["done: now > 5\n", "goal: x\n", "reflexes:\n  - when: true\n", "\n---\ndone: true\n---\n"]
)
def test_front_matter_without_fences(looop: Looop, text: str) -> None:
    """Declarations that stand outside of front matter are prose, and the author hears how to fence them."""
    said = looop("goal", "write", "g", "-", stdin=text)
    assert (said.code, said.out) == (0, "write-goal g\n")
    assert said.err.count("\n") == 1
    assert "prose" in said.err
    assert "`---`" in said.err


def test_a_reflex_that_would_never_run_is_refused(looop: Looop) -> None:
    """A command the tripwire refuses is refused when the goal is written, with its reason; nothing is written."""
    said = looop("goal", "write", "g", "-", stdin=goal(cmd="sudo reboot"))
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("looop: goal g not written: reflex #0 would never run: ")
    assert "sudo" in said.err
    assert "LOOOP_SHELL_ALLOW_DANGEROUS" in said.err
    assert not (looop.data / "goals/g.md").exists()
    allowed = looop("goal", "write", "g", "-", stdin=goal(cmd="sudo reboot"), env={"LOOOP_SHELL_ALLOW_DANGEROUS": "1"})
    assert allowed.code == 0


def test_a_reflex_that_starts_a_worker_is_written(looop: Looop) -> None:
    """Moves that come with workers may be declared today."""
    text = goal().replace('run_shell, cmd: "true"', "kill_worker, id: g")
    assert looop("goal", "write", "g", "-", stdin=text).code == 0


def test_a_broken_goal_says_what_is_wrong(looop: Looop) -> None:
    """`goal show` of front matter that cannot be read says so, and does not leave the goal to a person."""
    looop.write("goals/bad.md", "---\ndone: sensor.\n---\nprose\n")
    out = looop("goal", "show", "bad").out
    assert "a person says so" not in out
    assert "done when: cannot be told: front matter `done`: `sensor.`" in out
    assert out.endswith("prose\n")
    view = looop("goal", "show", "bad", "--json").json
    assert (view["status"], view["done"], view["reflexes"]) == ("unknown", None, [])
    assert view["error"].startswith("front matter `done`")


def test_a_goal_of_prose_is_a_persons(looop: Looop) -> None:
    """A goal that declares nothing is done when a person says so, and nothing is wrong with it."""
    assert "done when: a person says so\n" in looop("goal", "show", "setup").out
    assert looop("goal", "show", "setup", "--json").json["error"] == ""
