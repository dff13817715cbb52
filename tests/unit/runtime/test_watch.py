"""Waiting for files to change."""

import errno
import os
import signal
import sys
import threading
import time

import pytest

from looop.runtime import watch
from looop.runtime.inotify import Inotify
from looop.runtime.stop import StopFlag
from looop.runtime.watch import Watcher

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="inotify is of Linux")


def visible(folder, name):
    return not name.startswith(".") and (folder != "" or name == "PLAYBOOK.md")


@pytest.fixture
def stop():
    flag = StopFlag()
    yield flag
    flag.close()


@pytest.fixture(params=["kernel events", "a library", "looking again"])
def watcher(request, tmp_path, monkeypatch):
    """A started watcher over `tmp_path`, by kernel events, as on other systems, and by its fallback."""
    (tmp_path / "goals").mkdir()
    if request.param == "looking again":
        monkeypatch.setattr(watch, "_new_source", no_watches)
    if request.param == "a library":
        monkeypatch.setattr(watch, "_ON_LINUX", False)
    said = []
    made = Watcher(str(tmp_path), ("", "goals"), visible, said.append, poll_s=0.02)
    made.start()
    made.said = said
    yield made
    made.stop()


def no_watches(**_options):
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


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EIO])
def test_a_watch_that_is_refused_later_falls_back_too(tmp_path, stop, monkeypatch, number):
    """A watch that is refused, for whatever reason, for a folder that comes later ends in looking, not in an error."""
    said = []
    watcher = Watcher(str(tmp_path), ("", "goals"), visible, said.append, poll_s=0.02)
    watcher.start()

    def refuse(*_args, **_options):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(watcher._source, "watch", refuse)
    (tmp_path / "goals").mkdir()
    assert watcher.wait(0.05, stop) == {"."}, "what changed until then nobody knows"
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


def test_a_reason_to_look_is_enough(tmp_path, stop, monkeypatch):
    """Where somebody knows that events cannot be had, none are asked for; that is said, with the reason.

    Source: design §3 row 6.
    """
    monkeypatch.setattr(watch, "_new_source", no_watches)
    said = []
    watcher = Watcher(str(tmp_path), ("",), visible, said.append, poll_s=0.02, why_not="it is far away")
    watcher.start()
    assert said == ["files are looked at every 0.02s: it is far away"]
    (tmp_path / "PLAYBOOK.md").symlink_to("PLAYBOOK.md")
    assert watcher.wait(5, stop) == {"PLAYBOOK.md"}
    watcher.stop()


@on_linux
def test_lost_reports_end_the_wait(tmp_path, stop):
    """More events than the kernel keeps end the wait with the folders themselves, which are watched on."""
    with open("/proc/sys/fs/inotify/max_queued_events", encoding="utf-8") as file:
        most = int(file.read())
    if most > 100_000:
        pytest.skip("this kernel keeps too many events to lose some")
    (tmp_path / "goals").mkdir()
    watcher = Watcher(str(tmp_path), ("", "goals"), lambda _folder, name: name == "a.md", print)
    watcher.start()
    for _ in range(most // 2 + 10):
        for name in ("x", "y"):
            os.close(os.open(tmp_path / "goals" / name, os.O_CREAT | os.O_WRONLY))
    assert watcher.wait(5, stop) == {".", "goals"}
    (tmp_path / "goals" / "a.md").write_text("x")
    assert watcher.wait(5, stop) == {"goals/a.md"}
    watcher.stop()


@on_linux
@pytest.mark.parametrize(("kind", "expected"), [("all", "a b c d"), ("placed", "b c d"), ("gone", "d")])
def test_a_sleeper_is_woken_for_what_it_asked_for(tmp_path, kind, expected):
    """A link that appears, a file written in place, one moved there and one removed: each kind reports its own."""
    source = Inotify()
    source.watch(str(tmp_path), kind)
    os.symlink("nowhere", tmp_path / "a")
    (tmp_path / "b").write_text("x")
    (tmp_path / "b").rename(tmp_path / "c")
    (tmp_path / "c").rename(tmp_path / "d")
    (tmp_path / "d").unlink()
    assert sorted({name for _, name in source.take()}) == expected.split()
    source.close()


def test_a_folder_that_is_missing_is_looked_for(watcher, tmp_path, stop):
    """A folder that goes away and comes back later, with a file in it, ends a wait that has begun in between."""
    os.rmdir(tmp_path / "goals")
    watcher.wait(0.1, stop)

    def come_back():
        (tmp_path / ".new").mkdir()
        (tmp_path / ".new" / "a.md").write_text("x")
        os.rename(tmp_path / ".new", tmp_path / "goals")

    timer = threading.Timer(0.2, come_back)
    timer.start()
    assert watcher.wait(10, stop) & {"goals", "goals/a.md"}
    timer.join()


def test_a_storm_of_signals_ends_no_wait(tmp_path, stop):
    """Signals with a handler, a thousand a second, neither end a wait nor make it longer, and the change is seen."""
    seen = []
    before = signal.signal(signal.SIGALRM, lambda *_: seen.append(1))
    watcher = Watcher(str(tmp_path), ("",), visible, print)
    watcher.start()
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        began = time.monotonic()
        assert watcher.wait(0.3, stop) == set()
        assert 0.3 <= time.monotonic() - began < 2
        (tmp_path / "PLAYBOOK.md").write_text("x")
        assert watcher.wait(10, stop) == {"PLAYBOOK.md"}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        watcher.stop()
    assert len(seen) > 10
