"""Kill -9 of workers, supervisors and the pulse at random; then compare what was promised with what is there.

Run by `scripts/soak`. Promised: every generation's verify is run once it is dead; every record says what happened;
no process is left. Everything is real: processes, terminals, files.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from looop.contract.local import Local
from looop.contract.workers import rows
from looop.model.errors import LooopError
from looop.model.moves import StartWorker
from looop.session.fleet import Session
from looop.state.open import open_house
from looop.state.sessions import PULSE

IDS = [f"w{n}" for n in range(6)]
COMMANDS = (
    "sleep 600; : {{prompt_file}}",
    "trap '' HUP TERM; while :; do sleep 600; done; : {{prompt_file}}",
    "setsid -f sleep 600; (sleep 600 &) ; sleep 600; : {{prompt_file}}",
    "yes looop | head -c 2000000; sleep 600; : {{prompt_file}}",
    "sleep 0.05; exit 3; : {{prompt_file}}",
)
QUIET_S = 20.0


class Soak:
    """One run over one data dir."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.random = root, random.Random(seed)
        os.environ |= {
            "LOOOP_DATA_DIR": str(root),
            "LOOOP_INTERVAL": "1",
            "LOOOP_MIN_BEAT_GAP": "0",
            "LOOOP_NOOP_TTL": "0",
            "LOOOP_MAX_WORKERS": "0",
        }
        root.mkdir(parents=True, exist_ok=True)
        (root / "config.json").write_text("{}")
        self.judged = root / "judged"
        self.judged.mkdir()
        self.local, self.house = Local(), open_house()[0]
        self.local.prepare()
        self.generation: Counter[str] = Counter()
        self.killed: Counter[str] = Counter()
        self.blow: dict[str, str] = {}
        self.wrong: list[str] = []

    def run(self, kills: int) -> None:
        """Start what is not there, kill something, look; until there were enough kills."""
        while sum(self.killed.values()) < kills:
            self.keep_pulse()
            self.start_some()
            self.strike()
            if self.random.random() < 0.1:
                self.settle()
        self.settle()

    def keep_pulse(self) -> None:
        try:
            self.local.up()
        except LooopError as error:
            if "did not come up" not in str(error):
                self.wrong.append(f"up: {error}")

    def start_some(self) -> None:
        for worker in IDS:
            if self.random.random() < 0.5 and self.is_over_and_judged(worker):
                self.check_record(worker)
                self.start(worker)

    def start(self, worker: str) -> None:
        self.generation[worker] += 1
        mark = self.judged / f"{worker}-{self.generation[worker]}"
        move = StartWorker(worker, "soak", self.random.choice(COMMANDS), f"echo judged >> '{mark}'")
        self.blow.pop(worker, None)
        try:
            self.local.steer(move)
        except LooopError as error:
            self.wrong.append(f"start {worker}: {error}")

    def strike(self) -> None:
        """Kill one process: a worker's command, its supervisor, the pulse, or the pulse's supervisor."""
        sessions = [session for session in self.house.fleet.all() if session.alive]
        if not sessions:
            return
        victim = self.random.choice(sessions)
        if self.random.random() < 0.5 and victim.child_pid:
            self.kill(victim, victim.child_pid, "pulse" if victim.id == PULSE else "worker")
        else:
            self.kill(victim, victim.pid, "pulse's supervisor" if victim.id == PULSE else "supervisor")

    def kill(self, session: Session, pid: int, what: str) -> None:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.killed[what] += 1
        self.blow[session.id] = what

    def is_over_and_judged(self, worker: str) -> bool:
        if self.generation[worker] == 0:
            return True
        session = self.house.fleet.find(worker)
        return bool(session and not session.alive and self.house.verify.result(worker))

    def check_record(self, worker: str) -> None:
        """The record of a generation that is over says how it ended, and it was judged."""
        session = self.house.fleet.find(worker)
        if session is None:
            return
        how = (session.state, session.exit_code, session.signal, session.problem)
        blow = self.blow.get(worker)
        truthful = {
            None: how[:2] == ("exited", 3),
            "worker": how[:3] == ("killed", None, 9) or how[:2] == ("exited", 3),
            "supervisor": (how[0] == "killed" and "supervisor died" in session.problem) or how[:2] == ("exited", 3),
        }[blow]
        if not truthful:
            self.wrong.append(f"{worker}-{self.generation[worker]} after kill of {blow}: {how}")
        if not (self.judged / f"{worker}-{self.generation[worker]}").exists():
            self.wrong.append(f"{worker}-{self.generation[worker]} was never judged")

    def settle(self) -> None:
        """Let the loop come to rest, then every dead worker is judged and no record contradicts a process."""
        self.keep_pulse()
        deadline = time.monotonic() + QUIET_S
        while time.monotonic() < deadline:
            self.keep_pulse()
            if all(self.is_over_and_judged(worker) or self.is_alive(worker) for worker in IDS):
                return
            time.sleep(0.05)
        late = [row.id for row in rows(self.house) if not row.alive and row.id in IDS and row.verify is None]
        self.wrong.append(f"not judged within {QUIET_S:.0f} s: {late}")

    def is_alive(self, worker: str) -> bool:
        session = self.house.fleet.find(worker)
        return bool(session and session.alive)

    def finish(self) -> list[str]:
        """Stop everything; what was promised and is not so."""
        for worker in IDS:
            if self.is_over_and_judged(worker) and self.generation[worker]:
                self.check_record(worker)
        self.keep_pulse()
        seen = self.local.down()
        self.wrong += seen.left
        left = processes_of(self.root)
        self.wrong += [f"process left: {line}" for line in left]
        return self.wrong


def processes_of(root: Path) -> list[str]:
    """Every process that was started for this data dir, ourselves left out."""
    found, needle = [], f"LOOOP_DATA_DIR={root}".encode()
    for pid in (name for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()):
        try:
            if needle in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                found.append(f"{pid} {Path(f'/proc/{pid}/cmdline').read_bytes().replace(bytes(1), b' ').decode()}")
        except OSError:
            continue
    return found


def soak(kills: int, seed: int, root: Path) -> tuple[Soak, list[str]]:
    """A whole run; what went wrong is empty when all promises were kept."""
    run = Soak(root, seed)
    try:
        run.run(kills)
    finally:
        wrong = run.finish()
    return run, wrong


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6)
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="looop-soak-") as folder:
        run, wrong = soak(options.kills, options.seed, Path(folder) / "data")
        judged = len(list(run.judged.iterdir()))
    print(
        f"seed {options.seed}: {sum(run.killed.values())} kills in {time.monotonic() - began:.0f} s: {dict(run.killed)}"
    )
    print(f"{sum(run.generation.values())} workers started, {judged} judged")
    for line in wrong[:50]:
        print(f"WRONG {line}")
    print(f"{len(wrong)} promises broken")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
