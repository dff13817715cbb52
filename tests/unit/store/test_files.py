"""What only a store of files has: temporary files, modes, locks, links, and an operating system that says no."""

import errno
import fcntl
import os
import select
import signal
import stat
import threading
import time
from contextlib import nullcontext

import pytest

from looop.model.errors import Unreadable, Unwritable
from looop.store import fsio
from looop.store.files import FileStore
from looop.store.fsio import Disk, is_temp_name, temp_name
from looop.store.protocol import Entry
from tests.fakes.disk import FailingDisk, TearingDisk, WatchedDisk


@pytest.fixture
def root(tmp_path):
    return str(tmp_path / "root")


@pytest.fixture
def store(root):
    return FileStore(root)


@pytest.fixture
def umask():
    before = os.umask(0o027)
    yield
    os.umask(before)


def mode(*parts):
    return stat.S_IMODE(os.stat(os.path.join(*parts)).st_mode)


def open_files():
    return sorted(os.listdir("/dev/fd"))


def put(path, data=b"1"):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)


class TestTemporaryFiles:
    def test_names_are_unique_and_hidden(self, monkeypatch):
        """A thousand names made at one time by one process differ, start with a dot and end in .tmp.

        Source: spec/edge-cases.md item 241.
        """
        monkeypatch.setattr(time, "monotonic_ns", lambda: 1)
        names = [temp_name() for _ in range(1000)]
        assert len(set(names)) == 1000
        assert all(name.startswith(".") and name.endswith(".tmp") and len(name) < 64 for name in names)

    def test_another_process_picks_another_name(self):
        """Two processes with the same counter differ in their pid."""
        assert temp_name().startswith(f".{os.getpid()}-")

    def test_a_name_of_200_bytes_can_be_written(self, store):
        """The temporary name leaves out the target's, so that a long name stays within what the system takes."""
        store.write("box/" + "n" * 255, b"1")
        assert store.read("box/" + "n" * 255).data == b"1"

    def test_a_left_over_one_is_not_listed(self, store, root):
        """Temporary files of a process that died, and the lock, are never listed.

        Source: spec/edge-cases.md item 242.
        """
        store.write("box/a", b"1")
        put(f"{root}/box/{temp_name()}")
        assert len(os.listdir(f"{root}/box")) == 3
        assert [entry.name for entry in store.list("box")] == ["a"]

    def test_it_lies_beside_its_target(self, root):
        """A value is prepared in its own folder, because a rename between file systems is none."""
        disk = WatchedDisk()
        moves = []
        disk.meet = lambda name, real, args: (moves.append(args) if name == "rename" else None, real(*args))[1]
        FileStore(root, disk).write("box/a", b"1")
        ((source, target),) = moves
        assert os.path.dirname(source) == os.path.dirname(target) == f"{root}/box"


