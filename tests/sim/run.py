"""Play whole loops in virtual time.   scripts/soak [--sim] [--beats N] [--seed N] [--bugs]

Without --seed many seeds share the beats, side by side on all processors. A seed that breaks a promise is printed with
the command that plays it again; played alone it prints what happened before. --bugs plants each bug in turn and says
which promise it breaks, and how soon that is found. Ctrl-C ends it with what was played by then.
"""

import argparse
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import parent_process
from threading import Thread

from msgspec import Struct

from tests.fakes.arguments import above_zero
from tests.sim.bugs import BUGS
from tests.sim.loop import simulate
from tests.sim.promises import Broken

BEATS_A_SEED = 400
BEATS_A_HUNT = 200
PATIENCE_S = 60
TOLD_EVERY_S = 10
ENDED_BY_HAND = 130


class Catch(Struct, frozen=True):
    """A planted bug that was found, after so long, by that seed; `why` is empty when its promise was never broken.

    `before` are the other promises that it broke first, in other seeds.
    """

    seconds: float
    seed: int
    why: str = ""
    before: tuple[str, ...] = ()


def play(seed: int, beats: int = BEATS_A_SEED, *, with_story: bool = False) -> tuple[int, Counter[str], str]:
    """One seed: how many beats, what came of them, and what was broken ("" for nothing)."""
    try:
        sim = simulate(seed, beats)
    except Broken as error:
        again = f"again: scripts/soak --sim --seed {seed} --beats {error.beats + 1}"
        story = "".join(f"    {line}\n" for line in error.story) if with_story else ""
        return 0, Counter(), f"{story}{error}\n    promised: {error.means}\n    {again}"
    seen = {f"beats {ending}": count for ending, count in sim.endings.items()}
    seen |= {"deaths": sim.deaths, "power cuts": sim.power_cuts, "stops": sim.stops, "agent runs": sim.machine.asked}
    seen |= {"commands": len(sim.machine.effects), "questions": len(sim.promises.asks)}
    seen |= {"answers taken": len(sim.promises.taken), "messages heard": len(sim.promises.heard)}
    seen |= {"pushes": len(sim.post.arrived), "scheduled jobs": sim.runs.served, "records damaged": sim.damage.count}
    seen |= {"workers started": sum(sim.fleet.starts.values()), "store operations": sim.store.steps}
    return sim.beats, Counter(seen), ""


def play_all(beats: int, first: int = 1) -> tuple[int, Counter[str], list[str]]:
    """Seeds from `first` on, until there were so many beats, or somebody ends it. How it goes is told on stderr."""
    done, totals, broken = 0, Counter[str](), list[str]()
    seeds = range(first, first + -(-beats // BEATS_A_SEED))
    began = told = time.monotonic()
    try:
        with _pool() as pool:
            for made, seen, why in pool.map(play, seeds):
                done += made
                totals += seen
                broken += [why] if why else []
                if why:
                    print(why, file=sys.stderr)
                if time.monotonic() - told > TOLD_EVERY_S:
                    told = time.monotonic()
                    print(f"{told - began:5.0f} s  {done} of {beats} beats, {len(broken)} broken", file=sys.stderr)
    except KeyboardInterrupt:
        print("ended by hand", file=sys.stderr)
    return done, totals, broken


@contextmanager
def _pool() -> Iterator[ProcessPoolExecutor]:
    """A process for each processor; what has not begun when this ends is left."""
    pool = ProcessPoolExecutor(os.cpu_count(), initializer=_follow_parent)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _follow_parent() -> None:
    """Ctrl-C is for the parent, which ends this process; and this process does not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def follow() -> None:
        if parent := parent_process():
            parent.join()
        os._exit(1)

    Thread(target=follow, daemon=True).start()


def hunt(name: str, patience_s: float = PATIENCE_S) -> Catch:
    """Plant a bug, and play seeds until the very promise is broken that it should break.

    Seconds are the processor's: they do not depend on who else works.
    """
    began, seed, before, bug = time.process_time(), 0, list[str](), BUGS[name]
    with bug.plant():
        while (took := time.process_time() - began) < patience_s:
            seed += 1
            try:
                simulate(seed, BEATS_A_HUNT)
            except Broken as error:
                if error.promise == bug.promise:
                    return Catch(time.process_time() - began, seed, str(error), tuple(before))
                before.append(error.promise)
    return Catch(took, seed, "", tuple(before))


def hunt_all() -> bool:
    """Print each promise with its bugs, and how soon each was found. Whether all were."""
    print(f"{'promise':<13} {'bug':<66} {'seconds':>7} {'seed':>5}", flush=True)
    all_found = True
    with _pool() as pool:
        for (name, bug), catch in zip(BUGS.items(), pool.map(hunt, BUGS), strict=True):
            missed = "" if catch.why else "  NOT FOUND"
            print(f"{bug.promise:<13} {name:<66} {catch.seconds:7.1f} {catch.seed:5}{missed}", flush=True)
            if missed and catch.before:
                print(f"{'':<13} (it broke {', '.join(sorted(set(catch.before)))})")
            all_found = all_found and not missed
    return all_found


def main(words: list[str]) -> int:
    """Play, print, and say by the exit code whether every promise was kept."""
    parser = argparse.ArgumentParser(
        prog="scripts/soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--beats", type=above_zero(int), help="how many; 10,000, and with --seed 400")
    parser.add_argument("--seed", type=int, help="play this one alone")
    parser.add_argument("--bugs", action="store_true", help="plant each bug in turn, up to a minute each")
    given = parser.parse_args(words)
    began = time.monotonic()
    try:
        if given.bugs:
            return 0 if hunt_all() else 1
        if given.seed is not None:
            wanted = given.beats or BEATS_A_SEED
            done, totals, why = play(given.seed, wanted, with_story=True)
            broken = [why] if why else []
        else:
            wanted = given.beats or 10_000
            done, totals, broken = play_all(wanted)
    except KeyboardInterrupt:
        return ENDED_BY_HAND
    seeds = f"seed {given.seed}" if given.seed is not None else f"seeds 1 to {-(-wanted // BEATS_A_SEED)}"
    print(f"{seeds}: {done} beats in {time.monotonic() - began:.0f} s, {len(broken)} seeds broke a promise")
    for name, count in sorted(totals.items()):
        print(f"  {count:10}  {name}")
    print(*broken, sep="\n")
    return 1 if broken else 0 if given.seed is not None or done >= wanted else ENDED_BY_HAND


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
