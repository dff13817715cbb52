"""The pulse as a person runs it: a real process, real signals, real files."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.fakes.waiting import gone, until


class Pulse:
    """A `looop pulse` over a data dir of its own."""

    def __init__(self, data, **knobs):
        self.data = data
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("LOOOP_")}
        self.env |= {"LOOOP_DATA_DIR": str(data), "LOOOP_LOG_FORMAT": "json", "LOOOP_MIN_BEAT_GAP": "0"}
        self.env |= {f"LOOOP_{key.upper()}": str(value) for key, value in knobs.items()}
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "looop", "pulse"],
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        os.set_blocking(self.process.stdout.fileno(), False)
        self.log = b""
        return self

    def read(self):
        while not self.process.stdout.closed and (chunk := self.process.stdout.read()):
            self.log += chunk
        lines = self.log.decode().split("\n")
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def codes(self):
        return [line["event"] for line in self.read()]

    def wait_for(self, code, times=1, seconds=20.0):
        until(lambda: self.codes().count(code) >= times, seconds, f"{times} x {code} in {self.log.decode()}")

    def end(self, number=signal.SIGTERM, seconds=10.0):
        self.process.send_signal(number)
        self.process.wait(seconds)
        self.read()
        self.process.stdout.close()
        return self.process.returncode


@pytest.fixture
def data(tmp_path):
    """A seeded data dir whose setup question is answered, so nothing but the test changes it."""
    folder = tmp_path / "data"
    (folder / "answers").mkdir(parents=True)
    (folder / "answers" / "setup-1.json").write_text('{"answer": "x", "ts": 1}')
    return folder


@pytest.fixture
def pulse(data):
    """Makes pulses and leaves none behind."""
    made = []

    def start(**knobs):
        made.append(Pulse(data, **({"interval": 3600} | knobs)).start())
        return made[-1]

    yield start
    for one in made:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()
        one.process.stdout.close()


def runner(data, script):
    """Configure a runner: a shell script in the data dir."""
    path = data / "runner.sh"
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(0o755)
    (data / "config.json").write_text(json.dumps({"tick_command": "./runner.sh"}))


def test_the_first_beat_decides_and_the_next_is_free(data, pulse):
    """A fresh pulse decides once over an unchanged world, and then skips. Source: edge cases 21, 23."""
    first = pulse(interval=1)
    first.wait_for("tick.skip")
    assert first.codes().count("tick.decided") == 1
    first.end()
    second = pulse()
    second.wait_for("tick.decided")
    assert "tick.forced" in second.codes()


def test_a_second_pulse_is_refused(data, pulse):
    """Exit code 1 and the holder's pid. Source: edge case 139."""
    first = pulse()
    first.wait_for("sleep")
    second = subprocess.run([sys.executable, "-m", "looop", "pulse"], env=first.env, capture_output=True, text=True)
    assert second.returncode == 1
    assert second.stderr == f"looop: already running (pid {first.process.pid})\n"
    beat = subprocess.run([sys.executable, "-m", "looop", "beat"], env=first.env, capture_output=True, text=True)
    assert beat.returncode == 1
    assert "already running" in beat.stderr


def test_after_a_kill_the_next_start_succeeds(data, pulse):
    """The kernel gives the lock back with its holder. Source: edge case 140."""
    first = pulse()
    first.wait_for("sleep")
    first.end(signal.SIGKILL)
    pulse().wait_for("sleep")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_sleeping_pulse_ends_at_once(data, pulse, number):
    """SIGTERM, SIGINT and SIGHUP during the sleep end it within a second, with exit code 0. Source: edge case 143."""
    one = pulse()
    one.wait_for("sleep")
    began = time.monotonic()
    assert one.end(number) == 0
    assert time.monotonic() - began < 1.5
    assert one.codes()[-1] == "pulse.stop"
    assert not (data / ".lock" / "pid").exists()


