"""What is stopped at every point: an operation, the data dir it begins with, and how the places it dies at are counted.

`python -m tests.crash.points` prints how many points each operation has. A point is a call of the disk, or the begin or
the end of a process. A process dies, or the power is cut, where something has just changed: after a call that only
looked all is as it was before it. Each point has several cuts: all that was not synced is lost, then in turn what the
other `CUTS` leave.
"""

import shutil
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace

from looop.config.file import Config
from looop.model.errors import Unreadable, Unwritable
from looop.state.house import House
from looop.store.files import FileStore
from looop.store.fsio import Disk
from tests.crash.power import PowerDisk
from tests.fakes.clock import StillClock
from tests.fakes.crew import IDLE
from tests.fakes.disk import CALLS, Died, FailingDisk, QuickDeath, QuickDisk, WatchedDisk
from tests.fakes.house import Home
from tests.sim.machine import Machine, SimFleet

BEGIN, APART_S = int(time.time()), 100
LOOKING = frozenset(("read", "stat", "scan", "tail", "lock", "extend", "close"))
LOST, OTHER_WAYS = "all is lost", ("names without content", "as it comes")
CUTS = {LOST: (0.0, 0.0), OTHER_WAYS[0]: (1.0, 0.0), OTHER_WAYS[1]: (0.5, 0.5)}
CONFIG = Config(tick_command="claude -p --output-format stream-json", worker_command=IDLE, max_daily_usd=1000)


class Steady(Random):
    """Commands succeed."""

    def random(self) -> float:
        return 0.5


class Place:
    """A data dir, and the world around it, which outlives the process that works there."""

    def __init__(self, root: Path, disk: Disk) -> None:
        self.root, self.clock = root, StillClock(BEGIN)
        self.machine = Machine(disk, self.clock, Steady(1))  # type: ignore[arg-type]
        self.fleet = SimFleet(disk, self.clock)  # type: ignore[arg-type]
        self.with_runner = False
        self.open(disk)

    def open(self, disk: Disk) -> None:
        """Another process begins here."""
        self.machine.store = self.fleet._store = disk  # type: ignore[assignment]
        self.store = FileStore(str(self.root), disk)
        self.home = Home(self.root, clock=self.clock, disk=disk, processes=self.machine)
        self.home.house = replace(self.home.house, fleet=self.fleet)
        self.home.config = CONFIG if self.with_runner else Config()

    @property
    def house(self) -> House:
        return self.home.house

    def cut_power(self, disk: PowerDisk, way: str, rng: Random) -> None:
        """What was not synced goes, run bundles whole; what ran is over."""
        names, data = CUTS[way]
        disk.cut(rng, names, data)
        for file in self.root.glob("runs/*/*"):
            file.write_bytes(b"")
        for session in self.fleet.sessions:
            self.fleet.orphan(session)
        self.clock.reboot("boot-2")


class Operation(Struct, frozen=True):
    """What is stopped. `prepare` makes the data dir, once; `arrange` the world around it, for each point.

    `reading` is how it stands for a fresh process: as before, as after, or one of so many truths `between`. What is not
    `durable` may be lost with the power though it was done. The power is cut so many times at each point.
    """

    act: Callable[[Place], object]
    reading: Callable[[Place], Any]
    prepare: Callable[[Place], object] = lambda place: None
    arrange: Callable[[Place], object] = lambda place: None
    between: int = 0
    again: bool = True
    durable: bool = True
    cuts: int = 6


class Stopped(Struct, frozen=True):
    """A place where the operation was stopped before its `at`-th call; how it stood before, and how it stands after."""

    place: Place
    at: int
    old: Any
    new: Any
    done: bool = False


