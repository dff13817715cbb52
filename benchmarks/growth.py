"""How the cost of an idle beat and of three reads grows with what there is; the curves as SVG with --svg.

In process: what starting the program costs is in `startup`.
"""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable

from looop.contract.local import Local
from looop.session.fleet import Fleet
from paired import clean_env, cpu, fewer, growth, milli, record, title, verdict
from plot import Curve, svg
from scratch import PROSE, built, data_dir, write

SIZES = [10, 100, 1000]
LINES = [100, 1000, 10_000, 100_000]
STEEPEST = 1.2
LINE = "- 2026-11-20 10:00 noop · nothing to do, line {n}\n"


def goals(root: str, count: int) -> None:
    for n in range(count):
        write(f"{root}/goals/g{n:04d}.md", PROSE.format(n=n))


def asks(root: str, count: int) -> None:
    for n in range(count):
        ask = {"v": 1, "id": f"w{n}-1", "worker": f"w{n}", "prompt": "May I go on?", "ts": int(time.time())}
        write(f"{root}/asks/w{n}-1.json", json.dumps(ask) + "\n")


def sessions(root: str, count: int) -> None:
    """Sessions that are over: one that ran, and copies of its records."""
    fleet = Fleet(root)
    fleet.start("s0", ["true"], clean_env())
    while (first := fleet.session("s0")) is None or first.alive:
        time.sleep(0.02)
    for n in range(1, count):
        shutil.copytree(first.folder, os.path.join(os.path.dirname(first.folder), f"s{n}"))


def schedules(root: str, count: int) -> None:
    for n in range(count):
        write(f"{root}/schedules/s{n}.json", json.dumps({"v": 1, "every_s": 10**6, "anchor": int(time.time())}) + "\n")


def journal_lines(root: str, count: int) -> None:
    write(f"{root}/journal.md", "".join(LINE.format(n=n) for n in range(count)))


WORLDS: dict[str, tuple[Callable[[str, int], None], list[int]]] = {
    "goals": (goals, SIZES),
    "asks": (asks, SIZES),
    "sessions": (sessions, SIZES),
    "schedules": (schedules, SIZES),
    "journal lines": (journal_lines, LINES),
}


def costs(fill: Callable[[str, int], None], count: int) -> dict[str, float]:
    """CPU seconds of each cost in a world of that size: the least of some, which others disturb least."""
    with data_dir() as root:
        fill(root, count)
        _, beat = built(root)
        local = Local(root)
        actions = {
            "an idle beat": beat,
            "looop state": local.state,
            "looop asks": local.asks,
            "looop worker list": local.workers,
        }
        return {name: min(cpu(action) for _ in range(fewer(12))) for name, action in actions.items()}


def tell(name: str, kind: str, curve: Curve) -> None:
    """One curve as a line: what it costs at each size, and how steep it is at its end and altogether."""
    sizes, seconds = curve
    steep, whole = growth(sizes[-2:], seconds[-2:]), growth(sizes, seconds)
    said = ", ".join(map(milli, seconds))
    exponents = f"b = {steep:.2f} in the last decade, {whole:.2f} in all"
    goal = verdict(steep, STEEPEST, "")
    label = f"{name}: {sizes[0]:,} to {sizes[-1]:,} {kind}"
    print(f"  {label:<46} {said}   {exponents}{goal}")
    record(name=label, ours=f"{milli(seconds[-1])}", base=milli(seconds[0]), ratio=f"b = {steep:.2f}", goal=goal)


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench growth", description=__doc__)
    parser.add_argument("--svg", metavar="PATH", help="where to draw the curves")
    options = parser.parse_args()
    if not sys.platform.startswith(("linux", "darwin")):
        sys.exit("needs sessions")
    title("growth: CPU in process, cost ~ size^b; at the largest size, and at the smallest as yardstick")
    panels: dict[str, dict[str, Curve]] = {}
    for kind, (fill, sizes) in WORLDS.items():
        found = [costs(fill, count) for count in sizes]
        for name in found[0]:
            panels.setdefault(name, {})[kind] = (sizes, [one[name] for one in found])
    for name, panel in panels.items():
        for kind, curve in panel.items():
            tell(name, kind, curve)
    if options.svg:
        write(os.path.abspath(options.svg), svg(panels, "CPU by number of goals, asks, sessions, schedules, lines"))
        print(f"  drawn to {options.svg}")


if __name__ == "__main__":
    main()
