"""The fleet: every session of a data dir, as it stands on disk and as its processes stand. No subprocess, no polling.

A session is alive when its state says so AND its supervisor lives: a machine that was switched off leaves `running` on
disk. What cannot be told is an error here, never an empty list. Source: spec/workers.md §3.3, §3.5, §4, §7.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from datetime import UTC, datetime
from signal import SIGCONT, SIGKILL, SIGTERM

from looop.session.client import Unanswered, ask
from looop.session.kin import is_alive, kill_kin, signal_process
from looop.session.options import is_name
from looop.session.record import (
    ENDED,
    KILLED,
    LOG,
    META,
    STARTING,
    STATUS,
    Folder,
    is_left_over,
    read_record,
    remove,
    settle,
    stamp,
    temporary,
)
from looop.session.spawn import SpawnError, spawn
from looop.session.wire import socket_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Fleet", "KillError", "Session", "SpawnError", "Unanswered"]

_DIED = "its supervisor died, so nobody knows how it ended"
_KILL_S = 5.0
_LOOK_S = 0.02
_NO_RECORD = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.EAGAIN)


class KillError(Exception):
    """The session was not ended; the text says why."""


class Session:
    """One session at one moment. Times are UTC seconds; None is what nobody knows.

    `state` is what its records say: starting, running, exited, killed; `alive` whether its supervisor is there, too.
    `problem` is what went wrong around it, `error` why its command could not be started.
    """

    def __init__(self, folder: str, meta: dict[str, object], status: dict[str, object]) -> None:
        self.folder, self.id = folder, os.path.basename(folder)
        self.state = str(status.get("state", STARTING))
        self.exit_code = _number(status.get("exit_code"))
        self.signal = _number(status.get("signal"))
        self.child_pid, self.child_born = _number(status.get("child_pid")), str(status.get("child_born", ""))
        self.error, self.problem = str(status.get("error", "")), str(status.get("problem", ""))
        self.pid, self.born = _number(meta.get("babysit_pid")) or 0, str(meta.get("owner", ""))
        self.command = [str(word) for word in words] if isinstance(words := meta.get("cmd"), list) else []
        self.mark, self.socket = str(meta.get("mark", "")), str(meta.get("socket", ""))
        self.size = _size(meta.get("size"))
        self.started_at = _time(meta.get("started_at"))
        self.last_change = _time(status.get("last_change"))
        self.alive = self.state not in ENDED and self.pid > 0 and is_alive(self.pid, self.born)

    @property
    def is_orphaned(self) -> bool:
        """Whether its supervisor died before it could say how the command ended."""
        return not self.alive and self.state not in ENDED

    @property
    def changed_at(self) -> int | None:
        """When its folder last changed."""
        try:
            return int(os.stat(self.folder).st_mtime)
        except OSError:
            return None

    @property
    def output_at(self) -> int | None:
        """When it last printed something."""
        try:
            return int(os.stat(os.path.join(self.folder, LOG)).st_mtime)
        except OSError:
            return None


class Fleet:
    """The sessions under `root`/sessions."""

    def __init__(self, root: str) -> None:
        self._root, self._folder = root, os.path.join(root, "sessions")

    def sessions(self) -> list[Session]:
        """Every session, sorted by id. Raises OSError.

        A folder that has no record of a session, or one nobody may read, is left out.
        """
        try:
            names = os.listdir(self._folder)
        except FileNotFoundError:
            return []
        found = [self.session(name) for name in sorted(names)]
        return [session for session in found if session]

    def session(self, session_id: str) -> Session | None:
        """One session, None when there is none or its record is none. Raises OSError.

        A supervisor that ends while we look has written its last status before: an orphan is looked at twice.
        """
        folder = os.path.join(self._folder, session_id)
        meta = _record(os.path.join(folder, META)) if is_name(session_id) else None
        if meta is None:
            return None
        status = os.path.join(folder, STATUS)
        found = Session(folder, meta, _record(status) or {})
        return Session(folder, meta, _record(status) or {}) if found.is_orphaned else found

    def is_taken(self, session_id: str) -> bool:
        """Whether something has that id, be it readable or not."""
        return is_name(session_id) and os.path.lexists(os.path.join(self._folder, session_id))

    def start(
        self,
        session_id: str,
        command: Sequence[str],
        env: Mapping[str, str],
        *,
        size: tuple[int, int] = (80, 24),
        max_log: int = 0,
    ) -> None:
        """Start a session, detached, and return once its command runs. Raises SpawnError."""
        spawn(self._root, session_id, command, env, size=size, max_log=max_log)

    def kill(self, session: Session) -> dict[str, object]:
        """End a live session with all its processes; its last state is on disk when this returns. Raises KillError."""
        if not session.alive:
            raise KillError(f"session {session.id} has already finished ({session.state})")
        try:
            return ask(session.socket, {"op": "kill"}, _KILL_S)
        except Unanswered:
            return self._kill_by_signal(session)

    def sweep(self, session: Session) -> int | None:
        """End what an orphaned session has left, and say so in its records; the number of processes that were left.

        None, and nothing is written, when it is no orphan or no longer there. Raises OSError.
        """
        if not session.is_orphaned:
            return None
        left = self._bury(session)
        try:
            folder = Folder(session.folder)
        except FileNotFoundError:
            return None
        try:
            now = self._in(folder)
            if now is None or now.mark != session.mark or not now.is_orphaned:
                return None
            folder.write_status(
                {
                    "state": KILLED,
                    "child_pid": session.child_pid,
                    "child_born": session.child_born,
                    "exit_code": None,
                    "problem": _DIED,
                    "last_change": stamp(time.time()),
                }
            )
        finally:
            folder.close()
        return left

    def reap(self, session_id: str) -> bool:
        """Remove a session that is over, with its transcript; False when it is not over, or not there.

        Of two that remove the same session one does; what is started under its id meanwhile is left alone. Raises
        OSError.
        """
        grave = os.path.join(self._folder, temporary())
        try:
            lock = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            session = self.session(session_id)
            if session is None or session.alive:
                return False
            self._bury(session)
            os.rename(session.folder, grave)
            settle(self._folder)
        finally:
            os.close(lock)
        remove(grave)
        return True

    def clean(self) -> None:
        """Remove what starts and removals that were cut short have left. Raises OSError."""
        try:
            names = os.listdir(self._folder)
        except FileNotFoundError:
            return
        for name in filter(is_left_over, names):
            remove(os.path.join(self._folder, name))

    def _bury(self, session: Session) -> int:
        """End what a session that is over has left: processes, and a socket where nobody listens."""
        left = kill_kin(session.mark, session.child_pid or 0, session.child_born)
        try:
            if session.mark and session.socket == socket_path(session.mark):
                os.unlink(session.socket)
        except OSError:
            pass
        return left

    def _in(self, folder: Folder) -> Session | None:
        meta = _record(META, folder.fd)
        return Session(folder.path, meta, _record(STATUS, folder.fd) or {}) if meta else None

    def _kill_by_signal(self, session: Session) -> dict[str, object]:
        """Where the socket is gone, ask with a signal; where the supervisor does not hear that, end it, too.

        Nobody is signalled who may be somebody else.
        """
        for number in (SIGTERM, SIGKILL):
            if not signal_process(session.pid, session.born, number) and is_alive(session.pid, session.born):
                raise KillError(
                    f"session {session.id}: nobody can tell whether process {session.pid} is its supervisor: end that "
                    "yourself if it is, then `looop prune`"
                )
            signal_process(session.pid, session.born, SIGCONT)
            deadline = time.monotonic() + _KILL_S
            while time.monotonic() < deadline:
                now = self.session(session.id)
                if now is None or not now.alive:
                    return self._ended(now or session)
                time.sleep(_LOOK_S)
        raise KillError(f"session {session.id}: its supervisor {session.pid} does not end")

    def _ended(self, session: Session) -> dict[str, object]:
        if session.is_orphaned:
            self.sweep(session)
        state = session.state if session.state in ENDED else KILLED
        return {
            "killed": state == KILLED,
            "confirmed": True,
            "escalated": True,
            "state": state,
            "exit_code": session.exit_code,
        }


def _record(path: str, folder: int | None = None) -> dict[str, object] | None:
    """The record, None for what is none or must not be read. Raises OSError where a machine in need says nothing."""
    try:
        return read_record(path, folder)
    except ValueError:
        return None
    except OSError as error:
        if error.errno in _NO_RECORD:
            return None
        raise


def _number(value: object) -> int | None:
    return value if type(value) is int else None


def _size(value: object) -> tuple[int, int]:
    if isinstance(value, list) and len(value) == 2 and all(type(part) is int and 0 < part < 1000 for part in value):
        return value[0], value[1]
    return 80, 24


def _time(value: object) -> int | None:
    """Seconds of an RFC 3339 time."""
    try:
        when = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())
