"""Every backend keeps every promise of looop/store/protocol.py."""

import os
import subprocess
import sys
from contextlib import suppress

import pytest

import looop
from looop.model.errors import Unreadable, Unwritable
from looop.store.open import open_files, open_memory, open_overlay

ODD_NAMES = [
    "a\\b.json",
    "...json",
    "two words.md",
    "line\nbreak.json",
    "ünï.md",
    ".hidden",
    ".x.tmp.md",
    "x.tmp",
    "n" * 200,
]
NOT_KEYS = [
    "",
    "/etc/passwd",
    "..",
    "a/../b",
    "../a",
    "a//b",
    "a/",
    "./a",
    "a\0b",
    ".dirlock",
    "a/.dirlock",
    "a/.1-2.tmp",
]


class Bench:
    """A store under test, and a way to give it values it has from before."""

    def __init__(self, store, base=None):
        self.store = store
        self.base = base
        self.before = {}

    def given(self, key, data, **how):
        (self.base or self.store).write(key, data, **how)
        self.before[key] = data


@pytest.fixture(params=["memory", "files", "overlay of memory", "overlay of files"])
def bench(request, tmp_path):
    """Each backend in turn. What is given to an overlay lies in its base, which must be as it was in the end."""
    store = open_files(str(tmp_path / "root")) if request.param.endswith("files") else open_memory()
    if not request.param.startswith("overlay"):
        yield Bench(store)
        return
    bench = Bench(open_overlay(store), base=store)
    yield bench
    assert every_value(store) == bench.before


@pytest.fixture
def store(bench):
    return bench.store


def every_value(store, folders=("", "box", "shelf", "box/inner")):
    values = {}
    for folder in folders:
        with suppress(Unreadable):
            for entry in store.list(folder):
                key = f"{folder}/{entry.name}" if folder else entry.name
                values[key] = store.read(key).data
    return values


def value(store, key):
    blob = store.read(key)
    return None if blob is None else blob.data


def names(store, folder):
    return [entry.name for entry in store.list(folder)]


def executable(store, folder):
    return [entry.executable for entry in store.list(folder)]


class TestRead:
    def test_absent_is_none(self, store):
        """A key that has no value reads as None, also in a folder that does not exist."""
        assert store.read("nothing") is None
        assert store.read("no/such/folder") is None

    def test_gives_back_what_was_written(self, bench):
        """Every byte comes back, none is added: no newline is translated, nothing is decoded."""
        data = bytes(range(256)) + b"\r\n\0\xff"
        bench.given("box/a", data)
        assert value(bench.store, "box/a") == data

    def test_an_empty_value_is_a_value(self, bench):
        """An empty value is not an absent one."""
        bench.given("a", b"")
        assert value(bench.store, "a") == b""

    def test_a_large_value_is_whole(self, store):
        """A value larger than any buffer comes back whole."""
        data = b"0123456789abcdef" * 200_000
        store.write("large", data)
        assert value(store, "large") == data

    def test_time_never_goes_back(self, bench):
        """The time of a later write is not before that of an earlier one."""
        bench.given("a", b"1")
        first = bench.store.read("a").mtime_ns
        bench.store.write("a", b"2")
        second = bench.store.read("a").mtime_ns
        bench.store.append("a", b"3\n")
        assert 0 < first <= second <= bench.store.read("a").mtime_ns

    def test_a_folder_in_the_place_is_unreadable(self, bench):
        """A folder where a value should be is not taken for absent.

        Source: spec/beat.md §0, "never collapse unreadable into absent".
        """
        bench.given("box/a", b"1")
        with pytest.raises(Unreadable, match="directory"):
            bench.store.read("box")

    def test_a_value_in_the_place_of_a_folder_is_unreadable(self, bench):
        """A value where a folder should be leaves everything below it unreadable, not absent."""
        bench.given("box", b"1")
        with pytest.raises(Unreadable, match="box"):
            bench.store.read("box/a")
        with pytest.raises(Unreadable, match="box"):
            bench.store.read("box/inner/a")


