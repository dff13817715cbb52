"""The supervisor: one process per session. It owns the terminal of one command, from its start to its last word.

Note [What ends a session]
The command's exit, a kill, a signal to the supervisor, or the loss of the session's folder. Whichever it is, the
command's group and all its kin (see kin.py) are ended before the last word is written: a session leaves no process
behind. The leader of the group is reaped last, so that its pid, and with it the group, cannot change hands.

Note [Order of the end]
The socket goes first, then the last status is written, then whoever waits for the end is told. So nobody hears of an
end that is not on disk, and the next session of that id finds its path free.

Note [Light]
Each import costs memory once per worker: builtin modules and C halves only. Source: spec/workers.md §3.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the C half of signal
import os
import select
import time

from looop.session import wire
from looop.session.control import Control
from looop.session.kin import adopt, birth, kill_kin, marked
from looop.session.options import Options, parse
from looop.session.record import EXITED, KILLED, RUNNING, STARTING, Folder, remove, settle, stamp, temporary
from looop.session.terminal import Terminal
from looop.session.transcript import Transcript

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

HANGUP_S, CONFIRM_S, DRAIN_S, FAREWELL_S = 0.3, 2.0, 0.5, 2.0
LOOK_S = 60.0  # how often a silent session sees whether its folder is still there
_MOST_CHUNKS = 256  # more than a terminal holds, so that the end of a flood is an end
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
    os.setsid()
    try:
        return Supervisor(options).run()
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        _report(f"error: session {options.id}: {error.strerror}{where}")
        return 1


def _report(line: str) -> bool:
    """Say how the start went, and let go of whoever waited for it; False when nobody did any more."""
    try:
        is_heard = os.write(1, line.encode("utf-8", "replace") + b"\n") > 0
    except OSError:
        is_heard = False
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nowhere, fd)
    os.close(nowhere)
    return is_heard


class Supervisor:
    """One session. `Control` serves its clients and asks it for what they want."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._poll, self._doors = select.poll(), dict[int, "Callable[[int], None]"]()
        self._timers: list[tuple[float, Callable[[], None]]] = []
        self.terminal = Terminal(self)
        self._status: dict[str, object] = {"state": STARTING, "child_pid": None, "exit_code": None}
        self._mark = f"session-{os.urandom(8).hex()}"
        self._child, self._born, self._exit = -1, "", -1
        self._asked = self._escalated = self._gone = self._over = False

    def run(self) -> int:
        """From the first record to the last. Raises OSError when there cannot be such a session."""
        self._hear_signals()
        self._found()
        self.control = Control(self, wire.socket_path(self._mark))
        self._status |= self.control.open()
        self.later(LOOK_S, self._look)
        try:
            self._spawn()
            if not _report(f"error: {self._status['error']}" if self._over else RUNNING):
                self.kill()
            while not self._over:
                self._turn()
        except Exception as error:  # noqa: BLE001  whatever it is, the session must not outlive its supervisor
            self._status["problem"] = f"its supervisor failed: {error!r}"
            self._kill_all()
            self._conclude(KILLED)
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

    def watch_terminal(self, events: int) -> None:
        """Read what is printed, and type on when there is something to type."""
        self.watch(self.terminal.fd, self._read_or_write, events)

    def later(self, seconds: float, step: Callable[[], None]) -> None:
        """Take the step when so much time has passed, unless the session is over by then."""
        self._timers.append((time.monotonic() + seconds, step))

    def resize(self, size: tuple[int, int]) -> None:
        """Give the terminal another size."""
        if size != self.transcript.size:
            self.terminal.resize(size)
            self.transcript.resize(size)

    def kill(self) -> None:
        """End the session: hang up, after a moment kill, after another give up. Source: spec/workers.md §3.5."""
        if not self._asked and not self._gone and not self._over:
            self._asked = True
            self._signal(_signal.SIGHUP)
            self._signal(_signal.SIGCONT)
            self.later(HANGUP_S, self._escalate)

    def _hear_signals(self) -> None:
        """Whatever was blocked or ignored where we come from. Source: edge case 263."""
        self._wake, wakes = os.pipe()
        for fd in (self._wake, wakes):
            os.set_blocking(fd, False)
        _signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        for number in (_signal.SIGCHLD, *_ENDING):
            _signal.signal(number, lambda *_: None)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
        adopt()
        self.watch(self._wake, self._signalled)

    def _found(self) -> None:
        """Make the folder with its first records; whoever gives it its name has the id."""
        sessions = os.path.join(os.path.abspath(self.options.root), "sessions")
        if not os.path.isdir(sessions):
            os.makedirs(sessions, exist_ok=True)
            settle(os.path.dirname(sessions))
        temp, path = os.path.join(sessions, temporary()), os.path.join(sessions, self.options.id)
        os.mkdir(temp)
        try:
            self._folder = Folder(temp)
            self._folder.write_meta(self._meta())
            self._note(STARTING)
            _take_name(temp, path)
        except OSError:
            remove(temp)
            raise
        settle(sessions)
        self.transcript = Transcript(self._folder, self.options.size, self.options.max_log)

    def _meta(self) -> dict[str, object]:
        return {
            "id": self.options.id,
            "cmd": self.options.command,
            "babysit_pid": os.getpid(),
            "started_at": stamp(time.time()),
            "owner": birth(os.getpid()),
            "mark": self._mark,
            "size": list(self.options.size),
            "socket": wire.socket_path(self._mark),
        }

    def _spawn(self) -> None:
        """Start the command as leader of its own session on the terminal; a start that fails is an end."""
        command = self.options.command
        os.environ.pop(self.options.without, None)
        try:
            name = self.terminal.open(self.options.size)
            self._child = os.posix_spawnp(
                command[0],
                command,
                marked(os.environ, self._mark),
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, name, os.O_RDWR, 0),
                    (os.POSIX_SPAWN_DUP2, 0, 1),
                    (os.POSIX_SPAWN_DUP2, 0, 2),
                ],
                setsid=True,
                setsigdef=_signal.valid_signals(),
            )
        except (OSError, ValueError) as error:
            self._status["error"] = f"{command[0]}: {getattr(error, 'strerror', None) or error}"
            self._conclude(EXITED)
            return
        self._born = birth(self._child)
        self._status |= {"child_pid": self._child, "child_born": self._born}
        self._note(RUNNING)
        self.watch_terminal(select.POLLIN)

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

    def _signalled(self, _: int) -> None:
        numbers = os.read(self._wake, 512)
        if any(number in _ENDING for number in numbers):
            self.kill()
        if not self._gone and self._has_ended():
            self._begin_end()

    def _has_ended(self) -> bool:
        """Whether the command is over. What was adopted is buried; the command is not yet, where that can be had."""
        if not hasattr(os, "waitid"):
            pid, self._exit = os.waitpid(self._child, os.WNOHANG)
            return pid == self._child
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid == self._child:
                return True
            os.waitpid(ended.si_pid, 0)
        return False

    def _read_or_write(self, events: int) -> None:
        if events & select.POLLOUT:
            self.terminal.write()
        if events & ~select.POLLOUT:
            self._read()
            if self._gone and self.terminal.is_over:
                self._end()

    def _read(self) -> bool:
        """Keep what was printed and pass it on; False when there is nothing now, or nobody to print."""
        data = self.terminal.read()
        if not data:
            if self.terminal.is_over:
                self.forget(self.terminal.fd)
            return False
        self.transcript.write(data)
        self.control.show(data)
        if self.transcript.is_removed():
            self._look_after_folder()
        return True

    def _look_after_folder(self) -> None:
        """Without its folder nobody knows the session any more, so it ends; without its log, another one is begun."""
        if self._folder.is_gone():
            self.kill()
        elif self.transcript.is_removed():
            self.transcript.reopen()

    def _look(self) -> None:
        self._look_after_folder()
        self.later(LOOK_S, self._look)

    def _escalate(self) -> None:
        self._escalated = True
        self._kill_all()
        self.later(CONFIRM_S, self._give_up)

    def _give_up(self) -> None:
        if not self._over:
            self._status["problem"] = f"its process {self._child} did not end within {CONFIRM_S:.0f} s of SIGKILL"
            self._conclude(KILLED)

    def _begin_end(self) -> None:
        """The command is over: what it left behind hangs up, and what it printed is still read."""
        self._gone = True
        self.terminal.let_go()
        self._signal(_signal.SIGHUP)
        self.later(DRAIN_S, self._end)

    def _end(self) -> None:
        if self._over:
            return
        self._kill_all()
        for _ in range(_MOST_CHUNKS):
            if not self._read():
                break
        if hasattr(os, "waitid"):
            _, self._exit = os.waitpid(self._child, 0)
        code = os.waitstatus_to_exitcode(self._exit)
        if code < 0:
            self._status["signal"] = -code
        else:
            self._status["exit_code"] = code
        self._conclude(KILLED if self._asked or code < 0 else EXITED)

    def _kill_all(self) -> None:
        """See Note [What ends a session]."""
        self._signal(_signal.SIGKILL)
        kill_kin(self._mark, self._child, self._born, os.getpid())

    def _signal(self, number: int) -> None:
        try:
            if self._child > 0:
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
        self._folder.announce_end()
        self.control.tell_end(
            {
                "killed": self._asked,
                "confirmed": self._exit >= 0,
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


def _take_name(temp: str, path: str) -> None:
    """Give the folder its name. Raises OSError when somebody has that, even the moment before."""
    try:
        if not os.path.lexists(path):
            os.rename(temp, path)
            return
    except OSError:
        if not os.path.lexists(path):
            raise
    raise FileExistsError(17, "there is a session of that id")