class TestOrderOfCalls:
    def test_a_durable_write(self, root):
        """The content is on the medium before the name is, and the folder comes last.

        Source: spec/beat.md §0, last paragraph.
        """
        disk = WatchedDisk()
        store = FileStore(root, disk)
        store.write("a", b"0")
        disk.calls.clear()
        store.write("a", b"1", executable=True)
        assert disk.calls == ["lock", "create", "chmod", "write", "sync", "close", "rename", "sync_folder", "close"]

    def test_a_write_that_need_not_last(self, root):
        """Without durability nothing waits for the medium."""
        disk = WatchedDisk()
        store = FileStore(root, disk)
        store.write("a", b"0", durable=False)
        store.append("a", b"1\n", durable=False)
        store.append("b", b"1\n", durable=False)
        assert not {"sync", "sync_folder"} & set(disk.calls[3:])

    def test_an_append_is_one_write(self, root):
        """A line is added by a single write, and synced.

        Source: spec/edge-cases.md item 246.
        """
        disk = WatchedDisk()
        store = FileStore(root, disk)
        store.write("log", b"torn")
        disk.calls.clear()
        store.append("log", b"x" * 1_000_000 + b"\n")
        assert disk.calls == ["lock", "extend", "tail", "write", "sync", "close", "close"]

    def test_a_removal_is_synced(self, root):
        """A removed name is gone from the medium too."""
        disk = WatchedDisk()
        store = FileStore(root, disk)
        store.write("a", b"1")
        disk.calls.clear()
        store.swap("a", b"1", None)
        assert disk.calls == ["lock", "read", "unlink", "sync_folder", "close"]

    def test_a_move_is_synced_in_both_folders(self, root):
        """A moved name is on the medium where it went before it is gone where it was."""
        disk = WatchedDisk()
        store = FileStore(root, disk)
        store.write("box/a", b"1")
        store.write("shelf/b", b"1")
        disk.calls.clear()
        synced = []
        disk.meet = lambda name, real, args: (synced.append(*args) if name == "sync_folder" else None, real(*args))[1]
        store.move("box/a", "shelf/a")
        assert synced == [f"{root}/shelf", f"{root}/box"]
        assert disk.calls == ["lock", "lock", "stat", "stat", "rename", "sync_folder", "sync_folder", "close", "close"]

    def test_readers_take_no_lock(self, root):
        """Reading and listing make one call each and touch no lock."""
        disk = WatchedDisk()
        store = FileStore(root, disk)
        store.read("box/a")
        store.list("box")
        assert disk.calls == ["read", "scan"]

    def test_a_new_folder_is_synced(self, root):
        """A folder that a write had to make is brought to the medium in its parent."""
        disk = WatchedDisk()
        FileStore(root, disk).write("box/inner/a", b"1")
        assert disk.calls.count("mkdir") == 5
        assert disk.calls.count("sync_folder") == 3 + 1

    def test_a_folder_that_somebody_else_makes_first_will_do(self, root):
        """Of two that need the same new folders at once both get their values in."""

        class Outrun(Disk):
            def mkdir(self, path):
                super().mkdir(path)
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))

        FileStore(root, Outrun()).write("box/inner/a", b"1")
        assert FileStore(root).read("box/inner/a").data == b"1"


class TestModes:
    def test_a_new_file_follows_the_umask(self, store, root, umask):
        """A new file has mode 0644 without what the umask takes."""
        store.write("a", b"1")
        store.create("b", b"1")
        store.append("c", b"1\n")
        assert [mode(root, name) for name in "abc"] == [0o640] * 3

    def test_a_mode_is_kept(self, store, root):
        """A file that a person made private stays private when it is replaced."""
        store.write("a", b"1")
        os.chmod(f"{root}/a", 0o600)
        store.write("a", b"2")
        assert mode(root, "a") == 0o600
        store.swap("a", b"2", b"3")
        assert mode(root, "a") == 0o600

    def test_a_new_file_is_readable_by_all(self, store, root):
        """Without a umask a new file has mode 0644, and so has a folder's lock."""
        before = os.umask(0)
        try:
            store.create("a", b"1")
        finally:
            os.umask(before)
        assert (mode(root, "a"), mode(root, ".dirlock")) == (0o644, 0o644)

    @pytest.mark.parametrize(("bits", "executable"), [(0o700, True), (0o610, True), (0o601, True), (0o666, False)])
    def test_executable_is_what_anybody_may_run(self, store, root, bits, executable):
        """A value is executable when its owner, its group or the others may run it."""
        store.write("a", b"1")
        os.chmod(f"{root}/a", bits)
        assert [entry.executable for entry in store.list("")] == [executable]

    def test_executable_is_0755(self, store, root, umask):
        """An executable value has mode 0755 whatever it had before and whatever the umask is."""
        store.write("a", b"1")
        os.chmod(f"{root}/a", 0o600)
        store.write("a", b"2", executable=True)
        assert mode(root, "a") == 0o755


