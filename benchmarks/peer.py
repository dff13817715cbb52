"""Beside another program with the same verbs: the same world, the same runner, the same edits, in turns. Linux only.

A row that the other one cannot do, or does not do in time, says so.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from statistics import median
from typing import NamedTuple

from paired import clean_env, fewer, milli, record, title
from scratch import PROSE, SENSOR, write

GOALS, SENSORS, SESSIONS = 20, 5, 10
PATIENCE_S = 20.0
LOOK_S = 0.001
IDLE_S, EDIT_INTERVAL_S = 20.0, 10
RUNNER = """#!/bin/sh
cat >/dev/null
date +%s.%N >>"$LOOOP_DATA_DIR/../began"
printf '%s' '{"action":"noop","reason":"nothing to do","journal":"nothing to do"}' >"$LOOOP_DATA_DIR/.decision.json"
date +%s.%N >>"$LOOOP_DATA_DIR/../ended"
"""


class Unavailable(Exception):
    """The program does not do this; the text says what happened."""


class Program(NamedTuple):
    """One of the two: its words, and its data dir in a folder of its own."""

    words: list[str]
    folder: str

    @property
    def root(self) -> str:
        return os.path.join(self.folder, "data")

    def start(self, *words: str, out: int = subprocess.PIPE, interval_s: int = 1) -> subprocess.Popen[bytes]:
        """Start a verb. Raises Unavailable."""
        knobs = dict.fromkeys(("LOOOP_MAX_DECIDES_PER_HOUR", "LOOOP_MAX_WORKERS", "LOOOP_MIN_BEAT_GAP"), "0")
        env = clean_env(LOOOP_DATA_DIR=self.root, LOOOP_INTERVAL=str(interval_s), **knobs)
        pipes = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": subprocess.DEVNULL}
        try:
            return subprocess.Popen([*self.words, *words], env=env, start_new_session=True, **pipes)
        except OSError as error:
            raise Unavailable(error.strerror or "cannot be started") from None

    def call(self, *words: str) -> bytes:
        """What a verb prints. Raises Unavailable when it fails or takes too long."""
        process = self.start(*words)
        try:
            said, _ = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            end(process)
            raise Unavailable(f"`{words[0]}` does not end") from None
        if process.returncode:
            raise Unavailable(f"`{' '.join(words[:2])}` ends with {process.returncode}")
        return said


Both = Callable[[Program], float]


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process of ours, gently first."""
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.stdout:
        process.stdout.close()


def furnish(program: Program) -> None:
    """The world both are given."""
    config = {"tick_command": f"sh {program.folder}/runner.sh", "worker_command": "cat {{prompt_file}}"}
    write(f"{program.folder}/runner.sh", RUNNER, 0o755)
    write(f"{program.root}/config.json", json.dumps(config | {"max_daily_usd": 0}))
    write(f"{program.root}/PLAYBOOK.md", "# PLAYBOOK\n\nBe careful.\n")
    for n in range(GOALS):
        write(f"{program.root}/goals/goal-{n:04d}.md", PROSE.format(n=n))
    for n in range(SENSORS):
        write(f"{program.root}/sensors/s{n}.sh", SENSOR.format(n=n), 0o755)


def until(what: str, found: Callable[[], object]) -> float:
    """The moment something is there, looked for every millisecond. Raises Unavailable."""
    ends = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends:
        if found():
            return time.time()
        time.sleep(LOOK_S)
    raise Unavailable(f"no {what} within {PATIENCE_S:.0f} s")


def count(path: str, row: bytes) -> int:
    """How often a text stands in a file; 0 where there is none."""
    try:
        with open(path, "rb") as file:
            return file.read().count(row)
    except FileNotFoundError:
        return 0


def beats(program: Program) -> int:
    return count(f"{program.root}/events.jsonl", b'"tick_start"')


@contextmanager
def pulsing(program: Program, beats_first: int = 2, interval_s: int = 1) -> Iterator[subprocess.Popen[bytes]]:
    """A pulse with some beats behind it. Raises Unavailable."""
    process = program.start("pulse", out=subprocess.DEVNULL, interval_s=interval_s)
    before = beats(program)
    try:
        until("beat of `pulse`", lambda: process.poll() is not None or beats(program) >= before + beats_first)
        if process.poll() is not None:
            raise Unavailable(f"`pulse` ends with {process.returncode}")
        yield process
    finally:
        end(process)


