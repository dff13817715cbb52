"""A live session on the terminal of whoever looks: output out, keys in, and the terminal as it was afterwards.

Note [The first screen]
What is drawn first is the screen as it is, computed from the transcript; behind it comes what is printed from then on.
A screen holds everything that was printed before it was asked for. So what has come meanwhile is dropped, and another
screen asked for, until nothing came: nothing is drawn twice. A session that never pauses is drawn all the same.

Note [Left behind]
A session does not wait for who looks: one who reads too slowly is let go. A person is shown the screen anew and goes
on from there, as everything between would have scrolled by; a flood becomes a row of screens.

Note [Control keys]
What a session prints reaches this terminal, and some programs ask it to spell keys in another way. Ctrl-C and Ctrl-\\
are known in the spellings of kitty and of xterm, too, or nobody could leave such a session.

Note [The first Ctrl-\\]
In a terminal that obeys keys Ctrl-\\ ends the program. So the first of two is kept back until the next key is there.
"""

import fcntl
import os
import re
import select
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from looop.clients.cli.output import talk
from looop.contract.attach import Attachment, Seen
from looop.contract.local import Local
from looop.contract.screens import Screenshot
from looop.model.errors import Refused
from looop.model.text import one_line

_TRIES = 5
_INTERRUPT, _DETACH = b"\x03", b"\x1c"
_SPELLED = re.compile(rb"\x1b\[(?:27;\d+;(99|92)~|(99|92)[\d:]*;\d+(?::([123]))?u)")
_LAST = re.compile(rb"(?:\x1c|\x1b\[(?:27;\d+;92~|92[\d:]*;\d+(?::[12])?u))(?:\x1b\[92[\d:]*;\d+:3u)*\Z")
_INPUT_MODES = ("1", "9", "1000", "1002", "1003", "1004", "1006", "1015", "2004")
_MODE = re.compile(r"\x1b\[\?([0-9;]{1,40})([hl])|\x1bc")
_RESET = (
    "\x1b[?1049l\x1b[r\x1b[m\x1b(B\x1b[?7h\x1b[?25h\x1b>\x1b[>4;0m\x1b[=0u"
    + "".join(f"\x1b[?{mode}l" for mode in _INPUT_MODES)
    + "\x1b[999;1H\r\n"
).encode()


def size_here() -> tuple[int, int]:
    """Columns and rows of the terminal on stdout."""
    columns, rows = os.get_terminal_size(1)
    return columns, rows


class Viewer:
    """Carries output out and, where there is a terminal, keys in, until the session ends or a person leaves."""

    def __init__(self, local: Local, session_id: str, attachment: Attachment, *, write: bool, keys: bool) -> None:
        self._local, self._id, self._attachment = local, session_id, attachment
        self._write, self._keys = write, keys
        self._kept = b""

    def run(self) -> Seen | None:
        """How the session ended, None when we were let go or detached. Raises Refused when it is lost."""
        with _terminal(raw=self._keys), _resizes() as resized:
            end = self._draw() if self._keys else None
            while end is None:
                here = [0, resized] if self._keys else []
                ready = select.select([self._attachment.fileno(), *here], [], [])[0]
                if 0 in ready and self._typed(_read_keys()):
                    return None
                if resized in ready:
                    self._resize(resized)
                if self._attachment.fileno() in ready:
                    end = self._show(self._attachment.receive())
            return None if end.kind == "let-go" else end

    def _show(self, seen: list[Seen]) -> Seen | None:
        """Write out what was printed; returns what ends the view."""
        for one in seen:
            if one.kind == "output":
                _write_all(one.data)
            elif one.kind == "lost":
                return self._go_on() or self._catch_up()
            else:
                return one
        return None

    def _go_on(self) -> Seen | None:
        """See Note [Left behind]; how the session ended, if that is why nobody is there."""
        if self._attachment.renew():
            return None
        row = self._local.worker(self._id).row
        if row.state == "exited":
            return Seen("end", code=row.exit_code or 0)
        if row.state == "killed" and row.signal is not None:
            return Seen("end", code=row.signal, signaled=True)
        raise Refused(f"lost session {self._id}: {row.derived_from}, and nobody knows how it ended")

    def _draw(self) -> Seen | None:
        """Draw the screen; returns what ends the view meanwhile. See Note [The first screen]."""
        for _ in range(_TRIES):
            shot = self._local.screenshot(self._id, "ansi")
            if not select.select([self._attachment.fileno()], [], [], 0)[0]:
                break
            last = self._attachment.receive()[-1:]
            if last and last[0].kind != "output":
                if last[0].kind != "lost":
                    return last[0]
                if end := self._go_on():
                    return end
                break
        modes = input_modes(self._local.transcript(self._id).read(raw=True).text) if self._write else ""
        _write_all((painted(shot, *size_here()) + modes).encode("utf-8", "replace"))
        return None

    def _catch_up(self) -> Seen | None:
        if self._keys:
            return self._draw()
        talk(f"some of what it printed went by too fast: `looop log {one_line(self._id)}` has it")
        return None

    def _typed(self, data: bytes) -> bool:
        """Pass on what was typed; True when it says to leave. See Notes [Control keys] and [The first Ctrl-\\]."""
        data, is_over = self._kept + data, not data
        plain = _SPELLED.sub(_plain_key, data)
        if is_over or _DETACH * 2 in plain or (not self._write and _INTERRUPT in plain):
            return True
        last = _LAST.search(data)
        self._kept = last[0] if last else b""
        if self._write and len(data) > len(self._kept):
            self._attachment.type(data[: len(data) - len(self._kept)])
        return False

    def _resize(self, resized: int) -> None:
        os.read(resized, 512)
        if self._write:
            self._attachment.resize(*size_here())


