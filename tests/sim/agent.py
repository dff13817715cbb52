"""What the loop's agent answers: mostly a move, at times nonsense, at times that its limit is reached."""

import json
from random import Random
from typing import Any

from looop.model.moves import WriteSchedule
from tests.sim.machine import Answer
from tests.sim.people import GOALS, SCHEDULES, WORKERS, goal_text, terms
from tests.sim.promises import Promises

NONSENSE = (
    Answer("no idea"),
    Answer('{"action": "explode"}'),
    Answer('{"action": "noop"} {"action": "run_shell"}'),
    Answer("", code=1),
    Answer("", hangs=True, code=-9),
    Answer("", file='{"action": '),
)


class Agent:
    """Answers prompts. While it is `sane` it makes moves that can be made, and mostly none.

    Each answer is made with another number `n`, so that no two are the same.
    """

    def __init__(self, rng: Random, promises: Promises) -> None:
        self._rng, self._promises = rng, promises
        self._dry = 0
        self.sane = False

    def answer(self, n: int, beat: int, now: int) -> Answer:
        """To one prompt. `text` that names a usage limit says until when it lasts."""
        rng = self._rng
        if not self.sane and (nonsense := self._nonsense(now)):
            return nonsense
        move = self._move(n, beat)
        text = json.dumps(move)
        return Answer(file=text) if rng.random() < 0.5 else Answer(text)

    def _nonsense(self, now: int) -> Answer | None:
        rng = self._rng
        if self._dry == 0 and rng.random() < 0.02:
            self._dry = 4
        if self._dry or rng.random() < 0.02:
            self._dry = max(self._dry - 1, 0)
            return Answer(json.dumps({"action": "noop", "reason": f"dry {rng.random()}"}), usd=None)
        if rng.random() < 0.02:
            return Answer(f"Claude AI usage limit reached|{now + rng.choice((600, 7200))}", code=1)
        return rng.choice(NONSENSE) if rng.random() < 0.1 else None

    def _move(self, n: int, beat: int) -> dict[str, Any]:
        rng = self._rng
        goal, schedule = rng.choice(GOALS), rng.choice(SCHEDULES)
        possible: tuple[dict[str, Any], ...] = (
            {"action": "noop", "reason": f"n{n}"},
            {"action": "run_shell", "cmd": f"job {n} of {beat}"},
            {"action": "write_goal", "id": goal, "body": goal_text(rng, goal, n)},
            {"action": "write_schedule", "name": schedule, "every_s": 900 + n},
            {"action": "drop_schedule", "name": schedule},
            {"action": "write_playbook", "body": f"judge {n}"},
        )
        if self.sane:
            possible += possible[:1] * 8
        else:
            possible += (
                {"action": "archive_goal", "id": goal},
                {"action": "start_worker", "id": "w", "prompt": f"p{n}", "verify": "verify w"},
                {"action": "kill_worker", "id": rng.choice(WORKERS)},
            )
        move = rng.choice(possible)
        self._proposed(move)
        return move

    def _proposed(self, move: dict[str, Any]) -> None:
        """It may be carried out from now on."""
        match move["action"]:
            case "write_goal":
                self._promises.goals.begin(move["id"], move["body"].rstrip("\n"))
            case "archive_goal":
                self._promises.goals.begin(move["id"], None)
            case "write_schedule":
                wanted = WriteSchedule(move["name"], every_s=move["every_s"])
                self._promises.schedules.begin(move["name"], terms(wanted))
            case "drop_schedule":
                self._promises.schedules.begin(move["name"], None)