class TestWrite:
    def test_makes_folders(self, store):
        """A value can be written where no folder is yet, at any depth."""
        store.write("box/inner/a", b"1")
        assert value(store, "box/inner/a") == b"1"

    def test_replaces(self, bench):
        """The last write wins, whether the value grows or shrinks."""
        bench.given("a", b"a long old value")
        bench.store.write("a", b"new")
        assert value(bench.store, "a") == b"new"
        bench.store.write("a", b"newer than new", durable=False)
        assert value(bench.store, "a") == b"newer than new"

    def test_executable(self, store):
        """A value is executable exactly if it was written so."""
        store.write("box/a", b"#!/bin/sh\n", executable=True)
        store.write("box/b", b"text")
        assert executable(store, "box") == [True, False]

    def test_stays_executable(self, bench):
        """A value that is replaced by write or swap, or appended to, stays executable."""
        bench.given("box/a", b"1", executable=True)
        bench.store.write("box/a", b"2")
        bench.store.swap("box/a", b"2", b"3")
        bench.store.append("box/a", b"4\n")
        assert executable(bench.store, "box") == [True]

    def test_each_has_a_mode_of_its_own(self, bench):
        """A value that changes beside an executable one stays as it was, and a created one is not executable."""
        bench.given("box/a", b"1", executable=True)
        bench.given("box/b", b"1")
        assert bench.store.swap("box/a", b"1", b"2") and bench.store.swap("box/b", b"1", b"2")
        assert bench.store.create("box/c", b"3")
        assert executable(bench.store, "box") == [True, False, False]

    def test_becomes_executable(self, bench):
        """A value that was not executable becomes so when it is written so."""
        bench.given("box/a", b"1")
        bench.store.write("box/a", b"2", executable=True)
        assert executable(bench.store, "box") == [True]

    @pytest.mark.parametrize("change", ["write", "create", "append", "move"])
    @pytest.mark.parametrize("key", ["box", "box/a/b"])
    def test_a_place_that_is_taken_is_unwritable(self, bench, change, key):
        """A value is never put in the place of a folder, nor below a value; what is there stays."""
        bench.given("box/a", b"1\n")
        bench.given("source", b"2\n")
        with pytest.raises(Unwritable, match="box"):
            {
                "write": lambda: bench.store.write(key, b"x"),
                "create": lambda: bench.store.create(key, b"x"),
                "append": lambda: bench.store.append(key, b"x\n"),
                "move": lambda: bench.store.move("source", key, replace=True),
            }[change]()
        assert every_value(bench.store) == {"box/a": b"1\n", "source": b"2\n"}


class TestCreate:
    def test_only_the_first_wins(self, store):
        """Of two creates the first is told True and its value stays.

        Source: spec/workers.md §8, create-if-absent.
        """
        assert store.create("box/a", b"first") is True
        assert store.create("box/a", b"second") is False
        assert value(store, "box/a") == b"first"

    def test_an_empty_value_is_in_the_way(self, bench):
        """An empty value counts as a value: only absence is free."""
        bench.given("a", b"")
        assert bench.store.create("a", b"x") is False
        assert value(bench.store, "a") == b""

    def test_again_after_removal(self, bench):
        """A key whose value was removed can be created again."""
        bench.given("a", b"1")
        assert bench.store.swap("a", b"1", None)
        assert bench.store.create("a", b"2") is True
        assert value(bench.store, "a") == b"2"


class TestSwap:
    def test_replaces_what_was_read(self, bench):
        """The value is replaced if it is still the one that was read.

        Source: spec/workers.md §8, replace-if-equal.
        """
        bench.given("box/a", b"1")
        assert bench.store.swap("box/a", b"1", b"2") is True
        assert value(bench.store, "box/a") == b"2"

    def test_refuses_another_value(self, bench):
        """A value that has changed meanwhile stays."""
        bench.given("a", b"other")
        assert bench.store.swap("a", b"1", b"2") is False
        assert bench.store.swap("a", b"1", None) is False
        assert value(bench.store, "a") == b"other"

    def test_removes(self, bench):
        """None for the new value removes the key, from reads and from lists.

        Source: spec/workers.md §8, remove-if-equal.
        """
        bench.given("box/a", b"")
        assert bench.store.swap("box/a", b"", None) is True
        assert bench.store.read("box/a") is None
        assert names(bench.store, "box") == []

    def test_absent_equals_nothing(self, store):
        """An absent key has no value that could be equal, not even the empty one."""
        assert store.swap("a", b"", b"1") is False
        assert store.swap("no/a", b"", None) is False
        assert store.read("a") is None

    def test_unreadable_is_not_a_difference(self, bench):
        """Where the value cannot be read, swap says so and does not answer False."""
        bench.given("box/a", b"1")
        with pytest.raises(Unreadable):
            bench.store.swap("box", b"1", b"2")
        with pytest.raises((Unreadable, Unwritable)):
            bench.store.swap("box/a/b", b"1", None)


