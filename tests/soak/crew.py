"""Workers, their supervisors and the pulse under kill -9: how each generation ends, and what is left of it."""

import os
import signal
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from random import Random

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
IDLE = (
    "sleep 600; : {{prompt_file}}",
    "trap '' HUP TERM; while :; do sleep 600; done; : {{prompt_file}}",
    "trap '' HUP; setsid -f sleep 600; (sleep 600 &) ; sleep 600; : {{prompt_file}}",
    "yes looop | head -c 2000000; sleep 600; : {{prompt_file}}",
    ENDS,
)
ASKERS = 0.7  # of all workers ask
LEAVING_S = 30.0  # a supervisor that has written its last word is still on its way out
LOST = "supervisor died"
_VICTIMS = {"worker": 3, "supervisor": 3, "pulse": 3, "pulse's supervisor": 1, "ask": 6}
_ASKER = Path(__file__).with_name("asker.py")


class Crew:
    """All sessions of one data dir. `twice` counts generations that were judged again, `orphans` dead supervisors."""

    def __init__(self, root: Path, rng: Random) -> None:
        self.root, self.random = root, rng
        self.judged, self.log = root.parent / "judged", root.parent / "calls.jsonl"
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

    @property
    def pulses(self) -> int:
        """How often the pulse was killed, itself or its supervisor."""
        return self.killed["pulse"] + self.killed["pulse's supervisor"]

    def keep_pulse(self) -> None:
        try:
            self.local.up()
        except LooopError as error:
            if "did not come up" not in str(error):
                self.wrong.append(f"up: {error}")

    def start_some(self) -> None:
        """Some of those that are over and looked after."""
        for worker in IDS:
            if self.random.random() < 0.5 and not self.is_alive(worker) and not self.untidy(worker):
                self.check_record(worker)
                self._start(worker)

    def _start(self, worker: str) -> None:
        self.generation[worker] += 1
        mark = self.judged / self.name(worker)
        self.command[worker] = self._asker(worker) if self.random.random() < ASKERS else self.random.choice(IDLE)
        self.blows[worker] = set()
        try:
            self.local.steer(StartWorker(worker, "soak", self.command[worker], f"echo judged >> '{mark}'"))
            self.local.claim(worker, worker)
        except LooopError as error:
            if self.command[worker] != ENDS or "live session" not in str(error):
                self.wrong.append(f"start {self.name(worker)}: {error}")

    def _asker(self, worker: str) -> str:
        words = f"{worker} {self.generation[worker]} {self.random.random()} {self.log}"
        return f"{sys.executable} {_ASKER} {words}; : {{{{prompt_file}}}}"

    def asks(self, worker: str) -> bool:
        """Whether this worker is one that asks, and lives."""
        return str(_ASKER) in self.command.get(worker, "") and self.is_alive(worker)

    def name(self, worker: str) -> str:
        return f"{worker}-{self.generation[worker]}"

    def strike(self) -> None:
        """Kill one process: a worker's command, its supervisor, a question that waits, the pulse, or its supervisor."""
        what = self.random.choices(list(_VICTIMS), list(_VICTIMS.values()))[0]
        if what == "ask":
            self._kill_ask()
            return
        of_pulse = what.startswith("pulse")
        sessions = [one for one in self.house.fleet.all() if one.alive and (one.id == PULSE) == of_pulse]
        if sessions:
            victim = self.random.choice(sessions)
            self._kill(victim, victim.pid if "supervisor" in what else victim.child_pid, what)

    def _kill(self, session: Session, pid: int | None, what: str) -> None:
        if not pid:
            return
        self.blows.setdefault(session.id, set()).add(what)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.killed[what] += 1

    def _kill_ask(self) -> None:
        waiting = [line for line in processes_of(self.root) if " looop ask --prompt " in line]
        if waiting:
            with suppress(ProcessLookupError):
                os.kill(int(self.random.choice(waiting).split()[0]), signal.SIGKILL)
                self.killed["ask"] += 1

    def is_alive(self, worker: str) -> bool:
        session = self.house.fleet.find(worker)
        return bool(session and session.alive)

    def began(self, worker: str) -> int:
        """When the live session of this worker began; 0 without one."""
        session = self.house.fleet.find(worker)
        return (session.started_at or 0) if session and session.alive else 0

    def late(self) -> list[str]:
        """What is not yet as it must be once the loop has come to rest."""
        return [why for worker in IDS if not self.is_alive(worker) and (why := self.untidy(worker))]

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
        if not self._is_true(worker, session):
            self.wrong.append(f"{self.name(worker)} after {self.blows[worker] or 'no kill'}: {how}")
        mark = self.judged / self.name(worker)
        times = len(mark.read_text().splitlines()) if mark.exists() else 0
        self.twice += times > 1
        if times == 0:
            verdict = self.house.verify.result(worker)
            self.wrong.append(f"{self.name(worker)} was never judged: {verdict}, {self.command[worker]}, {how}")

    def _is_true(self, worker: str, session: Session) -> bool:
        """Whether the record tells one of the ends there can have been."""
        how, blows = (session.state, session.exit_code, session.signal), self.blows[worker]
        return (
            (self.command[worker] == ENDS and how == ("exited", 3, None))
            or ("worker" in blows and how == ("killed", None, signal.SIGKILL))
            or ("supervisor" in blows and how[:2] == ("killed", None) and LOST in session.problem)
        )

    def check_end(self) -> None:
        """What the whole run must come to, the loop being at rest."""
        for worker in IDS:
            if not self.is_alive(worker) and self.generation[worker]:
                self.check_record(worker)
        told = self._told()
        if not self.orphans - self.pulses <= told <= self.orphans:
            self.wrong.append(f"{self.orphans} supervisors died, and the journal tells of {told}")
        if self.twice > self.pulses:
            self.wrong.append(f"{self.twice} were judged more than once, and the pulse was killed {self.pulses} times")

    def end(self) -> None:
        """End everything; whoever does not end of that is wrong."""
        self.keep_pulse()
        self.wrong += self.local.down().left
        deadline = time.monotonic() + LEAVING_S
        while processes_of(self.root) and time.monotonic() < deadline:
            time.sleep(0.05)
        for line in processes_of(self.root):
            self.wrong.append(f"process left: {line}")
            with suppress(ProcessLookupError):
                os.kill(int(line.split()[0]), signal.SIGKILL)

    def _told(self) -> int:
        """How many dead supervisors of workers the journal tells of."""
        lines = (self.root / "journal.md").read_text().splitlines()
        return sum(f"the supervisor of {worker} died" in line for line in lines for worker in IDS)
