"""Workers, their supervisors and the pulse under kill -9: how each generation ends, and what is left of it."""

import os
import re
import signal
import sys
import threading
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
from tests.soak.calls import Calls
from tests.soak.heard import Call

IDS = [f"w{n}" for n in range(6)]
ENDS = "sleep 0.05; exit 3; : {{prompt_file}}"
IDLE = (
    "sleep 600; : {{prompt_file}}",
    "trap '' HUP TERM; while :; do sleep 600; done; : {{prompt_file}}",
    "trap '' HUP; setsid -f sleep 600; (sleep 600 &) ; sleep 600; : {{prompt_file}}",
    "yes looop | head -c 2000000; sleep 600; : {{prompt_file}}",
    ENDS,
)
ASKERS = 0.8  # of all workers ask
LEAVING_S = 30.0  # a supervisor that has written its last word is still on its way out
LOST = "supervisor died"
UP_BY_VERB = 0.2
SPARED_BEATS = 3  # a pulse that is killed in its first beat each time does nothing
START = 0.1  # the chance that one which is over is started anew in a turn
_NOT_UP = "did not come up|ended before it began|says? nothing"  # its pulse was killed on its way
_VICTIMS = {"worker": 3, "supervisor": 3, "pulse": 3, "pulse's supervisor": 1, "ask": 5}
_ASKER = Path(__file__).with_name("asker.py")


