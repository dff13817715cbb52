"""A house with real workers, and nothing of them left when its test is over."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from looop.act.perform import perform
from looop.model.moves import KillWorker, StartWorker
from looop.session.fleet import Session
from looop.state.sessions import Sessions
from tests.fakes.house import Home
from tests.fakes.waiting import until

IDLE = "sleep 600; : {{prompt_file}}"


class Crew(Home):
    """A home whose workers sleep, unless a test wants something else of them."""

    def __init__(self, root: Path, **options: Any) -> None:
        super().__init__(root, **options)
        self.write("PLAYBOOK.md", "judge\n")
        self.configure()

    def configure(self, worker_command: str | None = IDLE, **config: Any) -> None:
        """The config file, which a start reads."""
        wanted = {"worker_command": worker_command, **config} if worker_command else config
        self.write("config.json", json.dumps(wanted))

    def start(
        self, worker: str = "w", command: str | None = None, verify: str | None = None, prompt: str = "do"
    ) -> str:
        """Start it as the loop does; the line that was journaled."""
        return perform(self.house, StartWorker(worker, prompt, command, verify), self.clock.now())

    def kill(self, worker: str) -> str:
        """End it as the loop does."""
        return perform(self.house, KillWorker(worker), self.clock.now())

    def session(self, worker: str = "w") -> Session:
        """As it stands now."""
        return self.house.fleet.require(worker)

    def ended(self, worker: str = "w") -> Session:
        """As it stands once it is over."""
        until(lambda: not self.session(worker).alive, what=f"the end of {worker}")
        return self.session(worker)

    def shown(self, worker: str = "w") -> str:
        """What it has printed."""
        log = self.root / "sessions" / worker / "output.log"
        return log.read_text() if log.exists() else ""

    def shows(self, text: str, worker: str = "w") -> None:
        """Return once it has printed that."""
        until(lambda: text in self.shown(worker), what=f"{text!r} from {worker}")

    def found(self) -> dict[str, Any]:
        """All that is in the data dir, but for locks."""
        return {
            path: content
            for path, content in self.tree().items()
            if not path.startswith(".lock") and not path.endswith(".dirlock")
        }


def processes_of(root: Path | str) -> list[str]:
    """Every process that was started for this data dir, ourselves left out."""
    found, needle = [], f"LOOOP_DATA_DIR={root}".encode()
    for pid in (name for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()):
        with suppress(OSError):
            if needle in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(bytes(1), b" ")
                found.append(f"{pid} {words.decode('utf-8', 'replace')}")
    return found


def end_all(root: Path | str) -> None:
    """End every session of the data dir, the pulse first, and what orphans have left."""
    fleet = Sessions(str(root))
    with suppress(Exception):
        for session in sorted(fleet.all(), key=lambda session: session.id != "pulse"):
            with suppress(Exception):
                if session.alive:
                    fleet.kill(session)
                elif session.is_orphaned:
                    fleet.sweep(session)


@contextmanager
def no_worker_left(root: Path) -> Iterator[None]:
    """Whatever a test did, its sessions end with it; fails when a process outlives its session."""
    try:
        yield
    finally:
        if (root / "sessions").is_file():
            (root / "sessions").unlink()
        end_all(root)
    until(lambda: processes_of(root) == [], 5, f"the end of {processes_of(root)}")
