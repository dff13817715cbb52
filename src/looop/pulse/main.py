"""The pulse: one process, one lock, four verbs: run, start, loop, stop. Signal handlers only set a flag.

Source: spec/beat.md §15, edge cases 139-153.
"""

from collections.abc import Callable
from contextlib import suppress
from time import monotonic

from msgspec.structs import replace

from looop.config.file import Config, load_config
from looop.config.paths import Paths
from looop.decide.decider import Decider
from looop.decide.inputs import max_nudge
from looop.model.errors import LooopError
from looop.model.report import BeatReport
from looop.pulse.beat import beat
from looop.pulse.cadence import WATCHED, due_wake, sleep, wakes_the_pulse
from looop.pulse.rehearse import rehearse
from looop.rules.cadence import clamp_interval, clamp_nudge
from looop.runtime.command import pause
from looop.runtime.lock import PulseLock
from looop.runtime.stop import StopFlag
from looop.runtime.watch import Watcher
from looop.state.house import House
from looop.state.open import settle


class Pulse:
    """Beats until it is asked to stop, once. `stop` is the flag the house was opened with; its end closes it."""

    def __init__(self, house: House, paths: Paths, stop: StopFlag) -> None:
        self._house, self._paths, self._stop = house, paths, stop
        self._decider = Decider(house=house, config=self._load)
        self._lock = PulseLock(house.setting.root)
        self._config = Config()
        self._warned: tuple[str, ...] = ()
        self._clamped = False

    def run(self) -> None:
        """Take the lock, beat until stopped, give the lock back. Raises LooopError when it cannot start."""
        self._start()
        try:
            self._loop()
        finally:
            self._lock.release()
            self._stop.close()
        self._house.events.emit("pulse_stop")

    def once(self, *, forced: bool = False) -> BeatReport:
        """Take the lock, run one beat, give the lock back. Raises LooopError when it cannot start."""
        self._start()
        try:
            return self._step(forced=forced)
        finally:
            self._lock.release()
            self._stop.close()

    def rehearse(self, *, forced: bool = False) -> BeatReport:
        """What the next beat would do; needs no lock and changes nothing. Raises LooopError."""
        try:
            return rehearse(self._house, self._load(), forced=forced)
        finally:
            self._stop.close()

    def _start(self) -> None:
        try:
            settle(self._house)
            self._config = self._load()
            self._lock.acquire()
        except BaseException:
            self._stop.close()
            raise
        self._stop.install()

    def _loop(self) -> None:
        """Beat and sleep. The first beat is forced, and so is the first one with another runner."""
        house = self._house
        house.events.emit("pulse_start", interval=self._interval(), runner=self._config.runner)
        if not self._paths.is_default:
            house.events.emit("pulse_profile", data_dir=self._paths.data_dir)
        setting = house.setting
        watcher = Watcher(setting.root, WATCHED, wakes_the_pulse, self._watching_degraded, why_not=setting.unwatched)
        watcher.start()
        try:
            forced, asked = True, self._config.tick_command
            while not self._stop.requested():
                began, interval = monotonic(), self._interval()
                forced = forced or self._config.tick_command != asked
                asked = self._config.tick_command
                report = self._step(forced=forced)
                forced = forced and report.ending == "blocked"
                if house.events.json:
                    house.events.emit("sleep", secs=interval, acted=report.acted)
                sleep(house, watcher, interval)
                self._keep_apart(began)
        finally:
            watcher.stop()

    def _step(self, *, forced: bool) -> BeatReport:
        """One beat, with the wake that is due served and the one that is wished for set."""
        house = self._house
        if not self._lock.keep():
            house.events.emit("pulse_degraded", error="the data dir or its lock was replaced: taken anew")
        self._settle_again()
        now = house.setting.clock.now()
        wake = due_wake(house, now)
        report = beat(house, self._decider, now, forced=forced or wake is not None)
        try:
            if wake is not None and report.attempted:
                house.guards.drop_wake(wake)
            if report.next_interval_s is not None:
                self._set_wake(report.next_interval_s)
        except LooopError as error:
            house.events.emit("pulse_degraded", error=str(error))
        return report

    def _set_wake(self, wanted_s: int) -> None:
        nudge = clamp_nudge(wanted_s, max_nudge(self._house, self._config))
        self._house.events.emit("cadence", secs=nudge, default=self._interval())
        self._house.guards.set_wake(self._house.setting.clock.now() + nudge)

    def _settle_again(self) -> None:
        try:
            if settle(self._house):
                self._house.events.emit("seeded", data_dir=self._paths.data_dir)
        except LooopError as error:
            self._house.events.emit("sense_degraded", error=str(error))

    def _load(self) -> Config:
        """The config as it is now; its warnings are said once each time they change. Raises Unreadable, Corrupt."""
        config = load_config(self._paths.config_file)
        if config.warnings != self._warned:
            self._warned = config.warnings
            for warning in config.warnings:
                self._house.events.emit("config_key", error=warning)
        self._config = config
        return config

    def _interval(self) -> int:
        """Environment over config, re-read; a config that went bad keeps the last good one. Edge cases 145, 146."""
        with suppress(LooopError):
            self._load()
        wanted = self._house.setting.knobs.interval
        seconds = self._config.interval if wanted is None else wanted
        if seconds < 1 and not self._clamped:
            self._clamped = True
            self._house.events.emit("pulse_degraded", error=f"interval {seconds} is below a second: using 1")
        return clamp_interval(seconds)

    def _keep_apart(self, began: float) -> None:
        """Never start two beats closer than LOOOP_MIN_BEAT_GAP. Source: design §3 row 6."""
        gap = self._house.setting.knobs.min_beat_gap - (monotonic() - began)
        if gap > 0:
            pause(self._stop, gap)

    def _watching_degraded(self, sentence: str) -> None:
        self._house.events.emit("watch_degraded", error=sentence)


def open_pulse(open_house: Callable[[StopFlag], tuple[House, Paths]], *, park: bool = True) -> Pulse:
    """A pulse over a house opened with a fresh stop flag; without `park` as if LOOOP_PARK were 0."""
    stop = StopFlag()
    house, paths = open_house(stop)
    if not park:
        setting = replace(house.setting, knobs=replace(house.setting.knobs, park=0))
        house = replace(house, setting=setting)
    return Pulse(house, paths, stop)
