"""Kill -9 of workers, supervisors and the pulse at random; then compare what was promised with what is there.

Run by `scripts/soak`. Promised: every generation is judged, once unless the pulse itself was killed; every record says
what happened; what a dead supervisor left is told once; no lease, no socket, no announcement and no process of a
worker outlives it. Everything is real: processes, terminals, files.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from looop.contract.local import Local
from looop.model.errors import LooopError
from looop.model.moves import StartWorker
from looop.session.fleet import Session
from looop.state.open import open_house
from looop.state.sessions import PULSE
from tests.fakes.crew import processes_of
from tests.fakes.sessions import marked

IDS = [f"w{n}" for n in range(6)]
ENDS = "sleep 0.05; exit 3; : {{prompt_file}}"
COMMANDS = (
    "sleep 600; : {{prompt_file}}",
    "trap '' HUP TERM; while :; do sleep 600; done; : {{prompt_file}}",
    "trap '' HUP; setsid -f sleep 600; (sleep 600 &) ; sleep 600; : {{prompt_file}}",
    "yes looop | head -c 2000000; sleep 600; : {{prompt_file}}",
    ENDS,
)
QUIET_S = 20.0
LEAVING_S = 5.0  # a supervisor that has written its last word is still on its way out
MOST_WRONG = 10
LOST = "supervisor died"


class Soak:
    """One run over one data dir. `twice` counts generations that were judged again, `orphans` dead supervisors."""

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
        self.command: dict[str, str] = {}
        self.blows: dict[str, set[str]] = {}
        self.checked: set[str] = set()
        self.twice = self.orphans = 0
        self.wrong: list[str] = []

    def run(self, kills: int) -> None:
        """Start what is not there, kill something, look; until there were enough kills, or too much was wrong."""
        while sum(self.killed.values()) < kills and len(self.wrong) < MOST_WRONG:
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
            if self.random.random() < 0.5 and not self.is_alive(worker) and not self.untidy(worker):
                self.check_record(worker)
                self.start(worker)

    def start(self, worker: str) -> None:
        self.generation[worker] += 1
        mark = self.judged / self.name(worker)
        self.command[worker] = self.random.choice(COMMANDS)
        self.blows[worker] = set()
        try:
            self.local.steer(StartWorker(worker, "soak", self.command[worker], f"echo judged >> '{mark}'"))
            self.local.claim(worker, worker)
        except LooopError as error:
            if self.command[worker] != ENDS:
                self.wrong.append(f"start {worker}: {error}")

    def name(self, worker: str) -> str:
        return f"{worker}-{self.generation[worker]}"

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
        self.blows.setdefault(session.id, set()).add(what)

    def is_alive(self, worker: str) -> bool:
        session = self.house.fleet.find(worker)
        return bool(session and session.alive)

    def untidy(self, worker: str) -> str:
        """What is not yet as it must be once a generation is over, and nobody has looked after it for a while."""
        session = self.house.fleet.find(worker)
        if self.generation[worker] == 0:
            return ""
        if session is None:
            return f"{worker} has no record"
        if not self.house.verify.result(worker):
            return f"{worker} is not judged"
        if (self.root / "claims" / f"{worker}.json").exists():
            return f"{worker} still holds its lease"
        if left := marked(session.mark):
            return f"{worker} has left {len(left)} processes"
        if session.socket and os.path.exists(session.socket):
            return f"{worker} has left its socket"
        return ""

    def check_record(self, worker: str) -> None:
        """The record of a generation that is over says how it ended, and it was judged."""
        session = self.house.fleet.find(worker)
        if session is None or self.name(worker) in self.checked:
            return
        self.checked.add(self.name(worker))
        self.orphans += LOST in session.problem
        how = (session.state, session.exit_code, session.signal, session.problem)
        if not self.is_true(worker, session):
            self.wrong.append(f"{self.name(worker)} after {self.blows[worker] or 'no kill'}: {how}")
        mark = self.judged / self.name(worker)
        times = len(mark.read_text().splitlines()) if mark.exists() else 0
        self.twice += times > 1
        if times == 0:
            self.wrong.append(f"{self.name(worker)} was never judged")

    def is_true(self, worker: str, session: Session) -> bool:
        """Whether the record tells one of the ends there can have been."""
        how, blows = (session.state, session.exit_code, session.signal), self.blows[worker]
        return (
            (self.command[worker] == ENDS and how == ("exited", 3, None))
            or ("worker" in blows and how == ("killed", None, signal.SIGKILL))
            or ("supervisor" in blows and how[:2] == ("killed", None) and LOST in session.problem)
        )

    def settle(self) -> None:
        """Let the loop come to rest: then every dead worker is judged, and nothing of it is left."""
        deadline = time.monotonic() + QUIET_S
        while True:
            self.keep_pulse()
            late = [why for worker in IDS if not self.is_alive(worker) and (why := self.untidy(worker))]
            if not late:
                return
            if time.monotonic() > deadline:
                self.wrong += [f"after {QUIET_S:.0f} s: {why}" for why in late]
                return
            time.sleep(0.05)

    def finish(self) -> list[str]:
        """Stop everything; what was promised and is not so."""
        for worker in IDS:
            if not self.is_alive(worker) and self.generation[worker]:
                self.check_record(worker)
        told = self.told()
        pulses = self.killed["pulse"] + self.killed["pulse's supervisor"]
        if not self.orphans - pulses <= told <= self.orphans:
            self.wrong.append(f"{self.orphans} supervisors died, and the journal tells of {told}")
        if self.twice > pulses:
            self.wrong.append(f"{self.twice} were judged more than once, and the pulse was killed {pulses} times")
        self.keep_pulse()
        self.wrong += self.local.down().left
        self.wrong += [f"announcement left: {path.name}" for path in self.root.glob(".action-wal*")]
        deadline = time.monotonic() + LEAVING_S
        while processes_of(self.root) and time.monotonic() < deadline:
            time.sleep(0.05)
        for line in processes_of(self.root):
            self.wrong.append(f"process left: {line}")
            with suppress(ProcessLookupError):
                os.kill(int(line.split()[0]), signal.SIGKILL)
        return self.wrong

    def told(self) -> int:
        """How many dead supervisors of workers the journal tells of."""
        lines = (self.root / "journal.md").read_text().splitlines()
        return sum(f"the supervisor of {worker} died" in line for line in lines for worker in IDS)


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
    seconds, killed = time.monotonic() - began, dict(run.killed)
    print(f"seed {options.seed}: {sum(killed.values())} kills in {seconds:.0f} s: {killed}")
    print(f"{run.generation.total()} workers started, {judged} judged, {run.twice} of them more than once")
    print(f"{run.orphans} supervisors died before their workers")
    for line in wrong[:50]:
        print(f"WRONG {line}")
    print(f"{len(wrong)} promises broken")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
