"""A data dir as the reference program 1.0 leaves it: it opens unchanged and costs exactly one extra decide."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from looop.config.file import load_config
from looop.state.open import settle
from tests.fakes.house import Home

AGO = 600


def line(value: Any) -> str:
    return json.dumps(value, separators=(",", ":")) + "\n"


def pretty(value: Any) -> str:
    return json.dumps(value, indent=2) + "\n"


@pytest.fixture
def home(root: Path) -> Home:
    """The files of spec/beat.md §0 and spec/workers.md, written by hand as 1.0 writes them."""
    home = Home(root)
    then, hour = home.clock.now() - AGO, home.clock.now() - 3000
    fnv = "6c62272e07bb014262b821756295c58d"
    agent = home.runner("cp decision .decision.json")
    home.write("decision", '{"action": "noop", "journal": "nothing new"}')
    command = f"{shlex.quote(str(agent))} | $LOOOP_BIN _ fmt"
    home.write("config.json", pretty({"tick_command": command, "worker_command": "w {{prompt_file}}", "interval": 60}))
    home.write("PLAYBOOK.md", "# PLAYBOOK\n\nAs 1.0 seeded it.\n")
    home.write("playbook.d/20250101-120000.md", "older\n")
    home.write("playbook.d/20250101-120000-0001.md", "old\n")
    home.write("goals/setup.md", "# Set up\n")
    home.write("goals/ship it.md", "a name of old\n")
    home.write("goals/archive/done.md", "done\n")
    home.sensor("date", 'echo \'{"signal": "today"}\'')
    home.write("snapshots/sensor-date.json", '{"signal": "today"}\n')
    home.write("snapshots/sys-sessions.json", line({"signal": [], "detail": {"count": 0, "workers": {}}}))
    home.write("snapshots/sys-goals.json", line({"signal": {}, "detail": {"goals": {"setup": {"age_s": None}}}}))
    for stem in ("sys-claims", "sys-schedules", "sys-asks"):
        home.write(f"snapshots/{stem}.json", line({"signal": {}}))
    home.write("claims/issue-7.json", line({"v": 1, "session": "w", "ts": then}))
    home.write(
        "asks/setup-1.json", line({"v": 1, "id": "setup-1", "worker": "setup", "prompt": "What first?", "ts": then})
    )
    home.write(
        "asks/w-1.json", line({"v": 1, "id": "w-1", "worker": "w", "prompt": "Old?", "ts": hour, "detach": True})
    )
    home.write("answers/w-1.json", line({"v": 1, "answer": "yes", "ts": then}))
    home.write("schedules/standup.json", pretty({"v": 1, "every_s": 86400, "anchor": hour, "note": "daily"}))
    home.write("schedules/later.json", pretty({"v": 1, "at": then + 10**6}))
    home.write("reports/w.md", "all done\n")
    home.write("prompts/w.md", "do it\n")
    home.write(".last-tick-hash", f"{fnv}\n")
    home.write(".last-world.json", line({"playbook": fnv, "goal:setup": fnv, "snap:sensor-date": '"today"'}))
    home.write(".last-shell.json", line({"v": 1, "ts": then, "cmd": "date", "exit_code": 0, "output": "Thursday\n"}))
    home.write(".noop-at.json", line({"v": 1, "ts": hour, "hash": fnv}))
    home.write(".signal-flap.json", line({"v": 1, "snaps": {"sensor-date": {"last": '"today"', "streak": 1}}}))
    home.write(".decide-ledger.json", line({"v": 1, "ts": [hour - 3000, hour, then]}))
    home.write(".goal-activity.json", line({"setup": then}))
    home.write(
        ".action-wal.99-abc.json", line({"kind": "shell", "fingerprint": fnv, "ts": hour, "shell_timeout_secs": 300})
    )
    home.write("journal.md", "- 2025-01-01 12:00 write-goal setup\n")
    home.write("events.jsonl", line({"ts": "2025-01-01T12:00:00.000Z", "event": "tick_start"}))
    home.write(
        "cost.jsonl", line({"ts": "2025-01-01T12:00:00Z", "kind": "tick", "id": "t", "runner": "pi", "cost_usd": 0.5})
    )
    home.write("tick.log", "[12:00:00] hello\n")
    home.write("runs/tick-20250101-120000/prompt.md", "old prompt")
    home.write("runs/tick-20250101-120000/output.log", "old output")
    home.write(".lock/lock", "")
    home.write(".lock/pid", "4242\n")
    home.config = load_config(str(root / "config.json"))
    return home


@pytest.fixture(autouse=True)
def only_new_bundles(root: Path, every_prompt_can_be_rebuilt: None) -> Any:
    """The bundle of 1.0 has no inputs to rebuild its prompt from, so it goes before the check."""
    yield
    for file in (root / "runs/tick-20250101-120000").glob("*"):
        file.unlink()


def test_it_opens_unchanged(home: Home) -> None:
    """Opening seeds nothing, replaces nothing, and understands every record.

    Source: design §1, §3.
    """
    before = {path: content for path, content in home.tree().items() if content[1] != "folder"}
    assert settle(home.house) is False
    assert {path: home.tree()[path] for path in before} == before
    memory = home.house.guards.recall()
    assert home.house.guards.damage(memory) == []
    assert (
        home.config.warnings == () and home.config.runner == "agent" and "fmt" not in (home.config.tick_command or "")
    )
    assert [ask.id for ask in home.house.mailbox.pending(home.clock.now()).pending] == ["setup-1"]
    assert home.house.ledger.read().damaged == 0
    assert home.house.playbook.versions() == ["20250101-120000", "20250101-120000-0001"]


def test_it_costs_exactly_one_extra_decide(home: Home) -> None:
    """The other hash is decided once; then the world is unchanged, and nothing was called damaged.

    Source: spec/edge-cases.md item 19, design §3 row 1.
    """
    assert home.run_beat().ending == "decided"
    for _ in range(3):
        assert home.later(60).reason == "world_unchanged"
    assert home.asked == 1
    assert not {"tick.guard_degraded", "tick.sense_degraded", "tick.error"} & set(home.codes())
    assert (home.root / "journal.md").read_text().startswith("- 2025-01-01 12:00 write-goal setup\n")
    assert (home.root / "events.jsonl").read_text().count("\n") >= 1
    assert (home.root / "runs/tick-20250101-120000/prompt.md").read_text() == "old prompt"


def test_its_records_are_put_to_use(home: Home) -> None:
    """The pending output is shown, the interrupted action reported, the ledger continued, stray asks tagged.

    Source: spec/beat.md §0, §12, spec/edge-cases.md items 82, 83, 137.
    """
    home.run_beat()
    assert "Thursday" in home.prompt and "=== WHAT CHANGED" in home.prompt
    assert "--- [STRANDED] setup-1 from worker setup" in home.prompt
    assert len(home.events("tick_interrupted")) == 1
    assert len(home.record(".decide-ledger.json")["ts"]) == 3
    assert home.snapshot("sys-claims") == {"signal": []}, "its holder is gone, so the lease is free again"
    assert home.snapshot("sys-schedules")["signal"] == {"later": "pending", "standup": {"period": 0}}
    assert home.snapshot("sys-goals")["detail"]["goals"]["setup"]["age_s"] == AGO


def test_its_wait_goes_on(home: Home) -> None:
    """A backoff record of 1.0 holds its policy hash of old, so the first beat cuts the wait and keeps the count.

    Source: spec/beat.md §6.2, design §3 row 3.
    """
    home.write(
        ".tick-backoff", line({"v": 1, "hash": "6c62272e07bb014262b821756295c58d", "fails": 3, "ts": home.clock.now()})
    )
    home.write(
        ".last-failure.json", line({"v": 1, "ts": 1, "run_id": "t", "code": "tick.failed", "error": "E", "fails": 3})
    )
    home.write("decision", "nonsense")
    assert home.run_beat().ending == "failed"
    assert "tick.backoff_cut" in home.codes() and home.record(".tick-backoff")["fails"] == 4
    assert home.later(299).reason == "tick_backoff"
    home.write("decision", '{"action": "noop"}')
    assert home.later(1).ending == "decided"
