"""Taking signed replies over HTTP: `POST /answer`. The standard library's server, bounded in every direction.

Note [Slow clients]
A connection has five seconds in all, however it drips, and there are at most 32. Those that come while all are taken,
or no descriptor is left, wait in the kernel's queue; without a thread left they are let go. Nothing wakes while nobody
calls. Of a body that is too large some is read all the same: unread bytes would cost the sender our answer.
"""

import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_address
from threading import Thread
from time import monotonic
from typing import Any, cast

from looop.contract.local import Local
from looop.contract.notices import Wishes
from looop.contract.notifier import Notifier
from looop.contract.replies import SIGNATURE, Replies, Said
from looop.contract.verbs import Stop
from looop.model.errors import Invalid, Refused, Unwritable

Talk = Callable[[str], object]
PATH = "/answer"
MOST_BYTES = 65536
_MOST_CONNECTIONS, _PATIENCE_S, _SCARCE_S, _DRAINED = 32, 5.0, 0.1, 4 << 20


@contextmanager
def listening(notifier: Notifier, local: Local, wishes: Wishes, stop: Stop, talk: Talk) -> Iterator[None]:
    """Take replies in a thread while this lasts. Raises Invalid, Refused, Unwritable for an address that cannot be."""
    server = Server(_bound(wishes.listen, allow_remote=wishes.allow_remote), notifier.replies(local), stop)
    notifier.reply_url = f"http://{server.address}{PATH}"
    talk(f"replies are taken at {notifier.reply_url}")
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.close()


class Server:
    """Accepts connections and hands each to a thread of its own. See Note [Slow clients]."""

    def __init__(self, listener: socket.socket, replies: Replies, stop: Stop) -> None:
        self.replies = replies
        self._listener, self._stop = listener, stop
        self._live: dict[socket.socket, float] = {}

    @property
    def address(self) -> str:
        """`HOST:PORT` as it stands in a URL."""
        host, port = self._listener.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def run(self) -> None:
        """Accept until asked to stop."""
        while not self._stop.requested():
            full = len(self._live) >= _MOST_CONNECTIONS
            awaited = [self._stop.fileno(), *([] if full else [self._listener.fileno()])]
            try:
                readable = select.select(awaited, [], [], self._time_left())[0]
                if self._listener.fileno() in readable:
                    self._accept()
            except (OSError, ValueError):
                return
            self._cut_off()

    def close(self) -> None:
        """Accept no more, and let go of who is there."""
        self._listener.close()
        for connection in tuple(self._live):
            _shut(connection)

    def _accept(self) -> None:
        try:
            connection, address = self._listener.accept()
        except OSError:
            select.select([self._stop.fileno()], [], [], _SCARCE_S)
            return
        connection.settimeout(_PATIENCE_S)
        self._live[connection] = monotonic() + _PATIENCE_S
        try:
            Thread(target=self._serve, args=(connection, address), daemon=True).start()
        except RuntimeError:
            self._let_go(connection)

    def _serve(self, connection: socket.socket, address: Any) -> None:
        try:
            with suppress(OSError, ValueError):
                Handler(connection, address, cast(Any, self))
        finally:
            self._let_go(connection)

    def _let_go(self, connection: socket.socket) -> None:
        self._live.pop(connection, None)
        _shut(connection)
        connection.close()

    def _time_left(self) -> float | None:
        """Seconds until somebody has to be cut off; where all places are taken, one is looked for soon."""
        ends = list(self._live.values())
        if not ends:
            return None
        left = max(min(ends) - monotonic(), 0.0)
        return min(left, _SCARCE_S) if len(ends) >= _MOST_CONNECTIONS else left

    def _cut_off(self) -> None:
        now = monotonic()
        for connection, ends in tuple(self._live.items()):
            if ends <= now:
                self._live[connection] = now + _PATIENCE_S
                _shut(connection)


class Handler(BaseHTTPRequestHandler):
    """One request, one line of JSON."""

    server: Any
    server_version, sys_version = "looop", ""

    def do_POST(self) -> None:
        size = self.headers.get("Content-Length", "")
        if not (size.isascii() and size.isdigit() and len(size) < 12):
            self._say(Said(400, "expected a body and its Content-Length"))
        elif int(size) > MOST_BYTES:
            self._drain(min(int(size), _DRAINED))
            self._say(Said(413, f"the body is over {MOST_BYTES} bytes"))
        else:
            body = self.rfile.read(int(size))
            if self.path != PATH:
                self._say(Said(404, f"expected POST {PATH}"))
            elif len(body) == int(size):
                self._say(self.server.replies.take(self.headers.get(SIGNATURE, ""), body))

    def send_error(self, code: int, message: str | None = None, _: str | None = None) -> None:
        """What the server itself refuses, in the same shape. 501 is a method that is not POST."""
        self._say(Said(405, f"expected POST {PATH}") if code == 501 else Said(code, message or "not understood"))

    def log_message(self, format: str, *args: Any) -> None:
        """Whoever calls is not put on record here; an answer is, by the contract."""

    def _drain(self, size: int) -> None:
        while size > 0 and (chunk := self.rfile.read(min(size, MOST_BYTES))):
            size -= len(chunk)

    def _say(self, said: Said) -> None:
        self.send_response(said.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said.line)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(said.line)


def _bound(where: str, *, allow_remote: bool) -> socket.socket:
    """A listening socket at `[HOST:]PORT`."""
    host, _, port = where.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise Invalid(f"--listen {where!r} is no address: expected [HOST:]PORT")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
        if not (allow_remote or ip_address(str(address[0]).partition("%")[0]).is_loopback):
            raise Refused(f"--listen {where} can be reached from elsewhere: --allow-remote, if that is meant")
        listener = socket.socket(family, kind)
    except OSError as error:
        raise Invalid(f"--listen {where!r} is no address of this machine: {error.strerror or error}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(64)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise Unwritable(f"cannot listen at {where}: {error.strerror or error}") from None
    return listener


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
