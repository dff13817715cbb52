"""A scripted model endpoint on loopback: what agent CLIs and direct model calls talk to in tests.

    with Endpoint() as endpoint:
        base = endpoint.base("decide", "t1")     # http://127.0.0.1:PORT/s/decide@t1
        ...                                      # run something against base
        endpoint.seen("t1")                      # its requests, in order

It keeps no conversation: the step to play is the number of assistant turns in the request, so retries replay their
step and any number of clients may share one endpoint, each with a tag of its own. Served are Anthropic
`/v1/messages` and `count_tokens`, OpenAI `/v1/responses` and `/v1/chat/completions`, `/v1/models`; everything else
is answered with 404. Requests for a title of the conversation get one and are no step of the scenario.
"""

import json
import os
import re
import socket
import struct
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.agents.dialects import DIALECTS, Asked, Body, Dialect, Reply
from tests.agents.play import reply_to
from tests.agents.scenarios import DONE, SCENARIOS, Fault, Scenario, usage_of

_PATH = re.compile(r"/s/(?P<scenario>[\w.-]+)@(?P<tag>[\w.-]+)(?P<rest>/[^?]*)")
_HTML = b"<html><body><h1>502 Bad Gateway</h1></body></html>"
_GARBAGE = b"data: {this is not json\n\n\x00\x01 nor is this\n\n"


@dataclass(frozen=True)
class Seen:
    """One request, as it arrived. `step` is None where no step was asked for: lists of models, titles, lookups."""

    tag: str
    path: str
    raw: bytes
    step: int | None = None
    title: bool = False

    @property
    def size(self) -> int:
        """How many bytes the body has."""
        return len(self.raw)

    @property
    def body(self) -> Any:
        """The decoded body."""
        return json.loads(self.raw)


class Endpoint:
    """The endpoint, listening between `__enter__` and `__exit__`; leaving ends every connection and every thread."""

    def __init__(self, scenarios: Mapping[str, Scenario] | None = None) -> None:
        self.scenarios = {**SCENARIOS, **(scenarios or {})}
        self.stopping = threading.Event()
        self._seen: list[Seen] = []
        self._lock = threading.Lock()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="endpoint")

    def __enter__(self) -> "Endpoint":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def base(self, scenario: str, tag: str) -> str:
        """The address under which that scenario is played and its requests are logged; ends without a slash."""
        if scenario not in self.scenarios:
            raise KeyError(scenario)
        return f"http://127.0.0.1:{self.port}/s/{scenario}@{tag}"

    def seen(self, tag: str) -> list[Seen]:
        """The requests with that tag so far. A request is here before any byte of its answer is sent."""
        with self._lock:
            return [seen for seen in self._seen if seen.tag == tag]

    def record(self, seen: Seen) -> int:
        """Log a request and return how many steps its tag has asked for, this one included."""
        with self._lock:
            self._seen.append(seen)
            return sum(other.tag == seen.tag and other.step is not None for other in self._seen)


