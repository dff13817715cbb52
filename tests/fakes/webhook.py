"""A service that takes pushes, on loopback: it keeps what came, and answers as it is told to."""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[int], int | None]


class Webhook:
    """`posts` are the decoded bodies in the order they came, `raw` with path and headers, `at` when (monotonic).

    `answers` gets the number of the post and returns an HTTP status, or None: then nobody answers until `close`.
    """

    def __init__(self, answers: Answer = lambda _: 200) -> None:
        self.posts: list[Any] = []
        self.raw: list[tuple[str, dict[str, str], bytes]] = []
        self.at: list[float] = []
        self.closed = threading.Event()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.at.append(time.monotonic())
                hook.raw.append((self.path, dict(self.headers), body))
                hook.posts.append(json.loads(body))
                status = answers(len(hook.posts))
                if status is None:
                    hook.closed.wait(30)
                    return
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.port = self._server.server_address[1]

    @property
    def own(self) -> str:
        """As a target of our own kind."""
        return f"looop+http://127.0.0.1:{self.port}/hook"

    @property
    def apprise(self) -> str:
        """As a target of the notification library, with secrets in it."""
        return f"json://someone:s3cretpass@127.0.0.1:{self.port}/t0kenpath"

    @property
    def asks(self) -> list[list[str]]:
        """The ids of each push of our own kind."""
        return [[ask["id"] for ask in post["asks"]] for post in self.posts]

    def close(self) -> None:
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()
