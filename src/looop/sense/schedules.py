"""The schedules as the loop sees them now, judged by what it has shown of them before.

The reading carries, beside signal and detail, when each has run last (`ran`): conditions compare that with when their
goal was acted on. It is in a list of its own while a missed run is being made up for, which is old and new at once.

What was shown is read only when a schedule asks for it: plain ones cost what they are made of.
"""

from contextlib import suppress
from typing import Any

from msgspec import Struct

from looop.config.file import DEFAULT_INTERVAL_S, load_config
from looop.model.errors import LooopError, Unreadable
from looop.model.records import Fault, Schedule
from looop.rules.cadence import clamp_interval
from looop.rules.due import ON_TIME_S, Before, Probe, probe, ran
from looop.rules.world import decode_json
from looop.runtime.zones import zone_of
from looop.state.house import House

STEM = "sys-schedules"


class Shown(Struct, frozen=True):
    """What was shown of the schedules before, by name. `trouble` says why it cannot be told, if it cannot."""

    decided: dict[str, Any] = {}
    published: dict[str, Any] = {}
    on_time_s: int = ON_TIME_S
    trouble: str = ""

    def before(self, name: str) -> Before | None:
        """What was shown of one; None when nobody knows, also because it could not be read then."""
        if self.trouble or self.decided.get(name) in ("invalid", "unparseable"):
            return None
        return Before(self.decided.get(name), self.published.get(name), self.on_time_s)


def schedule_reading(house: House, now: int) -> dict[str, Any]:
    """The reading of all schedules; what was skipped or cannot be told is put on record. Raises Unreadable."""
    schedules = house.schedules.all()
    shown = shown_before(house, schedules)
    if shown.trouble:
        house.events.emit("schedule_degraded", error=shown.trouble)
    probes = {name: probe(schedule, now, zone_of, shown.before(name)) for name, schedule in schedules.items()}
    for name, (signal, detail) in probes.items():
        if detail.get("skipped") and shown.published.get(name) != signal:
            house.events.emit("schedule_skipped", schedule=name, count=detail["skipped"])
    runs = _runs(schedules, probes, shown)
    return {
        "signal": {name: signal for name, (signal, _) in probes.items()},
        "detail": {name: detail for name, (_, detail) in probes.items()},
    } | ({"ran": runs} if runs else {})


def shown_before(house: House, schedules: dict[str, Schedule | Fault]) -> Shown:
    """What was shown of these before, as far as it takes to judge them."""
    known = [schedule for schedule in schedules.values() if isinstance(schedule, Schedule)]
    if not any(schedule.cron or schedule.catch_up for schedule in known):
        return Shown()
    try:
        decided = _decided(house)
        if not any(schedule.catch_up in ("all", "none") for schedule in known):
            return Shown(decided=decided)
        published = _signals(house.readings.read(STEM), f"snapshots/{STEM}.json")
    except LooopError as error:
        return Shown(trouble=str(error))
    in_time = any(schedule.catch_up == "none" for schedule in known)
    return Shown(decided, published, _on_time_s(house) if in_time else ON_TIME_S)


def _runs(schedules: dict[str, Schedule | Fault], probes: dict[str, Probe], shown: Shown) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, (signal, _) in probes.items():
        schedule = schedules[name]
        run = ran(schedule, signal, zone_of)
        if run is not None:
            made_up = isinstance(schedule, Schedule) and schedule.catch_up == "all" and shown.before(name) is not None
            found[name] = [run] if made_up and shown.decided.get(name) != signal else run
    return found


def _decided(house: House) -> dict[str, Any]:
    baseline = house.guards.baseline()
    if isinstance(baseline, Fault):
        raise Unreadable(baseline.why)
    value = (baseline or {}).get(f"snap:{STEM}")
    return {} if value is None else _named(value.encode())


def _signals(data: bytes | None, where: str) -> dict[str, Any]:
    """The signals of a published reading, none when there is none. Raises Unreadable."""
    if data is None:
        return {}
    try:
        reading = decode_json(data)
    except ValueError as error:
        raise Unreadable(f"{where} is not what was published: {error}") from None
    signal = reading.get("signal") if isinstance(reading, dict) else None
    return signal if isinstance(signal, dict) else {}


def _named(data: bytes) -> dict[str, Any]:
    """The signals of a decided reading. Raises Unreadable for one that could not be made or read then."""
    with suppress(ValueError):
        signals = decode_json(data)
        if isinstance(signals, dict) and signals.get("error") is not True:
            return signals
    raise Unreadable("the last decision did not see the schedules")


def _on_time_s(house: House) -> int:
    """How late a beat may be for a run: two intervals, five minutes at least."""
    interval: float | None = house.setting.knobs.interval
    if interval is None:
        try:
            interval = load_config(house.setting.config_file).interval
        except LooopError:
            interval = DEFAULT_INTERVAL_S
    return max(2 * clamp_interval(interval), ON_TIME_S)