class _Server(ThreadingHTTPServer):
    """One thread per connection, all of them joined by `server_close`."""

    daemon_threads = False
    block_on_close = True
    request_queue_size = 128

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.endpoint = endpoint
        self._open: set[Any] = set()
        self._guard = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._guard:
            self._open.add(request)
        super().process_request(request, client_address)

    def close_request(self, request: Any) -> None:
        with self._guard:
            self._open.discard(request)
        super().close_request(request)

    def hang_up(self) -> None:
        """Wake every thread that reads from, or writes to, a client."""
        with self._guard:
            for connection in self._open:
                _shut(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is gone is no error; everything else would be one of the endpoint's own."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""

    def do_HEAD(self) -> None:
        self._head(200, "text/plain", 0)

    def do_GET(self) -> None:
        scenario, tag, path = self._where()
        self.server.endpoint.record(Seen(tag, path, b""))
        if scenario is not None and path.endswith("/v1/models"):
            models = [{"id": name, "type": "model", "object": "model"} for name in ("scripted-model", "scripted-small")]
            return self._json(200, {"object": "list", "data": models, "has_more": False})
        return self._json(404, {"error": {"message": "no such path", "type": "not_found_error"}})

    def do_POST(self) -> None:
        raw = self._read_body()
        scenario, tag, path = self._where()
        dialect = DIALECTS.get(path)
        if scenario is not None and dialect is not None:
            return self._step(scenario, tag, path, dialect, raw)
        self.server.endpoint.record(Seen(tag, path, raw))
        if scenario is not None and path == "/v1/messages/count_tokens":
            return self._json(200, {"input_tokens": len(raw) // 4})
        return self._json(404, {"error": {"message": "no such path", "type": "not_found_error"}})

    def _step(self, scenario: Scenario, tag: str, path: str, dialect: Dialect, raw: bytes) -> None:
        body = json.loads(raw)
        asked = dialect.read(body)
        step = None if asked.title else asked.turns
        ordinal = self.server.endpoint.record(Seen(tag, path, raw, step, asked.title))
        fault = None if asked.title else _due(scenario.fault, asked.turns, ordinal)
        reply = _reply(scenario, asked, body)
        if fault is None:
            self._answer(dialect, reply, streamed=bool(body.get("stream")))
        else:
            self._fail(fault, dialect, reply, streamed=bool(body.get("stream")))

    def _answer(self, dialect: Dialect, reply: Reply, *, streamed: bool) -> None:
        if not streamed:
            return self._json(200, dialect.whole(reply))
        self._head(200, "text/event-stream")
        self._chunk(_sse(dialect, reply))
        self._chunk(b"")
        return None

    def _fail(self, fault: Fault, dialect: Dialect, reply: Reply, *, streamed: bool) -> None:
        stream = "text/event-stream" if streamed else "application/json"
        match fault.kind:
            case "status":
                self._json(fault.status, dialect.error(fault.status), fault.headers)
            case "html":
                self._bytes(200, "text/html", _HTML)
            case "empty":
                self._bytes(200, stream, b"")
            case "garbage":
                self._bytes(200, stream, _GARBAGE)
            case "hang":
                self._hold()
            case "reset":
                self._reset()
            case "midstream_error" if not streamed:
                self._json(500, dialect.error(500))
            case "truncate" | "stall" | "midstream_error":
                self._break_off(fault.kind, dialect, reply, streamed=streamed)
            case _:
                raise ValueError(f"unknown fault {fault.kind}")

    def _break_off(self, kind: str, dialect: Dialect, reply: Reply, *, streamed: bool) -> None:
        """Send half of the answer, then an error, or nothing more with the connection open (stall) or closed."""
        if streamed:
            events = dialect.events(reply)
            self._head(200, "text/event-stream")
            self._chunk(b"".join(_frame(event) for event in events[: len(events) // 2]))
        else:
            whole = json.dumps(dialect.whole(reply)).encode()
            self._head(200, "application/json", len(whole))
            self.wfile.write(whole[: len(whole) // 2])
        if kind == "midstream_error":
            self._chunk(_frame(dialect.midstream_error()))
            self._chunk(b"")
        elif kind == "stall":
            self._hold()
        else:
            self.close_connection = True
            _shut(self.connection)

    def _hold(self) -> None:
        """Say nothing until the client is gone or the endpoint ends."""
        self.close_connection = True
        self.connection.settimeout(0.1)
        while not self.server.endpoint.stopping.is_set():
            try:
                if not self.connection.recv(1):
                    return
            except TimeoutError:
                continue

    def _reset(self) -> None:
        """Close with a reset, which a client sees as an error and not as an end."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())

    def _where(self) -> tuple[Scenario | None, str, str]:
        """The scenario (None when there is none of that name), the tag and the path behind them."""
        found = _PATH.match(self.path)
        if found is None:
            return None, "", self.path
        return self.server.endpoint.scenarios.get(found["scenario"]), found["tag"], found["rest"]

    def _read_body(self) -> bytes:
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _json(self, status: int, value: Body, headers: tuple[tuple[str, str], ...] = ()) -> None:
        self._bytes(status, "application/json", json.dumps(value).encode(), headers)

    def _bytes(self, status: int, kind: str, body: bytes, headers: tuple[tuple[str, str], ...] = ()) -> None:
        self._head(status, kind, len(body), headers)
        self.wfile.write(body)

    def _head(
        self, status: int, kind: str, length: int | None = None, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        self.send_response(status)
        size = ("transfer-encoding", "chunked") if length is None else ("content-length", str(length))
        for name, value in (("content-type", kind), size, *headers):
            self.send_header(name, value)
        self.end_headers()

    def _chunk(self, data: bytes) -> None:
        """One chunk of a streamed answer; an empty one is its end."""
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))


def _due(fault: Fault | None, turn: int, ordinal: int) -> Fault | None:
    """The fault, if it befalls this turn of this request."""
    if fault is None or turn < fault.turn or (fault.times is not None and ordinal > fault.times):
        return None
    return fault


def _reply(scenario: Scenario, asked: Asked, body: Body) -> Reply:
    step = scenario.steps[asked.turns] if asked.turns < len(scenario.steps) else DONE
    return reply_to(step, asked, step.get("usage") or usage_of(asked.turns), str(body.get("model", "")))


def _sse(dialect: Dialect, reply: Reply) -> bytes:
    return b"".join(_frame(event) for event in dialect.events(reply))


def _frame(event: tuple[str, Any]) -> bytes:
    name, data = event
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()


def _shut(connection: Any) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
