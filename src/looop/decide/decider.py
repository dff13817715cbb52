"""Obtaining one move: reflexes first, then the configured runner, then nothing. Design §4.

Whatever decides, its inputs are in a run bundle before it is asked, and the attempt is in the hourly ledger before
a runner or a reflex gets its turn: what cannot be recorded is not attempted.
"""

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from looop.config.file import NO_RUNNER, Config
from looop.decide.attempt import Attempt
from looop.decide.breakers import Breakers
from looop.decide.bundle import Bundle, prompt_input_of, prune_bundles
from looop.decide.command import Answer, ask_command, drop_stale_decision
from looop.decide.inputs import Inputs, inputs_of
from looop.decide.reflex import judge_reflexes, keep_judgement
from looop.model.decision import Decision, emitted, parse_decision
from looop.model.errors import Invalid, LooopError
from looop.model.moves import Noop
from looop.model.prompt import Prompt
from looop.model.world import World
from looop.rules.gates import Memory, Note, waits_for_another, with_attempt
from looop.rules.prompt.build import build
from looop.rules.reflexes import Firing, Judgement, fired
from looop.runtime.clock import second_stamp
from looop.state.house import House

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
            judgement = self._judge(world, memory, now)
            attempt = self._attempt(Case(world, memory, judgement, now))
        except LooopError as error:
            return Attempt(ending="blocked", source="", error=str(error))
        return replace(attempt, goals=judgement.statuses)

    def decide_free(self, world: World, memory: Memory, now: int) -> Attempt | None:
        """While a failure is waited for: the move of a reflex that did not earn the wait, None without one.

        Never raises a LooopError.
        """
        try:
            judgement = self._judge(world, memory, now)
            firing = next((held for held in judgement.held if waits_for_another(memory, held.label)), None)
            if firing is None:
                return None
            attempt = self._reflex(Case(world, memory, judgement, now), firing)
        except LooopError as error:
            return Attempt(ending="blocked", source="", error=str(error))
        return replace(attempt, goals=judgement.statuses)

    def _judge(self, world: World, memory: Memory, now: int) -> Judgement:
        judgement, before = judge_reflexes(self.house, world, memory, now)
        for line in judgement.news:
            self.house.note(line, now)
        keep_judgement(self.house, judgement, before)
        return judgement

    def _attempt(self, case: Case) -> Attempt:
        if case.judgement.firing:
            return self._reflex(case, case.judgement.firing)
        config = self.config()
        if config.tick_command is None:
            with self._bundle(case) as bundle:
                nothing = Decision(move=Noop(reason=case.judgement.why_none))
                _keep_inputs(bundle, self._inputs(case, config), nothing)
            return Attempt(ending="decided", source=NO_RUNNER, decision=nothing, bundle=bundle)
        return self._ask(case, config)

    def _reflex(self, case: Case, firing: Firing) -> Attempt:
        decision = Decision(move=firing.move, journal=f"{firing.label} · {firing.move.summary}")
        ledger = case.judgement.ledger
        with self._bundle(case) as bundle:
            _keep_inputs(bundle, self._inputs(case, Config()), decision)
            self.house.guards.record_attempts(with_attempt(case.memory, case.now))
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

    def _ask(self, case: Case, config: Config) -> Attempt:
        house, breakers = self.house, Breakers(self.house, config)
        meter = breakers.admit(case.now)
        if isinstance(meter, Note):
            return Attempt(ending="closed", source=config.runner, note=meter)
        drop_stale_decision(house)
        inputs = self._inputs(case, config)
        prompt = build(prompt_input_of(*inputs))
        with self._bundle(case) as bundle:
            _keep_inputs(bundle, inputs, None)
            bundle.write("prompt.md", prompt.text.encode("utf-8", "replace"))
            house.guards.record_attempts(with_attempt(case.memory, case.now))
            breakers.announce(bundle, case.now)
        _announce(house, prompt, config.runner, bundle)
        answer = ask_command(house, config, bundle, prompt, meter)
        breakers.park(answer.limit)
        attempt = Attempt(
            ending="stopped",
            source=config.runner,
            bundle=bundle,
            seconds=answer.seconds,
            error=answer.error,
            prompt_bytes=len(prompt.text.encode("utf-8", "replace")),
        )
        attempt = _judged(house, attempt, answer)
        goal = attempt.decision.move.goal if attempt.decision else None
        ended_well = not (answer.error or answer.stopped)
        return replace(attempt, usage=breakers.settle(bundle.run_id, meter.usage, goal, ended_well=ended_well))

    def _inputs(self, case: Case, config: Config) -> Inputs:
        return inputs_of(self.house, case.world, case.memory, case.judgement, config, case.now)

    def _bundle(self, case: Case) -> Bundle:
        setting = self.house.setting
        prune_bundles(setting.root, setting.knobs.runs_keep)
        return Bundle.create(setting.root, second_stamp(setting.clock, case.now))


def _keep_inputs(bundle: Bundle, inputs: Inputs, decision: Decision | None) -> None:
    """Put into the bundle what this decide is made of, and the decision if it is known. Raises Unwritable."""
    world, memory = inputs
    bundle.write_json("world.json", world)
    bundle.write_json("memory.json", memory)
    if decision:
        bundle.write_json("decision.json", emitted(decision))


def _judged(house: House, attempt: Attempt, answer: Answer) -> Attempt:
    """The attempt once the runner has ended: a decision that parses, or how it failed."""
    if answer.stopped:
        return attempt
    if answer.error:
        return replace(attempt, ending="over_budget" if answer.over_budget else "failed")
    text, bundle = answer.text, attempt.bundle
    if text is None or bundle is None:
        return replace(attempt, ending="no_decision", error=_NO_DECISION)
    house.best_effort("run bundle", lambda: bundle.write("decision.json", text.encode("utf-8", "replace")))
    try:
        return replace(attempt, ending="decided", decision=parse_decision(text))
    except Invalid as error:
        return replace(attempt, ending="failed", error=str(error))


def _announce(house: House, prompt: Prompt, runner: str, bundle: Bundle) -> None:
    house.events.emit("decide_start", runner=runner, run_id=bundle.run_id)
    if prompt.omitted:
        omitted = ", ".join(f"{count} {kind}" for kind, count in prompt.omitted.items())
        house.events.emit("prompt_oversize", omitted=omitted)
