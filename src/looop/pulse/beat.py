"""One beat: sense, judge, decide, act. It takes no event, reads the whole world, and may be killed at any line.

Source: spec/beat.md §1; docs/continuity.md says what a kill at each line leaves behind.
"""

from msgspec import Struct

from looop.act.tend import tend
from looop.decide.breakers import sweep_open_run
from looop.decide.decider import Decider
from looop.model.errors import LooopError
from looop.model.records import Fault, FlapLedger
from looop.model.report import BeatReport
from looop.model.world import World
from looop.pulse.commit import conclude
from looop.rules import flapping, gates
from looop.rules.gates import Memory, Verdict
from looop.rules.health import note_sleep
from looop.sense.gather import gather
from looop.sense.workers import sleep_of
from looop.state.house import House


def beat(house: House, decider: Decider, now: int, *, forced: bool = False) -> BeatReport:
    """Run one beat and say what it did. The caller holds the pulse lock. Never raises a LooopError."""
    _begin(house, now)
    _notice_sleep(house, now)
    tend(house, now)
    try:
        seen = look(house, now, forced=forced)
    except LooopError as error:
        house.events.emit("tick_error", error=str(error))
        return BeatReport(ending="blocked", reason=str(error))
    world, memory = seen.world, seen.memory
    if house.setting.stop.requested():
        return BeatReport(ending="stopped", world_hash=world.hash)
    if seen.verdict.idle:
        free = decider.decide_free(world, memory, now) if seen.verdict.waits else None
        if free is None:
            return BeatReport(ending="idle", reason=seen.verdict.notes[-1].name, world_hash=world.hash)
        return conclude(house, world, memory, free, now)
    return conclude(house, world, memory, decider.decide(world, memory, now), now)


class Look(Struct, frozen=True):
    """What a beat knows before it decides, and whether it may."""

    world: World
    memory: Memory
    verdict: Verdict


def look(house: House, now: int, *, forced: bool) -> Look:
    """Sense, remember and judge; what was found wrong on the way is on record. Raises Unreadable without a world."""
    world = gather(house, now)
    _watch_flapping(house, world)
    memory = house.guards.recall()
    _report_damage(house, memory)
    verdict = gates.weigh(world, memory, house.limits, now, forced=forced)
    _put_on_record(house, verdict)
    return Look(world, memory, verdict)


def _begin(house: House, now: int) -> None:
    """Report what an earlier crash interrupted, and bill the model run it cut off. Source: spec/beat.md §12."""
    house.events.emit("tick_start")
    house.best_effort("cost ledger", lambda: sweep_open_run(house))
    try:
        processes = house.setting.processes
        for left in house.intents.sweep(now, house.setting.knobs.shell_timeout_secs, processes.is_alive):
            processes.kill_left(left.mark)
            house.events.emit("tick_interrupted", action=left.action, fingerprint=left.fingerprint, cmd=left.cmd)
            what = left.cmd or left.fingerprint
            house.note(f"an earlier {left.action} was interrupted; look whether it was done: {what}", now)
    except LooopError as error:
        house.events.emit("guard_degraded", guard="interrupted actions", error=str(error))


def _notice_sleep(house: House, now: int) -> None:
    """Put on record that this machine has been suspended; a record that tells nothing is replaced. Edge case 275."""
    found = house.guards.awake()
    if isinstance(found, Fault):
        house.events.emit("guard_degraded", guard="sleep", key=found.key, error=found.why)
    if (noted := note_sleep(sleep_of(house), now)) != found:
        house.best_effort("sleep", lambda: house.guards.record_awake(noted))


def _watch_flapping(house: House, world: World) -> None:
    """Keep the flapping ledger; one that is lost starts anew, loudly. Source: spec/beat.md §6.4."""
    known = house.guards.flaps()
    if isinstance(known, Fault):
        house.events.emit("guard_degraded", guard="flapping", error=known.why)
    before = known if isinstance(known, FlapLedger) else FlapLedger()
    after = flapping.observe(before, world.items)
    for stem, streak in flapping.crossing(before, after, house.limits.flap_streak):
        house.events.emit("sensor_flapping", sensor=stem, streak=streak)
    if after != known:
        house.best_effort("flapping", lambda: house.guards.record_flaps(after))


def _report_damage(house: House, memory: Memory) -> None:
    for fault in house.guards.damage(memory):
        house.events.emit("guard_degraded", guard="memory", key=fault.key, error=fault.why)


def _put_on_record(house: House, verdict: Verdict) -> None:
    for note in verdict.notes:
        house.events.emit(note.name, **note.fields)
    if repaired := verdict.backoff:
        house.best_effort("backoff", lambda: house.guards.repair_backoff(repaired))
