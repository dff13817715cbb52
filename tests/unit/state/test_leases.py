"""Leases change hands by the rules, over every store, and whoever meddles in between."""

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from looop.model.errors import Invalid, Refused, Unreadable, Unwritable
from looop.runtime.events import Events
from looop.state.leases import AlreadyOwned, HeldByLive, Leases, Won
from looop.store.files import FileStore
from looop.store.memory import MemoryStore
from looop.store.protocol import Store
from tests.fakes.clock import StillClock
from tests.fakes.disk import QuickDisk

KEY = "claims/deploy.json"
NOW = 2_000_000_000
BAD_BODIES = [b"x", b"{", b"[]", b"null", b'"w1"', b"{}", b'{"session":""}', b'{"session":5}', b'{"session":null}']
BAD_BODIES += [b"\xff\xfe", b"[" * 100_000, b" ", b"\n", b'{"session":"../../etc"}', b'{"session":"two words"}']


@pytest.fixture(params=["memory", "files"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else FileStore(str(tmp_path), QuickDisk())


class Desk:
    """A book of leases, who lives, and the pauses that were made."""

    def __init__(self, store: Store) -> None:
        self.store, self.leases = store, Leases(store)
        self.live: set[str] = set()
        self.unknown: set[str] = set()
        self.asked: list[str] = []
        self.pauses: list[float] = []
        self.while_waiting: Callable[[], object] = lambda: None
        self.now = NOW

    def is_alive(self, session: str) -> bool:
        self.asked.append(session)
        if session in self.unknown:
            raise Unreadable("cannot list the sessions")
        return session in self.live

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.while_waiting()

    def claim(self, session: str, name: str = "deploy") -> Any:
        return self.leases.claim(name, session, self.now, self.is_alive, self.pause)

    def unclaim(self, session: str, name: str = "deploy") -> bool:
        return self.leases.unclaim(name, session, self.is_alive)

    def reap(self, *alive: str) -> list[tuple[str, str]]:
        return self.leases.reap(set(alive), self.is_alive, self.now)

    @property
    def body(self) -> bytes | None:
        blob = self.store.read(KEY)
        return blob.data if blob else None

    @property
    def holder(self) -> Any:
        return json.loads(self.body or b"{}").get("session")

    def age_empty(self, seconds: int) -> None:
        """An empty claim, and a time at which it is that old, or less than a second older."""
        self.store.write(KEY, b"")
        blob = self.store.read(KEY)
        assert blob
        self.now = -(-blob.mtime_ns // 10**9) + seconds


class Meddler:
    """A store in which others are quicker: before each call of one method, as often as told, something else happens."""

    def __init__(self, store: Store, method: str, act: Callable[[], object], times: int = 1) -> None:
        self._store, self._method, self._act, self._left = store, method, act, times

    def __getattr__(self, name: str) -> Any:
        if name == self._method and self._left:
            self._left -= 1
            self._act()
        return getattr(self._store, name)


@pytest.fixture
def desk(store: Store) -> Desk:
    return Desk(store)


def meddled(store: Store, method: str, act: Callable[[], object], times: int = 1) -> Desk:
    return Desk(Meddler(store, method, act, times))  # type: ignore[arg-type]


def body_of(session: str, nonce: str = "0") -> bytes:
    return json.dumps({"session": session, "name": "deploy", "ts": 1, "nonce": nonce}).encode()


class TestClaim:
    def test_a_free_lease_is_won(self, desk: Desk) -> None:
        """Who comes first gets the lease; its record says who, what, when, and a nonce. Source: spec/workers.md §8."""
        assert desk.claim("w1") == Won()
        record = json.loads(desk.body or b"")
        assert (record["session"], record["name"], record["ts"]) == ("w1", "deploy", NOW)
        assert len(record["nonce"]) == 16
        assert desk.leases.all() == {"deploy": record}
        assert desk.asked == desk.pauses == []

    def test_of_two_one_wins(self, desk: Desk) -> None:
        """The second is told who was first. Source: edge case 185."""
        desk.live = {"w1", "w2"}
        assert [desk.claim("w1"), desk.claim("w2")] == [Won(), HeldByLive("w1")]
        assert desk.holder == "w1"

    def test_a_lease_is_as_good_as_its_holder(self, desk: Desk) -> None:
        """A dead holder's lease is taken over, a live one's is not, nor one whose holder may live.

        Source: edge case 186.
        """
        desk.store.write(KEY, body_of("w1"))
        desk.unknown = {"w1"}
        assert desk.claim("w2") == HeldByLive("w1")
        desk.unknown, desk.live = set(), {"w1"}
        assert desk.claim("w2") == HeldByLive("w1")
        assert desk.body == body_of("w1")
        desk.live = set()
        assert desk.claim("w2") == Won()
        assert desk.holder == "w2"

    def test_a_lease_that_is_taken_over_is_never_absent(self, store: Store) -> None:
        """Between the dead holder and the next there is no moment in which a third sees the lease free."""
        store.write(KEY, body_of("dead"))
        seen: list[object] = []
        desk = meddled(store, "create", lambda: seen.append(store.read(KEY)), times=9)
        assert desk.claim("w1") == Won()
        assert None not in seen

    def test_claiming_again_refreshes(self, desk: Desk) -> None:
        """The session that has the lease keeps it, with new bytes even within one second. Source: edge case 187."""
        desk.claim("w1")
        first = desk.body
        assert desk.claim("w1") == AlreadyOwned()
        assert desk.body != first
        assert desk.holder == "w1"
        assert desk.asked == []

    def test_a_body_of_an_older_version_counts(self, desk: Desk) -> None:
        """`{session,name}` is a lease like any other; a refresh brings it up to date. Source: spec/workers.md §8."""
        desk.live = {"w1"}
        desk.store.write(KEY, b'{"session":"w1","name":"deploy"}')
        assert desk.claim("w2") == HeldByLive("w1")
        assert desk.claim("w1") == AlreadyOwned()
        assert json.loads(desk.body or b"")["nonce"]

    @pytest.mark.parametrize("body", BAD_BODIES, ids=lambda body: repr(body[:12]))
    def test_what_names_no_session_has_no_holder(self, desk: Desk, body: bytes) -> None:
        """A body that does not say who holds the lease holds nobody off, and nobody is asked. Source: edge case 193."""
        desk.store.write(KEY, body)
        assert desk.claim("w1") == Won()
        assert desk.holder == "w1"
        assert desk.asked == []

    def test_a_lease_that_vanished_is_won_in_the_next_round(self, store: Store) -> None:
        """A lease given up between our two looks is free. Source: spec/workers.md §8, round 2."""
        store.write(KEY, body_of("w1"))
        desk = meddled(store, "read", lambda: store.swap(KEY, body_of("w1"), None))
        assert desk.claim("w2") == Won()

    def test_a_fresh_lease_survives_who_judged_the_old_one(self, store: Store) -> None:
        """A lease published between the look at a dead one and its takeover stands. Source: edge case 188."""
        store.write(KEY, body_of("dead"))
        desk = meddled(store, "swap", lambda: store.write(KEY, body_of("w1")))
        desk.live = {"w1"}
        assert desk.claim("w2") == HeldByLive("w1")
        assert desk.body == body_of("w1")

    def test_a_refresh_that_lost_is_made_again(self, store: Store) -> None:
        """When the own lease was refreshed meanwhile, it is refreshed again. Source: spec/workers.md §8, round 4."""
        store.write(KEY, body_of("w1"))
        desk = meddled(store, "swap", lambda: store.write(KEY, body_of("w1", "1")))
        assert desk.claim("w1") == AlreadyOwned()
        assert desk.body not in (body_of("w1"), body_of("w1", "1"))

    def test_endless_contention_is_an_error(self, store: Store) -> None:
        """After eight rounds it says that it could not be done, and has changed nothing. Source: spec/workers.md §8."""
        turns = iter(range(1, 100))
        store.write(KEY, body_of("dead"))
        desk = meddled(store, "swap", lambda: store.write(KEY, body_of("dead", str(next(turns)))), times=99)
        with pytest.raises(Refused, match=r"claim deploy: .* try again"):
            desk.claim("w1")
        assert next(turns) == 9
        assert desk.body == body_of("dead", "8")

    def test_an_empty_claim_is_waited_for(self, desk: Desk) -> None:
        """A file that is being written has ten seconds: eight looks, 25 ms apart. Source: edge case 191."""
        desk.age_empty(9)
        with pytest.raises(Refused, match="being written"):
            desk.claim("w1")
        assert desk.pauses == [0.025] * 8
        assert desk.body == b""

    def test_who_was_writing_gets_the_lease(self, desk: Desk) -> None:
        """Once the body is there it is respected like any other. Source: edge case 191."""
        desk.age_empty(0)
        desk.live = {"w1"}
        desk.while_waiting = lambda: desk.store.write(KEY, b'{"session":"w1","name":"deploy"}')
        assert desk.claim("w2") == HeldByLive("w1")
        assert desk.pauses == [0.025]

    def test_an_old_empty_claim_is_debris(self, desk: Desk) -> None:
        """From ten seconds on nobody is writing any more. Source: edge case 191."""
        desk.age_empty(10)
        assert desk.claim("w1") == Won()
        assert desk.pauses == []

    @pytest.mark.parametrize("body", [None, b"", body_of("w1")])
    def test_no_session_no_lease(self, desk: Desk, body: bytes | None) -> None:
        """Without a session nothing is granted or given up; the hint says how to name one. Source: edge case 192."""
        if body is not None:
            desk.store.write(KEY, body)
        for verb in (desk.claim, desk.unclaim):
            with pytest.raises(Invalid, match="--session"):
                verb("")
        assert desk.body == body

    @pytest.mark.parametrize("bad", ["", ".", "..", "../x", "a/b", ".hidden", "a\0b", "two words", "x" * 65])
    def test_names_are_ids(self, desk: Desk, bad: str) -> None:
        """A lease and its session are named like everything else. Source: design §3 row 9, spec/workers.md §12."""
        for verb in (desk.claim, desk.unclaim):
            with pytest.raises(Invalid):
                verb("w1", bad)
            with pytest.raises(Invalid):
                verb(bad)
        assert desk.store.list("claims") == []

    def test_names_may_be_in_any_script(self, desk: Desk) -> None:
        """Letters of every script name leases and sessions. Source: design §3 row 9."""
        assert desk.claim("sitzung-ü", "日本") == Won()
        assert desk.leases.all()["日本"]["session"] == "sitzung-ü"


class TestUnclaim:
    def test_nothing_to_give_up_is_fine(self, desk: Desk) -> None:
        """An absent lease is given up already. Source: edge case 194."""
        assert desk.unclaim("w1") is True

    def test_the_own_lease_is_given_up(self, desk: Desk) -> None:
        """After it the lease is free for the next. Source: spec/workers.md §8, unclaim."""
        desk.live = {"w1", "w2"}
        desk.claim("w1")
        assert desk.unclaim("w1") is True
        assert desk.body is None
        assert desk.claim("w2") == Won()

    def test_somebody_elses_stays(self, desk: Desk) -> None:
        """A lease of a session that lives or may live stays, a dead one's goes. Source: edge case 194."""
        desk.store.write(KEY, body_of("w1"))
        desk.live = {"w1"}
        assert desk.unclaim("w2") is False
        desk.live, desk.unknown = set(), {"w1"}
        assert desk.unclaim("w2") is False
        assert desk.body == body_of("w1")
        desk.unknown = set()
        assert desk.unclaim("w2") is True
        assert desk.body is None

    @pytest.mark.parametrize("body", [b"", *BAD_BODIES], ids=lambda body: repr(body[:12]))
    def test_nobodys_goes(self, desk: Desk, body: bytes) -> None:
        """A lease without a holder can be given up by anybody. Source: spec/workers.md §8, edge case 193."""
        desk.store.write(KEY, body)
        assert desk.unclaim("w1") is True
        assert desk.body is None

    def test_what_changed_meanwhile_stays(self, store: Store) -> None:
        """A lease taken over between look and removal is not removed. Source: edge case 188."""
        store.write(KEY, body_of("w1"))
        desk = meddled(store, "swap", lambda: store.write(KEY, body_of("w2")))
        assert desk.unclaim("w1") is False
        assert desk.body == body_of("w2")


class TestReap:
    def test_leases_of_the_dead_go(self, desk: Desk) -> None:
        """Each is named with its holder; those of the living stay, unasked. Source: spec/workers.md §8, reap."""
        for session in ("w1", "w2", "w3"):
            desk.claim(session, f"of-{session}")
        assert desk.reap("w2") == [("of-w1", "w1"), ("of-w3", "w3")]
        assert list(desk.leases.all()) == ["of-w2"]
        assert desk.asked == ["w1", "w3"]

    def test_nobodys_leases_go(self, desk: Desk) -> None:
        """A body without a holder is debris. Source: edge case 193."""
        for number, body in enumerate(BAD_BODIES):
            desk.store.write(f"claims/c{number:02}.json", body)
        reaped = desk.reap("w1")
        assert [name for name, _ in reaped] == [f"c{number:02}" for number in range(len(BAD_BODIES))]
        assert {holder for _, holder in reaped} == {"", "../../etc", "two words"}
        assert desk.store.list("claims") == []
        assert desk.asked == []

    def test_who_came_during_the_sweep_is_asked_for(self, desk: Desk) -> None:
        """A holder that is not in the list but lives, or may live, keeps its lease. Source: edge case 190."""
        desk.claim("new")
        desk.live = {"new"}
        assert desk.reap() == []
        desk.live, desk.unknown = set(), {"new"}
        assert desk.reap() == []
        assert desk.holder == "new"

    @pytest.mark.parametrize("published", [body_of("w1", "1"), body_of("w2")])
    def test_a_fresh_lease_survives_the_reaper(self, store: Store, published: bytes) -> None:
        """A lease taken or refreshed between look and removal stands, the same id's too. Edge cases 187, 188."""
        store.write(KEY, body_of("w1"))
        desk = meddled(store, "swap", lambda: store.write(KEY, published))
        assert desk.reap() == []
        assert desk.body == published

    def test_an_empty_claim_has_ten_seconds(self, desk: Desk) -> None:
        """One in flight stays, debris goes. Source: edge case 191."""
        desk.age_empty(9)
        assert desk.reap() == []
        desk.age_empty(10)
        assert desk.reap() == [("deploy", "")]
        assert desk.body is None

    def test_a_lease_that_vanished_is_not_reported(self, store: Store) -> None:
        """What its holder gave up meanwhile was not reaped."""
        store.write(KEY, body_of("w1"))
        assert meddled(store, "read", lambda: store.swap(KEY, body_of("w1"), None)).reap() == []
        store.write(KEY, body_of("w1"))
        assert meddled(store, "swap", lambda: store.swap(KEY, body_of("w1"), None)).reap() == []

    def test_no_folder_no_leases(self, desk: Desk) -> None:
        """Without the folder there is nothing to reap."""
        assert desk.reap() == []
        assert desk.leases.all() == {}


class TestUnreadable:
    @pytest.fixture
    def blocked(self, desk: Desk) -> Desk:
        """A lease that is there and cannot be read: a folder stands in its place."""
        desk.store.write(f"{KEY}/inside", b"1")
        desk.store.write("claims/other.json", body_of("dead"))
        return desk

    def test_it_is_not_taken_for_absent(self, blocked: Desk) -> None:
        """What cannot be read is neither won nor given up nor reaped; the others are. Source: edge cases 195, 266."""
        with pytest.raises((Unreadable, Unwritable), match="directory"):
            blocked.claim("w1")
        with pytest.raises(Unreadable, match="directory"):
            blocked.unclaim("w1")
        assert blocked.reap() == [("other", "dead")]
        assert blocked.store.read(f"{KEY}/inside")

    def test_a_folder_that_cannot_be_listed_says_so(self, desk: Desk) -> None:
        """A file in the place of the folder is not an absence of leases. Source: edge case 195."""
        desk.store.write("claims", b"x")
        for verb in (lambda: desk.claim("w1"), lambda: desk.unclaim("w1"), desk.reap, desk.leases.all):
            with pytest.raises((Unreadable, Unwritable)):
                verb()

    def test_a_pipe_is_not_an_empty_claim(self, tmp_path: Path) -> None:
        """A FIFO in the place of a lease is an error, and nobody waits for it. Source: edge case 195."""
        desk = Desk(FileStore(str(tmp_path), QuickDisk()))
        (tmp_path / "claims").mkdir()
        os.mkfifo(tmp_path / KEY)
        with pytest.raises((Unreadable, Unwritable)):
            desk.claim("w1")
        assert desk.reap() == []
        assert desk.leases.all() == {"deploy": None}


def test_the_stores_own_files_are_no_leases(tmp_path: Path) -> None:
    """Lock and temporary files are never listed, never reaped. Source: edge case 242."""
    desk = Desk(FileStore(str(tmp_path), QuickDisk()))
    desk.claim("w1")
    draft = tmp_path / "claims" / ".x.json.tmp"
    draft.write_bytes(b"")
    assert list(desk.leases.all()) == ["deploy"]
    assert desk.reap() == [("deploy", "w1")]
    assert sorted(entry.name for entry in (tmp_path / "claims").iterdir()) == [".dirlock", ".x.json.tmp"]


def test_foreign_names_do_no_harm(desk: Desk) -> None:
    """Files no version of ours wrote neither stop the sweep nor the listing. Source: edge case 243."""
    for name in ("...json", "a\\b.json", "notes.txt", "two words.json"):
        desk.store.write(f"claims/{name}", body_of("w1"))
    desk.live = {"w1"}
    assert list(desk.leases.all()) == ["a\\b", "two words"]
    assert desk.reap() == []
    desk.live = set()
    assert [name for name, _ in desk.reap()] == ["a\\b", "two words"]


def test_who_is_asked_whether_somebody_lives_may_look_at_leases(tmp_path: Path) -> None:
    """No lock of the folder is held while the fleet is asked, so that asking cannot wait for itself.

    Source: edge case 245.
    """
    desk = Desk(FileStore(str(tmp_path), QuickDisk()))
    desk.store.write(KEY, body_of("dead"))

    def is_alive(session: str) -> bool:
        desk.leases.claim(f"asked-{session}", "w9", NOW, lambda _: False, desk.pause)
        return False

    assert desk.leases.claim("deploy", "w1", NOW, is_alive, desk.pause) == Won()
    desk.store.write("claims/more.json", body_of("gone"))
    assert ("more", "gone") in desk.leases.reap({"w1", "w9"}, is_alive, NOW)
    assert "asked-gone" in desk.leases.all()


def test_what_was_reaped_is_told_in_words() -> None:
    """The two facts of reaping are shown by their codes with what they say. Source: spec/beat.md §14."""
    out = io.StringIO()
    events = Events(StillClock(NOW), None, out, "json")
    events.emit("claim_reaped", claim="deploy", session="w1")
    events.emit("reap_skipped", error="cannot list the sessions")
    reaped, skipped = map(json.loads, out.getvalue().splitlines())
    assert (reaped["event"], reaped["level"], reaped["claim"], reaped["session"]) == (
        "claim.reaped",
        "info",
        "deploy",
        "w1",
    )
    assert reaped["msg"] == "lease deploy is free again: its holder 'w1' is gone"
    assert (skipped["event"], skipped["level"]) == ("claim.reap_skipped", "warn")
    assert skipped["msg"] == "leases and old sessions stay as they are: cannot list the sessions"
