"""Real agent CLIs as workers: the presets' commands in the terminals of a real looop, prepared as docs/workers.md says.

    work = Work.make(tmp_path, "codex", endpoint.base("report", "t1"))
    work.start("w", "Do this.")
    work.ended("w")
    work.screen("w"), work.left(), work.end()

Each has a HOME of its own, dummy keys, and none of the caller's environment.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from looop.config.presets import PRESETS
from looop.contract.screens import screenshot
from looop.session.fleet import Fleet, KillError, Session
from tests.agents.cli import NODE, PROGRAMS, ROOT, Options, Place, environment, leftovers, start_of
from tests.agents.scenarios import Fault, Scenario
from tests.fakes.waiting import until

CLIS = ("claude", "codex", "pi", "opencode")
START_S = {"claude": 15.0, "codex": 15.0, "pi": 15.0, "opencode": 40.0}
HOLD = "hold"
_WAITS = f"until test -e {HOLD}; do sleep 0.05; done"
_REPORT = [
    {"text": "I write the report.", "bash": 'printf "%s in %s" "$LOOOP_SESSION_ID" "$PWD" > reports/w.md'},
    {"bash": '"$LOOOP_BIN" cost add worker w scripted 0.42 --goal w'},
    {"bash": '"$LOOOP_BIN" kill w'},
]
_DEAF = "trap '' HUP TERM INT; tail -f /dev/null"


def scenarios() -> dict[str, Scenario]:
    """Lives of workers: a short one (`held`: it first waits for a file), one that only talks, one that reads its task
    from the file, one whose model is silent, one with commands that no signal but KILL ends, in two sessions.
    """
    return {
        "report": Scenario(_REPORT),
        "held": Scenario([{"bash": _WAITS}, *_REPORT]),
        "talk": Scenario([{"text": f"Here is answer {n}."} for n in range(9)]),
        "reads": Scenario([{"bash": "tail -n 1 prompts/w.md"}, {"text": "So I have read."}]),
        "mute": Scenario([], Fault("hang")),
        "deaf": Scenario([{"bash": f'setsid sh -c "{_DEAF}" & {_DEAF}'}]),
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
        """A data dir, and a CLI that was told once what it would ask a person, unless not `prepared`."""
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
        """`looop worker start`, which must succeed."""
        done = self.run("worker", "start", worker, *words, "-", stdin=prompt)
        assert done.returncode == 0, done.stderr

    def session(self, worker: str) -> Session:
        found = Fleet(str(self.data)).session(worker)
        assert found is not None
        return found

    def screen(self, worker: str) -> str:
        """Its screen, as text."""
        session = self.session(worker)
        return str(screenshot(session.folder, session.size).text)

    def shows(self, worker: str, words: str, seconds: float = 10) -> None:
        """Return once those words are on its screen."""
        until(lambda: words in self.screen(worker), seconds, f"{words!r} on the screen of {self.cli}")

    def ended(self, worker: str, seconds: float = 15) -> Session:
        """The session, as soon as it is over."""
        until(lambda: not self.session(worker).alive, seconds, f"the end of {self.cli}")
        return self.session(worker)

    def row(self, worker: str) -> dict[str, Any]:
        """What `looop worker list` says."""
        rows = json.loads(self.run("worker", "list", "--all", "--json").stdout)
        return next(row for row in rows if row["id"] == worker)

    def left(self) -> list[str]:
        """The command lines of what still runs here, whatever group or session it is in."""
        found = []
        for pid in leftovers(self.place):
            with suppress(OSError):
                found.append(Path(f"/proc/{pid}/cmdline").read_text(errors="replace"))
        return [line for line in found if line]

    def end(self) -> None:
        """Kill what a test left: each session by its supervisor, then whatever else runs here."""
        fleet = Fleet(str(self.data))
        for session in fleet.sessions():
            if session.alive:
                with suppress(KillError, OSError):
                    fleet.kill(session)
        for pid in leftovers(self.place):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.place.home / ".codex/packages", ignore_errors=True)


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
    """Its config says `daemon_auto_start = false` for tests that run it headless; a worker must do without."""
    config = place.home / ".codex/config.toml"
    seen = '\n[notice.model_migrations]\n"gpt-5.5" = "gpt-6-sol"\n'
    config.write_text(config.read_text().replace("daemon_auto_start = false\n", "") + seen)


def _pi(place: Place, data: str) -> None:
    models = place.home / ".pi/agent/models.json"
    models.write_text(models.read_text().replace('"scripted-model"', '"claude-opus-4-8"'))


_PREPARE = {"claude": _claude, "codex": _codex, "pi": _pi, "opencode": lambda place, data: None}
