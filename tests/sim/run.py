"""Play seeds:   python -m tests.sim.run [--beats N] [--seed N] [--bugs]

Without --seed many seeds share the beats, side by side on all processors. A seed that breaks a promise is printed with
the command that plays it again; played alone it prints what happened before. --bugs plants each bug in turn and says
which promise it breaks, and how soon that is found.
"""

import argparse
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from msgspec import Struct

from tests.sim.bugs import BUGS
from tests.sim.loop import simulate
from tests.sim.promises import Broken

BEATS_A_SEED = 400
BEATS_A_HUNT = 200
PATIENCE_S = 60


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
        again = f"again: python -m tests.sim.run --seed {seed} --beats {error.beats + 1}"
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
    """Seeds from `first` on, until there were so many beats."""
    done, totals, broken = 0, Counter[str](), []
    seeds = range(first, first + -(-beats // BEATS_A_SEED))
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for made, seen, why in pool.map(play, seeds, chunksize=4):
            done += made
            totals += seen
            broken += [why] if why else []
    return done, totals, broken


def hunt(name: str, patience_s: float = PATIENCE_S) -> Catch:
    """Plant a bug, and play seeds until the very promise is broken that it should break."""
    began, seed, before, bug = time.monotonic(), 0, list[str](), BUGS[name]
    with bug.plant():
        while (took := time.monotonic() - began) < patience_s:
            seed += 1
            try:
                simulate(seed, BEATS_A_HUNT)
            except Broken as error:
                if error.promise == bug.promise:
                    return Catch(time.monotonic() - began, seed, str(error), tuple(before))
                before.append(error.promise)
    return Catch(took, seed, "", tuple(before))


def hunt_all() -> bool:
    """Print each promise with its bugs, and how soon each was found. Whether all were."""
    print(f"{'promise':<13} {'bug':<66} {'seconds':>7} {'seed':>5}")
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        found = dict(zip(BUGS, pool.map(hunt, BUGS), strict=True))
    for name, bug in BUGS.items():
        seconds, seed, missed = found[name].seconds, found[name].seed, "" if found[name].why else "  NOT FOUND"
        print(f"{bug.promise:<13} {name:<66} {seconds:7.1f} {seed:5}{missed}")
        if missed and found[name].before:
            print(f"{'':<13} (it broke {', '.join(sorted(set(found[name].before)))})")
    return all(catch.why for catch in found.values())


def main(words: list[str]) -> int:
    """Play, print, and say by the exit code whether every promise was kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beats", type=int, default=10_000)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--bugs", action="store_true")
    given: Any = parser.parse_args(words)
    if given.bugs:
        return 0 if hunt_all() else 1
    began = time.monotonic()
    if given.seed is not None:
        done, totals, why = play(given.seed, given.beats, with_story=True)
        broken = [why] if why else []
    else:
        done, totals, broken = play_all(given.beats)
    print(f"{done} beats in {time.monotonic() - began:.0f} s, {len(broken)} seeds broke a promise")
    for name, count in sorted(totals.items()):
        print(f"  {count:10}  {name}")
    print(*broken, sep="\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
