"""The house: everything a beat or a verb works with, handed around as one frozen value."""

from collections.abc import Callable, Mapping

from msgspec import Struct

from looop.config.knobs import Knobs
from looop.config.paths import current_config
from looop.model.errors import LooopError
from looop.rules.gates import Limits
from looop.runtime.clock import Clock, minute_stamp
from looop.runtime.command import Stop
from looop.runtime.events import Events
from looop.runtime.proc import Processes
from looop.state.codec import LineLog
from looop.state.goals import Goals
from looop.state.guards import Guards
from looop.state.intents import Intents
from looop.state.journal import Journal
from looop.state.leases import Leases
from looop.state.ledger import CostLedger
from looop.state.mailbox import Mailbox
from looop.state.playbook import Playbook
from looop.state.readings import Readings
from looop.state.schedules import Schedules
from looop.state.sensors import Sensors
from looop.state.sessions import Sessions
from looop.state.tells import Tells
from looop.state.verify import Verify
from looop.store.protocol import Store

EVENTS = "events.jsonl"


class Setting(Struct, frozen=True):
    """What the operating system side of a house is: where it stands, and the ports it uses."""

    root: str
    clock: Clock
    processes: Processes
    stop: Stop
    knobs: Knobs
    env: Mapping[str, str]

    @property
    def config_file(self) -> str:
        """Where the config is now; the environment says where it was when we began."""
        return current_config(self.root, self.env.get("LOOOP_CONFIG", ""))

    @property
    def unwatched(self) -> str:
        """Why changes in the data dir have to be looked for; empty where the kernel reports them, as far as known."""
        from looop.runtime.filesystem import without_events

        if self.knobs.watch == "auto":
            return without_events(self.root)
        return "LOOOP_WATCH=poll" if self.knobs.watch == "poll" else ""


class House(Struct, frozen=True):
    """The setting, the voice, and one book per subject, all over one store."""

    setting: Setting
    store: Store
    events: Events
    fleet: Sessions
    goals: Goals
    playbook: Playbook
    sensors: Sensors
    readings: Readings
    schedules: Schedules
    journal: Journal
    ledger: CostLedger
    guards: Guards
    intents: Intents
    mailbox: Mailbox
    tells: Tells
    leases: Leases
    verify: Verify

    def best_effort(self, guard: str, step: Callable[[], object]) -> bool:
        """Take a step whose failure costs only itself: it is put on record under `guard`, nothing is raised.

        Says whether it went well.
        """
        try:
            step()
        except LooopError as error:
            self.events.emit("guard_degraded", guard=guard, error=str(error))
            return False
        return True

    def note(self, line: str, now: int) -> None:
        """Journal one line, as a best effort: failing after an effect would repeat the effect. Edge case 118."""
        self.best_effort("journal", lambda: self.journal.write(line, minute_stamp(self.setting.clock, now)))

    @property
    def limits(self) -> Limits:
        """The knobs the gates judge by."""
        knobs = self.setting.knobs
        return Limits(
            noop_ttl_s=knobs.noop_ttl,
            decides_per_hour=knobs.max_decides_per_hour,
            backoff_cap_s=knobs.backoff_cap,
            flap_streak=knobs.flap_streak,
        )


def furnish(setting: Setting, store: Store, events: Events) -> House:
    """A house with every book over `store`. Nothing is read or written yet."""
    knobs = setting.knobs
    return House(
        setting=setting,
        store=store,
        events=events,
        fleet=Sessions(setting.root),
        goals=Goals(store),
        playbook=Playbook(store, knobs.playbook_keep),
        sensors=Sensors(store),
        readings=Readings(store),
        schedules=Schedules(store),
        journal=Journal(store, knobs.journal_max_bytes),
        ledger=CostLedger(store),
        guards=Guards(store),
        intents=Intents(store),
        mailbox=Mailbox(store),
        tells=Tells(store, knobs.tells_consumed_keep_secs),
        leases=Leases(store),
        verify=Verify(store),
    )


def event_rows(store: Store, knobs: Knobs) -> LineLog:
    """The file behind `Events`: rows of JSON, rotated."""
    return LineLog(store, EVENTS, knobs.events_max_bytes)
