"""Play seeds:   python -m tests.sim.run [--beats N] [--seed N] [--bugs]

Without --seed many seeds share the beats, side by side on all processors. A seed that breaks a promise is printed with
the command that plays it again. --bugs plants each bug in turn and says how soon it is found.
"""

import argparse
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from tests.sim.bugs import BUGS
from tests.sim.loop import simulate
from tests.sim.promises import Broken

BEATS_A_SEED = 400
PATIENCE_S = 60


def play(seed: int, beats: int = BEATS_A_SEED) -> tuple[int, Counter[str], str]:
    """One seed: how many beats, what came of them, and what was broken ("" for nothing)."""
    try:
        sim = simulate(seed, beats)
    except Broken as error:
        return 0, Counter(), f"{error}\n    again: python -m tests.sim.run --seed {seed} --beats {beats}"
    seen = {f"beats {ending}": count for ending, count in sim.endings.items()}
    seen |= {"deaths": sim.deaths, "power cuts": sim.power_cuts, "agent runs": sim.machine.asked}
    seen |= {"commands": len(sim.machine.effects), "questions": len(sim.promises.asks)}
    seen |= {"answers taken": len(sim.promises.taken), "messages heard": len(sim.promises.heard)}
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


def hunt(bug: str, patience_s: float = PATIENCE_S) -> tuple[float, str]:
    """Plant a bug, and how many seconds and what it took to find it; "" when it was not found in time."""
    began, seed = time.monotonic(), 0
    with BUGS[bug]():
        while (took := time.monotonic() - began) < patience_s:
            seed += 1
            try:
                simulate(seed, 200)
            except Broken as error:
                return time.monotonic() - began, f"seed {seed}: {error}"
    return took, ""


def main(words: list[str]) -> int:
    """Play, print, and say by the exit code whether every promise was kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beats", type=int, default=10_000)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--bugs", action="store_true")
    given: Any = parser.parse_args(words)
    if given.bugs:
        found = {bug: hunt(bug) for bug in BUGS}
        for bug, (seconds, why) in found.items():
            print(f"{seconds:6.1f} s  {bug}: {why[:100] or 'NOT FOUND'}")
        return 0 if all(why for _, why in found.values()) else 1
    began = time.monotonic()
    if given.seed is not None:
        done, totals, why = play(given.seed, given.beats)
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