def test_a_deciding_pulse_ends_within_two_seconds(data, pulse):
    """A runner that ignores SIGTERM is stopped with its whole group, and nothing is left behind or counted.

    Source: edge case 143.
    """
    runner(data, "trap '' TERM\necho $$ > pids\n(trap '' TERM; sleep 300) &\necho $! >> pids\nsleep 300\n")
    one = pulse()
    until(lambda: (data / "pids").exists() and (data / "pids").read_text().count("\n") == 2)
    began = time.monotonic()
    assert one.end() == 0
    assert time.monotonic() - began < 3
    for pid in (data / "pids").read_text().split():
        until(lambda pid=int(pid): gone(pid), 3, f"process {pid} to be gone")
    assert not (data / ".tick-backoff").exists()
    assert not (data / ".last-tick-hash").exists()


def test_a_stop_while_sensing_leaves_no_sensor_behind(data, pulse):
    """Sensors are stopped with their groups, and their old readings stay. Source: spec/beat.md §15."""
    (data / "sensors").mkdir()
    sensor = data / "sensors" / "slow.sh"
    sensor.write_text("#!/bin/sh\necho $$ > pid\nsleep 300\n")
    sensor.chmod(0o755)
    (data / "snapshots").mkdir()
    (data / "snapshots" / "sensor-slow.json").write_text('{"signal":1}')
    one = pulse()
    until(lambda: (data / "pid").exists() and (data / "pid").read_text().strip() != "")
    assert one.end() == 0
    until(lambda: gone(int((data / "pid").read_text())), 3)
    assert (data / "snapshots" / "sensor-slow.json").read_text() == '{"signal":1}'


def test_an_edited_goal_wakes_the_pulse(data, pulse):
    """A goal edit starts the next beat at once instead of after the interval. Source: design §3 row 6."""
    one = pulse()
    one.wait_for("sleep")
    (data / "goals" / "new.md").write_text("a goal\n")
    one.wait_for("tick.decided", times=2)


def test_the_beats_own_bookkeeping_does_not_wake_it(data, pulse):
    """Nothing a quiet beat writes starts another one. Source: design §3 row 6."""
    one = pulse()
    one.wait_for("sleep")
    rows = (data / "events.jsonl").read_text().count("tick_start")
    with pytest.raises(AssertionError):
        until(lambda: (data / "events.jsonl").read_text().count("tick_start") > rows, 1.5)


def test_beats_keep_their_distance(data, pulse):
    """However often a file changes, two beats start no closer than LOOOP_MIN_BEAT_GAP. Source: design §3 row 6."""
    one = pulse(min_beat_gap=2)
    one.wait_for("sleep")
    began = time.monotonic()
    for n in range(10):
        (data / "goals" / "new.md").write_text(f"{n}\n")
    one.wait_for("sleep", times=2)
    (data / "goals" / "new.md").write_text("again\n")
    one.wait_for("sleep", times=3)
    assert time.monotonic() - began >= 2


def test_a_due_wake_forces_a_decide_and_is_consumed(data, pulse):
    """A wake that is due forces the beat over an unchanged world, once. Source: spec/beat.md §15."""
    one = pulse()
    one.wait_for("tick.decided")
    (data / ".next-wake.json").write_text(json.dumps({"v": 1, "due": int(time.time()) + 1}))
    one.wait_for("tick.decided", times=2)
    until(lambda: not (data / ".next-wake.json").exists())


def test_a_later_wake_replaces_the_sleep(data, pulse):
    """A deadline written during the sleep shortens it. Source: edge case 151."""
    one = pulse()
    one.wait_for("sleep")
    (data / ".next-wake.json").write_text(json.dumps({"v": 1, "due": int(time.time()) + 2}))
    began = time.monotonic()
    one.wait_for("tick.decided", times=2)
    assert time.monotonic() - began < 5


def test_a_wake_that_was_not_served_stays(data, pulse):
    """A due wake over a beat that idles in backoff stays armed and does not spin. Source: edge cases 148, 149."""
    runner(data, "exit 1\n")
    one = pulse()
    one.wait_for("tick.failed")
    (data / ".next-wake.json").write_text(json.dumps({"v": 1, "due": int(time.time()) - 5}))
    (data / "schedules" / "x.json").write_text('{"v":1,"every_s":3600,"anchor":0}')
    one.wait_for("tick.backoff")
    before = one.codes().count("tick.backoff")
    with pytest.raises(AssertionError):
        until(lambda: one.codes().count("tick.backoff") > before, 1.5)
    assert (data / ".next-wake.json").exists()


