"""Records in a store, read four-valued: absent is None, a value, or a Fault that says unreadable or corrupt.

A guard gets the Fault and stays closed; nobody may take it for absent. Source: spec/beat.md §0.
"""

from typing import Any, TypeVar

import msgspec

from looop.model.errors import Corrupt, Unreadable
from looop.model.records import Fault
from looop.model.text import to_json
from looop.store.protocol import Store

T = TypeVar("T")


def read_record(store: Store, key: str, kind: type[T]) -> T | Fault | None:
    """The record at `key`, None when absent, a Fault when it is there and tells us nothing. Never raises."""
    try:
        blob = store.read(key)
    except Unreadable as error:
        return Fault(key=key, kind="unreadable", why=str(error))
    return None if blob is None else decode_record(blob.data, key, kind)


def decode_record(data: bytes, key: str, kind: type[T]) -> T | Fault:
    """The record in the bytes read from `key`, a Fault when they are none."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        return Fault(key=key, kind="corrupt", why=f"{key} is not what it should be ({kind.__name__}): {error}")


def require_record(store: Store, key: str, kind: type[T]) -> T | None:
    """As read_record, but raises Unreadable or Corrupt instead of returning a Fault."""
    found = read_record(store, key, kind)
    if isinstance(found, Fault):
        raise (Unreadable if found.kind == "unreadable" else Corrupt)(found.why)
    return found


def write_record(store: Store, key: str, record: Any, *, durable: bool = True) -> None:
    """Make `record` the value of `key`, as one line of compact JSON. Raises Unwritable."""
    store.write(key, encode_record(record), durable=durable)


def encode_record(record: Any) -> bytes:
    """One line of compact JSON with a newline."""
    return to_json(record) + b"\n"


def encode_bare(record: Any) -> bytes:
    """As encode_record, without what says nothing: empty fields and defaults. A time stays. Spec/workers.md §9."""
    plain = {field.name: field.default for field in msgspec.structs.fields(record)}
    fields = msgspec.to_builtins(record)
    said = {name: value for name, value in fields.items() if name == "ts" or (value and value != plain[name])}
    return encode_record({"v": record.v} | said)


def with_newline(body: str) -> bytes:
    """A text as a file: UTF-8, its last line ended."""
    return (body if body.endswith("\n") else body + "\n").encode("utf-8", "replace")


def discard(store: Store, key: str) -> None:
    """Remove whatever is at `key`; nothing there is fine. Raises Unreadable, Unwritable."""
    while (blob := store.read(key)) is not None:
        if store.swap(key, blob.data, None):
            return


def names_in(store: Store, folder: str, suffix: str) -> list[str]:
    """The names of the values in `folder` that end in `suffix`, without it, sorted. Raises Unreadable.

    Dot files are left out, and names that are not text: no record of ours could hold them. Source: edge case 243.
    """
    found = [entry.name for entry in store.list(folder) if entry.name.endswith(suffix)]
    return sorted(name.removesuffix(suffix) for name in found if not name.startswith(".") and is_text(name))


def is_text(name: str) -> bool:
    """Whether a file's name is UTF-8; on disk it may be any bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


class LineLog:
    """An append-only text file with one older generation, rotated when it has grown past `max_bytes` (0: never).

    Rotation is decided by the store under its lock, so two writers cannot rotate twice. Source: edge case 246.
    """

    def __init__(self, store: Store, key: str, max_bytes: int) -> None:
        self._store, self._key, self._max = store, key, max_bytes
        self._size = max_bytes + 1

    def append(self, line: str, *, durable: bool = True) -> None:
        """Add one line. Raises Unwritable."""
        if self._max and self._size > self._max:
            self._store.move(self._key, f"{self._key}.1", replace=True, min_size=self._max + 1)
        data = line.encode("utf-8", "replace") + b"\n"
        self._size = self._store.append(self._key, data, durable=durable)

    def tail(self, count: int) -> list[str]:
        """The last `count` lines, the older generation's included. Raises Unreadable."""
        lines: list[str] = []
        for key in (self._key, f"{self._key}.1"):
            if len(lines) < count and (blob := self._store.read(key)) is not None:
                lines = _last_lines(blob.data, count - len(lines)) + lines
        return lines


def _last_lines(data: bytes, count: int) -> list[str]:
    text = data.rstrip(b"\n")
    if not text:
        return []
    return [line.decode("utf-8", "replace") for line in text.rsplit(b"\n", count)[-count:]]
