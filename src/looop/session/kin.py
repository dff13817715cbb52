"""Who a process is, and which others it has started, wherever they went.

Note [Identity]
A pid is given to somebody else sooner or later. A process is therefore known by its pid, the boot and the namespace of
pids it belongs to, and the tick at which it began; where the system does not say (no /proc), by its pid alone. A zombie
is dead. Of another namespace (a container, a sandbox) nobody here can tell: it is taken for alive, and never signalled.

Note [Marks]
Some programs give each command a group or session of its own. Every run carries a mark in its environment, which its
children inherit wherever they go; a run inside a run carries both marks. Whoever has cleared its environment, or hides
it, belongs to its parent, and to the session of a leader that is known to be ours; a variable without our mark says
that it belongs to somebody else. Where the system shows no environments, nothing is found.

Note [Adoption]
Whose parent ends is adopted by init, and is then nobody's any more if it has cleared its environment. Where the system
allows it (Linux), a supervisor adopts what its command leaves instead, so that nothing escapes it while it lives.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the C half of signal
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

MARK = "LOOOP_RUN_MARK"
_LOOKS, _DYING_S = 5, 0.5  # what was being forked while the others were killed, and what is still dying
_STATE, _PARENT, _SESSION, _BEGAN = 0, 1, 3, 19  # fields of /proc/PID/stat behind the name
_SET_CHILD_SUBREAPER = 36


def birth(pid: int) -> str:
    """When the process began, as one word that no other process with its pid ever has; empty when it cannot be told."""
    fields = _stat(str(pid))
    return f"{_boot()}-{_namespace()}-{fields[_BEGAN]}" if fields else ""


def is_alive(pid: int, born: str = "") -> bool:
    """Whether that very process runs, whoever owns it. See Note [Identity]."""
    boot, namespace, began = _parts(born)
    if _differ(boot, _boot()):
        return False
    if _differ(namespace, _namespace()):
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    fields = _stat(str(pid))
    if fields and fields[_STATE] == "Z":
        return False
    return not (began and fields) or began == fields[_BEGAN]


def signal_process(pid: int, born: str, number: int) -> bool:
    """Signal that very process; False when it cannot be told that it is the one. See Note [Identity]."""
    boot, namespace, began = _parts(born)
    if not began or _differ(boot, _boot()) or _differ(namespace, _namespace()):
        return False
    return _signal_it(str(pid), began, number)


def marked(env: Mapping[str, str], mark: str) -> dict[str, str]:
    """The environment for a run with this mark."""
    return {**env, MARK: f"{env.get(MARK, '')}:{mark}"}


def unmarked(env: Mapping[str, str]) -> dict[str, str]:
    """The environment for what outlives the run it is started from, and is no kin of it: a mark of nobody."""
    return {**env, MARK: ""}


def adopt() -> None:
    """From here on be the parent of every descendant whose own parent ends. See Note [Adoption]."""
    try:
        import _ctypes  # a hundredth of what ctypes costs

        libc: Any = _ctypes
        libc.call_function(libc.dlsym(libc.dlopen(None, 0), "prctl"), (_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
    except (ImportError, AttributeError, OSError):
        pass


def kill_kin(mark: str, leader: int = 0, born: str = "", parent: int = 0) -> int:
    """Kill every process that is of this run, and what those start meanwhile; says how many there were.

    They are gone when this returns, but for those that hang in the kernel, or fork faster than they are killed. Of the
    run is who carries its mark; and who has cleared its environment, if it is in the session of `leader` (when that is
    still the process that was `born` then), a child of `parent`, or a child of one of the run.
    """
    tried, killed = set[tuple[str, str]](), set[tuple[str, str]]()
    deadline, looks = time.monotonic() + _DYING_S, 0
    while looks < _LOOKS or time.monotonic() < deadline:
        looks += 1
        found = _Look(mark, leader if born and birth(leader) == born else 0, parent).kin()
        if not found - tried | found & killed:
            break
        killed |= {process for process in found - tried if _signal_it(*process, _signal.SIGKILL)}
        tried |= found
    return len(killed)


class _Look:
    """One look at all processes, and what they say about whose they are."""

    def __init__(self, mark: str, leader: int, parent: int) -> None:
        self._mark, self._leader, self._parent = mark, str(leader or ""), str(parent or "")
        self._table = {pid: fields for pid in _names() if (fields := _stat(pid)) and fields[_STATE] not in "ZX"}
        self._verdicts: dict[str, bool] = {}

    def kin(self) -> set[tuple[str, str]]:
        """All of this run, by pid and tick, but us and our ancestors: a loop may have been started from inside it."""
        spared = set(_line_of(str(os.getpid())))
        return {(pid, fields[_BEGAN]) for pid, fields in self._table.items() if pid not in spared and self._is_kin(pid)}

    def _is_kin(self, pid: str) -> bool:
        """Whether it is of this run; who does not say, is what its parent is. See Note [Marks]."""
        line: list[str] = []
        while pid in self._table and pid not in self._verdicts and pid not in line:
            line.append(pid)
            said = self._says(pid)
            if said is not None:
                self._verdicts[pid] = said
                break
            pid = self._table[pid][_PARENT]
        verdict = self._verdicts.get(pid, False)
        self._verdicts |= dict.fromkeys(line, verdict)
        return verdict

    def _says(self, pid: str) -> bool | None:
        fields = self._table[pid]
        try:
            marks = _marks(pid)
        except PermissionError:
            marks = None
        except OSError:
            return False
        if marks is not None:
            return bool(self._mark) and self._mark in marks
        return (fields[_PARENT] == self._parent or fields[_SESSION] == self._leader) or None


def _names() -> list[str]:
    try:
        return [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


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


def _parts(born: str) -> tuple[str, str, str]:
    boot, _, rest = born.partition("-")
    namespace, _, began = rest.partition("-")
    return boot, namespace, began


def _differ(one: str, other: str) -> bool:
    """Whether both are known, and not the same."""
    return bool(one and other) and one != other


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:
        return ""


def _signal_it(pid: str, began: str, number: int) -> bool:
    """Signal the process if it is still that one. The descriptor is had first, so that the pid cannot change hands."""
    fd = -1
    try:
        if hasattr(os, "pidfd_open"):
            fd = os.pidfd_open(int(pid))
        if _stat(pid)[_BEGAN] != began:
            return False
        if fd >= 0:
            _signal.pidfd_send_signal(fd, number)
        else:
            os.kill(int(pid), number)
        return True
    except (OSError, IndexError):
        return False
    finally:
        if fd >= 0:
            os.close(fd)


def _marks(pid: str) -> list[str] | None:
    """The marks the process carries, None when it says nothing about that. Raises OSError when it must not be asked."""
    with open(f"/proc/{pid}/environ", "rb") as file:
        environ = file.read()
    for part in environ.split(b"\0"):
        if part.startswith(f"{MARK}=".encode()):
            return part.decode("ascii", "replace").partition("=")[2].split(":")
    return None