@pytest.mark.parametrize(
    ("knobs", "config", "idle"),
    [({"max_decides_per_hour": 1}, None, "tick.capped"), ({}, "{nonsense", "tick.error")],
    ids=["cap", "config"],
)
def test_a_wake_over_a_beat_that_asks_nobody_stays(data, pulse, knobs, config, idle):
    """At the hourly cap, and over a config that went bad, a due wake is not used up. Source: edge case 148."""
    runner(data, """cat > /dev/null; echo '{"action":"noop"}'\n""")
    one = pulse(**knobs)
    one.wait_for("sleep")
    due = json.dumps({"v": 1, "due": int(time.time()) - 5})
    (data / ".next-wake.json").write_text(due)
    if config:
        (data / "config.json").write_text(config)
    (data / "goals" / "new.md").write_text("a goal\n")
    one.wait_for(idle)
    one.wait_for("sleep", times=2)
    assert (data / ".next-wake.json").read_text() == due


def test_a_wake_that_is_written_during_the_beat_stays(data, pulse):
    """The beat that a due wake forced takes away that one, and not what came in its place. Source: edge case 150."""
    (data / ".next-wake.json").write_text(json.dumps({"v": 1, "due": int(time.time()) - 5}))
    later = '{"v": 1, "due": 9999999999}'
    runner(data, f"""cat > /dev/null; printf '{later}' > .next-wake.json; echo '{{"action":"noop"}}'\n""")
    one = pulse()
    one.wait_for("sleep")
    assert "tick.decided" in one.codes()
    assert (data / ".next-wake.json").read_text() == later


def test_a_wish_beyond_the_ceiling_is_cut(data, pulse):
    """Unless set otherwise nobody naps for longer than 300 s. Source: edge case 153."""
    runner(data, """cat > /dev/null; echo '{"action":"noop","next_interval_s":3600}'\n""")
    one = pulse()
    one.wait_for("cadence")
    assert [line["secs"] for line in one.read() if line["event"] == "cadence"] == [300]


def test_a_wake_nobody_understands_is_removed(data, pulse):
    """A corrupt wake is reported, removed and forgotten."""
    (data / ".next-wake.json").write_text("{")
    one = pulse()
    one.wait_for("sleep")
    assert not (data / ".next-wake.json").exists()
    assert "pulse.guard_degraded" in one.codes()


def test_a_nudge_is_durable(data, pulse):
    """A decision's wish for the next beat survives a kill during the sleep: the next pulse keeps it.

    Source: edge case 147.
    """
    runner(data, """cat > /dev/null; echo '{"action":"noop","next_interval_s":5}'\n""")
    one = pulse()
    one.wait_for("cadence")
    one.wait_for("sleep")
    one.end(signal.SIGKILL)
    due = int(time.time()) + 4
    (data / ".next-wake.json").write_text(json.dumps({"v": 1, "due": due}))
    runner(data, """cat > /dev/null; date +%s >> beats; echo '{"action":"noop"}'\n""")
    pulse()
    until(lambda: (data / "beats").exists() and (data / "beats").read_text().count("\n") == 2, what="the second beat")
    assert due <= int((data / "beats").read_text().split()[1]) <= due + 3


def test_a_schedule_is_served_when_it_is_due(data, pulse):
    """A one-shot due in two seconds starts the beat then, not at the interval. Source: design §8."""
    one = pulse()
    one.wait_for("sleep")
    (data / "schedules" / "soon.json").write_text(json.dumps({"v": 1, "at": int(time.time()) + 2}))
    one.wait_for("tick.decided", times=3)
    snapshot = json.loads((data / "snapshots" / "sys-schedules.json").read_text())
    assert snapshot["signal"] == {"soon": "due"}


def test_the_interval_is_read_again(data, pulse):
    """An edited interval counts from the next sleep on. Source: spec/beat.md §15."""
    one = Pulse(data, interval=3600)
    del one.env["LOOOP_INTERVAL"]
    one.start()
    try:
        one.wait_for("sleep")
        (data / "config.json").write_text('{"interval": 1}')
        one.wait_for("sleep", times=3)
        assert [line["secs"] for line in one.read() if line["event"] == "sleep"][-1] == 1
    finally:
        one.end()


