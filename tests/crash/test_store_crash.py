"""Stop a store at any call, fail any call, race real processes: a value is the old one or the new one, never between.

The points are enumerated, not sampled: each scenario is first run on a healthy disk to count its calls, then once
per call with a disk that dies there, and once per call with a disk that fails there.
"""

import errno
import os
import signal
import time
import warnings
from contextlib import suppress
from random import Random

import pytest

from looop.model.errors import Unreadable, Unwritable
from looop.store.files import FileStore
from tests.crash.points import CUTS
from tests.crash.power import PowerDisk
from tests.fakes.disk import Died, DyingDisk, FailingDisk, QuickDisk, TearingDisk, WatchedDisk

BIG = b"new " * 50_000
NEVER = 10**6
FOLDERS = ("box", "shelf", "shelf/inner")

# name: values before, the change, values after
SCENARIOS = {
    "write new": ({}, lambda s: s.write("box/a", BIG), {"box/a": BIG}),
    "write below new folders": ({}, lambda s: s.write("shelf/inner/a", BIG), {"shelf/inner/a": BIG}),
    "write over": ({"box/a": b"old"}, lambda s: s.write("box/a", BIG), {"box/a": BIG}),
    "write not durable": ({"box/a": b"old"}, lambda s: s.write("box/a", BIG, durable=False), {"box/a": BIG}),
    "write executable": ({"box/a": b"old"}, lambda s: s.write("box/a", BIG, executable=True), {"box/a": BIG}),
    "create": ({}, lambda s: s.create("box/a", b"new"), {"box/a": b"new"}),
    "create taken": ({"box/a": b"old"}, lambda s: s.create("box/a", b"new"), {"box/a": b"old"}),
    "swap": ({"box/a": b"old"}, lambda s: s.swap("box/a", b"old", b"new"), {"box/a": b"new"}),
    "swap lost": ({"box/a": b"other"}, lambda s: s.swap("box/a", b"old", b"new"), {"box/a": b"other"}),
    "swap away": ({"box/a": b"old", "box/b": b"1"}, lambda s: s.swap("box/a", b"old", None), {"box/b": b"1"}),
    "append first": ({}, lambda s: s.append("box/log", b"2\n"), {"box/log": b"2\n"}),
    "append": ({"box/log": b"1\n"}, lambda s: s.append("box/log", b"2\n"), {"box/log": b"1\n2\n"}),
    "append after torn": ({"box/log": b"1\nto"}, lambda s: s.append("box/log", b"2\n"), {"box/log": b"1\nto\n2\n"}),
    "move": ({"box/a": b"old"}, lambda s: s.move("box/a", "box/b"), {"box/b": b"old"}),
    "move over": (
        {"box/a": b"1", "shelf/a": b"2"},
        lambda s: s.move("box/a", "shelf/a", replace=True),
        {"shelf/a": b"1"},
    ),
    "move below new folders": (
        {"box/a": b"old"},
        lambda s: s.move("box/a", "shelf/inner/a"),
        {"shelf/inner/a": b"old"},
    ),
}


@pytest.fixture(params=SCENARIOS)
def scenario(request):
    return SCENARIOS[request.param]


def values(root):
    """Every value a fresh process finds, by way of the listing."""
    store = FileStore(root)
    keys = [f"{folder}/{entry.name}" for folder in FOLDERS for entry in store.list(folder)]
    return {key: store.read(key).data for key in keys}


def temporary(root):
    return [name for _, _, names in os.walk(root) for name in names if name.endswith(".tmp")]


def prepare(root, before):
    store = FileStore(root)
    for key, data in before.items():
        store.write(key, data, durable=False)


def points(tmp_path, scenario):
    """A fresh root for each call the scenario makes, with the number of the call."""
    before, change, after = scenario
    healthy = str(tmp_path / "healthy")
    disk = WatchedDisk()
    prepare(healthy, before)
    change(FileStore(healthy, disk))
    assert values(healthy) == after
    assert len(disk.calls) >= 3
    for at in range(1, len(disk.calls) + 1):
        root = str(tmp_path / str(at))
        prepare(root, before)
        yield root, at


def assert_goes_on(root):
    """A later process changes every folder as if nothing had happened, without waiting for a lock."""
    store = FileStore(root)
    found = values(root)
    for folder in FOLDERS:
        store.write(f"{folder}/later", b"1", durable=False)
        assert store.move(f"{folder}/later", f"{folder}/latest")
        assert store.swap(f"{folder}/latest", b"1", None)
    assert values(root) == found


def test_dying_at_any_call_leaves_old_or_new(tmp_path, scenario):
    """A process that dies before any one of its calls leaves the old value or the new, nothing listed beside it.

    Source: spec/beat.md §0, last paragraph; spec/edge-cases.md item 242.
    """
    before, change, after = scenario
    for root, at in points(tmp_path, scenario):
        with pytest.raises(Died):
            change(FileStore(root, DyingDisk(at)))
        assert values(root) in (before, after), at
        assert_goes_on(root)