class TestLocks:
    def test_each_folder_has_its_own(self, store, root):
        """The lock lies in the folder that changes, and in the root for the root's own files."""
        store.write("a", b"1")
        store.write("box/a", b"1")
        assert os.path.exists(f"{root}/.dirlock")
        assert os.path.exists(f"{root}/box/.dirlock")

    @pytest.mark.parametrize("change", ["write", "create", "swap", "append", "move"])
    def test_every_change_waits_for_it(self, store, root, change):
        """While someone holds a folder's lock nothing in it changes, and then it does."""
        store.write("box/a", b"1")
        call = {
            "write": lambda: store.write("box/a", b"2"),
            "create": lambda: store.create("box/b", b"2"),
            "swap": lambda: store.swap("box/a", b"1", None),
            "append": lambda: store.append("box/a", b"2\n"),
            "move": lambda: store.move("box/a", "shelf/a"),
        }[change]
        holder = Disk().lock(f"{root}/box/.dirlock")
        worker = threading.Thread(target=call)
        worker.start()
        worker.join(0.05)
        assert worker.is_alive()
        assert [(entry.name, entry.size) for entry in store.list("box")] == [("a", 1)]
        os.close(holder)
        worker.join(5)
        assert [(entry.name, entry.size) for entry in store.list("box")] != [("a", 1)] or store.read(
            "box/a"
        ).data == b"2"

    def test_a_signal_does_not_end_the_wait(self, root):
        """Waiting for a lock goes on after a signal.

        Source: spec/edge-cases.md item 244.
        """
        os.mkdir(root)
        holder = Disk().lock(f"{root}/.dirlock")
        rings = []

        def ring(number, _frame):
            rings.append(number)
            if len(rings) == 3:
                os.close(holder)

        before = signal.signal(signal.SIGALRM, ring)
        timer = signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
        try:
            FileStore(root).write("a", b"1")
        finally:
            signal.setitimer(signal.ITIMER_REAL, *timer)
            signal.signal(signal.SIGALRM, before)
        assert len(rings) >= 3

    def test_a_child_does_not_inherit_it(self, root):
        """A lock's descriptor is closed on exec, so that no child process keeps the folder locked."""
        os.mkdir(root)
        fd = Disk().lock(f"{root}/.dirlock")
        assert fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
        os.close(fd)

    def test_it_is_given_back_after_an_error(self, store, root):
        """A change that failed does not leave its folder locked.

        Source: spec/edge-cases.md item 245.
        """
        os.makedirs(f"{root}/box")
        for _ in range(2):
            with pytest.raises(Unwritable):
                store.move("box", "shelf/a")
        store.write("a", b"1")

    def test_two_names_of_one_folder_are_one_lock(self, store, root):
        """A move between two names of one folder does not wait for itself.

        Source: spec/edge-cases.md item 245.
        """
        store.write("box/a", b"1")
        os.symlink("box", f"{root}/alias")
        assert store.move("box/a", "alias/b") is True
        assert store.read("box/b").data == b"1"

    def test_moves_in_opposite_directions_do_not_wait_for_each_other(self, store):
        """Two folders are locked in one order, whichever way a value goes."""
        store.write("box/a", b"1")
        store.write("shelf/b", b"2")

        def shuttle(key, here, there):
            for _ in range(50):
                assert store.move(f"{here}/{key}", f"{there}/{key}")
                assert store.move(f"{there}/{key}", f"{here}/{key}")

        workers = [
            threading.Thread(target=shuttle, args=("a", "box", "shelf"), daemon=True),
            threading.Thread(target=shuttle, args=("b", "shelf", "box"), daemon=True),
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(20)
        assert not any(worker.is_alive() for worker in workers)
        assert (store.read("box/a").data, store.read("shelf/b").data) == (b"1", b"2")


class TestLinks:
    def test_they_are_followed(self, store, root, tmp_path):
        """A linked file is listed with the size of what it leads to, and a linked folder is a folder."""
        put(f"{tmp_path}/notes/far.md", b"12345")
        put(f"{root}/near.md")
        os.symlink(f"{tmp_path}/notes/far.md", f"{root}/far.md")
        os.symlink(f"{tmp_path}/notes", f"{root}/notes")
        assert [(entry.name, entry.size) for entry in store.list("")] == [("far.md", 5), ("near.md", 1)]
        assert [entry.name for entry in store.list("notes")] == ["far.md"]
        assert store.read("far.md").data == b"12345"

    def test_one_to_nowhere_is_listed(self, store, root):
        """A link to nowhere is listed with size -1 and reads as absent."""
        os.makedirs(root)
        os.symlink("nowhere", f"{root}/a")
        assert store.list("") == [Entry("a", -1, -1, False)]
        assert store.read("a") is None

    def test_one_to_itself_is_unreadable(self, store, root):
        """A link that leads in a circle may hide a value: it is not absent."""
        os.makedirs(root)
        os.symlink("a", f"{root}/a")
        assert [entry.size for entry in store.list("")] == [-1]
        with pytest.raises(Unreadable, match="symbolic links"):
            store.read("a")

    def test_a_folder_that_leads_nowhere_is_unwritable(self, store, root):
        """A folder that is a link to nowhere is an error at once, at any depth."""
        os.makedirs(root)
        os.symlink("nowhere", f"{root}/box")
        for key in ("box/a", "box/inner/a"):
            with pytest.raises(Unwritable):
                store.write(key, b"1")

    def test_a_name_that_left_while_we_looked_is_left_out(self, tmp_path, monkeypatch):
        """A file removed between the listing and the look at it is not mistaken for a broken link."""
        put(f"{tmp_path}/a")
        put(f"{tmp_path}/b")
        seen = list(os.scandir(tmp_path))
        os.unlink(f"{tmp_path}/a")
        monkeypatch.setattr(os, "scandir", lambda folder: nullcontext(seen))
        assert [entry.name for entry in FileStore(str(tmp_path)).list("")] == ["b"]


class TestOddFiles:
    def test_a_name_that_is_no_text_can_be_read(self, store, root):
        """A name that is not valid UTF-8 is listed, and its key reads."""
        put(f"{root}/a")
        try:
            put(os.fsencode(root) + b"/\xff.json")
        except OSError:
            pytest.skip("this file system takes only UTF-8 names")
        names = [entry.name for entry in store.list("")]
        assert [store.read(name).data for name in names] == [b"1", b"1"]

    def test_a_pipe_does_not_block(self, store, root):
        """A named pipe in the place of a value is unreadable at once, and refuses appends."""
        os.makedirs(root)
        os.mkfifo(f"{root}/a")
        with pytest.raises(Unreadable, match="regular"):
            store.read("a")
        with pytest.raises(Unwritable, match="regular"):
            store.append("a", b"1\n")

    def test_data_and_time_are_of_one_file(self, root):
        """A value replaced between the opening and the reading is read with its own time, not its successor's."""
        store = FileStore(root)
        store.write("a", b"old")
        os.utime(f"{root}/a", ns=(5, 5))
        real = os.fstat

        def fstat(fd):
            store.write("a", b"new", durable=False)
            os.fstat = real
            return real(fd)

        os.fstat = fstat
        try:
            blob = store.read("a")
        finally:
            os.fstat = real
        assert (blob.data, blob.mtime_ns) == (b"old", 5)

    def test_the_root_may_be_relative(self, tmp_path, monkeypatch):
        """A store keeps to the folder it was opened on when the process goes elsewhere."""
        monkeypatch.chdir(tmp_path)
        store = FileStore("root")
        monkeypatch.chdir("/")
        store.write("a", b"1")
        assert os.path.exists(tmp_path / "root" / "a")


class TestRefusals:
    @pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ENOTDIR, errno.ELOOP, errno.EMFILE])
    def test_only_not_found_is_absent(self, root, number):
        """Every answer but "not found" is Unreadable, in one sentence with the path and the reason.

        Source: spec/beat.md §0, four-valued reads.
        """
        with pytest.raises(Unreadable) as caught:
            FileStore(root, FailingDisk("read", number)).read("a")
        assert str(caught.value) == f"cannot read '{root}/a': {os.strerror(number)}"
        with pytest.raises(Unreadable) as caught:
            FileStore(root, FailingDisk("scan", number)).list("box")
        assert str(caught.value) == f"cannot list '{root}/box': {os.strerror(number)}"

    def test_create_does_not_take_a_refused_look_for_absence(self, store, root):
        """Where the place cannot be looked at, create is an error and not a win.

        Source: spec/workers.md §8, stat errors must surface.
        """
        store.write("a", b"1")
        with pytest.raises(Unwritable):
            FileStore(root, FailingDisk("stat", errno.EACCES)).create("a", b"2")
        with pytest.raises(Unwritable):
            FileStore(root, FailingDisk("stat", errno.EACCES)).move("b", "a")
        assert store.read("a").data == b"1"

    def test_swap_tells_unreadable_from_different(self, store, root):
        """Where the value cannot be read, swap raises Unreadable."""
        store.write("a", b"1")
        with pytest.raises(Unreadable):
            FileStore(root, FailingDisk("read", errno.EIO)).swap("a", b"1", b"2")

    def test_a_folder_that_cannot_be_synced_is_no_failure(self, root):
        """Syncing the folder is best effort: the value is there."""
        FileStore(root, FailingDisk("sync_folder", errno.EINVAL)).write("box/a", b"1")
        assert FileStore(root).read("box/a").data == b"1"

    @pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
    def test_what_is_refused_is_said(self, store, root, number):
        """A change that is refused names its paths and the reason, in one sentence."""
        store.write("a", b"1")
        refusing = FileStore(root, FailingDisk("rename", number))
        with pytest.raises(Unwritable) as caught:
            refusing.write("a", b"2")
        assert str(caught.value) == f"cannot write '{root}/a': {os.strerror(number)}"
        with pytest.raises(Unwritable) as caught:
            refusing.move("a", "b")
        assert str(caught.value) == f"cannot move '{root}/a' to '{root}/b': {os.strerror(number)}"
        assert store.read("a").data == b"1"

    @pytest.mark.parametrize("call", ["scan", "unlink"])
    def test_debris_that_cannot_be_removed_is_no_failure(self, root, call):
        """Sweeping is best effort: a value can be written where nothing can be listed or removed."""
        put(f"{root}/{temp_name()}")
        FileStore(root, FailingDisk(call, errno.EACCES)).write("a", b"1")
        assert FileStore(root).read("a").data == b"1"

    def test_a_refused_close_of_the_lock_is_no_failure(self, root):
        """The change is made and the lock is given back, whatever the system says to the close."""
        store = FileStore(root)
        store.write("a", b"1")
        closing = WatchedDisk()
        FileStore(root, closing).write("a", b"2")
        last = FailingDisk(len(closing.calls), errno.EIO)
        FileStore(root, last).write("a", b"3")
        assert (last.calls[-1], store.read("a").data) == ("close", b"3")

    def test_a_failed_undo_does_not_hide_the_failure(self, root):
        """Where a torn line cannot be cut off either, the reason of the failure is told; the next line stands alone."""

        class Stuck(TearingDisk):
            def truncate(self, fd, size):
                raise OSError(errno.EIO, "no truncate")

        FileStore(root).write("log", b"1\n")
        with pytest.raises(Unwritable, match="part of the line"):
            FileStore(root, Stuck()).append("log", b"22222\n")
        FileStore(root).append("log", b"3\n")
        assert FileStore(root).read("log").data == b"1\n222\n3\n"

    def test_the_sentence_stays_one_line(self, store, root):
        """A name with a newline in it does not break the message in two."""
        os.makedirs(f"{root}/a\nb")
        with pytest.raises(Unreadable) as caught:
            store.read("a\nb")
        assert "\n" not in str(caught.value)

    def test_a_write_taken_in_parts_is_whole(self, root):
        """When the system takes a value in parts, all parts arrive."""
        store = FileStore(root, TearingDisk())
        store.write("a", b"0123456789")
        assert store.read("a").data == b"0123456789"

    def test_a_short_append_is_undone(self, root):
        """When the system takes a part of a line only, the append fails and the part is cut off again."""
        FileStore(root).write("log", b"1\n")
        store = FileStore(root, TearingDisk())
        with pytest.raises(Unwritable, match="part of the line"):
            store.append("log", b"22222\n")
        assert store.read("log").data == b"1\n"


