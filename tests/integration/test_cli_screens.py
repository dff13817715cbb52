"""`looop screenshot` and `looop log` over real sessions: programs on terminals of their own, kept by a supervisor."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from looop.contract import ghostty
from looop.session.fleet import Fleet
from tests.fakes.command import Looop
from tests.fakes.waiting import until

Start = Callable[..., None]
needs_library = pytest.mark.skipif(isinstance(ghostty.library(), str), reason="there is no wheel of libghostty-vt here")
COLOURS = r"printf '\033]0;t\007\033[31mred\033[m\r\n\033[3;5Hthere'"


@pytest.fixture
def looop(tmp_path: Path) -> Looop:
    """looop over a seeded data dir."""
    return Looop(tmp_path).settle()


@pytest.fixture
def start(looop: Looop) -> Iterator[Start]:
    """Starts `sh -c script` as session `w` (or `id`); whatever still runs at the end is ended."""
    fleet = Fleet(str(looop.data))

    def run(script: str, session_id: str = "w", *, max_log: int = 0, size: tuple[int, int] = (80, 24)) -> None:
        fleet.start(session_id, ["sh", "-c", script], looop.env, max_log=max_log, size=size)

    yield run
    for session in fleet.sessions():
        if session.alive:
            fleet.kill(session)


def over(looop: Looop, session_id: str = "w") -> None:
    """Wait until the session is over."""
    until(lambda: not (found := Fleet(str(looop.data)).session(session_id)) or not found.alive, what="the end")


def printed(looop: Looop, text: str, session_id: str = "w") -> None:
    """Wait until the session has printed this."""
    log = looop.data / "sessions" / session_id / "output.log"
    until(lambda: log.exists() and text.encode() in log.read_bytes(), what=text)


@needs_library
def test_the_screen_of_a_session_that_lives_and_of_one_that_ended(looop: Looop, start: Start) -> None:
    """Both are shown, as text by default, under both names of the verb. Source: spec/cli.md §2."""
    start(f"{COLOURS}; read line")
    printed(looop, "there")
    assert looop("screenshot", "w").out == "red\n\n    there\n"
    start(COLOURS, "ended")
    over(looop, "ended")
    for words in (["ss", "ended"], ["screenshot", "ended", "--plain"]):
        assert (looop(*words).code, looop(*words).out) == (0, "red\n\n    there\n")


@needs_library
def test_the_other_formats(looop: Looop, start: Start) -> None:
    """With colours every row is reset, JSON is one document, blank rows stay on request.

    Source: spec/workers.md §3.6.
    """
    start(COLOURS, size=(60, 10))
    over(looop)
    assert looop("ss", "w", "--ansi").out == "\x1b[0;31mred\x1b[0m\x1b[0m\n\x1b[0m\n    there\x1b[0m\n"
    shot = looop("ss", "w", "--json").json
    assert (shot["rows"], shot["cols"], shot["format"], "text" in shot) == (10, 60, "json", False)
    assert shot["cells"][0] == {"row": 0, "col": 0, "char": "r", "fg": "idx1"}
    assert shot["cursor"] == {"row": 2, "col": 9, "hidden": False}
    assert looop("ss", "w", "--no-trim").out == "red\n\n    there" + "\n" * 8


def test_formats_exclude_each_other_and_an_id_is_needed(looop: Looop) -> None:
    """One line says so, and the exit code is 1. Source: spec/cli.md §2."""
    for words in (["w", "--ansi", "--json"], ["w", "--plain", "--ansi"], []):
        said = looop("screenshot", *words)
        assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)


@pytest.mark.parametrize("verb", ["screenshot", "log"])
def test_a_session_that_is_not_there(looop: Looop, verb: str) -> None:
    """It is named, and what shows the others. Exit code 1."""
    said = looop(verb, "nobody")
    assert (said.code, said.out) == (1, "")
    assert "no session 'nobody'" in said.err


@pytest.mark.parametrize("verb", ["screenshot", "log"])
def test_a_log_that_is_a_pipe_blocks_nobody(looop: Looop, start: Start, verb: str) -> None:
    """What has no business in the log's place is said in one line."""
    start("true")
    over(looop)
    log = looop.data / "sessions" / "w" / "output.log"
    log.unlink(missing_ok=True)
    os.mkfifo(log)
    said = looop(verb, "w")
    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert "is not a file" in said.err


def test_without_a_library_the_text_is_shown_and_said(looop: Looop, start: Start) -> None:
    """Where no emulator can be had, stdout has the text, stderr one line, JSON a field, and the exit code is 0."""
    start(r"printf 'one\r\n\033[31mtwo\033[m\r\n'")
    over(looop)
    hide = looop.folder / "hide" / "pyghostty"
    hide.mkdir(parents=True)
    (hide / "__init__.py").write_text("raise AssertionError('nobody imports this')")
    env = {"PYTHONPATH": os.pathsep.join([str(hide.parent), *filter(None, [os.environ.get("PYTHONPATH")])])}
    said = looop("ss", "w", env=env)
    assert (said.code, said.out, said.err.count("\n")) == (0, "one\ntwo\n", 1)
    assert "not the screen" in said.err
    assert "not the screen" in looop("ss", "w", "--json", env=env).json["degraded"]


