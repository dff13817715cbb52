"""`looop service`: a real process talks to a service manager, played by a shell script that notes what it is told."""

import os
import plistlib
import re
from pathlib import Path

import pytest

from looop.contract.service import ServiceStatus
from looop.runtime.lock import PulseLock
from tests.fakes.command import Looop

ROOT = Path(__file__).parents[2]
FAKE = r"""#!/bin/sh
PATH=/usr/bin:/bin
name=${0##*/}
echo "$name $*" >> "$HOME/calls"
[ ! -e "$HOME/$name.broken" ] || { echo "Failed to connect to bus: No medium found" >&2; exit 1; }
case "$name $*" in
  *" show "*) cat "$HOME/states" 2>/dev/null || printf 'UnitFileState=\nActiveState=inactive\n' ;;
  *"enable --now"*) printf 'UnitFileState=enabled\nActiveState=active\n' > "$HOME/states" ;;
  *"disable --now"*) rm "$HOME/states" ;;
  *loginctl*) cat "$HOME/lingers" 2>/dev/null || echo no ;;
  *bootstrap*) touch "$HOME/loaded" ;;
  *bootout*) rm "$HOME/loaded" ;;
  *print-disabled*) cat "$HOME/disabled" 2>/dev/null || echo "disabled services = {}" ;;
  *" print "*) [ -e "$HOME/loaded" ] || { echo "Could not find service" >&2; exit 113; } ;;
esac
"""


def machine(folder: Path, *programs: str) -> Looop:
    """looop on a machine with these programs of the service manager alone, in the usual data dir."""
    looop = Looop(folder)
    tools = folder / "tools"
    tools.mkdir()
    for program in programs:
        (tools / program).write_text(FAKE)
        (tools / program).chmod(0o755)
    del looop.env["LOOOP_DATA_DIR"]
    looop.env["PATH"] = str(tools)
    return looop


@pytest.fixture
def looop(tmp_path: Path) -> Looop:
    """looop beside a systemd."""
    return machine(tmp_path, "systemctl", "loginctl")


def told(looop: Looop) -> list[str]:
    """What the manager was told so far, questions left out; it forgets."""
    calls = looop.folder / "calls"
    lines = calls.read_text().splitlines() if calls.exists() else []
    calls.unlink(missing_ok=True)
    return [line for line in lines if not re.search(r" show | print|loginctl", line)]


def unit(looop: Looop, name: str = "looop.service") -> Path:
    """Where the unit belongs."""
    return looop.folder / ".config/systemd/user" / name


def test_install_writes_enables_and_starts(looop: Looop) -> None:
    """The unit is in the person's folder, with data dir, PATH and the knobs that are set; systemd is told of it.

    Source: systemd.unit(5), user unit search path.
    """
    said = looop("service", "install", env={"LOOOP_MAX_DAILY_USD": "3", "LOOOP_INTERVAL": None, "SECRET_KEY": "x"})
    assert (said.code, said.out) == (0, f"Wrote {unit(looop)}\nenabled and started\n")
    assert told(looop) == ["systemctl --user daemon-reload", "systemctl --user enable --now looop.service"]
    text = unit(looop).read_text()
    environment = re.findall('^Environment="(.*?)=(.*)"$', text, re.MULTILINE)
    assert environment == [
        ("LOOOP_DATA_DIR", f"{looop.folder}/.local/state/looop"),
        ("LOOOP_MAX_DAILY_USD", "3"),
        ("PATH", looop.env["PATH"]),
    ]
    (manual,) = re.findall("^Documentation=file://(.*)$", text, re.MULTILINE)
    assert os.path.isfile(manual)
    (program,) = re.findall('^ExecStart="(.*)" pulse$', text, re.MULTILINE)
    assert os.access(program, os.X_OK)


def test_install_again(looop: Looop) -> None:
    """A second time nothing is written; another setting is shown line by line, and what it takes to take it up.

    Source: design §3 row 14, never overwritten without saying what changed.
    """
    looop("service", "install")
    before = unit(looop).stat().st_mtime_ns
    again = looop("service", "install")
    assert (again.code, again.out) == (0, f"{unit(looop)} says so already: nothing to write\nenabled and started\n")
    assert unit(looop).stat().st_mtime_ns == before
    other = looop("service", "install", env={"LOOOP_INTERVAL": "7"})
    assert other.out == f'Replaced {unit(looop)}\n+Environment="LOOOP_INTERVAL=7"\nenabled and started\n'
    assert "keeps its old settings until `systemctl --user restart looop.service`" in other.err


