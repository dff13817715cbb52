"""What every store promises. Tests hold all backends to it (tests/contract/test_store.py).

A key is a relative path such as `goals/setup.md`; a value is bytes.

Note [Promises]
A caller may rely on:
* a reader sees a whole old value or a whole new one, never a part of one;
* when a call returns, its effect is on disk (`durable=True`) or at least visible to every process;
* `create`, `swap` and `move` are decided under one lock per folder: of many callers exactly one wins;
* when a call raises Unwritable, the old value is still there, whole, and no temporary file is left;
* absent is None or False; something that is there and cannot be read raises Unreadable;
* a value that is replaced stays executable if it was.

A caller must not rely on: the order of two writes to different keys surviving a power cut; a value that is
appended to ending in a whole line (a reader may meet the last one half written, a crash may leave it so); or on
names that start with a dot and end in `.tmp`, and `.dirlock`, which belong to the store and are never listed.

A key that is empty, absolute, holds NUL or an empty, `.` or `..` part, or names one of the store's own files is a
mistake in the program: ValueError. Any other name found on disk, however odd, is a key.
"""

from typing import Protocol

from msgspec import Struct

LOCK_NAME = ".dirlock"


class Blob(Struct, frozen=True):
    """A value as read, with the time of its last write in integer nanoseconds."""

    data: bytes
    mtime_ns: int


class Entry(Struct, frozen=True):
    """One listed file. A name that cannot be examined (a dangling link) has size and mtime_ns -1."""

    name: str
    size: int
    mtime_ns: int
    executable: bool


class Store(Protocol):
    """Seven methods over keys and bytes."""

    def read(self, key: str) -> Blob | None:
        """The value of `key`, None when it is proven absent. Raises Unreadable."""

    def write(self, key: str, data: bytes, *, executable: bool = False, durable: bool = True) -> None:
        """Make `data` the value of `key`, with its folders, executable before it is visible. Raises Unwritable."""

    def create(self, key: str, data: bytes) -> bool:
        """Make `data` the value of `key` unless it has one; True for the one caller that did. Raises Unwritable."""

    def swap(self, key: str, old: bytes, new: bytes | None) -> bool:
        """Replace `old` by `new` (None removes) if `old` is still the value; True if done.

        Raises Unreadable, Unwritable.
        """

    def append(self, key: str, line: bytes, *, durable: bool = True) -> int:
        """Add `line` (ending in a newline) in one write, on a line of its own even after a torn one.

        Returns the size of the value afterwards. Raises Unwritable.
        """

    def move(self, source: str, target: str, *, replace: bool = False, min_size: int = 0) -> bool:
        """Give `source`'s value and time to `target`; True if done. Raises Unwritable.

        False when there is no source, it is smaller than `min_size`, or `target` is taken and `replace` is not set.
        """

    def list(self, folder: str) -> list[Entry]:
        """The files in `folder` ("" is the root), sorted by name; folders and the store's own files are left out.

        A folder that does not exist is empty; one that cannot be listed raises Unreadable.
        """


def check(key: str) -> str:
    """The key itself, if it is one; ValueError otherwise. The one choke point of every backend."""
    parts = key.split("/")
    if "" in parts or "." in parts or ".." in parts or "\0" in key or is_own(parts[-1]):
        raise ValueError(f"not a key of the store: {key!r}")
    return key


def check_line(line: bytes) -> None:
    """ValueError unless `line` ends in a newline."""
    if not line.endswith(b"\n"):
        raise ValueError(f"a line to append must end in a newline: {line[-40:]!r}")


def is_own(name: str) -> bool:
    """Whether a file of this name belongs to the store itself."""
    return name == LOCK_NAME or (name.startswith(".") and name.endswith(".tmp"))
