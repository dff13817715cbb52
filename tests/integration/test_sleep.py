"""A machine that is suspended, and the record of it that a beat leaves."""

import json
import os
from pathlib import Path

import pytest

from tests.fakes.house import Home

RECORD = ".awake.json"


@pytest.fixture
def home(root: Path) -> Home:
    made = Home(root)
    made.run_beat()
    return made


def test_a_beat_after_a_resume_puts_it_on_record(home: Home) -> None:
    """The first beat notes what it finds, and the first one after a sleep notes when. Source: edge case 275."""
    assert home.record(RECORD) == {"asleep_s": 0.0, "since": 0, "boot": "boot-1", "v": 1}
    home.clock.suspend(3600)
    home.run_beat()
    assert home.record(RECORD) == {"asleep_s": 3600.0, "since": home.clock.now(), "boot": "boot-1", "v": 1}


def test_a_quiet_beat_leaves_the_record_alone(home: Home) -> None:
    """Nothing is written while the machine stays awake, whatever the wall clock does: idle is free.

    Source: spec/edge-cases.md item 275, design §1.
    """
    before = os.stat(home.root / RECORD).st_mtime_ns, (home.root / RECORD).read_bytes()
    home.later(10**6)
    home.later(-(10**6))
    assert (os.stat(home.root / RECORD).st_mtime_ns, (home.root / RECORD).read_bytes()) == before


def test_the_counters_of_two_boots_are_not_compared(home: Home) -> None:
    """A reboot starts a record of its own, even when the counter stands higher. Source: edge case 275."""
    home.clock.suspend(3600)
    home.run_beat()
    home.clock.reboot("boot-2", asleep_s=9000.0)
    home.run_beat()
    assert home.record(RECORD) == {"asleep_s": 9000.0, "since": 0, "boot": "boot-2", "v": 1}


@pytest.mark.parametrize("damage", [b"", b"{", b'{"asleep_s":"x","since":0,"boot":"b"}', b"\xff"])
def test_a_damaged_record_is_said_and_mended(home: Home, damage: bytes) -> None:
    """It is on record once, and the next beat finds a sound one. Source: spec/beat.md §0, edge case 275."""
    home.write(RECORD, damage)
    home.run_beat()
    assert [row["guard"] for row in home.events("guard_degraded")] == ["sleep"]
    assert home.record(RECORD) == {"asleep_s": 0.0, "since": 0, "boot": "boot-1", "v": 1}
    home.run_beat()
    assert len(home.events("guard_degraded")) == 1


def test_a_record_that_cannot_be_mended_costs_only_itself(home: Home) -> None:
    """The beat goes on, and says so each time. Source: spec/beat.md §0, edge case 275."""
    (home.root / RECORD).unlink()
    (home.root / RECORD).mkdir()
    home.clock.suspend(3600)
    assert home.run_beat().ending == "idle"
    assert {row["guard"] for row in home.events("guard_degraded")} == {"sleep"}


def test_the_record_wakes_nobody(home: Home) -> None:
    """The machine's sleep is no part of the world. Source: spec/beat.md §5, edge case 275."""
    first = home.run_beat().world_hash
    home.clock.suspend(3600)
    assert home.run_beat().world_hash == first
    assert json.loads((home.root / RECORD).read_text())["since"] > 0
