"""Change the code a little, and see whether a test notices.   python -m tests.mutants.run [MODULE…]

A mutant lives in a copy of the tree, one copy for each process. The tests that run its line come first, then the others
that use its module, each group from the quickest on; the first failure ends it. A process is forked with pytest and the
libraries loaded, so that a mutant costs little more than its tests.
"""

import argparse
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing import get_context
from typing import NamedTuple

from tests.fakes.arguments import above_zero
from tests.mutants.mutate import Mutant, mutants
from tests.mutants.suite import Suite, measure, verdict

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EXPLAINED = "tests/mutants/survivors.txt"
ROOMS = {
    "rules": ["tests/unit/rules"],
    "store": ["tests/unit/store", "tests/contract", "tests/crash/test_store_crash.py"],
}
PATIENCE_S, MOST_MEMORY = 60, 4 << 30


class Plan(NamedTuple):
    """What one run does: the modules with their mutants, and what each mutant is judged by."""

    chosen: list[Mutant]
    made: list[Mutant]
    suites: dict[str, Suite]


_slot = ""
_suites: dict[str, Suite] = {}


def main() -> int:
    wanted = _arguments()
    with tempfile.TemporaryDirectory(prefix="mutants-") as base:
        slots = [_slot_in(base, n) for n in range(wanted.jobs)]
        plan = _plan(slots[0], wanted)
        print(f"{len(plan.chosen)} of {len(plan.made)} mutants are tried", flush=True)
        ends, tried = time.monotonic() + wanted.minutes * 60, dict[str, bool]()
        for mutant, killed in _judged(plan, slots):
            tried[mutant.name] = killed
            if not killed and mutant.name not in explained():
                print(f"survived {mutant.path}:{mutant.line} {mutant.scope}: {mutant.old} → {mutant.new}", flush=True)
            if time.monotonic() > ends:
                print(f"stopped after {wanted.minutes:g} minutes, {len(tried)} were tried")
                break
    return _report(plan, tried)


def explained() -> dict[str, str]:
    """The survivors that are meant to live, each with its reason."""
    found, reason = dict[str, str](), ""
    for line in _read(EXPLAINED).splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith(" "):
            found[line.strip()] = reason
        else:
            reason = line
    return found


def modules() -> list[str]:
    found = []
    for room in ROOMS:
        for folder, _, names in os.walk(os.path.join(ROOT, "src", "looop", room)):
            found += [os.path.relpath(os.path.join(folder, name), ROOT) for name in names if name.endswith(".py")]
    return sorted(path for path in found if not path.endswith("__init__.py"))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/mutants", description="Change the code, see whether a test notices.")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="such as gates or store/files; all when none")
    parser.add_argument("--limit", type=above_zero(int), help="try this many of each module, drawn by --seed; else all")
    parser.add_argument("--seed", type=int, default=1, help="the same one draws the same mutants; 1 without it")
    parser.add_argument("--minutes", type=above_zero(float), default=60, help="stop after this time; 60 without it")
    parser.add_argument("--jobs", type=above_zero(int), default=2, help="so many processes; 2 without it")
    wanted = parser.parse_args()
    wanted.paths = [path for path in modules() if not wanted.modules or any(_is(path, m) for m in wanted.modules)]
    unknown = [name for name in wanted.modules if not any(_is(path, name) for path in modules())]
    if unknown or not wanted.paths:
        known = ", ".join(path.removeprefix("src/looop/").removesuffix(".py") for path in modules())
        parser.error(f"no such module: {', '.join(unknown)}; expected some of {known}")
    return wanted


def _is(path: str, name: str) -> bool:
    return f"/{path}".removesuffix(".py").endswith("/" + name.removesuffix(".py")) or f"looop/{name}/" in path


