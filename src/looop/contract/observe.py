"""Reading the whole: `state` and `wait`. Neither senses; both read what the last beat left. Spec/cli.md §2."""

from time import monotonic
from typing import Any

import msgspec

from looop.contract.verbs import Filter, StateView, Woke
from looop.model.errors import LooopError
from looop.model.prompt import GoalStatus
from looop.model.records import ReflexLedger
from looop.model.world import World
from looop.rules.budget import spent_since
from looop.rules.world import canonical, digest
from looop.runtime.clock import midnight
from looop.runtime.lock import is_held
from looop.sense.gather import read_world
from looop.sense.system import BEAT_MARK
from looop.state.house import House
from looop.state.open import NoStop

WATCHED = ("", "goals", "snapshots", "asks", "answers")
_ROOT_FILES = ("PLAYBOOK.md", "journal.md")
_JOURNAL_LINES = 20
_ACTIONABLE = {"any": None, "actionable": {"asks", "journal"}, "only-asks": {"asks"}}
_NANO = 10**9
_SETTLE_S = 0.05  # an editor empties a file before it fills it


def state_of(house: House) -> StateView:
    """Everything at a glance. Raises Unreadable."""
    world, now = read_world(house, house.sensors.all()), house.setting.clock.now()
    mail = house.mailbox.pending()
    return StateView(
        world_hash=world.hash,
        pulse_alive=is_held(house.setting.root),
        last_beat_age_s=_last_beat_age(house, now),
        snapshots={stem: _snapshot(reading.raw) for stem, reading in world.readings.items() if reading.is_json},
        asks=mail.pending,
        workers=list(house.fleet.sessions()),
        goals=sorted(path[6:-3] for path in world.policy if path.startswith("goals/")),
        goal_status=goal_statuses(house, world, now),
        journal_tail=house.journal.tail(_JOURNAL_LINES),
        spent_today_usd=round(spent_since(house.ledger.read().rows, midnight(house.setting.clock, now)), 6),
        now=now,
        data_dir=house.setting.root,
        damaged=[*mail.damaged, *_damaged_snapshots(world)],
    )


def goal_statuses(house: House, world: World, now: int) -> list[GoalStatus]:
    """How every goal stands; goals of prose are open. Nothing is compiled when no goal declares anything."""
    texts = {path[6:-3]: text for path, text in world.policy.items() if path.startswith("goals/")}
    found: dict[str, GoalStatus] = {}
    if any(text is None or text.startswith(("---", "\ufeff---")) for text in texts.values()):
        from looop.rules.reflexes import judge

        ledger = house.guards.reflexes()
        known = ledger if isinstance(ledger, ReflexLedger) else ReflexLedger()
        found = {status.goal: status for status in judge(world, known, house.guards.activity(), now).statuses}
    return [found.get(goal, GoalStatus(goal, "open")) for goal in sorted(texts)]


def wait_for(house: House, wanted: Filter) -> Woke:
    """Block until something of the wanted kind changed; see spec/cli.md §2 `wait` and edge cases 209, 230-232."""
    from looop.runtime.watch import Watcher

    if house.mailbox.pending().pending:
        return Woke(["asks"], state_of(house))
    poll_s = max(house.setting.knobs.wait_poll_ms, 10) / 1000
    watcher = Watcher(house.setting.root, WATCHED, _matters, lambda _: None, poll_s)
    watcher.start()
    try:
        return _watch(house, wanted, watcher, poll_s)
    finally:
        watcher.stop()


def _watch(house: House, wanted: Filter, watcher: Any, poll_s: float) -> Woke:
    before, interesting = _fingerprints(house), _ACTIONABLE[wanted]
    while True:
        if house.mailbox.pending().pending:
            return Woke(["asks"], state_of(house))
        now = _fingerprints(house)
        changed = sorted(kind for kind, mark in now.items() if mark != before[kind])
        if changed and (interesting is None or interesting & set(changed)):
            return Woke(changed, state_of(house))
        if not is_held(house.setting.root):
            return Woke(["pulse-down"], state_of(house))
        _until_something(house, watcher, poll_s)


def _until_something(house: House, watcher: Any, poll_s: float) -> None:
    """Return when a file changed or the pulse is gone; the kernel reports the one, looking the other."""
    stop, began = NoStop(), monotonic()
    while not watcher.wait(poll_s, stop, _SETTLE_S) and is_held(house.setting.root) and monotonic() - began < 3600:
        pass


def _fingerprints(house: House) -> dict[str, str]:
    """One mark per category; equal marks mean that nothing a person would notice has changed."""
    world = read_world(house, [])
    marks: dict[str, list[str]] = {"goals": [], "playbook": [], "snapshots": []}
    for name, item in sorted(world.items.items()):
        kind = "playbook" if name == "playbook" else "goals" if name.startswith("goal:") else "snapshots"
        marks[kind].append(f"{name}={item.value}")
    asks = [ask.id for ask in house.mailbox.pending().pending]
    journal = [f"{entry.size} {entry.mtime_ns}" for entry in house.store.list("") if entry.name == "journal.md"]
    marks |= {"asks": asks, "journal": journal}
    return {kind: digest(canonical(mark).encode()) for kind, mark in marks.items()}


def _matters(folder: str, name: str) -> bool:
    return name in _ROOT_FILES if folder == "" else not name.startswith(".")


def _damaged_snapshots(world: World) -> list[str]:
    stems = sorted(stem for stem, reading in world.readings.items() if not reading.is_json)
    return [f"snapshots/{stem}.json is not JSON: it is compared as a whole, and not shown" for stem in stems]


def _snapshot(raw: str) -> Any:
    return msgspec.json.decode(raw)


def _last_beat_age(house: House, now: int) -> int | None:
    try:
        entry = house.readings.entries().get(f"{BEAT_MARK}.json")
    except LooopError:
        return None
    return max(now - entry.mtime_ns // _NANO, 0) if entry else None
