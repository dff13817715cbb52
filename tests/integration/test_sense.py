"""Sensors as real scripts: how they end, what is published, and that a bad one costs only its own reading."""

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from tests.fakes.disk import FailingDisk
from tests.fakes.house import Home
from tests.fakes.waiting import gone, until


@pytest.fixture
def home(root: Path) -> Home:
    return Home(root)


def reading(home: Home, name: str) -> dict:
    return home.snapshot(f"sensor-{name}")


def test_a_good_reading_is_published_untouched(home: Home) -> None:
    """What a sensor prints is its snapshot, byte for byte, and an empty .err is not kept.

    Source: spec/beat.md §3 Success.
    """
    home.sensor("a", 'printf \'{ "signal" : 1,\\n "detail":"é"}\'')
    home.run_beat()
    assert (home.root / "snapshots/sensor-a.json").read_text() == '{ "signal" : 1,\n "detail":"é"}'
    assert not (home.root / "snapshots/sensor-a.err").exists()


def test_a_script_that_cannot_start_says_so(home: Home) -> None:
    """No exec bit and a bad #! line are error snapshots that mention them, never missing or empty files.

    Source: spec/edge-cases.md item 57.
    """
    home.sensor("plain", "echo 1", mode=0o644)
    home.sensor("shebang", "#!/no/such/interpreter\n")
    home.sensor("none.sh", "", mode=0o755).write_text("echo 1\n")
    os.symlink(home.root / "nowhere", home.root / "sensors/dangling.sh")
    home.run_beat()
    for name, hint in (("plain", "exec bit"), ("shebang", "#!"), ("none", "#!"), ("dangling", "exist")):
        found = reading(home, name)
        assert found["signal"] == {"error": True, "exit_code": 1}
        assert found["detail"]["message"].startswith("spawn failed:")
        assert hint in found["detail"]["message"]


def test_a_hung_sensor_is_killed_with_its_children(home: Home) -> None:
    """At the deadline the whole group dies, the reading is an error 124, and the others are unaffected.

    Source: spec/edge-cases.md item 58.
    """
    home.furnish(sensor_timeout=1)
    home.sensor("hung", 'sleep 60 & echo $! > "$LOOOP_DATA_DIR/child"; sleep 60')
    home.sensor("fine", "echo '{\"signal\": 7}'")
    home.run_beat()
    assert reading(home, "hung")["signal"] == {"error": True, "exit_code": 124}
    message = reading(home, "hung")["detail"]["message"]
    assert "1s" in message and "LOOOP_SENSOR_TIMEOUT" in message
    assert reading(home, "fine") == {"signal": 7}
    child = int((home.root / "child").read_text())
    until(lambda: gone(child), what="the grandchild")


def test_a_background_child_is_not_waited_for(home: Home) -> None:
    """The reading is taken when the script exits, though a child of it holds its stdout.

    Source: spec/edge-cases.md item 59.
    """
    home.furnish(sensor_timeout=20)
    home.sensor("fork", "echo '{\"signal\": 1}'; sleep 30 &\necho $! > child")
    report = home.run_beat()
    assert report.ending == "decided"
    assert reading(home, "fork") == {"signal": 1}
    os.kill(int((home.root / "child").read_text()), 9)


def test_a_flood_is_a_small_stable_error(home: Home) -> None:
    """100 MB of output are cut short; the count of bytes stands in the detail only, so the signal does not flap.

    Source: spec/edge-cases.md item 49, spec/beat.md §3 Success.
    """
    home.sensor("flood", "head -c 100000000 /dev/zero")
    home.sensor("big", "cat values/big")
    home.write("values/big", "x" * 8193)
    first = home.run_beat()
    assert reading(home, "flood")["signal"] == {"error": "too-large", "cap": 8192}
    assert reading(home, "big")["detail"]["bytes"] == 8193
    home.write("values/big", "x" * 9000)
    assert home.run_beat().world_hash == first.world_hash
    assert home.lines[1]["event"] == "sense.ok"


def test_the_cap_is_exact_and_can_be_switched_off(home: Home) -> None:
    """A reading of exactly the cap is kept; 0 means no cap.

    Source: spec/beat.md §3 Success.
    """
    home.write("values/big", "x" * 100)
    home.sensor("big", "cat values/big")
    for cap, fits in ((100, True), (99, False), (0, True)):
        home.furnish(sensor_max_bytes=cap)
        home.run_beat()
        assert ((home.root / "snapshots/sensor-big.json").read_bytes() == b"x" * 100) is fits


