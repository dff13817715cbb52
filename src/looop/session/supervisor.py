"""The supervisor: one process per session. It owns the terminal of one command, from its start to its last word.

Note [What ends a session]
The command's exit, a kill, a signal to the supervisor, or the loss of the session's folder. Whichever it is, the
command's group and all that carries the session's mark are ended before the last word is written: a session leaves no
process behind. The leader of the group is reaped last, so that its pid, and with it the group, cannot change hands.

Note [Order of the end]
The socket goes first, then the last status is written, then whoever waits for the end is told. So nobody hears of an
end that is not on disk, and the next session of that id finds its path free.

Note [Light]
Each import costs memory once per worker: builtin modules and C halves only. Source: spec/workers.md §3.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the C half of signal
import fcntl
import os
import select
import sys
import termios
import time

from looop.session import wire
from looop.session.control import Control
from looop.session.kin import birth, kill_kin, marked
from looop.session.options import Options, parse
from looop.session.record import EXITED, KILLED, RUNNING, STARTING, TEMP, Folder, stamp
from looop.session.transcript import Transcript

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

HANGUP_S, CONFIRM_S, DRAIN_S, FAREWELL_S = 0.3, 2.0, 0.5, 2.0
ENTER_S = 0.3  # some programs take a text and its Enter, arriving together, for a paste
_CHUNK = 65536
_MOST_FDS = 65536
_ENDING = (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP)


def main(words: list[str]) -> int:
    """Run one session to its end. Its start is reported on stdout, as one line, to whoever waits for it."""
    os.closerange(3, _MOST_FDS)
    options = parse(words)
    if isinstance(options, str):
        os.write(2, f"looop: {options}\n".encode())
        return 1
    if os.fork():
        os._exit(0)
    try:
        return Supervisor(options).run()
    except OSError as error:
        _report(f"error: {error.filename or options.id}: {error.strerror}")
        return 1


def _report(line: str) -> None:
    """Say how the start went, and let go of whoever waited for it."""
    try:
        os.write(1, line.encode("utf-8", "replace") + b"\n")
    except OSError:
        pass
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nowhere, fd)
    os.close(nowhere)


class Supervisor:
    """One session. `Control` serves its clients and asks it for what they want."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._poll, self._doors = select.poll(), dict[int, "Callable[[int], None]"]()
        self._timers: list[tuple[float, Callable[[], None]]] = []
        self._typed = bytearray()
        self._status: dict[str, object] = {"state": STARTING, "child_pid": None, "exit_code": None}
        self._child = self._master = -1
        self._asked = self._escalated = self._gone = self._over = False
        self._began_end = 0.0

    def run(self) -> int:
        """From the first record to the last. Raises OSError when there cannot be such a session."""
        self._hear_signals()
        self._found()
        self.control = Control(self, wire.socket_path(self._path))
        self._status |= self.control.open()
        self._spawn()
        _report(f"error: {self._status['error']}" if self._over else RUNNING)
        while not self._over:
            self._turn()
        self.control.say_farewell(FAREWELL_S)
        code = self._status["exit_code"]
        return min(max(code, 0), 255) if isinstance(code, int) else 1

    def status(self) -> dict[str, object]:
        """How the session stands now."""
        problem = {"problem": self.transcript.problem} if self.transcript.problem else {}
        return {**self._status, **problem, "output_bytes": self.transcript.total, "size": list(self.transcript.size)}

    def watch(self, fd: int, door: Callable[[int], None], events: int = select.POLLIN) -> None:
        """Call `door` with what happened on the descriptor, whenever something did."""
        self._doors[fd] = door
        self._poll.register(fd, events)

    def forget(self, fd: int) -> None:
        """No longer watch the descriptor."""
        if self._doors.pop(fd, None):
            self._poll.unregister(fd)

    def type(self, text: bytes, *, enter: bool = False) -> None:
        """Type into the terminal, and press Enter a moment later."""
        self._typed += text
        self._write(0)
        if enter:
            self._later(ENTER_S, lambda: self.type(b"\r"))

    def resize(self, size: tuple[int, int]) -> None:
        """Give the terminal another size."""
        if size != self.transcript.size and self._master >= 0:
            _resize(self._master, size)
            self.transcript.resize(size)

    def kill(self) -> None:
        """End the session: hang up, after a moment kill, after another give up. Source: spec/workers.md §3.5."""
        if not self._asked and not self._gone:
            self._asked = True
            self._signal(_signal.SIGHUP)
            self._later(HANGUP_S, self._escalate)

    def _hear_signals(self) -> None:
        self._wake, wakes = os.pipe()
        for fd in (self._wake, wakes):
            os.set_blocking(fd, False)
        _signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        for number in (_signal.SIGCHLD, *_ENDING):
            _signal.signal(number, lambda *_: None)
        self.watch(self._wake, self._signalled)

    def _found(self) -> None:
        """Make the folder with its first records; whoever gives it its name has the id."""
        sessions = os.path.join(os.path.abspath(self.options.root), "sessions")
        os.makedirs(sessions, exist_ok=True)
        temp, self._path = os.path.join(sessions, f".{os.getpid()}{TEMP}"), os.path.join(sessions, self.options.id)
        os.mkdir(temp)
        self._folder = Folder(temp)
        try:
            self._folder.write_meta(self._meta())
            self._note(STARTING)
            if os.path.lexists(self._path):
                raise FileExistsError(17, "there is a session of that id", self.options.id)
            os.rename(temp, self._path)
        except OSError:
            for name in os.listdir(temp):
                os.unlink(os.path.join(temp, name))
            os.rmdir(temp)
            raise
        self.transcript = Transcript(self._folder, self.options.size, self.options.max_log)

    def _meta(self) -> dict[str, object]:
        return {
            "id": self.options.id,
            "cmd": self.options.command,
            "babysit_pid": os.getpid(),
            "started_at": stamp(time.time()),
            "owner": birth(os.getpid()),
            "mark": self.options.mark,
            "size": list(self.options.size),
            "socket": wire.socket_path(self._path),
        }

    def _spawn(self) -> None:
        """Start the command as leader of its own session on the terminal; a start that fails is an end."""
        command = self.options.command
        self._master, slave = os.openpty()
        _resize(self._master, self.options.size)
        try:
            self._child = os.posix_spawnp(
                command[0],
                command,
                marked(os.environ, self.options.mark),
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.ttyname(slave), os.O_RDWR, 0),
                    (os.POSIX_SPAWN_DUP2, 0, 1),
                    (os.POSIX_SPAWN_DUP2, 0, 2),
                ],
                setsid=True,
                setsigdef=[_signal.SIGPIPE, _signal.SIGXFSZ],
            )
        except OSError as error:
            self._status["error"] = f"{command[0]}: {error.strerror}"
            self._conclude(EXITED)
            return
        finally:
            os.close(slave)
        self._status["child_pid"] = self._child
        self._note(RUNNING)
        os.set_blocking(self._master, False)
        self.watch(self._master, self._read_or_write)

    def _turn(self) -> None:
        """Wait for something to happen, or to be due."""
        wait = max(min(when for when, _ in self._timers) - time.monotonic(), 0) * 1000 if self._timers else None
        for fd, events in self._poll.poll(wait):
            if door := self._doors.get(fd):
                door(events)
        now = time.monotonic()
        due = [step for when, step in self._timers if when <= now]
        self._timers = [timer for timer in self._timers if timer[0] > now]
        for step in due:
            if not self._over:
                step()

    def _later(self, seconds: float, step: Callable[[], None]) -> None:
        self._timers.append((time.monotonic() + seconds, step))

    def _signalled(self, _: int) -> None:
        numbers = os.read(self._wake, 512)
        if any(number in _ENDING for number in numbers):
            self.kill()
        if not self._gone and self._child > 0 and _has_ended(self._child):
            self._begin_end()

    def _read_or_write(self, events: int) -> None:
        if events & select.POLLOUT:
            self._write(events)
        if events & ~select.POLLOUT:
            self._read()
            if self._gone and self._master not in self._doors:
                self._end()

    def _read(self) -> bool:
        """Keep what was printed and pass it on; False when there is nothing now, or nobody to print."""
        try:
            data = os.read(self._master, _CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self.forget(self._master)
            return False
        self.transcript.write(data)
        self.control.show(data)
        if self.transcript.is_removed():
            self._look_after_folder()
        return True

    def _write(self, _: int) -> None:
        """Type what is to be typed, as far as the terminal takes it now."""
        if self._master not in self._doors:
            self._typed.clear()
            return
        try:
            while self._typed:
                del self._typed[: os.write(self._master, self._typed[:1024])]
        except BlockingIOError:
            pass
        except OSError:
            self._typed.clear()
        self._poll.modify(self._master, select.POLLIN | (select.POLLOUT if self._typed else 0))

    def _look_after_folder(self) -> None:
        """The log is gone: with the folder, so is the session; without, another log is begun."""
        if self._folder.is_gone():
            self.kill()
        else:
            self.transcript.reopen()

    def _escalate(self) -> None:
        self._escalated = True
        self._kill_all()
        self._later(CONFIRM_S, self._give_up)

    def _give_up(self) -> None:
        if not self._over:
            self._status["problem"] = f"its process {self._child} did not end within {CONFIRM_S:.0f} s of SIGKILL"
            self._conclude(KILLED)

    def _begin_end(self) -> None:
        """The command is over: what it left behind hangs up, and what it printed is still read."""
        self._gone = True
        self._signal(_signal.SIGHUP)
        if self._master in self._doors:
            self._later(DRAIN_S, self._end)
        else:
            self._end()

    def _end(self) -> None:
        if self._over:
            return
        self._kill_all()
        while self._master in self._doors and self._read():
            pass
        _, status = os.waitpid(self._child, 0)
        code = os.waitstatus_to_exitcode(status)
        if code < 0:
            self._status["signal"] = -code
        else:
            self._status["exit_code"] = code
        self._conclude(KILLED if self._asked or code < 0 else EXITED)

    def _kill_all(self) -> None:
        """See Note [What ends a session]."""
        self._signal(_signal.SIGKILL)
        kill_kin(self.options.mark)

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self._child, number)
        except OSError:
            pass

    def _conclude(self, state: str) -> None:
        """See Note [Order of the end]."""
        if self._over:
            return
        self._over = True
        self.control.close()
        if self.transcript.problem:
            self._status.setdefault("problem", self.transcript.problem)
        self._note(state)
        self.control.tell_end(
            {
                "killed": self._asked,
                "confirmed": "problem" not in self._status,
                "escalated": self._escalated,
                "state": state,
                "exit_code": self._status["exit_code"],
            },
            self._status.get("signal"),
        )

    def _note(self, state: str) -> None:
        """Put the state on disk; where that fails the records say what they said, and the owner's death the rest."""
        self._status["state"] = state
        self._status["last_change"] = stamp(time.time())
        try:
            self._folder.write_status(self._status)
        except OSError as error:
            self._status["problem"] = f"status not written: {error.strerror}"
            if state == STARTING:
                raise


def _has_ended(pid: int) -> bool:
    """Whether the child is over; it is not reaped yet."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _resize(terminal: int, size: tuple[int, int]) -> None:
    columns, rows = (number.to_bytes(2, sys.byteorder) for number in size)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, rows + columns + bytes(4))
