"""`looop attach` over real sessions, with a real terminal on both sides: the worker's, and that of whoever looks."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from looop.clients.cli.viewer import input_modes, painted
from looop.contract import ghostty
from looop.contract.emulator import Cursor
from looop.contract.ghostty import open_emulator
from looop.contract.screens import Screenshot, plain_row
from looop.session.fleet import Fleet, Session
from tests.fakes.command import Looop
from tests.fakes.sessions import log, no_one_left, now
from tests.fakes.terminal import Terminal
from tests.fakes.waiting import until

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at processes in /proc")
Attach = Callable[..., Terminal]
DETACH = b"\x1c\x1c"
ECHO = "stty raw -echo; printf 'ready\\r\\n'; exec cat -v"
SIZES = "trap 'stty size' WINCH; stty size; echo ready; while :; do sleep 0.05; done"


@pytest.fixture
def looop(tmp_path: Path) -> Looop:
    """looop over a seeded data dir."""
    return Looop(tmp_path).settle()


@pytest.fixture
def fleet(looop: Looop) -> Iterator[Fleet]:
    """The sessions of that data dir; none is left when the test is over."""
    with no_one_left(looop.data) as fleet:
        yield fleet


@pytest.fixture
def start(looop: Looop, fleet: Fleet) -> Callable[..., Session]:
    """Starts `sh -c script` as session `w`, and returns once it has printed a text."""

    def run(script: str, printed: str = "ready", size: tuple[int, int] = (80, 24)) -> Session:
        fleet.start("w", ["sh", "-c", script], looop.env, size=size, max_log=8 << 20)
        session = now(fleet, "w")
        until(lambda: printed.encode() in log(session), what=printed)
        return session

    return run


@pytest.fixture
def attach(looop: Looop) -> Iterator[Attach]:
    """Attaches to session `w` on a terminal of its own, and returns once the session's screen is drawn."""
    open_ones = []

    def run(*words: str, drawn: bytes | None = b"ready", size: tuple[int, int] = (80, 24), **streams: int) -> Terminal:
        command = [sys.executable, "-m", "looop", "attach", "w", *words]
        open_ones.append(terminal := Terminal(command, looop.folder, looop.env, size, **streams))
        if drawn is not None:
            terminal.shows(drawn)
        return terminal

    yield run
    for terminal in open_ones:
        terminal.close()


def journal(looop: Looop) -> str:
    """What is journaled so far."""
    path = looop.data / "journal.md"
    return path.read_text() if path.exists() else ""


def test_a_look_changes_nothing(looop: Looop, start: Callable[..., Session], attach: Attach) -> None:
    """Read-only: the screen is there at once, new output follows, keys and the window's size go nowhere.

    Nothing is journaled. Source: design.md §3 row 15, spec/workers.md §3.4.
    """
    session = start("stty -echo; echo ready; read line; echo got $line; stty size; sleep 60")
    terminal = attach(size=(100, 30))
    assert terminal.is_raw
    terminal.type(b"from the viewer\r")
    terminal.resize(90, 20)
    assert looop("send", "w", "from a person").code == 0
    terminal.shows(b"got from a person")
    terminal.shows(b"24 80")
    assert b"viewer" not in log(session)
    terminal.type(DETACH)
    assert terminal.ends() == 0
    assert "attach" not in journal(looop)


@pytest.mark.parametrize(
    "keys",
    [b"\x03", DETACH, b"\x1b[99;5u", b"\x1b[27;5;99~", b"\x1b[92;5u\x1b[92;5:3u\x1b[92;133u", b"\x1b[27;5;92~" * 2],
    ids=["ctrl-c", "detach", "kitty ctrl-c", "xterm ctrl-c", "kitty detach", "xterm detach"],
)
def test_leaving(looop: Looop, fleet: Fleet, start: Callable[..., Session], attach: Attach, keys: bytes) -> None:
    """Ctrl-C and Ctrl-\\ twice leave, however the terminal spells them; the session goes on, exit code 0.

    The terminal is as it was, whatever the session has done to it. Source: spec/workers.md §3.4, edge case 257.
    """
    start(r"printf '\033[?1049h\033[?25l\033[?1003h\033[>4;2m\033[31mready'; sleep 60")
    terminal = attach()
    assert not terminal.is_as_before
    terminal.type(keys)
    assert terminal.ends() == 0
    assert terminal.is_as_before
    end = terminal.seen.rpartition(b"ready")[2]
    for reset in (b"\x1b[?1049l", b"\x1b[?25h", b"\x1b[?1003l", b"\x1b[>4;0m", b"\x1b[m"):
        assert reset in end
    assert b"detached from w, which goes on" in end
    assert now(fleet, "w").alive


