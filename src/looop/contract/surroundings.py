"""What a client may know of its surroundings without reading the environment itself."""

import shlex

from looop.config.knobs import Knobs, variable
from looop.config.paths import environment, find_paths, program
from looop.config.terminal import debugging, may_colour
from looop.model.errors import NoHome
from looop.runtime.clock import SystemClock, wall_clock
from looop.runtime.command import pause as _pause
from looop.state.open import NoStop

__all__ = ["call", "debugging", "knob_names", "local_time", "may_colour", "pause", "places"]


def pause(seconds: float) -> None:
    """Let `seconds` pass."""
    _pause(NoStop(), seconds)


def local_time(ts: int) -> str:
    """`HH:MM:SS` by the clock on this machine's wall."""
    return wall_clock(SystemClock(), ts)


def knob_names() -> list[str]:
    """Every environment knob, by variable name; the manual must name them all."""
    return [variable(field) for field in Knobs.__struct_fields__]


def places() -> dict[str, str]:
    """Where this environment keeps what; empty when that cannot be told."""
    try:
        paths = find_paths(environment())
    except NoHome:
        return {}
    return {"data dir": paths.data_dir, "config": paths.config_file}


def call() -> str:
    """The words that call this program for this data dir, from any place and any environment. Raises NoHome."""
    paths = find_paths(environment())
    config = [f"LOOOP_CONFIG={shlex.quote(paths.given_config)}"] if paths.given_config else []
    return " ".join([f"LOOOP_DATA_DIR={shlex.quote(paths.data_dir)}", *config, shlex.quote(program())])
