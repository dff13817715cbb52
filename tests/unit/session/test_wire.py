"""Requests and frames: whole ones come out as they went in, whatever the cuts; the rest is refused or waits."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looop.session import wire
from looop.session.wire import Client


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=300))), st.integers(1, 40))
def test_frames_survive_every_cut(frames: list[tuple[int, bytes]], step: int) -> None:
    """However a stream is cut, the frames that come out are those that went in. Source: spec/workers.md §3.4."""
    stream = b"".join(wire.frame(*frame) for frame in frames)
    heard, found = bytearray(), []
    for at in range(0, len(stream), step):
        heard += stream[at : at + step]
        while (taken := wire.take_frame(heard)) is not None:
            found.append(taken)
    assert found == frames
    assert not heard


@given(st.lists(st.dictionaries(st.text(), st.integers() | st.text()), max_size=5), st.integers(1, 40))
def test_requests_survive_every_cut(requests: list[dict[str, object]], step: int) -> None:
    """So do requests, one a line. Source: spec/workers.md §3.4."""
    stream = b"".join(json.dumps(request).encode() + b"\n" for request in requests)
    heard, found = bytearray(), []
    for at in range(0, len(stream), step):
        heard += stream[at : at + step]
        while (taken := wire.take_request(heard)) is not None:
            found.append(taken)
    assert found == requests


@given(st.binary(max_size=60))
def test_garbage_is_a_value_error(data: bytes) -> None:
    """No line makes the reader raise anything else, and what it takes is an object. Source: spec/workers.md §3.4."""
    try:
        taken = wire.take_request(bytearray(data + b"\n"))
    except ValueError:
        return
    assert isinstance(taken, dict)


def test_what_is_too_long_is_refused_before_it_is_here() -> None:
    """Nobody makes a supervisor keep more than about 1 MiB of what is not whole yet. Source: spec/workers.md §3.4."""
    assert wire.take_frame(bytearray(b"\1" + wire.MAX_LINE.to_bytes(4, "big"))) is None
    with pytest.raises(ValueError, match="1 MiB"):
        wire.take_frame(bytearray(b"\1" + (wire.MAX_LINE + 1).to_bytes(4, "big")))
    assert wire.take_request(bytearray(b"x" * wire.MAX_LINE)) is None
    with pytest.raises(ValueError, match="1 MiB"):
        wire.take_request(bytearray(b"x" * (wire.MAX_LINE + 1)))


def test_a_reply_is_one_line() -> None:
    """An answer is ok with data, or not ok with the reason. Source: spec/workers.md §3.4."""
    assert json.loads(wire.reply({"a": 1})) == {"ok": True, "data": {"a": 1}}
    assert json.loads(wire.reply(error="no\n")) == {"ok": False, "error": "no\n"}
    assert wire.reply(error="no\n").count(b"\n") == 1


def test_every_path_fits_a_socket() -> None:
    """A path is short, whatever the data dir. Source: edge case 169."""
    assert len(os.fsencode(wire.socket_path(f"session-{'f' * 16}"))) < 100


def test_a_directory_of_ours_alone_is_made_and_known(tmp_path: Path) -> None:
    """The directory of the sockets is made for us alone, and taken again. Source: spec/workers.md §3.2."""
    wire.make_private(str(tmp_path / "own"))
    wire.make_private(str(tmp_path / "own"))
    assert (tmp_path / "own").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("kind", ["file", "link", "dangling", "open", "fifo", "theirs"])
def test_a_directory_others_may_use_is_refused(tmp_path: Path, kind: str) -> None:
    """What is not a real directory of ours alone holds no socket. Source: edge case 169."""
    place = tmp_path / "place"
    if kind == "file":
        place.write_text("")
    elif kind in ("link", "dangling"):
        (tmp_path / "real").mkdir(0o700)
        place.symlink_to(tmp_path / ("real" if kind == "link" else "nowhere"))
    elif kind == "fifo":
        os.mkfifo(place)
    else:
        place.mkdir()
        place.chmod(0o777 if kind == "open" else 0o700)
        if kind == "theirs":
            if os.getuid():
                pytest.skip("only root can give a directory away")
            os.chown(place, 65534, 65534)
    with pytest.raises(OSError, match="not a directory of ours alone"):
        wire.make_private(str(place))


@pytest.fixture
def ends() -> Iterator[tuple[Client, socket.socket]]:
    ours, theirs = socket.socketpair()
    yield Client(ours), theirs
    ours.close()
    theirs.close()


def test_a_reader_who_is_slow_gets_all_of_it(ends: tuple[Client, socket.socket]) -> None:
    """What cannot be sent now is kept, up to 1 MiB. Source: spec/workers.md §3.4."""
    client, theirs = ends
    sent = os.urandom(700_000)
    client.say(sent)
    assert client.unsent
    assert not client.leaving
    heard = b""
    while len(heard) < len(sent):
        heard += theirs.recv(65536)
        client.say(b"")
    assert heard == sent
    assert not client.unsent


def test_a_reader_who_never_reads_is_let_go(ends: tuple[Client, socket.socket]) -> None:
    """A backlog of more than 1 MiB is no longer kept. Source: spec/workers.md §3.4."""
    client, _ = ends
    for _ in range(100):
        client.say(b"x" * 65536)
        if client.leaving:
            break
    assert client.leaving
    assert len(client.unsent) < wire.MAX_BACKLOG + 2 * 65536


def test_a_reader_who_is_gone_is_let_go(ends: tuple[Client, socket.socket]) -> None:
    """A connection that broke is an end, not an exception. Source: spec/workers.md §3.4."""
    client, theirs = ends
    theirs.close()
    assert not client.hear()
    client.say(b"x")
    assert client.leaving
