"""Commands that must be done once, and runs that must be paid for once, while the pulse is killed.

A shot is a goal whose reflex runs one command for one schedule: done once, or reported as interrupted. The agent is a
script that bills each of its runs, and decides on a command of its own each time.
"""

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from looop.model.moves import ArchiveGoal, DropSchedule, WriteGoal, WriteSchedule
from tests.soak.crew import Crew

COST_USD = 0.02
FIRST_USD, MORE_USD, MORE_EVERY_S = 0.06, 0.02, 10.0  # less than the agent would spend
_SHOTS_AT_ONCE, _SHOT_EVERY_S = 4, 3.0  # in between it is the agent's turn
_JUST_NOW_S = 0.3
_MORE_BEATS = 3
_AGENT = Path(__file__).with_name("agent.sh")
_GOAL = """\
---
reflexes:
  - when: due.{shot}
    move: {{action: run_shell, cmd: "sleep 0.2; echo {shot} >> '{place}'; sleep 0.3"}}
---
"""
_REPORTED = re.compile(r"an earlier shell was interrupted; look whether it was done: .*echo (\S+) >>")
_FAILED = re.compile(r"failed · reflex (\S+)#0 ·")


class Work:
    """What is to be done and what it costs. `shots` are those that were set up."""

    def __init__(self, root: Path, crew: Crew) -> None:
        self.root, self.crew = root, crew
        self.done, self.bills = root.parent / "done", root.parent / "bills"
        self.shots: list[str] = []
        self.over: set[str] = set()
        self.usd = FIRST_USD
        self._found_at: dict[str, int] = {}
        self._next_shot = 0.0
        self._next_raise = time.monotonic() + MORE_EVERY_S
        self._command = f"sh {_AGENT} {{{{prompt_file}}}} {self.bills} {self.done}"
        self._configure()

    def _configure(self) -> None:
        config = {"tick_command": self._command, "events": "claude", "max_daily_usd": round(self.usd, 2)}
        draft = self.root / ".config.draft"
        draft.write_text(json.dumps(config))
        draft.replace(self.root / "config.json")

    def step(self) -> None:
        """More money from time to time, and another command as soon as one is done."""
        if time.monotonic() > self._next_raise:
            self._next_raise += MORE_EVERY_S
            self.usd += MORE_USD
            self._configure()
        self._set_up()
        self._clear()

    def _set_up(self) -> None:
        """The goal first: what is written after its schedule ran has not missed that run."""
        if len(self.shots) - len(self.over) < _SHOTS_AT_ONCE and time.monotonic() > self._next_shot:
            self._next_shot = time.monotonic() + _SHOT_EVERY_S
            shot = f"shot{len(self.shots)}"
            self.crew.local.steer(WriteGoal(id=shot, body=_GOAL.format(shot=shot, place=self.done)))
            self.crew.local.steer(WriteSchedule(name=shot, in_s=1))
            self.shots.append(shot)

    def _clear(self) -> None:
        """Goals and schedules of what is over go away, after some more beats that might do it again."""
        found, beats = self._found(), self.crew.beats()
        for shot in [shot for shot in self.shots if found[shot] and shot not in self.over]:
            if beats < self._found_at.setdefault(shot, beats) + _MORE_BEATS:
                continue
            self.crew.local.steer(ArchiveGoal(id=shot))
            self.crew.local.steer(DropSchedule(name=shot))
            self.over.add(shot)

    def _found(self) -> Counter[str]:
        """How often each command was done, or reported."""
        return Counter(_lines(self.done)) + Counter(_REPORTED.findall(self._journal()))

    def is_delicate(self) -> bool:
        """Whether a command or the agent is at work, or was just now: what must be done once may be done twice."""
        announced = any(path.name.startswith((".action-wal", ".open-run")) for path in self.root.iterdir())
        return announced or any(time.time() - _written(path) < _JUST_NOW_S for path in (self.done, self.bills))

    def check(self) -> list[str]:
        """What is wrong now, however far the processes are."""
        return [*self._check_once(), *self._check_money()]

    def _check_once(self) -> Iterator[str]:
        """A reflex does once what it does for one run, more often only where that has failed; an agent's word, once."""
        done = Counter(_lines(self.done))
        failed = Counter(_FAILED.findall(self._journal()))
        for what, count in done.items():
            if count > 1 + failed[what]:
                yield f"{what} was carried out {count} times"

    def _check_money(self) -> Iterator[str]:
        """One row a run, with what it cost unless it was cut off; the budget is passed by one run at most."""
        rows = self._rows()
        bills = Counter(_lines(self.bills))
        for run, count in Counter(row["id"] for row in rows).items():
            if count > 1:
                yield f"run {run} has {count} rows in the ledger"
        for row in rows:
            if row.get("cost_usd") and not bills[f"paid {row['id']}"]:
                yield f"run {row['id']} costs {row['cost_usd']}, and was never paid"
        spent = round(sum(row.get("cost_usd") or 0 for row in rows), 6)
        if spent >= round(self.usd + COST_USD, 6):
            yield f"{spent:.2f} USD were spent, with a budget of {self.usd:.2f}"
        free = sum(row.get("cost_usd") is None for row in rows)
        if free > self.crew.pulses:
            yield f"{free} runs have no figure, and the pulse was killed {self.crew.pulses} times"

    def late(self) -> list[str]:
        """What is not yet as it must be once the loop has come to rest."""
        known, found = {row["id"] for row in self._rows()}, self._found()
        begun = {line.removeprefix("begun ") for line in _lines(self.bills) if line.startswith("begun ")}
        return [
            *(f"run {run} has no row in the ledger" for run in begun - known),
            *(f"{shot} was neither done nor reported{self._told(shot)}" for shot in self.shots if not found[shot]),
            *(f"announcement left: {path.name}" for path in self.root.glob(".action-wal*")),
        ]

    def _told(self, shot: str) -> str:
        """What the loop has on record of it."""
        lines = [line for line in self._journal().splitlines() if re.search(rf"{shot}\b", line)]
        file = self.root / ".reflexes.json"  # no beat may have come so far
        reflexes = json.loads(file.read_bytes())["goals"].get(shot) if file.exists() else None
        return f": {reflexes}, {lines}"

    def figures(self) -> str:
        """In a line."""
        rows = self._rows()
        reported = len(_REPORTED.findall(self._journal()))
        free = sum(row.get("cost_usd") is None for row in rows)
        return (
            f"{len(set(_lines(self.done)))} commands carried out, {reported} reported as interrupted; {len(rows)} "
            f"agent runs billed, {free} of them cut off; {sum(row.get('cost_usd') or 0 for row in rows):.2f} of "
            f"{self.usd:.2f} USD spent"
        )

    def _rows(self) -> list[dict[str, Any]]:
        """Of the ledger; a torn last line is none yet."""
        rows = []
        for line in _lines(self.root / "cost.jsonl"):
            try:
                rows.append(json.loads(line))
            except ValueError:
                continue
        return rows

    def _journal(self) -> str:
        return "\n".join(_lines(self.root / "journal.md"))


def _written(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else 0.0


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []
