"""Finding what a run has started, wherever it went: some programs give each command a group of its own.

Every run carries a mark in its environment, which its children inherit whatever group or session they enter. A run
inside a run carries both marks. Where the system shows no environments (no /proc), nothing is found.
"""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import suppress

MARK = "LOOOP_RUN_MARK"
_ROUNDS = 3  # what was being forked while the others were killed


def marked(env: Mapping[str, str], mark: str) -> dict[str, str]:
    """The environment for a run with this mark."""
    return {**env, MARK: f"{env.get(MARK, '')}:{mark}"}


def kill_kin(mark: str) -> None:
    """Kill every process that carries the mark, and what those start meanwhile."""
    for _ in range(_ROUNDS):
        if not sum(_kill(name, mark) for name in _processes()):
            return


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
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                pid = file.read().rpartition(")")[2].split()[1]
        except (OSError, IndexError):
            return


def _kill(name: str, mark: str) -> bool:
    """Kill the process if it carries the mark. The descriptor is had first, so that the pid cannot change hands."""
    try:
        fd = os.pidfd_open(int(name))
    except OSError:
        return False
    try:
        with open(f"/proc/{name}/environ", "rb") as file:
            if not _carries(file.read(), mark):
                return False
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(fd, signal.SIGKILL)
        return True
    except OSError:
        return False
    finally:
        os.close(fd)


def _carries(environ: bytes, mark: str) -> bool:
    own = [part for part in environ.split(b"\0") if part.startswith(f"{MARK}=".encode())]
    return bool(mark) and any(mark.encode() in part.partition(b"=")[2].split(b":") for part in own)