class Points(Struct, frozen=True):
    """The points of one operation, whose data dirs are below `root`."""

    operation: Operation
    root: Path

    def calls(self) -> list[str]:
        """What the operation calls when nobody disturbs it."""
        place = self._place("healthy", disk := WatchedDisk())  # type: ignore[no-untyped-call]
        self.operation.act(place)
        shutil.rmtree(place.root)
        return disk.calls  # type: ignore[no-any-return]

    def deaths(self) -> Iterator[Stopped]:
        """The process dies after each of its calls that changed something: one that looked leaves the point before."""
        calls, (old, new) = self.calls(), self._truths()
        for at in points_of(calls):
            if at > len(calls):
                continue
            place = self._place(str(at), QuickDeath(at))  # type: ignore[no-untyped-call]
            with pytest.raises(Died):
                self.operation.act(place)
            place.open(QuickDisk())
            yield Stopped(place, at, old, new)
            shutil.rmtree(place.root)

    def cuts(self) -> Iterator[Stopped]:
        """The power fails after each call that changed something, and when all is done."""
        calls, (old, new) = self.calls(), self._truths()
        for turn, at in enumerate(ends_of(calls)):
            ways = [LOST, *(OTHER_WAYS[(turn + n) % 2] for n in range(self.operation.cuts - 1))]
            for seed, way in enumerate(ways):
                disk = PowerDisk(at)
                place = self._place(f"{at}-{seed}", disk)
                with suppress(Died):
                    self.operation.act(place)
                place.cut_power(disk, way, Random(at * 31 + seed))
                place.open(QuickDisk())
                yield Stopped(place, at, old, new, done=at > len(calls))
                shutil.rmtree(place.root)

    def failures(self, number: int) -> Iterator[Stopped]:
        """Each call of the disk fails once, with this error, and the process lives on."""
        calls, (old, new) = self.calls(), self._truths()
        for at, name in enumerate(calls, 1):
            if name in CALLS:
                place = self._place(str(at), FailingDisk(at, number))  # type: ignore[no-untyped-call]
                with suppress(Unreadable, Unwritable):
                    self.operation.act(place)
                place.open(QuickDisk())
                yield Stopped(place, at, old, new)
                shutil.rmtree(place.root)

    def _truths(self) -> tuple[Any, Any]:
        """How it reads before and after."""
        place = self._place("truths", QuickDisk())
        old = self.operation.reading(place)
        self.operation.act(place)
        new = self.operation.reading(place)
        shutil.rmtree(place.root)
        return old, new

    def _place(self, name: str, disk: Disk) -> Place:
        template = self.root / "template"
        if not template.exists():
            self.operation.prepare(Place(template, QuickDisk()))
        root = self.root / name
        shutil.copytree(template, root, dirs_exist_ok=True)
        place = Place(root, QuickDisk())
        place.clock.move(APART_S)
        self.operation.arrange(place)
        place.open(disk)
        return place


def text(place: Place, key: str) -> str | None:
    blob = FileStore(str(place.root)).read(key)
    return blob.data.decode() if blob else None


def texts(place: Place, folder: str) -> dict[str, str | None]:
    return {entry.name: text(place, f"{folder}/{entry.name}") for entry in FileStore(str(place.root)).list(folder)}


def points_of(calls: list[str]) -> list[int]:
    """Before which calls a death finds something that the one before could not."""
    return [1, *(n + 1 for n, name in enumerate(calls, 1) if name not in LOOKING)]


def ends_of(calls: list[str]) -> list[int]:
    """The same, and the moment at which the last call has returned: from then on what was promised is so."""
    return sorted({*points_of(calls), len(calls) + 1})


def main() -> None:
    """Print the table."""
    from tests.crash.operations import OPERATIONS

    ArgumentParser(prog="scripts/soak --points", description="Count the points of each operation.").parse_args()
    say("operation", "calls", "deaths", "power cuts")
    total = [0, 0, 0]
    for name, operation in OPERATIONS.items():
        with tempfile.TemporaryDirectory(prefix="looop-crash-") as folder:
            calls = Points(operation, Path(folder)).calls()
        deaths = sum(at <= len(calls) for at in points_of(calls))
        counts = [len(calls), deaths, operation.cuts * len(ends_of(calls))]
        total = [before + count for before, count in zip(total, counts, strict=True)]
        say(name, *counts)
    say("all", *total)


def say(name: str, *counts: object) -> None:
    """One row of the table."""
    print(f"{name:<32}", *(f"{count:>10}" for count in counts))


if __name__ == "__main__":
    main()
