"""The text of a service's file says what it should, whatever the paths hold; systemd is asked where it is there."""

import os
import plistlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from looop.contract.service_unit import crontab_line, plist_text, unit_text
from looop.model.errors import Invalid

MANUAL = "file:///x/a%20b/manual.txt"
NAMES = ["plain", "da ta %h %% é", "$HOME ${X} =1", 'it\'s "q"', "back\\slash\\n", "日本 ; # x", "-dash :colon"]
PROGRAM = '#!/bin/sh\nprintf "%s|" "$@" "$LOOOP_DATA_DIR" "$LOOOP_CONFIG"\n'


def unit(program: str = "/x/looop", data: str = "/d", **env: str) -> str:
    """A unit for these paths."""
    return unit_text("looop.service", program, {"LOOOP_DATA_DIR": data, **env}, MANUAL)


def values(text: str, key: str) -> list[str]:
    """What follows `key=` in each of its lines."""
    return re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)


def spoken(word: str) -> str:
    """A quoted word as systemd reads it: escapes, then specifiers."""
    assert word[0] == word[-1] == '"'
    assert not re.search(r"(?<!%)(%%)*%(?!%)", word)
    return re.sub(r"\\(.)", r"\1", word[1:-1]).replace("%%", "%")


def program_at(folder: Path) -> str:
    """A looop that prints its words and what it was given."""
    folder.mkdir()
    path = folder / "looop"
    path.write_text(PROGRAM)
    path.chmod(0o755)
    return str(path)


def test_the_unit_brings_the_pulse_back_and_spares_the_workers() -> None:
    """It runs the pulse in the foreground, restarts it when it fails, for ever, and leaves other processes alone.

    Source: systemd.service(5), systemd.kill(5).
    """
    text = unit()
    for key, value in {
        "ExecStart": '"/x/looop" pulse',
        "Restart": "on-failure",
        "RestartSec": "10",
        "StartLimitIntervalSec": "0",
        "KillMode": "process",
        "OOMPolicy": "continue",
        "WantedBy": "default.target",
        "Documentation": "file:///x/a%%20b/manual.txt",
    }.items():
        assert values(text, key) == [value]
    assert "# Workers are sessions of their own" in text
    assert "loginctl enable-linger" in text


@pytest.mark.parametrize("name", NAMES)
def test_what_the_unit_hands_over_arrives_whole(name: str) -> None:
    """Each variable is one quoted word that reads as the value, blanks, percent signs, quotes and all.

    Source: systemd.syntax(7), systemd.unit(5) specifiers.
    """
    given = {"LOOOP_CONFIG": f"/c/{name}.toml", "PATH": f"/bin:/{name}"}
    found = values(unit(data=f"/{name}", **given), "Environment")
    expected = {"LOOOP_DATA_DIR": f"/{name}", **given}
    assert [spoken(word) for word in found] == [f"{key}={value}" for key, value in expected.items()]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize("name", NAMES)
def test_systemd_accepts_the_unit(tmp_path: Path, name: str) -> None:
    """systemd's own verifier finds the program at its path and nothing to say; a path that is wrong it would not find.

    Source: systemd-analyze(1) verify.
    """
    program = program_at(tmp_path / name)
    env = os.environ | {"XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)}
    for text, code in ((unit(program, f"/{name}"), 0), (unit("/nowhere/looop"), 1)):
        (tmp_path / "looop.service").write_text(text)
        verify = ["systemd-analyze", "verify", "--user", "--man=no", str(tmp_path / "looop.service")]
        done = subprocess.run(verify, env=env, capture_output=True, text=True)
        assert (done.returncode, "nowhere" in done.stderr) == (code, bool(code)), done.stderr


@pytest.mark.parametrize("name", ['it\'s "q" $HOME', "back\\slash"])
def test_a_program_whose_path_systemd_refuses_is_started_by_a_shell(tmp_path: Path, name: str) -> None:
    """Quotes and backslashes are not allowed in systemd's program path; the shell gets it as an argument.

    Source: systemd's refusal: "Executable name contains special characters".
    """
    program = program_at(tmp_path / name)
    (line,) = values(unit(program), "ExecStart")
    match = re.fullmatch(r"""/bin/sh -c '(.*)' (".*")""", line)
    assert match
    assert "$" not in line.replace("$$", "")
    words = ["/bin/sh", "-c", match[1].replace("$$", "$"), spoken(match[2]).replace("$$", "$")]
    assert subprocess.run(words, capture_output=True, text=True, env={}).stdout == "pulse|||"


@pytest.mark.parametrize("name", NAMES)
def test_the_plist_is_one(name: str) -> None:
    """launchd reads words and variables as they are, starts the job at login and when it failed, and ends it alone.

    Source: launchd.plist(5).
    """
    env = {"LOOOP_DATA_DIR": f"/{name}<&>"}
    job = plistlib.loads(plist_text("looop", f"/{name}/looop", env, f"/{name}.log").encode())
    assert job["Label"] == "looop"
    assert job["ProgramArguments"] == [f"/{name}/looop", "pulse"]
    assert job["EnvironmentVariables"] == env
    assert (job["RunAtLoad"], job["KeepAlive"]) == (True, {"SuccessfulExit": False})
    assert job["AbandonProcessGroup"] is True
    assert job["StandardErrorPath"] == job["StandardOutPath"] == f"/{name}.log"


@pytest.mark.parametrize("name", NAMES)
def test_the_crontab_line_starts_the_pulse(tmp_path: Path, name: str) -> None:
    """What cron hands to sh runs the program with its settings; a percent sign is no line end.

    Source: crontab(5).
    """
    program = program_at(tmp_path / name)
    line = crontab_line(program, {"LOOOP_DATA_DIR": f"/{name}", "LOOOP_CONFIG": "/c", "PATH": "/far/too/long"})
    assert re.sub(r"\\%", "", line).count("%") == 0
    command = line.removeprefix("@reboot ").replace("\\%", "%").removesuffix(" >/dev/null 2>&1")
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
    assert done.stdout == f"pulse|/{name}|/c|"
    assert "PATH=" not in line


@pytest.mark.parametrize("bad", ["/a\nb", "/a\x1bb", "/a\udcffb"])
def test_what_no_service_file_can_hold_is_refused(bad: str) -> None:
    """A control character, or bytes that are no UTF-8, in a path are refused by name, wherever they stand.

    Source: systemd.syntax(7), launchd.plist(5).
    """
    for make in (
        lambda: unit(data=bad),
        lambda: unit(program=bad),
        lambda: plist_text("looop", "/x", {"LOOOP_DATA_DIR": bad}, "/l"),
        lambda: crontab_line("/x", {"LOOOP_DATA_DIR": bad}),
    ):
        with pytest.raises(Invalid, match=r"^(the program|LOOOP_DATA_DIR) is "):
            make()
