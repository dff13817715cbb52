"""Talking to a session's supervisor over its control socket."""

from __future__ import annotations

import time

from looop.session.light import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

CONNECT_S = 1.0
_CROWDED_S = 0.02


class Unanswered(Exception):
    """Nobody answers at the socket, or not in time."""


def connect(path: str) -> socket.socket:
    """A connection to the supervisor at `path`. Raises Unanswered."""
    import socket  # costs 2 ms, and whoever lists sessions talks to none

    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(CONNECT_S)
    deadline = time.monotonic() + CONNECT_S
    while True:
        try:
            connection.connect(path)
            return connection
        except OSError as error:
            if not isinstance(error, BlockingIOError) or time.monotonic() > deadline:
                connection.close()
                raise Unanswered(f"no supervisor listens at {path or 'a socket'}: {error.strerror or error}") from None
        time.sleep(_CROWDED_S)


def ask(path: str, request: dict[str, object], timeout_s: float) -> dict[str, object]:
    """The data of the answer to one request. Raises Unanswered; what the supervisor refuses is Unanswered, too."""
    with connect(path) as connection:
        return converse(connection, request, timeout_s)[0]


def converse(
    connection: socket.socket, request: dict[str, object], timeout_s: float
) -> tuple[dict[str, object], bytes]:
    """As `ask`, on an open connection, with what came behind the answer."""
    import socket

    no_signal = getattr(socket, "MSG_NOSIGNAL", 0)  # who asks must not die because a supervisor just did
    connection.settimeout(timeout_s)
    try:
        connection.sendall(dumps(request).encode("ascii") + b"\n", no_signal)
        heard = b""
        while b"\n" not in heard:
            chunk = connection.recv(65536)
            if not chunk:
                raise Unanswered("the supervisor ended before it answered")
            heard += chunk
        line, _, rest = heard.partition(b"\n")
        said = loads(line)
    except (OSError, ValueError) as error:
        raise Unanswered(f"the supervisor did not answer within {timeout_s:g} s: {error}") from None
    if not isinstance(said, dict) or not said.get("ok"):
        raise Unanswered(str(said.get("error", "")) if isinstance(said, dict) else "not an answer")
    data = said.get("data")
    return (data if isinstance(data, dict) else {}), rest
