"""The single-instance lock."""

import fcntl
import os
import signal
import subprocess
import sys
import threading

import pytest

from looop.model.errors import AlreadyRunning, Unwritable
from looop.runtime.lock import PulseLock, holder, is_held

HOLD = """
import sys
from looop.runtime.lock import PulseLock
PulseLock(sys.argv[1]).acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """Another process that holds the lock."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env
    )
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_only_one_holds_it(tmp_path, other):
    """A second pulse is refused and told the pid of the first. Source: edge case 139."""
    with pytest.raises(AlreadyRunning, match=f"pid {other.pid}"):
        PulseLock(str(tmp_path)).acquire()
    assert is_held(str(tmp_path))


def test_it_goes_with_its_holder(tmp_path, other):
    """After a kill -9 the next start succeeds at once, whatever the pid note says. Source: edge case 140."""
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    assert holder(str(tmp_path)) == str(other.pid)
    assert not is_held(str(tmp_path))
    lock = PulseLock(str(tmp_path))
    lock.acquire()
    assert holder(str(tmp_path)) == str(os.getpid())
    lock.release()


def test_the_lock_file_stays(tmp_path):
    """Releasing removes the pid note, never the lock file. Source: edge case 141."""
    lock = PulseLock(str(tmp_path))
    lock.acquire()
    inode = os.stat(tmp_path / ".lock" / "lock").st_ino
    lock.release()
    assert os.listdir(tmp_path / ".lock") == ["lock"]
    assert os.stat(tmp_path / ".lock" / "lock").st_ino == inode


def test_a_lock_that_cannot_be_opened_is_another_error(tmp_path):
    """A lock that cannot be opened is not taken for a running pulse. Source: edge case 139."""
    (tmp_path / ".lock").mkdir()
    (tmp_path / ".lock" / "lock").mkdir()
    with pytest.raises(Unwritable, match="cannot open the lock"):
        PulseLock(str(tmp_path)).acquire()
    assert not is_held(str(tmp_path))


def test_a_child_does_not_keep_it(tmp_path):
    """The descriptor is closed in programs the holder starts, so their lives do not extend the lock."""
    lock = PulseLock(str(tmp_path))
    lock.acquire()
    child = subprocess.Popen(["sleep", "30"], close_fds=False)
    lock.release()
    assert not is_held(str(tmp_path))
    child.kill()
    child.wait()


def test_looking_does_not_keep_a_starter_out(tmp_path):
    """A start waits a moment for those who ask whether a pulse runs: they hold the lock shared. Edge case 142."""
    (tmp_path / ".lock").mkdir()
    looking = os.open(tmp_path / ".lock" / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(looking, fcntl.LOCK_SH)
    timer = threading.Timer(0.015, os.close, [looking])
    timer.start()
    lock = PulseLock(str(tmp_path))
    lock.acquire()
    lock.release()
    timer.join()
