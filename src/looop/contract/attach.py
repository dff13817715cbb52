"""Looking into a live session, and typing into it: frames over its control socket. Source: spec/workers.md §3.4."""

from typing import Literal

from msgspec import Struct

from looop.model.errors import Refused
from looop.model.workers import PULSE
from looop.session import wire
from looop.session.client import Unanswered, ask, connect, converse
from looop.session.fleet import Session
from looop.state.house import House

_ANSWER_S = 5.0
_CHUNK = 65536


class Seen(Struct, frozen=True):
    """What came: output, the end of the session (`code`, or the signal when `signaled`), or that we were let go.

    `lost`: nobody is there any more. Either we read so slowly that we were left behind, or the supervisor is gone.
    """

    kind: Literal["output", "end", "let-go", "lost"]
    data: bytes = b""
    code: int = 0
    signaled: bool = False


class Attachment:
    """One view of a session; it may type only if it was opened to write."""

    def __init__(self, session: Session, *, write: bool, size: tuple[int, int] | None) -> None:
        self._path, self._write = session.socket, write
        self._open({"cols": size[0], "rows": size[1]} if size else {})

    def fileno(self) -> int:
        """Readable when something has come."""
        return self._connection.fileno()

    def receive(self) -> list[Seen]:
        """Take what has come; blocks until something has."""
        try:
            data = self._connection.recv(_CHUNK)
        except OSError:
            data = b""
        self._heard += data
        seen = []
        while found := wire.take_frame(self._heard):
            seen.append(_seen(*found))
        return seen if data else [*seen, Seen("lost")]

    def renew(self) -> bool:
        """Look again after `lost`, at what is printed from now on; False when nobody is there."""
        self._connection.close()
        try:
            self._open({})
        except Unanswered:
            return False
        return True

    def type(self, data: bytes) -> None:
        """Type into the session; into one that is over, nothing. What `receive` returns says how it ended."""
        self._send(wire.frame(wire.INPUT, data))

    def resize(self, columns: int, rows: int) -> None:
        """Give its terminal our size, as `type` does."""
        self._send(wire.frame(wire.RESIZE, columns.to_bytes(2, "big") + rows.to_bytes(2, "big")))

    def close(self) -> None:
        """Look away; the session goes on."""
        self._connection.close()

    def _open(self, size: dict[str, int]) -> None:
        self._connection = connect(self._path)
        try:
            _, rest = converse(self._connection, {"op": "attach", "write": self._write, **size}, _ANSWER_S)
        except BaseException:
            self._connection.close()
            raise
        self._connection.settimeout(None)
        self._heard = bytearray(rest)

    def _send(self, data: bytes) -> None:
        try:
            self._connection.sendall(data)
        except OSError:
            return


def attach(house: House, session_id: str, *, write: bool, size: tuple[int, int] | None) -> Attachment:
    """Look into a live session. One that may write is journaled. Raises Missing, Refused, Unreadable."""
    session = _live(house, session_id, write=write)
    try:
        attachment = Attachment(session, write=write, size=size if write else None)
    except Unanswered as error:
        raise Refused(f"cannot attach to {session.id}: {error}") from None
    if write:
        house.note(f"attach --write {session.id}", house.setting.clock.now())
    return attachment


def send(house: House, session_id: str, text: str, *, enter: bool) -> str:
    """Type a text into a live session, as a person; returns the line that was journaled. Raises as attach."""
    session = _live(house, session_id, write=True)
    try:
        ask(session.socket, {"op": "send", "text": text, "newline": enter}, _ANSWER_S)
    except Unanswered as error:
        raise Refused(f"cannot send to {session.id}: {error}") from None
    line = f"sent to {session.id}"
    house.note(f"{line}: {text or 'Enter'}", house.setting.clock.now())
    return line


def _live(house: House, session_id: str, *, write: bool) -> Session:
    session = house.fleet.require(session_id)
    if write and session.id == PULSE:
        raise Refused(f"{PULSE!r} is the loop itself, which reads nothing: `looop down` ends it, `looop log` shows it")
    if not session.alive:
        raise Refused(f"session {session.id} has already finished: `looop log {session.id}` shows what it printed")
    return session


def _seen(tag: int, body: bytes) -> Seen:
    if tag == wire.OUTPUT:
        return Seen("output", body)
    if tag == wire.EXIT and len(body) == 5:
        return Seen("end", code=int.from_bytes(body[1:], "big", signed=True), signaled=bool(body[0]))
    return Seen("let-go")