def test_a_unit_that_is_kept_elsewhere_stays_a_link(looop: Looop) -> None:
    """A unit that is a link, as into a repository of dot files, is written where it lies.

    Source: design §3 row 14.
    """
    kept = looop.folder / "kept.service"
    kept.write_text("old\n")
    unit(looop).parent.mkdir(parents=True)
    unit(looop).symlink_to(kept)
    assert looop("service", "install").out.startswith(f"Replaced {unit(looop)}\n-old\n+# Written by")
    assert unit(looop).is_symlink()
    assert "pulse" in kept.read_text()


def test_print_changes_nothing(looop: Looop) -> None:
    """--print gives the file and nothing else: nothing is written, nobody is told, also where there is no manager.

    Source: docs/service.md.
    """
    said = looop("service", "install", "--print")
    assert (said.code, said.err, told(looop)) == (0, "", [])
    assert os.listdir(looop.folder) == ["tools"]
    looop("service", "install")
    assert unit(looop).read_text() == said.out
    assert looop("service", "install", "--print", env={"PATH": "/nowhere"}).out.startswith("# Written by")


def test_every_data_dir_has_a_service_of_its_own(looop: Looop) -> None:
    """Another data dir does not take the place of the usual one's unit; a config that is asked for goes along.

    Source: spec/cli.md §3, profiles.
    """
    looop("service", "install")
    other = {"LOOOP_DATA_DIR": "work data", "LOOOP_CONFIG": "c.toml"}
    assert looop("service", "install", env=other).code == 0
    (name,) = (path.name for path in unit(looop).parent.glob("looop-*.service"))
    text = unit(looop, name).read_text()
    assert f'Environment="LOOOP_DATA_DIR={looop.folder}/work data"' in text
    assert f'Environment="LOOOP_CONFIG={looop.folder}/c.toml"' in text
    assert looop("service", "status", "--json", env=other).json["name"] == name
    same = {"LOOOP_DATA_DIR": f"{looop.folder}/.local/state/looop"}
    assert looop("service", "status", "--json", env=same).json["name"] == "looop.service"


def test_systemd_that_does_not_answer(looop: Looop) -> None:
    """The unit is written, the exit code is 1, and what is left to type is on stdout, word for word.

    Source: docs/service.md.
    """
    (looop.folder / "systemctl.broken").touch()
    said = looop("service", "install")
    assert said.code == 1
    assert said.out.split("type:\n")[1] == (
        "  systemctl --user daemon-reload\n  systemctl --user enable --now looop.service\n"
    )
    assert "`systemctl --user daemon-reload` failed: Failed to connect to bus" in said.err
    assert unit(looop).exists()
    status = looop("service", "status", "--json").json
    assert (status["installed"], status["enabled"], status["active"]) == (True, None, None)
    assert status["after_reboot"].startswith("cannot be told")


def test_uninstall(looop: Looop) -> None:
    """Stopped and disabled first, then the file goes, then systemd is told; not installed is fine; a link is a link.

    Source: docs/service.md.
    """
    assert looop("service", "uninstall").out == "not installed: nothing to do\n"
    looop("service", "install")
    kept = looop.folder / "kept.service"
    unit(looop).rename(kept)
    unit(looop).symlink_to(kept)
    told(looop)
    said = looop("service", "uninstall")
    assert (said.code, said.out, said.err) == (0, "the service is removed: nothing starts the loop any more\n", "")
    assert told(looop) == ["systemctl --user disable --now looop.service", "systemctl --user daemon-reload"]
    assert not os.path.lexists(unit(looop))
    assert kept.exists()


def test_uninstall_where_systemd_does_not_answer(looop: Looop) -> None:
    """The file goes all the same, and it is said that what runs may go on.

    Source: docs/service.md.
    """
    looop("service", "install")
    (looop.folder / "systemctl.broken").touch()
    said = looop("service", "uninstall")
    assert said.code == 0
    assert "if the service runs, it goes on until `systemctl --user disable --now looop.service`" in said.err
    assert not unit(looop).exists()


