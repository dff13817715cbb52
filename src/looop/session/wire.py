"""The control socket: one JSON object a line in, one a line out, and frames while attached. Spec/workers.md §3.4.

Note [Private short path]
A socket's path may have about 100 bytes, whatever the data dir's is. So the socket is `/tmp/looop-<uid>/<mark>.sock`,
and no two sessions ever have the same; the directory must be a real one, ours alone. `meta.json` names the path.
A session without a socket runs all the same, and ends on SIGTERM.
"""

from __future__ import annotations

import os
import stat

from looop.session.light import dumps, loads

OUTPUT, EXIT, DETACHED = 1, 2, 3
INPUT, RESIZE = 1, 2
MAX_LINE = 1 << 20
MAX_BACKLOG = 1 << 20

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket


def socket_path(mark: str) -> str:
    """Where the socket of the session with that mark is. See Note [Private short path]."""
    return f"/tmp/looop-{os.getuid()}/{mark}.sock"


def make_private(directory: str) -> None:
    """Make the directory, or see that it is ours alone. Raises OSError."""
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        found = os.lstat(directory)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise PermissionError(1, "not a directory of ours alone", directory) from None


def frame(tag: int, body: bytes) -> bytes:
    """One frame: tag, length in network order, body."""
    return bytes((tag,)) + len(body).to_bytes(4, "big") + body


def take_frame(data: bytearray) -> tuple[int, bytes] | None:
    """The first whole frame of `data`, removed from it; None when there is none yet. Raises ValueError if too long."""
    if len(data) < 5:
        return None
    length = int.from_bytes(data[1:5], "big")
    if length > MAX_LINE:
        raise ValueError("a frame of more than 1 MiB")
    if len(data) < 5 + length:
        return None
    tag, body = data[0], bytes(data[5 : 5 + length])
    del data[: 5 + length]
    return tag, body


def take_request(data: bytearray) -> dict[str, object] | None:
    """The first whole request of `data`, removed from it; None when there is none yet. Raises ValueError."""
    line, newline, _ = data.partition(b"\n")
    if not newline:
        if len(data) > MAX_LINE:
            raise ValueError("a request of more than 1 MiB")
        return None
    del data[: len(line) + 1]
    request = loads(bytes(line))
    if isinstance(request, dict):
        return request
    raise ValueError("expected a JSON object")


def reply(data: object = None, error: str = "") -> bytes:
    """One line of answer."""
    said: dict[str, object] = {"ok": not error}
    said |= {"error": error} if error else {"data": data}
    return dumps(said).encode("ascii") + b"\n"


class Client:
    """One connection. `attached` clients get frames; one that may `write` also types."""

    def __init__(self, connection: socket) -> None:
        connection.setblocking(False)
        self.connection = connection
        self.fd = connection.fileno()
        self.heard, self.unsent = bytearray(), bytearray()
        self.attached = self.may_write = self.waits_for_end = self.leaving = False

    def hear(self) -> bool:
        """Take what has come; False once nobody is there any more."""
        try:
            data = self.connection.recv(65536)
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            return False
        self.heard += data
        return bool(data)

    def say(self, data: bytes) -> None:
        """Send what can be sent now, and keep the rest. Whoever reads too slowly is let go."""
        self.unsent += data
        try:
            while self.unsent:
                sent = self.connection.send(self.unsent)
                del self.unsent[:sent]
        except (BlockingIOError, InterruptedError):
            self.leaving = len(self.unsent) > MAX_BACKLOG
        except OSError:
            self.leaving = True
