"""What a session printed: `output.log.1`, if it is there, and then `output.log`, read as they grow.

Note [Offsets]
An offset counts the bytes of the session from its first one on. A generation that was rotated says in the mark at its
start how many came before it, so an offset keeps its meaning after the oldest generation is gone.

Note [Same log]
A reader remembers which file it was in and the last bytes it took. They must still stand where they stood: then what
follows is new, even if the file was renamed meanwhile. Anything else (truncated, replaced, rewritten and grown again)
is another transcript, to be read from its start. Source: spec/edge-cases.md items 252, 253.
"""

import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from msgspec import Struct

from looop.contract.escapes import LONGEST, stripped, whole
from looop.model.errors import Invalid, Unreadable
from looop.runtime.watch import Watcher
from looop.state.open import NoStop

MARK = re.compile(
    rb"\x1b_looop;(?:size=(?P<cols>[0-9]{1,4})x(?P<rows>[0-9]{1,4}))?(?:;offset=(?P<offset>[0-9]{1,18}))?"
    rb"[a-z0-9=;]{0,40}\x1b\\"
)
LONGEST_MARK = 128
_LOG, _OLDER = "output.log", "output.log.1"
_CHUNK = 1 << 20
_PROOF = 4096
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_LINE_BYTES = 400
_LOOK_S = 1.0
_TRIES = 8


class Part(Struct, frozen=True):
    """Bytes as they were printed, `offset` the place of the first. `is_fresh`: what came before is another story."""

    data: bytes
    offset: int
    is_fresh: bool


class Text(Struct, frozen=True):
    """A piece of a transcript: from `start` to `offset`, which is where the next piece begins.

    `done`: the session is over, and nothing follows. Raw text holds bytes that are not UTF-8 as surrogates.
    """

    text: str
    start: int
    offset: int
    done: bool


class Transcript:
    """One session's transcript. `is_over` says whether the session has ended, so that nothing more will be printed."""

    def __init__(self, folder: str, is_over: Callable[[], bool]) -> None:
        self._folder, self._is_over = folder, is_over

    def read(self, *, since: int = 0, tail: int | None = None, grep: str | None = None, raw: bool = False) -> Text:
        """What was printed from offset `since` on: of that the lines that `grep` matches, of those the last `tail`.

        What is half a character or sequence as yet is left for the next time. No log is an empty one. Raises Invalid
        for a bad pattern, Unreadable. Source: spec/workers.md §3.7, spec/cli.md §10.
        """
        return self._first(since, tail, _pattern(grep), Tap(self._folder, raw=raw, by_lines=False))[1]

    def follow(
        self, *, since: int = 0, tail: int | None = None, grep: str | None = None, raw: bool = False
    ) -> Iterator[Text]:
        """What `read` returns, then what is new, until the session has ended. With `grep` whole lines only.

        A log that was begun anew is followed from its start. Raises as `read` does.
        """
        pattern = _pattern(grep)
        watcher = Watcher(self._folder, ("",), lambda _, name: name in (_LOG, "status.json"), lambda _: None)
        watcher.start()
        try:
            tap, piece = self._first(since, tail, pattern, Tap(self._folder, raw=raw, by_lines=pattern is not None))
            yield piece
            while not piece.done:
                watcher.wait(_LOOK_S, NoStop())
                done, start = self._is_over(), tap.offset
                text = _matching(tap.take(last=done), pattern)
                piece = Text(text, start, tap.offset, done)
                if text or done:
                    yield piece
        finally:
            watcher.stop()

    def _first(self, since: int, tail: int | None, pattern: re.Pattern[str] | None, tap: "Tap") -> tuple["Tap", Text]:
        """What is there, of that the end; a few lines of a large log are looked for from its end."""
        done = self._is_over()
        first, end = span(self._folder)
        first = max(min(since, end), first)
        window = end if tail is None or pattern else tail * _LINE_BYTES
        while True:
            start = max(first, end - window)
            tap.begin(start)
            text = tap.take(last=done)
            if tail is None or start == first or text.count("\n") > tail:
                break
            window *= 4
        text = _matching(text, pattern)
        return tap, Text(text if tail is None else _last_lines(text, tail), start, tap.offset, done)


class Tap:
    """New output as text, again and again, cut only where text may be cut; `by_lines` only behind a newline."""

    def __init__(self, folder: str, *, raw: bool, by_lines: bool) -> None:
        self._folder, self._raw, self._by_lines = folder, raw, by_lines
        self.begin(0)

    def begin(self, start: int) -> None:
        """Start at this offset."""
        self._reader, self._rest, self.offset = Reader(self._folder, start), b"", start

    def take(self, *, last: bool) -> str:
        """What is new. What is not whole yet waits, unless this is the `last` time. Raises Unreadable."""
        found = []
        for part in self._reader.new():
            data = part.data if part.is_fresh else self._rest + part.data
            end = self._cut(data)
            found.append(self._text(data[:end]))
            self._rest = data[end:]
            self.offset = part.offset + len(part.data) - len(self._rest)
        if last:
            found.append(self._text(self._rest))
            self.offset, self._rest = self.offset + len(self._rest), b""
        return "".join(found)

    def _cut(self, data: bytes) -> int:
        end = whole(data)
        newline = data.rfind(b"\n", 0, end) + 1 if self._by_lines else end
        return newline if len(data) - newline <= LONGEST else end

    def _text(self, data: bytes) -> str:
        return data.decode("utf-8", "surrogateescape") if self._raw else stripped(data)


