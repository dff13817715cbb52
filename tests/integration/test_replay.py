"""The run bundle: what one decide leaves behind, that it rebuilds its prompt, and how long it stays.

That every prompt of the suite can be rebuilt is checked after each test, in conftest.py.
"""

import json
from pathlib import Path

import pytest

from looop import __version__
from looop.decide.bundle import prompt_input_of, read_kept
from looop.rules.prompt.build import build
from looop.rules.reflexes import judge
from looop.rules.world import assemble
from tests.fakes.clock import StillClock
from tests.fakes.house import Home

FREE = {"action": "noop", "reason": "enough"}
TITLES = ("WHAT CHANGED", "RUN_SHELL OUTPUT", "FLAPPING SENSORS", "LAST FAILURE", "GOAL STATUS", "PENDING ASKS")


@pytest.fixture
def home(root: Path) -> Home:
    return Home(root)


def crowd(home: Home) -> None:
    """A world with something in every section of the prompt."""
    now = home.clock.now()
    home.furnish(flap_streak=1)
    home.write("PLAYBOOK.md", b"=== CONSTITUTION\njudge \xff well\n")
    home.write("goals/a.md", "---\ndone: sensor.n.signal == 0\n---\n--- prose")
    home.write("goals/b.md", "x" * 9000)
    home.write(
        "asks/w-1.json", json.dumps({"id": "w-1", "worker": "w", "prompt": "?\n---", "ts": now, "options": ["y"]})
    )
    home.write("journal.md", b"- 2026-01-01 00:00 \xff old line\n")
    home.write("values/raw", b"not json \xff\xfe")
    home.sensor("raw", "cat values/raw")
    home.says("n", {"signal": 1, "detail": {"é": ["\u2028", None, 1.5, 12345678901234567890]}})


def test_a_bundle_holds_everything(home: Home) -> None:
    """Each file of the design is there, the decision as emitted and the outcome with its figures.

    Source: design §7.
    """
    crowd(home)
    decision = '```json\n{"action": "noop", "journal": "j", "next_interval_s": 9, "extra": 1}\n```'
    home.decides(decision, then="echo working")
    report = home.run_beat()
    bundle = home.bundles()[0]
    assert {file.name for file in bundle.iterdir()} == {
        "prompt.md",
        "output.log",
        "stream.jsonl",
        "world.json",
        "memory.json",
        "decision.json",
        "outcome.json",
    }
    assert (bundle / "decision.json").read_text() == decision
    assert home.outcome() | {"seconds": 0} == {
        "run_id": bundle.name,
        "source": "agent",
        "ending": "decided",
        "version": __version__,
        "seconds": 0,
        "action": "noop",
        "summary": "noop",
        "journal": "j",
        "error": "",
        "trust": "trusted",
        "model": None,
        "cost_usd": None,
        "tokens": None,
    }
    assert report.run_id == bundle.name and report.prompt_bytes == (bundle / "prompt.md").stat().st_size


def test_the_prompt_is_rebuilt_byte_for_byte(home: Home) -> None:
    """From world.json and memory.json alone, for a first decide and for one after a change and a failure.

    Source: design §7.
    """
    crowd(home)
    for number, move in enumerate(({"action": "noop"}, {"action": "run_shell", "cmd": "echo out; exit 1"}, FREE)):
        home.says("n", {"signal": number})
        home.write("goals/b.md", f"edit {number}")
        home.decides(move)
        home.later(60)
    for bundle in home.bundles():
        built = build(prompt_input_of(*read_kept(str(bundle)))).text
        assert built.encode() == (bundle / "prompt.md").read_bytes()
    for title in TITLES:
        assert f"=== {title}" in built