def test_a_single_ctrl_backslash_stays(start: Callable[..., Session], attach: Attach, fleet: Fleet) -> None:
    """One Ctrl-\\, and one here and one there, do not leave."""
    start(ECHO)
    terminal = attach()
    terminal.type(b"\x1c")
    terminal.type(b"x")
    terminal.type(b"\x1c")
    assert terminal.read(0.3) == b"" and terminal.process.poll() is None
    terminal.type(b"\x1c")
    assert terminal.ends() == 0


def test_writing(looop: Looop, fleet: Fleet, start: Callable[..., Session], attach: Attach) -> None:
    """With --write keys go in as they are, Ctrl-C too, and a single Ctrl-\\ with the key behind it; journaled once.

    The two that detach do not reach the worker, which they would end. Source: design.md §3 row 15.
    """
    start(ECHO)
    terminal = attach("--write")
    terminal.type("grün\x03\x1b[A".encode())
    terminal.shows(b"grM-CM-<n^C^[[A")
    terminal.type(b"\x1c")
    terminal.type(b"x")
    terminal.shows(b"^\\x")
    terminal.type(b"\x1c")
    terminal.type(b"\x1c")
    assert terminal.ends() == 0
    assert terminal.is_as_before
    assert now(fleet, "w").alive and log(now(fleet, "w")).count(b"^\\") == 1
    assert journal(looop).count("attach --write w") == 1


def test_ctrl_c_reaches_the_worker(start: Callable[..., Session], attach: Attach) -> None:
    """With --write Ctrl-C interrupts the worker, whose exit code is handed through."""
    start("trap 'echo stopped; exit 7' INT; echo ready; while :; do sleep 0.05; done")
    terminal = attach("--write")
    terminal.type(b"\x03")
    terminal.shows(b"stopped")
    assert terminal.ends() == 7
    assert b"session w ended (exit code 7)" in terminal.seen


def test_the_window_is_handed_on(start: Callable[..., Session], attach: Attach) -> None:
    """With --write the session's terminal gets the size of the window, at the start and whenever that changes."""
    start(SIZES)
    terminal = attach("--write", drawn=b"33 101", size=(101, 33))
    terminal.resize(120, 40)
    terminal.shows(b"40 120")
    terminal.type(DETACH)
    assert terminal.ends() == 0


@pytest.mark.parametrize(
    ("ending", "code", "said"),
    [
        ("exit 0", 0, b"exit code 0"),
        ("exit 3", 3, b"exit code 3"),
        ("kill -KILL $$", 137, b"signal 9"),
    ],
)
def test_the_session_ends_meanwhile(
    looop: Looop, start: Callable[..., Session], attach: Attach, ending: str, code: int, said: bytes
) -> None:
    """Its last words are seen, its exit code is that of the viewer, and the terminal is as it was."""
    start(f"echo ready; read line; echo last words; {ending}")
    terminal = attach()
    looop("send", "w", "go")
    terminal.shows(b"last words")
    assert terminal.ends() == code
    assert said in terminal.seen
    assert terminal.is_as_before


def test_a_kill_is_seen(looop: Looop, start: Callable[..., Session], attach: Attach) -> None:
    """A session that is killed while somebody looks ends the look with the signal's exit code."""
    start("echo ready; exec sleep 60")
    terminal = attach()
    assert looop("kill", "w").code == 0
    assert terminal.ends() == 128 + signal.SIGHUP
    assert b"session w ended (signal 1)" in terminal.seen


def test_typing_at_the_end_hides_nothing(start: Callable[..., Session], attach: Attach) -> None:
    """Keys that come too late are no error: how the session ended is said all the same."""
    start("echo ready; read line; exit 5")
    terminal = attach("--write")
    for _ in range(50):
        terminal.type(b"\r")
    assert terminal.ends() == 5


