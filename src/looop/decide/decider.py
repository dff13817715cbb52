"""Obtaining one move: reflexes first, then the configured runner, then nothing. Design §4.

Whatever decides, its inputs are in a run bundle before it is asked, and the attempt is in the hourly ledger before
a runner or a reflex gets its turn: what cannot be recorded is not attempted.
"""

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from looop.config.file import NO_RUNNER, Config
from looop.decide.attempt import Attempt
from looop.decide.bundle import Bundle
from looop.decide.command import ask_command, drop_stale_decision
from looop.decide.inputs import kept_memory, kept_world, prompt_for
from looop.decide.reflex import judge_reflexes, keep_judgement, mark_if_unrepeatable
from looop.model.decision import Decision, emitted, parse_decision
from looop.model.errors import Invalid, LooopError
from looop.model.moves import Noop
from looop.model.prompt import Prompt
from looop.model.records import CostRow
from looop.model.world import World
from looop.rules.gates import Memory, with_attempt
from looop.rules.reflexes import Firing, Judgement, fired
from looop.runtime.clock import second_stamp, utc_stamp
from looop.state.house import House

_NOTHING = Decision(move=Noop(reason="no reflex holds"))
_NO_DECISION = (
    "the runner ended well but left no decision: exactly one JSON object with an `action` must be written to "
    ".decision.json, or be the last thing printed"
)


class Case(Struct, frozen=True):
    """What is to be decided: the world, what the beats before left, how the goals stand, and the time."""

    world: World
    memory: Memory
    judgement: Judgement
    now: int


class Decider(Struct, frozen=True):
    """Decides for one house. `config` returns what is configured now, or raises when it cannot be read."""

    house: House
    config: Callable[[], Config]

    def decide(self, world: World, memory: Memory, now: int) -> Attempt:
        """One attempt at a move for this world. Never raises a LooopError: what fails is part of the attempt."""
        try:
            judgement, before = judge_reflexes(self.house, world, memory, now)
            keep_judgement(self.house, judgement, before)
            case = Case(world, memory, judgement, now)
            attempt = self._attempt(case)
        except LooopError as error:
            return Attempt(ending="blocked", source="", error=str(error))
        return replace(attempt, news=judgement.news, goals=judgement.statuses)

    def _attempt(self, case: Case) -> Attempt:
        if case.judgement.firing:
            return self._reflex(case, case.judgement.firing)
        config = self.config()
        if config.tick_command is None:
            bundle = self._bundle(case, config, _NOTHING)
            return Attempt(ending="decided", source=NO_RUNNER, decision=_NOTHING, bundle=bundle)
        return self._ask(case, config, config.tick_command)

    def _reflex(self, case: Case, firing: Firing) -> Attempt:
        decision = Decision(move=firing.move, journal=f"{firing.label} · {firing.move.summary}")
        ledger = case.judgement.ledger
        bundle = self._bundle(case, Config(), decision)
        self.house.guards.record_attempts(with_attempt(case.memory, case.now))
        mark_if_unrepeatable(self.house, firing, ledger, case.world)
        return Attempt(
            ending="decided",
            source=firing.label,
            why=f"`{firing.when}` holds",
            decision=decision,
            bundle=bundle,
            goal=firing.goal,
            after=fired(ledger, firing, case.world),
            after_failure=fired(ledger, firing, case.world, failed=True),
        )

    def _ask(self, case: Case, config: Config, tick_command: str) -> Attempt:
        house = self.house
        bundle = self._bundle(case, config, None)
        prompt = prompt_for(house, case.world, case.memory, case.judgement, config, case.now)
        _keep_prompt(house, bundle, prompt)
        house.events.emit("decide_start", runner=config.runner, run_id=bundle.run_id)
        house.guards.record_attempts(with_attempt(case.memory, case.now))
        drop_stale_decision(house)
        answer = ask_command(house, tick_command, bundle)
        _meter(house, bundle, config.runner)
        attempt = Attempt(
            ending="stopped",
            source=config.runner,
            bundle=bundle,
            seconds=answer.seconds,
            prompt_bytes=len(prompt.text.encode("utf-8", "replace")),
        )
        if answer.stopped:
            return attempt
        if answer.error:
            return replace(attempt, ending="failed", error=answer.error)
        return _judged(attempt, bundle, answer.text)

    def _bundle(self, case: Case, config: Config, decision: Decision | None) -> Bundle:
        """A fresh bundle with the inputs of this decide, and the decision if it is known. Raises Unwritable."""
        setting = self.house.setting
        bundle = Bundle.create(setting.root, second_stamp(setting.clock, case.now))
        bundle.write_json("world.json", kept_world(case.world, case.memory))
        kept = kept_memory(self.house, case.memory, case.judgement, config, case.now)
        bundle.write_json("memory.json", kept)
        if decision:
            bundle.write_json("decision.json", emitted(decision))
        return bundle


def _judged(attempt: Attempt, bundle: Bundle, text: str | None) -> Attempt:
    if text is None:
        return replace(attempt, ending="no_decision", error=_NO_DECISION)
    bundle.write("decision.json", text.encode("utf-8", "replace"))
    try:
        return replace(attempt, ending="decided", decision=parse_decision(text))
    except Invalid as error:
        return replace(attempt, ending="failed", error=str(error))


def _keep_prompt(house: House, bundle: Bundle, prompt: Prompt) -> None:
    """Raises Unwritable: then nobody is asked. Source: edge case 40."""
    bundle.write("prompt.md", prompt.text.encode("utf-8", "replace"))
    if prompt.omitted:
        omitted = ", ".join(f"{count} {kind}" for kind, count in prompt.omitted.items())
        house.events.emit("prompt_oversize", omitted=omitted)


def _meter(house: House, bundle: Bundle, runner: str) -> None:
    now = house.setting.clock.now()
    row = CostRow(ts=utc_stamp(now), kind="tick", id=bundle.run_id, runner=runner, metered=False)
    try:
        house.ledger.append(row)
    except LooopError as error:
        house.events.emit("guard_degraded", guard="cost ledger", error=str(error))
