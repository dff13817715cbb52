"""Which sensors run at this beat, which files in sensors/ and snapshots/ count, and what trust is carried along."""

import json
import os
from pathlib import Path

import pytest

from tests.fakes.house import Home

COUNTING = 'echo run >> "$0.runs"; echo \'{"signal": 1}\''


@pytest.fixture
def home(root: Path) -> Home:
    return Home(root)


def runs(home: Home, name: str) -> int:
    noted = home.root / f"sensors/{name}.sh.runs"
    return len(noted.read_text().splitlines()) if noted.exists() else 0


def header(directive: str, *, at_line: int = 2) -> str:
    return "\n".join(["#!/bin/sh", *["#"] * (at_line - 2), directive, COUNTING, ""])


def set_age(path: Path, seconds: int) -> None:
    stamp = path.stat().st_mtime_ns - seconds * 10**9
    os.utime(path, ns=(stamp, stamp))


def beat_at_age(home: Home, seconds: int) -> None:
    """A beat at which the snapshot of `s` is so old."""
    published = int((home.root / "snapshots/sensor-s.json").stat().st_mtime)
    home.later(published + seconds - home.clock.now())


def test_a_fresh_reading_is_kept_until_its_window_ends(home: Home) -> None:
    """Within its declared interval a sensor is not run; at its end it is.

    Source: spec/edge-cases.md item 66.
    """
    home.sensor("s", header("# looop:interval=100"))
    home.run_beat()
    beat_at_age(home, 98)
    assert runs(home, "s") == 1
    beat_at_age(home, 101)
    assert runs(home, "s") == 2


def test_an_edited_script_runs_at_once(home: Home) -> None:
    """A script newer than its snapshot runs though the reading is fresh; one of the same instant does not.

    Source: spec/edge-cases.md items 66, 276.
    """
    script = home.sensor("s", header("# looop:interval=1000"))
    home.run_beat()
    snapshot = (home.root / "snapshots/sensor-s.json").stat().st_mtime_ns
    os.utime(script, ns=(snapshot, snapshot))
    home.run_beat()
    assert runs(home, "s") == 1
    os.utime(script, ns=(snapshot + 1, snapshot + 1))
    home.run_beat()
    assert runs(home, "s") == 2


def test_a_reading_from_the_future_counts_as_fresh(home: Home) -> None:
    """A clock set back does not make every sensor run at every beat.

    Source: spec/edge-cases.md item 66.
    """
    home.sensor("s", header("# looop:interval=10"))
    home.run_beat()
    set_age(home.root / "snapshots/sensor-s.json", -5000)
    home.later(100)
    assert runs(home, "s") == 1


@pytest.mark.parametrize(
    ("directive", "at_line", "kept"),
    [
        ("# looop:interval=600", 20, True),
        ("# looop:interval=600", 21, False),
        ("   # looop:interval=600  ", 2, True),
        ("# looop:interval=soon", 2, False),
        ("# looop:interval=-5", 2, False),
        ("# looop:interval=", 2, False),
        ("# looop:interval=x\n# looop:interval=600", 2, False),
        ("# looop:interval=600\n# looop:interval=0", 2, True),
        ("echo >/dev/null # looop:interval=600", 2, False),
        ("# looop:interval=1_000", 2, False),
    ],
)
def test_how_an_interval_is_declared(home: Home, directive: str, at_line: int, kept: bool) -> None:
    """The first such line of the first 20 decides; what does not parse means no cadence.

    Source: spec/edge-cases.md items 66, 259.
    """
    home.sensor("s", header(directive, at_line=at_line))
    home.run_beat()
    home.run_beat()
    assert (runs(home, "s") == 1) is kept


def test_a_failure_is_tried_again_before_its_window_ends(home: Home) -> None:
    """An error is retried after 60 s, 120 s … up to the cadence, and a good reading is kept for its window again.

    Source: spec/edge-cases.md item 67, design §3 row 5.
    """
    home.sensor("s", f"# looop:interval=200\n[ -e values/ok ] && {{ {COUNTING}; exit; }}; {COUNTING}; exit 1")
    home.run_beat()
    for wait, expected in ((60, 2), (120, 3), (200, 4), (200, 5)):
        beat_at_age(home, wait - 2)
        assert runs(home, "s") == expected - 1
        beat_at_age(home, wait + 2)
        assert runs(home, "s") == expected
    home.write("values/ok", "")
    beat_at_age(home, 202)
    beat_at_age(home, 198)
    assert runs(home, "s") == 6


def test_a_failed_sensor_that_is_edited_runs_at_once(home: Home) -> None:
    """Repairing a script does not wait for its backoff.

    Source: spec/beat.md §3 Cadence.
    """
    script = home.sensor("s", "# looop:interval=500\nexit 1")
    home.run_beat()
    script.write_text("#!/bin/sh\n# looop:interval=500\necho 3\n")
    set_age(script, -1)
    home.run_beat()
    assert home.snapshot("sensor-s") == 3


def test_a_removed_sensor_leaves_the_world(home: Home) -> None:
    """The snapshot and the .err of a sensor that is gone go at the next beat, and the change is seen.

    Source: spec/edge-cases.md item 65.
    """
    home.sensor("stays", "echo 1; echo note >&2")
    script = home.sensor("goes", "echo 1; echo note >&2")
    home.run_beat()
    script.unlink()
    report = home.run_beat()
    assert {file.name for file in (home.root / "snapshots").glob("sensor-*")} == {
        "sensor-stays.json",
        "sensor-stays.err",
    }
    assert [(change.kind, change.name) for change in report.changes or []] == [("removed", "snap:sensor-goes")]


