"""Kill -9 of everything at random, over a real file system; then compare what was promised with what is there.

Workers, their supervisors, the pulse, questions that wait, and every verb of people and workers on its way. Promised:
no question, answer, message, goal or schedule is lost, none is settled or told twice; what is decided once is done
once, or reported; each run of the agent is billed once, and the budget holds; every generation is judged, every record
says what happened; nothing outlives its worker. Everything is real: processes, terminals, files.

  --minutes M   so long, 10 without it
  --kills N     until so many kills, instead
  --seed S      the same choices; what the machine makes of them differs
  --bugs        plant each bug in turn, and say how soon it is found
"""

import argparse
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

from looop.store.files import FileStore
from tests.fakes.arguments import above_zero
from tests.soak.bugs import BUGS, planted
from tests.soak.calls import Calls
from tests.soak.crew import Crew
from tests.soak.mail import Mail
from tests.soak.people import People
from tests.soak.remains import clear_away, data_dir, end_processes
from tests.soak.work import Work

TURN_S = 0.1
STRIKE = 0.15  # the chance of a strike in a turn
DELICATE = 0.2  # that of one at the pulse, when it has something to do that must be done once
LOOK_EVERY_S, SETTLE_EVERY_S, TELL_EVERY_S = 2.0, 30.0, 10.0
PATIENCE_BEATS, PATIENCE_S, LONGEST_S = 8, 20.0, 300.0
MOST_WRONG = 10
HUNT_S = 180.0
ENDED_BY_HAND = 130


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
            "LOOOP_MAX_DECIDES_PER_HOUR": "0",
            "LOOOP_BACKOFF_CAP": "1",
            "LOOOP_EVENTS_MAX_BYTES": "0",
            "LOOOP_JOURNAL_MAX_BYTES": "0",
            "LOOOP_RUNS_KEEP": "0",
        }
        root.mkdir(parents=True, exist_ok=True)
        (root / "config.json").write_text("{}")
        self.calls = Calls(self.random)
        self.crew = Crew(root, self.random, self.calls)
        self.people = People(root, self.random, self.calls, self.crew)
        self.mail = Mail(root, self.crew, self.people)
        self.work = Work(root, self.crew)
        self.looks = self.settled = self.debris = 0
        self._wrong: dict[str, None] = {}
        self._told = self._looked = self._rested = self.began = time.monotonic()

    @property
    def killed(self) -> Counter[str]:
        """Everything that was killed, by kind. The questions among it are on record with their workers, too."""
        by_workers = self.mail.log.killed() - Counter(ask=self.crew.killed["ask"])
        named = {f"{what}, by its worker": count for what, count in by_workers.items()}
        return self.crew.killed + self.calls.killed + Counter(named)

    @property
    def wrong(self) -> list[str]:
        """What was promised and is not so."""
        return [*self._wrong, *self.crew.wrong, *self.calls.wrong]

    def run(self, kills: int, seconds: float) -> None:
        """Start what is not there, do and kill something, look; for so long, or until there were so many kills."""
        while time.monotonic() < self.began + seconds and len(self.wrong) < MOST_WRONG:
            if kills and self.killed.total() >= kills:
                break
            self.turn()
        self.settle()

    def turn(self) -> None:
        began = time.monotonic()
        self.crew.keep_pulse()
        self.crew.start_some()
        self.people.act()
        self.work.step()
        self.mail.listen()
        if self.random.random() < STRIKE:
            self.crew.strike(self.mail.log.waiting())
        if self.random.random() < DELICATE and self.work.is_delicate():
            self.crew.strike({}, "pulse")
        self.calls.gather()
        if began > self._looked + LOOK_EVERY_S:
            self.look()
        if began > self._rested + SETTLE_EVERY_S:
            self.settle()
        self.tell()
        time.sleep(max(TURN_S - (time.monotonic() - began), 0))

    def look(self) -> None:
        """Compare, however far the processes are."""
        self.calls.gather()
        self._wrong |= dict.fromkeys([*self.mail.check(), *self.work.check(), *self.people.wrong()])
        self._looked = time.monotonic()
        self.looks += 1

    def settle(self) -> None:
        """Let the loop come to rest, and compare. It has so many beats for that, however long each takes."""
        began, beats = time.monotonic(), self.crew.beats()
        while late := self._late():
            self.crew.keep_pulse()
            passed = time.monotonic() - began
            if (passed > PATIENCE_S and self.crew.beats() - beats > PATIENCE_BEATS) or passed > LONGEST_S:
                self._wrong |= dict.fromkeys(f"at rest for {self.crew.beats() - beats} beats: {why}" for why in late)
                break
            self.tell()
            time.sleep(0.1)
        self.look()
        self._rested = time.monotonic()
        self.settled += 1

    def _late(self) -> list[str]:
        self.calls.gather()
        if self.calls.running:
            return [f"{self.calls.running} verbs do not end"]
        return self.crew.late() + self.mail.late() + self.work.late()

    def finish(self) -> None:
        """Stop everything, and look what is left."""
        self.crew.check_end()
        self.crew.end()
        left = self._swept()
        self._wrong |= dict.fromkeys(f"temporary file left: {path}" for path in left)

    def _swept(self) -> list[Path]:
        """Temporary files that are left once another process has written to each folder that has one."""
        store = FileStore(str(self.root))
        found = list(self.root.rglob(".*.tmp"))
        self.debris = len(found)
        for folder in {path.parent for path in found}:
            store.swap(os.path.relpath(folder / "nothing", self.root), b"", None)
        return [path for path in found if path.exists()]

    def tell(self) -> None:
        """How far it is, for whoever waits."""
        if time.monotonic() > self._told + TELL_EVERY_S:
            self._told = time.monotonic()
            print(f"{self._told - self.began:5.0f} s  {self.figures()}", file=sys.stderr, flush=True)

    def figures(self) -> str:
        return (
            f"{self.killed.total()} kills, {self.crew.beats()} beats, {self.crew.generation.total()} workers, "
            f"{len(self.mail.asks)} questions, {len(self.mail.seen)} settled, {len(self.people.tells)} messages, "
            f"{len(self.wrong)} wrong"
        )

    def report(self) -> list[str]:
        """What was killed, and what was checked."""
        outcomes = Counter(value[0] for value, _ in self.mail.seen.values() if isinstance(value, tuple))
        crew, people = self.crew, self.people
        return [
            f"killed: {_counts(self.killed)}",
            f"not killed: {_counts(self.calls.ended)}, {len(self.mail.log.calls)} calls of workers",
            f"{crew.generation.total()} workers started, {len(list(crew.judged.iterdir()))} judged, {crew.twice} of "
            f"them more than once; {crew.orphans} supervisors died before their workers",
            f"{len(self.mail.asks)} questions: {_counts(outcomes)}; {len(people.tells)} messages, "
            f"{self.mail.log.heard.total()} heard; {len(people.goals.places)} goals, "
            f"{len(people.schedules.places)} schedules",
            self.work.figures(),
            f"{self.crew.beats()} beats, {self.looks} looks, {self.settled} times at rest; {self.debris} temporary "
            "files of the killed, gone with the next write",
        ]


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(counter.items()))


