"""A house in a folder of the test, with a clock that stands still, real processes and a voice that is listened to."""

import io
import json
import shlex
from pathlib import Path
from typing import Any

from looop.config.file import Config
from looop.config.knobs import Knobs
from looop.config.paths import Paths, child_environment
from looop.decide.decider import Decider
from looop.model.report import BeatReport
from looop.pulse.beat import beat
from looop.runtime.command import Stop
from looop.runtime.events import Events
from looop.runtime.proc import Processes
from looop.state.house import House, Setting, furnish
from looop.state.open import NoStop
from looop.store.files import FileStore
from looop.store.fsio import Disk
from tests.fakes.clock import StillClock
from tests.fakes.disk import QuickDisk

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
RECORDING = """\
#!/bin/sh
echo asked >> "$0.asked"
cat > "$0.stdin"
"""


class Home:
    """One house and what a test wants to see of it. `rows` are the events, `lines` the log lines, both decoded."""

    def __init__(
        self,
        root: Path,
        *,
        clock: StillClock | None = None,
        disk: Disk | None = None,
        stop: Stop | None = None,
        processes: Processes | None = None,
    ) -> None:
        self.root, self.clock = root, clock or StillClock()
        self.tools = root.parent / f"{root.name}-tools"
        self.tools.mkdir(parents=True, exist_ok=True)
        root.mkdir(parents=True, exist_ok=True)
        self.config, self.stop, self.disk = Config(), stop or NoStop(), disk or QuickDisk()
        self.processes = processes
        self.rows: list[dict[str, Any]] = []
        self.out = io.StringIO()
        self.house = self.furnish()

    def furnish(self, **knobs: Any) -> House:
        """Furnish anew with these knobs, as a new process would; what is on disk stays."""
        paths = Paths(data_dir=str(self.root), given_config="", is_default=False)
        events = Events(self.clock, lambda row: self.rows.append(json.loads(row)), self.out, "json")
        setting = Setting(
            root=str(self.root),
            clock=self.clock,
            processes=self.processes or Processes(self.stop),
            stop=self.stop,
            knobs=Knobs(**knobs),
            env=child_environment(paths, "json", {"PATH": SYSTEM_PATH, "HOME": str(self.tools)}),
        )
        self.house = furnish(setting, FileStore(str(self.root), self.disk), events)
        return self.house

    def run_beat(self, *, forced: bool = False) -> BeatReport:
        """One real beat, with the config of this home."""
        decider = Decider(house=self.house, config=lambda: self.config)
        return beat(self.house, decider, self.clock.now(), forced=forced)

    def later(self, seconds: int, *, forced: bool = False) -> BeatReport:
        """One beat, so many seconds later."""
        self.clock.move(seconds)
        return self.run_beat(forced=forced)

    def write(self, path: str, text: str | bytes, mode: int | None = None) -> Path:
        """A file of the data dir, as a person would put it there."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        if mode is not None:
            file.chmod(mode)
        return file

    def sensor(self, name: str, body: str, mode: int = 0o755) -> Path:
        """A sensor of sh, `name` with or without suffix."""
        script = body if body.startswith("#!") else f"#!/bin/sh\n{body}\n"
        return self.write(f"sensors/{name}" if "." in name else f"sensors/{name}.sh", script, mode)

    def says(self, name: str, value: Any) -> None:
        """A sensor that prints this value, which can be changed without touching the script."""
        self.write(f"values/{name}", json.dumps(value))
        self.sensor(name, f"cat values/{name}")

    def runner(self, body: str, *, command: str = "{agent}", name: str = "agent", **config: Any) -> Path:
        """The configured runner: a script that notes each call and its stdin, then does `body`; no limit on money."""
        agent = self.tools / name
        agent.write_text(RECORDING + body + "\n")
        agent.chmod(0o755)
        self.config = Config(
            **{"tick_command": command.format(agent=shlex.quote(str(agent))), "max_daily_usd": 0} | config
        )
        return agent

    def decides(self, move: dict[str, Any] | str, then: str = "") -> None:
        """A runner that writes this decision, a value or a text."""
        text = move if isinstance(move, str) else json.dumps(move)
        (self.tools / "agent.json").write_text(text)
        self.runner(f'cp "$0.json" .decision.json\n{then}')

    @property
    def asked(self) -> int:
        """How often the runner was started."""
        return sum(len(file.read_text().splitlines()) for file in self.tools.glob("*.asked"))

    @property
    def prompt(self) -> str:
        """What the runner read last."""
        return (self.tools / "agent.stdin").read_text()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The log lines so far."""
        return [json.loads(line) for line in self.out.getvalue().splitlines()]

    @property
    def said(self) -> str:
        """Everything the house has said, as one text."""
        return self.out.getvalue() + "\n".join(json.dumps(row, ensure_ascii=False) for row in self.rows)

    def codes(self) -> list[str]:
        """The codes of the log lines so far."""
        return [line["event"] for line in self.lines]

    def events(self, name: str) -> list[dict[str, Any]]:
        """The rows of one event so far."""
        return [row for row in self.rows if row["event"] == name]

    def snapshot(self, stem: str) -> Any:
        """A published reading, decoded."""
        return json.loads((self.root / f"snapshots/{stem}.json").read_bytes())

    def record(self, name: str) -> Any:
        """A record in the data dir, decoded; None when there is none."""
        file = self.root / name
        return json.loads(file.read_bytes()) if file.exists() else None

    def journal(self) -> list[str]:
        """The journal's lines without their stamps."""
        file = self.root / "journal.md"
        return [line[19:] for line in file.read_text().splitlines()] if file.exists() else []

    def bundles(self) -> list[Path]:
        """The run bundles, oldest first."""
        runs = self.root / "runs"
        return sorted(runs.iterdir(), key=lambda run: run.stat().st_mtime_ns) if runs.exists() else []

    def outcome(self) -> Any:
        """The outcome of the newest bundle."""
        return json.loads((self.bundles()[-1] / "outcome.json").read_bytes())

    def tree(self) -> dict[str, tuple[int, bytes | str]]:
        """Every path below the data dir with its mode and content."""
        found: dict[str, tuple[int, bytes | str]] = {}
        for path in sorted(self.root.rglob("*")):
            content = path.read_bytes() if path.is_file() else "folder"
            found[str(path.relative_to(self.root))] = (path.lstat().st_mode, content)
        return found
