"""The control socket of real sessions: what clients ask for, what they see, and what the worst of them cannot do."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from looop.session import wire
from looop.session.client import Unanswered, ask, converse
from looop.session.fleet import Fleet, Session
from tests.fakes.sessions import (
    ENV,
    SOURCE,
    Attached,
    connected,
    ended,
    line_from,
    log,
    marked,
    no_one_left,
    now,
    shows,
    start,
)
from tests.fakes.waiting import until
from tests.integration.test_sessions import private
from tests.integration.test_sessions_places import together

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at processes in /proc")
CAT = "stty -echo; echo ready; exec cat"


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with no_one_left(tmp_path) as fleet:
        yield fleet


@pytest.fixture
def cat(fleet: Fleet) -> Session:
    """A session that says what it is told."""
    session = start(fleet, "cat", CAT)
    shows(session, b"ready")
    return session


def still_answers(session: Session) -> bool:
    return ask(session.socket, {"op": "status"}, 5)["state"] == "running"


def test_status_and_log_say_how_it_stands(cat: Session) -> None:
    """A client learns what the records say, and the end of what was printed. Source: spec/workers.md §3.4."""
    said = ask(cat.socket, {"op": "status"}, 5)
    expected = {"state": "running", "child_pid": cat.child_pid, "exit_code": None, "output_bytes": 7, "size": [80, 24]}
    assert {key: said[key] for key in expected} == expected
    assert ask(cat.socket, {"op": "log"}, 5)["text"] == "ready\r\n"
    assert ask(cat.socket, {"op": "log", "tail": 0}, 5)["text"] == ""
    assert "problem" not in said


def test_the_end_of_a_long_log_reaches_its_client(fleet: Fleet) -> None:
    """However much was printed, and however it must be quoted, the answer arrives. Source: spec/workers.md §3.4."""
    loop = "i=0; while [ $i -lt 3000 ]; do printf '%0100d\\033[31m日本' $i; i=$((i+1)); done"
    session = start(fleet, "a", f"{loop}; sleep 60")
    shows(session, b"0" * 96 + b"2999")
    text = ask(session.socket, {"op": "log"}, 5)["text"]
    assert isinstance(text, str)
    assert len(text) > 50_000
    assert text.endswith("2999\x1b[31m日本")


def test_a_text_is_sent_with_its_enter_a_moment_later(cat: Session) -> None:
    """Enter comes 0.3 s after the text, or not at all; texts do not mix. Source: spec/workers.md §3.4."""
    began = time.monotonic()
    assert ask(cat.socket, {"op": "send", "text": "日本"}, 5) == {"sent": 2, "offset": 7}
    assert ask(cat.socket, {"op": "send", "text": "two"}, 5)["sent"] == 3
    shows(cat, "日本\r\n".encode())
    assert time.monotonic() - began >= 0.3
    shows(cat, b"two\r\n")
    assert time.monotonic() - began >= 0.6
    ask(cat.socket, {"op": "send", "text": "three\n", "newline": False}, 5)
    shows(cat, b"three\r\n")
    assert log(cat) == "ready\r\n日本\r\ntwo\r\nthree\r\n".encode()


def test_a_size_changes_the_terminal_and_is_marked(fleet: Fleet) -> None:
    """The command sees the new size, and so does who reads the transcript later. Source: spec/workers.md §3.4."""
    session = start(fleet, "a", "trap 'stty size' WINCH; stty size; while :; do sleep 0.05; done", size=(100, 30))
    shows(session, b"30 100")
    assert session.size == (100, 30)
    assert ask(session.socket, {"op": "resize", "cols": 120, "rows": 40}, 5) == {"size": [120, 40]}
    shows(session, b"40 120")
    assert b"\x1b_looop;size=100x30\x1b\\30 100\r\n\x1b_looop;size=120x40\x1b\\40 120" in log(session)
    for cols in (0, 1000, "8", None, True, -1):
        with pytest.raises(Unanswered, match="1 to 999"):
            ask(session.socket, {"op": "resize", "cols": cols, "rows": 5}, 5)


def test_a_writer_types_and_a_reader_only_reads(cat: Session) -> None:
    """Who did not ask to write cannot type or change the size; both see all. Source: design §3 row 15."""
    reader, writer = Attached(cat, cols=99, rows=33), Attached(cat, write=True, cols=90, rows=25)
    assert (reader.said["write"], writer.said["write"]) == (False, True)
    assert reader.said["offset"] == 7
    reader.say(wire.INPUT, b"no\n")
    reader.say(wire.RESIZE, bytes((0, 70, 0, 20)))
    writer.say(wire.RESIZE, bytes((0, 91, 0, 26)))
    writer.say(wire.RESIZE, bytes((0, 0, 0, 26)))
    writer.say(wire.INPUT, b"yes\n")
    assert writer.until_output(b"yes\r\n") == reader.until_output(b"yes\r\n") == b"yes\r\n"
    assert ask(cat.socket, {"op": "status"}, 5)["size"] == [91, 26]
    assert b"no" not in log(cat)


def test_output_continues_where_the_attach_says(fleet: Fleet) -> None:
    """The log up to the offset, and the frames from there on, are all that was printed. Source: workers.md §3.4."""
    session = start(fleet, "a", "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; echo END; sleep 60")
    clients = [Attached(session) for _ in range(5)]
    offsets = [client.said["offset"] for client in clients]
    shows(session, b"END\r\n")
    for client, offset in zip(clients, offsets, strict=True):
        frames = client.until_output(b"END\r\n") if offset < len(log(session)) else b""
        assert log(session)[:offset] + frames == log(session)


def test_the_attached_are_told_the_end(fleet: Fleet) -> None:
    """An exit and its code, a signal and its number, come as the last frame. Source: spec/workers.md §3.4."""
    for name, script, last in (
        ("code", "read x; exit 3", (wire.EXIT, bytes((0, 0, 0, 0, 3)))),
        ("signal", "read x; kill -TERM $$", (wire.EXIT, bytes((1, 0, 0, 0, 15)))),
    ):
        client = Attached(start(fleet, name, script), write=True)
        client.say(wire.INPUT, b"\n")
        frames = []
        while (frame := client.frame()) is not None:
            frames.append(frame)
        assert frames[-1] == last
        assert now(fleet, name).state in ("exited", "killed")


def test_detach_lets_the_attached_go(cat: Session) -> None:
    """Those who are attached are told so and let go; the session goes on. Source: spec/workers.md §3.4."""
    clients = [Attached(cat), Attached(cat, write=True)]
    assert ask(cat.socket, {"op": "detach"}, 5) == {"detached": 2}
    assert [(client.frame(), client.frame()) for client in clients] == [((wire.DETACHED, b""), None)] * 2
    assert still_answers(cat)


def test_everybody_who_kills_is_answered(fleet: Fleet) -> None:
    """Ten clients that kill at once are all told the same end, which is on disk by then. Source: edge case 170."""
    session = start(fleet, "a", "trap '' HUP; echo ready; sleep 60; sleep 60")
    shows(session, b"ready")
    connections = [connected(session) for _ in range(10)]
    for connection in connections:
        connection.sendall(b'{"op":"kill"}\n')
    for connection in connections:
        said = json.loads(line_from(connection))
        assert (said["ok"], said["data"]["state"]) == (True, "killed")
        assert not now(fleet, "a").alive


def test_a_kill_that_comes_late_hears_the_same(fleet: Fleet) -> None:
    """Whoever kills while a session is ending, answered or not, returns with the end on disk. Source: edge case 170."""
    for turn in range(5):
        session = start(fleet, f"s{turn}", "sleep 60")
        said = together(8, lambda _, session=session: (fleet.kill(session)["state"], now(fleet, session.id).state))  # type: ignore[misc]
        assert said == [("killed", "killed")] * 8


def test_a_worker_may_end_itself(fleet: Fleet) -> None:
    """A worker that kills its own session is dead on disk when the kill returns, or dies itself.

    Source: edge case 170.
    """
    script = (
        "import os, sys; from looop.session.fleet import Fleet; fleet = Fleet(sys.argv[1]); "
        "said = fleet.kill(fleet.session('a')); open(sys.argv[1] + '/said', 'w').write(fleet.session('a').state)"
    )
    words = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh", sys.executable, "-c", script, fleet._root]
    fleet.start("a", words, {**ENV, "PYTHONPATH": SOURCE})
    session = ended(fleet, "a")
    assert session.state == "killed"
    assert marked(session.mark) == []
    said = Path(fleet._root, "said")
    assert not said.exists() or said.read_text() == "killed"


@pytest.mark.parametrize(
    "sent",
    [
        b"\n",
        b"garbage\n",
        b"[]\n",
        b"{]\n",
        b'{"op" 5}\n',
        b'{"op":"status",}\n',
        b'{"op":"nonsense"}\n',
        b'{"op":["kill"]}\n',
        b'{"op":"send"}\n',
        b'{"op":"send","text":5}\n',
        b'{"op":"log","tail":"x"}\n',
        b"\xff\xfe\n",
        b"[" * 100_000 + b"\n",
        b"x" * 2_000_000 + b"\n",
        b'{"op":"attach"}\n\x01\xff\xff\xff\xff' + b"x" * 100,
        b'{"op":"attach","write":true}\n\x07\x00\x00\x00\x01x\x02\x00\x00\x00\x03abc',
        b'{"op":"stat',
        b"",
    ],
)
def test_no_client_harms_a_session(cat: Session, sent: bytes) -> None:
    """Garbage, half a request, 2 MB in one line: an error or nothing, and the session goes on. Source: §3.4."""
    connection = connected(cat)
    try:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
    except OSError:
        pass
    assert still_answers(cat)
    connection.close()
    assert still_answers(cat)
    assert log(cat) == b"ready\r\n"


def test_what_is_wrong_is_said(cat: Session) -> None:
    """A request that is not understood is answered with what was expected. Source: spec/workers.md §3.4."""
    with pytest.raises(Unanswered, match="expected one of status, log"):
        ask(cat.socket, {"op": "nonsense"}, 5)
    with pytest.raises(Unanswered, match="expected a text"):
        ask(cat.socket, {"op": "send"}, 5)
    connection = connected(cat)
    connection.sendall(b"{]\n")
    assert b"not a request" in line_from(connection)


def test_a_request_may_come_in_parts_and_many_at_once(cat: Session) -> None:
    """Lines are lines, however they arrive. Source: spec/workers.md §3.4."""
    connection = connected(cat)
    for byte in b'{"op":"status"}\n':
        connection.sendall(bytes((byte,)))
    connection.sendall(b'{"op":"log"}\n{"op":"status"}\n')
    assert [json.loads(line_from(connection))["ok"] for _ in range(3)] == [True] * 3


def test_a_hundred_connections_do_no_harm(fleet: Fleet, cat: Session) -> None:
    """Too many are told so; those that are connected go on, and the session can be killed. Source: §3.4."""
    connections = [connected(cat) for _ in range(100)]
    assert converse(connections[0], {"op": "status"}, 5)[0]["state"] == "running"
    for connection in connections[40:]:
        assert b"too many clients" in line_from(connection)
    assert len(os.listdir(f"/proc/{cat.pid}/fd")) < 50
    assert fleet.kill(cat)["state"] == "killed"


def test_a_client_of_a_busy_session_waits_its_turn(fleet: Fleet) -> None:
    """Where many wait to be let in, one more waits a moment, too, and then says that nobody listens. Source: §3.4."""
    session = start(fleet, "a", "sleep 60")
    os.kill(session.pid, signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(Unanswered, match="no supervisor listens"):
        for _ in range(200):
            connected(session)
    assert 1 <= time.monotonic() - began < 3
    timer = threading.Timer(0.3, os.kill, (session.pid, signal.SIGCONT))
    timer.start()
    assert connected(session)
    timer.join()


def test_clients_that_leave_are_forgotten(cat: Session) -> None:
    """Two hundred clients, one after the other, leave no descriptor. Source: users.md, Orphans."""
    before = len(os.listdir(f"/proc/{cat.pid}/fd"))
    for turn in range(200):
        client = Attached(cat, write=True) if turn % 2 else connected(cat)
        client.close()
    until(lambda: len(os.listdir(f"/proc/{cat.pid}/fd")) == before, what="the descriptors back")


def test_a_client_that_does_not_read_is_let_go(fleet: Fleet) -> None:
    """Who lags more than 1 MiB behind a flood is let go; the session does not grow. Source: spec/workers.md §3.4."""
    session = start(fleet, "a", "echo go; read x; yes 0123456789012345678901234567890", max_log=1_000_000)
    shows(session, b"go")
    before = private(session.pid)
    clients = [Attached(session) for _ in range(4)]
    descriptors = len(os.listdir(f"/proc/{session.pid}/fd"))
    ask(session.socket, {"op": "send", "text": "", "newline": True}, 5)
    until(lambda: len(os.listdir(f"/proc/{session.pid}/fd")) <= descriptors - 4, 20, "the clients to be let go")
    assert private(session.pid) < before + 4 * 1200 + 1500
    assert still_answers(session)
    assert len(clients) == 4


def test_what_nobody_reads_is_not_kept_for_ever(fleet: Fleet) -> None:
    """A command that never reads: what is typed is refused after a while, and memory stays. Source: §3.4."""
    session = start(fleet, "a", "stty raw -echo; echo ready; sleep 60")
    shows(session, b"ready")
    before = private(session.pid)
    with pytest.raises(Unanswered, match="does not read"):
        for _ in range(40):
            ask(session.socket, {"op": "send", "text": "x" * 100_000, "newline": False}, 5)
    client = Attached(session, write=True)
    for _ in range(40):
        client.say(wire.INPUT, b"x" * 100_000)
    client.close()
    assert still_answers(session)
    ticks = cpu(session.pid)
    time.sleep(0.5)
    assert cpu(session.pid) - ticks <= 1
    assert private(session.pid) < before + 4_000


def cpu(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_asking_a_supervisor_that_is_gone_ends_nobody() -> None:
    """Where SIGPIPE kills, as in every short verb, a connection whose other end is gone is an answer all the same."""
    script = (
        "import signal, socket; from looop.session.client import Unanswered, converse\n"
        "signal.signal(signal.SIGPIPE, signal.SIG_DFL); ours, theirs = socket.socketpair(); theirs.close()\n"
        "try: converse(ours, {'op': 'status'}, 1)\n"
        "except Unanswered: print('nobody answers')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "nobody answers\n")
