"""A worker as agents are: it asks, is cut off, asks again under the same key, and goes on with the answer.

Run in a worker's terminal: asker.py WORKER GENERATION SEED LOG. Everything it does is on record in LOG, a line of JSON
when a call begins, when it has a process, and when it ends. Some calls it kills itself, as a tool's time limit does.
"""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable

PROGRAM = (sys.executable, "-m", "looop")
CUT = 0.3
LONGEST_FUSE_S = 1.5


class Asker:
    """One generation of a worker."""

    def __init__(self, worker: str, generation: str, seed: str, log: str) -> None:
        self.worker, self.generation, self.random = worker, int(generation), random.Random(seed)
        self.log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.calls = self.questions = 0

    def live(self) -> None:
        """Until it is killed."""
        time.sleep(1.1)  # what is asked in the second in which a session begins may be of the one before
        steps: list[Callable[[], None]] = [self.ask_keyed, self.ask_limited, self.ask_plain, self.hear, self.withdraw]
        while True:
            self.random.choices(steps, (5, 2, 1, 2, 1))[0]()

    def ask_keyed(self) -> None:
        """As long as it is cut off, the same again; sometimes it loses interest."""
        prompt = self.prompt()
        words = ["--key", f"k{self.questions}", *(["--again", "it matters"] if self.random.random() < 0.3 else [])]
        for _ in range(self.random.choice((1, 9, 9, 9))):
            if self.call("ask", prompt, words):
                return

    def ask_plain(self) -> None:
        """Without a key: whoever asks again asks another question."""
        self.call("ask", self.prompt(), [])

    def ask_limited(self) -> None:
        """With a limit, and mostly with a default."""
        prompt, limit = self.prompt(), ["--timeout", f"{self.random.randint(1, 4)}s"]
        default = ["--default", f"default of {prompt}"] if self.random.random() < 0.7 else []
        key = ["--key", f"k{self.questions}"] if self.random.random() < 0.5 else []
        self.call("ask", prompt, [*limit, *default, *key])

    def hear(self) -> None:
        self.call("told", "", [])

    def withdraw(self) -> None:
        """One of its own that is open, if there is one: it was cut off while it waited."""
        root = os.environ["LOOOP_DATA_DIR"]
        settled = os.listdir(f"{root}/answers")
        mine = [
            name for name in os.listdir(f"{root}/asks") if name.startswith(f"{self.worker}-") and name not in settled
        ]
        if mine:
            ask_id = self.random.choice(mine).removesuffix(".json")
            self.call("withdraw", ask_id, ["--why", f"by {self.worker}/{self.generation}/{self.calls}"])

    def prompt(self) -> str:
        """No two are the same."""
        self.questions += 1
        return f"{self.worker}/{self.generation}/{self.questions}"

    def call(self, what: str, about: str, options: list[str]) -> bool:
        """Run it; whether it came to its end, or to its answer at least."""
        self.calls += 1
        verb = {"ask": ["ask", "--prompt", about], "withdraw": ["ask", "withdraw", about], "told": ["told"]}[what]
        fuse = self.random.uniform(0, LONGEST_FUSE_S) if self.random.random() < CUT else None
        told = {"worker": self.worker, "generation": self.generation, "call": self.calls, "what": what, "about": about}
        told |= {"options": options, "begin": time.monotonic()}
        self.note(told)
        process = subprocess.Popen(
            [*PROGRAM, *verb, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.note(told | {"pid": process.pid})
        try:
            out, err = process.communicate(timeout=fuse)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
        end = {"code": process.returncode, "out": out, "err": err, "end": time.monotonic()}
        self.note(told | {"pid": process.pid} | end)
        return process.returncode >= 0 or bool(out)

    def note(self, row: dict[str, object]) -> None:
        os.write(self.log, json.dumps(row).encode() + b"\n")


if __name__ == "__main__":
    Asker(*sys.argv[1:]).live()