def test_what_a_worker_has_printed(looop: Looop, start: Start) -> None:
    """The log as text, its last lines, those that match, raw, and as JSON. Source: spec/workers.md §3.7."""
    start(r"printf 'one\n\033[31mtwo\033[m\nthree\377\n'")
    over(looop)
    assert looop("log", "w").out == "one\ntwo\nthree\ufffd\n"
    assert looop("log", "w", "--tail", "1").out == "three\ufffd\n"
    assert looop("log", "w", "--grep", "^t[wh]o?").out == "two\nthree\ufffd\n"
    raw = looop.in_shell("looop log w --raw | od -An -c | tr -d ' \\n'").out
    assert raw == r"one\r\n033[31mtwo033[m\r\nthree377\r\n"
    found = looop("log", "w", "--json").json
    assert found == {"text": "one\ntwo\nthree\ufffd\n", "offset": 26, "done": True}
    assert looop("log", "w", "--since", "5").out == "two\nthree\ufffd\n"
    assert looop("log", "w", "--since", "26", "--json").json == {"text": "", "offset": 26, "done": True}


def test_a_session_that_printed_nothing(looop: Looop, start: Start) -> None:
    """Its log is empty, and so is what is said. Source: spec/cli.md §2."""
    start("true")
    over(looop)
    assert (looop("log", "w").code, looop("log", "w").out) == (0, "")
    assert looop("ss", "w").out == ""


def test_a_pattern_that_is_none(looop: Looop, start: Start) -> None:
    """A bad expression is one clear line and exit code 1."""
    start("true")
    for words in (["--grep", "("], ["--grep", "(", "--follow"]):
        said = looop("log", "w", *words)
        assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
        assert "'(' is not a regular expression" in said.err


def test_escapes_reach_a_terminal_only_on_request(looop: Looop, start: Start) -> None:
    """On a terminal, text has nothing that it would obey; --raw and --ansi have. Source: spec/cli.md §1."""
    start(r"printf 'a\033[31mb\033[m\342\200\256c\r\n'")
    over(looop)
    for words in (["log", "w"], ["ss", "w"], ["log", "w", "--json"], ["ss", "w", "--json"]):
        code, text = looop.on_terminal(*words)
        assert code == 0
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert "\x1b[31mb" in looop.on_terminal("log", "w", "--raw")[1]
    assert "\u202e" not in looop.on_terminal("ss", "w", "--ansi")[1]


def test_following_ends_with_the_session(looop: Looop, start: Start) -> None:
    """What is printed while one follows is shown, across rotations; when the session ends, so does that, with 0."""
    start("read line; i=0; while [ $i -lt 300 ]; do i=$((i + 1)); echo line $i; done", max_log=1000)
    follower = looop.start("log", "w", "--follow")
    Fleet(str(looop.data)).sessions()
    looop("send", "w", "go")
    out, err = follower.communicate(timeout=30)
    assert (follower.returncode, err) == (0, "")
    assert out.splitlines()[-3:] == ["line 298", "line 299", "line 300"]
    assert len(set(out.splitlines())) == len(out.splitlines())


def test_following_as_json(looop: Looop, start: Start) -> None:
    """Each piece is a document on a line of its own; the last one says that the worker is done."""
    start("echo one; read line; echo two")
    printed(looop, "one")
    follower = looop.start("log", "w", "-f", "--json")
    assert follower.stdout
    first = json.loads(follower.stdout.readline())
    assert (first["text"], first["done"]) == ("one\n", False)
    looop("send", "w", "go")
    rest = [json.loads(line) for line in follower.communicate(timeout=30)[0].splitlines()]
    assert rest[-1]["done"]
    assert "".join(piece["text"] for piece in rest).endswith("two\n")


def test_ctrl_c_ends_following(looop: Looop, start: Start) -> None:
    """Ctrl-C ends it with 130, without a word, and the session goes on. Source: spec/cli.md §1."""
    start("echo one; read line")
    printed(looop, "one")
    follower = looop.start("log", "w", "--follow")
    assert follower.stdout
    assert follower.stdout.readline() == "one\n"
    follower.send_signal(signal.SIGINT)
    out, err = follower.communicate(timeout=30)
    assert (follower.returncode, out, err.strip()) == (130, "", "")
    found = Fleet(str(looop.data)).session("w")
    assert found
    assert found.alive


@needs_library
def test_a_screen_after_many_rotations(looop: Looop, start: Start) -> None:
    """A program on the alternate screen, whose log was rotated many times, is shown as it stands."""
    draw = r"while [ $i -lt 400 ]; do i=$((i + 1)); printf '\033[H\033[2Jtop %d\033[5;1Hbottom %d' $i $i; done"
    start(rf"printf 'shell\033[?1049h\033[?25l'; i=0; {draw}; read line", max_log=2000)
    printed(looop, "bottom 400")
    assert (looop.data / "sessions" / "w" / "output.log.1").exists()
    assert looop("ss", "w").out == "top 400\n\n\n\nbottom 400\n"
    assert looop("ss", "w", "--json").json["alternate_screen"]