class TestAppend:
    def test_adds_lines_in_order(self, bench):
        """Lines stand one after the other, and the size afterwards is returned."""
        bench.given("log", b"1\n")
        assert bench.store.append("log", b"2\n") == 4
        assert bench.store.append("log", b"3\n", durable=False) == 6
        assert value(bench.store, "log") == b"1\n2\n3\n"

    def test_begins_a_value(self, store):
        """An append to an absent key makes it, with its folders."""
        assert store.append("box/log", b"1\n") == 2
        assert value(store, "box/log") == b"1\n"

    def test_after_an_empty_value(self, bench):
        """The first line of an empty value does not start with a newline."""
        bench.given("log", b"")
        assert bench.store.append("log", b"1\n") == 2

    def test_a_torn_line_stays_alone(self, bench):
        """A line after an unfinished one stands on a line of its own, so that one line is lost and not two."""
        bench.given("log", b'{"a":1}\n{"a":')
        assert bench.store.append("log", b'{"a":3}\n') == 22
        assert value(bench.store, "log") == b'{"a":1}\n{"a":\n{"a":3}\n'

    @pytest.mark.parametrize("line", [b"", b"no newline", b"a\nb"])
    def test_refuses_what_is_no_line(self, store, line):
        """What does not end in a newline is a mistake in the program, and nothing is written."""
        with pytest.raises(ValueError, match="newline"):
            store.append("log", line)
        assert store.read("log") is None


class TestMove:
    def test_gives_the_value_to_the_target(self, bench):
        """The target has the value and its time, the source is gone, and folders are made as needed."""
        bench.given("box/a", b"1", executable=True)
        time = bench.store.read("box/a").mtime_ns
        assert bench.store.move("box/a", "shelf/b") is True
        assert bench.store.read("box/a") is None
        assert bench.store.read("shelf/b").mtime_ns == time
        assert value(bench.store, "shelf/b") == b"1"
        assert executable(bench.store, "shelf") == [True]

    def test_without_a_source(self, bench):
        """Without a source nothing moves, and a value at the target stays."""
        bench.given("b", b"2")
        assert bench.store.move("a", "b", replace=True) is False
        assert bench.store.move("no/a", "b", replace=True) is False
        assert value(bench.store, "b") == b"2"

    def test_a_taken_target_stays(self, bench):
        """A value at the target stays unless it may be replaced."""
        bench.given("a", b"1")
        bench.given("b", b"2")
        assert bench.store.move("a", "b") is False
        assert every_value(bench.store) == {"a": b"1", "b": b"2"}
        assert bench.store.move("a", "b", replace=True) is True
        assert every_value(bench.store) == {"b": b"1"}

    def test_min_size(self, bench):
        """A source smaller than the least size stays; one of exactly that size moves.

        Source: spec/edge-cases.md item 246, rotation of the journal.
        """
        bench.given("log", b"12345")
        assert bench.store.move("log", "log.1", replace=True, min_size=6) is False
        assert bench.store.move("log", "log.1", replace=True, min_size=5) is True
        assert every_value(bench.store) == {"log.1": b"12345"}

    def test_an_empty_value_moves(self, bench):
        """Without a least size an empty value is one to move."""
        bench.given("a", b"")
        assert bench.store.move("a", "b") is True
        assert every_value(bench.store) == {"b": b""}

    def test_onto_itself(self, bench):
        """A value moved onto itself is still there, with and without leave to replace."""
        bench.given("a", b"1")
        assert bench.store.move("a", "a") is False
        assert bench.store.move("a", "a", replace=True) is True
        assert value(bench.store, "a") == b"1"

    def test_a_folder_does_not_move(self, bench):
        """Only values move: a folder as source is refused."""
        bench.given("box/a", b"1")
        with pytest.raises(Unwritable):
            bench.store.move("box", "shelf")
        assert value(bench.store, "box/a") == b"1"


