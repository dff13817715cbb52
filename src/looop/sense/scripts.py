"""Run the sensors side by side and publish what they say. Source: spec/beat.md §3, design §3 row 5.

Note [A failing sensor and its cadence]
A reading is kept for the cadence its script declares; a failure is not, or a moment without network would blind
the loop for the whole window. It is tried again after 60 s, 120 s … up to the cadence. How often it has failed is
kept in the detail of its error snapshot. Source: edge case 67.
"""

import os
from typing import Any

from msgspec import Struct

from looop.model.errors import LooopError, Unreadable
from looop.model.text import tail_text, to_json
from looop.rules.gates import backoff_delay
from looop.rules.world import read_snapshot
from looop.runtime.command import Command, Ended
from looop.state.house import House
from looop.state.sensors import Sensor
from looop.store.protocol import Entry

PREFIX = "sensor-"
_NANO = 10**9
_FLOOD_BYTES = 16 << 20
_KEEP_ERRORS = 1024


class Outcome(Struct, frozen=True):
    """How one sensor fared; `kept` when its last reading is still fresh. `error` is empty when all is well."""

    stem: str
    error: str = ""
    kept: bool = False
    seconds: float = 0.0


def run_sensors(house: House, sensors: list[Sensor], now: int) -> list[Outcome]:
    """Bring every sensor's snapshot up to date; one failing sensor costs only its own reading.

    Nothing is published once a stop is requested. Raises Unreadable when the snapshots cannot be listed.
    """
    published = house.readings.entries()
    outcomes, due = [], []
    for sensor in sensors:
        if sensor.rivals:
            outcomes.append(_refuse_rivals(house, sensor))
        elif _is_fresh(house, sensor, published.get(f"{PREFIX}{sensor.stem}.json"), now):
            outcomes.append(Outcome(stem=sensor.stem, kept=True))
        else:
            due.append(sensor)
    ended = house.setting.processes.run_all([sensor_command(house, sensor) for sensor in due])
    for sensor, end in zip(due, ended, strict=True):
        if not end.stopped:
            outcomes.append(_publish(house, sensor, end))
    return sorted(outcomes, key=lambda outcome: outcome.stem)


def sensor_command(house: House, sensor: Sensor) -> Command:
    """How one sensor is run."""
    setting = house.setting
    cap = setting.knobs.sensor_max_bytes
    return Command(
        argv=(os.path.join(setting.root, "sensors", sensor.file),),
        cwd=setting.root,
        env=setting.env,
        deadline_s=setting.knobs.sensor_timeout,
        keep=cap + 1 if cap else _FLOOD_BYTES,
        keep_errors=_KEEP_ERRORS,
        flood=max(_FLOOD_BYTES, cap),
    )


def failure_of(end: Ended, deadline_s: int) -> tuple[int, str] | None:
    """The exit code and the sentence of a run that failed, None when it went well. Source: spec/beat.md §3 table."""
    if end.flooded or end.code == 0:
        return None
    if end.timed_out:
        return 124, f"no reading within {deadline_s}s (LOOOP_SENSOR_TIMEOUT): stopped with all its children"
    if end.spawn_error:
        return 1, f"spawn failed: {end.spawn_error}"
    if end.signal is not None:
        return 128 + end.signal, f"killed by signal {end.signal}"
    return end.code or 1, f"exited with {end.code}"


def reading_of(house: House, end: Ended, fails: int = 0) -> tuple[bytes, str]:
    """What to publish for a run, and the error it stands for (empty for a good reading)."""
    knobs = house.setting.knobs
    cap = knobs.sensor_max_bytes or _FLOOD_BYTES
    if failure := failure_of(end, knobs.sensor_timeout):
        code, message = failure
        detail: dict[str, Any] = {"message": message, "stderr": tail_text(end.errors, _KEEP_ERRORS).strip()}
        return _error_snapshot(code, detail | ({"fails": fails} if fails else {})), message
    if end.output_bytes > cap:
        message = f"the reading is over {cap} bytes (LOOOP_SENSOR_MAX_BYTES): print a small object"
        detail = {"bytes": end.output_bytes, "message": message}
        return _line({"signal": {"error": "too-large", "cap": cap}, "detail": detail}), ""
    return end.output, ""


def _publish(house: House, sensor: Sensor, end: Ended) -> Outcome:
    stem = PREFIX + sensor.stem
    failed = failure_of(end, house.setting.knobs.sensor_timeout) is not None
    fails = _fails(house, stem) + 1 if failed and sensor.interval_s else 0
    data, error = reading_of(house, end, fails)
    unwritten = _put(house, stem, data, end.errors, keep_same=not sensor.interval_s)
    return Outcome(stem=sensor.stem, error=unwritten or error, seconds=end.seconds)


def _refuse_rivals(house: House, sensor: Sensor) -> Outcome:
    message = f"{' and '.join(sensor.rivals)} share the stem {sensor.stem!r}: rename one"
    snapshot = _error_snapshot(1, {"message": message, "stderr": ""})
    _put(house, PREFIX + sensor.stem, snapshot, keep_same=True)
    return Outcome(stem=sensor.stem, error=message)


def _put(house: House, stem: str, data: bytes, errors: bytes = b"", *, keep_same: bool) -> str:
    """Publish, and say why when that fails: the reading that was there stays."""
    try:
        house.readings.publish(stem, data, errors, keep_same=keep_same)
    except LooopError as unwritten:
        house.events.emit("sense_degraded", error=str(unwritten))
        return str(unwritten)
    return ""


def _is_fresh(house: House, sensor: Sensor, published: Entry | None, now: int) -> bool:
    if not sensor.interval_s or published is None or sensor.mtime_ns > published.mtime_ns:
        return False
    window = sensor.interval_s
    if fails := _fails(house, PREFIX + sensor.stem):
        window = backoff_delay(fails, sensor.interval_s)
    return now * _NANO - published.mtime_ns < window * _NANO


def _fails(house: House, stem: str) -> int:
    """How often in a row the published reading has failed; 0 for a good one. See Note [A failing sensor …]."""
    try:
        data = house.readings.read(stem)
    except Unreadable:
        return 0
    reading = read_snapshot(stem, data or b"", "untrusted")
    failed = isinstance(reading.signal, dict) and reading.signal.get("error") is True
    fails = reading.detail.get("fails") if isinstance(reading.detail, dict) else None
    return (fails if isinstance(fails, int) else 1) if failed else 0


def _error_snapshot(code: int, detail: dict[str, Any]) -> bytes:
    return _line({"signal": {"error": True, "exit_code": code}, "detail": detail})


def _line(value: Any) -> bytes:
    return to_json(value) + b"\n"
