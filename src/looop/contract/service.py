"""The pulse as a service of the machine, so that the loop comes back after a reboot.

A service gets what the pulse would have here and now: the data dir, a config that was asked for, the knobs that are
set, and the PATH, without which no agent CLI is found. Each data dir has a service of its own.
"""

import os
import sys
from collections.abc import Sequence
from shutil import which

from msgspec import Struct

from looop.config.knobs import Knobs, variable
from looop.config.paths import environment, find_paths
from looop.contract.service_managers import LINGER, Launchd, Manager, Systemd, Words
from looop.contract.service_unit import crontab_line
from looop.model.errors import NoHome, Refused
from looop.rules.world import digest
from looop.runtime.command import Command
from looop.runtime.lock import is_held
from looop.state.house import House
from looop.state.open import open_house
from looop.store.open import open_files

_PATIENCE_S = 30
_BOOTED_BY_SYSTEMD = "/run/systemd/system"


class Installed(Struct, frozen=True):
    """What an installation has done. `changes` are lines that came (+) and went (-); empty when all was so already.

    `why` says why the service could not be enabled, empty when it is; then the `commands` remain to be typed.
    """

    path: str
    replaced: bool
    changes: list[str]
    why: str
    commands: list[str]
    notes: list[str]


class ServiceStatus(Struct, frozen=True):
    """How the service stands. None: cannot be told. `current`: the file is what an installation would write now."""

    manager: str
    name: str
    path: str
    installed: bool
    current: bool
    enabled: bool | None
    active: bool | None
    lingers: bool | None
    pulse_alive: bool
    after_reboot: str


def service_text() -> str:
    """The file that `install` would write on this system. Changes nothing. Raises Invalid, Refused, NoHome."""
    house = open_house()[0]
    return _text(house, _manager(house))


def install() -> Installed:
    """Write the service's file, enable and start it. Raises Refused without a service manager; Invalid, Unwritable."""
    house = open_house()[0]
    manager = _required(house)
    before, text, look = _read(manager.path), _text(house, manager), manager.look()
    held = is_held(house.setting.root)
    if before != text:
        folder, name = os.path.split(os.path.realpath(manager.path))
        open_files(folder).write(name, text.encode())
    commands = manager.start(active=bool(look.active))
    why = _run_all(house, commands)
    if why and manager.kind == "systemd" and not os.path.isdir(_BOOTED_BY_SYSTEMD):
        why += f"; this machine was not started by systemd: {_instead(house)}"
    notes = []
    if before != text and look.active:
        notes.append(f"the pulse that runs keeps its old settings until `{manager.restart()}`")
    if held and not look.active:
        notes.append("a pulse runs already: the service tries every 10 seconds, and begins when that one ends")
    if look.lingers is False:
        notes.append(f"the service starts when you log in; {LINGER}")
    return Installed(
        path=manager.path,
        replaced=before is not None,
        changes=_difference(before or "", text),
        why=why,
        commands=[" ".join(command) for command in commands] if why else [],
        notes=notes,
    )


def uninstall() -> tuple[bool, str]:
    """Stop and disable the service, and remove its file; whether there was one, and what could not be told to stop.

    Raises Unreadable, Unwritable.
    """
    house = open_house()[0]
    manager = _manager(house)
    before = _read(manager.path)
    if before is None:
        return False, ""
    stop = manager.stop()
    why = _run_all(house, [stop])
    folder, name = os.path.split(manager.path)
    open_files(folder).swap(name, before.encode("utf-8", "surrogateescape"), None)
    _run_all(house, manager.forget())
    return True, f"{why}; if the service runs, it goes on until `{' '.join(stop)}`" if why else ""


def service_status() -> ServiceStatus:
    """How the service stands, and what would happen after a reboot. Raises Refused without a service manager."""
    house = open_house()[0]
    manager = _required(house)
    text, look = _read(manager.path), manager.look()
    nothing = "nothing starts the loop: `looop service install` makes it come back"
    return ServiceStatus(
        manager=manager.kind,
        name=manager.name,
        path=manager.path,
        installed=text is not None,
        current=text == _text(house, manager),
        enabled=look.enabled,
        active=look.active,
        lingers=look.lingers,
        pulse_alive=is_held(house.setting.root),
        after_reboot=nothing if text is None else manager.after_reboot(look),
    )


def _manager(house: House) -> Manager:
    """The service of this data dir, with the manager that is here, else with the one this system should have."""
    env, root = house.setting.env, house.setting.root
    home = env.get("HOME")
    if not home:
        raise NoHome("HOME is not set: a service belongs to a person, whose home must be known")
    usual = find_paths({key: value for key, value in environment().items() if key != "LOOOP_DATA_DIR"}).data_dir
    name = "looop" if root == usual else f"looop-{digest(root.encode('utf-8', 'replace'))[:8]}"
    if _has(house, "launchctl") or (sys.platform == "darwin" and not _has(house, "systemctl")):
        return Launchd(name, home, lambda words: _run(house, words))
    config_home = env.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    return Systemd(name, config_home, lambda words: _run(house, words))


def _required(house: House) -> Manager:
    if not (_has(house, "systemctl") or _has(house, "launchctl")):
        raise Refused(f"neither systemctl nor launchctl is on the PATH here: {_instead(house)}")
    return _manager(house)


def _has(house: House, program: str) -> bool:
    return which(program, path=house.setting.env.get("PATH")) is not None


def _instead(house: House) -> str:
    line = crontab_line(_program(house), _environment(house))
    return f"instead, a line for `crontab -e` starts the loop: {line}"


def _text(house: House, manager: Manager) -> str:
    return manager.text(_program(house), _environment(house))


def _program(house: House) -> str:
    program = house.setting.env["LOOOP_BIN"]
    if not os.path.isabs(program):
        raise Refused("cannot tell where the looop program is: start it by its path, or put it on the PATH")
    return program


def _environment(house: House) -> dict[str, str]:
    environ = environment()
    names = [*(variable(field) for field in Knobs.__struct_fields__), "LOOOP_LOG_FORMAT", "PATH"]
    env = {"LOOOP_DATA_DIR": house.setting.root, "LOOOP_CONFIG": find_paths(environ).given_config}
    return {name: value for name, value in (env | {name: environ.get(name, "") for name in names}).items() if value}


def _run_all(house: House, commands: Sequence[Words]) -> str:
    """Run them until one fails; why it did, empty when none does."""
    for command in commands:
        code, said = _run(house, command)
        if code:
            return f"`{' '.join(command)}` failed: {said or f'exit code {code}'}"
    return ""


def _run(house: House, words: Words) -> tuple[int, str]:
    env = house.setting.env
    ended = house.setting.processes.run(
        Command(argv=words, cwd="/", env=env, deadline_s=_PATIENCE_S, keep=4096, keep_end=True, merge_errors=True)
    )
    said = ended.output.decode("utf-8", "replace").strip() or ended.spawn_error
    if ended.timed_out:
        said = f"it did not end within {_PATIENCE_S} seconds"
    return -1 if ended.code is None else ended.code, said


def _read(path: str) -> str | None:
    folder, name = os.path.split(path)
    blob = open_files(folder).read(name)
    return None if blob is None else blob.data.decode("utf-8", "surrogateescape")


def _difference(before: str, after: str) -> list[str]:
    import difflib

    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
    return [line for line in list(lines)[2:] if not line.startswith("@@")]
