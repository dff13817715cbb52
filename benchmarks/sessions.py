"""Sessions: what an idle supervisor holds and does, how fast one is up, what a list of many costs. Linux only."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from statistics import mean

from looop.session.fleet import Fleet, Session
from paired import clean_env, compare, each, figure, growth, pairs, title, wall

MEMORY = (1, 10, 50)
LISTS = (10, 100, 200)
WATCH_S = 10.0
SIDE_BY_SIDE = 4


@contextmanager
def fleet() -> Iterator[Fleet]:
    """An empty fleet, all of whose sessions are ended and removed."""
    with tempfile.TemporaryDirectory(prefix="looop-bench-") as root:
        fleet = Fleet(root)
        try:
            yield fleet
        finally:
            for session in fleet.sessions():
                if session.alive:
                    fleet.kill(session)
                fleet.reap(session.id)


def start(fleet: Fleet, numbers: range) -> list[Session]:
    """Start sessions side by side; all of them, once their commands run."""
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        list(pool.map(lambda number: fleet.start(f"s{number}", ["sleep", "600"], clean_env()), numbers))
    return fleet.sessions()


def rollup(pid: int) -> dict[str, int]:
    """Kilobytes by kind."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        rows = [row.split() for row in file if row.endswith("kB\n")]
    return {row[0].rstrip(":"): int(row[1]) for row in rows}


def ticks(pid: int) -> tuple[int, int]:
    """Clock ticks used, and times it gave up the processor."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        switches = sum(int(row.split()[1]) for row in file if "ctxt_switches" in row)
    return int(fields[11]) + int(fields[12]), switches


def memory() -> None:
    for count in MEMORY:
        with fleet() as some:
            held = [rollup(session.pid) for session in start(some, range(count))]
        private = mean(one["Private_Clean"] + one["Private_Dirty"] for one in held) / 1024
        figure(f"memory of its own (private), one of {count}", private, "MB", 4.5 if count == 50 else None)
        figure(f"its fair share (PSS), one of {count}", mean(one["Pss"] for one in held) / 1024, "MB")


def at_rest() -> None:
    with fleet() as some:
        sessions = start(some, range(50))
        time.sleep(1)
        before = [ticks(session.pid) for session in sessions]
        time.sleep(WATCH_S)
        after = [ticks(session.pid) for session in sessions]
    used = sum(one[0] for one in after) - sum(one[0] for one in before)
    woke = sum(one[1] for one in after) - sum(one[1] for one in before)
    figure(f"ticks of 50 idle supervisors in {WATCH_S:.0f} s", used, "", 0)
    figure(f"their wake-ups in {WATCH_S:.0f} s", woke, "", 50)


def speed() -> None:
    bare = [sys.executable, "-I", "-S", "-E", "-c", "pass"]
    numbers = iter(range(1000, 100_000))
    with fleet() as some:
        one = each(1, lambda: some.start(f"s{next(numbers)}", ["sleep", "600"], clean_env()), wall)
        base = each(1, lambda: subprocess.run(bare, env=clean_env(), check=True), wall)
        compare("start until it runs : an interpreter that passes", pairs(one, base, 31), 2.5)
    with fleet() as some:
        figure(f"50 up, {SIDE_BY_SIDE} side by side", wall(lambda: start(some, range(50))), "s", 0.8)
        figure("50 ended, one after the other", wall(lambda: [some.kill(one) for one in some.sessions()]), "s")


def lists() -> None:
    taken = []
    with fleet() as some:
        for count in LISTS:
            start(some, range(len(taken) and LISTS[len(taken) - 1], count))
            assert len(some.sessions()) == count
            taken.append(min(each(1, some.sessions, wall)() for _ in range(45)))
            figure(f"a list of {count}", taken[-1] * 1000, "ms", 50 if count == 100 else None)
    figure("growth of a list, b in seconds ~ sessions^b", growth(list(LISTS), taken), "", 1.1)


def main() -> None:
    title("sessions: supervisors of `sleep`, idle, started, listed")
    if not sys.platform.startswith("linux"):
        sys.exit("needs /proc")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with fleet() as some:
        start(some, range(1))  # compiles
    memory()
    at_rest()
    speed()
    lists()


if __name__ == "__main__":
    main()