def test_a_supervisor_that_is_killed(start: Callable[..., Session], attach: Attach) -> None:
    """kill -9 of the supervisor ends the look with exit code 1 and one line that says so; the terminal is as it was.

    Source: spec/workers.md §3.3.
    """
    session = start("echo ready; exec sleep 60")
    terminal = attach()
    os.kill(session.pid, signal.SIGKILL)
    assert terminal.ends() == 1
    assert b"lost session w" in terminal.seen and b"supervisor" in terminal.seen
    assert b"Traceback" not in terminal.seen
    assert terminal.is_as_before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_viewer_that_is_ended(
    fleet: Fleet, start: Callable[..., Session], attach: Attach, number: signal.Signals, code: int
) -> None:
    """Signals end the viewer, not the session, and leave the terminal as it was. Source: edge case 257."""
    start(r"printf '\033[?1049hready'; sleep 60")
    terminal = attach()
    terminal.process.send_signal(number)
    assert terminal.ends() == code
    assert terminal.is_as_before
    assert b"\x1b[?1049l" in terminal.seen.rpartition(b"ready")[2]
    assert now(fleet, "w").alive


def test_a_window_that_is_closed(fleet: Fleet, start: Callable[..., Session], attach: Attach) -> None:
    """When the terminal goes away the viewer ends at once, and the session does not."""
    start("echo ready; exec sleep 60")
    terminal = attach()
    terminal.hang_up()
    assert terminal.process.wait(10) in (0, 1, 129, -signal.SIGHUP)
    assert now(fleet, "w").alive


def test_without_a_terminal_it_shows_until_the_end(looop: Looop, start: Callable[..., Session]) -> None:
    """In a script it writes what is printed from then on, as it is, and ends with the session's exit code."""
    start(r"echo ready; read line; printf '\033[1mbold\033[m\r\n'; exit 4")
    viewer = looop.start("attach", "w")
    assert viewer.stderr and "attached to w" in viewer.stderr.readline()
    looop("send", "w", "go")
    out, err = viewer.communicate(timeout=10)
    assert viewer.returncode == 4
    assert out.rstrip().endswith("\x1b[1mbold\x1b[m")
    assert "session w ended (exit code 4)" in err


def test_a_terminal_to_look_at_but_no_keys(looop: Looop, start: Callable[..., Session], attach: Attach) -> None:
    """With stdin from elsewhere there is nothing to detach with, the modes of the terminal stay, and are reset."""
    start(r"echo ready; read line; printf '\033[?25lhidden'; exit 0")
    terminal = attach(drawn=b"attached", stdin=subprocess.DEVNULL)
    assert terminal.is_as_before
    looop("send", "w", "go")
    assert terminal.ends() == 0
    assert b"\x1b[?25h" in terminal.seen.rpartition(b"hidden")[2]


def test_writing_without_a_terminal_is_refused(looop: Looop, start: Callable[..., Session]) -> None:
    """--write in a pipe says what types without a terminal; nothing is journaled."""
    start("echo ready; exec sleep 60")
    said = looop("attach", "w", "--write", stdin="words\n")
    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert "looop send" in said.err
    assert "attach" not in journal(looop)


@pytest.mark.parametrize("words", [("nobody",), ("w",), ()], ids=["unknown", "over", "no id"])
def test_nothing_to_attach_to(
    looop: Looop, fleet: Fleet, start: Callable[..., Session], words: tuple[str, ...]
) -> None:
    """A session that is not there or over is one line, exit code 1, and the next step."""
    session = start("echo ready", "ready")
    until(lambda: not now(fleet, "w").alive, what="the end")
    said = looop("attach", *words)
    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert "looop " in said.err and session.mark not in said.err


def test_a_worker_that_floods(fleet: Fleet, start: Callable[..., Session], attach: Attach) -> None:
    """Whoever looks at a flood can leave at once, though it outruns him; he is never thrown out.

    Source: spec/edge-cases.md item 256.
    """
    start("echo ready; while :; do seq 1 100000; done")
    terminal = attach(drawn=b"\n")
    limit = time.monotonic() + 3
    while time.monotonic() < limit:
        terminal.read(1)
    assert terminal.process.poll() is None
    terminal.type(b"\x03")
    assert terminal.ends() == 0
    assert terminal.is_as_before and now(fleet, "w").alive