def test_debris_of_a_crash_is_removed_and_never_shown(home: Home) -> None:
    """Temporary and foreign files in snapshots/ go before anything is sensed.

    Source: spec/edge-cases.md item 64.
    """
    home.sensor("x", "ls snapshots > listed; echo 1")
    for name in ("sensor-x.json.tmp", "foreign.json", "sensor-x.json.bak", "sys-old.json"):
        home.write(f"snapshots/{name}", "left over")
    home.decides({"action": "noop"})
    home.run_beat()
    assert (home.root / "listed").read_text() == ""
    assert "left over" not in home.prompt


def test_two_files_with_one_stem_are_both_refused(home: Home) -> None:
    """The reading names both files, neither is run, and it heals when one is renamed.

    Source: spec/edge-cases.md item 71, design §3 row 5.
    """
    home.sensor("twin", "touch ran; echo 1")
    second = home.sensor("twin.py", "#!/bin/sh\ntouch ran; echo 2\n")
    home.run_beat()
    found = home.snapshot("sensor-twin")
    assert found["signal"] == {"error": True, "exit_code": 1}
    assert "twin.py and twin.sh" in found["detail"]["message"]
    assert not (home.root / "ran").exists()
    second.rename(home.root / "sensors/other.py")
    home.run_beat()
    assert home.snapshot("sensor-twin") == 1 and home.snapshot("sensor-other") == 2


def test_a_sensor_called_sys_is_no_system_reading(home: Home) -> None:
    """`sys-` and `sensor-` are separate prefixes.

    Source: spec/edge-cases.md item 71.
    """
    home.sensor("sys-goals", "echo 9")
    home.run_beat()
    assert home.snapshot("sensor-sys-goals") == 9
    assert home.snapshot("sys-goals")["signal"] == {}


@pytest.mark.parametrize("name", ["s.sh~", "s.sh.bak", ".s.sh", "s.sh.swp", "#s.sh#", "s.sh.orig", "s.py.rej"])
def test_what_editors_leave_is_no_sensor(home: Home, name: str) -> None:
    """Backups and hidden files are not run, whatever their mode.

    Source: design §3 row 5.
    """
    home.write(f"sensors/{name}", "#!/bin/sh\ntouch ran\n", 0o755)
    home.run_beat()
    assert not (home.root / "ran").exists()
    assert not list((home.root / "snapshots").glob("sensor-*"))


@pytest.mark.parametrize(
    ("folder", "suffix"),
    [
        ("goals", ".md"),
        ("sensors", ".sh"),
        ("snapshots", ".json"),
        ("claims", ".json"),
        ("schedules", ".json"),
        ("asks", ".json"),
    ],
)
def test_a_name_that_is_not_text_does_not_stop_the_loop(home: Home, folder: str, suffix: str) -> None:
    """A file whose name is not UTF-8 is nobody's record: the beat goes on as if it were not there.

    Source: spec/edge-cases.md item 243.
    """
    (home.root / folder).mkdir()
    odd = os.fsencode(str(home.root / folder)) + b"/\xff" + suffix.encode()
    try:
        with open(odd, "wb") as file:
            file.write(b"{}")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    os.chmod(odd, 0o755)
    home.decides({"action": "noop"})
    assert home.run_beat().ending == "decided"
    assert home.run_beat().ending == "idle"


def test_trust_is_carried_from_the_header_to_the_outcome(home: Home) -> None:
    """The trust a sensor declares stands on its item, on the change, in the bundle and in the decision's record.

    Source: design §7.
    """
    home.sensor("safe", "# looop:trust=trusted\ncat values/safe")
    home.sensor("wild", "# looop:trust=maybe\ncat values/wild")
    home.write("values/safe", "1")
    home.write("values/wild", "1")
    home.run_beat()
    world = json.loads((home.bundles()[-1] / "world.json").read_bytes())["world"]
    assert {name: item["trust"] for name, item in world["items"].items() if name.startswith("snap:sensor")} == {
        "snap:sensor-safe": "trusted",
        "snap:sensor-wild": "untrusted",
    }
    assert world["readings"]["sensor-safe"]["trust"] == "trusted"
    home.write("values/safe", "2")
    report = home.run_beat()
    assert [change.trust for change in report.changes or []] == ["trusted"]
    assert home.outcome()["trust"] == "trusted"
    home.write("values/wild", "2")
    report = home.run_beat()
    assert [change.trust for change in report.changes or []] == ["untrusted"]
    assert home.outcome()["trust"] == "untrusted"


def test_a_world_that_cannot_be_listed_is_not_judged(home: Home) -> None:
    """A file in the place of goals/, sensors/ or snapshots/ blocks the beat and is named; nothing is decided.

    Source: spec/edge-cases.md item 8, design §2.
    """
    for folder in ("goals", "sensors", "snapshots"):
        place = home.root / folder
        if place.exists():
            place.rename(home.root / f"{folder}.away")
        place.write_text("")
        report = home.run_beat()
        assert report.ending == "blocked" and folder in report.reason
        place.unlink()
    assert not (home.root / "runs").exists()
    assert home.run_beat().ending == "decided"