def soak(kills: int, seconds: float, seed: int, root: Path) -> tuple[Soak, list[str], bool]:
    """A whole run, what went wrong, and whether somebody ended it before its time: then it is only cleared away."""
    run = Soak(root, seed)
    try:
        run.run(kills, seconds)
        run.finish()
        return run, run.wrong, False
    except KeyboardInterrupt:
        return run, run.wrong, True  # what is cleared away while it starts is not wrong
    finally:
        end_processes(root)


def hunt(bug: str, seed: int, seconds: float) -> tuple[float, list[str]]:
    """Plant a bug; how many seconds it took to find it, and what was found."""
    with data_dir() as root, planted(bug):
        try:
            run = Soak(root, seed)
            while not run.wrong and time.monotonic() < run.began + seconds:
                run.turn()
            if not run.wrong:
                run.settle()
            found = run.wrong
        finally:
            end_processes(root)
    return time.monotonic() - run.began, found


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/soak --kill", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    until = parser.add_mutually_exclusive_group()
    until.add_argument("--minutes", type=above_zero(float))
    until.add_argument("--kills", type=above_zero(int))
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6)
    parser.add_argument("--bugs", nargs="?", const="")
    options = parser.parse_args()
    bugs = [bug for bug in BUGS if options.bugs in bug] if options.bugs is not None else []
    if options.bugs and not bugs:
        parser.error(f"no bug has {options.bugs!r} in its name")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end_early)
    try:
        clear_away()
        if bugs:
            return _hunt_all(bugs, options.seed)
        seconds = options.minutes * 60 if options.minutes else 3600.0 if options.kills else 600.0
        return _soak_and_tell(options.kills or 0, seconds, options.seed)
    except KeyboardInterrupt:
        return ENDED_BY_HAND


def _soak_and_tell(kills: int, seconds: float, seed: int) -> int:
    with data_dir() as root:
        run, wrong, is_early = soak(kills, seconds, seed, root)
        report = run.report()
    early = ", ended early" if is_early else ""
    print(f"seed {seed}: {run.killed.total()} kills in {time.monotonic() - run.began:.0f} s{early}")
    print(*(f"  {line}" for line in report), *(f"WRONG {line}" for line in wrong[:50]), sep="\n")
    print(f"{len(wrong)} promises broken")
    return 1 if wrong else ENDED_BY_HAND if is_early else 0


def _end_early(number: int, frame: object) -> None:
    """Once: what clears away is not ended, and `timeout` sends its signal twice."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, _unheard)
    raise KeyboardInterrupt


def _unheard(number: int, frame: object) -> None:
    """Not SIG_IGN, which children would inherit."""


def _hunt_all(bugs: list[str], seed: int) -> int:
    missed = 0
    for bug in bugs:
        seconds, found = hunt(bug, seed, HUNT_S)
        missed += not found
        print(f"{seconds:6.1f} s  {bug}: {found[0][:150] if found else 'NOT FOUND'}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
