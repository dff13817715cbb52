"""A beat that changes nothing: it senses and judges over a store that keeps every write to itself, and spends nothing.

Sensors do run, as in any beat. A runner is not asked: what it would be asked with is measured instead, and what would
keep it from being asked is named.
"""

from msgspec.structs import replace

from looop.config.file import Config
from looop.decide.breakers import Breakers
from looop.decide.bundle import prompt_input_of
from looop.decide.inputs import inputs_of
from looop.decide.reflex import judge_reflexes
from looop.model.facts import FACTS
from looop.model.report import BeatReport, SectionSize
from looop.pulse.beat import look
from looop.rules.prompt.build import build
from looop.rules.world import changes
from looop.state.house import House, furnish
from looop.store.open import open_overlay

BYTES_A_TOKEN = 4


def rehearse(house: House, config: Config, *, forced: bool = False) -> BeatReport:
    """What the next beat would do and why. Raises LooopError when the world cannot be read."""
    house = furnish(house.setting, open_overlay(house.store), house.events.unrecorded())
    now = house.setting.clock.now()
    seen = look(house, now, forced=forced)
    world, memory, verdict = seen.world, seen.memory, seen.verdict
    report = BeatReport(
        ending="idle",
        reason=verdict.notes[-1].name if verdict.notes else "",
        world_hash=world.hash,
        changes=changes(memory.baseline, world.items) if isinstance(memory.baseline, dict) else None,
    )
    if verdict.idle:
        return report
    judgement, _ = judge_reflexes(house, world, memory, now)
    report = replace(report, ending="decided", goals=judgement.statuses)
    if firing := judgement.firing:
        return replace(
            report,
            source=firing.label,
            why=f"`{firing.when}` holds",
            action=firing.move.action,
            summary=firing.move.summary,
        )
    if config.tick_command is None:
        return replace(report, source=config.runner, action="noop", summary=f"noop · {judgement.why_none}")
    prompt = build(prompt_input_of(*inputs_of(house, world, memory, judgement, config, now)))
    report = replace(
        report,
        source=config.runner,
        prompt_bytes=len(prompt.text.encode("utf-8", "replace")),
        prompt_sections=[SectionSize(title, size, size // BYTES_A_TOKEN) for title, size in prompt.sections],
    )
    if note := Breakers(house, config).closed(now):
        return replace(report, ending="idle", reason=note.name, breaker=FACTS[note.name].text.format(**note.fields))
    return report
