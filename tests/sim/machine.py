"""The machine under the loop: sensors, agents, commands and workers that do as a seed says, and what came of them."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from looop.model.errors import Refused
from looop.runtime.command import Command, Ended, OnChunk, OnTick
from looop.runtime.proc import Processes
from looop.state.sessions import Sessions
from tests.fakes.clock import StillClock
from tests.fakes.fleet import FakeSession
from tests.sim.disk import SimStore

RUN_USD = 0.5
SENSORS = ("s0", "s1", "s2")


class SimSession(FakeSession, frozen=True, kw_only=True):
    """What is known of a session, with what tells one generation from another."""

    mark: str
    command: list[str]
    size: tuple[int, int] = (80, 24)


class Effect(Struct, frozen=True):
    """A command that was carried out: on which visit of a world, and in which beat."""

    cmd: str
    visit: int
    beat: int


class Machine(Processes):
    """Runs commands by doing at once what they stand for.

    `agent` answers a prompt, `post` takes a message to its target; `effects` is what shell commands did to the world,
    `bills` what each run really cost. While it is `sane` no command fails. `is_to_end` says of the process that runs
    now whether it was asked to end, `did` hears of each command and what became of it, `judges` of each verify.
    """

    def __init__(self, store: SimStore, clock: StillClock, rng: Random) -> None:
        super().__init__()
        self.store, self.clock, self.rng = store, clock, rng
        self.values: dict[str, int | None] = dict.fromkeys(SENSORS, 0)
        self.effects: list[Effect] = []
        self.bills: list[tuple[int, float]] = []
        self.agent: Callable[[], Answer] = lambda: Answer("{}")
        self.post: Callable[[Command], Ended] = lambda command: Ended(code=1)
        self.is_to_end: Callable[[], bool] = lambda: False
        self.did: Callable[[Effect], None] = self.effects.append
        self.judges: Callable[[str], None] = lambda worker: None
        self.sane = False
        self.world, self.visit, self.beat, self.asked = "", 0, 0, 0
        self.live_pids: set[int] = set()

    def look_at(self, world: str) -> None:
        """A beat looks at this world; one that comes back after another is a new visit."""
        self.visit += world != self.world
        self.world = world

    def is_alive(self, pid: int) -> bool:
        return pid in self.live_pids

    def kill_left(self, mark: str) -> None:
        pass

    def run_all(self, commands: Sequence[Command]) -> list[Ended]:
        return [self._sense(command) if command.argv[0] != "bash" else self._shell(command) for command in commands]

    def run(
        self,
        command: Command,
        on_output: OnChunk | None = None,
        on_errors: OnChunk | None = None,
        on_tick: OnTick | None = None,
    ) -> Ended:
        if on_output is None:
            return self.post(command) if command.feed else self._shell(command)
        if self.is_to_end():
            return Ended(stopped=True)
        self.store.step("run", "agent")
        self.asked += 1
        answer = self.agent()
        if answer.usd is not None:
            self.bills.append((self.clock.now(), answer.usd))
        if answer.file is not None:
            with self.store.calm():
                self.store.write(".decision.json", answer.file.encode())
        on_output(answer.stream())
        if on_tick:
            on_tick()
        self.store.step("ran", "agent")
        if self.is_to_end():
            return Ended(stopped=True, seconds=1.0)
        return Ended(code=answer.code, timed_out=answer.hangs, seconds=1.0)

    def _sense(self, command: Command) -> Ended:
        name = command.argv[0].rpartition("/")[2].removesuffix(".sh")
        if self.is_to_end():
            return Ended(stopped=True)
        self.store.step("run", name)
        value = self.values.get(name, 0)
        if value is None:
            return Ended(code=1, errors=b"no reading\n")
        reading = json.dumps({"signal": value, "detail": {"at": self.clock.now()}}).encode()
        return Ended(code=0, output=reading, output_bytes=len(reading))

    def _shell(self, command: Command) -> Ended:
        cmd = command.argv[-1]
        if self.is_to_end():
            return Ended(stopped=True)
        self.store.step("run", cmd)
        if cmd.startswith("verify "):
            self.judges(cmd.removeprefix("verify "))
            return Ended(code=self.rng.randrange(2))
        if not self.sane and self.rng.random() < 0.1:
            return Ended(code=1)
        self.did(Effect(cmd, self.visit, self.beat))
        self.store.step("ran", cmd)
        return Ended(code=0, output=b"done\n", output_bytes=5)


class Answer(Struct, frozen=True):
    """What an agent leaves: a text, or a decision file, its bill (None: it names none), and how it ends."""

    text: str = ""
    file: str | None = None
    usd: float | None = RUN_USD
    code: int = 0
    hangs: bool = False

    def stream(self) -> bytes:
        """As claude prints it."""
        result: dict[str, Any] = {"type": "result", "subtype": "success", "is_error": False, "result": self.text}
        if self.usd is not None:
            result |= {"total_cost_usd": self.usd, "usage": {"input_tokens": 100, "output_tokens": 10}}
        return json.dumps(result).encode() + b"\n"


class SimFleet(Sessions):
    """Workers without processes. They outlive the pulse; who kills one says so here."""

    def __init__(self, store: SimStore, clock: StillClock) -> None:
        super().__init__("/nonexistent")
        self._store, self._clock, self._count = store, clock, 0
        self.sessions: dict[str, SimSession] = {}
        self.starts: Counter[str] = Counter()

    def all(self) -> list[Any]:
        self._store.step("list", "sessions")
        return sorted(self.sessions.values(), key=lambda session: session.id)

    def exact(self, session_id: str) -> Any:
        return self.sessions.get(session_id)

    def is_there(self, session_id: str) -> bool:
        return session_id in self.sessions

    def start(
        self,
        session_id: str,
        command: Sequence[str],
        env: Mapping[str, str],
        *,
        max_log: int,
        size: tuple[int, int] = (80, 24),
    ) -> None:
        if session_id in self.sessions:
            raise Refused(f"session {session_id} is there already")
        self._store.step("start", session_id)
        self._count += 1
        now = self._clock.now()
        self.sessions[session_id] = SimSession(
            session_id,
            "running",
            alive=True,
            started_at=now,
            last_change=now,
            output_at=now,
            changed_at=now,
            mark=str(self._count),
            command=list(command),
        )
        self.starts[session_id] += 1
        self._store.step("started", session_id)

    def kill(self, session: Any) -> None:
        self.end(session.id, "killed")

    def end(self, session_id: str, state: str = "exited", code: int | None = None) -> None:
        """It ends, by itself or because somebody wants it to."""
        if (found := self.sessions.get(session_id)) and found.alive:
            now = self._clock.now()
            self.sessions[session_id] = replace(
                found, state=state, alive=False, exit_code=code, last_change=now, changed_at=now
            )

    def orphan(self, session_id: str) -> None:
        """Its supervisor dies."""
        if (found := self.sessions.get(session_id)) and found.alive:
            self.sessions[session_id] = replace(found, alive=False, is_orphaned=True)

    def sweep(self, session: Any) -> int | None:
        found = self.sessions.get(session.id)
        if found is None or not found.is_orphaned:
            return None
        self.sessions[session.id] = replace(
            found, state="killed", is_orphaned=False, last_change=self._clock.now(), changed_at=self._clock.now()
        )
        return 1

    def reap(self, session_id: str) -> bool:
        found = self.sessions.get(session_id)
        if found is None or found.alive or found.is_orphaned:
            return False
        del self.sessions[session_id]
        return True

    def clean(self) -> None:
        pass