def test_a_cap_counts_bytes_and_cuts_no_character(home: Home) -> None:
    """60 characters of two bytes are over a cap of 100, and the tail of a failure's stderr has no half character.

    Source: spec/edge-cases.md item 261.
    """
    home.furnish(sensor_max_bytes=100)
    home.write("values/big", "é" * 60)
    home.sensor("big", "cat values/big")
    home.sensor("loud", "head -c 1000 /dev/zero | sed 's/\\x00/é/g' >&2; printf x >&2; exit 1")
    home.run_beat()
    assert reading(home, "big")["signal"] == {"error": "too-large", "cap": 100}
    assert reading(home, "big")["detail"]["bytes"] == 120
    assert reading(home, "loud")["detail"]["stderr"] == "é" * 511 + "x"


def test_an_exit_code_is_no_signal(home: Home) -> None:
    """A script's own exit 130 is an ordinary failure; a real SIGKILL is named as one.

    Source: spec/edge-cases.md item 60.
    """
    home.sensor("own", "exit 130")
    home.sensor("real", "kill -9 $$")
    home.run_beat()
    assert reading(home, "own")["signal"]["exit_code"] == 130
    assert "signal" not in reading(home, "own")["detail"]["message"]
    assert reading(home, "real")["signal"]["exit_code"] == 137
    assert "signal 9" in reading(home, "real")["detail"]["message"]


def test_only_the_tail_of_stderr_is_kept(home: Home) -> None:
    """Of a huge stderr the last 1 KiB stands in the detail, decoded whatever it holds; only the detail has it.

    Source: spec/edge-cases.md items 50, 61.
    """
    home.sensor("noisy", "head -c 5000000 /dev/zero | tr '\\0' 'a' >&2; printf '\\377end' >&2; exit 1")
    home.run_beat()
    tail = reading(home, "noisy")["detail"]["stderr"]
    assert tail.endswith("a\ufffdend")
    assert len(tail) == 1024
    assert (home.root / "snapshots/sensor-noisy.err").stat().st_size == 1024


def test_a_failing_sensor_wakes_once_and_once_when_it_heals(home: Home) -> None:
    """Changing stderr noise does not move the hash; breaking and healing do.

    Source: spec/edge-cases.md item 50.
    """
    home.write("values/ok", "0")
    home.sensor("s", "[ -e values/broken ] && { date +%N >&2; exit 1; }; echo '{\"signal\": 1}'")
    whole = home.run_beat().world_hash
    home.write("values/broken", "")
    broken = home.run_beat().world_hash
    assert broken != whole
    assert home.run_beat().ending == "idle"
    (home.root / "values/broken").unlink()
    assert home.run_beat().world_hash == whole


def test_stderr_of_an_earlier_beat_is_never_shown(home: Home) -> None:
    """A failure without stderr has an empty one, not the last beat's, and the .err file goes.

    Source: spec/edge-cases.md item 62.
    """
    home.sensor("s", "[ -e values/quiet ] || echo noise >&2; exit 1")
    home.run_beat()
    assert reading(home, "s")["detail"]["stderr"] == "noise"
    home.write("values/quiet", "")
    home.run_beat()
    assert reading(home, "s")["detail"]["stderr"] == ""
    assert not (home.root / "snapshots/sensor-s.err").exists()


def test_a_reader_never_sees_a_partial_snapshot(home: Home) -> None:
    """While a sensor runs, its snapshot is the previous one, whole.

    Source: spec/edge-cases.md item 63.
    """
    home.sensor("s", "printf '{\"signal\":'; cat snapshots/sensor-s.json > seen 2>/dev/null; printf ' 1}'")
    home.run_beat()
    home.run_beat()
    assert json.loads((home.root / "seen").read_text()) == {"signal": 1}


@pytest.mark.parametrize("timeout", [0, 10**17])
def test_no_deadline_and_an_endless_one_do_not_crash(home: Home, timeout: int) -> None:
    """Timeout 0 or astronomically large means no deadline.

    Source: spec/edge-cases.md item 68.
    """
    home.furnish(sensor_timeout=timeout)
    home.sensor("s", "echo '{\"signal\": 1}'")
    home.run_beat()
    assert reading(home, "s") == {"signal": 1}


def test_empty_output_is_still_ok(home: Home) -> None:
    """A sensor that prints nothing has an empty snapshot, which is a non-JSON item and no failure.

    Source: spec/edge-cases.md item 70.
    """
    home.sensor("s", "true")
    home.run_beat()
    assert (home.root / "snapshots/sensor-s.json").read_bytes() == b""
    assert "sense.ok" in home.codes() and "sense.fail" not in home.codes()


def test_what_a_sensor_is_given(home: Home) -> None:
    """Its stdin is /dev/null, its cwd the data dir, and the LOOOP_* places are in its environment.

    Source: spec/edge-cases.md item 72, design §3 row 5.
    """
    home.sensor("s", "readlink /proc/self/fd/0 || echo /dev/null; pwd -P; env | grep ^LOOOP_ | cut -d= -f1 | sort")
    home.run_beat()
    said = (home.root / "snapshots/sensor-s.json").read_text().split()
    assert said[:2] == ["/dev/null", str(home.root.resolve())]
    assert said[2:] == [
        f"LOOOP_{name}" for name in ("BIN", "CLAIMS_DIR", "CONFIG", "DATA_DIR", "LOG_FORMAT", "REPORTS_DIR", "RUN_MARK")
    ]


