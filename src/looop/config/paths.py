"""Where things are. A relative data dir is made absolute once, here. Source: spec/cli.md §3, edge case 233."""

import os
import sys
from collections.abc import Mapping

from msgspec import Struct

from looop.model.errors import NoHome

_CONFIGS = ("config.toml", "config.json")


class Paths(Struct, frozen=True):
    """The absolute places of one profile. `given_config` is the config file that was asked for, empty when none was."""

    data_dir: str
    given_config: str
    is_default: bool

    @property
    def config_file(self) -> str:
        """Where the config is now: `config.toml` where there is one, else `config.json`."""
        return self.given_config or _config_in(self.data_dir)


def is_there(path: str) -> bool:
    """Whether something is at `path`. What may not be looked at is: reading it says why. Edge cases 234, 266."""
    try:
        os.stat(path)
    except FileNotFoundError:
        return False
    except OSError:
        pass
    return True


def find_paths(environ: Mapping[str, str]) -> Paths:
    """The places the environment asks for. Raises NoHome when HOME is needed and not set."""
    given = environ.get("LOOOP_DATA_DIR")
    data_dir = os.path.abspath(given) if given else os.path.join(_state_home(environ), "looop")
    return Paths(
        data_dir=data_dir,
        given_config=os.path.abspath(environ["LOOOP_CONFIG"]) if environ.get("LOOOP_CONFIG") else "",
        is_default=not given,
    )


def current_config(data_dir: str, named: str) -> str:
    """The config file to read now: the one that is `named`; the data dir's own may be another now."""
    is_own = os.path.dirname(named) == data_dir and os.path.basename(named) in _CONFIGS
    return _config_in(data_dir) if is_own else named


def environment(data_dir: str | None = None) -> dict[str, str]:
    """A copy of this process's environment, for another data dir if one is given."""
    inherited = {key: value for key, value in os.environ.items() if data_dir is None or not key.startswith("LOOOP_")}
    return inherited | ({"LOOOP_DATA_DIR": data_dir} if data_dir else {})


def child_environment(paths: Paths, log_format: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of every sensor, shell command and runner. Source: spec/workers.md §2.3."""
    return dict(environ) | {
        "LOOOP_BIN": program(),
        "LOOOP_DATA_DIR": paths.data_dir,
        "LOOOP_CONFIG": paths.config_file,
        "LOOOP_CLAIMS_DIR": os.path.join(paths.data_dir, "claims"),
        "LOOOP_REPORTS_DIR": os.path.join(paths.data_dir, "reports"),
        "LOOOP_LOG_FORMAT": log_format,
    }


def program() -> str:
    """The absolute path of the looop command, or its bare name when that cannot be told."""
    beside = os.path.join(os.path.dirname(sys.executable), "looop")
    if os.access(beside, os.X_OK):
        return beside
    from shutil import which

    return which("looop") or "looop"


def _state_home(environ: Mapping[str, str]) -> str:
    if environ.get("XDG_STATE_HOME"):
        return os.path.abspath(environ["XDG_STATE_HOME"])
    if not environ.get("HOME"):
        raise NoHome("HOME is not set: set HOME, or say where to keep state with LOOOP_DATA_DIR")
    return os.path.join(environ["HOME"], ".local", "state")


def _config_in(data_dir: str) -> str:
    toml = os.path.join(data_dir, "config.toml")
    return toml if os.path.lexists(toml) else os.path.join(data_dir, "config.json")
