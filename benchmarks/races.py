"""Two processes do the same thing in the same instant, 10,000 times each: one winner, nothing lost, nothing twice."""

import argparse
import sys
import tempfile
from pathlib import Path

from paired import ROOT, record, title

sys.path.append(ROOT)

from looop.store.fsio import Disk
from tests.fakes.contest import CONTESTS, Tally, hold


def tell(name: str, tally: Tally) -> None:
    """Print one contest as a line; each racer's share of the victories shows that it was a race."""
    right = tally.winners == tally.losers == tally.rounds and not tally.lost and not tally.doubled
    won = f"{tally.winners} winners ({tally.first} + {tally.winners - tally.first}), {tally.losers} losers"
    wrong = f"{tally.lost} lost, {tally.doubled} doubled"
    goal = f"one winner each: {'met' if right else 'NOT MET'}"
    print(f"  {name:<26} {won}, {wrong}, {tally.seconds:.1f} s   {goal}", flush=True)
    record(name=name, ours=f"{tally.winners} of {tally.rounds}", goal=goal, how=wrong)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10_000)
    options = parser.parse_args()
    title(f"races: two processes, {options.rounds} rounds of each kind")
    for name, contest in CONTESTS.items():
        with tempfile.TemporaryDirectory(prefix="looop-bench-") as root:
            tell(name, hold(contest, Path(root), options.rounds, Disk))


if __name__ == "__main__":
    main()
