"""What people do to the loop, each time by a process of its own: answer, withdraw, tell, write goals and schedules."""

import json
import os
import time
from pathlib import Path
from random import Random

from tests.soak.calls import Calls, Ended
from tests.soak.crew import IDS, Crew
from tests.soak.ledger import Act, Register, Shelf

_PLACES = [f"memo{n}" for n in range(4)]
_AT_ONCE = 4


class Said:
    """A message to a worker: in which of its generations, and how that went."""

    def __init__(self, worker: str, generation: int) -> None:
        self.worker, self.generation = worker, generation
        self.fate = "running"


class People:
    """They look at what is on disk, as anybody may, and act on it."""

    def __init__(self, root: Path, rng: Random, calls: Calls, crew: Crew) -> None:
        self.root, self.random, self.calls, self.crew = root, rng, calls, crew
        self.settled: dict[str, Register] = {}
        self.tells: dict[str, Said] = {}
        self.goals, self.schedules = Shelf("goal"), Shelf("schedule")
        self._count = 0

    def act(self) -> None:
        """Some of them do something, unless enough are at it."""
        deeds = (self.answer, self.answer_again, self.withdraw, self.tell, self.goal, self.schedule)
        for deed in self.random.choices(deeds, (8, 1, 1, 4, 1, 1), k=2):
            if self.calls.running < _AT_ONCE:
                deed()

    def answer(self) -> None:
        """The latest question or any other, sometimes by two people at once, sometimes with a no."""
        if waiting := self.waiting():
            ask_id = self.random.choice((waiting[-1], self.random.choice(waiting)))
            for _ in range(1 if self.random.random() < 0.8 else 2):
                self._answer(ask_id, "no, " if self.random.random() < 0.1 else "")

    def answer_again(self) -> None:
        """Another answer in the place of one that is there."""
        answered = [name for name in self._names("answers") if self.settled.get(name, Register()).done]
        if answered:
            self._answer(self.random.choice(answered[-5:]), "again ", "--force")

    def _answer(self, ask_id: str, how: str, *options: str) -> None:
        text = f"{how}answer {self._next()}"
        act = self.of(ask_id).begin(("answered", text), time.monotonic(), forced=bool(options))
        if self.random.random() < 0.3:
            self.calls.start(lambda ended: _close(act, ended), "answer", *options, ask_id, "-", stdin=text)
        else:
            self.calls.start(lambda ended: _close(act, ended), "answer", *options, ask_id, text)

    def withdraw(self) -> None:
        if waiting := self.waiting():
            ask_id, why = self.random.choice(waiting), f"moot {self._next()}"
            act = self.of(ask_id).begin(("withdrawn", why), time.monotonic(), forced=False)
            self.calls.start(lambda ended: _close(act, ended), "ask", "withdraw", ask_id, "--why", why)

    def tell(self) -> None:
        """To one who asks, if there is one, mostly; the others never hear it."""
        asking = [worker for worker in IDS if self.crew.is_asking(worker)]
        worker = self.random.choice(asking if asking and self.random.random() < 0.8 else IDS)
        msg = f"tell {self._next()}"
        said = self.tells[msg] = Said(worker, self.crew.generation[worker])

        def then(ended: Ended) -> None:
            said.fate = ended.fate

        self.calls.start(then, "tell", worker, msg)

    def goal(self) -> None:
        name, text = self.random.choice(_PLACES), f"memo {self._next()}"
        if self.random.random() < 0.2:
            self.write(self.goals, name, None, "goal", "archive", name)
        else:
            self.write(self.goals, name, text, "goal", "write", name, text)

    def schedule(self) -> None:
        name, note = self.random.choice(_PLACES), f"memo {self._next()}"
        every = self.random.choice((["--every", "7m"], ["--cron", "30 2 * * *"], ["--in", "1d"]))
        if self.random.random() < 0.2:
            self.write(self.schedules, name, None, "schedule", "rm", name)
        else:
            self.write(self.schedules, name, note, "schedule", "write", name, *every, "--note", note)

    def write(self, shelf: Shelf, name: str, value: object, *words: str) -> None:
        """One at a time writes each."""
        if shelf.is_free(name):
            act = shelf.of(name).begin(value, time.monotonic())
            self.calls.start(lambda ended: _close(act, ended), *words)

    def of(self, ask_id: str) -> Register:
        """What was done to settle a question."""
        return self.settled.setdefault(ask_id, Register())

    def waiting(self) -> list[str]:
        """Questions of workers without a settlement, the oldest first."""
        settled = set(self._names("answers"))
        return [name for name in self._names("asks") if name not in settled and name.partition("-")[0] in IDS]

    def wrong(self) -> list[str]:
        """Goals and schedules that are not as they were promised to be."""
        goals = {file.stem: _text(file) for file in (self.root / "goals").glob("[!.]*.md")}
        schedules = {file.stem: _note(file) for file in (self.root / "schedules").glob("[!.]*.json")}
        return [*self.goals.wrong(goals), *self.schedules.wrong(schedules)]

    def _names(self, folder: str) -> list[str]:
        """The ids in a folder, in the order of their files."""
        found = []
        for file in (self.root / folder).glob("[!.]*.json"):
            try:
                found.append((file.stat().st_mtime_ns, file.stem))
            except FileNotFoundError:
                continue
        return [name for _, name in sorted(found)]

    def _next(self) -> int:
        self._count += 1
        return self._count


def _close(act: Act, ended: Ended) -> None:
    act.fate, act.end = ended.fate, ended.end


def _text(file: Path) -> object:
    try:
        return file.read_text().strip()
    except FileNotFoundError:
        return None


def _note(file: Path) -> object:
    try:
        return json.loads(file.read_bytes()).get("note")
    except FileNotFoundError:
        return None
    except ValueError:
        return f"torn: {os.fspath(file)}"
