"""Real processes race for real leases: one wins, nothing is lost, nobody sees a lease that is not there."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from looop.model.errors import Unreadable
from looop.state.leases import AlreadyOwned, HeldByLive, Leases, Won
from looop.store.files import FileStore
from tests.fakes.disk import QuickDisk
from tests.fakes.racing import Track, side_by_side

NOW = 2_000_000_000
ROUNDS = [pytest.param(1_000, id="1000"), pytest.param(10_000, id="10000", marks=pytest.mark.slow)]
DEAD = b'{"session":"dead","name":"x","ts":1,"nonce":"0"}'
LEFT_BEHIND = [None, DEAD, b"", b'{"sess']


def leases(root: Path) -> Leases:
    return Leases(FileStore(str(root), QuickDisk()))


def no_wait(seconds: float) -> None:
    raise AssertionError(f"nobody writes an empty lease here, and yet {seconds} s were waited for one")


def holder(root: Path, name: str) -> str:
    return str(json.loads((root / "claims" / f"{name}.json").read_bytes())["session"])


def claimer(root: Path, track: Track, me: int, rounds: int) -> Callable[[], bytes]:
    """Claims one lease a round as `w<me>`, in step with the other; what came of each round as one letter."""
    session, other = f"w{me}", 1 - me
    letters = {Won(): "W", HeldByLive(f"w{other}"): "h"}

    def run() -> bytes:
        book, told = leases(root), ""
        for turn in range(rounds):
            track.meet(me, other, turn + 1)
            claimed = book.claim(f"c{turn}", session, NOW, lambda holder: holder != "dead", no_wait)
            told += letters[claimed]
        return told.encode()

    return run


@pytest.mark.timeout(300)
@pytest.mark.parametrize("rounds", ROUNDS)
def test_of_two_racers_exactly_one_wins(tmp_path: Path, rounds: int) -> None:
    """Free, dead, empty or torn before: one wins each lease, the other is told who, and the winner's record is there.

    Source: edge cases 185, 186, 191, 193.
    """
    (tmp_path / "claims").mkdir()
    for turn in range(rounds):
        left, file = LEFT_BEHIND[turn % len(LEFT_BEHIND)], tmp_path / "claims" / f"c{turn}.json"
        if left is not None:
            file.write_bytes(left)
            os.utime(file, (1, 1))
    track = Track()
    told = side_by_side(claimer(tmp_path, track, 0, rounds), claimer(tmp_path, track, 1, rounds))
    assert [sorted(pair) for pair in zip(*told, strict=True)] == [sorted(b"Wh")] * rounds
    won = [f"w{pair.index(b'W'[0])}" for pair in zip(*told, strict=True)]
    assert [holder(tmp_path, f"c{turn}") for turn in range(rounds)] == won
    assert len(set(won)) == 2, "one racer was always first: this was no race"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("rounds", ROUNDS)
def test_the_reaper_never_takes_a_fresh_lease(tmp_path: Path, rounds: int) -> None:
    """A worker that starts with the id of a dead one and claims at once has the lease when the sweep is over.

    Source: edge cases 187, 188, 190.
    """
    track, alive = Track(), 2

    def worker() -> bytes:
        book, told = leases(tmp_path), ""
        for turn in range(1, rounds + 1):
            book.claim("deploy", "w1", NOW, lambda _: True, no_wait)  # the generation that is going to die
            track.put(alive, 0)
            track.meet(0, 1, 2 * turn)
            track.put(alive, 1)
            claimed = book.claim("deploy", "w1", NOW, lambda _: True, no_wait)
            track.meet(0, 1, 2 * turn + 1)
            assert holder(tmp_path, "deploy") == "w1", (turn, claimed)
            told += "W" if claimed == Won() else "r"
        return told.encode()

    def reaper() -> bytes:
        book = leases(tmp_path)
        reaped = 0
        for turn in range(1, rounds + 1):
            track.meet(1, 0, 2 * turn)
            reaped += len(book.reap(set(), lambda _: bool(track.get(alive)), NOW))
            track.meet(1, 0, 2 * turn + 1)
        return b"%d" % reaped

    told, reaped = side_by_side(worker, reaper)
    assert told.count(b"W") == int(reaped)


def test_a_reaper_that_is_slow_holds_old_bytes(tmp_path: Path) -> None:
    """The reaper finds w1 dead; before it goes on a new w1 claims, twice; the lease of the new w1 stands.

    Source: edge case 187.
    """
    track, judged, go_on = Track(), 0, 1
    leases(tmp_path).claim("deploy", "w1", NOW, lambda _: False, no_wait)

    def is_alive(_: str) -> bool:
        track.meet(judged, go_on, 1)
        return False

    def claims() -> bytes:
        track.meet(2, judged, 1)
        book = leases(tmp_path)
        for _ in range(2):
            assert book.claim("deploy", "w1", NOW, lambda _: True, no_wait) == AlreadyOwned()
        track.put(go_on, 1)
        return b""

    told = side_by_side(lambda: repr(leases(tmp_path).reap(set(), is_alive, NOW)).encode(), claims)
    assert told == [b"[]", b""]
    assert holder(tmp_path, "deploy") == "w1"


def test_a_lease_is_never_absent_while_it_is_refreshed(tmp_path: Path) -> None:
    """Whoever looks while the owner refreshes a thousand times sees a whole lease each time. Source: edge case 189."""
    track, begun, over = Track(), 0, 1
    leases(tmp_path).claim("deploy", "w1", NOW, lambda _: True, no_wait)

    def owner() -> bytes:
        book = leases(tmp_path)
        track.meet(2, begun, 1)
        for turn in range(1_000):
            assert book.claim("deploy", "w1", NOW + turn, lambda _: True, no_wait) == AlreadyOwned()
        track.put(over, 1)
        return b""

    def reader() -> bytes:
        book, seen = leases(tmp_path), set()
        track.put(begun, 1)
        while not track.get(over):
            record = book.all()["deploy"]
            assert record["session"] == "w1"
            seen.add(record["nonce"])
        return b"%d" % len(seen)

    _, seen = side_by_side(owner, reader)
    assert int(seen) > 10, "the reader saw almost nothing change"


def test_while_the_fleet_cannot_be_read_everybody_is_refused(tmp_path: Path) -> None:
    """Two processes that claim a stranger's lease 200 times without knowing who lives take nothing.

    Source: edge cases 156, 186.
    """
    leases(tmp_path).claim("deploy", "w9", NOW, lambda _: True, no_wait)
    before = (tmp_path / "claims" / "deploy.json").read_bytes()

    def blind(_: str) -> bool:
        raise Unreadable("cannot list the sessions")

    def run(session: str) -> bytes:
        book = leases(tmp_path)
        for _ in range(200):
            assert book.claim("deploy", session, NOW, blind, no_wait) == HeldByLive("w9")
            assert not book.unclaim("deploy", session, blind)
            assert book.reap(set(), blind, NOW) == []
        return b""

    side_by_side(lambda: run("w1"), lambda: run("w2"))
    assert (tmp_path / "claims" / "deploy.json").read_bytes() == before
