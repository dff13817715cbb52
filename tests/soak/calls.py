"""Real looop processes side by side, some of which are killed on their way: at any moment of their short lives."""

import os
import queue
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from random import Random

from msgspec import Struct

from tests.soak.ledger import Fate, fate_of

PROGRAM = (sys.executable, "-m", "looop")
CUT = 0.4  # of all calls
LONGEST_FUSE_S = 0.9  # most are over by then


class Ended(Struct, frozen=True):
    """How a call ended: `code` is negative when it was killed."""

    words: tuple[str, ...]
    code: int
    out: str
    err: str
    end: float

    @property
    def fate(self) -> Fate:
        """As an act of the ledger."""
        return fate_of(self.code)


class Calls:
    """Those that run. `killed` and `ended` count by verb; `wrong` are those that failed without a word, or badly."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._over: queue.SimpleQueue[tuple[Ended, Callable[[Ended], object]]] = queue.SimpleQueue()
        self.running = 0
        self.killed: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.wrong: list[str] = []

    def start(self, then: Callable[[Ended], object], *words: str, stdin: str | None = None) -> None:
        """Run looop with these words; `then` gets what came of it, when `gather` is called."""
        fuse = self._rng.uniform(0, LONGEST_FUSE_S) if self._rng.random() < CUT else None
        self.running += 1
        threading.Thread(target=self._live, args=(then, words, stdin, fuse), daemon=True).start()

    def _live(
        self, then: Callable[[Ended], object], words: tuple[str, ...], stdin: str | None, fuse: float | None
    ) -> None:
        process = subprocess.Popen(
            [*PROGRAM, *words],
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(os.environ),
            text=True,
        )
        try:
            out, err = process.communicate(stdin, timeout=fuse)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
        self._over.put((Ended(words, process.returncode, out, err, time.monotonic()), then))

    def gather(self) -> None:
        """Hand on what has ended since."""
        while not self._over.empty():
            ended, then = self._over.get()
            self.running -= 1
            verb = " ".join(
                ended.words[: 2 if ended.words[0] in ("goal", "schedule") or "withdraw" in ended.words else 1]
            )
            (self.killed if ended.code < 0 else self.ended)[verb] += 1
            if "Traceback" in ended.err or (ended.code > 0 and not ended.err):
                self.wrong.append(f"{' '.join(ended.words)} ended with {ended.code}: {ended.err}")
            then(ended)