def times(pid: int) -> float:
    """CPU seconds of a process and of the children it has waited for."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def held(pid: int) -> float:
    """Megabytes of a process alone and shared (PSS)."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:")) / 1024


def idle_beat(program: Program) -> float:
    with pulsing(program) as process:
        time.sleep(3)
        first, used = beats(program), times(process.pid)
        time.sleep(IDLE_S)
        done = beats(program) - first
        if not done:
            raise Unavailable("no unchanged beat")
        return (times(process.pid) - used) / done


def pulse_memory(program: Program) -> float:
    with pulsing(program) as process:
        time.sleep(3)
        return held(process.pid)


def edits(program: Program) -> tuple[float, float]:
    """Seconds from an edit to the runner's start, and all of a changed beat that is not the runner's; medians."""
    decides, rests = [], []
    began, ended = f"{program.folder}/began", f"{program.folder}/ended"
    with pulsing(program, 1, EDIT_INTERVAL_S):
        for n in range(fewer(6, 3)):
            time.sleep(3)
            runs, done, ticks = lines(began), count(f"{program.root}/events.jsonl", b'"decided"'), beats(program)
            edited = time.time()
            write(f"{program.root}/goals/goal-0003.md", PROSE.format(n=n) + f"\nEdit {n} of {edited}.\n")
            start = until("beat after an edit", lambda ticks=ticks: beats(program) > ticks)
            until("run of the runner", lambda runs=runs: len(lines(ended)) > len(runs))
            events = f"{program.root}/events.jsonl"
            over = until(
                "`decided` in events.jsonl", lambda done=done, events=events: count(events, b'"decided"') > done
            )
            decides.append(lines(began)[-1] - edited)
            rests.append(max(lines(began)[-1] - start, 0) + over - lines(ended)[-1])
    return median(decides), median(rests)


def lines(path: str) -> list[float]:
    if not os.path.exists(path):
        return []
    with open(path, encoding="ascii") as file:
        return [float(line) for line in file.read().split()]


def answered(program: Program) -> float:
    """Seconds from the start of `answer` until the worker's `ask` is gone."""
    worker = f"w{time.monotonic_ns()}"
    process = program.start("ask", worker, "--prompt", "May I go on?")
    try:
        path = f"{program.root}/asks/{worker}-1.json"
        until("question of `ask`", lambda: os.path.exists(path) or process.poll() is not None)
        if process.poll() is not None:
            raise Unavailable(f"`ask` ends with {process.returncode}")
        time.sleep(0.3)
        began = time.perf_counter()
        program.call("answer", f"{worker}-1", "yes")
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise Unavailable("`ask` does not end once it is answered") from None
        return time.perf_counter() - began
    finally:
        end(process)


def on_the_clock(*words: str) -> Both:
    def timed(program: Program) -> float:
        began = time.perf_counter()
        program.call(*words)
        return time.perf_counter() - began

    return timed


def sessions(program: Program) -> float:
    """Start so many; what one of their supervisors holds, in MB."""
    for n in range(SESSIONS):
        seconds = 100_000 + n
        program.call("worker", "start", f"s{n}", "sleep", "--command", f": {{{{prompt_file}}}}; exec sleep {seconds}")
    return held(supervisor(f"sleep\0{seconds}\0", program.root))


def supervisor(command: str, root: str) -> int:
    """The oldest of the ancestors of a command that was started for that data dir. Raises Unavailable."""
    for pid in started_for(root):
        if text(f"/proc/{pid}/cmdline") == command:
            return oldest(pid, root)
    raise Unavailable("no session runs its command")


def started_for(root: str) -> list[int]:
    """The processes that were started for that data dir."""
    mark = f"LOOOP_DATA_DIR={root}\0"
    return [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and mark in text(f"/proc/{pid}/environ")]


def oldest(pid: int, root: str) -> int:
    found = re.search(r"^PPid:\s*(\d+)", text(f"/proc/{pid}/status"), re.MULTILINE)
    parent = int(found[1]) if found else 0
    return oldest(parent, root) if parent in started_for(root) else pid


