"""Which reflex moves this beat, and how each goal stands: level-triggered, bounded, without side effects.

Goals are visited most neglected first; the first reflex that holds is the move. A reflex fires once on one world,
and is suspended when its condition still holds after three runs: no progress is a fact to report, not a reason to
repeat. It starts afresh when the condition turns false or the goal is edited. Source: design §4.

Note [Reflexes on a schedule]
A missed run that is being made up for is shown for one decision only, so the reflex that asks for it comes first.
`due.<name>` is true for a goal that has not been acted on since the schedule ran. Acting makes it false, but nobody may
look before the next run makes it true again: so a reflex that asks for it starts afresh with each run. For one run it
fires once, whatever becomes of the record of when the goal was acted on; a run that failed is tried again.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from looop.model.errors import Invalid
from looop.model.moves import AnyMove
from looop.model.prompt import GoalStatus, Status
from looop.model.records import GoalReflexes, ReflexLedger, ReflexState
from looop.model.world import World, goals_of
from looop.rules import cel
from looop.rules.due import STEP_S
from looop.rules.goals import GoalSpec, parse_goal
from looop.rules.world import canonical, decode_json

MAX_RUNS = 3
_NEVER = -(2**62)


class Firing(Struct, frozen=True):
    """The reflex that holds: `#index` of `goal`, and its move; `run` says for which runs of schedules, if for any."""

    goal: str
    index: int
    move: AnyMove
    when: str
    run: str = ""

    @property
    def label(self) -> str:
        """How the journal and the bundle name it."""
        return f"reflex {self.goal}#{self.index}"


class Judgement(Struct, frozen=True):
    """The verdict over all goals. `ledger` is what to remember; `news` lines belong in the journal, once.

    `held` are the first reflexes that hold and may fire, one a goal, most neglected goal first. `spent` says of each
    that holds and may not fire why it may not.
    """

    held: list[Firing]
    statuses: list[GoalStatus]
    ledger: ReflexLedger
    news: list[str]
    spent: list[str] = []

    @property
    def firing(self) -> Firing | None:
        """The reflex that moves."""
        return self.held[0] if self.held else None

    @property
    def why_none(self) -> str:
        """Why no reflex moves, in a sentence."""
        return "; ".join(self.spent) or "no reflex holds"


def judge(world: World, ledger: ReflexLedger | None, activity: Mapping[str, int], now: int) -> Judgement:
    """How the goals stand in this world and which reflex, if any, moves.

    Without a ledger (None: what ran before is not known) nothing fires on this world: every reflex that holds
    counts as having fired on it.
    """
    known = ledger.goals if ledger else {}
    shared, runs = _shared_scope(world, now), _runs(world)
    held: list[Firing] = []
    statuses: list[GoalStatus] = []
    remembered: dict[str, GoalReflexes] = {}
    news: list[str] = []
    spent: list[str] = []
    for goal, text in by_neglect(world.policy, activity):
        due = _due(runs, activity.get(goal), now)
        scope = shared | _goal_scope(goal, shared["workers"], activity, now) | {"due": due.flags}
        seen = _judge_goal(goal, text, known.get(goal), scope, world, due)
        if ledger is None:
            seen = _hold_fire(seen, world.hash)
        held += seen.held[:1]
        news += seen.news
        spent += seen.spent
        if seen.status:
            statuses.append(seen.status)
        if seen.memory.rules or seen.memory.broken:
            remembered[goal] = seen.memory
    statuses.sort(key=lambda status: status.goal)
    made_up = {name for name, (run, _) in runs.items() if run is None}
    held.sort(key=lambda firing: made_up.isdisjoint(cel.due_named(firing.when)))
    return Judgement(held=held, statuses=statuses, ledger=ReflexLedger(goals=remembered), news=news, spent=spent)


def fired(ledger: ReflexLedger, firing: Firing, world: World, *, failed: bool = False) -> ReflexLedger:
    """The ledger once the reflex has run. After a known failure it may run again on the same world."""
    before = ledger.goals.get(firing.goal) or GoalReflexes(goal_hash=world.items[f"goal:{firing.goal}"].value)
    state = before.rules.get(str(firing.index), ReflexState())
    ran = replace(state, runs=state.runs + 1, fired_on="" if failed else world.hash)
    if firing.run:
        ran = replace(ran, run=firing.run, served=not failed)
    goal = replace(before, rules=before.rules | {str(firing.index): ran})
    return replace(ledger, goals=ledger.goals | {firing.goal: goal})


def by_neglect(policy: Mapping[str, str | None], activity: Mapping[str, int]) -> list[tuple[str, str | None]]:
    """Goal ids with their text, the one acted on longest ago first; ties by name. Source: edge case 84."""
    return sorted(goals_of(policy).items(), key=lambda goal: (activity.get(goal[0], 0), goal[0]))


class _Seen(Struct, frozen=True):
    held: list[Firing]
    status: GoalStatus | None
    memory: GoalReflexes
    news: list[str]
    spent: list[str] = []


def _hold_fire(seen: _Seen, world_hash: str) -> _Seen:
    rules = {str(firing.index): ReflexState(fired_on=world_hash) for firing in seen.held}
    return replace(seen, held=[], memory=replace(seen.memory, rules=rules))


def _judge_goal(
    goal: str, text: str | None, before: GoalReflexes | None, scope: Mapping[str, Any], world: World, due: "_Due"
) -> _Seen:
    """A goal that cannot be read for a while has not been edited: what its reflexes did is kept."""
    goal_hash = world.items[f"goal:{goal}"].value
    if before is None or (text is not None and before.goal_hash != goal_hash):
        before = GoalReflexes(goal_hash=goal_hash)
    try:
        if text is None:
            raise Invalid("the file cannot be read")
        spec = parse_goal(text)
    except Invalid as error:
        why = str(error)
        news = [f"goal {goal} reads unknown: {why}"] if before.broken != why else []
        return _Seen([], GoalStatus(goal, "unknown", why), replace(before, broken=why), news)
    return _judge_spec(goal, spec, before, scope, world.hash, due)


def _judge_spec(
    goal: str, spec: GoalSpec, before: GoalReflexes, scope: Mapping[str, Any], world_hash: str, due: "_Due"
) -> _Seen:
    held: list[Firing] = []
    states: dict[str, ReflexState] = {}
    faults: list[str] = []
    news: list[str] = []
    spent: list[str] = []
    for index, reflex in enumerate(spec.reflexes):
        state = before.rules.get(str(index), ReflexState())
        answer = cel.holds(reflex.when, scope)
        if isinstance(answer, str):
            faults.append(f"reflex #{index}: {answer}")
            states[str(index)] = state
        elif not answer:
            states[str(index)] = ReflexState(run=state.run, served=state.served)
        else:
            run = due.served_by(reflex.when)
            now_state, why_not = _turn(state, run, world_hash)
            if now_state.suspended and not state.suspended:
                news.append(f"reflex {goal}#{index} suspended: `{reflex.when}` still holds after {MAX_RUNS} runs")
            if why_not:
                spent.append(f"reflex {goal}#{index} holds, but {why_not}")
            else:
                held.append(Firing(goal, index, reflex.move, reflex.when, run))
            states[str(index)] = now_state
    status, why = _status(spec, scope)
    broken = "; ".join([*faults, *([f"done: {why}"] if why else [])])
    if broken and broken != before.broken:
        news.append(f"goal {goal}: {broken}")
    kept = {index: state for index, state in states.items() if state != ReflexState()}
    suspended = [int(index) for index, state in kept.items() if state.suspended]
    shown = GoalStatus(goal, status, broken, suspended) if spec.done or spec.reflexes else None
    return _Seen(held, shown, replace(before, rules=kept, broken=broken), news, spent)


def _turn(state: ReflexState, run: str, world_hash: str) -> tuple[ReflexState, str]:
    """The state of a reflex that holds, and why it may not fire, empty when it may."""
    if run and run != state.run:
        state = ReflexState()
    if state.runs >= MAX_RUNS:
        state = replace(state, suspended=True)
    if state.suspended:
        return state, "is suspended"
    if state.fired_on == world_hash:
        return state, "has already run on this world"
    return state, "has already run for this run of its schedule" if run and state.served else ""


def _status(spec: GoalSpec, scope: Mapping[str, Any]) -> tuple[Status, str]:
    if spec.done is None:
        return "open", ""
    held = cel.holds(spec.done, scope)
    if isinstance(held, str):
        return "unknown", held
    return ("done" if held else "open"), ""


def _shared_scope(world: World, now: int) -> dict[str, Any]:
    sensors = {
        stem.removeprefix("sensor-"): {
            "signal": cel.bindable(reading.signal) if reading.is_json else reading.raw,
            "detail": cel.bindable(reading.detail),
        }
        for stem, reading in world.readings.items()
        if stem.startswith("sensor-")
    }
    return {
        "sensor": sensors,
        "workers": _workers(world),
        "asks": _asks(world),
        "schedules": _signal(world, "sys-schedules", dict) or {},
        "now": now,
    }


def _goal_scope(goal: str, workers: list[dict[str, Any]], activity: Mapping[str, int], now: int) -> dict[str, Any]:
    acted = activity.get(goal)
    nobody = {"id": goal, "alive": False, "state": None, "health": "none", "exit_code": None, "verify": None}
    return {
        "goal": {"id": goal, "last_acted_s": None if acted is None else max(now - acted, 0)},
        "worker": next((worker for worker in workers if worker["id"] == goal), nobody),
    }


class _Due(Struct, frozen=True):
    """The schedules by name: whether each has run since the goal was acted on, and a word for the run it was."""

    flags: dict[str, bool]
    words: dict[str, str]

    def served_by(self, expression: str) -> str:
        """The runs that a reflex with this condition would fire for now, as a text; empty without any."""
        return " ".join(self.words[name] for name in sorted(cel.due_named(expression)) if self.flags.get(name))


def _runs(world: World) -> dict[str, tuple[int | None, str]]:
    """When each schedule that can be understood ran last, and a word for that run.

    None stands for a missed one that is being made up for now, _NEVER where there was none.
    """
    reading = world.readings.get("sys-schedules")
    if reading is None or not isinstance(reading.signal, dict):
        return {}
    ran = decode_json(reading.raw.encode()).get("ran")
    found = {}
    for name, signal in reading.signal.items():
        if signal not in ("invalid", "unparseable"):
            run = ran.get(name, _NEVER) if isinstance(ran, dict) else _NEVER
            late = run[0] if isinstance(run, list) and run else None
            moment = run if late is None else late
            moment = moment if type(moment) is int else _NEVER
            found[name] = moment if late is None else None, canonical([name, moment])
    return found


def _due(runs: Mapping[str, tuple[int | None, str]], acted: int | None, now: int) -> _Due:
    """What is due for a goal. A stamp from a clock that was far ahead does not count."""
    since = acted if acted is not None and acted <= now + STEP_S else _NEVER
    flags = {name: run is None or run > since for name, (run, _) in runs.items()}
    return _Due(flags, {name: word for name, (_, word) in runs.items()})


def _workers(world: World) -> list[dict[str, Any]]:
    rows = _signal(world, "sys-sessions", list) or []
    keys = ("id", "state", "exit_code", "health", "verify")
    return [
        {key: row.get(key) for key in keys} | {"alive": row.get("health") != "dead"}
        for row in rows
        if isinstance(row, dict)
    ]


def _asks(world: World) -> list[dict[str, Any]]:
    pending = (_signal(world, "sys-asks", dict) or {}).get("pending")
    reading = world.readings.get("sys-asks")
    detail = reading.detail if reading and isinstance(reading.detail, dict) else {}
    asks = [ask for ask in pending if isinstance(ask, str)] if isinstance(pending, list) else []
    known = {ask: detail[ask] for ask in asks if isinstance(detail.get(ask), dict)}
    return [cel.bindable(known.get(ask, {})) | {"id": ask} for ask in asks]


def _signal(world: World, stem: str, kind: type) -> Any:
    reading = world.readings.get(stem)
    return cel.bindable(reading.signal) if reading and isinstance(reading.signal, kind) else None
