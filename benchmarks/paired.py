"""Paired, interleaved measurements: what all benchmarks share. README.md says how to read what they print.

Two things are measured in turns, A B B A A B …, so that a busy machine slows both alike; what counts is the median
of the ratios of neighbours. CPU time is that of this process and of the children it has waited for.
"""

import math
import os
import resource
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SRC = os.path.join(ROOT, "src")
Action = Callable[[], object]
Measure = Callable[[Action], float]


class Pairs(NamedTuple):
    """Medians of both sides in seconds, and of the ratios of neighbours with their middle half."""

    ours: float
    base: float
    ratio: float
    low: float
    high: float


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
    """`count` samples of both, taken in turns, after `warm` that do not count."""
    taken = []
    for turn in range(count + warm):
        if turn % 2:
            right, left = base(), ours()
        else:
            left, right = ours(), base()
        taken.append((left, right))
    left, right = zip(*taken[warm:], strict=True)
    ratios = sorted(one / other for one, other in taken[warm:])
    return Pairs(median(left), median(right), median(ratios), ratios[len(ratios) // 4], ratios[len(ratios) * 3 // 4])


def growth(sizes: list[int], seconds: list[float]) -> float:
    """The exponent b of seconds ~ size ** b, by least squares; 1 is linear."""
    x, y = [math.log(size) for size in sizes], [math.log(second) for second in seconds]
    mid_x, mid_y = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mid_x) * (b - mid_y) for a, b in zip(x, y, strict=True)) / sum((a - mid_x) ** 2 for a in x)


def title(text: str) -> None:
    """The head of one benchmark's output."""
    load = " ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"\n{text}   (Python {sys.version.split()[0]}, load {load})")


def compare(name: str, found: Pairs, target: float | None = None) -> None:
    """Print one paired result, and whether its ratio is within the target."""
    figures = f"{_time(found.ours)} : {_time(found.base)} = {found.ratio:.2f} x ({found.low:.2f}-{found.high:.2f})"
    print(f"  {name:<46} {figures}{'' if target is None else verdict(found.ratio, target, ' x')}")


def figure(name: str, value: float, unit: str, target: float | None = None) -> None:
    """Print one figure, and whether it is within the target."""
    print(f"  {name:<46} {value:.4g} {unit}".rstrip() + ("" if target is None else verdict(value, target, f" {unit}")))


def share(name: str, percent: float, target: float | None = None) -> None:
    """Print a share that should be large, and whether it is."""
    goal = "" if target is None else f"   at least {target:g} %: {'met' if percent >= target else 'NOT MET'}"
    print(f"  {name:<46} {percent:.1f} %{goal}")


def verdict(value: float, target: float, unit: str) -> str:
    """The end of a line: the target, and whether it is met."""
    return f"   at most {target:g}{unit.rstrip()}: {'met' if value <= target else 'NOT MET'}"


def clean_env(**extra: str) -> dict[str, str]:
    """An environment for children: no looop knob and nothing that slows Python down; `extra` is added."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("LOOOP_", "PYTHON"))}
    return kept | {"PYTHONPATH": SRC} | extra


def _used() -> float:
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, kinds))


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms" if seconds >= 0.001 else f"{seconds * 1e6:.1f} µs"