class TestList:
    def test_sorted_names_with_their_sizes(self, bench):
        """A list is sorted by name and tells each value's size and time as reading tells them."""
        for name in ("b", "a", "c"):
            bench.given(f"box/{name}", name.encode() * 3)
        entries = bench.store.list("box")
        assert [entry.name for entry in entries] == ["a", "b", "c"]
        for entry in entries:
            blob = bench.store.read(f"box/{entry.name}")
            assert (entry.size, entry.mtime_ns) == (len(blob.data), blob.mtime_ns)

    def test_only_this_folder(self, bench):
        """Folders and what lies in them are left out, in the root as anywhere."""
        for key in ("top", "box/a", "box/inner/b", "boxes"):
            bench.given(key, b"1")
        assert names(bench.store, "") == ["boxes", "top"]
        assert names(bench.store, "box") == ["a"]

    def test_a_missing_folder_is_empty(self, store):
        """A folder that does not exist has nothing in it, nor has a root that does not exist."""
        assert store.list("") == []
        assert store.list("box") == []
        assert store.list("box/inner") == []

    def test_a_value_in_the_place_is_unreadable(self, bench):
        """A value where the folder should be is not an empty folder."""
        bench.given("box", b"1")
        with pytest.raises(Unreadable, match="box"):
            bench.store.list("box")
        with pytest.raises(Unreadable, match="box"):
            bench.store.list("box/inner")

    def test_after_every_kind_of_change(self, bench):
        """The store's own files never show, whatever was done in the folder.

        Source: spec/edge-cases.md item 242.
        """
        bench.given("box/a", b"1")
        bench.store.create("box/b", b"2")
        bench.store.swap("box/b", b"2", None)
        bench.store.append("box/c", b"3\n")
        bench.store.move("box/a", "box/d")
        assert names(bench.store, "box") == ["c", "d"]


class TestKeys:
    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_odd_names_work(self, bench, name):
        """A name found on disk, however odd, can be read, changed, moved and listed.

        Source: spec/edge-cases.md item 243.
        """
        key = f"box/{name}"
        bench.given(key, b"1")
        assert names(bench.store, "box") == [name]
        assert bench.store.swap(key, b"1", b"2")
        assert bench.store.move(key, f"shelf/{name}")
        assert value(bench.store, f"shelf/{name}") == b"2"

    @pytest.mark.parametrize("key", NOT_KEYS)
    def test_what_is_no_key_is_refused(self, store, key):
        """A key that would leave the root, or name the store's own files, is a mistake in the program.

        Source: spec/workers.md §12, one choke point.
        """
        store.write("a", b"1")
        for call in (
            lambda: store.read(key),
            lambda: store.write(key, b"x"),
            lambda: store.create(key, b"x"),
            lambda: store.swap(key, b"x", None),
            lambda: store.append(key, b"x\n"),
            lambda: store.move(key, "b"),
            lambda: store.move("a", key),
        ):
            with pytest.raises(ValueError, match="not a key"):
                call()
        assert every_value(store) == {"a": b"1"}

    @pytest.mark.parametrize("folder", ["/etc", "..", "a/../b", "a//b", "a/", ".", "a\0b"])
    def test_what_is_no_folder_is_refused(self, store, folder):
        """A folder outside the root is not listed; the root itself is the empty name."""
        with pytest.raises(ValueError, match="not a key"):
            store.list(folder)


class TestOverlay:
    def test_news_in_the_base_is_seen(self):
        """What the overlay has not changed is read through, so later news in the base shows."""
        base = open_memory()
        overlay = open_overlay(base)
        assert overlay.read("a") is None
        base.write("a", b"1")
        assert value(overlay, "a") == b"1"
        assert names(overlay, "") == ["a"]

    def test_its_own_changes_win(self):
        """A key the overlay has changed or removed no longer follows the base."""
        base = open_memory()
        overlay = open_overlay(base)
        for key in ("a", "b"):
            base.write(key, b"1")
        overlay.write("a", b"mine")
        overlay.swap("b", b"1", None)
        for key in ("a", "b"):
            base.write(key, b"news")
        assert every_value(overlay) == {"a": b"mine"}


def test_the_door_loads_no_backend_before_it_is_asked():
    """Importing the door, and opening memory, does not load the file backend."""
    program = (
        "import sys; from looop.store.open import open_memory; open_memory();"
        "sys.exit('looop.store.files' in sys.modules or 'looop.store.memory' not in sys.modules)"
    )
    environment = {"PYTHONPATH": os.path.dirname(os.path.dirname(looop.__file__))}
    assert subprocess.run([sys.executable, "-c", program], env=environment).returncode == 0