def test_what_died_can_be_done_again(tmp_path, scenario):
    """The same change made again after the death, where it had not happened, has its whole effect."""
    before, change, after = scenario
    for root, at in points(tmp_path, scenario):
        with suppress(Died):
            change(FileStore(root, DyingDisk(at)))
        if values(root) == before:
            change(FileStore(root))
        assert values(root) == after, at


@pytest.mark.parametrize("way", CUTS)
def test_a_power_cut_leaves_old_or_new(tmp_path, scenario, way):
    """Where the power fails the old value is there or the new, once the call has returned the new; all others stay.

    A line may be torn, and so may what was not written durably. Source: store/protocol.py, Note [Promises].
    """
    before, change, after = scenario
    is_soft, is_line = scenario is SCENARIOS["write not durable"], "box/log" in after
    prepare(str(tmp_path / "end"), before)
    for root, at in [*points(tmp_path, scenario), (str(tmp_path / "end"), NEVER)]:
        disk = PowerDisk(at)
        with suppress(Died):
            change(FileStore(root, disk))
        disk.cut(Random(at), *CUTS[way])
        found = values(root)
        if at == NEVER and not is_soft:
            assert found == after
        elif is_line and found:
            assert found["box/log"].startswith(before.get("box/log", b"")), at
        elif not is_soft:
            assert found in (before, after), at
        assert_goes_on(root)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_a_failure_at_any_call_leaves_the_old_value(tmp_path, scenario, number):
    """A call that fails is an error with the old value whole, or did not matter; no temporary file is left.

    Source: spec/edge-cases.md item 240.
    """
    before, change, after = scenario
    failures = 0
    for root, at in points(tmp_path, scenario):
        store = FileStore(root, FailingDisk(at, number))
        try:
            change(store)
        except (Unwritable, Unreadable):
            failures += 1
            assert values(root) == before, at
        else:
            assert values(root) == after, at
        assert temporary(root) == [], at
        store.write("box/later", b"1", durable=False)
        assert store.swap("box/later", b"1", None)
        assert_goes_on(root)
    assert failures >= 2


@pytest.mark.parametrize("name", ["create", "write", "sync", "rename"])
def test_a_full_disk_is_unwritable(tmp_path, name):
    """A disk on which one kind of call always fails raises Unwritable and keeps the old value.

    Source: spec/edge-cases.md item 240.
    """
    root = str(tmp_path)
    prepare(root, {"box/a": b"old"})
    store = FileStore(root, FailingDisk(name, errno.ENOSPC))
    for change in (lambda: store.write("box/a", b"new"), lambda: store.swap("box/a", b"old", b"new")):
        with pytest.raises(Unwritable, match="No space left"):
            change()
    assert values(root) == {"box/a": b"old"}
    assert temporary(root) == []


def test_a_line_torn_by_a_crash_costs_one_line(tmp_path):
    """When a process dies in the middle of an append, every other line stays whole, before and after it."""
    root = str(tmp_path)
    prepare(root, {"box/log": b"first\n"})
    with pytest.raises(Died):
        FileStore(root, DyingWriter()).append("box/log", b"second\n")
    FileStore(root).append("box/log", b"third\n")
    assert values(root) == {"box/log": b"first\nseco\nthird\n"}


def test_a_value_torn_by_a_crash_is_never_seen(tmp_path):
    """When a process dies in the middle of writing a value, the old one is what everyone reads."""
    root = str(tmp_path)
    prepare(root, {"box/a": b"old"})
    with pytest.raises(Died):
        FileStore(root, DyingWriter()).write("box/a", b"new")
    assert values(root) == {"box/a": b"old"}
    assert_goes_on(root)


class DyingWriter(TearingDisk):
    """Dies in the middle of its first write; the kernel closes the lock it held, and nothing later reaches the disk."""

    def __init__(self):
        super().__init__(dies=True)
        self.held = None

    def lock(self, path):
        self.held = super().lock(path)
        return self.held

    def close(self, fd):
        if fd == self.held:
            os.close(fd)

    def unlink(self, path):
        raise Died("unlink")


def race(count, run):
    """What each of `count` processes returned from `run(number)`, started together."""
    gate, open_gate = os.pipe()
    racers = [start(gate, open_gate, run, number) for number in range(count)]
    os.close(gate)
    os.close(open_gate)
    return [finish(*racer) for racer in racers]