@pytest.mark.parametrize("interval", ["0", "-3", "0.2"])
def test_a_silly_interval_is_one_second(data, interval):
    """Zero, negative and fractional intervals are clamped to a second, with one warning. Source: edge case 145."""
    (data / "config.json").write_text('{"interval": ' + interval + "}")
    one = Pulse(data)
    one.env.pop("LOOOP_INTERVAL", None)
    one.start()
    one.wait_for("sleep", times=2)
    one.end()
    sleeps = [line["secs"] for line in one.read() if line["event"] == "sleep"]
    assert set(sleeps) == {1}
    assert one.codes().count("pulse.guard_degraded") == 1


def test_a_config_that_goes_bad_stops_decides_not_the_loop(data, pulse):
    """Garbage in the config mid-run is an error of the deciding beats; the interval stays. Source: edge case 146."""
    one = pulse()
    one.wait_for("sleep")
    (data / "config.json").write_text("{nonsense")
    (data / "goals" / "new.md").write_text("a goal\n")
    one.wait_for("tick.error")
    assert one.process.poll() is None
    assert not (data / ".tick-backoff").exists()
    (data / "config.json").write_text("{}")
    one.wait_for("tick.decided", times=2)


@pytest.mark.parametrize(
    ("config", "said"),
    [("{", "not JSON"), ('{"interval": "soon"}', "interval = 'soon': expected a number"), (None, "cannot read")],
)
def test_a_bad_config_at_the_start_is_an_error(data, config, said):
    """A pulse does not start on a config it cannot understand: exit code 1 and one line. Source: spec/beat.md §15."""
    if config is None:
        (data / "config.json").mkdir()
    else:
        (data / "config.json").write_text(config)
    done = subprocess.run(
        [sys.executable, "-m", "looop", "pulse"], env=Pulse(data).env, capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_closed_log_does_not_end_the_pulse(data):
    """A log reader that goes away does not kill the loop. Source: edge case 144."""
    one = Pulse(data, interval=1).start()
    one.wait_for("sleep")
    one.process.stdout.close()
    rows = (data / "events.jsonl").read_text().count("tick_start")
    until(lambda: (data / "events.jsonl").read_text().count("tick_start") >= rows + 2)
    assert one.process.poll() is None
    one.process.terminate()
    assert one.process.wait(10) == 0


def test_an_unwritable_data_dir_is_one_line(tmp_path):
    """A data dir that cannot be made is an error that names it. Source: issue 'Bad input'."""
    (tmp_path / "data").write_text("a file")
    done = subprocess.run(
        [sys.executable, "-m", "looop", "pulse"], env=Pulse(tmp_path / "data").env, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert str(tmp_path / "data") in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_deleted_playbook_is_seeded_again(data, pulse):
    """Deleting PLAYBOOK.md seeds anew at the next beat. Source: edge case 248."""
    one = pulse()
    one.wait_for("sleep")
    (data / "PLAYBOOK.md").unlink()
    until((data / "PLAYBOOK.md").exists, 10)


def test_a_data_dir_that_vanishes_does_not_end_in_a_traceback(data, pulse):
    """Losing the whole data dir mid-run is survived: it is made again, or reported, beat by beat."""
    one = pulse(interval=1)
    one.wait_for("sleep")
    shutil.rmtree(data, ignore_errors=True)
    one.wait_for("sleep", times=3)
    assert b"Traceback" not in one.log


def test_a_config_of_the_other_kind_is_found_while_the_pulse_runs(data, pulse):
    """A `config.toml` that appears counts from the next beat, without a restart. Source: spec/cli.md §4."""
    one = pulse()
    one.wait_for("sleep")
    (data / "agent.sh").write_text("""cat > /dev/null; echo '{"action":"noop","journal":"by toml"}'\n""")
    (data / "config.toml").write_text('tick_command = "sh agent.sh"\n')
    until(lambda: (data / "journal.md").read_text().endswith("by toml\n"), what="the runner of the TOML file")


def test_a_runner_configured_later_is_asked_at_once(data, pulse):
    """A world that was a free noop without a runner is shown to the runner that is configured afterwards."""
    one = pulse()
    one.wait_for("sleep")
    runner(data, """cat > /dev/null; echo '{"action":"noop","journal":"looked"}'\n""")
    until(lambda: (data / "journal.md").read_text().endswith("looked\n"))
