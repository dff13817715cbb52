"""Everything is really tried, what is broken gets a remedy, and the trial decision is a run like any other."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.command import Looop
from tests.fakes.waiting import until

WELL = '{"action": "noop", "reason": "well"}'
PI = """\
#!/bin/sh
[ "$1" = --version ] && { echo 9.9.9; exit; }
cat > prompt.seen
echo '{"type":"message_end","message":{"role":"assistant","stopReason":"stop","usage":{"input":90,"output":10,\
"cost":{"total":0.0123}},"content":[{"type":"text","text":"SAID"}]}}'
echo '{"type":"agent_settled"}'
"""


@pytest.fixture
def looop(tmp_path: Path) -> Looop:
    """looop over a seeded data dir."""
    return Looop(tmp_path).settle()


def findings(looop: Looop, *words: str, code: int = 0) -> dict[str, dict[str, Any]]:
    """What doctor found, by subject."""
    said = looop("doctor", "--json", *words)
    assert said.code == code, said
    assert said.json["healthy"] is (code == 0)
    assert "Traceback" not in said.err
    return {finding["subject"]: finding for finding in said.json["findings"]}


def pi(looop: Looop, said: str = WELL) -> None:
    """A runner that speaks as pi does, and is found by that name."""
    tools = looop.folder / "tools"
    tools.mkdir(exist_ok=True)
    (tools / "pi").write_text(PI.replace("SAID", said.replace('"', '\\"')))
    (tools / "pi").chmod(0o755)
    looop.env["PATH"] = f"{tools}:/usr/bin:/bin"
    looop.write("config.json", json.dumps({"tick_command": "pi -p --mode json"}))


def rows(looop: Looop) -> list[dict[str, Any]]:
    """The ledger."""
    path = looop.data / "cost.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_all_is_well(looop: Looop) -> None:
    """Each subject gets its line; a pulse that does not run is a warning with its remedy; nothing is left behind.

    Source: docs/runners.md.
    """
    before = {path.name for path in looop.data.iterdir()}
    said = looop("doctor")
    assert (said.code, said.err) == (0, "")
    for subject in (
        "versions",
        "data dir",
        "disk",
        "watching",
        "clock",
        "time zone",
        "config",
        "ledger",
        "records",
        "runner",
    ):
        assert any(line.startswith(f"ok    {subject} ") for line in said.out.split("\n")), said.out
    assert "warn  pulse        DOWN, no beat yet\n" in said.out
    assert "-> `looop pulse` starts it" in said.out
    assert {path.name for path in looop.data.iterdir()} - before <= {".dirlock"}
    assert not rows(looop)


def test_the_runner_decides_and_is_billed(looop: Looop) -> None:
    """A good runner answers; its version, what it cost and how long it took are said; the row is in the ledger, the
    decision is thrown away.

    Source: design §6.
    """
    pi(looop, '{"action": "run_shell", "cmd": "touch ran"}')
    found = findings(looop)
    assert found["runner"]["said"] == f"{looop.folder}/tools/pi, version 9.9.9"
    assert found["decision"]["status"] == "ok"
    assert "it decided run_shell" in found["decision"]["said"]
    assert "cost 0.0123 USD, 100 tokens" in found["decision"]["said"]
    (row,) = rows(looop)
    assert (row["kind"], row["runner"], row["cost_usd"], row["id"][:7]) == ("tick", "pi", 0.0123, "doctor-")
    assert not (looop.data / "ran").exists()
    assert "trial" in looop.read("prompt.seen")
    assert not (looop.data / ".open-run.json").exists()
    assert not (looop.data / ".decision.json").exists()
    assert os.listdir(looop.data / "runs") == []


def test_nobody_is_asked(looop: Looop) -> None:
    """With --no-ask the runner is looked for and not started.

    Source: design §6, every touch of a model is counted.
    """
    pi(looop)
    assert findings(looop, "--no-ask")["decision"]["said"] == "not asked (--no-ask)"
    assert not rows(looop)
    assert not (looop.data / "prompt.seen").exists()


BAD = {
    "exits": ("echo no key >&2; exit 3", "exited with 3: no key"),
    "prose": ("echo I would rather talk", "left no decision"),
    "unknown action": ("""echo '{"action": "dance"}'""", "unknown action 'dance'"),
    "a decision and exit 1": ("""echo '{"action": "noop"}' > .decision.json; exit 1""", "exited with 1"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_runner_that_does_not_answer(looop: Looop, kind: str) -> None:
    """What it did is told in full, and doctor exits with 1; its row is in the ledger all the same.

    Source: spec/beat.md §9.
    """
    body, why = BAD[kind]
    looop.write("agent.sh", f"#!/bin/sh\ncat >/dev/null\n{body}\n", mode=0o755)
    looop.write("config.json", '{"tick_command": "./agent.sh"}')
    found = findings(looop, code=1)
    assert found["decision"]["status"] == "fail"
    assert why in found["decision"]["said"]
    assert found["decision"]["remedy"]
    assert [row["metered"] for row in rows(looop)] == [False]
    assert not (looop.data / ".tick-backoff").exists()


def test_a_runner_that_hangs(looop: Looop) -> None:
    """The trial has a deadline, the knob's where that is shorter; what it started is gone.

    Source: spec/beat.md §9.
    """
    looop.env["LOOOP_TICK_TIMEOUT_SECS"] = "1"
    looop.write("config.json", '{"tick_command": "sleep 987"}')
    found = findings(looop, code=1)
    assert "timed out after 1s" in found["decision"]["said"]


@pytest.mark.parametrize("command", ["no-such-agent -p", "./missing.sh", "FOO=1 no-such-agent", "/no/agent"])
def test_a_runner_that_is_not_there(looop: Looop, command: str) -> None:
    """It is not asked; the remedy names what installs or replaces it.

    Source: spec/cli.md §1, deps preflight.
    """
    looop.write("config.json", json.dumps({"tick_command": command, "worker_command": "no-worker {{prompt_file}}"}))
    found = findings(looop, code=1)
    assert found["runner"]["status"] == "fail"
    assert "is not there" in found["runner"]["said"]
    assert "decision" not in found
    assert found["worker"]["status"] == "warn"


@pytest.mark.parametrize("command", ["cd . && cat", "{ cat; }", '"$AGENT" -p'])
def test_a_command_that_only_the_shell_understands(looop: Looop, command: str) -> None:
    """It is no failure: the trial decision tells whether it works.

    Source: spec/cli.md §1.
    """
    looop.write("config.json", json.dumps({"tick_command": command}))
    assert findings(looop, "--no-ask")["runner"]["status"] == "ok"


def test_an_unmetered_runner(looop: Looop) -> None:
    """It works, and a warning says that the budget cannot see it; three of them open the breaker.

    Source: edge case 52.
    """
    looop.write("agent.sh", f"#!/bin/sh\ncat >/dev/null\necho '{WELL}'\n", mode=0o755)
    looop.write("config.json", '{"tick_command": "./agent.sh"}')
    for _ in range(3):
        found = findings(looop)["decision"]
        assert found["status"] == "warn"
        assert "no figure for the budget" in found["said"]
    found = findings(looop)["decision"]
    assert found["said"].startswith("not asked: ")
    assert "named no figure" in found["said"]
    assert len(rows(looop)) == 3
    assert "named no figure" in looop("state").out


def test_a_closed_breaker_keeps_doctor_from_asking(looop: Looop) -> None:
    """A budget that is used up holds for doctor, too.

    Source: design §6.
    """
    pi(looop)
    looop("cost", "add", "worker", "w", "pi", "10")
    found = findings(looop)["decision"]
    assert (found["status"], "10.0000 of 10.00 USD" in found["said"]) == ("warn", True)
    assert len(rows(looop)) == 1


def test_while_a_pulse_runs(looop: Looop) -> None:
    """The pulse asks its runner itself: doctor tells how it fares, and its age.

    Source: users.md, a dead pulse is visible everywhere.
    """
    pulse = looop.start("pulse")
    try:
        until((looop.data / ".last-tick-hash").exists, 10, "the first beat")
        looop.write("config.json", '{"tick_command": "cat"}')
        found = findings(looop)
        assert found["pulse"]["status"] == "ok"
        assert found["pulse"]["said"].startswith("live, last beat ")
        assert found["decision"]["said"].startswith("not asked: the pulse does")
    finally:
        pulse.terminate()
        pulse.communicate()


def test_a_corrupt_config(looop: Looop) -> None:
    """It fails with the file's name; a warning in it is a warning.

    Source: edge case 234.
    """
    looop.write("config.json", "{")
    found = findings(looop, code=1)
    assert found["config"]["status"] == "fail"
    assert found["records"]["status"] == "ok"
    looop.write("config.json", '{"max_daly_usd": 3}')
    found = findings(looop)
    assert "did you mean max_daily_usd?" in found["config"]["said"]


def test_a_damaged_ledger(looop: Looop) -> None:
    """With a runner and a budget it fails, without one it warns; both name the repair.

    Source: design §6.
    """
    looop.write("cost.jsonl", "broken\n")
    found = findings(looop)["ledger"]
    assert (found["status"], "cost repair" in found["remedy"]) == ("warn", True)
    looop.write("config.json", '{"tick_command": "cat"}')
    assert findings(looop, "--no-ask", code=1)["ledger"]["status"] == "fail"
    looop.write("config.json", '{"tick_command": "cat", "max_daily_usd": 0}')
    assert findings(looop, "--no-ask")["ledger"]["status"] == "warn"


def test_records_that_are_damaged(looop: Looop) -> None:
    """What state calls damaged is a warning here.

    Source: design §5.
    """
    looop.write(".tick-backoff", "{")
    found = findings(looop)["records"]
    assert found["status"] == "warn"
    assert ".tick-backoff" in found["said"]


def test_a_clock_that_was_set_back(looop: Looop) -> None:
    """A file from the future says so.

    Source: spec/beat.md §6.5 (a day is of the clock).
    """
    looop.write("goals/g.md", "x")
    ahead = time.time() + 7200
    os.utime(looop.data / "goals/g.md", (ahead, ahead))
    found = findings(looop)["clock"]
    assert found["status"] == "warn"
    assert "g.md was written 7" in found["said"]


def test_a_time_zone_that_is_not_known(looop: Looop) -> None:
    """Calendars go by the machine's zone, so one without rules is told before a schedule meets it.

    Source: docs/schedules.md.
    """
    looop.env["TZ"] = "Mars/Olympus"
    found = findings(looop)["time zone"]
    assert found["status"] == "warn"
    assert "TZ=Mars/Olympus" in found["said"] and "--cron" in found["remedy"]


def test_a_data_dir_that_cannot_be_written(looop: Looop) -> None:
    """Where the probe cannot be written it is broken, and says what to look at; the rest is looked at all the same.

    Source: design §5.
    """
    (looop.data / ".doctor").mkdir()
    said = looop("doctor")
    assert said.code == 1
    assert "FAIL  data dir     cannot write" in said.out
    assert "-> see who owns the data dir" in said.out
    assert "ok    ledger" in said.out