def test_sensors_run_side_by_side(home: Home) -> None:
    """Sensors that wait for one another all get their turn at once.

    Source: spec/beat.md §3 Concurrency.
    """
    home.furnish(sensor_timeout=10)
    home.sensor("a", "touch a; until [ -e b ]; do sleep 0.01; done; echo 1")
    home.sensor("b", "touch b; until [ -e a ]; do sleep 0.01; done; echo 2")
    home.run_beat()
    assert reading(home, "a") == 1 and reading(home, "b") == 2


def test_the_sense_line_sums_up(home: Home) -> None:
    """One summary line with the counts and the names of those that failed; a line per sensor in JSON mode.

    Source: spec/beat.md §3 Logs.
    """
    home.sensor("bad", "exit 3")
    home.sensor("good", "echo 1")
    home.sensor("kept", "# looop:interval=999\necho 1")
    home.run_beat()
    home.run_beat()
    line = [line for line in home.lines if line["event"] == "sense"][-1]
    counts = {key: line[key] for key in ("level", "ok", "total", "skipped", "failed")}
    assert counts == {"level": "error", "ok": 2, "total": 3, "skipped": 1, "failed": ["bad"]}
    fails = [line for line in home.lines if line["event"] == "sense.fail"]
    assert [(line["sensor"], line["error"]) for line in fails] == [("bad", "exited with 3")] * 2
    assert [line["sensor"] for line in home.lines if line["event"] == "sense.ok"] == ["good", "kept", "good"]


def test_a_snapshot_that_cannot_be_written_costs_only_itself(home: Home) -> None:
    """A folder in the place of one snapshot is named in the log; the other readings and the beat go on.

    Source: spec/beat.md §3 table, spec/edge-cases.md item 69.
    """
    home.write("snapshots/sensor-a.json/x", "")
    home.write("snapshots/sys-goals.json/x", "")
    home.sensor("a", "echo 1")
    home.sensor("b", "echo 2")
    home.write("snapshots/sensor-twin.json/x", "")
    home.sensor("twin.sh", "echo 1")
    home.sensor("twin.py", "echo 1")
    assert home.run_beat().ending == "decided"
    assert reading(home, "b") == 2
    degraded = " ".join(line["msg"] for line in home.lines if line["event"] == "tick.sense_degraded")
    for stem in ("sensor-a", "sensor-twin", "sys-goals"):
        assert f"snapshots/{stem}.json" in degraded


def test_debris_that_cannot_be_removed_is_said_and_borne(root: Path) -> None:
    """A snapshot without a sensor that the disk will not let go of does not end the beat.

    Source: spec/beat.md §3 Pruning, design §2.
    """
    home = Home(root, disk=FailingDisk("unlink", 30))
    home.write("snapshots/sensor-gone.json", "{}")
    home.sensor("a", "echo 1")
    assert home.run_beat().ending == "decided"
    assert "sensor-gone.json" in home.said


def test_a_script_that_cannot_be_read_costs_only_its_header(root: Path) -> None:
    """A script that may be run but not read (mode 0711) is run; the other sensors are unaffected.

    Source: spec/beat.md §3, design §3 row 5.
    """

    class Sealed(FailingDisk):
        def meet(self, name, real, args):
            if name == "read" and args[0].endswith("sealed.sh"):
                raise PermissionError(13, os.strerror(13))
            return real(*args)

    home = Home(root, disk=Sealed("nothing", 0))
    home.sensor("sealed", "# looop:trust=trusted\necho 1")
    home.sensor("open", "echo 2")
    assert home.run_beat().ending == "decided"
    assert reading(home, "sealed") == 1 and reading(home, "open") == 2


def test_any_executable_is_a_sensor(home: Home) -> None:
    """Python scripts and files without a suffix are sensors like any other.

    Source: design §3 row 5.
    """
    home.sensor("p.py", f"#!{sys.executable}\nprint('{{\"signal\": 5}}')\n")
    home.write("sensors/bare", "#!/bin/sh\necho 6\n", stat.S_IRWXU)
    home.write("sensors/notes.txt", "not a sensor")
    home.write("sensors/lib/helper.sh", "#!/bin/sh\necho 7\n", 0o755)
    home.run_beat()
    assert reading(home, "p") == {"signal": 5} and reading(home, "bare") == 6
    found = {file.name for file in (home.root / "snapshots").glob("sensor-*")}
    assert found == {"sensor-p.json", "sensor-bare.json"}
