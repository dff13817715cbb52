"""Real agent CLIs as workers: the presets' commands in the terminals of a real looop, prepared as docs/workers.md says.

    work = Work.make(tmp_path, "codex", endpoint.base("report", "t1"))
    work.start("w", "Do this.")
    work.until_ended("w")
    work.screen("w"), work.left(), work.end()

Each has a HOME of its own, dummy keys, and none of the caller's environment.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from looop.config.presets import PRESETS
from looop.session import kin
from looop.session.fleet import Fleet, Session
from tests.agents.cli import CACHE, NODE, PROGRAMS, ROOT, Options, Place, environment, leftovers, start_of
from tests.agents.scenarios import Fault, Scenario
from tests.fakes.waiting import until

CLIS = ("claude", "codex", "pi", "opencode")
START_S = {"claude": 15.0, "codex": 15.0, "pi": 15.0, "opencode": 40.0}
HOLD = "hold"


def scenarios() -> dict[str, Scenario]:
    """What a worker does: its whole life, one that waits in the middle of it, and one that only talks."""
    report = [
        {"text": "I write the report.", "bash": 'printf %s "done: $PWD" > reports/w.md'},
        {"bash": '"$LOOOP_BIN" cost add worker w scripted 0.42 --goal w'},
        {"bash": '"$LOOOP_BIN" kill w'},
    ]
    held = [{"bash": f"until test -e {HOLD}; do sleep 0.05; done"}, *report]
    return {
        "report": Scenario(report),
        "held": Scenario(held),
        "talk": Scenario([{"text": f"Here is answer {n}."} for n in range(9)]),
        "mute": Scenario([], Fault("hang")),
        "stubborn": Scenario([{"bash": "trap '' HUP TERM; setsid sh -c \"trap '' HUP; tail -f /dev/null\" & tail -f /dev/null"}]),
    }


@dataclass(frozen=True)
class Work:
    """A data dir with a preset's worker command, and the place whose HOME all its processes share."""

    cli: str
    place: Place
    data: Path
    env: dict[str, str]

    @classmethod
    def make(cls, root: Path, cli: str, url: str, *, prepared: bool = True, **knobs: object) -> "Work":
        """A data dir where the CLI was told once what it would ask a person, unless not `prepared`."""
        place = Place.make(root / "agent")
        data = root / "data"
        data.mkdir()
        (data / "config.json").write_text(json.dumps({"worker_command": PRESETS[cli].worker_command}))
        how = start_of(cli, url, place, Options())
        env = {**environment(place), **how.env, "LOOOP_DATA_DIR": str(data), "PYTHONPATH": str(ROOT / "src")}
        env |= {"LOOOP_SESSION_COLS": "120", "LOOOP_SESSION_ROWS": "40"}
        env |= {f"LOOOP_{name.upper()}": str(value) for name, value in knobs.items()}
        env["PATH"] = f"{_tools(place)}:{NODE}:/usr/bin:/bin"
        work = cls(cli, place, data, env)
        if prepared:
            _PREPARE[cli](place, str(data))
        return work

    def run(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """One looop command over this data dir."""
        command = [sys.executable, "-m", "looop", *words]
        return subprocess.run(command, env=self.env, input=stdin, capture_output=True, text=True, timeout=60)

    def start(self, worker: str, prompt: str, *words: str) -> None:
        done = self.run("worker", "start", worker, *words, "-", stdin=prompt)
        assert done.returncode == 0, done.stderr

    def session(self, worker: str) -> Session:
        found = Fleet(str(self.data)).session(worker)
        assert found is not None
        return found

    def screen(self, worker: str, *words: str) -> str:
        """What `looop screenshot` prints."""
        return self.run("screenshot", worker, *words).stdout

    def row(self, worker: str) -> dict[str, Any]:
        """What `looop worker list` says."""
        rows = json.loads(self.run("worker", "list", "--all", "--json").stdout)
        return next(row for row in rows if row["id"] == worker)

    def left(self) -> list[str]:
        found = []
        for pid in leftovers(self.place):
            with suppress(OSError):
                found.append(Path(f"/proc/{pid}/cmdline").read_text(errors="replace"))
        return [line for line in found if line]

    def end(self) -> None:
        """Kill everything that still runs here, supervisors included."""
        fleet = Fleet(str(self.data))
        for session in fleet.sessions():
            if session.alive:
                with suppress(Exception):
                    fleet.kill(session)
        for pid in leftovers(self.place):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _tools(place: Place) -> Path:
    """Where the CLIs are found by name."""
    tools = place.root / "bin"
    tools.mkdir()
    for name, path in PROGRAMS.items():
        (tools / name).symlink_to(path)
    return tools


def _claude(place: Place, data: str) -> None:
    place.write(".claude/settings.json", {"skipDangerousModePermissionPrompt": True})
    trusted = {data: {"hasTrustDialogAccepted": True}}
    place.write(".claude/.claude.json", {"hasCompletedOnboarding": True, "theme": "dark", "projects": trusted})


def _codex(place: Place, data: str) -> None:
    with open(place.home / ".codex/config.toml", "a") as config:
        config.write(f'\n[projects."{data}"]\ntrust_level = "trusted"\n')
        config.write('\n[notice.model_migrations]\n"gpt-5.5" = "gpt-6-sol"\n')


def _pi(place: Place, data: str) -> None:
    models = place.home / ".pi/agent/models.json"
    models.write_text(models.read_text().replace('"scripted-model"', '"claude-opus-4-8"'))


def _opencode(place: Place, data: str) -> None:
    pass


_PREPARE = {"claude": _claude, "codex": _codex, "pi": _pi, "opencode": _opencode}
