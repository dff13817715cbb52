"""Paired, interleaved measurements: what all benchmarks share. README.md says how to read what they print.

Two things are measured in turns, A B B A A B …, so that a busy machine slows both alike; what counts is the median
of the ratios of neighbours. CPU time is that of this process and of the children it has waited for.
"""

import json
import math
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SRC = os.path.join(ROOT, "src")
Action = Callable[[], object]
Measure = Callable[[Action], float]
QUICK = os.environ.get("BENCH_QUICK") == "1"
_ROWS = os.environ.get("BENCH_ROWS", "")

for _number in (signal.SIGINT, signal.SIGTERM):  # ends without a traceback, and what is left behind is removed
    signal.signal(_number, lambda number, frame: sys.exit(128 + number))


class Pairs(NamedTuple):
    """Medians of both sides in seconds, and of the ratios of neighbours with their middle half."""

    ours: float
    base: float
    ratio: float
    low: float
    high: float
    count: int


def cpu(action: Action) -> float:
    """CPU seconds of this process and its waited-for children while `action` runs."""
    before = _used()
    action()
    return _used() - before


def wall(action: Action) -> float:
    """Seconds on the clock while `action` runs."""
    before = time.perf_counter()
    action()
    return time.perf_counter() - before


def each(count: int, action: Action, measure: Measure = cpu) -> Callable[[], float]:
    """A sample of `action`: the seconds of one call, from `count` of them."""
    return lambda: measure(lambda: [action() for _ in range(count)]) / count


def pairs(ours: Callable[[], float], base: Callable[[], float], count: int, warm: int = 2) -> Pairs:
    """`count` samples of both, taken in turns, after `warm` that do not count; fewer where the whole table is made."""
    taken, count = [], fewer(count)
    for turn in range(count + warm):
        if turn % 2:
            right, left = base(), ours()
        else:
            left, right = ours(), base()
        taken.append((left, right))
    left, right = zip(*taken[warm:], strict=True)
    ratios = sorted(one / other for one, other in taken[warm:])
    middle = (ratios[len(ratios) // 4], ratios[len(ratios) * 3 // 4])
    return Pairs(median(left), median(right), median(ratios), *middle, count)


def fewer(count: int, least: int = 5) -> int:
    """`count`, a third of it in a quick run."""
    return max(least, count // 3) if QUICK else count


def growth(sizes: list[int], seconds: list[float]) -> float:
    """The exponent b of seconds ~ size ** b, by least squares; 1 is linear."""
    x, y = [math.log(size) for size in sizes], [math.log(second) for second in seconds]
    mid_x, mid_y = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mid_x) * (b - mid_y) for a, b in zip(x, y, strict=True)) / sum((a - mid_x) ** 2 for a in x)


def title(text: str) -> None:
    """The head of one benchmark's output."""
    load = " ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"\n{text}   (Python {sys.version.split()[0]}, load {load})")
    record(title=text)


def compare(name: str, found: Pairs, target: float | None = None) -> None:
    """Print one paired result, and whether its ratio is within the target, as far as that is settled."""
    ours, base, ratio = milli(found.ours), milli(found.base), f"{found.ratio:.2f} x"
    spread = f"{found.low:.2f}-{found.high:.2f}"
    goal = "" if target is None else verdict(found.ratio, target, " x")
    goal += " (not settled)" if target is not None and found.low <= target <= found.high else ""
    print(f"  {name:<46} {ours} : {base} = {ratio} ({spread}){goal}")
    record(name=name, ours=ours, base=base, ratio=ratio, spread=spread, goal=goal, how=f"{found.count} pairs")


def figure(name: str, value: float, unit: str, target: float | None = None, how: str = "") -> None:
    """Print one figure, and whether it is within the target; `how` says how it came about."""
    goal = "" if target is None else verdict(value, target, f" {unit}")
    print(f"  {name:<46} {value:.4g} {unit}".rstrip() + goal)
    record(name=name, ours=f"{value:.4g} {unit}".rstrip(), goal=goal, how=how)


def share(name: str, percent: float, target: float | None = None) -> None:
    """Print a share that should be large, and whether it is."""
    goal = "" if target is None else f"   at least {target:g} %: {'met' if percent >= target else 'NOT MET'}"
    print(f"  {name:<46} {percent:.1f} %{goal}")
    record(name=name, ours=f"{percent:.1f} %", goal=goal)


def verdict(value: float, target: float, unit: str) -> str:
    """The end of a line: the target, and whether it is met."""
    return f"   at most {target:g}{unit.rstrip()}: {'met' if value <= target else 'NOT MET'}"


def clean_env(**extra: str) -> dict[str, str]:
    """An environment for children: no looop knob and nothing that slows Python down; `extra` is added."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("LOOOP_", "PYTHON"))}
    return kept | {"PYTHONPATH": SRC} | extra


def child_cpu(words: list[str], env: dict[str, str]) -> float:
    """CPU seconds of one child from start to end. Exits when it fails."""
    quiet = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    _, status, usage = os.wait4(os.posix_spawn(words[0], words, env, file_actions=quiet), 0)
    if status:
        sys.exit(f"{' '.join(words)} ended with status {status}")
    return usage.ru_utime + usage.ru_stime


def record(**row: str) -> None:
    """Keep one line for the table."""
    if _ROWS:
        with open(_ROWS, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def _used() -> float:
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, kinds))


def milli(seconds: float) -> str:
    """A time as people read it."""
    return f"{seconds * 1000:.2f} ms" if seconds >= 0.001 else f"{seconds * 1e6:.1f} µs"