class Reader:
    """Reads a transcript as it grows, across rotations. `start` is the offset where the first reading begins."""

    def __init__(self, folder: str, start: int = 0) -> None:
        self._folder, self._start = folder, start
        self._place: _Place | None = None

    def new(self) -> Iterator[Part]:
        """What was not read yet, as far as it is there. Raises Unreadable. See Note [Same log]."""
        with _generations(self._folder) as files:
            known, at = self._place, self._resume(files)
            is_fresh = at is None
            for file in files[at or 0 :]:
                if self._place is None or self._place.identity != file.identity:
                    self._place = file.place(self._start)
                for data in file.chunks(self._place.position):
                    offset = self._place.start + self._place.position
                    self._place.advance(data)
                    yield Part(data, offset, is_fresh)
                    is_fresh = False
        self._start = 0
        if is_fresh and known and known.position:
            yield Part(b"", self._place.start if self._place else 0, is_fresh=True)

    def _resume(self, files: list["_File"]) -> int | None:
        """Which of the files goes on where we stopped; None when all begins anew, which it then does from its start."""
        for at, file in enumerate(files):
            if self._place and file.holds(self._place):
                _count(files[at:], self._place.start)
                return at
        if self._place:
            self._place, self._start = None, 0
        return None


class _Place(Struct):
    """How far a reader has come: in which file, at which offset that starts, how far into it, what it took last."""

    identity: tuple[int, int]
    start: int
    position: int
    proof: bytes

    def advance(self, data: bytes) -> None:
        """These bytes were read."""
        self.position += len(data)
        self.proof = (self.proof + data[-_PROOF:])[-_PROOF:]


class _File:
    """One generation, open. `start` is the offset of its first byte, `size` what it had when it was opened."""

    def __init__(self, fd: int, found: os.stat_result) -> None:
        self.fd, self.size, self.identity = fd, found.st_size, (found.st_dev, found.st_ino)
        self.start = 0

    def counted_before(self) -> int | None:
        """How many bytes of the session came before it, None where it does not say."""
        mark = MARK.match(os.pread(self.fd, LONGEST_MARK, 0))
        return int(mark["offset"]) if mark and mark["offset"] else None

    def place(self, offset: int) -> _Place:
        """The place of an offset, or the nearest there is."""
        position = min(max(offset - self.start, 0), self.size)
        return _Place(self.identity, self.start, position, self._before(position))

    def holds(self, place: _Place) -> bool:
        """Whether this is the file of that place, and what was read still stands there."""
        return self.identity == place.identity and self._before(place.position) == place.proof

    def chunks(self, position: int) -> Iterator[bytes]:
        """From there to where it ended when it was opened."""
        while data := os.pread(self.fd, min(_CHUNK, self.size - position), position):
            position += len(data)
            yield data

    def _before(self, position: int) -> bytes:
        start = max(position - _PROOF, 0)
        return os.pread(self.fd, position - start, start)


def span(folder: str) -> tuple[int, int]:
    """The offsets of the first byte that is kept and of the end. Raises Unreadable."""
    with _generations(folder) as files:
        return (files[0].start, files[-1].start + files[-1].size) if files else (0, 0)


@contextmanager
def _generations(folder: str) -> Iterator[list[_File]]:
    """What there is of the two files, the older one first, as they were at one moment. Raises Unreadable."""
    files: list[_File] = []
    try:
        for _ in range(_TRIES):
            newest = _open(os.path.join(folder, _LOG))
            files = [newest] if newest else []
            older = _open(os.path.join(folder, _OLDER))
            files = [older, *files] if older else files
            if _identity(os.path.join(folder, _LOG)) == (newest and newest.identity):
                break
            _close(files)
            files = []
        else:
            raise Unreadable(f"the transcript in {folder} changes faster than it can be opened: look again")
        _count(files, 0)
        yield files
    except OSError as error:
        raise Unreadable(f"the transcript in {folder} cannot be read: {error.strerror}") from None
    finally:
        _close(files)


def _count(files: list[_File], start: int) -> None:
    """Set the offset of each file's first byte; `start` is that of the first unless it says otherwise."""
    for file in files:
        counted = file.counted_before()
        file.start = start if counted is None else counted
        start = file.start + file.size


def _open(path: str) -> _File | None:
    """A regular file, without ever waiting for one; None when there is none. Raises OSError, Unreadable."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # noqa: TID251  to read, which the store does only whole
    except FileNotFoundError:
        return None
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        os.close(fd)
        raise Unreadable(f"{path} is not a file: a session keeps its transcript there")
    return _File(fd, found)


def _close(files: list[_File]) -> None:
    for file in files:
        os.close(file.fd)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _pattern(grep: str | None) -> re.Pattern[str] | None:
    if grep is None:
        return None
    try:
        return re.compile(grep)
    except (re.error, RecursionError, OverflowError) as error:
        raise Invalid(f"{grep!r} is not a regular expression: {error}") from None


def _matching(text: str, pattern: re.Pattern[str] | None) -> str:
    """The lines that match, as they are; what is looked at has no escape sequences."""
    if pattern is None:
        return text
    return "".join(line for line in _LINE.findall(text) if pattern.search(_said(line)))


def _said(line: str) -> str:
    return stripped(line.encode("utf-8", "surrogateescape")).rstrip("\n") if "\x1b" in line else line.rstrip("\r\n")


def _last_lines(text: str, count: int) -> str:
    at = len(text) - text.endswith("\n")
    for _ in range(count):
        at = text.rfind("\n", 0, at)
        if at < 0:
            return text
    return text[at + 1 :]
