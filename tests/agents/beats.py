"""A real `looop` whose runner is a real agent CLI: processes of their own in a place of their own, nothing faked.

base = Base.make(tmp_path, "codex", endpoint.base("act", "t1"))
report = base.beat(deadline_s=40)
base.rows(), base.journal(), base.left()
"""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.agents.cli import ROOT, Options, Place, environment, leftovers, start_of
from tests.agents.endpoint import Endpoint
from tests.agents.scenarios import DECISION_FILE, SCENARIOS, Fault, Scenario, Usage, usage_of
from tests.fakes.waiting import until

GOAL = {"action": "write_goal", "id": "scripted", "body": "Keep it so.", "journal": "wrote what was scripted"}
TURN = Usage(fresh=800, cached=100, output=100)
_ACT = [{"write": DECISION_FILE, "body": json.dumps(GOAL)}, {"text": "Decision written."}]


def _acting(fault: Fault | None) -> Scenario:
    return Scenario(_ACT, fault)


def scenarios() -> dict[str, Scenario]:
    """As `SCENARIOS`, with a move that leaves a trace: `act`, `act-<fault>`, and what only a loop can be asked for."""
    faults = {f"act-{name}": _acting(each.fault) for name, each in SCENARIOS.items() if each.fault}
    late = _acting(Fault("status", 500, turn=1))
    said = Scenario([{"text": json.dumps(GOAL)}])
    return {**faults, "act": _acting(None), "act-said": said, "act-late": late, "endless": runaway(TURN)}


def runaway(usage: Usage) -> Scenario:
    """An agent that never comes to an end, each message with these figures."""
    return Scenario([{"bash": f"echo turn {n}", "usage": usage} for n in range(400)])


@dataclass(frozen=True)
class Base:
    """A data dir with a runner, and the place whose HOME all its processes share."""

    place: Place
    data: Path
    env: dict[str, str]

    @classmethod
    def make(cls, root: Path, cli: str, url: str, options: Options | None = None, **config: Any) -> "Base":
        """A seeded data dir; no limit on money unless `config` has one."""
        place = Place.make(root / "agent")
        data = root / "data"
        (data / "answers").mkdir(parents=True)
        (data / "answers" / "setup-1.json").write_text('{"answer": "x", "ts": 1}')
        how = start_of(cli, url, place, options)
        settings = {"tick_command": shlex.join(how.argv), "max_daily_usd": 0, **config}
        (data / "config.json").write_text(json.dumps(settings))
        knobs = {"LOOOP_DATA_DIR": str(data), "LOOOP_LOG_FORMAT": "json", "PYTHONPATH": str(ROOT / "src")}
        return cls(place, data, {**environment(place), **how.env, **knobs})

    def beat(self, deadline_s: int = 40, **knobs: int) -> dict[str, Any]:
        """One `looop beat --force --json` and its report, which must come soon after the deadline of its runner."""
        env = self._with(tick_timeout_secs=deadline_s, **knobs)
        command = [sys.executable, "-m", "looop", "beat", "--force", "--json"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=deadline_s + 20)
        assert done.stdout, done.stderr
        return dict(json.loads(done.stdout))

    def pulse(self, deadline_s: int = 300) -> "Pulse":
        """A `looop pulse`, started."""
        env = self._with(tick_timeout_secs=deadline_s, interval=3600)
        with open(self.place.root / "pulse.log", "wb") as log:
            command = [sys.executable, "-m", "looop", "pulse"]
            return Pulse(subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def edit_goal(self) -> None:
        """What a person does who does not want to wait after a failure: an edit cuts the wait."""
        (self.data / "goals").mkdir(exist_ok=True)
        (self.data / "goals" / "edited.md").write_text("Look again.\n")

    def rows(self) -> list[dict[str, Any]]:
        """The ledger."""
        return _lines(self.data / "cost.jsonl")

    def journal(self) -> str:
        """All of the journal."""
        path = self.data / "journal.md"
        return path.read_text() if path.exists() else ""

    def acted(self) -> bool:
        """Whether the scripted move was made."""
        return (self.data / "goals" / "scripted.md").exists()

    def bundle(self) -> Path:
        """The only run bundle."""
        (found,) = (self.data / "runs").iterdir()
        return found

    def left(self) -> list[str]:
        """The command lines of what still runs here, whatever group or session it is in."""
        return [line for pid in leftovers(self.place) if (line := _command_of(pid))]

    def end(self) -> None:
        """Kill what a failed test left."""
        for pid in leftovers(self.place):
            os.kill(pid, signal.SIGKILL)

    def in_a_command(self, limit_s: float) -> None:
        """Return once the command that the scenario `longcmd` asks for runs."""
        until(lambda: any(line.startswith("tail\0") for line in self.left()), limit_s, "the agent's command")

    def _with(self, **knobs: int) -> dict[str, str]:
        return {**self.env, **{f"LOOOP_{name.upper()}": str(value) for name, value in knobs.items()}}


@dataclass(frozen=True)
class Pulse:
    """A running `looop pulse`."""

    process: subprocess.Popen[bytes]

    def terminate(self) -> float:
        """Send SIGTERM, to it alone, and return the seconds until it has ended."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        return time.monotonic() - began


def asked(endpoint: Endpoint, tag: str) -> int:
    """How many requests for a turn there were."""
    return sum(seen.step is not None for seen in endpoint.seen(tag))


def billed(endpoint: Endpoint, tag: str, usage: Usage | None = None) -> int:
    """The tokens a vendor would bill for all these turns, `usage` each or what the endpoint says by default."""
    turns = [seen.step for seen in endpoint.seen(tag) if seen.step is not None]
    return sum(sum(usage or usage_of(turn)) for turn in turns)


def _lines(path: Path) -> list[dict[str, Any]]:
    return list(_decoded(path)) if path.exists() else []


def _decoded(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text().splitlines():
        yield json.loads(line)


def _command_of(pid: int) -> str:
    """Its words, NUL between them; empty when it has none any more."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""
