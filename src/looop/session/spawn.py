"""Starting a supervisor, detached: from here on nobody needs the process that asked for it.

Note [No leaks]
The supervisor gets /dev/null and one pipe, on which it says how its start went and which it then closes; it closes
whatever else it may have inherited. So `x=$(looop worker start …)` ends as soon as the session runs. It is no child of
ours: it forks once, so that nobody has to reap it. Who waits closes the pipe when it gives up, or dies; a supervisor
that nobody hears then ends its session, so that no start is left half made.
"""

from __future__ import annotations

import os
import select
import sys
import time
from signal import SIGKILL

from looop.session.kin import unmarked
from looop.session.options import is_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PATIENCE_S = 30.0
_LOCALE = "LC_CTYPE"  # which Python sets for itself, and so for its children, where there is no locale
_STUB = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); "
    "from looop.session.supervisor import main; sys.exit(main(sys.argv[1:]))"
)


class SpawnError(Exception):
    """There is no such session now; the text says why."""


def spawn(
    root: str,
    session_id: str,
    command: Sequence[str],
    env: Mapping[str, str],
    *,
    size: tuple[int, int] = (80, 24),
    max_log: int = 0,
) -> None:
    """Start a session over `root` and return once its command runs. Raises SpawnError.

    The command gets `env` as it is, plus the mark by which everything it starts is found.
    """
    if not is_name(session_id):
        raise SpawnError(f"{session_id!r} cannot name a session")
    words = ["run", "--detached-id", session_id, f"--root={root}", "--max-log", str(max_log)]
    words += [] if _LOCALE in env else ["--without", _LOCALE]
    words += ["--size", f"{size[0]}x{size[1]}", "--", *command]
    try:
        said = _converse(words, unmarked(env))
    except (OSError, ValueError) as error:
        raise SpawnError(f"session {session_id}: {getattr(error, 'strerror', None) or error}") from None
    if said != "running":
        raise SpawnError(said.removeprefix("error: ") or f"session {session_id}: its supervisor ended before it began")


def _converse(words: list[str], env: dict[str, str]) -> str:
    """Start the supervisor, and what it says of its start. Raises OSError and ValueError."""
    reader, writer = os.pipe()
    try:
        try:
            pid = _start(words, env, writer)
        finally:
            os.close(writer)
        try:
            return _hear(reader)
        finally:
            _reap(pid)
    finally:
        os.close(reader)


def _start(words: list[str], env: dict[str, str], writer: int) -> int:
    home = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", "-S", "-E", "-c", _STUB, home, *words],
        env,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, writer, 1),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ],
        setsid=True,
    )


def _reap(pid: int) -> None:
    """Only the supervisor goes on. Where SIGCHLD is ignored there is nobody to reap."""
    try:
        if not os.waitpid(pid, os.WNOHANG)[0]:
            os.kill(pid, SIGKILL)
            os.waitpid(pid, 0)
    except ChildProcessError:
        pass


def _hear(reader: int) -> str:
    """The one line of the supervisor. Raises OSError when it does not come."""
    deadline, said = time.monotonic() + PATIENCE_S, b""
    while not said.endswith(b"\n"):
        poll = select.poll()
        poll.register(reader, select.POLLIN)
        if not poll.poll(max(deadline - time.monotonic(), 0) * 1000):
            raise TimeoutError(110, f"its supervisor said nothing for {PATIENCE_S:.0f} s")
        chunk = os.read(reader, 4096)
        if not chunk:
            break
        said += chunk
    return said.decode("utf-8", "replace").strip()
