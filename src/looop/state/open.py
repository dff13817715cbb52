"""Opening a house from the environment: paths, knobs, store, clock, processes, the voice."""

import os
import sys
from typing import TextIO

from msgspec import Struct

from looop.config.knobs import read_knobs
from looop.config.paths import Paths, child_environment, environment, find_paths
from looop.model.errors import LooopError, Unwritable
from looop.runtime.clock import SystemClock
from looop.runtime.command import Stop
from looop.runtime.events import Events, Format
from looop.runtime.proc import Processes
from looop.state.house import House, Setting, event_rows, furnish
from looop.state.seed import FOLDERS, seed
from looop.store.open import open_files


class NoStop:
    """Never asks to stop: for commands a person ends with Ctrl-C."""

    def requested(self) -> bool:
        return False

    def fileno(self) -> int:
        return -1


class Voice(Struct, frozen=True):
    """Where log lines go and how they look."""

    out: TextIO | None = None
    style: Format = "human"
    colour: bool = False
    only_problems: bool = False


def open_house(
    voice: Voice | None = None, stop: Stop | None = None, data_dir: str | None = None
) -> tuple[House, Paths]:
    """The house of this environment, or of another data dir. Reads knobs, touches no file. Raises NoHome."""
    voice, stop, environ = voice or Voice(), stop or NoStop(), environment(data_dir)
    paths, (knobs, bad_knobs) = find_paths(environ), read_knobs(environ)
    store, clock = open_files(paths.data_dir), SystemClock()
    rows = event_rows(store, knobs)
    events = Events(
        clock, lambda row: rows.append(row, durable=False), voice.out, voice.style, voice.colour, voice.only_problems
    )
    for bad in bad_knobs:
        instead = "ignored" if bad.default is None else f"using {bad.default}"
        if voice.out:
            events.emit("env_invalid", var=bad.var, value=bad.value, instead=instead)
        else:
            sys.stderr.write(f"looop: {bad.var}={bad.value!r} is not a value of its kind: {instead}\n")
    setting = Setting(
        root=paths.data_dir,
        clock=clock,
        processes=Processes(stop),
        stop=stop,
        knobs=knobs,
        env=child_environment(paths, voice.style, environ),
    )
    return furnish(setting, store, events), paths


def settle(house: House) -> bool:
    """Make the folders, and seed a data dir without a PLAYBOOK; True when it was seeded.

    Raises Unwritable, Unreadable. Source: spec/cli.md §5.
    """
    try:
        os.makedirs(house.setting.root, 0o700, exist_ok=True)
        for folder in FOLDERS:
            os.makedirs(os.path.join(house.setting.root, folder), exist_ok=True)
    except OSError as error:
        raise Unwritable(f"cannot make the data dir: {error.filename}: {error.strerror}") from None
    return seed(house.store, house.setting.clock.now())


def settle_or_say(house: House) -> None:
    """Settle; a failure is one line on stderr and an event, and the caller goes on. Source: edge case 249."""
    try:
        settle(house)
    except LooopError as error:
        house.events.emit("seed_degraded", error=str(error))
        sys.stderr.write(f"looop: {error}\n")
