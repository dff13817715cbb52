"""Measure what terminal queries cost that nobody answers: the time from a worker's start to the end of its first tool.

    .venv/bin/python -m tests.agents.queries           # claude, codex, pi and opencode, five runs each way

For decision 007. One run answers as a terminal would, typing into the session; its twin leaves every query unanswered.
"""

import re
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from looop.contract.attach import Attachment
from looop.model.errors import Refused
from tests.agents.cli import unavailable
from tests.agents.endpoint import Endpoint
from tests.agents.works import CLIS, Work, scenarios
from tests.fakes.waiting import until

RUNS = 5
ANSWERS = {
    "DA1": (rb"\x1b\[0?c", b"\x1b[?62;22c"),
    "DA2": (rb"\x1b\[>0?c", b"\x1b[>1;10;0c"),
    "CPR": (rb"\x1b\[\??6n", b"\x1b[1;1R"),
    "DSR": (rb"\x1b\[5n", b"\x1b[0n"),
    "colours": (rb"\x1b\]1[01];\?(?:\x07|\x1b\\)", b"\x1b]11;rgb:0000/0000/0000\x1b\\"),
    "palette": (rb"\x1b\]4;\d+;\?(?:\x07|\x1b\\)", b"\x1b]4;0;rgb:0000/0000/0000\x1b\\"),
    "kitty keys": (rb"\x1b\[\?u", b"\x1b[?0u"),
    "XTVERSION": (rb"\x1b\[>0?q", b"\x1bP>|looop\x1b\\"),
    "DECRQM": (rb"\x1b\[\?(\d+)\$p", b"\x1b[?%s;2$y"),
    "size": (rb"\x1b\[14t", b"\x1b[4;640;960t"),
}


def answer(attachment: Attachment) -> None:
    """Type what a terminal answers, until the session has ended."""
    while True:
        for seen in attachment.receive():
            if seen.kind != "output":
                return
            for pattern, said in ANSWERS.values():
                for query in re.finditer(pattern, seen.data):
                    try:
                        attachment.type(said % query.groups() if query.groups() else said)
                    except Refused:
                        return


def first_tool_s(cli: str, *, answered: bool) -> tuple[float, Counter[str]]:
    """Seconds until the first tool has run, and which queries were made by then."""
    with tempfile.TemporaryDirectory() as folder, Endpoint(scenarios()) as endpoint:
        work = Work.make(Path(folder).resolve(), cli, endpoint.base("report", "t"))
        try:
            began = time.monotonic()
            work.start("w", "Do it.")
            if answered:
                attachment = Attachment(work.session("w"), write=True, size=None)
                threading.Thread(target=answer, args=(attachment,), daemon=True).start()
            until(lambda: any(seen.step == 1 for seen in endpoint.seen("t")), 60, "the first tool")
            seconds = time.monotonic() - began
            said = (work.data / "sessions/w/output.log").read_bytes()
        finally:
            work.end()
    return seconds, Counter({name: len(re.findall(pattern, said)) for name, (pattern, _) in ANSWERS.items()})


def main(clis: list[str]) -> None:
    """Print one line for each CLI."""
    if why := unavailable():
        raise SystemExit(why)
    for cli in clis or CLIS:
        times: dict[bool, list[float]] = {True: [], False: []}
        for turn in range(RUNS):
            for answered in (True, False) if turn % 2 else (False, True):
                seconds, asked = first_tool_s(cli, answered=answered)
                times[answered].append(seconds)
        names = ", ".join(f"{name} {count}" for name, count in asked.items() if count)
        spread = {
            key: f"{statistics.median(each):.2f} ({min(each):.2f}-{max(each):.2f})" for key, each in times.items()
        }
        print(
            f"{cli}: unanswered {spread[False]} s, answered {spread[True]} s; it asks {names or 'nothing'}", flush=True
        )


if __name__ == "__main__":
    main(sys.argv[1:])
