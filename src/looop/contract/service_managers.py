"""The two service managers a service is handed to, in their own words: systemd's for a user, and launchd."""

import os
from collections.abc import Callable, Mapping
from typing import Protocol
from urllib.parse import quote

from msgspec import Struct

import looop
from looop.contract.service_unit import plist_text, unit_text

Words = list[str]
Run = Callable[[Words], tuple[int, str]]
"""Runs a command: its exit code, -1 without one, and what it printed."""


class Look(Struct, frozen=True):
    """What a manager says of a service; None where it does not say. `lingers`: the manager starts with the machine."""

    enabled: bool | None
    active: bool | None
    lingers: bool | None = None


class Manager(Protocol):
    """One service of one manager. `name` is what the manager calls it, `path` where its file lies."""

    kind: str
    name: str
    path: str

    def text(self, program: str, env: Mapping[str, str]) -> str:
        """The file. Raises Invalid."""

    def look(self) -> Look:
        """How the service stands now."""

    def start(self, *, active: bool) -> list[Words]:
        """What enables and starts it; nothing of that harms one that is `active`."""

    def stop(self) -> Words:
        """What stops and disables it."""

    def forget(self) -> list[Words]:
        """What has to be said once its file is gone."""

    def restart(self) -> str:
        """What makes a running one take up a changed file, for a person to type."""

    def after_reboot(self, look: Look) -> str:
        """What happens to an installed service then."""


class Systemd:
    """A unit of the person's own systemd."""

    kind: str = "systemd"

    def __init__(self, name: str, config_home: str, run: Run) -> None:
        self.name, self._run = f"{name}.service", run
        self.path = os.path.join(config_home, "systemd", "user", self.name)

    def text(self, program: str, env: Mapping[str, str]) -> str:
        manual = os.path.join(os.path.dirname(os.path.abspath(looop.__file__)), "clients", "cli", "manual.txt")
        return unit_text(self.name, program, env, f"file://{quote(manual)}")

    def look(self) -> Look:
        code, said = self._run([*_SYSTEMCTL, "show", self.name, "--property=UnitFileState,ActiveState"])
        states = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
        if code or "ActiveState" not in states:
            return Look(None, None, self._lingers())
        is_active = states["ActiveState"] in ("active", "activating")
        return Look(states.get("UnitFileState") == "enabled", is_active, self._lingers())

    def start(self, *, active: bool) -> list[Words]:
        return [[*_SYSTEMCTL, "daemon-reload"], [*_SYSTEMCTL, "enable", "--now", self.name]]

    def stop(self) -> Words:
        return [*_SYSTEMCTL, "disable", "--now", self.name]

    def forget(self) -> list[Words]:
        return [[*_SYSTEMCTL, "daemon-reload"]]

    def restart(self) -> str:
        return " ".join([*_SYSTEMCTL, "restart", self.name])

    def after_reboot(self, look: Look) -> str:
        if look.enabled is None:
            return "cannot be told: `systemctl --user` does not answer"
        if not look.enabled:
            return "the loop stays down, the service is not enabled: `looop service install`"
        if look.lingers is None:
            return "the loop comes back with your systemd; `loginctl` does not say whether that waits for your login"
        if look.lingers:
            return "the loop comes back by itself"
        return f"the loop comes back when you log in; {LINGER}"

    def _lingers(self) -> bool | None:
        code, said = self._run(["loginctl", "show-user", str(os.getuid()), "--property=Linger", "--value"])
        return None if code else said == "yes"


class Launchd:
    """An agent of the person's own on macOS."""

    kind: str = "launchd"

    def __init__(self, name: str, home: str, run: Run) -> None:
        self.name, self._run, self._home = name, run, home
        self.path = os.path.join(home, "Library", "LaunchAgents", f"{name}.plist")
        self._domain = f"gui/{os.getuid()}"

    def text(self, program: str, env: Mapping[str, str]) -> str:
        return plist_text(self.name, program, env, os.path.join(self._home, "Library", "Logs", f"{self.name}.log"))

    def look(self) -> Look:
        loaded, _ = self._run(["launchctl", "print", self._job])
        code, said = self._run(["launchctl", "print-disabled", self._domain])
        disabled = any(f'"{self.name}" => {word}' in said for word in ("disabled", "true"))
        return Look(None if code else not disabled, loaded == 0)

    def start(self, *, active: bool) -> list[Words]:
        if active:
            return []
        return [["launchctl", "enable", self._job], ["launchctl", "bootstrap", self._domain, self.path]]

    def stop(self) -> Words:
        return ["launchctl", "bootout", self._job]

    def forget(self) -> list[Words]:
        return []

    def restart(self) -> str:
        return f"launchctl bootout {self._job}; launchctl bootstrap {self._domain} {self.path}"

    def after_reboot(self, look: Look) -> str:
        if look.enabled is False:
            return f"the loop stays down, the service is disabled: `launchctl enable {self._job}`"
        return "the loop comes back when you log in"

    @property
    def _job(self) -> str:
        return f"{self._domain}/{self.name}"


_SYSTEMCTL = ("systemctl", "--user")
LINGER = "it ends, workers included, when you log out, unless you type `loginctl enable-linger`"