class Crew:
    """All sessions of one data dir. `twice` counts generations that were judged again, `orphans` dead supervisors."""

    def __init__(self, root: Path, rng: Random, calls: Calls) -> None:
        self.root, self.random, self.calls = root, rng, calls
        self.judged, self.log = root.parent / "judged", root.parent / "calls.jsonl"
        self.judged.mkdir()
        self.local, self.house = Local(), open_house()[0]
        self.local.prepare()
        self.generation: Counter[str] = Counter()
        self.killed: Counter[str] = Counter()
        self.command: dict[str, str] = {}
        self.blows: dict[str, set[str]] = {}
        self.checked: set[str] = set()
        self.failed: set[str] = set()
        self._starting: set[str] = set()
        self._coming_up = False
        self._events_at = self._beats = self._spared_until = 0
        self.twice = self.orphans = 0
        self.wrong: list[str] = []

    @property
    def pulses(self) -> int:
        """How often the pulse was killed, itself or its supervisor."""
        return self.killed["pulse"] + self.killed["pulse's supervisor"]

    def keep_pulse(self) -> None:
        """See to it that a pulse comes up, sometimes by a verb that may be killed like any other."""
        if not self._coming_up and not self.is_alive(PULSE):
            self._coming_up = True
            if self.random.random() < UP_BY_VERB:
                self.calls.start(lambda ended: self._came_up(ended.err if ended.fate == "refused" else ""), "up")
            else:
                threading.Thread(target=self._up, daemon=True).start()

    def _up(self) -> None:
        why = ""
        try:
            self.local.up()
        except LooopError as error:
            why = str(error)
        self._came_up(why)

    def _came_up(self, why_not: str) -> None:
        self._coming_up = False
        if why_not and not re.search(_NOT_UP, why_not):
            self.wrong.append(f"up: {why_not}")

    def beats(self) -> int:
        """How many have begun so far."""
        try:
            with open(self.root / "events.jsonl", "rb") as file:
                file.seek(self._events_at)
                data = file.read()
        except FileNotFoundError:
            return 0
        whole = data.rfind(b"\n") + 1
        self._events_at += whole
        self._beats += data[:whole].count(b'"tick_start"')
        return self._beats

    def start_some(self) -> None:
        """Some of those that are over and looked after."""
        for worker in IDS:
            if self.random.random() < START and not self.is_alive(worker) and not self.untidy(worker):
                self.check_record(worker)
                self.generation[worker] += 1
                self.command[worker] = (
                    self._asker(worker) if self.random.random() < ASKERS else self.random.choice(IDLE)
                )
                self.blows[worker] = set()
                self._starting.add(worker)
                threading.Thread(target=self._start, args=(worker,), daemon=True).start()

    def _start(self, worker: str) -> None:
        """A start that is hit on its way may fail; then this generation is none."""
        name, command = self.name(worker), self.command[worker]
        mark = self.judged / name
        try:
            self.local.steer(StartWorker(worker, "soak", command, f"echo judged >> '{mark}'"))
        except LooopError as error:
            self.failed.add(name)
            if not self.blows[worker]:
                self.wrong.append(f"start {name}: {error}")
        else:
            self._claim(worker, name, command)
        finally:
            self._starting.discard(worker)

    def _claim(self, worker: str, name: str, command: str) -> None:
        try:
            self.local.claim(worker, worker)
        except LooopError as error:
            if not self.blows[worker] and command != ENDS:
                self.wrong.append(f"claim of {name}: {error}")

    def _asker(self, worker: str) -> str:
        words = f"{worker} {self.generation[worker]} {self.random.random()} {self.log}"
        stubborn = "trap '' HUP; " if self.random.random() < 0.5 else ""
        return f"{stubborn}{sys.executable} {_ASKER} {words}; : {{{{prompt_file}}}}"

    def is_asking(self, worker: str) -> bool:
        """Whether this worker is one that asks, and lives."""
        return str(_ASKER) in self.command.get(worker, "") and self.is_alive(worker)

    def name(self, worker: str) -> str:
        return f"{worker}-{self.generation[worker]}"

    def strike(self, waiting: dict[int, Call], what: str = "") -> None:
        """Kill one process: a worker's command, its supervisor, a question that waits, the pulse, or its supervisor."""
        what = what or self.random.choices(list(_VICTIMS), list(_VICTIMS.values()))[0]
        if what == "ask":
            self._kill_ask(waiting)
            return
        of_pulse = what.startswith("pulse")
        if of_pulse and self.beats() < self._spared_until:
            return
        if of_pulse:
            self._spared_until = self.beats() + self.random.randint(0, SPARED_BEATS)
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

    def _kill_ask(self, waiting: dict[int, Call]) -> None:
        """Only where that pid is that question's."""
        mine = [pid for pid, call in waiting.items() if call.generation == self.generation[call.worker]]
        if mine:
            pid = self.random.choice(mine)
            with suppress(OSError):
                if f"\0--prompt\0{waiting[pid].about}\0".encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)
                    self.killed["ask"] += 1

    def _session(self, name: str) -> Session | None:
        with suppress(LooopError):
            return self.house.fleet.exact(name)
        return None

    def is_alive(self, worker: str) -> bool:
        session = self._session(worker)
        return worker in self._starting or bool(session and session.alive)

    def began(self, worker: str) -> int:
        """When the live session of this worker began; 0 without one."""
        session = self._session(worker)
        return (session.started_at or 0) if session and session.alive else 0

    def late(self) -> list[str]:
        """What is not yet as it must be once the loop has come to rest."""
        late = [why for worker in IDS if not self.is_alive(worker) and (why := self.untidy(worker))]
        return late + [f"{worker} is being started" for worker in self._starting]

    def untidy(self, worker: str) -> str:
        """What is not yet as it must be once a generation is over, and nobody has looked after it for a while."""
        session = self._session(worker)
        if self.generation[worker] == 0 or self.name(worker) in self.failed:
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
        session = self._session(worker)
        if session is None or self.name(worker) in self.checked | self.failed:
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
        """What the whole run must come to, the loop being at rest; a worker may have ended by itself just now."""
        for worker in IDS:
            if not self.is_alive(worker) and self.generation[worker] and not self.untidy(worker):
                self.check_record(worker)
        told = self._told()
        if not self.orphans - self.pulses <= told <= self.orphans:
            self.wrong.append(f"{self.orphans} supervisors died, and the journal tells of {told}")
        if self.twice > self.pulses:
            self.wrong.append(f"{self.twice} were judged more than once, and the pulse was killed {self.pulses} times")

    def end(self) -> None:
        """End everything; whoever does not end of that is wrong."""
        with suppress(LooopError):
            self.local.up()
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
