"""From an answer to the worker that goes on, from a question to the wait that ends, and what waiting costs.

A hundred other `looop ask` wait meanwhile in the same data dir, beside a real pulse. Linux only: it reads /proc.
"""

import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

from paired import clean_env, compare, fewer, figure, pairs, title
from scratch import data_dir, running_pulse, write

OTHERS, AT_ONCE, IDLE_S = 100, 10, 10
ROUNDS = int(os.environ.get("ROUNDS", "100"))
ASK = '{{"v":1,"id":"{id}","worker":"{worker}","prompt":"May I?","ts":{ts}}}\n'
BARE = "import sys; sys.stdin.read(1); print('yes', flush=True)"
BARS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 50, 100, 1000)


class Moment:
    """When a process was let go (`began`), its first byte came, and it was gone; perf_counter seconds."""

    def __init__(self, began: float, byte: float, gone: float) -> None:
        self.byte, self.gone = (byte - began) * 1000, (gone - began) * 1000


def start(root: str, *words: str) -> subprocess.Popen[bytes]:
    env = clean_env(LOOOP_DATA_DIR=root)
    return subprocess.Popen([sys.executable, "-m", "looop", *words], env=env, stdout=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes], began: float) -> Moment:
    """Read what it prints until it is gone; it printed something and did well."""
    text = os.read(process.stdout.fileno(), 65536)
    byte = time.perf_counter()
    while os.read(process.stdout.fileno(), 65536):
        pass
    code = process.wait()
    gone = time.perf_counter()
    process.stdout.close()
    if code or not text:
        sys.exit(f"a process ended with {code}: {text!r}")
    return Moment(began, byte, gone)


def asked(root: str, worker: str) -> bool:
    return os.path.exists(os.path.join(root, "asks", f"{worker}-1.json"))


def used(process: subprocess.Popen[bytes]) -> float:
    """CPU milliseconds of a process since it began, to the nanosecond."""
    with open(f"/proc/{process.pid}/schedstat", encoding="utf-8") as file:
        return int(file.read().split()[0]) / 1e6


def settled(processes: list[subprocess.Popen[bytes]]) -> None:
    """Return once all of them together have hardly used the CPU for half a second."""
    before = -math.inf
    while (now := sum(map(used, processes))) > before + len(processes):
        before = now
        time.sleep(0.5)


def waiting(root: str, workers: list[str]) -> list[subprocess.Popen[bytes]]:
    """One `looop ask` for each worker, on record and asleep."""
    processes = []
    for n, worker in enumerate(workers):
        processes.append(start(root, "ask", worker, "--prompt", f"May {worker} go on with number {n}?"))
        while sum(not asked(root, one) for one in workers[: n + 1]) >= AT_ONCE:
            time.sleep(0.01)
    while not all(asked(root, worker) for worker in workers):
        time.sleep(0.01)
    settled(processes)
    return processes