def test_status(looop: Looop) -> None:
    """Installed, enabled, active, the pulse's own lock, and what a reboot would bring, with and without lingering.

    Source: docs/service.md.
    """
    before = looop("service", "status")
    assert (before.code, before.err) == (0, "")
    assert "(not installed)\nenabled: no  ·  active: no  ·  pulse: DOWN\nafter a reboot: nothing starts" in before.out
    looop("service", "install")
    found = looop("service", "status", "--json").json
    assert {**found, "after_reboot": "", "path": ""} == {
        "manager": "systemd",
        "name": "looop.service",
        "path": "",
        "installed": True,
        "current": True,
        "enabled": True,
        "active": True,
        "lingers": False,
        "pulse_alive": False,
        "after_reboot": "",
    }
    assert found["after_reboot"].startswith("the loop comes back when you log in; it ends")
    (looop.folder / "lingers").write_text("yes\n")
    lock = PulseLock(str(looop.folder / ".local/state/looop"))
    lock.acquire()
    try:
        after = looop("service", "status", env={"LOOOP_INTERVAL": "5"})
    finally:
        lock.release()
    assert "(installed, but `looop service install` would write something else now)" in after.out
    assert "pulse: live\nafter a reboot: the loop comes back by itself\n" in after.out
    (looop.folder / "states").write_text("UnitFileState=disabled\nActiveState=inactive\n")
    assert "stays down, the service is not enabled" in looop("service", "status").out


def test_a_pulse_that_runs_already_is_named(looop: Looop) -> None:
    """Beside a pulse of one's own the service waits its turn, and that is said; so is a login it depends on.

    Source: spec/beat.md §15.
    """
    lock = PulseLock(str(looop.folder / ".local/state/looop"))
    lock.acquire()
    try:
        said = looop("service", "install")
    finally:
        lock.release()
    assert said.code == 0
    assert "a pulse runs already: the service tries every 10 seconds" in said.err
    assert "unless you type `loginctl enable-linger`" in said.err


@pytest.mark.parametrize("verb", ["install", "status"])
def test_without_a_service_manager(tmp_path: Path, verb: str) -> None:
    """Where there is neither systemd nor launchd, one line says so, with the crontab line that does instead.

    Source: docs/service.md.
    """
    looop = machine(tmp_path)
    said = looop("service", verb, env={"LOOOP_INTERVAL": "5"})
    assert (said.code, said.out) == (1, "")
    assert said.err.count("\n") == 1
    assert "neither systemctl nor launchctl" in said.err
    assert f"@reboot LOOOP_DATA_DIR={tmp_path}/.local/state/looop LOOOP_INTERVAL=5 bash -lc " in said.err
    assert not (tmp_path / ".config").exists()
    assert looop("service", "uninstall").code == 0


def test_launchd(tmp_path: Path) -> None:
    """On macOS an agent is written, loaded once, looked at and unloaded, by launchctl's words.

    Source: launchctl(1).
    """
    looop = machine(tmp_path, "launchctl")
    path, job = tmp_path / "Library/LaunchAgents/looop.plist", f"gui/{os.getuid()}/looop"
    said = looop("service", "install")
    assert (said.code, said.out, said.err) == (0, f"Wrote {path}\nenabled and started\n", "")
    assert told(looop) == [f"launchctl enable {job}", f"launchctl bootstrap gui/{os.getuid()} {path}"]
    assert plistlib.loads(path.read_bytes())["EnvironmentVariables"]["PATH"] == looop.env["PATH"]
    assert looop("service", "install").code == 0
    assert told(looop) == []
    found = looop("service", "status", "--json").json
    assert (found["manager"], found["enabled"], found["active"], found["lingers"]) == ("launchd", True, True, None)
    assert found["after_reboot"] == "the loop comes back when you log in"
    (tmp_path / "disabled").write_text('disabled services = {\n\t"looop" => disabled\n}\n')
    assert looop("service", "status", "--json").json["enabled"] is False
    assert looop("service", "uninstall").code == 0
    assert told(looop) == [f"launchctl bootout {job}"]
    assert not path.exists()


def test_without_a_home(looop: Looop) -> None:
    """A service belongs to a person: without HOME it is exit code 2, as everywhere.

    Source: spec/cli.md §1 exit codes.
    """
    said = looop("service", "status", env={"HOME": None, "LOOOP_DATA_DIR": "/tmp/x"})
    assert (said.code, said.out) == (2, "")
    assert "HOME is not set" in said.err


def test_the_page_names_every_field() -> None:
    """docs/service.md names each field of `looop service status --json`.

    Source: docs/contract.md.
    """
    page = (ROOT / "docs/service.md").read_text(encoding="utf-8")
    assert [field for field in ServiceStatus.__struct_fields__ if f"`{field}`" not in page] == []
