"""One process that fuzzes one target, and what another sees of it: how many inputs it has played, and the last of them.

Exceptions are noted and the run goes on; what ends or stops the process is seen from outside (run.py).
"""

import faulthandler
import hashlib
import mmap
import os
import resource
import signal
import struct
import sys
import tempfile
import traceback
from collections.abc import Callable
from typing import NoReturn

from tests.fuzz.mutate import mutator
from tests.fuzz.target import One, Target

LONGEST = 4096
RSS_LIMIT_MB, ADDRESS_LIMIT = 2048, 3 << 30
_HEAD = struct.Struct("<QQ")
FAILED = "FAILED"


class Board:
    """Shared memory in which a process notes what it plays, so that it is known however the process ends."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _HEAD.size + (1 << 20))

    def note(self, count: int, data: bytes) -> None:
        self._memory[_HEAD.size : _HEAD.size + len(data)] = data
        _HEAD.pack_into(self._memory, 0, count, len(data))

    @property
    def count(self) -> int:
        """How many inputs have been played."""
        return int(_HEAD.unpack_from(self._memory)[0])

    @property
    def data(self) -> bytes:
        """The input that is being played."""
        return self._memory[_HEAD.size : _HEAD.size + _HEAD.unpack_from(self._memory)[1]]


class Player:
    """Plays inputs, keeps each that fails in a new way in `folder`, and says so on stdout; `most` such are the end."""

    def __init__(self, name: str, one: One, folder: str, board: Board, most: int = 10) -> None:
        self._name, self._one, self._folder, self._board = name, one, folder, board
        self._count, self._most = 0, most
        self._known: set[tuple[str, str]] = set()

    def play(self, data: bytes) -> None:
        self._count += 1
        self._board.note(self._count, data)
        try:
            self._one(data)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self._fail(error, data)

    def _fail(self, error: BaseException, data: bytes) -> None:
        where = place_of(error)
        if (type(error).__name__, where) in self._known:
            return
        self._known.add((type(error).__name__, where))
        path = keep(self._folder, self._name, data)
        said = traceback.format_exception_only(error)[-1].strip().splitlines() or [""]
        print(f"{FAILED}\t{path}\t{where}: {said[0][:200]} (input {self._count})")
        traceback.print_exception(error, limit=-12, file=sys.stdout)
        sys.stdout.flush()
        if len(self._known) >= self._most:
            os._exit(0)


def place_of(error: BaseException) -> str:
    """The innermost line of ours; where it was raised when none is."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/looop/" in frame.filename] or [
        frame for frame in frames if "/tests/" in frame.filename
    ]
    frame = (ours or frames)[-1]
    return f"{os.path.basename(os.path.dirname(frame.filename))}/{os.path.basename(frame.filename)}:{frame.lineno}"


def keep(folder: str, name: str, data: bytes) -> str:
    """Save an input, once."""
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, f"{name}-{hashlib.blake2b(data, digest_size=4).hexdigest()}")
    with open(path, "wb") as file:
        file.write(data)
    return path


def limit_memory() -> None:
    """A process that wants more memory than this gets a MemoryError."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_LIMIT, ADDRESS_LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def fuzz(target: Target, player: Player, corpus: str, seconds: int, seed: int) -> NoReturn:
    """Fuzz until the time is over; the process ends with it."""
    import atheris

    limit_memory()
    faulthandler.register(signal.SIGUSR2, all_threads=False)
    options = {
        "max_total_time": seconds,
        "max_len": LONGEST,
        "timeout": 1_000_000,  # properties have an alarm of their own, and who watches this process sees it stand still
        "handle_usr2": 0,
        "rss_limit_mb": RSS_LIMIT_MB,
        "artifact_prefix": tempfile.gettempdir() + "/",
        "mutate_depth": 2,
        "seed": seed,
    }
    words, more = target.words(), {}
    if target.by_tokens:
        by_bits = lambda data, most: atheris.Mutate(data, most)  # noqa: E731, PLW0108 the name is bound anew by Fuzz()
        more["custom_mutator"] = mutator(words, by_bits)
    if words:
        options["dict"] = _dictionary(words)
    atheris.Setup([sys.argv[0], corpus, *(f"-{name}={value}" for name, value in options.items())], player.play, **more)
    atheris.Fuzz()
    os._exit(0)


def _dictionary(words: list[bytes]) -> str:
    """The words in libFuzzer's form."""
    path = os.path.join(tempfile.gettempdir(), "words")
    with open(path, "w") as file:
        for word in words:
            file.write('"' + word.decode().replace("\\", "\\\\").replace('"', '\\"') + '"\n')
    return path


def replay(one: Callable[[bytes], object], data: bytes, seconds: int) -> None:
    """Play one input again, without the fuzzer; a hang ends the process with its traceback."""
    limit_memory()
    faulthandler.dump_traceback_later(seconds, exit=True)
    one(data)
    faulthandler.cancel_dump_traceback_later()