class TestLongWaits:
    def test_a_lock_that_is_never_given_back_is_an_error(self, root, monkeypatch):
        """Whoever waits for longer than any change takes is told so, and holds nothing.

        Source: spec/edge-cases.md item 245.
        """
        os.mkdir(root)
        holder = Disk().lock(f"{root}/.dirlock")
        monkeypatch.setattr(fsio, "_PATIENCE_S", 0)
        before = open_files()
        with pytest.raises(Unwritable, match="another process has held its lock for 0 s"):
            FileStore(root).write("a", b"1")
        assert open_files() == before
        os.close(holder)
        FileStore(root).write("a", b"1")

    def test_the_pauses_grow_to_a_hundredth_of_a_second(self, root, monkeypatch):
        """A short wait costs half a millisecond, a long one a hundred looks a second."""
        os.mkdir(root)
        holder = Disk().lock(f"{root}/.dirlock")
        pauses = []

        def pause(_readers, _writers, _errors, seconds):
            pauses.append(round(seconds, 5))
            if len(pauses) == 10:
                os.close(holder)

        monkeypatch.setattr(select, "select", pause)
        os.close(Disk().lock(f"{root}/.dirlock"))
        assert pauses[:3] == [0.0005, 0.00075, 0.00113]
        assert pauses[-2:] == [0.01, 0.01]