def _slot_in(base: str, n: int) -> str:
    slot = os.path.join(base, str(n))
    shutil.copytree(os.path.join(ROOT, "src"), f"{slot}/src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(os.path.join(ROOT, "tests"), f"{slot}/tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(os.path.join(ROOT, "pyproject.toml"), slot)
    return slot


def _plan(slot: str, wanted: argparse.Namespace) -> Plan:
    made: list[Mutant] = []
    chosen: list[Mutant] = []
    suites: dict[str, Suite] = {}
    for room, places in ROOMS.items():
        paths = [path for path in wanted.paths if f"/looop/{room}/" in path]
        tests = _tests_of(places, paths) if room == "rules" else places  # every store is reached by one door
        suites |= measure(slot, tests, paths) if paths else {}
        for path in paths:
            found = list(mutants(path, _read(path)))
            drawn = random.Random(f"{wanted.seed} {path}").sample(range(len(found)), min(wanted.limit or 0, len(found)))
            made += found
            chosen += [found[n] for n in sorted(drawn)] if wanted.limit else found
    return Plan(chosen, made, suites)


def _tests_of(places: list[str], paths: list[str]) -> list[str]:
    """The test files that name the modules; all of the room's when one of them is not named anywhere."""
    found = set[str]()
    for path in paths:
        room, _, name = path.removeprefix("src/").removesuffix(".py").replace("/", ".").rpartition(".")
        naming = re.compile(rf"{room}\.{name}\b|from {room} import (\w+, )*{name}\b")
        named = [test for test in _files(places) if naming.search(_read(test))]
        if not named:
            return places
        found.update(named)
    return sorted(found)


def _files(places: list[str]) -> list[str]:
    found = [place for place in places if place.endswith(".py")]
    for folder in set(places) - set(found):
        found += [f"{folder}/{name}" for name in os.listdir(os.path.join(ROOT, folder)) if name.startswith("test_")]
    return sorted(found)


def _read(path: str) -> str:
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def _judged(plan: Plan, slots: list[str]) -> Iterator[tuple[Mutant, bool]]:
    """Each mutant with whether it was killed, in order."""
    context = get_context("fork")
    queue = context.SimpleQueue()
    for slot in slots:
        queue.put(slot)
    _suites.update(plan.suites)
    with context.Pool(len(slots), _take_slot, (queue,)) as pool:
        yield from zip(plan.chosen, pool.imap(_is_killed, plan.chosen), strict=True)


def _take_slot(queue: "object") -> None:
    global _slot
    _slot = queue.get()  # type: ignore[attr-defined]


def _is_killed(mutant: Mutant) -> bool:
    suite = _suites[mutant.path]
    path = os.path.join(_slot, mutant.path)
    with open(path, encoding="utf-8") as file:
        before = file.read()
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(mutant.source)
        return not _lives(suite.ranks(mutant.line), suite.seconds)
    finally:
        with open(path, "w", encoding="utf-8") as file:
            file.write(before)


def _lives(ranks: dict[str, int], usual_s: float) -> bool:
    """Whether the tests pass, in a process group of their own that is gone afterwards.

    What loops for ever is stopped by its processor time, which a busy machine does not lengthen.
    """
    processor_s = int(10 + 2 * usual_s)
    patience_s = PATIENCE_S + 5 * usual_s
    pid = os.fork()
    if pid == 0:
        os.setsid()
        signal.alarm(2 * int(patience_s))  # where nobody is left to end it
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (processor_s, processor_s))
        os._exit(verdict(_slot, ranks))
    ends, done = time.monotonic() + patience_s, (0, 0)
    while done[0] == 0 and time.monotonic() < ends:
        done = os.waitpid(pid, os.WNOHANG)
        time.sleep(0.01)
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    if done[0] == 0:
        os.waitpid(pid, 0)
        return False
    return os.waitstatus_to_exitcode(done[1]) == 0


def _report(plan: Plan, tried: dict[str, bool]) -> int:
    reasons, names = explained(), {mutant.name for mutant in plan.made}
    paths = sorted({mutant.path for mutant in plan.chosen})
    for path in paths:
        here = {name: killed for name, killed in tried.items() if name.startswith(f"{path} ")}
        killed, meant = sum(here.values()), sum(not killed and name in reasons for name, killed in here.items())
        share = 100 * killed / max(len(here) - meant, 1)
        print(f"{share:5.1f} %  {path}: {killed} of {len(here)} killed, {meant} explained")
    stale = [name for name in reasons if tried.get(name) or (name.split(" ")[0] in paths and name not in names)]
    for name in stale:
        print(f"stale in {EXPLAINED}: {name} ({'is killed' if name in names else 'is no mutant'})")
    left = [name for name, killed in tried.items() if not killed and name not in reasons]
    print(f"{len(left)} survived without a reason, {len(stale)} reasons are stale")
    return 1 if left or stale else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
