"""The run bundle: everything one decide was made of and what came of it, in `runs/<id>/`. Design §7.

Note [Rebuilding a prompt]
`world.json` holds the policy's text, the readings, the items and the baseline; `memory.json` the rest of the
prompt's input. `prompt_input_of` puts the input together again, and building it gives `prompt.md` byte for byte.
Every decide of the suite is checked so (tests/integration/test_replay.py).
"""

import errno
import os
import stat
from typing import Any, BinaryIO

import msgspec
from msgspec import Struct

from looop.model.errors import LooopError, Unwritable
from looop.model.prompt import GoalStatus, PendingAsk, PromptInput
from looop.model.records import Failure, ReflexLedger, ShellOutput
from looop.model.text import to_json
from looop.model.usage import Tokens
from looop.model.world import World
from looop.rules.world import changes


class KeptWorld(Struct, frozen=True):
    """`world.json`: the world as judged, and the baseline it was compared with (None without one)."""

    world: World
    baseline: dict[str, str] | None


class KeptMemory(Struct, frozen=True):
    """`memory.json`: what gates, reflexes and prompt were given besides the world."""

    now: int
    utc_offset_s: int
    data_dir: str
    max_bytes: int
    max_nudge_s: int
    asks: list[PendingAsk]
    statuses: list[GoalStatus]
    activity: dict[str, int]
    journal: list[str]
    shell: ShellOutput | None
    flapping: list[str]
    failure: Failure | None
    reflexes: ReflexLedger | None
    gates: Any


class Outcome(Struct, frozen=True):
    """`outcome.json`: what the attempt came to. `trust` is the least trusted of what had changed."""

    run_id: str
    source: str
    ending: str
    version: str
    seconds: float
    action: str | None = None
    summary: str = ""
    journal: str = ""
    error: str = ""
    trust: str = "trusted"
    model: str | None = None
    cost_usd: float | None = None
    tokens: Tokens | None = None


def prompt_input_of(kept: KeptWorld, memory: KeptMemory) -> PromptInput:
    """The input of the prompt of this bundle. See Note [Rebuilding a prompt]."""
    world = kept.world
    return PromptInput(
        data_dir=memory.data_dir,
        now=memory.now,
        utc_offset_s=memory.utc_offset_s,
        max_bytes=memory.max_bytes,
        max_nudge_s=memory.max_nudge_s,
        policy=world.policy,
        readings={stem: reading.raw for stem, reading in world.readings.items()},
        asks=memory.asks,
        statuses=memory.statuses,
        activity=memory.activity,
        journal=memory.journal,
        changes=None if kept.baseline is None else changes(kept.baseline, world.items),
        shell=memory.shell,
        flapping=memory.flapping,
        failure=memory.failure,
    )


class Bundle:
    """One folder below `runs/`, written as the attempt goes along; `mark` finds the processes of its run.

    As a context it is removed when a LooopError ends it: nobody was asked, so there is nothing to keep.
    """

    def __init__(self, run_id: str, path: str) -> None:
        self.run_id, self.path = run_id, path
        self.mark = f"{run_id}-{os.urandom(4).hex()}"

    @classmethod
    def create(cls, root: str, stamp: str) -> "Bundle":
        """A new folder `tick-<stamp>`, with a suffix when that one is taken. Raises Unwritable."""
        runs = os.path.join(root, "runs")
        names = (f"tick-{stamp}-{n}" if n > 1 else f"tick-{stamp}" for n in range(1, 10_000))
        try:
            os.makedirs(runs, exist_ok=True)
            for name in names:
                try:
                    os.mkdir(os.path.join(runs, name))
                except FileExistsError:
                    continue
                return cls(name, os.path.join(runs, name))
        except OSError as error:
            raise Unwritable(f"cannot create a run bundle in {runs}: {error.strerror}") from None
        raise Unwritable(f"no free run id for {stamp} in {runs}")

    def __enter__(self) -> "Bundle":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is not None and issubclass(kind, LooopError):
            _remove(self.path)

    def file(self, name: str) -> str:
        """The path of one of its files."""
        return os.path.join(self.path, name)

    def write(self, name: str, data: bytes) -> None:
        """Write one whole file. Raises Unwritable."""
        try:
            with open(self.file(name), "wb") as file:
                file.write(data)
        except OSError as error:
            raise Unwritable(f"cannot write {self.file(name)}: {error.strerror}") from None

    def write_json(self, name: str, value: Any) -> None:
        """Write one record. Raises Unwritable."""
        self.write(name, to_json(value) + b"\n")


class Tee:
    """Copies of a runner's output, up to `limit` bytes; one that fails is given up, `problem` says which and why."""

    def __init__(self, paths: list[str], limit: int) -> None:
        self._files: dict[str, BinaryIO] = {}
        self._left = limit
        self.problem = ""
        for path in paths:
            try:
                self._files[path] = open(path, "wb", buffering=0, opener=_open_file)  # noqa: SIM115 - closed by close()
            except OSError as error:
                self.problem = f"{path}: {error.strerror}"

    def write(self, data: bytes) -> None:
        """Add to every copy that still works."""
        if self._left <= 0:
            return
        self._left -= len(data)
        if self._left <= 0:
            data += b"\n(the rest is not kept)\n"
        for path, file in list(self._files.items()):
            try:
                file.write(data)
            except OSError as error:
                self.problem = f"{path}: {error.strerror}"
                self._files.pop(path).close()

    def close(self) -> None:
        """Close all copies."""
        for file in self._files.values():
            file.close()


def _open_file(path: str, flags: int) -> int:
    """Open for writing without waiting for what is not a file, such as a FIFO. Raises OSError for that, too."""
    fd = os.open(path, flags | os.O_NONBLOCK, 0o644)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "Not a regular file")
    return fd


def prune_bundles(root: str, keep: int) -> None:
    """Remove all but the newest `keep` bundles (0: keep all). Best effort. Source: spec/beat.md §16."""
    if keep == 0:
        return
    try:
        with os.scandir(os.path.join(root, "runs")) as entries:
            found = [(entry.stat().st_mtime_ns, entry.name, entry.path) for entry in entries if entry.is_dir()]
    except OSError:
        return
    for _, _, path in sorted(found)[:-keep]:
        _remove(path)


def _remove(path: str) -> None:
    import shutil

    shutil.rmtree(path, ignore_errors=True)


def read_kept(path: str) -> tuple[KeptWorld, KeptMemory]:
    """The inputs kept in the bundle at `path`."""
    with open(os.path.join(path, "world.json"), "rb") as file:
        world = msgspec.json.decode(file.read(), type=KeptWorld)
    with open(os.path.join(path, "memory.json"), "rb") as file:
        return world, msgspec.json.decode(file.read(), type=KeptMemory)