def test_the_world_of_a_bundle_is_the_world_that_was_judged(home: Home) -> None:
    """Its hashes come out of its policy and its readings again, and the reflexes can be judged on it.

    Source: design §7.
    """
    crowd(home)
    home.write("PLAYBOOK.md", "judge\n")
    home.write("values/raw", "text")
    home.decides({"action": "noop"})
    report = home.run_beat()
    world, memory = read_kept(str(home.bundles()[0]))
    policy = {path: (text or "").encode() for path, text in world.world.policy.items()}
    snapshots = [(stem, reading.raw.encode(), reading.trust) for stem, reading in world.world.readings.items()]
    again = assemble(policy, snapshots)
    assert (again.hash, again.policy_hash) == (report.world_hash, world.world.policy_hash)
    judged = judge(world.world, memory.reflexes, memory.activity, memory.now)
    assert judged.statuses == memory.statuses == report.goals


def test_the_memory_of_a_bundle_is_what_the_gates_were_given(home: Home) -> None:
    """Time, offset, the records of earlier beats and the baseline the world was compared with are kept.

    Source: design §7.
    """
    home.says("s", {"signal": 1})
    home.decides({"action": "noop"})
    first = home.run_beat()
    home.says("s", {"signal": 2})
    home.later(77)
    world, memory = read_kept(str(home.bundles()[1]))
    assert memory.now == home.clock.now() and memory.gates["last_hash"] == first.world_hash
    assert memory.gates["noop"]["hash"] == first.world_hash
    assert world.baseline is not None and world.baseline["snap:sensor-s"] == "1"
    assert world.world.items["snap:sensor-s"].value == "2"


def test_a_damaged_memory_is_kept_as_such(home: Home) -> None:
    """A record that could not be read stands in the bundle as a fault, and the prompt leaves its section out.

    Source: design §7, spec/edge-cases.md items 16, 81.
    """
    home.write(".last-shell.json", "{")
    home.write(".last-world.json", "[]")
    home.decides({"action": "noop"})
    home.run_beat()
    world, memory = read_kept(str(home.bundles()[0]))
    assert world.baseline is None and memory.shell is None
    assert memory.gates["shell"]["kind"] == "corrupt"
    assert "=== WHAT CHANGED" not in home.prompt and "=== RUN_SHELL OUTPUT" not in home.prompt


def test_a_model_free_noop_leaves_a_bundle_too(home: Home) -> None:
    """Without a runner the inputs and the noop are kept; there is no prompt.

    Source: design §4, §7.
    """
    home.run_beat()
    assert json.loads((home.bundles()[0] / "decision.json").read_text()) == {
        "action": "noop",
        "reason": "no reflex holds",
    }
    assert not (home.bundles()[0] / "prompt.md").exists()
    assert home.outcome()["source"] == "none"


def test_run_ids_are_local_and_unique(root: Path) -> None:
    """`tick-YYYYmmdd-HHMMSS` in local time, with -2, -3 within one second; a skipped beat makes none.

    Source: spec/beat.md §7.
    """
    home = Home(root, clock=StillClock(1_767_225_600, offset_s=3600))
    for _ in range(3):
        home.run_beat(forced=True)
    home.run_beat()
    assert [bundle.name for bundle in home.bundles()] == [
        "tick-20260101-010000",
        "tick-20260101-010000-2",
        "tick-20260101-010000-3",
    ]


@pytest.mark.parametrize(("keep", "left"), [(2, 2), (0, 5)])
def test_only_the_newest_bundles_stay(home: Home, keep: int, left: int) -> None:
    """LOOOP_RUNS_KEEP newest by mtime, 0 keeps all; files beside them are nobody's business.

    Source: spec/beat.md §16.
    """
    home.furnish(runs_keep=keep)
    home.write("runs/note.txt", "mine")
    for _ in range(5):
        home.later(1, forced=True)
    kept = [bundle for bundle in home.bundles() if bundle.is_dir()]
    assert len(kept) == left and (home.root / "runs/note.txt").exists()
    assert kept[-1].name == home.events("decided")[-1]["run_id"]


def test_failed_decides_are_kept_as_well(home: Home) -> None:
    """A failure keeps its prompt, its output and why it failed.

    Source: design §7.
    """
    home.runner("echo some words; exit 4")
    home.run_beat()
    bundle = home.bundles()[0]
    assert "some words" in (bundle / "output.log").read_text()
    assert home.outcome()["ending"] == "failed" and "exited with 4" in home.outcome()["error"]
    assert not (bundle / "decision.json").exists()
