"""The files that start the pulse with the machine: a systemd user unit, a launchd agent, a crontab line. Text only.

Note [Stopping the pulse spares the workers]
systemd ends all processes of a unit's cgroup when the unit stops, and workers, started by the pulse, are in it; so
`KillMode=process`. It also stops the unit when any process in it runs out of memory; so `OOMPolicy=continue`. launchd
ends the process group of a job; so `AbandonProcessGroup`. What a pulse must take along, it takes along by itself.

Note [Quoting]
In a unit a word is quoted, with `\\`, `"` and `%` escaped; `$` means something in arguments only. systemd refuses a
program whose path holds quotes or backslashes; then a shell starts it. In a crontab a `%` is a line end.
Source: systemd.service(5), systemd.syntax(7), crontab(5).
"""

import plistlib
from collections.abc import Mapping
from shlex import quote

from looop.model.errors import Invalid

_UNIT = """\
# Written by `looop service install`. Settings of your own: `systemctl --user edit {name}`.
# Without lingering (`loginctl enable-linger`) it starts when you log in, and ends when you log out.
[Unit]
Description=looop, an autonomous control loop ({about})
Documentation={manual}
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart={start}
{environment}
Restart=on-failure
RestartSec=10
TimeoutStopSec=20
# Workers are sessions of their own, started by the pulse, and outlive it: stopping the pulse must not end them.
KillMode=process
# Nor is a worker that runs out of memory a reason to stop the pulse.
OOMPolicy=continue

[Install]
WantedBy=default.target
"""
_UNSAFE_PROGRAM = frozenset("\"'\\")


def unit_text(name: str, program: str, env: Mapping[str, str], manual: str) -> str:
    """A systemd user unit that runs `program pulse`. Raises Invalid. `manual` is the URL of a file.

    See Note [Stopping the pulse spares the workers], Note [Quoting].
    """
    _check(program, env)
    start = f"{_quoted(program)} pulse"
    if _UNSAFE_PROGRAM & set(program):
        start = f"/bin/sh -c 'exec \"$$0\" pulse' {_quoted(program).replace('$', '$$')}"
    return _UNIT.format(
        name=name,
        about=_escaped(env["LOOOP_DATA_DIR"]),
        manual=_escaped(manual),
        start=start,
        environment="\n".join(f"Environment={_quoted(f'{key}={value}')}" for key, value in env.items()),
    )


def plist_text(label: str, program: str, env: Mapping[str, str], log: str) -> str:
    """A launchd agent that runs `program pulse`; what that prints goes to the file `log`. Raises Invalid."""
    _check(program, env)
    job = {
        "Label": label,
        "ProgramArguments": [program, "pulse"],
        "EnvironmentVariables": dict(env),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 10,
        "AbandonProcessGroup": True,
        "StandardOutPath": log,
        "StandardErrorPath": log,
    }
    return plistlib.dumps(job, sort_keys=False).decode()


def crontab_line(program: str, env: Mapping[str, str]) -> str:
    """The line for `crontab -e` that starts the pulse with the machine; a login shell sets PATH. Raises Invalid."""
    _check(program, env)
    settings = "".join(f"{key}={quote(value)} " for key, value in env.items() if key != "PATH")
    line = f"@reboot {settings}bash -lc 'exec \"$0\" pulse' {quote(program)} >/dev/null 2>&1"
    return line.replace("%", "\\%")


def _check(program: str, env: Mapping[str, str]) -> None:
    for name, value in {"the program": program, **env}.items():
        if any(ch < " " or "\x7f" <= ch < "\xa0" or "\ud800" <= ch <= "\udfff" for ch in value):
            raise Invalid(f"{name} is {value!r}: expected no control characters and valid UTF-8 in what a service gets")


def _quoted(word: str) -> str:
    escaped = _escaped(word.replace("\\", "\\\\").replace('"', '\\"'))
    return f'"{escaped}"'


def _escaped(text: str) -> str:
    return text.replace("%", "%%")