class TestCalls:
    def test_a_value_read_in_parts_is_whole(self, store, monkeypatch):
        """When the system gives a value in parts, all parts arrive and nothing else."""
        store.write("a", b"0123456789")
        real = os.read
        monkeypatch.setattr(os, "read", lambda fd, size: real(fd, min(size, 3)))
        assert store.read("a").data == b"0123456789"

    def test_no_descriptor_is_left_open(self, store, root):
        """Each call gives back what it opened, also when it fails."""
        store.append("log", b"1\n")
        os.mkfifo(f"{root}/pipe")
        before = open_files()
        store.write("a", b"1")
        store.append("log", b"2\n")
        store.read("a")
        store.move("a", "box/b")
        for key in ("pipe", "box"):
            with pytest.raises(Unreadable):
                store.read(key)
            with pytest.raises(Unwritable):
                store.append(key, b"1\n")
        assert open_files() == before

    def test_a_folder_is_synced_itself(self, tmp_path, monkeypatch):
        """It is the folder's own names that are brought to the medium."""
        synced = []
        monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_ino))
        Disk().sync_folder(str(tmp_path))
        assert synced == [os.stat(tmp_path).st_ino]

    def test_only_its_own_names_are_debris(self):
        """A name that only looks like a temporary one belongs to somebody."""
        assert is_temp_name(temp_name())
        for name in ("1-a-2.tmp", ".1-a-2", ".1-a-2.tmpx", ".1-a.tmp", ".1-a-2-3.tmp", ".x-a-2.tmp", ".1-a-x.tmp"):
            assert not is_temp_name(name), name