@contextmanager
def crowd(root: str) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The others, that nobody answers."""
    processes = waiting(root, [f"other{n}" for n in range(OTHERS)])
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


def answers(root: str, started: list[subprocess.Popen[bytes]]) -> Callable[[], Moment]:
    """A round: one answer is put in place, as `looop answer` does it, and its worker goes on. Asks come in batches."""
    ready: list[tuple[str, subprocess.Popen[bytes]]] = []
    batch = 0

    def turn() -> Moment:
        nonlocal batch
        if not ready:
            batch += 1
            workers = [f"b{batch}n{n}" for n in range(AT_ONCE)]
            started.extend(waiting(root, workers))
            ready.extend(zip(workers, started[-AT_ONCE:], strict=True))
        worker, process = ready.pop()
        time.sleep(0.05)
        path = os.path.join(root, "answers", f"{worker}-1.json")
        temp = os.path.join(root, "answers", f".{os.getpid()}-0-0.tmp")
        with open(temp, "w", encoding="utf-8") as file:
            file.write('{"answer":"yes","ts":1}\n')
        began = time.perf_counter()
        os.replace(temp, path)
        return finish(process, began)

    return turn


def questions(root: str) -> Callable[[], Moment]:
    """A round: a question appears, and a `looop wait` that holds all others ends."""
    asks = 0

    def turn() -> Moment:
        nonlocal asks
        asks += 1
        process = start(root, "wait", "--json", "--only-asks", "--new-asks", "now")
        while not watches(process.pid):
            time.sleep(0.01)
        time.sleep(0.5)
        name = f"raised-{asks}"
        text = ASK.format(id=name, worker="raised", ts=int(time.time()))
        path, temp = (os.path.join(root, "asks", one) for one in (f"{name}.json", f".{os.getpid()}-0-0.tmp"))
        with open(temp, "w", encoding="utf-8") as file:
            file.write(text)
        began = time.perf_counter()
        os.replace(temp, path)
        moment = finish(process, began)
        write(os.path.join(root, "answers", f"{name}.json"), '{"answer":"yes","ts":1}\n')
        return moment

    return turn


def watches(pid: int) -> bool:
    """Whether a process has the folder of the asks open."""
    try:
        return any(os.readlink(f"/proc/{pid}/fd/{fd}").endswith("/asks") for fd in os.listdir(f"/proc/{pid}/fd"))
    except FileNotFoundError:
        return False


def bare() -> float:
    """Seconds from a byte on the standard input of a sleeping bare Python until that process is gone."""
    words = [sys.executable, "-I", "-S", "-c", BARE]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    time.sleep(0.1)
    began = time.perf_counter()
    process.stdin.write(b"!")
    process.stdin.close()
    return finish(process, began).gone / 1000


def latency(what: str, end: str, turn: Callable[[], Moment]) -> None:
    """Rounds in turns with the yardstick; the figures and the histogram of them."""
    found: list[Moment] = []

    def ours() -> float:
        found.append(turn())
        return found[-1].gone / 1000

    ratio = pairs(ours, bare, ROUNDS)
    del found[:2]
    gone = sorted(moment.gone for moment in found)
    figure(f"{what} -> first byte, median", median(moment.byte for moment in found), "ms")
    figure(f"{what} -> {end}, median", median(gone), "ms", 15)
    figure(f"{what} -> {end}, p99", gone[int(len(gone) * 0.99) - 1], "ms", 50)
    figure(f"{what} -> {end}, slowest of {len(gone)}", gone[-1], "ms")
    compare("ours : a byte to a bare Python that ends", ratio)
    histogram(gone)


def histogram(values: list[float]) -> None:
    """How many of the values fall below each bound."""
    below = 0
    for bound in BARS:
        count = sum(below <= value < bound for value in values)
        if count:
            print(f"    {below:>4} - {bound:<4} ms {count:>5} {'#' * -(-count * 60 // len(values))}")
        below = bound


def idle(processes: list[subprocess.Popen[bytes]]) -> None:
    """What the waiting ones hold and use while nothing happens."""
    settled(processes)
    before = list(map(used, processes))
    time.sleep(IDLE_S)
    cost = [(used(process) - was) / IDLE_S for process, was in zip(processes, before, strict=True)]
    figure("CPU of a waiting ask, median", median(cost), "ms/s", 0.1)
    figure("CPU of the one that used most", max(cost), "ms/s", 0.1)
    for name in ("Rss", "Pss"):
        figure(f"{name} of a waiting ask, median", median(held(one.pid, name) for one in processes) / 1024, "MB", 20)


def held(pid: int, name: str) -> int:
    with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(f"{name}:"))


def main() -> None:
    title(f"ask: {fewer(ROUNDS)} answers and {fewer(ROUNDS)} questions, {OTHERS} other asks waiting, a pulse beating")
    with data_dir(20, 3) as root, running_pulse(root), crowd(root) as others:
        idle(others)
        latency("answer in place", "worker goes on", answers(root, others))
        latency("question in place", "wait has ended", questions(root))


if __name__ == "__main__":
    main()
