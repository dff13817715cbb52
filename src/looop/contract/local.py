"""The contract over the house of this machine."""

import os
from collections.abc import Mapping
from typing import Any

from looop.contract.verbs import (
    Filter,
    GoalView,
    ScheduleView,
    SensorRun,
    SensorView,
    ShellRun,
    StateView,
    Woke,
)
from looop.model.errors import Invalid, LooopError, Missing, Refused, Unwritable
from looop.model.ids import require_id
from looop.model.moves import AnyMove, RunShell, WriteSensor
from looop.model.records import Ask, Fault
from looop.state.open import open_house, settle_or_say
from looop.state.sensors import Sensor

_NANO = 10**9


class Local:
    """Implements contract.verbs.Contract for the data dir the environment names, or for another one."""

    def __init__(self, data_dir: str | None = None) -> None:
        self._house = open_house(data_dir=data_dir)[0]

    def prepare(self) -> None:
        """Seed a fresh data dir; a failure is said on stderr and the verb goes on. Raises Unwritable without a folder.

        Source: spec/cli.md §1, first-run seeding.
        """
        root = self._house.setting.root
        try:
            os.makedirs(root, exist_ok=True)
        except OSError as error:
            raise Unwritable(f"cannot use {root} as data dir: {error.strerror}; LOOOP_DATA_DIR names another") from None
        settle_or_say(self._house)

    def state(self) -> StateView:
        from looop.contract.observe import state_of

        return state_of(self._house)

    def wait(self, wanted: Filter) -> Woke:
        from looop.contract.observe import wait_for

        return wait_for(self._house, wanted)

    def asks(self) -> list[Ask]:
        return self._house.mailbox.pending().pending

    def answer(self, ask_id: str, text: str, *, force: bool = False) -> str:
        require_id(ask_id, "ask id")
        if not text.strip():
            raise Invalid("the answer is empty: give it as words, or on standard input")
        ask = self._house.mailbox.answer(ask_id, text, self._house.setting.clock.now(), force=force)
        self._house.events.emit("answer", ask_id=ask_id, worker=ask.worker)
        return f"answered {ask_id}"

    def goals(self) -> list[GoalView]:
        from looop.contract.observe import goal_statuses
        from looop.sense.gather import read_world

        house = self._house
        world, now, acted = read_world(house, house.sensors.all()), house.setting.clock.now(), house.guards.activity()
        views = []
        for status in goal_statuses(house, world, now):
            text = world.policy[f"goals/{status.goal}.md"] or ""
            done, reflexes = _declared(text)
            views.append(
                GoalView(
                    id=status.goal,
                    text=text,
                    status=status.status,
                    why=status.why,
                    done=done,
                    reflexes=reflexes,
                    suspended=status.suspended,
                    age_s=max(now - acted[status.goal], 0) if status.goal in acted else None,
                )
            )
        return views

    def goal(self, goal: str) -> GoalView:
        for view in self.goals():
            if view.id == goal:
                return view
        raise Missing(f"no goal {goal!r}: `looop goal list` shows the live ones")

    def sensors(self) -> list[SensorView]:
        house = self._house
        entries, now = house.readings.entries(), house.setting.clock.now()
        return [
            self._sensor_view(sensor, entries.get(f"sensor-{sensor.stem}.json"), now) for sensor in house.sensors.all()
        ]

    def try_sensor(self, name: str) -> SensorRun:
        from looop.rules.world import read_snapshot
        from looop.sense.scripts import reading_of, sensor_command

        sensor = self._find_sensor(name)
        ended = self._house.setting.processes.run(sensor_command(self._house, sensor))
        data, error = reading_of(self._house, ended)
        reading = read_snapshot(sensor.stem, data, sensor.trust)
        return SensorRun(
            name=sensor.stem,
            ok=not error and reading.is_json,
            error=error or ("" if reading.is_json else "the output is not JSON: it is compared as a whole"),
            output=data.decode("utf-8", "replace"),
            stderr=ended.errors.decode("utf-8", "replace"),
            is_json=reading.is_json,
            signal=reading.signal,
            seconds=round(ended.seconds, 3),
        )

    def playbook(self, version: str | None = None) -> str:
        playbook = self._house.playbook
        body = playbook.read() if version is None else playbook.version(version)
        if body is None:
            raise Missing("there is no PLAYBOOK yet: `looop state` seeds one, `looop playbook write` makes one")
        return body.decode("utf-8", "replace")

    def playbook_versions(self) -> list[str]:
        return self._house.playbook.versions()

    def schedules(self) -> list[ScheduleView]:
        import msgspec

        from looop.rules.due import probe

        now = self._house.setting.clock.now()
        views = []
        for name, schedule in sorted(self._house.schedules.all().items()):
            signal, detail = probe(schedule, now)
            if isinstance(schedule, Fault):
                detail = detail | {"error": schedule.why}
            record = None if isinstance(schedule, Fault) else msgspec.to_builtins(schedule)
            views.append(ScheduleView(name=name, record=record, signal=signal, detail=detail))
        return views

    def journal(self, count: int) -> list[str]:
        return self._house.journal.tail(count)

    def events(self, count: int) -> list[str]:
        from looop.state.house import event_rows

        return event_rows(self._house.store, self._house.setting.knobs).tail(count)

    def steer(self, move: AnyMove, journal: str = "") -> str:
        from looop.act.perform import perform

        perform(self._house, move, self._house.setting.clock.now(), journal=journal)
        return move.summary

    def run(self, move: RunShell, journal: str = "") -> ShellRun:
        from looop.act.shell import run_shell

        now = self._house.setting.clock.now()
        ran = run_shell(self._house, move.cmd, move.reason or move.cmd, now, by_person=True)
        self._house.note(journal.strip() or move.summary, now)
        ran.close()
        return ShellRun(summary=move.summary, output=ran.output)

    def add_sensor(self, kind: str, name: str, options: Mapping[str, str], journal: str = "") -> str:
        from looop.contract.templates import render

        script = render(kind, options)
        require_id(name, "sensor name")
        if any(sensor.stem == name for sensor in self._house.sensors.all()):
            raise Refused(f"there is a sensor {name!r} already: give another name, or `looop sensor write {name}`")
        return self.steer(WriteSensor(name=name, script=script), journal)

    def _find_sensor(self, name: str) -> Sensor:
        for sensor in self._house.sensors.all():
            if name in (sensor.stem, sensor.file):
                return sensor
        raise Missing(f"no sensor {name!r}: `looop sensor list` shows them")

    def _sensor_view(self, sensor: Sensor, entry: Any, now: int) -> SensorView:
        from looop.rules.world import read_snapshot

        try:
            data = self._house.readings.read(f"sensor-{sensor.stem}")
        except LooopError:
            data = None
        reading = read_snapshot(sensor.stem, data, sensor.trust) if data is not None else None
        failed = reading is not None and isinstance(reading.signal, dict) and bool(reading.signal.get("error"))
        detail = reading.detail if reading and isinstance(reading.detail, dict) else {}
        return SensorView(
            name=sensor.stem,
            file=sensor.file,
            interval_s=sensor.interval_s,
            trust=sensor.trust,
            error=str(detail.get("message", "failed")) if failed else "",
            signal=reading.signal if reading and reading.is_json else None,
            age_s=max(now - entry.mtime_ns // _NANO, 0) if entry else None,
        )


def open_local() -> Local:
    """The contract over the environment's data dir, made and seeded when it is new. Raises NoHome, Unwritable."""
    local = Local()
    local.prepare()
    return local


def _declared(text: str) -> tuple[str | None, list[str]]:
    """What a goal's front matter declares, as text; nothing for prose or front matter that cannot be read."""
    if not text.startswith(("---", "\ufeff---")):
        return None, []
    from looop.rules.goals import parse_goal

    try:
        spec = parse_goal(text)
    except LooopError:
        return None, []
    return spec.done, [f"when {reflex.when}: {reflex.move.summary}" for reflex in spec.reflexes]
