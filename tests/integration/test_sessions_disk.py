"""Sessions whose ground gives way: a data dir that is removed or moved, a log that is gone, a full disk."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from looop.session.client import ask
from looop.session.fleet import Fleet, SpawnError
from looop.session.kin import birth
from tests.fakes.sessions import ENV, ended, left_in, log, marked, no_one_left, now, shows, start
from tests.fakes.tiny import fill, tiny_disk
from tests.fakes.waiting import gone, until
from tests.integration.test_sessions_places import folder_of

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at processes in /proc")


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with no_one_left(tmp_path) as fleet:
        yield fleet


def test_a_data_dir_that_is_removed_ends_its_sessions(tmp_path: Path) -> None:
    """Nobody can find the session any more, so its next output is its end, with all processes. Source: users.md."""
    with no_one_left(tmp_path / "d") as fleet:
        script = "trap '' HUP; setsid sleep 60 & echo ready; while :; do sleep 0.05; echo $$; done"
        session = start(fleet, "a", script)
        shows(session, b"ready")
        subprocess.run(["rm", "-rf", fleet._root], check=True)
        until(lambda: gone(session.pid), what="the end of the supervisor")
        assert marked(session.mark) == []
        assert not os.path.exists(session.socket)
        assert not os.path.exists(fleet._root)


def test_a_session_whose_record_is_removed_ends(fleet: Fleet) -> None:
    """So it does when the log and the record are gone, whatever else is left. Source: users.md, Orphans."""
    session = start(fleet, "a", "echo ready; while :; do sleep 0.05; echo $$; done")
    shows(session, b"ready")
    os.unlink(os.path.join(session.folder, "meta.json"))
    os.unlink(os.path.join(session.folder, "output.log"))
    until(lambda: gone(session.pid), what="the end of the supervisor")
    assert marked(session.mark) == []


def test_a_data_dir_that_is_moved_keeps_its_sessions(tmp_path: Path) -> None:
    """A session goes on where its folder is now: log, status, socket, kill; the old place is free. Source: §3.2."""
    with no_one_left(tmp_path / "new") as fleet, no_one_left(tmp_path / "old") as old:
        start(old, "a", "while :; do sleep 0.05; echo tick; done")
        os.rename(tmp_path / "old", tmp_path / "new")
        other = start(old, "a", "sleep 60")
        session = now(fleet, "a")
        assert session.alive
        size = len(log(session))
        until(lambda: len(log(session)) > size, what="more output in the new place")
        assert fleet.kill(session)["state"] == "killed"
        assert now(fleet, "a").state == "killed"
        assert now(old, "a").alive
        assert other.socket != session.socket


def test_a_log_that_is_removed_is_begun_anew(fleet: Fleet) -> None:
    """A session goes on in a new log when somebody removed the one it had. Source: spec/workers.md §3.2."""
    session = start(fleet, "a", "while :; do sleep 0.05; echo tick; done")
    shows(session, b"tick")
    os.unlink(os.path.join(session.folder, "output.log"))
    shows(session, b"tick\r\ntick")
    assert now(fleet, "a").alive


def test_a_full_disk_ends_no_session_and_no_truth(tmp_path: Path) -> None:
    """On a full disk a session goes on, says what it lost, and its last state is true. Source: edge case 240."""
    with tiny_disk(tmp_path / "disk", 128) as disk, no_one_left(disk) as fleet:
        (disk / "sessions").mkdir()
        session = start(fleet, "a", "read x; yes | head -c 300000; exit 3")
        other = start(fleet, "b", "sleep 60")
        fill(disk)
        with pytest.raises(SpawnError, match="No space left on device"):
            fleet.start("c", ["true"], ENV)
        assert left_in(fleet) == ["a", "b"]
        ask(session.socket, {"op": "send", "text": ""}, 5)
        session = ended(fleet, "a")
        assert (session.state, session.exit_code) == ("exited", 3)
        assert "No space left" in session.problem
        said = fleet.kill(other)
        assert (said["confirmed"], now(fleet, "b").state) == (True, "killed")
        orphan = fleet.reap("a")
        assert orphan


def test_a_full_disk_takes_the_word_of_a_sweep(tmp_path: Path) -> None:
    """An orphan is written down where there is no room, too. Source: edge case 240."""
    with tiny_disk(tmp_path / "disk", 64) as disk, no_one_left(disk) as fleet:
        session = start(fleet, "a", "sleep 60")
        fill(disk)
        os.kill(session.pid, 9)
        until(lambda: now(fleet, "a").is_orphaned, what="the orphan")
        fleet.sweep(now(fleet, "a"))
        assert now(fleet, "a").state == "killed"


def test_what_was_cut_short_is_cleaned_up(fleet: Fleet) -> None:
    """Temporary folders of the dead go, those of the living and what others made stay. Source: edge case 168."""
    start(fleet, "a", "exit 0")
    ended(fleet, "a")
    root = folder_of(fleet)
    dead, living = f".1.{birth(1)}x.abcd.tmp", f".{os.getpid()}.{birth(os.getpid())}.abcd.tmp"
    for name in (dead, living, ".other.tmp", ".x"):
        (root / name).mkdir()
        (root / name / "file").write_text("")
    fleet.clean()
    assert left_in(fleet) == sorted([living, ".other.tmp", ".x", "a"])
    assert [session.id for session in fleet.sessions()] == ["a"]
