"""What state, pulse and a dry run say of money, usage limits and runs without a figure."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.command import Looop
from tests.fakes.waiting import until

AGENT = '#!/bin/sh\ncat > /dev/null\ntouch asked\necho \'{"action": "noop"}\'\n'


@pytest.fixture
def looop(tmp_path: Path) -> Looop:
    """looop over a seeded data dir with a runner of its own."""
    looop = Looop(tmp_path).settle()
    looop.write("agent.sh", AGENT, mode=0o755)
    looop.write("config.json", '{"tick_command": "./agent.sh"}')
    return looop


def park(looop: Looop, seconds: int, runner: str = "agent.sh") -> None:
    """A usage limit that ends so many seconds from now."""
    record = {"until": int(time.time()) + seconds, "why": "You've hit your limit", "runner": runner}
    looop.write(".parked.json", json.dumps(record))


def asked(looop: Looop) -> bool:
    """Whether the runner was started since this was asked last."""
    mark = looop.data / "asked"
    found = mark.exists()
    mark.unlink(missing_ok=True)
    return found


def reasons(looop: Looop, *words: str, **env: str) -> dict[str, Any]:
    """The report of a forced beat."""
    return looop("beat", "--force", "--json", *words, env=env).json


def test_a_parked_runner(looop: Looop) -> None:
    """State says until when it is left alone, and why; --no-park and LOOOP_PARK=0 ask it all the same.

    Source: design §6, the usage limit.
    """
    park(looop, 7200)
    view = looop("state", "--json").json
    assert view["parked"] == json.loads(looop.read(".parked.json"))
    said = looop("state").out
    assert "! agent.sh is at its usage limit until 20" in said
    assert "(in 2h; --no-park asks it anyway): You've hit your limit" in said
    assert (reasons(looop)["reason"], asked(looop)) == ("parked", False)
    assert (reasons(looop, "--no-park")["ending"], asked(looop)) == ("decided", True)
    assert (reasons(looop, LOOOP_PARK="0")["ending"], asked(looop)) == ("decided", True)
    assert looop("state", "--json", env={"LOOOP_PARK": "0"}).json["parked"] is None


@pytest.mark.parametrize(("seconds", "runner"), [(-1, "agent.sh"), (900, "another")])
def test_a_limit_that_is_over_or_another_ones(looop: Looop, seconds: int, runner: str) -> None:
    """Then nothing is said, and the runner is asked.

    Source: design §6.
    """
    park(looop, seconds, runner)
    assert looop("state", "--json").json["parked"] is None
    assert reasons(looop)["ending"] == "decided"


def test_a_pulse_that_does_not_park(looop: Looop) -> None:
    """`pulse --no-park` asks a runner at its usage limit at its first beat.

    Source: design §6, an off switch.
    """
    park(looop, 7200)
    command = [sys.executable, "-m", "looop", "pulse", "--no-park"]
    pulse = subprocess.Popen(
        command, cwd=looop.folder, env=looop.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until((looop.data / "asked").exists, 10, "the runner")
    finally:
        pulse.terminate()
        pulse.wait(10)


def test_a_budget_that_is_used_up(looop: Looop) -> None:
    """State shows the limit that is reached; the figures have names for scripts.

    Source: design §6.
    """
    looop("cost", "add", "worker", "w", "x", "2.5", "--tokens", "700")
    env = {"LOOOP_MAX_DAILY_USD": "2.5", "LOOOP_MAX_DAILY_TOKENS": "1000", "LOOOP_MAX_GOAL_USD": "9"}
    view = looop("state", "--json", env=env).json
    assert view["money"] == {
        "tokens_today": 700,
        "max_daily_usd": 2.5,
        "max_daily_tokens": 1000,
        "max_goal_usd": 9.0,
        "reached": "2.5000 of 2.50 USD are spent today",
        "unmetered": "",
    }
    out = looop("state", env=env).out
    assert "runner: agent.sh  ·  today: 2.5 of 2.5 USD  ·  700 of 1000 tokens\n" in out
    assert "! 2.5000 of 2.50 USD are spent today: nobody is asked any more today\n" in out
    assert looop("state", "--json").json["money"]["reached"] == ""


def test_runs_without_a_figure(looop: Looop) -> None:
    """After three the breaker is open, and state says so with the ways out; without a budget it is closed.

    Source: edge case 52.
    """
    for _ in range(3):
        assert looop("state", "--json").json["money"]["unmetered"] == ""
        assert reasons(looop)["ending"] == "decided"
    assert "named no figure" in looop("state", "--json").json["money"]["unmetered"]
    assert "! agent.sh is not asked: 3 runs in a row named no figure" in looop("state").out
    assert looop("state", "--json", env={"LOOOP_MAX_DAILY_USD": "0"}).json["money"]["unmetered"] == ""
    dry = looop("beat", "--dry-run", "--force")
    assert "idle: agent.sh would not be asked: agent.sh: 3 runs in a row named no figure" in dry.out


def test_without_a_runner_there_is_no_word_of_money(looop: Looop) -> None:
    """A loop of reflexes alone has nothing to pay for; the limits still have their names in JSON.

    Source: design §4.
    """
    (looop.data / "config.json").unlink()
    assert "today" not in looop("state").out.split("goals:")[0]
    view = looop("state", "--json").json
    assert (view["runner"], view["money"]["max_daily_usd"], view["parked"]) == ("none", 10.0, None)


@pytest.mark.parametrize("record", [".parked.json", ".cost-unmetered"])
def test_guards_that_cannot_be_read(looop: Looop, record: str) -> None:
    """A record of these that is damaged is told, and takes nothing else along.

    Source: design §5.
    """
    looop.write(record, "{")
    said = looop("state", "--json")
    assert said.code == 0
    assert any(record in sentence for sentence in said.json["damaged"])


def test_a_dry_run_measures_the_prompt(looop: Looop) -> None:
    """Each section has its exact bytes and about how many tokens; together they are the prompt, and nobody is asked.

    Source: design §4.
    """
    report = looop("beat", "--dry-run", "--force", "--json").json
    parts = report["prompt_sections"]
    assert [part["title"] for part in parts][:3] == ["INSTRUCTIONS", "CONSTITUTION", "PLAYBOOK"]
    assert sum(part["bytes"] for part in parts) == report["prompt_bytes"]
    assert all(part["tokens"] == part["bytes"] // 4 for part in parts)
    assert (report["breaker"], report["ending"], asked(looop)) == ("", "decided", False)
    reasons(looop)
    (bundle,) = (looop.data / "runs").iterdir()
    assert len((bundle / "prompt.md").read_bytes()) == report["prompt_bytes"]
    shown = looop("beat", "--dry-run", "--force").out
    assert "  PLAYBOOK " in shown and " about " in shown


CLOSED = [
    ({"cost.jsonl": "broken\n"}, "guard_degraded", "`looop cost repair`"),
    ({".parked.json": '{"until": 99999999999, "why": "limit", "runner": "agent.sh"}'}, "parked", "usage limit"),
    (
        {"cost.jsonl": '{"ts":"2999-01-01T00:00:00Z","kind":"x","id":"x","runner":"x","cost_usd":11}\n'},
        "budget_exceeded",
        "11.0000 of 10.00",
    ),
]


@pytest.mark.parametrize(("files", "reason", "why"), CLOSED)
def test_a_dry_run_names_the_closed_breaker(looop: Looop, files: dict[str, str], reason: str, why: str) -> None:
    """It foretells what the beat would say, with the sentence; nothing is written, and the beat then does say so.

    Source: design §6.
    """
    for name, text in files.items():
        looop.write(name, text)
    before = {path.name: path.read_bytes() for path in looop.data.iterdir() if path.is_file()}
    report = looop("beat", "--dry-run", "--force", "--json").json
    assert (report["ending"], report["reason"], why in report["breaker"]) == ("idle", reason, True)
    assert report["prompt_sections"]
    assert {path.name: path.read_bytes() for path in looop.data.iterdir() if path.is_file()} == before
    assert reasons(looop)["reason"] == reason


@pytest.mark.parametrize(("flag", "required"), [("--flat", 1), ("--strict", 18)])
def test_the_flat_schemas(looop: Looop, flag: str, required: int) -> None:
    """CLIs that check an answer get one object for all moves.

    Source: docs/runners.md.
    """
    schema = looop("schema", "decision", flag).json
    assert (schema["type"], len(schema["required"])) == ("object", required)
    assert "oneOf" in looop("schema", "decision").json
