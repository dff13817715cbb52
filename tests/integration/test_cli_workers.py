"""`looop worker …`, kill, restart, prune, send: what a person and a script hear, over real sessions."""

import json
import os
import shutil
import signal
import sys
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from looop.session.fleet import Fleet, Session
from tests.fakes.command import Looop, Said
from tests.fakes.sessions import log, no_one_left, now
from tests.fakes.terminal import Terminal
from tests.fakes.waiting import gone, until
from tests.integration.test_cli_completion import ASK_BASH

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at processes in /proc")
PRINT = "cat {{prompt_file}}"
STAY = "cat {{prompt_file}}; exec sleep 60"
HEADINGS = ["ID", "HEALTH", "STATE", "IDLE", "UP", "ASK", "VERIFY"]
ROW = {"id", "state", "alive", "exit_code", "signal", "health", "derived_from", "verify", "verify_output", "idle_s"}
ROW |= {"started_at", "uptime_s", "ask", "ask_age_s", "pending_tells"}
DETAIL = {"row", "command", "task", "verify", "verify_output", "started_at", "last_change", "size", "problem"}
DETAIL |= {"supervisor_pid", "child_pid"}


@pytest.fixture
def looop(tmp_path: Path) -> Looop:
    """looop over a seeded data dir without a pending question."""
    return Looop(tmp_path).settle()


@pytest.fixture
def fleet(looop: Looop) -> Iterator[Fleet]:
    """The sessions of that data dir; none is left when the test is over."""
    with no_one_left(looop.data) as fleet:
        yield fleet


@pytest.fixture
def start(looop: Looop, fleet: Fleet) -> Callable[..., Session]:
    """Starts `sh -c script` as a session, without the verb, and returns once it has printed `ready`."""

    def run(script: str = "echo ready; exec sleep 60", name: str = "w") -> Session:
        fleet.start(name, ["sh", "-c", script], looop.env)
        until(lambda: b"ready" in log(now(fleet, name)), what="ready")
        return now(fleet, name)

    return run


def over(fleet: Fleet, name: str = "w") -> None:
    """Return once the session has ended."""
    until(lambda: not now(fleet, name).alive, what="the end")


def task(looop: Looop, name: str = "w") -> str:
    """The task in a worker's prompt, as it is in the file."""
    return looop.read(f"prompts/{name}.md").rpartition("=== YOUR TASK ===\n")[2].strip()


def refused(said: Said, *parts: str) -> None:
    """One clear line on stderr that has these parts, nothing on stdout, exit code 1."""
    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1), said
    assert said.err.startswith("looop: ") and "Traceback" not in said.err
    assert [part for part in parts if part not in said.err] == []


def wide(line: str) -> int:
    """How many columns a line takes on a terminal."""
    return sum(2 if unicodedata.east_asian_width(ch) in "WF" else 1 for ch in line)


@pytest.mark.parametrize(
    ("words", "stdin", "expected"),
    [
        (("mend", "the", "tests"), "", "mend the tests"),
        (("mend the tests",), "", "mend the tests"),
        ((), "line one\nline two\n", "line one\nline two"),
        (("-",), "from stdin\n", "from stdin"),
        (("a", "-", "b"), "", "a - b"),
        (("--", "-n", "is", "a", "task"), "", "-n is a task"),
    ],
    ids=["words", "one word", "stdin", "dash", "a dash among words", "behind --"],
)
def test_the_prompt(looop: Looop, fleet: Fleet, words: tuple[str, ...], stdin: str, expected: str) -> None:
    """It is words, or standard input when there are none or a lone dash; `--` comes before one that begins with a dash.

    The summary is on stdout, what to do next on stderr, the journal has the start. Source: spec/cli.md §1, §2.
    """
    said = looop("worker", "start", "w", "--command", PRINT, *words, stdin=stdin)
    assert (said.code, said.out) == (0, "start-worker w (command override)\n")
    assert "looop attach w" in said.err and said.err.count("\n") == 1
    over(fleet)
    assert task(looop) == expected
    assert expected.encode().replace(b"\n", b"\r\n") in log(now(fleet, "w"))
    assert looop.read("journal.md").count("start-worker w") == 1


