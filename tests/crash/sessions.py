"""The records of sessions, stopped at every point: what a supervisor, a sweep and a removal do to their folders.

They call the system themselves, so here the system is a disk that may die: `Kernel` stands for `os` in their modules.
What they kill, and the sockets, are no part of this; tests/crash/test_session_crash.py runs the processes.
"""

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

from looop.session import fleet as fleet_module
from looop.session import record, supervisor
from looop.session.fleet import Fleet
from looop.session.options import Options, parse
from looop.session.record import ENDS, EXITED, RUNNING, Folder
from looop.session.supervisor import Supervisor
from looop.store.fsio import Disk
from tests.crash.points import Operation, Place
from tests.crash.power import PowerDisk
from tests.fakes.disk import WatchedDisk

DEAD = "gone-1-1"  # of another boot: whoever has begun then is no more


class Kernel:
    """The module `os`, whose calls that change a disk are points of this one."""

    def __init__(self, disk: Disk) -> None:
        self._disk, self._paths, self._first = disk, dict[int, str](), dict[str, str]()

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        name, is_there = self._name(path, dir_fd), True
        try:
            os.stat(path, dir_fd=dir_fd)
        except FileNotFoundError:
            is_there = False
        changes = flags & (os.O_WRONLY | os.O_RDWR)
        call = "lock" if not changes else "extend" if is_there else "create"
        fd: int = self._call(call, lambda: os.open(path, flags, mode, dir_fd=dir_fd), name)
        self._paths[fd] = name
        return fd

    def write(self, fd: int, data: bytes) -> Any:
        return self._call("write", lambda: os.write(fd, data), fd, data)

    def fsync(self, fd: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(fd).st_mode)
        self._call("sync_folder" if is_folder else "sync", lambda: None, self._paths[fd] if is_folder else fd)

    def close(self, fd: int) -> None:
        self._call("close", lambda: os.close(fd), fd)

    def rename(self, source: str, target: str, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
        names = self._name(source, src_dir_fd), self._name(target, dst_dir_fd)
        if os.path.isdir(source) and src_dir_fd is None:
            self._first[target] = source
            for inside in os.listdir(source) if isinstance(self._disk, PowerDisk) else []:
                self._disk.know(f"{source}/{inside}", f"{source}/{inside}")  # type: ignore[attr-defined]
        self._call("rename", lambda: os.rename(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd), *names)

    def unlink(self, path: str, *, dir_fd: int | None = None) -> None:
        self._call("unlink", lambda: os.unlink(path, dir_fd=dir_fd), self._name(path, dir_fd))

    def rmdir(self, path: str) -> None:
        self._call("unlink", lambda: os.rmdir(path), path)

    def mkdir(self, path: str) -> None:
        self._call("mkdir", lambda: os.mkdir(path), path)

    def makedirs(self, path: str, exist_ok: bool) -> None:
        with suppress(FileExistsError):
            self.mkdir(path)

    def _name(self, path: str, dir_fd: int | None) -> str:
        """The path by which the disk knows it: of a folder that was moved, the first."""
        name = os.path.normpath(path if dir_fd is None else f"{self._paths[dir_fd]}/{path}")
        folder = os.path.dirname(name)
        return f"{self._first.get(folder, folder)}/{os.path.basename(name)}"

    def _call(self, name: str, real: Callable[[], Any], *args: Any) -> Any:
        if not isinstance(self._disk, WatchedDisk):
            return real()
        self._disk.calls.append(name)
        return self._disk.meet(name, lambda *_: real(), args)


@contextmanager
def dying(place: Place) -> Iterator[None]:
    """The session modules call this place's disk, and whoever works there is dead afterwards."""
    kernel = Kernel(place.store._disk)
    with ExitStack() as stack:
        for module in (record, supervisor, fleet_module):
            stack.enter_context(mock.patch.object(module, "os", kernel))
        for module in (record, supervisor):
            stack.enter_context(mock.patch.object(module, "birth", lambda pid: DEAD))
        yield


def begin(place: Place) -> None:
    """What a supervisor writes until its command runs."""
    with dying(place):
        session = Supervisor(options(place))
        session._found()
        session._note(RUNNING)
        session._folder.close()
    os.close(session.transcript._fd)


def options(place: Place) -> Options:
    words = ["run", "--detached-id", "a", f"--root={place.root}", "--max-log", "0", "--size", "80x24", "--", "true"]
    found = parse(words)
    assert isinstance(found, Options)
    return found


def end(place: Place) -> None:
    """What it writes last."""
    with dying(place):
        session = Supervisor(options(place))
        session._folder = Folder(f"{place.root}/sessions/a")
        session._status["exit_code"] = 3
        session._note(EXITED)
        session._folder.announce_end()
        session._folder.close()


def sweep(place: Place) -> None:
    fleet = Fleet(str(place.root))
    with dying(place):
        if found := fleet.session("a"):
            fleet.sweep(found)


def reap(place: Place) -> None:
    with dying(place):
        Fleet(str(place.root)).reap("a")


def session(place: Place) -> str | None:
    """How the session stands; what is left of it can be removed, and then its id is free."""
    with tempfile.TemporaryDirectory(dir=place.root.parent) as folder:
        root = Path(folder) / "copy"
        shutil.copytree(place.root, root)
        assert_goes_on(Fleet(str(root)))
    found = Fleet(str(place.root)).session("a")
    return None if found is None else "orphaned" if found.is_orphaned else f"{found.state} {found.exit_code}"


def assert_goes_on(fleet: Fleet) -> None:
    fleet.clean()
    if found := fleet.session("a"):
        assert not found.alive
        fleet.sweep(found)
        assert fleet.reap("a")
    assert not fleet.is_taken("a"), "nobody could ever use or remove it"
    assert set(os.listdir(fleet._folder)) <= {ENDS} if os.path.isdir(fleet._folder) else True


SESSIONS = {
    "begin of a session": Operation(begin, session, again=False),
    "end of a session": Operation(end, session, begin, durable=False),
    "sweep of an orphan": Operation(sweep, session, begin, durable=False),
    "removal of a session": Operation(reap, session, lambda place: (begin(place), end(place))),
}
