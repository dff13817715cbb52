"""A screenshot as a person or a script asks for it, against a bare interpreter; and looking again as a view does."""

import itertools
import json
import os
import sys

from looop.contract.screens import Screens
from looop.contract.transcript import Transcript
from paired import ROOT, clean_env, compare, each, figure, pairs, title, wall
from scratch import data_dir
from startup import child_cpu

RECORDINGS = ("claude", "codex", "pi")
PAIRS = 15
TARGETS_S = {1: 0.2, 16: 0.6}
GROWTH = 4096


def recorded(size: int) -> bytes:
    """That many bytes of agents at work, one after the other, again and again."""
    data = b""
    for name in RECORDINGS:
        with open(os.path.join(ROOT, "tests", "data", "pty", f"{name}.raw"), "rb") as file:
            data += file.read()
    return (data * (size // len(data) + 1))[:size]


def session(root: str, name: str, log: bytes) -> str:
    """The folder of a session of 120x40 that has ended."""
    folder = os.path.join(root, "sessions", name)
    os.makedirs(folder)
    started = "2026-11-01T00:00:00Z"
    records = {
        "meta.json": {"id": name, "cmd": ["agent"], "babysit_pid": 0, "started_at": started, "size": [120, 40]},
        "status.json": {"state": "exited", "child_pid": 1, "exit_code": 0, "last_change": started},
    }
    for file_name, record in records.items():
        with open(os.path.join(folder, file_name), "w", encoding="utf-8") as text:
            json.dump(record, text)
    with open(os.path.join(folder, "output.log"), "wb") as file:
        file.write(log)
    return folder


def as_process(root: str, megabytes: int) -> None:
    """A whole fresh process that prints the screen of a log of that size."""
    name, env = f"w{megabytes}", clean_env(LOOOP_DATA_DIR=root)
    session(root, name, recorded(megabytes << 20))
    ours = [sys.executable, "-m", "looop", "screenshot", name]
    found = pairs(
        lambda: wall(lambda: child_cpu(ours, env)),
        lambda: wall(lambda: child_cpu([sys.executable, "-c", "pass"], env)),
        PAIRS,
    )
    compare(f"wall: screenshot of {megabytes} MB : python -c pass", found)
    figure(f"wall: screenshot of {megabytes} MB", found.ours, "s", TARGETS_S[megabytes])


def again(root: str) -> None:
    """Looking again at a log that has grown, against looking at it for the first time."""
    folder = session(root, "growing", recorded(1 << 20))
    screens, more = (
        Screens(),
        itertools.cycle([recorded(1 << 20)[at : at + GROWTH] for at in range(0, 1 << 19, GROWTH)]),
    )

    def grow_and_look() -> None:
        with open(os.path.join(folder, "output.log"), "ab") as file:
            file.write(next(more))
        screens.look(folder, (120, 40))

    screens.look(folder, (120, 40))
    found = pairs(each(10, grow_and_look), each(1, lambda: Screens().look(folder, (120, 40))), PAIRS)
    compare("CPU: looking again, 4 KB more : at 1 MB anew", found, 0.5)
    found = pairs(each(20, lambda: screens.look(folder, (120, 40))), each(10, grow_and_look), PAIRS)
    compare("CPU: looking again, nothing new : 4 KB more", found, 0.1)


def text(root: str) -> None:
    """The text of a log: the last lines, and all of it."""
    folder = session(root, "text", recorded(16 << 20))
    transcript = Transcript(folder, lambda: True)
    found = pairs(each(3, lambda: transcript.read(tail=20)), each(1, transcript.read), 3, warm=1)
    compare("CPU: the last 20 lines of 16 MB : all of it", found)


def main() -> None:
    title("screens: a transcript of agents at work, 120x40")
    with data_dir(goals=1, sensors=0) as root:
        for megabytes in TARGETS_S:
            as_process(root, megabytes)
        again(root)
        text(root)


if __name__ == "__main__":
    main()
