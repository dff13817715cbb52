"""Run commands, each in its own process group, side by side in one selector loop, without threads.

Note [Kill before reap]: until a child is reaped its pid, and so its group, cannot be given to anybody else.
A group is signalled only before that; `_Run.signal` refuses afterwards.

Note [Exit, not end of file]: a run ends when its direct child exits. What the pipes hold at that moment is
drained without blocking; a background grandchild that keeps them open is neither waited for nor harmed. Where
pidfd is missing the exit is found by `waitpid`, which reaps. A stopped run is therefore not asked there until
its pipes are closed or its grace is over: its group must still be killed.

Note [Why it ended]: a run that ended by itself did not time out, even if its deadline passed in that moment.
"""

import errno
import math
import os
import selectors
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic

from looop.runtime.command import Command, Ended, OnChunk, OnTick, Stop
from looop.session.kin import kill_kin, marked

_CHUNK = 65536
_DRAIN_CHUNKS = 32  # twice what a pipe can hold at most
_SIDE_BY_SIDE = 64  # the rest queue: three descriptors a run must fit below macOS's limit of 256
_POLL_S = 0.02
_TICK_S = 1.0
_STOP_GRACE_S = 1.5
_REAP_GRACE_S = 5.0  # a killed process can hang in the kernel, or belong to root: then it is left behind
_LONGEST_DEADLINE_S = 10**9
_LONGEST_WAIT_S = 3600.0  # epoll refuses timeouts beyond 24 days
_SCARCE = (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)
_HINTS = {
    errno.EACCES: "is its exec bit set, and that of the interpreter in its #! line?",
    errno.ENOEXEC: "does it begin with a #! line?",
    errno.ENOENT: "does it exist, and the interpreter in its #! line?",
    errno.E2BIG: "arguments and environment are too long, hand the text over in a file",
}
_pidfd_open: Callable[[int], int] | None = getattr(os, "pidfd_open", None)


class _Pipe:
    """One stream of a child: counts all of it, keeps the head or the tail."""

    def __init__(self, fd: int, keep: int, keep_end: bool, on_chunk: OnChunk | None) -> None:
        self.fd = fd
        self.total = 0
        self.kept = bytearray()
        self._keep = keep
        self._keep_end = keep_end
        self._on_chunk = on_chunk

    def read(self) -> bytes | None:
        """Take one chunk; empty at the end of the stream, None when there is nothing right now."""
        try:
            chunk = os.read(self.fd, _CHUNK)
        except BlockingIOError:
            return None
        if chunk:
            self._take(chunk)
        return chunk

    def _take(self, chunk: bytes) -> None:
        self.total += len(chunk)
        if self._keep_end:
            self.kept += chunk
            del self.kept[: max(0, len(self.kept) - self._keep)]
        else:
            self.kept += chunk[: max(0, self._keep - len(self.kept))]
        if self._on_chunk:
            self._on_chunk(chunk)


class _Feed:
    """The stdin of a child that is fed: takes what the pipe takes, and is closed behind the last byte."""

    def __init__(self, fd: int, data: bytes) -> None:
        self.fd = fd
        self._rest = memoryview(data)

    def write(self) -> bool:
        """Write once; False when all is written, or nobody reads it any more."""
        try:
            self._rest = self._rest[os.write(self.fd, self._rest[:_CHUNK]) :]
        except BlockingIOError:
            return True
        except BrokenPipeError:
            return False
        return bool(self._rest)