def painted(shot: Screenshot, columns: int, rows: int) -> str:
    """What draws a screen on a terminal of that size, the cursor where it was; what stood there scrolls away.

    Of a screen that is larger its upper left part is seen, or its lower left where the cursor would be lost.
    """
    lines = (shot.text or "").split("\n")
    above = max(shot.cursor.row - rows + 1, 0)
    start = "\x1b[?1049h" if shot.alternate_screen else f"\x1b[?1049l\x1b[{rows};1H" + "\n" * rows
    body = "\r\n".join(lines[above : above + rows])
    row, column = shot.cursor.row - above + 1, min(shot.cursor.col + 1, columns)
    shown = "\x1b[?25l" if shot.cursor.hidden else "\x1b[?25h"
    return f"{start}\x1b[H\x1b[2J\x1b[?7l{body}\x1b[?7h\x1b[{row};{column}H{shown}"


def input_modes(transcript: str) -> str:
    """The sequences that put a terminal into the modes of input a program has set: what Paste and the arrows send."""
    found: dict[str, bool] = {}
    for match in _MODE.finditer(transcript):
        if match[1] is None:
            found.clear()
        else:
            found |= dict.fromkeys(match[1].split(";"), match[2] == "h")
    return "".join(f"\x1b[?{mode}h" for mode in _INPUT_MODES if found.get(mode))


def _plain_key(spelled: re.Match[bytes]) -> bytes:
    """The key as a terminal spells it by default; nothing for letting go of it. See Note [Control keys]."""
    if spelled[3] == b"3":
        return b""
    return _INTERRUPT if b"99" in spelled.groups() else _DETACH


def _read_keys() -> bytes:
    """What was typed; nothing when the terminal is gone."""
    try:
        return os.read(0, 4096)
    except OSError:
        return b""


def _write_all(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


@contextmanager
def _terminal(*, raw: bool) -> Iterator[None]:
    """The terminal in raw mode if wanted, and as it was afterwards, whatever the session did to it."""
    before = termios.tcgetattr(0) if raw else None
    if before:
        tty.setraw(0)
    try:
        yield
    finally:
        with suppress(OSError, termios.error):
            if sys.stdout.isatty():
                _write_all(_RESET)
            if before:
                termios.tcsetattr(0, termios.TCSAFLUSH, before)


@contextmanager
def _resizes() -> Iterator[int]:
    """A descriptor that is readable when this terminal has got another size."""
    ours, theirs = os.pipe()
    for fd in (ours, theirs):
        fcntl.fcntl(fd, fcntl.F_SETFL, os.O_NONBLOCK)
    before = signal.signal(signal.SIGWINCH, lambda *_: None), signal.set_wakeup_fd(theirs, warn_on_full_buffer=False)
    try:
        yield ours
    finally:
        signal.signal(signal.SIGWINCH, before[0])
        signal.set_wakeup_fd(before[1])
        os.close(ours)
        os.close(theirs)