def start(gate, open_gate, run, number):
    """Fork a racer that waits until the gate is closed, and tells through a pipe what it has to tell."""
    answer, tell = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the racer uses no thread of the parent's
        pid = os.fork()
    if pid:
        os.close(tell)
        return pid, answer
    status = 1
    try:
        os.close(open_gate)
        os.read(gate, 1)
        os.write(tell, run(number))
        status = 0
    finally:
        os._exit(status)


def finish(pid, answer):
    with os.fdopen(answer, "rb") as file:
        told = file.read()
    _, status = os.waitpid(pid, 0)
    assert status == 0
    return told


def test_create_has_one_winner(tmp_path):
    """Of four processes that create the same key exactly one is told so, 200 times, and its value is there.

    Source: spec/workers.md §8.
    """
    root = str(tmp_path)

    def run(number):
        store = FileStore(root, QuickDisk())
        return bytes(store.create(f"box/{turn}", b"%d" % number) for turn in range(200))

    told = race(4, run)
    store = FileStore(root)
    for turn in range(200):
        winners = [number for number in range(4) if told[number][turn]]
        assert [int(store.read(f"box/{turn}").data)] == winners


def test_swap_loses_no_increment(tmp_path):
    """Four processes that count up one value by compare-and-set lose no step.

    Source: spec/workers.md §8, replace-if-equal.
    """
    root = str(tmp_path)
    FileStore(root).write("box/count", b"0")

    def run(number):
        store = FileStore(root, QuickDisk())
        for _ in range(100):
            seen = store.read("box/count").data
            while not store.swap("box/count", seen, b"%d" % (int(seen) + 1)):
                seen = store.read("box/count").data
        return b""

    race(4, run)
    assert FileStore(root).read("box/count").data == b"400"


def test_appends_do_not_mix(tmp_path):
    """Long lines of four processes stand whole, each once, in the order in which each process wrote them.

    Source: spec/edge-cases.md item 246.
    """
    root = str(tmp_path)

    def run(number):
        store = FileStore(root, QuickDisk())
        for turn in range(50):
            store.append("box/log", b"%d:%d:" % (number, turn) + b"abcdefgh"[number : number + 1] * 50_000 + b"\n")
        return b""

    race(4, run)
    lines = FileStore(root).read("box/log").data.split(b"\n")
    assert lines.pop() == b""
    turns = {number: [] for number in range(4)}
    for line in lines:
        number, turn, rest = line.split(b":")
        assert rest == b"abcdefgh"[int(number) : int(number) + 1] * 50_000
        turns[int(number)].append(int(turn))
    assert turns == {number: list(range(50)) for number in range(4)}


def test_a_move_has_one_winner(tmp_path):
    """Of four processes that take the same message away exactly one gets it, and none is lost.

    Source: spec/workers.md §10, only the rename winner delivers.
    """
    root = str(tmp_path)
    prepare(root, {f"box/{turn}": b"%d" % turn for turn in range(200)})

    def run(number):
        store = FileStore(root, QuickDisk())
        return bytes(store.move(f"box/{turn}", f"shelf/{turn}.{number}") for turn in range(200))

    told = race(4, run)
    assert [sum(wins) for wins in zip(*told, strict=True)] == [1] * 200
    assert sorted(int(data) for data in values(root).values()) == list(range(200))


def test_a_reader_never_sees_a_part(tmp_path):
    """A reader among writers of different lengths reads only whole values, and never absence.

    Source: spec/workers.md §8, exists means complete.
    """
    root = str(tmp_path)
    FileStore(root).write("box/a", b"0" * 10)

    def run(number):
        store = FileStore(root, QuickDisk())
        if number:
            while store.read("box/done") is None:
                store.write("box/a", b"%d" % number * 5_000 * number)
            return b""
        seen = []
        while len(seen) < 500 or len(set(seen)) < 2:
            seen.append(store.read("box/a").data)
        store.create("box/done", b"")
        assert all(len(set(data)) == 1 and len(data) in (10, 5_000, 10_000, 15_000) for data in seen)
        return b"whole"

    assert race(4, run)[0] == b"whole"


def test_killed_writers_leave_a_whole_value(tmp_path):
    """A process killed while it writes without pause leaves a whole value and no lock, twenty times."""
    root = str(tmp_path)
    FileStore(root).write("box/a", b"0" * 100_000)
    for turn in range(20):
        pid = start_writing(root)
        time.sleep(0.005 + turn * 0.0007)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        found = values(root)
        assert list(found) == ["box/a"]
        assert len(found["box/a"]) == 100_000
        assert len(set(found["box/a"])) == 1
        assert_goes_on(root)


def start_writing(root):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the writer uses no thread of the parent's
        pid = os.fork()
    if pid == 0:
        store = FileStore(root, QuickDisk())
        with suppress(BaseException):
            while True:
                for letter in (b"1", b"2"):
                    store.write("box/a", letter * 100_000)
        os._exit(1)
    return pid
