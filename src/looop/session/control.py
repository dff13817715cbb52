"""Serving a session's clients: requests, and frames for those that are attached. Source: spec/workers.md §3.4."""

from __future__ import annotations

import _socket
import os
import select
import time

from looop.session import wire
from looop.session.wire import Client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from looop.session.supervisor import Supervisor

_TAIL_BYTES = 1 << 17  # as JSON at most six times that, which must fit what a slow client may leave unread
_MOST_CLIENTS = 32


class Control:
    """The socket of one session, and who is connected to it."""

    def __init__(self, session: Supervisor, path: str) -> None:
        self._session, self._path = session, path
        self._listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        self._listens = False
        self._clients: dict[int, Client] = {}

    def open(self) -> dict[str, object]:
        """Begin to listen; what to say in the status when that cannot be."""
        try:
            wire.make_private(os.path.dirname(self._path))
            self._listener.bind(self._path)
            self._listener.listen(64)
        except OSError as error:
            return {"problem": f"no control socket: {error.strerror}"}
        self._listens = True
        self._listener.setblocking(False)
        self._session.watch(self._listener.fileno(), self._accept)
        return {}

    def close(self) -> None:
        """Take no more clients; the path is free for the next session of this id."""
        if self._listens:
            self._session.forget(self._listener.fileno())
            self._listener.close()
            try:
                os.unlink(self._path)
            except OSError:
                pass

    def show(self, data: bytes) -> None:
        """What the session printed, for everybody attached."""
        for client in tuple(self._clients.values()):
            if client.attached:
                self._say(client, wire.frame(wire.OUTPUT, data))

    def tell_end(self, end: dict[str, object], signal: object) -> None:
        """The session is over, and that is on disk."""
        number = signal if isinstance(signal, int) else 0
        code, ended_itself = end["exit_code"], isinstance(end["exit_code"], int)
        body = bytes((not ended_itself,)) + (code if isinstance(code, int) else number).to_bytes(4, "big", signed=True)
        for client in self._clients.values():
            if client.attached:
                client.say(wire.frame(wire.EXIT, body))
            elif client.waits_for_end:
                client.say(wire.reply(end))

    def say_farewell(self, seconds: float) -> None:
        """Let the clients read what is left for them."""
        deadline = time.monotonic() + seconds
        left = [client for client in self._clients.values() if client.unsent]
        poll = select.poll()
        for client in left:
            poll.register(client.fd, select.POLLOUT)
        while left and time.monotonic() < deadline:
            poll.poll(100)
            for client in left:
                client.say(b"")
            left = [client for client in left if client.unsent and not client.leaving]

    def _accept(self, _: int) -> None:
        try:
            fd, _address = self._listener._accept()  # type: ignore[attr-defined]  # what socket.accept is made of
        except OSError:
            return
        client = Client(_socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, fd))
        if len(self._clients) >= _MOST_CLIENTS:
            client.say(wire.reply(error="too many clients"))
            client.connection.close()
            return
        self._clients[client.fd] = client
        self._session.watch(client.fd, lambda events: self._serve(client, events))

    def _serve(self, client: Client, events: int) -> None:
        if events & select.POLLOUT:
            self._say(client, b"")
        if events & ~select.POLLOUT:
            present = client.hear()
            try:
                self._obey(client)
            except ValueError as error:
                client.say(wire.reply(error=f"not a request: {error}"))
                present = False
            if not present:
                self._let_go(client)

    def _obey(self, client: Client) -> None:
        while client.fd in self._clients:
            if client.attached:
                found = wire.take_frame(client.heard)
                if found is None:
                    return
                self._take_frame(client, *found)
            else:
                request = wire.take_request(client.heard)
                if request is None:
                    return
                self._answer(client, request)

    def _answer(self, client: Client, request: dict[str, object]) -> None:
        operation = _OPERATIONS.get(str(request.get("op")))
        if operation is None:
            self._say(client, wire.reply(error=f"unknown op: expected one of {', '.join(_OPERATIONS)}"))
            return
        said = operation(self, client, request)
        if said is not None:
            self._say(client, said)

    def _status(self, _: Client, request: dict[str, object]) -> bytes:
        return wire.reply(self._session.status())

    def _log(self, _: Client, request: dict[str, object]) -> bytes:
        """The end of what was printed, as it was printed."""
        lines = request.get("tail")
        text = self._session.transcript.tail(_TAIL_BYTES).decode("utf-8", "replace")
        if isinstance(lines, int) and lines >= 0:
            text = "\n".join(text.split("\n")[-lines - 1 :]) if lines else ""
        return wire.reply({"text": text, "raw": True})

    def _send(self, _: Client, request: dict[str, object]) -> bytes:
        text = request.get("text")
        if not isinstance(text, str):
            return wire.reply(error="send: expected a text")
        offset = self._session.transcript.total
        if not self._session.terminal.type(text.encode("utf-8", "replace"), enter=request.get("newline") is not False):
            return wire.reply(error="send: the command does not read what was typed before")
        return wire.reply({"sent": len(text), "offset": offset})

    def _resize(self, _: Client, request: dict[str, object]) -> bytes:
        size = _size_in(request)
        if size is None:
            return wire.reply(error="resize: expected cols and rows from 1 to 999")
        self._session.resize(size)
        return wire.reply({"size": list(size)})

    def _kill(self, client: Client, request: dict[str, object]) -> None:
        client.waits_for_end = True
        self._session.kill()

    def _attach(self, client: Client, request: dict[str, object]) -> bytes:
        """From here on frames. Only a client that asked to `write` may type or change the size."""
        client.attached, client.may_write = True, request.get("write") is True
        size = _size_in(request)
        if client.may_write and size:
            self._session.resize(size)
        return wire.reply({"offset": self._session.transcript.total, "write": client.may_write})

    def _detach(self, _: Client, request: dict[str, object]) -> bytes:
        attached = [client for client in self._clients.values() if client.attached]
        for client in attached:
            client.say(wire.frame(wire.DETACHED, b""))
            self._let_go(client)
        return wire.reply({"detached": len(attached)})

    def _take_frame(self, client: Client, tag: int, body: bytes) -> None:
        if tag == wire.INPUT and client.may_write:
            self._session.terminal.type(body)
        elif tag == wire.RESIZE and client.may_write and len(body) == 4:
            size = int.from_bytes(body[:2], "big"), int.from_bytes(body[2:], "big")
            if min(size) > 0 and max(size) < 1000:
                self._session.resize(size)

    def _say(self, client: Client, data: bytes) -> None:
        client.say(data)
        if client.leaving:
            self._let_go(client)
        else:
            events = select.POLLIN | (select.POLLOUT if client.unsent else 0)
            self._session.watch(client.fd, lambda events: self._serve(client, events), events)

    def _let_go(self, client: Client) -> None:
        if self._clients.pop(client.fd, None):
            self._session.forget(client.fd)
            client.connection.close()


def _size_in(request: dict[str, object]) -> tuple[int, int] | None:
    cols, rows = request.get("cols"), request.get("rows")
    if type(cols) is int and type(rows) is int and 0 < cols < 1000 and 0 < rows < 1000:
        return cols, rows
    return None


_OPERATIONS = {
    "status": Control._status,
    "log": Control._log,
    "send": Control._send,
    "resize": Control._resize,
    "kill": Control._kill,
    "attach": Control._attach,
    "detach": Control._detach,
}
