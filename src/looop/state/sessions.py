"""The sessions of this data dir, with their failures as errors of ours. Workers are all of them but the pulse.

What cannot be enumerated raises Unreadable: whoever guards something with the fleet stays closed then.
Source: spec/workers.md §4, edge cases 154-161.
"""

import os
from collections.abc import Mapping, Sequence

from looop.model.errors import Invalid, Missing, Refused, Unreadable, Unwritable
from looop.model.ids import is_id
from looop.model.workers import PULSE
from looop.session.fleet import Fleet, KillError, Session, SpawnError

__all__ = ["PULSE", "Session", "Sessions"]

_LEGACY = "looop-"


class Sessions:
    """The fleet of one data dir."""

    def __init__(self, root: str) -> None:
        self._fleet = Fleet(root)
        self._root = root

    def all(self) -> list[Session]:
        """Every session, the pulse's too, sorted by id. Raises Unreadable."""
        try:
            return self._fleet.sessions()
        except OSError as error:
            raise Unreadable(f"cannot enumerate the fleet: {_what(error, self._root)}") from None

    def workers(self) -> list[Session]:
        """Every session but the pulse. Raises Unreadable."""
        return [session for session in self.all() if session.id != PULSE]

    def living(self) -> dict[str, int]:
        """When each live session started, by id. Raises Unreadable."""
        return {session.id: session.started_at for session in self.all() if session.alive and session.started_at}

    def find(self, session_id: str) -> Session | None:
        """The session of exactly that id, else of the id without a legacy `looop-` in front. Raises Unreadable.

        Source: spec/workers.md §4, edge case 161.
        """
        known = {session.id: session for session in self.all()}
        return known.get(session_id) or known.get(session_id.removeprefix(_LEGACY))

    def require(self, session_id: str) -> Session:
        """As find. Raises Missing."""
        session = self.find(session_id)
        if session is None:
            hint = "`looop up` starts one" if session_id == PULSE else "`looop worker list --all` shows those there are"
            raise Missing(f"no session {session_id!r}: {hint}")
        return session

    def exact(self, session_id: str) -> Session | None:
        """The session of exactly that id. Raises Unreadable, also where its records tell nothing."""
        try:
            session = self._fleet.session(session_id)
        except OSError as error:
            raise Unreadable(f"cannot tell how session {session_id} stands: {_what(error, self._root)}") from None
        if session is None and self.is_there(session_id):
            raise Unreadable(f"cannot tell how session {session_id} stands: its records cannot be read")
        if session is None:
            self.all()
        return session

    def is_alive(self, session_id: str) -> bool:
        """Whether a session of exactly that id is alive. Raises as `exact`."""
        session = self.exact(session_id)
        return bool(session and session.alive)

    def is_there(self, session_id: str) -> bool:
        """Whether something has that id, be its records readable or not."""
        return self._fleet.is_taken(session_id)

    def start(
        self,
        session_id: str,
        command: Sequence[str],
        env: Mapping[str, str],
        *,
        max_log: int,
        size: tuple[int, int] = (80, 24),
    ) -> None:
        """Start a session and return once its command runs. Raises Refused.

        Whatever has the id is in the way, also a session that is over: reap that before.
        """
        try:
            self._fleet.start(session_id, command, env, max_log=max_log, size=size)
        except SpawnError as error:
            raise Refused(f"{error}{self._hint(session_id)}") from None

    def kill(self, session: Session) -> None:
        """End a live session and all its processes; that is on disk when this returns. Raises Refused."""
        try:
            self._fleet.kill(session)
        except KillError as error:
            raise Refused(str(error)) from None
        except OSError as error:
            raise Refused(f"session {session.id} cannot be ended: {error.strerror}") from None

    def sweep(self, session: Session) -> int | None:
        """End what an orphaned session has left; how many processes it was, None for no orphan. Raises Unwritable."""
        try:
            return self._fleet.sweep(session)
        except OSError as error:
            raise Unwritable(f"cannot write the records of session {session.id}: {error.strerror}") from None

    def reap(self, session_id: str) -> bool:
        """Remove a session that is over; False when it is not over, or not there. Raises Unwritable."""
        if not is_id(session_id):
            raise Invalid(f"invalid session id {session_id!r}")
        try:
            return self._fleet.reap(session_id)
        except OSError as error:
            raise Unwritable(f"cannot remove session {session_id}: {_what(error, self._root)}") from None

    def clean(self) -> None:
        """Remove what starts and removals that were cut short have left. Raises Unwritable."""
        try:
            self._fleet.clean()
        except OSError as error:
            raise Unwritable(f"cannot clean up sessions: {_what(error, self._root)}") from None

    def _hint(self, session_id: str) -> str:
        if self._fleet.is_taken(session_id) and not self.find(session_id):
            return f", and its records cannot be read: remove {os.path.join(self._root, 'sessions', session_id)}"
        return ""


def _what(error: OSError, root: str) -> str:
    return f"{error.filename or os.path.join(root, 'sessions')}: {error.strerror}"