class TestFullSync:
    """Source: docs of fcntl(2) on macOS, F_FULLFSYNC."""

    def test_it_is_used_where_there_is_one(self, tmp_path, monkeypatch):
        """Where the system has a full sync, a plain one is not enough."""
        asked = []
        monkeypatch.setattr(fsio, "_FULL_SYNC", 51)
        monkeypatch.setattr(fcntl, "fcntl", lambda fd, number: asked.append(number))
        monkeypatch.setattr(os, "fsync", lambda fd: asked.append("plain"))
        Disk().sync(0)
        assert asked == [51]

    def test_a_plain_one_stands_in(self, monkeypatch):
        """Where the file system does not support it, a plain sync is made."""
        asked = []

        def refuse(fd, number):
            raise OSError(errno.ENOTSUP, "no")

        monkeypatch.setattr(fsio, "_FULL_SYNC", 51)
        monkeypatch.setattr(fcntl, "fcntl", refuse)
        monkeypatch.setattr(os, "fsync", asked.append)
        Disk().sync(7)
        assert asked == [7]


def test_debris_of_a_killed_writer_is_removed(tmp_path):
    """Temporary files a killed writer left go with the next write of another process; others' dot files stay."""
    folder = tmp_path / "goals"
    folder.mkdir()
    for name in (".123-abc-4.tmp", ".mine.tmp", ".hidden"):
        (folder / name).write_text("x")
    FileStore(str(tmp_path)).write("goals/a.md", b"a")
    assert sorted(os.listdir(folder)) == [".dirlock", ".hidden", ".mine.tmp", "a.md"]
