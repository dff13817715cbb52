"""Fuzz one target after the other, and say what each run found.   python -m tests.fuzz.run [TARGET…] [--minutes M]

looop is instrumented once, then each target runs in a fork of this process, which watches it: a target whose process
stands still, dies or wants too much memory has failed as one that raises. What was worth keeping stays in the cache,
and the next run goes on from there.
"""

import argparse
import importlib
import io
import os
import pkgutil
import re
import shutil
import signal
import sys
import tempfile
import time
from contextlib import redirect_stderr, suppress

from msgspec import Struct

from tests.fakes.arguments import above_zero
from tests.fuzz.play import FAILED, Board, Player, fuzz, keep, replay
from tests.fuzz.target import ROOT, Target

CACHE = os.environ.get("LOOOP_FUZZ_CACHE") or os.path.join(ROOT, ".cache", "fuzz")
HANG_S, LOOK_S, START_S = 10, 0.5, 60
_AT_START = re.compile(r"^#\d+\s+INITED cov: (\d+) ft: (\d+)", re.MULTILINE)
_SINCE = re.compile(r"^#\d+\s.* cov: (\d+) ft: (\d+)", re.MULTILINE)
_FOUND = re.compile(rf"^{FAILED}\t(.*)\t(.*)$", re.MULTILINE)
_DEATHS = {71: "it wants too much memory", 77: "the fuzzer itself gave up"}


class Failure(Struct, frozen=True):
    path: str
    what: str


class Outcome(Struct, frozen=True):
    """One target's run. `covered` is edges and features, at the start and at the end."""

    name: str
    runs: int
    seconds: float
    covered: tuple[str, str, str, str]
    failures: list[Failure]


def main() -> int:
    wanted = _arguments()
    if wanted.list:
        print("\n".join(_targets([])))
        return 0
    if wanted.play:
        return _play(wanted)
    try:
        targets = _instrumented(wanted.targets)
    except ImportError as error:
        print(f"fuzz: {error}: scripts/fuzz installs Atheris where there is one for this Python", file=sys.stderr)
        return 1
    print(f"{'target':<16}{'runs':>10}{'runs/s':>8}{'edges':>16}{'features':>16}{'failures':>10}", flush=True)
    outcomes = [_tell(_fuzzed(name, target, wanted)) for name, target in targets.items()]
    return int(any(outcome.failures for outcome in outcomes))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description="Look for input that breaks a promise.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="see --list; all when none")
    parser.add_argument("--minutes", type=above_zero(float), default=1, help="how long each target is fuzzed")
    parser.add_argument("--seed", type=int, default=0, help="of the fuzzer; 0: another each time")
    parser.add_argument(
        "--failures", type=above_zero(int), default=10, help="end a target that has failed in so many ways"
    )
    parser.add_argument("--fresh", action="store_true", help="forget what earlier runs have found worth keeping")
    parser.add_argument("--list", action="store_true", help="name the targets")
    parser.add_argument("--play", metavar="FILE", help="play one input of the target again")
    wanted = parser.parse_args()
    if wanted.play and len(wanted.targets) != 1:
        parser.error("--play needs the one target whose input it is")
    return wanted


def _targets(names: list[str]) -> dict[str, Target]:
    """The targets of these names, all when there is none; the planted bugs only when they are named."""
    if names and all(name.startswith("planted-") for name in names):
        from tests.fuzz.planted import PLANTED as known
    else:
        from tests.fuzz.targets import TARGETS as known
    if unknown := sorted(set(names) - set(known)):
        print(f"no such target: {', '.join(unknown)}; expected one of {', '.join(known)}", file=sys.stderr)
        raise SystemExit(2)
    return {name: known[name] for name in names or known}


def _instrumented(names: list[str]) -> dict[str, Target]:
    """As _targets, loaded so that the fuzzer sees which way each input takes. Raises ImportError without Atheris."""
    import atheris

    planted = bool(names) and names[0].startswith("planted-")
    watched = ["tests"] if planted else ["looop", "cronsim"]
    with redirect_stderr(io.StringIO()), atheris.instrument_imports(include=watched):
        atheris.enabled_hooks.add("str")
        found = _targets(names)
        if not planted:
            _load_all()
    return found


