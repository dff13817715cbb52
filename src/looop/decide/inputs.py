"""What a decide is given, put together for the bundle and for the prompt from the same values."""

import msgspec

from looop.config.file import Config
from looop.decide.bundle import KeptMemory, KeptWorld
from looop.model.errors import Unreadable
from looop.model.prompt import AskTag, PendingAsk
from looop.model.records import Ask, Failure, FlapLedger, ShellOutput
from looop.model.world import World
from looop.rules.flapping import flapping
from looop.rules.gates import Memory
from looop.rules.health import live_workers
from looop.rules.reflexes import Judgement
from looop.state.house import House

JOURNAL_LINES = 20
_STRANDED: AskTag = "STRANDED"


Inputs = tuple[KeptWorld, KeptMemory]


def inputs_of(house: House, world: World, memory: Memory, judgement: Judgement, config: Config, now: int) -> Inputs:
    """What goes into `world.json` and `memory.json`, read once. Raises Unreadable when the asks cannot be listed."""
    baseline = memory.baseline if isinstance(memory.baseline, dict) else None
    return KeptWorld(world=world, baseline=baseline), _kept_memory(house, world, memory, judgement, config, now)


def max_nudge(house: House, config: Config) -> int:
    """The ceiling of `next_interval_s`: environment over config over 300."""
    wanted = house.setting.knobs.max_next_interval
    return config.max_next_interval if wanted is None else wanted


def _kept_memory(
    house: House, world: World, memory: Memory, judgement: Judgement, config: Config, now: int
) -> KeptMemory:
    setting = house.setting
    flaps = house.guards.flaps()
    return KeptMemory(
        now=now,
        utc_offset_s=setting.clock.utc_offset_s(now),
        data_dir=setting.root,
        max_bytes=setting.knobs.prompt_max_bytes,
        max_nudge_s=max_nudge(house, config),
        asks=_asks(house, live_workers(world), now),
        statuses=judgement.statuses,
        activity=memory.activity,
        journal=_journal(house),
        shell=memory.shell if isinstance(memory.shell, ShellOutput) else None,
        flapping=flapping(flaps, setting.knobs.flap_streak) if isinstance(flaps, FlapLedger) else [],
        failure=memory.failure if isinstance(memory.failure, Failure) else None,
        reflexes=judgement.ledger,
        gates=msgspec.to_builtins(memory),
    )


def _journal(house: House) -> list[str]:
    """The latest lines; none, said on record, when they cannot be read: a journal guards nothing."""
    try:
        return house.journal.tail(JOURNAL_LINES)
    except Unreadable as error:
        house.events.emit("guard_degraded", guard="journal", error=str(error))
        return []


def _asks(house: House, live: set[str] | None, now: int) -> list[PendingAsk]:
    """Open questions, LIVE while a live worker is blocked on it; so too when nobody knows who lives.

    Calling it STRANDED would have its worker started a second time. Source: spec/beat.md §8, edge cases 82, 83.
    """
    mail = house.mailbox.pending(now, house.fleet.living)
    tagged = [(ask, _tag(ask, live)) for ask in mail.pending] + [(ask, _STRANDED) for ask in mail.stranded]
    return [
        PendingAsk(ask.id, ask.worker, ask.prompt, tag, ask.reference, ask.options)
        for ask, tag in sorted(tagged, key=lambda pair: (pair[0].ts, pair[0].id))
    ]


def _tag(ask: Ask, live: set[str] | None) -> AskTag:
    return "LIVE" if not ask.detach and (live is None or ask.worker in live) else _STRANDED
