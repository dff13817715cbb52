"""Reflexes as a decider: deterministic, free, always on. What fires is judged in rules/reflexes.py; here it is kept.

Note [Marking before or after]
A run_shell or start_worker is marked as fired once it is announced and before it runs: after a crash nobody knows
whether it ran, and it must not run twice, but its announcement is found. Every other move may be repeated without harm,
so it is marked after its effect: after a crash before the effect it is not lost.
"""

from looop.model.errors import Unreadable
from looop.model.records import Fault, ReflexLedger
from looop.model.world import World
from looop.rules.gates import Memory
from looop.rules.reflexes import Judgement, judge
from looop.state.house import House


def judge_reflexes(house: House, world: World, memory: Memory, now: int) -> tuple[Judgement, ReflexLedger | None]:
    """How the goals stand, and the ledger it was judged by; a corrupt ledger starts afresh and nothing fires.

    Raises Unreadable: what ran before is then not known, and must not be overwritten.
    """
    ledger = house.guards.reflexes()
    if isinstance(ledger, Fault) and ledger.kind == "unreadable":
        raise Unreadable(ledger.why)
    if isinstance(ledger, Fault):
        house.events.emit("guard_degraded", guard="reflexes", error=ledger.why, key=ledger.key)
        return judge(world, None, memory.activity, now), None
    before = ledger or ReflexLedger()
    return judge(world, before, memory.activity, now), before


def keep_judgement(house: House, judgement: Judgement, before: ReflexLedger | None) -> None:
    """Remember what was judged, unless it is what was known anyway. Raises Unwritable."""
    if judgement.ledger != before:
        house.guards.record_reflexes(judgement.ledger)
