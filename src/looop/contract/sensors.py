"""Sensors as a client sees them: what each says, what one would say if it ran now, and the end of one."""

from typing import Any

from msgspec import Struct

from looop.contract.observe import last_beat_age
from looop.model.errors import LooopError, Missing, Refused
from looop.model.world import Reading
from looop.rules.world import read_snapshot
from looop.runtime.command import Ended
from looop.sense.scripts import PREFIX, reading_of, sensor_command
from looop.state.codec import discard
from looop.state.house import House
from looop.state.sensors import Sensor

_NANO = 10**9


class SensorView(Struct, frozen=True):
    """One sensor and its last reading. `error` is empty when all is well.

    `age_s` is how long ago the sensor ran last for the loop, None when it has not run yet.
    """

    name: str
    file: str
    interval_s: int
    trust: str
    error: str
    signal: Any
    age_s: int | None


class SensorRun(Struct, frozen=True):
    """A sensor run for trying: what the loop would publish, whether it would call that good, and what would wake it.

    Output that is not JSON is good and compared as a whole: `is_json` is False then, and `signal` None.
    """

    name: str
    ok: bool
    error: str
    output: str
    stderr: str
    is_json: bool
    signal: Any
    seconds: float


def views(house: House) -> list[SensorView]:
    """Every sensor with its last reading. Raises Unreadable when sensors or snapshots cannot be listed."""
    entries, now = house.readings.entries(), house.setting.clock.now()
    beat_age = last_beat_age(house, now)
    found = []
    for sensor in house.sensors.all():
        entry = entries.get(f"{PREFIX}{sensor.stem}.json")
        age = max(now - entry.mtime_ns // _NANO, 0) if entry else None
        found.append(_view(house, sensor, _ran(sensor, age, beat_age)))
    return found


def try_out(house: House, name: str) -> SensorRun:
    """Run one sensor as the loop would, without publishing. Raises Missing, and Refused where the loop would not."""
    sensor = _find(house, name)
    if sensor.rivals:
        raise Refused(f"{_rivals(sensor)}: the loop runs none of them until only one has that stem")
    ended = house.setting.processes.run(sensor_command(house, sensor))
    data, error = reading_of(house, ended)
    reading = read_snapshot(sensor.stem, data, sensor.trust)
    return SensorRun(
        name=sensor.stem,
        ok=not error and data == ended.output,
        error=error or _replaced(ended, data, reading),
        output=data.decode("utf-8", "replace"),
        stderr=ended.errors.decode("utf-8", "replace"),
        is_json=reading.is_json,
        signal=reading.signal,
        seconds=round(ended.seconds, 3),
    )


def remove(house: House, name: str) -> str:
    """Remove one sensor's file and return what was done. Raises Missing, Refused, Unreadable, Unwritable."""
    sensor = _find(house, name)
    if sensor.rivals and name != sensor.file:
        raise Refused(f"{_rivals(sensor)}: name the file that shall go")
    discard(house.store, f"sensors/{sensor.file}")
    if any(other.file == sensor.file for other in house.sensors.all()):
        raise Refused(f"sensor {name} not removed: sensors/{sensor.file} is no ordinary file; remove it by hand")
    return f"remove-sensor {sensor.stem if name == sensor.stem else sensor.file}"


def _find(house: House, name: str) -> Sensor:
    """The sensor of that stem or file name; a file name is more exact and wins."""
    sensors = house.sensors.all()
    for sensor in sorted(sensors, key=lambda sensor: sensor.file != name):
        if name in (sensor.stem, sensor.file):
            return sensor
    raise Missing(f"no sensor {name!r}: `looop sensor list` shows them")


def _rivals(sensor: Sensor) -> str:
    return f"{' and '.join(sensor.rivals)} share the stem {sensor.stem!r}"


def _replaced(ended: Ended, data: bytes, reading: Reading) -> str:
    """Why the loop would publish something else than what a good run printed."""
    if data == ended.output:
        return ""
    detail = reading.detail if isinstance(reading.detail, dict) else {}
    return str(detail.get("message", "the reading cannot be used"))


def _ran(sensor: Sensor, age: int | None, beat_age: int | None) -> int | None:
    """Seconds since it ran: a sensor without cadence runs at every beat, and keeps the time of a reading that stays."""
    if age is None or beat_age is None or sensor.interval_s:
        return age
    return min(age, beat_age)


def _view(house: House, sensor: Sensor, age_s: int | None) -> SensorView:
    try:
        data = house.readings.read(f"{PREFIX}{sensor.stem}")
    except LooopError:
        data = None
    reading = read_snapshot(sensor.stem, data, sensor.trust) if data is not None else None
    return SensorView(
        name=sensor.stem,
        file=sensor.file,
        interval_s=sensor.interval_s,
        trust=sensor.trust,
        error=_error(reading),
        signal=reading.signal if reading and reading.is_json else None,
        age_s=age_s,
    )


def _error(reading: Reading | None) -> str:
    signal: Any = reading.signal if reading else None
    if not isinstance(signal, dict) or not signal.get("error"):
        return ""
    detail = reading.detail if reading and isinstance(reading.detail, dict) else {}
    return str(detail.get("message", "failed"))
