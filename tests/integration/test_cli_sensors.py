"""`looop sensor`: the verdict on a trial is the loop's own, ages are those of runs, and a sensor can go."""

import json
import os
import time
from pathlib import Path

import pytest

from tests.fakes.command import Looop


@pytest.fixture
def looop(tmp_path: Path) -> Looop:
    """looop over a seeded data dir without a pending question."""
    return Looop(tmp_path).settle()


def sensor(looop: Looop, name: str, body: str) -> None:
    """An executable sensor of sh."""
    looop.write(f"sensors/{name}", f"#!/bin/sh\n{body}\n", 0o755)


def test_an_oversize_reading_fails(looop: Looop) -> None:
    """A reading the loop would replace by an error is no good reading, and what replaces it is shown."""
    sensor(looop, "big.sh", "printf '\"%9000s\"' x")
    said = looop("sensor", "run", "big")
    assert said.code == 1
    assert "big FAILS" in said.err
    assert "over 8192 bytes" in said.err
    looop("beat")
    assert said.json["signal"] == json.loads(looop.read("snapshots/sensor-big.json"))["signal"]
    assert looop("sensor", "run", "big", env={"LOOOP_SENSOR_MAX_BYTES": "0"}).code == 0


def test_two_files_of_one_name_are_refused(looop: Looop) -> None:
    """What the loop refuses to run is refused here, whichever way it is named."""
    sensor(looop, "two.sh", "echo 1")
    sensor(looop, "two.py", "echo 1")
    for name in ("two", "two.py"):
        said = looop("sensor", "run", name)
        assert (said.code, said.out) == (1, "")
        assert "two.py and two.sh share the stem 'two'" in said.err


@pytest.mark.parametrize("output", ["plain text", "", "{"])
def test_output_that_is_not_json_is_allowed(looop: Looop, output: str) -> None:
    """Output that is not JSON is good for the loop: it is said that all of it is compared."""
    sensor(looop, "text.sh", f"printf '{output}'")
    said = looop("sensor", "run", "text")
    assert said.code == 0
    assert "text is ok" in said.err
    assert "not JSON: it is compared as a whole text" in said.err
    view = looop("sensor", "run", "text", "--json").json
    assert (view["ok"], view["is_json"], view["error"]) == (True, False, "")
    looop("beat")
    assert "FAILS" not in looop("sensor", "list").out


def test_what_a_sensor_says_beside_its_reading_keeps_its_lines(looop: Looop) -> None:
    """Several lines on stderr are shown as lines."""
    sensor(looop, "loud.sh", "echo one >&2; echo two >&2; echo 1")
    assert "looop: loud said:\n  one\n  two\nlooop: loud is ok" in looop("sensor", "run", "loud").err


def test_the_age_is_that_of_the_last_run(looop: Looop) -> None:
    """A reading that stays the same is as old as the last beat, with a cadence as old as the last run."""
    sensor(looop, "still.sh", "echo 1")
    sensor(looop, "slow.sh", "# looop:interval=9000\necho 1")
    looop("beat")
    old = time.time() - 5000
    os.utime(looop.data / "sensors/slow.sh", (old - 9, old - 9))
    for stem in ("sensor-still", "sensor-slow"):
        os.utime(looop.data / f"snapshots/{stem}.json", (old, old))
    looop("beat")
    sensor(looop, "new.sh", "echo 1")
    ages = {view["name"]: view["age_s"] for view in looop("sensor", "list", "--json").json}
    assert ages["new"] is None
    assert ages["still"] < 100
    assert ages["slow"] >= 5000


def test_a_sensor_can_be_removed(looop: Looop) -> None:
    """`sensor rm` removes the file, journals one line, and the next beat forgets the reading."""
    sensor(looop, "gone.sh", "echo 1")
    looop("beat")
    said = looop("sensor", "rm", "gone")
    assert (said.code, said.out, said.err) == (0, "remove-sensor gone\n", "")
    assert not (looop.data / "sensors/gone.sh").exists()
    assert looop.read("journal.md").endswith(" remove-sensor gone\n")
    looop("beat")
    assert not (looop.data / "snapshots/sensor-gone.json").exists()
    assert looop("sensor", "rm", "today", "--journal", "no date please").code == 0
    assert looop.read("journal.md").endswith(" no date please\n")


@pytest.mark.parametrize("name", ["nope", "../PLAYBOOK.md", "", ".dirlock"])
def test_an_unknown_sensor_is_not_removed(looop: Looop, name: str) -> None:
    """A name that is no sensor's is refused in one line; nothing is removed and nothing journaled."""
    said = looop("sensor", "rm", name)
    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert "no sensor" in said.err
    assert (looop.data / "sensors/today.sh").exists()
    assert (looop.data / "PLAYBOOK.md").exists()
    assert not (looop.data / "journal.md").exists()


def test_of_two_files_one_has_to_be_named(looop: Looop) -> None:
    """Where two files share a name, only a file's name says which one goes."""
    sensor(looop, "two.sh", "echo 1")
    sensor(looop, "two.py", "echo 1")
    assert "name the file" in looop("sensor", "rm", "two").err
    assert looop("sensor", "rm", "two.py").out == "remove-sensor two.py\n"
    assert sorted(os.listdir(looop.data / "sensors")) == [".dirlock", "today.sh", "two.sh"]


def test_what_is_no_ordinary_file_is_said(looop: Looop) -> None:
    """A sensor that cannot be removed is not claimed to be gone."""
    (looop.data / "sensors/link.sh").symlink_to("/nowhere/at/all")
    said = looop("sensor", "rm", "link")
    assert said.code == 1
    assert (looop.data / "sensors/link.sh").is_symlink()
    assert not (looop.data / "journal.md").exists()
