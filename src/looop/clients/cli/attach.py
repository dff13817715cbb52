"""Verbs that reach into a live session: attach, send."""

import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from looop.clients.cli.output import say, talk
from looop.clients.cli.words import body_of, complete
from looop.contract.attach import Attachment, Seen
from looop.contract.local import open_local

_DETACH, _INTERRUPT = b"\x1c", b"\x03"  # Ctrl-\ and Ctrl-C
_RESET = b"\x1b[?1049l\x1b[?25h\x1b[0m\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[?1l\x1b>\r\n"
live_ids = complete(lambda local: [view.id for view in local.workers() if view.alive])


@click.command()
@click.argument("session_id", metavar="ID", shell_complete=live_ids)
@click.option("--write", is_flag=True, help="Type into it, too; journaled. Without, keys go nowhere.")
@click.pass_context
def attach(ctx: click.Context, session_id: str, write: bool) -> None:
    """Look into a live session as it runs. Ctrl-\\ twice detaches; so does Ctrl-C unless you --write.

    The exit code is the session's when it ends meanwhile, 0 when you detach.
    """
    local = open_local()
    here = sys.stdin.isatty() and sys.stdout.isatty()
    attachment = local.attach(session_id, write=write, size=_size() if here else None)
    talk(f"attached to {session_id}, {'typing' if write else 'read-only'}: Ctrl-\\ twice detaches")
    screen = (local.screenshot(session_id, "ansi").text or "") if here else ""
    try:
        with _raw(here):
            os.write(1, screen.replace("\n", "\r\n").encode("utf-8", "replace"))
            end = _Viewer(attachment, write=write, keys=here).run()
    finally:
        attachment.close()
    if end is None:
        talk(f"detached from {session_id}, which goes on")
        return
    talk(f"session {session_id} ended ({'signal' if end.signaled else 'exit code'} {end.code})")
    ctx.exit(128 + end.code if end.signaled else min(max(end.code, 0), 255))


@click.command()
@click.argument("session_id", metavar="ID", shell_complete=live_ids)
@click.argument("text", nargs=-1)
@click.option("-n", "--no-newline", is_flag=True, help="Do not press Enter behind it.")
def send(session_id: str, text: tuple[str, ...], no_newline: bool) -> None:
    """Type TEXT into a live session's terminal, then press Enter. Journaled.

    TEXT is words, or standard input when there are none or a lone -.
    """
    say(open_local().send(session_id, body_of(text, "text").rstrip("\n"), enter=not no_newline))


class _Viewer:
    """Carries output out and keys in, until the session ends or the person has seen enough."""

    def __init__(self, attachment: Attachment, *, write: bool, keys: bool) -> None:
        self._attachment, self._write, self._keys = attachment, write, keys
        self._last = b""

    def run(self) -> Seen | None:
        """How the session ended, None when we were let go or detached."""
        with _on_resize(self._resized if self._write and self._keys else None):
            while True:
                ready = select.select([self._attachment.fileno(), *([0] if self._keys else [])], [], [])[0]
                if 0 in ready and self._typed(os.read(0, 4096)):
                    return None
                if self._attachment.fileno() in ready:
                    for seen in self._attachment.receive():
                        if seen.kind != "output":
                            return seen if seen.kind == "end" else None
                        _write_all(seen.data)

    def _typed(self, data: bytes) -> bool:
        """Pass on what was typed; True when it says to detach."""
        leave = not data or (self._last + data).endswith(_DETACH * 2) or (not self._write and _INTERRUPT in data)
        self._last = data[-1:]
        if self._write and not leave:
            self._attachment.type(data)
        return leave

    def _resized(self) -> None:
        self._attachment.resize(*_size())


def _write_all(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


def _size() -> tuple[int, int]:
    columns, rows = os.get_terminal_size(1)
    return columns, rows


@contextmanager
def _raw(wanted: bool) -> Iterator[None]:
    """The terminal in raw mode, and as it was afterwards, whatever the session did to it."""
    if not wanted:
        yield
        return
    before = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
        os.write(1, _RESET)


@contextmanager
def _on_resize(step: Callable[[], None] | None) -> Iterator[None]:
    before = signal.signal(signal.SIGWINCH, lambda *_: step() if step else None)
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)