class _Run:
    """One started command: its process, its open pipes, and what was done to it."""

    def __init__(
        self, slot: int, command: Command, mark: str, on_output: OnChunk | None, on_errors: OnChunk | None
    ) -> None:
        self.slot, self.mark = slot, mark
        self.flood = command.flood
        self.started = monotonic()
        self.limit = math.inf
        if command.deadline_s > 0:
            self.limit = self.started + min(command.deadline_s, _LONGEST_DEADLINE_S)
        self.exited = self.timed_out = self.flooded = self.stopped = self.killed = False
        self.lost = ""
        self.process, out, err, into = _spawn(command, mark)
        self.feed = _Feed(into, command.feed) if into >= 0 else None
        self.output = _Pipe(out, command.keep, command.keep_end, on_output)
        self.errors = _Pipe(err, command.keep_errors, True, on_errors)
        self.pipes = [pipe for pipe in (self.output, self.errors) if pipe.fd >= 0]
        self.exit_fd = _open_exit(self.process.pid)

    def signal(self, number: int) -> None:
        """Signal the whole group, unless its leader is reaped already. See Note [Kill before reap]."""
        if self.process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)

    def terminate(self) -> None:
        self.stopped = True
        self.signal(signal.SIGTERM)
        self.limit = monotonic() + _STOP_GRACE_S

    def kill(self) -> None:
        """Kill the group, the child itself should it have left its group, and all its kin that have left it."""
        self.signal(signal.SIGKILL)
        if self.process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(self.process.pid, signal.SIGKILL)
        kill_kin(self.mark)
        self.killed = True
        self.limit = monotonic() + _REAP_GRACE_S

    def reap(self) -> bool:
        """Collect the exit status if there is one; a status that somebody else took is never a success."""
        if self.process.returncode is None:
            try:
                pid, status = os.waitpid(self.process.pid, os.WNOHANG)
            except ChildProcessError:
                self.lost = "its exit status was lost (is SIGCHLD ignored?)"
                self.process.returncode = 0
            else:
                if pid:
                    self.process.returncode = os.waitstatus_to_exitcode(status)
        return self.process.returncode is not None

    def ended(self) -> Ended:
        status = None if self.lost else self.process.returncode
        by_itself = status is not None and status >= 0
        return Ended(
            code=status if by_itself else None,
            signal=-status if status is not None and status < 0 else None,
            timed_out=self.timed_out and not by_itself,
            flooded=self.flooded,
            stopped=self.stopped,
            spawn_error=self.lost,
            output=bytes(self.output.kept),
            output_bytes=self.output.total,
            errors=bytes(self.errors.kept),
            seconds=monotonic() - self.started,
        )


class Loop:
    """One batch of runs from the first start to the last reap."""

    def __init__(
        self,
        stop: Stop | None,
        on_output: OnChunk | None = None,
        on_errors: OnChunk | None = None,
        on_tick: OnTick | None = None,
    ) -> None:
        self._stop = stop
        self._stop_fd = stop.fileno() if stop else -1
        self._stopping = False
        self._listeners = (on_output, on_errors)
        self._on_tick, self._next_tick = on_tick, monotonic() + _TICK_S
        self._selector = selectors.DefaultSelector()
        self._live: list[_Run] = []
        self._starting = ""
        self._results: dict[int, Ended] = {}

    def complete(self, commands: Sequence[Command]) -> list[Ended]:
        """Run everything; whatever is raised on the way, all groups are killed and reaped first."""
        queue = deque(enumerate(commands))
        try:
            if self._stop_fd >= 0:
                self._selector.register(self._stop_fd, selectors.EVENT_READ)
            while queue or self._live:
                while queue and len(self._live) < _SIDE_BY_SIDE and self._start(*queue[0]):
                    queue.popleft()
                if self._live:
                    self._turn()
        except BaseException:
            self._abort()
            raise
        finally:
            self._selector.close()
        return [self._results[slot] for slot in range(len(commands))]

    def _start(self, slot: int, command: Command) -> bool:
        """Start it, or find out why it cannot; False when it has to wait until others give something back."""
        if self._stop and self._stop.requested():
            self._results[slot] = Ended(stopped=True)
            return True
        self._starting = command.mark or os.urandom(8).hex()
        try:
            run = _Run(slot, command, self._starting, *self._listeners)
        except (OSError, ValueError, subprocess.SubprocessError) as exc:
            if self._live and getattr(exc, "errno", None) in _SCARCE:
                return False
            self._results[slot] = Ended(spawn_error=_describe(exc))
            return True
        self._live.append(run)
        self._starting = ""
        for pipe in run.pipes:
            self._selector.register(pipe.fd, selectors.EVENT_READ, partial(self._read, run, pipe))
        if run.feed:
            self._selector.register(run.feed.fd, selectors.EVENT_WRITE, partial(self._give, run))
        if run.exit_fd >= 0:
            self._selector.register(run.exit_fd, selectors.EVENT_READ, partial(self._note_exit, run))
        return True

    def _turn(self) -> None:
        """Wait for something, take at most one chunk from each pipe, then see where every run stands."""
        for key, _ in self._selector.select(self._patience()):
            if key.data:
                key.data()
        now = monotonic()
        if self._on_tick and now >= self._next_tick:
            self._next_tick = now + _TICK_S
            self._on_tick()
        for run in tuple(self._live):
            self._advance(run, now)
        if self._stop and not self._stopping and self._stop.requested():
            self._begin_stop()

    def _patience(self) -> float:
        wait = min(min(run.limit for run in self._live) - monotonic(), _LONGEST_WAIT_S)
        if (self._stop and self._stop_fd < 0) or any(run.exit_fd < 0 and not run.exited for run in self._live):
            wait = min(wait, _POLL_S)
        if self._on_tick:
            wait = min(wait, self._next_tick - monotonic())
        return max(0.0, wait)

    def _begin_stop(self) -> None:
        self._stopping = True
        if self._stop_fd >= 0:
            self._selector.unregister(self._stop_fd)
        for run in self._live:
            if not run.killed:
                run.terminate()

    def _advance(self, run: _Run, now: float) -> None:
        """Move a run on: found dead, over its limit, or complete."""
        graceful = run.stopped and not run.killed
        if run.exit_fd < 0 and not run.exited:
            if not graceful:
                run.exited = run.reap()
            elif not run.pipes:
                run.kill()
        if run.exited and not (graceful and run.pipes and now < run.limit):
            self._finish(run)
        elif now >= run.limit:
            self._expire(run)

    def _expire(self, run: _Run) -> None:
        if run.killed:
            self._finish(run)
        else:
            run.timed_out = not run.stopped
            run.kill()

    def _finish(self, run: _Run) -> None:
        for pipe in tuple(run.pipes):
            for _ in range(_DRAIN_CHUNKS):
                if not self._read(run, pipe):
                    break
        if run.stopped:
            run.kill()
        run.reap()
        self._release(run)
        self._live.remove(run)
        self._results[run.slot] = run.ended()

    def _read(self, run: _Run, pipe: _Pipe) -> bool:
        chunk = pipe.read()
        if chunk == b"":
            self._close_pipe(run, pipe)
        if run.flood and run.output.total > run.flood and not run.flooded:
            run.flooded = True
            run.kill()
        return bool(chunk)

    def _give(self, run: _Run) -> None:
        if run.feed and not run.feed.write():
            self._drop(run.feed.fd)
            run.feed = None

    def _note_exit(self, run: _Run) -> None:
        run.exited = True
        self._drop(run.exit_fd)
        run.exit_fd = -1

    def _close_pipe(self, run: _Run, pipe: _Pipe) -> None:
        run.pipes.remove(pipe)
        self._drop(pipe.fd)

    def _release(self, run: _Run) -> None:
        for pipe in tuple(run.pipes):
            self._close_pipe(run, pipe)
        if run.feed:
            self._drop(run.feed.fd)
            run.feed = None
        if run.exit_fd >= 0:
            self._note_exit(run)

    def _drop(self, fd: int) -> None:
        with suppress(KeyError):
            self._selector.unregister(fd)
        os.close(fd)

    def _abort(self) -> None:
        """Kill and reap everything, also the run that a signal caught between its start and its entry."""
        if self._starting:
            kill_kin(self._starting)
        for run in self._live:
            run.kill()
        for run in self._live:
            with suppress(subprocess.TimeoutExpired):
                run.process.wait(_REAP_GRACE_S)
            self._release(run)