def text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def dismiss(program: Program) -> None:
    """End what the program has started: by its own verbs, and what they leave by force."""
    for words in [("down",), *(("kill", f"s{n}") for n in range(SESSIONS))]:
        try:
            program.call(*words)
        except Unavailable:
            continue
    for pid in started_for(program.root):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def attempt(measure: Callable[[Program], object], program: Program) -> object:
    try:
        return measure(program)
    except Unavailable as why:
        return str(why)
    except (OSError, ValueError, StopIteration) as error:
        return f"{type(error).__name__}: {error}"


def in_turns(measure: Both, both: tuple[Program, Program], rounds: int) -> tuple[object, object]:
    """The medians of both, each measured so many times, in turns; the reason where one cannot be measured."""
    taken: tuple[list[float], list[float]] = ([], [])
    why: list[object] = [None, None]
    for turn in range(rounds):
        for side in (0, 1) if turn % 2 == 0 else (1, 0):
            found = attempt(measure, both[side]) if why[side] is None else why[side]
            if isinstance(found, float):
                taken[side].append(found)
            else:
                why[side] = found
    return tuple(median(taken[side]) if why[side] is None else why[side] for side in (0, 1))


def row(name: str, found: tuple[object, object], how: str, unit: str = "") -> None:
    """One line: ours, theirs, and how many times theirs ours is; or why there is none."""

    def shown(value: object) -> str:
        if not isinstance(value, float):
            return "not available"
        return f"{value:.2f} {unit}" if unit else milli(value)

    ours, theirs = map(shown, found)
    reasons = "; ".join(
        f"{who}: {why}" for who, why in zip(("ours", "theirs"), found, strict=True) if isinstance(why, str)
    )
    numbers = [value for value in found if isinstance(value, float)]
    ratio = f"{numbers[0] / numbers[1]:.2f} x" if len(numbers) == 2 and numbers[1] else "-"
    print(
        f"  {name:<42} {ours:>14} : {theirs:<14} = {ratio:<9} {how}{f'   ({reasons})' if reasons else ''}", flush=True
    )
    record(name=name, ours=ours, base=theirs, ratio=ratio, how=f"{how} {reasons}".strip())


def compared(both: tuple[Program, Program]) -> None:
    row("CLI start: `version`", in_turns(on_the_clock("version"), both, fewer(15)), "on the clock, medians in turns")
    row("`state --json`", in_turns(on_the_clock("state", "--json"), both, fewer(15)), "on the clock, medians in turns")
    row(
        "an unchanged beat",
        in_turns(idle_beat, both, 1),
        f"CPU of the pulse and its sensors in {IDLE_S:.0f} s, by beat",
    )
    row("memory of the pulse", in_turns(pulse_memory, both, 1), "PSS", "MB")
    pairs = [attempt(edits, program) for program in both]
    parts = [pair if isinstance(pair, tuple) else (pair, pair) for pair in pairs]
    row(
        "edit of a goal to the runner's start",
        (parts[0][0], parts[1][0]),
        f"on the clock, median, LOOOP_INTERVAL={EDIT_INTERVAL_S}",
    )
    row("a changed beat without the runner's time", (parts[0][1], parts[1][1]), "on the clock, median")
    row("answer until the worker's `ask` is gone", in_turns(answered, both, fewer(9)), "on the clock, medians in turns")
    row("memory of a supervisor", in_turns(sessions, both, 1), f"PSS, one of {SESSIONS}", "MB")
    listing = in_turns(on_the_clock("worker", "list", "--json"), both, fewer(15))
    row(f"list of {SESSIONS} sessions", listing, "on the clock, medians in turns")


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench peer", description=__doc__)
    parser.add_argument("--peer", required=True, metavar="PATH", help="the other program")
    options = parser.parse_args()
    if not sys.platform.startswith("linux"):
        sys.exit("needs /proc")
    peer = shutil.which(options.peer)
    if peer is None:
        sys.exit(f"{options.peer}: no program is there: give the path of one with looop's verbs")
    title(f"peer: ours beside {os.path.basename(peer)}, {GOALS} goals and {SENSORS} sensors each")
    with tempfile.TemporaryDirectory(prefix="looop-bench-") as folder:
        ours = Program([sys.executable, "-m", "looop"], os.path.join(folder, "ours"))
        theirs = Program([os.path.abspath(peer)], os.path.join(folder, "theirs"))
        for program in (ours, theirs):
            furnish(program)
        try:
            compared((ours, theirs))
        finally:
            dismiss(ours)
            dismiss(theirs)


if __name__ == "__main__":
    main()
