"""Waiting for files to change."""

import errno
import os
import threading
import time

import pytest

from looop.runtime import watch
from looop.runtime.stop import StopFlag
from looop.runtime.watch import Watcher


def visible(folder, name):
    return not name.startswith(".") and (folder != "" or name == "PLAYBOOK.md")


@pytest.fixture
def stop():
    flag = StopFlag()
    yield flag
    flag.close()


@pytest.fixture(params=["kernel events", "looking again"])
def watcher(request, tmp_path, monkeypatch):
    """A started watcher over `tmp_path`, by kernel events and by its fallback."""
    (tmp_path / "goals").mkdir()
    if request.param == "looking again":
        monkeypatch.setattr(watch, "_new_source", no_watches)
    said = []
    made = Watcher(str(tmp_path), ("", "goals"), visible, said.append, poll_s=0.02)
    made.start()
    made.said = said
    yield made
    made.stop()


def no_watches():
    raise OSError(errno.EMFILE, "Too many open files")


def test_a_changed_file_ends_the_wait(watcher, tmp_path, stop):
    """A file written while somebody waits ends the wait, with its path. Source: design §3 row 6."""
    timer = threading.Timer(0.05, (tmp_path / "goals" / "a.md").write_text, ["x"])
    timer.start()
    assert watcher.wait(10, stop, settle_s=0.05) == {"goals/a.md"}
    timer.join()


def test_a_change_before_the_wait_is_not_missed(watcher, tmp_path, stop):
    """What changes between two waits ends the second one at once."""
    (tmp_path / "PLAYBOOK.md").write_text("x")
    assert watcher.wait(10, stop) == {"PLAYBOOK.md"}


def test_changes_that_come_together_are_one(watcher, tmp_path, stop):
    """A burst of writes is collected while things settle. Source: design §3 row 6."""
    for name in ("a.md", "b.md"):
        (tmp_path / "goals" / name).write_text("x")
    assert watcher.wait(10, stop, settle_s=0.2) == {"goals/a.md", "goals/b.md"}


def test_a_rename_and_a_removal_are_changes(watcher, tmp_path, stop):
    """Files that editors replace, and files that go, end the wait."""
    (tmp_path / "goals" / ".new").write_text("x")
    os.rename(tmp_path / "goals" / ".new", tmp_path / "goals" / "a.md")
    assert watcher.wait(10, stop, settle_s=0.05) == {"goals/a.md"}
    os.unlink(tmp_path / "goals" / "a.md")
    assert watcher.wait(10, stop) == {"goals/a.md"}


def test_what_is_not_wanted_does_not_end_the_wait(watcher, tmp_path, stop):
    """Locks, temporary files and the loop's own bookkeeping are not waited for."""
    (tmp_path / "goals" / ".dirlock").write_text("x")
    (tmp_path / "journal.md").write_text("x")
    assert watcher.wait(0.2, stop) == set()


def test_reading_is_not_a_change(watcher, tmp_path, stop):
    """Opening and reading a watched file ends no wait: the beat reads all of them."""
    goal = tmp_path / "goals" / "a.md"
    goal.write_text("x")
    watcher.wait(1, stop, settle_s=0.1)
    goal.read_text()
    assert watcher.wait(0.2, stop) == set()


def test_a_stop_ends_the_wait(watcher, stop):
    """A requested stop ends a long wait at once. Source: edge case 143."""
    timer = threading.Timer(0.05, stop.request)
    timer.start()
    began = time.monotonic()
    assert watcher.wait(30, stop) == set()
    assert time.monotonic() - began < 5
    timer.join()


def notice(watcher, stop):
    """Wait until the watcher says that `goals` is another folder; by looking it has nothing to notice."""
    if watcher._source is not None:
        assert watcher.wait(10, stop) == {"goals"}


def test_a_folder_that_was_replaced_is_watched_anew(watcher, tmp_path, stop):
    """A folder removed and made again is watched at the next wait."""
    os.rmdir(tmp_path / "goals")
    (tmp_path / "goals").mkdir()
    notice(watcher, stop)
    (tmp_path / "goals" / "a.md").write_text("x")
    assert watcher.wait(10, stop) == {"goals/a.md"}


@pytest.mark.parametrize("away", ["../elsewhere", ".old"])
def test_a_folder_that_was_moved_away_is_watched_anew(watcher, tmp_path, stop, away):
    """A folder that is swapped for another one, as a restored backup is, is watched at the next wait."""
    (tmp_path / "new").mkdir()
    os.rename(tmp_path / "goals", tmp_path / away)
    os.rename(tmp_path / "new", tmp_path / "goals")
    notice(watcher, stop)
    (tmp_path / "goals" / "a.md").write_text("x")
    assert watcher.wait(10, stop) == {"goals/a.md"}


def test_running_out_of_watches_is_said_once(tmp_path, monkeypatch, stop):
    """Without kernel events the watcher says so once and goes on by looking. Source: design §3 row 6."""
    monkeypatch.setattr(watch, "_new_source", no_watches)
    said = []
    watcher = Watcher(str(tmp_path), ("",), visible, said.append, poll_s=0.02)
    watcher.start()
    watcher.wait(0.05, stop)
    watcher.wait(0.05, stop)
    watcher.stop()
    assert len(said) == 1
    assert "every 0.02s" in said[0]


def test_running_out_of_watches_later_falls_back_too(tmp_path, stop, monkeypatch):
    """A watch that is refused for a folder that appears later ends in looking, not in an error."""
    said = []
    watcher = Watcher(str(tmp_path), ("", "goals"), visible, said.append, poll_s=0.02)
    watcher.start()

    def refuse(*_args, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(watcher._source, "watch", refuse)
    (tmp_path / "goals").mkdir()
    watcher.wait(0.05, stop)
    (tmp_path / "goals" / "a.md").write_text("x")
    assert watcher.wait(5, stop) == {"goals/a.md"}
    watcher.stop()
    assert len(said) == 1


def test_nothing_is_left_open(tmp_path):
    """Starting and stopping gives back every descriptor and thread."""
    before = len(os.listdir("/dev/fd")), threading.active_count()
    watcher = Watcher(str(tmp_path), ("",), visible, lambda _: None)
    watcher.start()
    watcher.stop()
    assert (len(os.listdir("/dev/fd")), threading.active_count()) == before