def _spawn(command: Command, mark: str) -> tuple[subprocess.Popen[bytes], int, int, int]:
    """Start it as the leader of a new group; our ends of stdout, stderr (-1: merged) and stdin (-1: a file)."""
    own: list[int] = []
    theirs: list[int] = []
    feeder = -1
    try:
        if command.feed:
            reader, feeder = os.pipe()
            theirs.append(reader)
            os.set_blocking(feeder, False)
        else:
            source = command.stdin or os.devnull
            theirs.append(os.open(source, os.O_RDONLY))  # noqa: TID251  a prompt to read, nothing durable
        for _ in range(1 if command.merge_errors else 2):
            reader, writer = os.pipe()
            own.append(reader)
            theirs.append(writer)
            os.set_blocking(reader, False)
        process = subprocess.Popen(
            command.argv,
            cwd=command.cwd,
            env=None if command.env is None else marked(command.env, mark),
            stdin=theirs[0],
            stdout=theirs[1],
            stderr=theirs[-1],
            close_fds=True,
            process_group=0,
        )
    except BaseException:
        for fd in (*own, *([feeder] if feeder >= 0 else [])):
            os.close(fd)
        raise
    finally:
        for fd in theirs:
            os.close(fd)
    return process, own[0], -1 if command.merge_errors else own[1], feeder


def _open_exit(pid: int) -> int:
    """A descriptor that becomes readable when the child exits; -1 where the system has none to give."""
    if _pidfd_open:
        with suppress(OSError):
            return _pidfd_open(pid)
    return -1


def _describe(exc: Exception) -> str:
    if not isinstance(exc, OSError) or exc.errno is None:
        return str(exc)
    hint = _HINTS.get(exc.errno)
    return str(exc.strerror) + (f": {exc.filename}" if exc.filename else "") + (f" ({hint})" if hint else "")