def test_short_names(looop: Looop, fleet: Fleet) -> None:
    """`w` is worker, `ls` is list, `ss` is screenshot; a leading `_` is dropped. Source: spec/cli.md §1, §2."""
    assert looop("w", "start", "w", "x", "--command", PRINT, "--journal", "my words").code == 0
    assert "my words" in looop.read("journal.md")
    over(fleet)
    for words in (("w", "ls", "-a"), ("_", "worker", "list", "--all")):
        assert [line.split()[0] for line in looop(*words).out.splitlines()] == ["ID", "pulse", "w"]
    assert looop("ss", "w").out == looop("screenshot", "w").out != ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("w", " ", "--command", PRINT), "prompt is empty"),
        (("w", "--command", PRINT), "prompt is empty"),
        (("a/b", "x", "--command", PRINT), "invalid worker id 'a/b'"),
        ((".hidden", "x", "--command", PRINT), "invalid worker id '.hidden'"),
        (("x" * 65, "x", "--command", PRINT), "1-64"),
        (("", "x", "--command", PRINT), "invalid worker id"),
        (("\x1b[31m", "x", "--command", PRINT), "invalid worker id"),
        (("pulse", "x", "--command", PRINT), "looop up"),
        (("w", "x", "--command", "cat"), "{{prompt_file}}"),
        (("w", "x"), "looop init"),
        (
            ("w", "x", "--command", "no-such-program {{prompt_file}}"),
            "no-such-program is not on the PATH, or cannot be run: install it, or give another command",
        ),
        (("w", "x", "--command", "/no/such/program {{prompt_file}}"), "/no/such/program"),
        (("w", "x", "--command", PRINT, "--verify", "sudo reboot"), "its verify would never run"),
        (("w", "x", "--frob"), "--frob"),
        (("w", "x", "--command"), "--command"),
        ((), "ID"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_start_that_is_refused(looop: Looop, fleet: Fleet, words: tuple[str, ...], said: str) -> None:
    """Each mistake is one line that names it, exit code 1; nothing is started and nothing journaled.

    Source: spec/cli.md §1, §2, spec/workers.md §2.1, edge case 236.
    """
    refused(looop("worker", "start", *words), said)
    assert fleet.sessions() == []
    assert not (looop.data / "journal.md").exists()


def test_the_same_id_and_the_fleet_cap(looop: Looop, start: Callable[..., Session]) -> None:
    """An id that lives and a full fleet are refused, with what to look at. Source: spec/workers.md §2.1."""
    start()
    refused(looop("worker", "start", "w", "x", "--command", PRINT), "already running", "looop screenshot w")
    refused(looop("worker", "start", "v", "x", "--command", PRINT, env={"LOOOP_MAX_WORKERS": "1"}), "LOOOP_MAX_WORKERS")


def test_the_configured_command(looop: Looop, fleet: Fleet) -> None:
    """Without --command it is worker_command of the config, with the data dir as its working directory."""
    looop.write("config.toml", "worker_command = 'pwd; cat {{prompt_file}}'\n")
    assert looop("worker", "start", "w", "x").code == 0
    over(fleet)
    assert log(now(fleet, "w")).startswith(os.fsencode(looop.data) + b"\r\n")


def test_a_verdict_from_start_to_show(looop: Looop, fleet: Fleet) -> None:
    """A verify is on record from the start, run by the beat after the end, and then in the list and in show.

    Source: spec/workers.md §6, spec/cli.md §2.
    """
    looop("worker", "start", "good", "x", "--command", PRINT, "--verify", "true")
    looop("worker", "start", "bad", "x", "--command", PRINT, "--verify", "echo 'no such thing'; false")
    over(fleet, "good")
    over(fleet, "bad")
    assert "verify: true  ·  not run yet" in looop("worker", "show", "good").out
    kept = looop("prune")
    assert (kept.code, kept.out) == (0, "pruned 0 finished sessions\n")
    assert "kept bad, good" in kept.err and "looop beat" in kept.err
    looop("beat")
    bad, good = (line.split() for line in looop("worker", "list", "-a").out.splitlines()[2:])
    assert (bad[0], bad[-1], good[0], good[-1]) == ("bad", "FAIL", "good", "pass")
    assert "workers (verify failed):\n  ✗ bad  it exited with 0: no such thing\n" in looop("state").out
    shown = looop("worker", "show", "bad").out
    assert "·  fail\n  no such thing\n" in shown
    detail = looop("worker", "show", "bad", "--json").json
    assert (detail["row"]["verify"], detail["verify_output"]) == ("fail", "no such thing\n")
    assert looop("prune").out == "pruned 2 finished sessions: bad, good\n"


def test_the_list(looop: Looop, fleet: Fleet, start: Callable[..., Session]) -> None:
    """The pulse first, then who lives; with --all also who does not. `exit N` for a code, words for the rest.

    Source: spec/cli.md §2.
    """
    start(name="alive")
    start("echo ready; exit 3", "ended")
    start(name="killed")
    over(fleet, "ended")
    assert looop("kill", "killed").code == 0
    assert "workers (live):\n  ● alive  running  busy: output " in looop("state").out
    assert [row["id"] for row in looop("state", "--json").json["workers"]] == ["alive", "ended", "killed"]
    lines = [line.split("  ") for line in looop("worker", "list").out.splitlines()]
    assert [word.strip() for word in lines[0] if word] == HEADINGS
    assert [line[0] for line in lines[1:]] == ["pulse", "alive"]
    every = looop("worker", "list", "--all").out.splitlines()
    assert [line.split()[0] for line in every[1:]] == ["pulse", "alive", "ended", "killed"]
    assert every[1].split() == ["pulse", "down", "down", "-", "-", "-", "-"]
    assert every[2].split()[1:3] == ["busy", "running"]
    assert every[3].split()[1:4] == ["dead", "exit", "3"]
    assert every[4].split()[1:3] == ["dead", "killed"]


def test_a_question_and_a_silence_show(looop: Looop, start: Callable[..., Session]) -> None:
    """Who waits for an answer, and for how long, and who is stuck, are told apart. Source: spec/workers.md §5."""
    session = start(name="asks")
    silent = start(name="silent")
    looop.write("asks/asks-1.json", json.dumps({"v": 1, "id": "asks-1", "worker": "asks", "prompt": "?", "ts": 1}))
    for one in (session, silent):
        os.utime(os.path.join(one.folder, "output.log"), (1, 1))
    asks, stuck = (line.split() for line in looop("worker", "list").out.splitlines()[2:])
    assert asks[:3] == ["asks", "waiting-ask", "running"] and asks[5].endswith("d")
    assert stuck[:3] == ["silent", "stuck", "running"] and stuck[5] == "-"
    row = looop("worker", "list", "--json").json[1]
    assert row["ask"] == "asks-1" and row["ask_age_s"] > 10**6


def test_the_list_as_json(looop: Looop, fleet: Fleet, start: Callable[..., Session]) -> None:
    """One array, the pulse first, every field in every row, live ones only unless --all. Source: spec/cli.md §2."""
    assert [row["id"] for row in looop("worker", "list", "--json").json] == ["pulse"]
    start(name="alive")
    start("echo ready; exit 3", "ended")
    over(fleet, "ended")
    assert [row["id"] for row in looop("worker", "list", "--json").json] == ["pulse", "alive"]
    rows = looop("worker", "list", "--json", "--all").json
    assert [set(row) for row in rows] == [ROW] * 3
    assert [(row["alive"], row["state"], row["exit_code"]) for row in rows[1:]] == [
        (True, "running", None),
        (False, "exited", 3),
    ]
    assert all(isinstance(rows[1][key], int) for key in ("idle_s", "uptime_s"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("list", "--json", "--watch"), "--watch"),
        (("list", "--interval", "3"), "--watch"),
        (("list", "--watch", "--interval", "-1"), "--interval"),
        (("list", "--watch", "--interval", "soon"), "soon"),
        (("list", "w"), "w"),
        (("frob",), "frob"),
        (("show",), "ID"),
        (("show", "nobody"), "no session 'nobody'"),
        (("show", "pulse"), "looop up"),
        (("show", "../../etc"), "no session"),
        (("kill",), "ID"),
        (("kill", "nobody"), "no session 'nobody'"),
        (("kill", "a", "b"), "b"),
        (("kill", "pulse"), "looop screenshot pulse"),
        (("restart",), "ID"),
        (("restart", "nobody"), "no session 'nobody'"),
        (("restart", "pulse"), "looop down"),
        (("prune", "w"), "w"),
        ((), "start"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_cannot_be_meant(looop: Looop, words: tuple[str, ...], said: str) -> None:
    """Each is one line, exit code 1, and stdout stays empty, whatever was asked for. Source: spec/cli.md §1, §2."""
    refused(looop("worker", *words), said)


@pytest.mark.parametrize("verb", [("kill",), ("send",), ("attach",), ("screenshot",), ("log",)])
def test_short_verbs_refuse_alike(looop: Looop, verb: tuple[str, ...]) -> None:
    """Without an id, and with one that nobody has, the verbs at the top say one line."""
    refused(looop(*verb), "see `looop")
    refused(looop(*verb, "nobody", *(["x"] if verb == ("send",) else [])), "no session 'nobody'")


def test_watching_the_list(looop: Looop, fleet: Fleet, start: Callable[..., Session]) -> None:
    """--watch draws anew over what it drew, every line within the window; Ctrl-C ends it with 130.

    Source: spec/cli.md §2.
    """
    start(name="w" * 60)
    words = [sys.executable, "-m", "looop", "worker", "list", "--watch", "--interval", "0"]
    terminal = Terminal(words, looop.folder, looop.env, (50, 24))
    try:
        terminal.shows(b"w" * 49 + "…".encode())
        assert looop("kill", "w" * 60).code == 0
        terminal.shows(b"\x1b[3A\x1b[J")
        terminal.shows(b"\x1b[2A\x1b[J")
        terminal.type(b"\x03")
        assert terminal.ends() == 130
        assert b"Traceback" not in terminal.seen
    finally:
        terminal.close()


def test_watching_in_a_pipe(looop: Looop) -> None:
    """In a pipe each look is a table of its own, at once, without a character that a terminal would obey."""
    process = looop.start("worker", "list", "--watch", "--interval", "1")
    assert process.stdout
    lines = [process.stdout.readline() for _ in range(4)]
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    assert lines[:2] == lines[2:] and "\x1b" not in "".join(lines)
    assert process.communicate()[1].strip() == ""


def test_colours_on_a_terminal_only(looop: Looop, fleet: Fleet, start: Callable[..., Session]) -> None:
    """Down is red, a wait yellow, the dead dim, on a terminal; not in a pipe, and not with NO_COLOR.

    Source: spec/cli.md §2, §3.
    """
    start("echo ready", "ended")
    over(fleet, "ended")
    start(name="asks")
    looop.write("asks/asks-1.json", json.dumps({"v": 1, "id": "asks-1", "worker": "asks", "prompt": "?", "ts": 1}))
    seen = looop.on_terminal("worker", "list", "-a")[1].splitlines()
    assert [line[:5] for line in seen[1:]] == ["\x1b[31m", "\x1b[33m", "\x1b[2me"]
    assert all(line.endswith("\x1b[0m") for line in seen[1:]) and "\x1b" not in seen[0]
    assert "\x1b" not in looop.on_terminal("worker", "list", "-a", env={"NO_COLOR": "1"})[1]
    assert "\x1b" not in looop("worker", "list", "-a").out


def test_wide_characters_are_aligned_and_cut(looop: Looop, start: Callable[..., Session]) -> None:
    """Columns stand under each other whatever the ids, and no line is wider than the window. Source: edge case 238."""
    start(name="日本語")
    start(name="plain")
    lines = looop("worker", "list").out.splitlines()
    assert {
        wide(line[: line.index(word)]) for line, word in zip(lines, ("HEALTH", "down", "busy", "busy"), strict=True)
    } == {8}
    start(name="日" * 30)
    shown = looop.on_terminal("worker", "list", columns=41, env={"NO_COLOR": "1"})[1].splitlines()
    assert max(map(wide, shown)) <= 41 and any(line.endswith("日…") for line in shown)


def test_show(looop: Looop, start: Callable[..., Session]) -> None:
    """Health and why, times, terminal and processes, the command as it can be typed; every field as JSON.

    Source: spec/cli.md §2.
    """
    session = start()
    looop.write("prompts/w.md", "how\n=== YOUR TASK ===\nmend\x1b[31m it\n")
    lines = looop("worker", "show", "w").out.splitlines()
    assert lines[0].startswith("w  busy: output ")
    assert lines[1].startswith("state: running  ·  started: ")
    assert lines[2] == f"terminal: 80x24  ·  supervisor: {session.pid}  ·  its command: {session.child_pid}"
    assert lines[3] == "command: sh -c 'echo ready; exec sleep 60'"
    assert lines[4:] == ["task:", "  mend\\x1b[31m it"]
    detail = looop("worker", "show", "w", "--json").json
    assert set(detail) == DETAIL and set(detail["row"]) == ROW
    assert (detail["row"]["id"], detail["size"], detail["command"][0]) == ("w", [80, 24], "sh")


def test_kill(looop: Looop, fleet: Fleet, start: Callable[..., Session]) -> None:
    """Both spellings end the worker with its processes, say so on stderr, and journal nothing.

    Source: spec/cli.md §2, spec/workers.md §4, edge cases 161, 277.
    """
    for verb in (("kill",), ("worker", "kill")):
        session = start("sleep 61 & echo ready; wait")
        said = looop(*verb, "looop-w")
        assert (said.code, said.out, said.err) == (0, "", "looop: ended w\n")
        assert session.child_pid and gone(session.child_pid) and gone(session.pid)
        refused(looop(*verb, "w"), "already finished")
        fleet.reap("w")
    assert not (looop.data / "journal.md").exists()


def test_a_worker_named_like_the_prefix(looop: Looop, start: Callable[..., Session], fleet: Fleet) -> None:
    """`looop-x` means the worker of exactly that name where there is one, else `x`. Source: edge case 161."""
    start(name="x")
    start(name="looop-x")
    looop("kill", "looop-x")
    assert (now(fleet, "looop-x").alive, now(fleet, "x").alive) == (False, True)
    fleet.reap("looop-x")
    looop("kill", "looop-x")
    assert not now(fleet, "x").alive


def test_restart(looop: Looop, fleet: Fleet) -> None:
    """The same command on the same task once more, alive or dead, owed the same verify; journaled."""
    looop("worker", "start", "w", "the task", "--command", STAY, "--verify", "true")
    first = now(fleet, "w")
    said = looop("worker", "restart", "w")
    assert (said.code, said.out, said.err) == (0, "restart-worker w\n", "")
    second = now(fleet, "w")
    assert second.alive and second.pid != first.pid and second.command == first.command
    looop("kill", "w")
    assert looop("worker", "restart", "w").code == 0
    assert now(fleet, "w").alive and task(looop) == "the task"
    assert looop("worker", "show", "w", "--json").json["verify"] == "true"
    assert looop.read("journal.md").count("restart-worker w") == 2


def test_a_command_of_several_lines_can_be_pasted(looop: Looop, fleet: Fleet) -> None:
    """What `worker show` prints below `command:` is, as it stands, a shell command with the same words."""
    script = "echo 'ready'\n\tif true; then\n  sleep 60; fi"
    fleet.start("w", ["sh", "-c", script], looop.env)
    shown = looop("worker", "show", "w").out.partition("command:\n")[2]
    pasted = looop.in_shell(f"sh() {{ printf '%s' \"$2\"; }}\n{shown}")
    assert (pasted.code, pasted.out) == (0, script)


def test_prune_keeps_what_the_pulse_said(looop: Looop, fleet: Fleet, start: Callable[..., Session]) -> None:
    """A pulse that has ended is not pruned: `looop log pulse` shows why it ended."""
    start("echo ready", "pulse")
    over(fleet, "pulse")
    assert looop("prune").out == "pruned 0 finished sessions\n"
    assert "ready" in looop("log", "pulse").out


def test_prune(looop: Looop, fleet: Fleet, start: Callable[..., Session]) -> None:
    """What has ended goes with its files, what lives stays; --json is the list of ids."""
    assert looop("worker", "prune").out == "pruned 0 finished sessions\n"
    start(name="alive")
    start("echo ready", "ended")
    over(fleet, "ended")
    said = looop("prune")
    assert (said.code, said.out, said.err) == (0, "pruned 1 finished session: ended\n", "")
    assert [session.id for session in fleet.sessions()] == ["alive"]
    assert not (looop.data / "sessions/ended").exists()
    start("echo ready", "again")
    over(fleet, "again")
    assert looop("prune", "--json").json == ["again"]
    assert looop("prune", "--json").json == []


@pytest.mark.parametrize(
    ("words", "stdin", "heard"),
    [
        (("two", "words"), "", b"two words\r"),
        (("-n", "no enter"), "", b"no enter"),
        ((), "from stdin\n", b"from stdin\r"),
        (("-",), "from stdin", b"from stdin\r"),
        (("--", "-n"), "", b"-n\r"),
        (("",), "", b"\r"),
        (("-n", "\x1b[A"), "", b"\x1b[A"),
        (("-n", "\t"), "", b"\t"),
        (("grün 日本",), "", "grün 日本\r".encode()),
    ],
    ids=["words", "-n", "stdin", "dash", "behind --", "enter alone", "escape", "tab", "unicode"],
)
def test_send(looop: Looop, start: Callable[..., Session], words: tuple[str, ...], stdin: str, heard: bytes) -> None:
    """What is sent is typed, then Enter is pressed unless -n; it is journaled, on one line.

    Source: spec/cli.md §9, §10, spec/workers.md §3.7.
    """
    session = start("stty raw -echo; echo ready; exec cat")
    said = looop("send", "w", *words, stdin=stdin)
    assert (said.code, said.out, said.err) == (0, "sent to w\n", "")
    until(lambda: log(session).partition(b"ready\n")[2] == heard, what=repr(heard))
    lines = looop.read("journal.md").splitlines()
    assert len(lines) == 1 and "sent to w: " in lines[0] and "\x1b" not in lines[0]


def test_what_cannot_be_sent(looop: Looop, fleet: Fleet, start: Callable[..., Session]) -> None:
    """Nothing, something to the pulse, and anything to a session that is over, are refused; nothing is journaled."""
    start("echo ready", "ended")
    over(fleet, "ended")
    start("echo ready; exec sleep 60", "pulse")
    refused(looop("send", "w", "-n", ""), "nothing to type")
    refused(looop("send", "w"), "text is empty")
    refused(looop("send", "ended", "x"), "already finished", "looop log ended")
    refused(looop("send", "pulse", "x"), "looop down")
    refused(looop("send", "w", stdin=b"\xff\xfe"), "UTF-8")
    assert not (looop.data / "journal.md").exists()


def test_completion_of_ids(looop: Looop, fleet: Fleet, start: Callable[..., Session]) -> None:
    """TAB offers who lives where only that makes sense, all where the dead can be meant. Source: spec/cli.md §8."""
    start(name="alive")
    start("echo ready", "ended")
    over(fleet, "ended")
    looop.write("goals/a-goal.md", "x")
    for words, expected in {
        ("kill", ""): {"alive"},
        ("w", "kill", ""): {"alive"},
        ("attach", ""): {"alive"},
        ("send", ""): {"alive"},
        ("worker", "show", ""): {"alive", "ended"},
        ("worker", "restart", "e"): {"ended"},
        ("ss", ""): {"alive", "ended", "pulse"},
        ("log", "en"): {"ended"},
        ("worker", "start", "a-"): {"a-goal"},
    }.items():
        asked = " ".join(f"'{word}'" for word in ("looop", *words))
        said = looop.in_shell(ASK_BASH.format(setup="", words=asked, last=len(words)))
        assert set(said.out.split()) == expected, words


def test_a_fleet_that_cannot_be_read(looop: Looop) -> None:
    """Where sessions cannot be listed every verb says so and does nothing; none takes it for an empty fleet.

    Source: spec/workers.md §4, edge case 156.
    """
    shutil.rmtree(looop.data / "sessions", ignore_errors=True)
    looop.write("sessions", "in the way")
    for words in (
        ("worker", "list"),
        ("worker", "list", "--json"),
        ("worker", "show", "w"),
        ("kill", "w"),
        ("worker", "restart", "w"),
        ("prune",),
        ("send", "w", "x"),
        ("attach", "w"),
        ("worker", "start", "w", "x", "--command", PRINT),
    ):
        said = looop(*words)
        assert (said.code, said.out) == (1, "") and "Traceback" not in said.err
        assert "cannot enumerate the fleet" in said.err.splitlines()[-1], words
    assert looop("state", "--json").json["workers"] == []