def test_who_cannot_keep_up_is_shown_the_end(
    looop: Looop, fleet: Fleet, start: Callable[..., Session], attach: Attach
) -> None:
    """A terminal that stands still while much is printed shows the screen as it is as soon as it goes on."""
    session = start("echo ready; read line; seq 1 800000; echo the end; exec sleep 60")
    terminal = attach()
    looop("send", "w", "go")
    until(lambda: log(session).rstrip().endswith(b"the end"), 30, "the flood's end")
    terminal.shows(b"the end", 20)
    terminal.type(b"\x03")
    assert terminal.ends() == 0


def test_a_pipe_that_cannot_keep_up_is_told(looop: Looop, start: Callable[..., Session]) -> None:
    """A reader that is left behind is told on stderr where all of it is, and goes on to the end."""
    session = start("echo ready; read line; seq 1 800000; read line; echo the end; exit 0")
    with tempfile.TemporaryFile() as heard:
        viewer = looop.start("attach", "w")
        assert viewer.stderr and viewer.stdout and "attached" in viewer.stderr.readline()
        looop("send", "w", "go")
        until(lambda: b"800000" in log(session)[-100:], 30, "the flood's end")
        first = os.read(viewer.stdout.fileno(), 1)
        heard.write(first)
        until(lambda: os.read(viewer.stdout.fileno(), 1 << 16) != b"" and _is_quiet(viewer.stdout.fileno()), 20)
        looop("send", "w", "go")
        out, err = viewer.communicate(timeout=20)
    assert viewer.returncode == 0
    assert "went by too fast: `looop log w`" in err
    assert "the end" in out


def _is_quiet(fd: int) -> bool:
    import select

    return not select.select([fd], [], [], 0.5)[0]


def shot(text: str, row: int = 0, col: int = 0, *, hidden: bool = False, other: bool = False) -> Screenshot:
    """A screenshot with colours."""
    cursor = Cursor(row=row, col=col, hidden=hidden)
    return Screenshot(rows=24, cols=80, cursor=cursor, alternate_screen=other, screen_hash="", format="ansi", text=text)


@pytest.mark.skipif(isinstance(ghostty.library(), str), reason="there is no wheel of libghostty-vt here")
@pytest.mark.parametrize("other", [False, True], ids=["main screen", "other screen"])
def test_a_drawn_screen_is_that_screen(other: bool) -> None:
    """What is drawn makes a terminal show the same rows and cursor, whatever it showed before."""
    emulator = open_emulator(80, 24)
    emulator.feed(b"$ looop attach w\r\n" * 30 + b"\x1b[31m")
    emulator.feed(painted(shot("\x1b[0;31mred\x1b[0m\n\n   there", 2, 5, hidden=True, other=other), 80, 24).encode())
    screen = emulator.screen()
    assert [plain_row(line) for line in screen.lines[:4]] == ["red", "", "   there", ""]
    assert (screen.cursor.row, screen.cursor.col, screen.cursor.hidden) == (2, 5, True)
    assert screen.alternate_screen is other


def test_a_screen_larger_than_the_window(tmp_path: Path) -> None:
    """Of a larger screen the rows down to the cursor's are drawn, not one row more than there is room for."""
    text = painted(shot("\n".join(f"row {n}" for n in range(24)), 20, 70), 40, 10)
    assert re.findall(r"row (\d+)", text) == [str(n) for n in range(11, 21)]
    assert "\x1b[10;40H" in text


@pytest.mark.parametrize(
    ("printed", "modes"),
    [
        ("", ""),
        ("\x1b[?2004h\x1b[?1h\x1b[?1049h", "\x1b[?1h\x1b[?2004h"),
        ("\x1b[?1000;1006h\x1b[?1000l", "\x1b[?1006h"),
        ("\x1b[?2004h\x1bc", ""),
        ("\x1b[?25l\x1b[?3h\x1b[?12345h", ""),
    ],
)
def test_modes_of_input(printed: str, modes: str) -> None:
    """Only the modes that say what keys, Paste and the mouse send are taken over, and only those in force."""
    assert input_modes(printed) == modes


def test_paste_and_arrows_are_as_the_program_wants_them(start: Callable[..., Session], attach: Attach) -> None:
    """With --write a program that was put in front of nobody gets a terminal in the modes it has asked for."""
    start(r"printf '\033[?2004h\033[?1hready'; sleep 60")
    terminal = attach("--write", drawn=b"\x1b[?1h\x1b[?2004h")
    terminal.type(DETACH)
    assert terminal.ends() == 0
    assert b"\x1b[?2004l" in terminal.seen
