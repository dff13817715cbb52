"""A supervisor's control socket, in this process: whatever a client sends, the supervisor serves on."""

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from looop.session import wire
from looop.session.control import Control
from looop.session.light import loads
from looop.session.options import Options
from looop.session.supervisor import Supervisor
from tests.integration.test_fuzz import frames, in_time, lines, often

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


class Served(Supervisor):
    """A supervisor of nothing: it has its records, its terminal and its socket, and takes its turns when it is told."""

    def __init__(self, folder: Path) -> None:
        options = Options()
        options.id, options.root, options.command = "w", str(folder), ["x"]
        super().__init__(options)
        self._found()
        os.mkdir(folder / "socket", 0o700)
        self.path = str(folder / "socket" / "s")
        self.control = Control(self, self.path)
        assert self.control.open() == {}
        self.terminal.open(options.size)

    def turn(self, times: int) -> None:
        for _ in range(times):
            self._timers = [(0.0, lambda: None)]
            self._turn()

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.connect(self.path)
        client.setblocking(False)
        return client

    def close(self) -> None:
        for client in tuple(self.control._clients.values()):
            self.control._let_go(client)
        self.control.close()
        self._folder.close()
        os.close(self.transcript._fd)
        os.close(self.terminal.fd)
        self.terminal.let_go()


@contextmanager
def served() -> Iterator[Served]:
    with tempfile.TemporaryDirectory(prefix="looop-fuzz-") as folder:
        supervisor = Served(Path(folder))
        try:
            yield supervisor
        finally:
            supervisor.close()


@given(st.lists(frames | lines, max_size=6))
@example(
    [b'{"op":"attach","write":true,"cols":1,"rows":999}\n', wire.frame(wire.RESIZE, b"\x03\xe7\0\x01"), b"\x01\xff"]
)
@example([b'{"op":"send","text":"\\ud800","newline":1}\n{"op":"log","tail":' + b"9" * 5000 + b"}\n"])
@example([b'{"op":"kill"}\n', b'{"op":"detach"}\n', b"[" * 100_000 + b"\n"])
@often
def test_any_client_is_served_or_let_go(parts: list[bytes]) -> None:
    """What a client sends is answered in lines of JSON or costs it its connection, and the next one is served.

    Source: spec/workers.md §3.4.
    """
    with in_time(), served() as supervisor:
        client = supervisor.connect()
        for part in parts:
            with suppress(OSError):
                client.send(part)
            supervisor.turn(2)
        with suppress(OSError):
            heard = client.recv(1 << 20)
            assert not heard or isinstance(loads(heard.partition(b"\n")[0]), dict)
        client.close()
        supervisor.turn(2)
        other = supervisor.connect()
        other.send(b'{"op":"status"}\n')
        supervisor.turn(2)
        assert b'"ok":true' in other.recv(1 << 16)
        other.close()
        assert len(supervisor.control._clients) <= 1
