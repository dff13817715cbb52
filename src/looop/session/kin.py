"""Who a process is, and which others it has started, wherever they went.

Note [Identity]
A pid is given to somebody else sooner or later. A process is therefore known by its pid, the boot it belongs to, and
the tick at which it began; where the system does not say (no /proc), by its pid alone. A zombie is dead.

Note [Marks]
Some programs give each command a group or session of its own. Every run carries a mark in its environment, which its
children inherit wherever they go; a run inside a run carries both marks. Where the system shows no environments,
nothing is found.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MARK = "LOOOP_RUN_MARK"
_ROUNDS = 5  # what was being forked while the others were killed
_STATE, _PARENT, _BEGAN = 0, 1, 19  # fields of /proc/PID/stat behind the name


def birth(pid: int) -> str:
    """When the process began, as one word that no other process with its pid ever has; empty when it cannot be told."""
    fields = _stat(str(pid))
    return f"{_boot()}-{fields[_BEGAN]}" if fields else ""


def is_alive(pid: int, born: str = "") -> bool:
    """Whether that very process runs, whoever owns it. See Note [Identity]."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    fields = _stat(str(pid))
    if fields and fields[_STATE] == "Z":
        return False
    return not (born and fields) or born == f"{_boot()}-{fields[_BEGAN]}"


def marked(env: Mapping[str, str], mark: str) -> dict[str, str]:
    """The environment for a run with this mark."""
    return {**env, MARK: f"{env.get(MARK, '')}:{mark}"}


def unmarked(env: Mapping[str, str]) -> dict[str, str]:
    """The environment for what outlives the run it is started from."""
    return {key: value for key, value in env.items() if key != MARK}


def kill_kin(mark: str) -> int:
    """Kill every process that carries the mark, and what those start meanwhile; says how many there were."""
    killed = 0
    for _ in range(_ROUNDS):
        found = sum(_kill(name, mark) for name in _processes())
        if not found:
            break
        killed += found
    return killed


def _processes() -> list[str]:
    """All but us and our ancestors: a loop that was started from inside a run carries that run's mark itself."""
    try:
        names = [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []
    spared = set(_line_of(str(os.getpid())))
    return [name for name in names if name not in spared]


def _line_of(pid: str) -> Iterator[str]:
    """The process and its ancestors."""
    while pid not in ("", "0"):
        yield pid
        fields = _stat(pid)
        pid = fields[_PARENT] if fields else ""


def _stat(pid: str) -> list[str]:
    """The fields behind the process's name, none when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb", 0) as file:
            return file.read(4096).rpartition(b")")[2].decode("ascii", "replace").split()
    except OSError:
        return []


def _boot() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb", 0) as file:
            return file.read(8).decode("ascii", "replace")
    except OSError:
        return ""


def _kill(name: str, mark: str) -> bool:
    """Kill the process if it carries the mark. The descriptor is had first, so that the pid cannot change hands."""
    from signal import SIGKILL, pidfd_send_signal

    try:
        fd = os.pidfd_open(int(name))
    except OSError:
        return False
    try:
        with open(f"/proc/{name}/environ", "rb") as file:
            if not _carries(file.read(), mark):
                return False
        pidfd_send_signal(fd, SIGKILL)
        return True
    except OSError:
        return False
    finally:
        os.close(fd)


def _carries(environ: bytes, mark: str) -> bool:
    own = [part for part in environ.split(b"\0") if part.startswith(f"{MARK}=".encode())]
    return bool(mark) and any(mark.encode() in part.partition(b"=")[2].split(b":") for part in own)