def _load_all() -> None:
    """Every module of looop: many are loaded only when they are needed, which would be too late."""
    import looop

    for module in pkgutil.walk_packages(looop.__path__, "looop."):
        with suppress(ImportError):  # what an extra needs
            importlib.import_module(module.name)


def _fuzzed(name: str, target: Target, wanted: argparse.Namespace) -> Outcome:
    corpus = os.path.join(CACHE, "corpus", name)
    if wanted.fresh:
        shutil.rmtree(corpus, ignore_errors=True)
    for seed in target.seeds():
        keep(corpus, "seed", seed)
    scratch = tempfile.mkdtemp(prefix="looop-fuzz-", dir=_quick_place())
    log, board, began = os.path.join(scratch, "log"), Board(), time.monotonic()
    try:
        pid = os.fork()
        if pid == 0:
            _enter(scratch, log)
            player = Player(name, target.one, os.path.join(CACHE, "failures"), board, wanted.failures)
            fuzz(target, player, corpus, round(wanted.minutes * 60), wanted.seed)
        trouble = _watch(pid, board, wanted.minutes * 60)
        seconds = time.monotonic() - began
        with open(log, errors="replace") as file:
            said = file.read()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return _outcome(name, said, trouble, board, seconds)


def _enter(scratch: str, log: str) -> None:
    """In the fork: a place of its own, and no voice but the log."""
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    tempfile.tempdir = os.path.join(scratch, "tmp")
    os.mkdir(tempfile.tempdir)


def _quick_place() -> str | None:
    """Memory, where it is to be had: some properties make thousands of files a second."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _watch(pid: int, board: Board, seconds: float) -> str:
    """Wait for the process to end; what was wrong with it, empty when nothing was."""
    ends = time.monotonic() + seconds + START_S
    count, since = 0, time.monotonic()
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        now = time.monotonic()
        if done:
            code = os.waitstatus_to_exitcode(status)
            return _DEATHS.get(code, f"the process ended with {code}") if code else ""
        if board.count != count:
            count, since = board.count, now
        hangs = count and now - since > HANG_S
        if hangs or now > ends:
            os.kill(pid, signal.SIGUSR2)
            time.sleep(LOOK_S)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return f"one input took more than {HANG_S} seconds" if hangs else "the fuzzer did not end"
        time.sleep(LOOK_S)


def _outcome(name: str, said: str, trouble: str, board: Board, seconds: float) -> Outcome:
    failures = [Failure(path, what) for path, what in _FOUND.findall(said)]
    if trouble:
        path = keep(os.path.join(CACHE, "failures"), name, board.data)
        with open(f"{path}.log", "w") as file:
            file.write(said[-20_000:])
        failures.append(Failure(path, f"{trouble} (the end of what it said: {path}.log)"))
    start, since = _AT_START.search(said), _SINCE.findall(said)
    first, last = (start.groups() if start else ("?", "?")), (since[-1] if since else ("?", "?"))
    return Outcome(name, board.count, seconds, (first[0], last[0], first[1], last[1]), failures)


def _tell(outcome: Outcome) -> Outcome:
    edges, features = (f"{outcome.covered[n]} → {outcome.covered[n + 1]}" for n in (0, 2))
    rate = outcome.runs / max(outcome.seconds, 0.1)
    print(f"{outcome.name:<16}{outcome.runs:>10}{rate:>8.0f}{edges:>16}{features:>16}{len(outcome.failures):>10}")
    for failure in outcome.failures:
        path = os.path.relpath(failure.path)
        print(f"  {failure.what}\n    again: scripts/fuzz {outcome.name} --play {path}")
    sys.stdout.flush()
    return outcome


def _play(wanted: argparse.Namespace) -> int:
    (target,) = _targets(wanted.targets).values()
    try:
        with open(wanted.play, "rb") as file:
            data = file.read()
    except OSError as error:
        print(f"{wanted.play}: {error.strerror}", file=sys.stderr)
        return 2
    print(f"{len(data)} bytes: {data[:400]!r}", flush=True)
    replay(target.one, data, HANG_S + 2)
    print("nothing fails")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
