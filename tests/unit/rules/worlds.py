"""Small worlds for the tests of reflexes: goals with front matter, sensors with signals, a ledger carried along."""

import json
from collections.abc import Mapping
from typing import Any

from looop.model.records import ReflexLedger
from looop.model.world import World
from looop.rules.reflexes import Firing, Judgement, fired, judge
from looop.rules.world import assemble

NOW = 1_790_000_000
NOOP = "{action: noop}"


def goal(*conditions: str, done: str | None = None, move: str = NOOP, prose: str = "prose") -> str:
    """A goal file with a reflex for each condition."""
    lines = ["---", *([f"done: {json.dumps(done)}"] if done is not None else [])]
    if conditions:
        lines.append("reflexes:")
    for condition in conditions:
        lines += [f"  - when: {json.dumps(condition)}", f"    move: {move}"]
    return "\n".join([*lines, "---", prose, ""])


def world(goals: Mapping[str, str | bytes | None], sensors: Mapping[str, Any] | None = None, **system: Any) -> World:
    """The world of goals by id, sensor readings by stem, and system readings (`asks`, `sessions`, `schedules`)."""
    policy = {f"goals/{name}.md": text.encode() if isinstance(text, str) else text for name, text in goals.items()}
    readings = {f"sensor-{stem}": value for stem, value in (sensors or {}).items()}
    readings |= {f"sys-{stem}": value for stem, value in system.items()}
    snapshots = [(stem, _bytes(value), "untrusted") for stem, value in readings.items()]
    return assemble(policy, snapshots)  # type: ignore[arg-type]  # the trust is a literal


def status(condition: str, seen: World | None = None, activity: Mapping[str, int] | None = None) -> tuple[str, str]:
    """Status and reason of a goal `g` that is done when `condition` holds."""
    found = seen or world({})
    policy = {"goals/g.md": goal(done=condition).encode()}
    both = assemble(policy, [(stem, reading.raw.encode(), "untrusted") for stem, reading in found.readings.items()])
    (only,) = judge(both, ReflexLedger(), activity or {}, NOW).statuses
    return only.status, only.why


class Loop:
    """Beats over worlds: judges, fires what holds, and carries the ledger as the beat does."""

    def __init__(self, activity: Mapping[str, int] | None = None) -> None:
        self.ledger, self.activity, self.news = ReflexLedger(), dict(activity or {}), list[str]()

    def beat(self, seen: World, *, failed: bool = False) -> Firing | None:
        """One beat on `seen`; what fired, if anything did."""
        judgement = self.judge(seen)
        self.ledger = judgement.ledger
        self.news += judgement.news
        if judgement.firing:
            self.ledger = fired(self.ledger, judgement.firing, seen, failed=failed)
        return judgement.firing

    def judge(self, seen: World) -> Judgement:
        """How the goals stand on `seen`; nothing is remembered."""
        return judge(seen, self.ledger, self.activity, NOW)


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()
