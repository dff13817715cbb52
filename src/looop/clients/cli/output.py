"""What goes to stdout and stderr, and how: stdout is data, stderr is talk. Source: spec/cli.md §1, edge case 238.

Note [Raw or clean]
Text that came from outside may hold escape sequences. What a pipe or a file gets is the data as it is; what a
terminal gets is made visible first. Lines we compose ourselves are clean wherever they go.
"""

import fcntl
import io
import os
import re
import select
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from looop.clients.cli.show import report_lines, state_lines
from looop.contract.verbs import Engine, StateView, Woke
from looop.model.moves import AnyMove
from looop.model.text import one_line, visible

_PATIENCE_S = 2.0
_LONGEST_TALK = 2000
_ODD = re.compile(r"[^\n -~]")


def steady_streams() -> None:
    """Make stdout and stderr usable whatever they are: closed ones take nothing, odd characters never raise."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, io.StringIO())
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(*lines: str) -> None:
    """Lines of ours on stdout; every part from outside has been cleaned."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def talk(message: str) -> None:
    """One line on stderr, with our name in front exactly once."""
    flat = clip_end(one_line(message.strip()))
    sys.stderr.write((flat if flat.startswith("looop:") else f"looop: {flat}") + "\n")


def clip_end(line: str) -> str:
    """A line of talk that nobody would read to its end, cut."""
    return line if len(line) <= _LONGEST_TALK else f"{line[:_LONGEST_TALK]}…"


def relay(heading: str, text: str) -> None:
    """What another program said, on stderr: behind our heading, or line by line below it. Nothing for nothing."""
    lines = visible(text.replace("\r\n", "\n").strip("\n")).rstrip().split("\n")
    if lines == [""]:
        return
    talk(f"{heading}: {lines[0]}" if len(lines) == 1 else f"{heading}:")
    sys.stderr.write("".join(f"  {line}\n" for line in lines if len(lines) > 1))


def give(text: str) -> None:
    """Somebody's text on stdout, ending in a newline. See Note [Raw or clean]."""
    body = text if text.endswith("\n") else f"{text}\n"
    sys.stdout.write(visible(body) if sys.stdout.isatty() else body)


def hand_over(text: str) -> None:
    """As give; all of it has left this process when this returns. Raises BrokenPipeError."""
    give(text)
    sys.stdout.flush()


class Reader:
    """Whoever reads our stdout, as a wish to end: it comes up when nobody does any more, or never did.

    Only the writing end of a pipe tells that; it turns readable then, which it never is otherwise.
    """

    def __init__(self) -> None:
        self._fd = _writing_pipe()
        self._gone = select.poll()
        if self._fd >= 0:
            self._gone.register(self._fd, 0)

    def requested(self) -> bool:
        return isinstance(sys.stdout, io.StringIO) or (self._fd >= 0 and bool(self._gone.poll(0)))

    def fileno(self) -> int:
        return self._fd


def _writing_pipe() -> int:
    """The descriptor of stdout where that is a pipe that is only written, -1 where it is something else, or nothing."""
    try:
        fd = sys.stdout.fileno()
        only_written = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY
        return fd if only_written and stat.S_ISFIFO(os.fstat(fd).st_mode) else -1
    except (OSError, ValueError):
        return -1


def print_json(value: Any) -> None:
    """One pretty JSON document on stdout, valid UTF-8, without a character a terminal would obey."""
    import msgspec

    try:
        data = msgspec.json.encode(value)
    except UnicodeEncodeError:
        data = msgspec.json.encode(_encodable(msgspec.to_builtins(value)))
    say(escaped(msgspec.json.format(data, indent=2).decode()))


def escaped(document: str) -> str:
    """A JSON document with its unprintable characters, which can only stand in strings, as \\u escapes."""
    if document.isascii() and "\x7f" not in document:
        return document
    return _ODD.sub(lambda odd: f"\\u{ord(odd[0]):04x}" if _unprintable(odd[0]) else odd[0], document)


def steer(move: AnyMove, journal: str) -> None:
    """Make a move as a person and print its summary."""
    from looop.contract.local import open_local

    say(one_line(open_local().steer(move, journal)))


def show_state(view: StateView, *, as_json: bool) -> None:
    """The state on stdout; beside JSON, what could not be read is on stderr, too."""
    _show_view(view, {}, None, as_json=as_json)


def show_woke(woke: Woke, *, as_json: bool) -> None:
    """Why a wait ended, and the state then."""
    why = {"changed": woke.changed, "new_asks": woke.new_asks, "cursor": woke.cursor}
    _show_view(woke.state, why, woke.changed, as_json=as_json)


def _show_view(view: StateView, more: dict[str, Any], changed: list[str] | None, *, as_json: bool) -> None:
    if not as_json:
        say(*state_lines(view, changed))
        return
    import msgspec

    print_json(msgspec.to_builtins(view) | more)
    for damage in view.damaged:
        talk(damage)


def show_beat(engine: Engine, *, forced: bool, dry_run: bool, park: bool, as_json: bool) -> int:
    """Run one beat, print its report, and return the exit code: 1 when it failed or could not be, 130 when stopped."""
    with patience("sensing and deciding"):
        report = engine.beat(forced=forced, dry_run=dry_run, park=park)
    if as_json:
        print_json(report)
    else:
        say(*report_lines(report, dry_run=dry_run))
    return {"failed": 1, "blocked": 1, "stopped": 130}.get(report.ending, 0)


@contextmanager
def patience(what: str) -> Iterator[None]:
    """Say on a terminal what is waited for, once it takes longer than two seconds."""
    if not sys.stderr.isatty():
        yield
        return
    from threading import Timer

    timer = Timer(_PATIENCE_S, talk, (f"{what} … (Ctrl-C stops it)",))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _encodable(value: Any) -> Any:
    """`value` without lone surrogates, which stand for bytes that are not UTF-8."""
    if isinstance(value, str):
        return value if value.isascii() else one_line(value)
    if isinstance(value, dict):
        return {_encodable(key): _encodable(part) for key, part in value.items()}
    return [_encodable(part) for part in value] if isinstance(value, list) else value


def _unprintable(ch: str) -> bool:
    return one_line(ch) != ch
