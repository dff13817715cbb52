"""The store: each operation against the bare system calls that could not be left out."""

import os
import tempfile

from looop.store.open import open_files
from paired import compare, each, pairs, title, wall

VALUE = b'{"signal":{"n":1,"state":"green"},"detail":{"text":"all is well"}}\n'
LINE = b'{"ts":"2026-11-20T07:15:00.000Z","event":"tick_start"}\n'


class Bare:
    """The same effects in one folder, without locks, checks or a way back."""

    def __init__(self, folder: str) -> None:
        self._path, self._temp, self._folder = f"{folder}/bare", f"{folder}/.bare~", folder
        self._new, self._serial = f"{folder}/bare-new", 0
        os.mkdir(self._new)
        self.write()

    def read(self) -> bytes:
        fd = os.open(self._path, os.O_RDONLY)
        try:
            return os.read(fd, 65536)
        finally:
            os.close(fd)

    def write(self, *, durable: bool = False) -> None:
        self._fill(self._temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, VALUE, durable)
        os.replace(self._temp, self._path)
        if durable:
            self._settle(self._folder)

    def create(self) -> None:
        self._serial += 1
        self._fill(f"{self._new}/{self._serial}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, VALUE, True)
        self._settle(self._new)

    def append(self, *, durable: bool = False) -> None:
        self._fill(f"{self._path}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, LINE, durable)

    def _fill(self, path: str, flags: int, data: bytes, durable: bool) -> None:
        fd = os.open(path, flags, 0o644)
        try:
            os.write(fd, data)
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)

    def _settle(self, folder: str) -> None:
        fd = os.open(folder, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)


def main() -> None:
    title("store: µs of one operation against bare system calls, on the clock")
    with tempfile.TemporaryDirectory(prefix="looop-bench-") as root:
        store, bare, serial = open_files(root), Bare(root), iter(range(1_000_000))
        store.write("one", VALUE)

        def fresh() -> None:
            store.create(f"new/{next(serial)}", VALUE)

        def row(name: str, ours: object, base: object, target: float, count: int = 20) -> None:
            compare(name, pairs(each(count, ours, wall), each(count, base, wall), 31), target)

        row("read", lambda: store.read("one"), bare.read, 2.5, 200)
        row("read what is absent : os.stat", lambda: store.read("no"), lambda: os.path.exists(f"{root}/no"), 2.5, 200)
        row("write, not durable", lambda: store.write("one", VALUE, durable=False), bare.write, 2.5, 100)
        row("append, not durable", lambda: store.append("log", LINE, durable=False), bare.append, 6, 100)
        row("write, durable", lambda: store.write("one", VALUE), lambda: bare.write(durable=True), 1.5)
        row("create, durable", fresh, bare.create, 1.5)
        row("swap, durable", lambda: store.swap("one", VALUE, VALUE), lambda: bare.write(durable=True), 1.5)
        row("append, durable", lambda: store.append("log", LINE), lambda: bare.append(durable=True), 1.5)


if __name__ == "__main__":
    main()
