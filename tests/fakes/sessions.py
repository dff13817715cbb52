"""Real sessions for tests: started, waited for, looked at, and none left behind."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from looop.session import kin, wire
from looop.session.client import connect, converse
from looop.session.fleet import Fleet, Session
from looop.session.record import ENDS
from tests.fakes.waiting import until

ENV = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
SOURCE = os.path.dirname(os.path.dirname(sys.modules["looop"].__file__ or ""))


_open: list[socket.socket] = []


def connected(session: Session) -> socket.socket:
    """A connection to the session, closed when its test ends."""
    _open.append(connect(session.socket))
    _open[-1].settimeout(5)
    return _open[-1]


def line_from(connection: socket.socket) -> bytes:
    """One line of answer."""
    heard = b""
    while not heard.endswith(b"\n"):
        byte = connection.recv(1)
        assert byte, heard
        heard += byte
    return heard


@contextmanager
def no_one_left(root: Path) -> Iterator[Fleet]:
    """A fleet, whose sessions are ended at the end; fails when one has left a process or a socket."""
    fleet = Fleet(str(root))
    yield fleet
    while _open:
        _open.pop().close()
    if not os.path.isdir(root / "sessions"):
        return
    sessions = fleet.sessions()
    for session in sessions:
        if session.alive:
            with suppress(Exception):
                fleet.kill(session)
        if session.is_orphaned:
            fleet.sweep(session)
    for session in sessions:
        until(lambda session=session: not kin.is_alive(session.pid, session.born), what="the supervisor's end")  # type: ignore[misc]
        assert marked(session.mark) == []
        assert not os.path.exists(session.socket)


def left_in(fleet: Fleet) -> list[str]:
    """What is in the folder of all sessions, but for the file that says when one last ended."""
    return sorted(name for name in os.listdir(os.path.join(fleet._root, "sessions")) if name != ENDS)


def marked(mark: str) -> list[int]:
    """The processes that carry the mark and are no zombies."""
    return [int(pid) for pid, _ in kin._Look(mark, 0, 0).kin()]


def start(fleet: Fleet, name: str, script: str, **options: Any) -> Session:
    """A session that runs a shell script, as it is right after its start."""
    fleet.start(name, ["sh", "-c", script], options.pop("env", ENV), **options)
    return now(fleet, name)


def now(fleet: Fleet, name: str) -> Session:
    session = fleet.session(name)
    assert session is not None
    return session


def ended(fleet: Fleet, name: str, seconds: float = 10) -> Session:
    """The session, as soon as its state says that it is over."""
    until(lambda: now(fleet, name).state in ("exited", "killed"), seconds, f"the end of {name}")
    return now(fleet, name)


def log(session: Session) -> bytes:
    path = os.path.join(session.folder, "output.log")
    return Path(path).read_bytes() if os.path.exists(path) else b""


def shows(session: Session, text: bytes, seconds: float = 10) -> None:
    """Return once the session has printed that."""
    until(lambda: text in log(session), seconds, f"{text!r} in {session.id}")


class Attached:
    """A client that gets frames."""

    def __init__(self, session: Session, **request: object) -> None:
        self.connection = connected(session)
        self.said, rest = converse(self.connection, {"op": "attach", **request}, 5)
        self._heard = bytearray(rest)

    def frame(self) -> tuple[int, bytes] | None:
        """The next frame; None at the end."""
        while (found := wire.take_frame(self._heard)) is None:
            data = self.connection.recv(65536)
            if not data:
                return None
            self._heard += data
        return found

    def until_output(self, text: bytes) -> bytes:
        """What was printed until that came."""
        seen = b""
        while text not in seen:
            frame = self.frame()
            assert frame is not None, seen
            assert frame[0] == wire.OUTPUT, frame
            seen += frame[1]
        return seen

    def say(self, tag: int, body: bytes) -> None:
        self.connection.sendall(wire.frame(tag, body))

    def close(self) -> None:
        self.connection.close()
