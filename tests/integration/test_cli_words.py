"""The command line reads words: verbs, flags, bodies, help, exit codes."""

from pathlib import Path

import pytest

from tests.fakes.command import Looop
from tests.fakes.waiting import until

ONE_LINE = 1


@pytest.fixture
def looop(tmp_path: Path) -> Looop:
    """looop over a fresh data dir."""
    return Looop(tmp_path)


@pytest.fixture
def settled(looop: Looop) -> Looop:
    """looop over a seeded data dir without a pending question."""
    return looop.settle()


def refused(looop: Looop, *words: str | bytes, stdin: str = "", **env: str) -> str:
    """Run words that must not be understood, and return the one line that says so."""
    said = looop(*words, stdin=stdin, env=env)
    assert (said.code, said.out) == (1, ""), said
    assert said.err.startswith("looop: ")
    assert said.err.count("looop: ") == 1
    assert said.err.count("\n") == ONE_LINE, said.err
    return said.err


def test_bare_looop_lists_the_verbs(looop: Looop) -> None:
    """Bare `looop` prints every verb with a line about it, and exits with 0.

    Source: spec/cli.md §1 help.
    """
    said = looop()
    assert said.code == 0
    for verb in ("state", "wait", "goal", "sensor", "playbook", "schedule", "run", "pulse", "beat", "completion"):
        assert any(line.split()[:1] == [verb] and len(line.split()) > 2 for line in said.out.split("\n")), verb


@pytest.mark.parametrize("words", [("help",), ("-h",), ("--help",), ("_", "help"), ("_", "--help")])
def test_the_manual(looop: Looop, words: tuple[str, ...]) -> None:
    """`help`, `-h` and `--help` print the whole manual, with where this profile keeps its things.

    Source: spec/cli.md §1 help, §8.
    """
    said = looop(*words)
    assert said.code == 0
    assert "ONE BEAT" in said.out
    assert str(looop.data) in said.out
    assert not looop.data.exists()


@pytest.mark.parametrize("words", [("version",), ("--version",), ("-V",), ("_", "version"), ("_", "--version")])
def test_version(looop: Looop, words: tuple[str, ...]) -> None:
    """The version is one line, however it is asked for.

    Source: spec/cli.md §2 version.
    """
    said = looop(*words)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("looop 0.")


HELPS = [
    ("state",),
    ("state", "-h"),
    ("wait",),
    ("beat",),
    ("pulse",),
    ("demo",),
    ("run",),
    ("goal", "write", "x"),
    ("goal", "archive", "setup"),
    ("playbook", "write"),
    ("playbook", "w", "words"),
    ("sensor", "write", "x", "#!/bin/sh"),
    ("sensor", "add", "disk"),
    ("sensor", "run", "x"),
    ("schedule", "write", "x", "--in", "5"),
    ("schedule", "rm", "x"),
]


@pytest.mark.parametrize("verb", HELPS, ids=" ".join)
def test_help_never_performs(looop: Looop, verb: tuple[str, ...]) -> None:
    """A verb with --help prints its help and does nothing else, not even make the data dir.

    Source: spec/edge-cases.md item 220; spec/cli.md §1 help.
    """
    said = looop(*verb, "--help", stdin="a body")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("Usage: looop ")
    assert not looop.data.exists()


@pytest.mark.parametrize(
    "words",
    [
        ("state", "--nope"),
        ("--nope",),
        ("nope",),
        ("goal", "nope"),
        ("goal",),
        ("sensor", "add"),
        ("sensor", "add", "nope"),
        ("wait", "extra"),
        ("goal", "write"),
        ("goal", "write", "x", "--bogus"),
        ("goal", "write", "x", "words", "-5"),
        ("playbook", "write", "--bogus"),
        ("playbook", "write", "some", "--body", "words"),
        ("run", "--bogus", "touch", "made"),
        ("run",),
        ("run", " "),
        ("journal", "--tail", "0"),
        ("schema", "nope"),
        ("completion", "tcsh"),
        ("schedule", "write", "x"),
        ("schedule", "write", "x", "--in", "1h", "--every", "1h"),
        ("schedule", "write", "x", "--every", "59"),
        ("schedule", "write", "x", "--in", "soon"),
        ("schedule", "write", "x", "--in", "-5"),
        ("schedule", "write", "x", "--cron", "@daily", "--in", "5"),
        ("schedule", "write", "x", "--at", "18:00", "--in", "5"),
        ("schedule", "write", "x", "--every", "1h", "--tz", "UTC"),
        ("schedule", "write", "x", "--in", "1h", "--catch-up", "all"),
        ("schedule", "write", "x", "--cron", "@daily", "--catch-up", "some"),
        ("goal", "write", "x", ""),
        ("_", "_", "state"),
        ("",),
    ],
    ids=" ".join,
)
def test_what_is_not_understood_does_nothing(looop: Looop, words: tuple[str, ...]) -> None:
    """An unknown verb or flag, or a missing word, is one line on stderr and exit code 1; nothing is executed.

    Source: spec/edge-cases.md item 221; spec/cli.md §1 unknown flag/verb.
    """
    refused(looop, *words)
    assert not looop.data.exists()


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("staet",), "did you mean `state`?"),
        (("status",), "did you mean `state`?"),
        (("start",), "did you mean `up`?"),
        (("logs",), "did you mean `log`?"),
        (("history",), "did you mean `journal`?"),
        (("stop",), "did you mean `down`?"),
        (("ps",), "did you mean `worker`?"),
        (("goals",), "did you mean `goal`?"),
        (("goal", "wirte"), "did you mean `write`?"),
        (("goal", "add"), "no such command 'add': did you mean `write`?"),
        (("goal", "new"), "no such command 'new': did you mean `write`?"),
        (("goal", "rm"), "did you mean `archive`?"),
        (("goal", "cat"), "did you mean `show`?"),
        (("sensor", "new"), "did you mean `add`?"),
        (("sensor", "test"), "did you mean `run`?"),
        (("sensor", "try"), "did you mean `run`?"),
        (("sensor", "delete"), "did you mean `rm`?"),
        (("sensor", "show"), "there are add, list, rm, run, write"),
        (("sensor", "add", "git"), "did you mean `git-repo`?"),
        (("schedule", "add"), "did you mean `write`?"),
        (("playbook", "edit"), "did you mean `write`?"),
        (("state", "--jsn"), "--json"),
    ],
)
def test_near_misses(looop: Looop, words: tuple[str, ...], hint: str) -> None:
    """A misspelled verb or flag is answered with the one that was meant.

    Source: design §8, errors say the next thing to try.
    """
    assert hint in refused(looop, *words).lower()


def test_errors_are_not_double_prefixed(settled: Looop) -> None:
    """An error that begins with our name is not given it twice.

    Source: spec/cli.md §1 errors.
    """
    err = settled("run", "echo looop: odd; exit 3").err
    assert err.startswith("looop: run-shell")
    assert (
        refused(settled, "goal", "archive", "nope") == "looop: no goal 'nope': `looop goal list` shows the live ones\n"
    )


@pytest.mark.parametrize(
    ("topic", "usage"),
    [
        (("goal", "write"), "looop goal write"),
        (("goal", "w"), "looop goal w"),
        (("schedule", "ls"), "looop schedule ls"),
        (("sensor", "add", "http"), "looop sensor add http"),
        (("ask", "withdraw"), "looop ask withdraw"),
        (("cost", "add"), "looop cost add"),
        (("pulse",), "looop pulse"),
        (("_", "state"), "looop state"),
        (("--help",), "looop help"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
def test_help_topics(looop: Looop, topic: tuple[str, ...], usage: str) -> None:
    """A topic is a verb, nested ones and short names included; its help names -h, too.

    Source: spec/cli.md §2 help.
    """
    said = looop("help", *topic)
    assert said.code == 0
    assert said.out.startswith(f"Usage: {usage}")
    assert topic == ("--help",) or "-h, --help" in said.out


@pytest.mark.parametrize("topic", [("nonsense",), ("--json",), ("goal", "nope"), ("state", "extra"), ("--", "x")])
def test_unknown_topics(looop: Looop, topic: tuple[str, ...]) -> None:
    """An unknown topic, a flag included, lists the topics on stderr and exits with 1.

    Source: spec/edge-cases.md item 229.
    """
    err = refused(looop, "help", *topic)
    assert "Topics: state, wait" in err
    assert "pulse" in err


@pytest.mark.parametrize(
    ("words", "stdin", "body"),
    [
        (("two", "words"), "", "two words\n"),
        ((), "from stdin\nline two", "from stdin\nline two\n"),
        (("-",), "from stdin\n", "from stdin\n"),
        (("a", "-", "b"), "", "a - b\n"),
        (("--", "-x", "--y"), "", "-x --y\n"),
        (("--", "--help"), "", "--help\n"),
        (("-", "--journal", "why"), "from stdin", "from stdin\n"),
        (("--journal", "why", "a", "b"), "", "a b\n"),
        (("a", "--journal", "why", "b"), "", "a b\n"),
        (("a", "b", "--journal=why"), "", "a b\n"),
    ],
)
def test_bodies(settled: Looop, words: tuple[str, ...], stdin: str, body: str) -> None:
    """A body is words joined by a space, or stdin for none and a lone dash; --journal may stand anywhere.

    Source: spec/cli.md §1 bodies, --journal; spec/edge-cases.md items 220, 221.
    """
    said = settled("goal", "write", "g", *words, stdin=stdin)
    assert (said.code, said.out, said.err) == (0, "write-goal g\n", "")
    assert settled.read("goals/g.md") == body
    line = settled.read("journal.md").rstrip("\n").split("\n")[-1]
    assert line.endswith(" why" if any("journal" in word for word in words) else " write-goal g")


def test_bodies_that_are_not_utf8(settled: Looop) -> None:
    """Bytes that are not UTF-8, in words or on stdin, are refused: what is written is what was meant, or nothing.

    Source: spec/cli.md §1 bodies.
    """
    assert "not UTF-8" in refused(settled, "goal", "write", "g", b"x\xffy")
    assert "UTF-8" in refused(settled, "goal", "write", "g", "ä", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert settled("playbook", "write", stdin="caf\u00e9").code == 0 and "café" in settled.read("PLAYBOOK.md")
    said = settled("sensor", "write", "s", "-", stdin="#!/bin/sh\necho 1 # \udcff".encode("utf-8", "surrogateescape"))
    assert said.code == 1 and "not UTF-8" in said.err
    assert settled("goal", "write", "g", "x", "--journal", b"j\xff").code == 0
    assert not (settled.data / "sensors/s.sh").exists() and settled.read("goals/g.md") == "x\n"


def test_a_goal_that_looks_like_an_option(settled: Looop) -> None:
    """Front matter begins with a dash: given as a word it is refused with the way to give it.

    Source: spec/cli.md §1 bodies.
    """
    goal = "---\ndone: now > 1\n---\n"
    assert "stands behind `--`" in refused(settled, "goal", "write", "g", goal)
    assert settled("goal", "write", "g", "--", goal).code == 0


def test_a_body_without_end_is_refused(settled: Looop) -> None:
    """A stream that never ends fills no memory. Source: spec/cli.md §1 bodies."""
    said = settled.in_shell("looop goal write g - < /dev/zero")
    assert said.code == 1 and "nothing was changed" in said.err and not (settled.data / "goals/g.md").exists()


def test_an_empty_stdin_is_no_body(settled: Looop) -> None:
    """A verb that wants a body and gets an empty or closed stdin refuses and writes nothing.

    Source: spec/edge-cases.md item 220.
    """
    before = settled.read("PLAYBOOK.md")
    assert "empty" in refused(settled, "playbook", "write", "-")
    assert settled.in_shell("looop playbook write <&-").code == 1
    assert settled.read("PLAYBOOK.md") == before


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "", "x" * 65, "a b", b"s\xff", "\x1b[31m"])
def test_names_outside_the_charset(settled: Looop, name: str | bytes) -> None:
    """A name outside the charset is refused before anything is written, and shown without its escapes.

    Source: design §3 row 9; spec/edge-cases.md item 238.
    """
    for verb in ("goal", "sensor"):
        err = refused(settled, verb, "write", name, "#!body")
        assert "\x1b" not in err
    assert refused(settled, "schedule", "write", name, "--in", "5")
    assert sorted(path.name for path in (settled.data / "goals").iterdir() if path.suffix == ".md") == [
        "playbook-daily.md",
        "setup.md",
    ]


def test_run_quotes_several_words(settled: Looop) -> None:
    """Several words are one word each for the shell: `run touch "a b"` makes one file.

    Source: spec/edge-cases.md item 222.
    """
    assert settled("run", "touch", "a b").code == 0
    assert (settled.data / "a b").exists()
    assert not (settled.data / "a").exists()


def test_run_takes_one_word_as_shell_text(settled: Looop) -> None:
    """One word is shell text: `run 'a && b'` keeps the operator.

    Source: spec/edge-cases.md item 222.
    """
    assert settled("run", "touch one && touch two").code == 0
    assert (settled.data / "one").exists()
    assert (settled.data / "two").exists()


def test_run_passes_flags_to_the_command(settled: Looop) -> None:
    """Flags behind the command are the command's, --journal, --help and --detached-id included.

    Source: spec/edge-cases.md item 223; spec/cli.md §1 --journal.
    """
    said = settled("run", "--journal", "looked", "echo", "--journal", "--help", "-x")
    assert (said.code, said.out) == (0, "run-shell · echo --journal --help -x\n")
    assert settled.read("journal.md").endswith(" looked\n")
    assert "detached-id" in settled("run", "grep", "--detached-id", "f").err
    assert settled("run", "--", "touch", "made").code == 0
    assert (settled.data / "made").exists()


def test_run_that_fails(settled: Looop) -> None:
    """A failing command is exit code 1, with its own words and exit code on one line of stderr.

    Source: spec/cli.md §1 exit codes; spec/beat.md §11.
    """
    said = settled("run", "--reason", "try it", "echo first; echo oh no >&2; exit 3")
    assert (said.code, said.out) == (1, "")
    assert said.err == "looop: run-shell 'try it': exit code 3: first oh no\n"
    assert not (settled.data / "journal.md").exists()


def test_run_refuses_what_does_harm(settled: Looop) -> None:
    """A dangerous command is refused before it runs, with the way out.

    Source: spec/edge-cases.md item 126.
    """
    assert "LOOOP_SHELL_ALLOW_DANGEROUS" in refused(settled, "run", "rm -rf /")


def test_beat_that_fails_is_exit_code_1(settled: Looop) -> None:
    """A beat whose runner fails exits with 1 and still prints its report; one that is well exits with 0.

    Source: spec/cli.md §1 exit codes.
    """
    assert settled("beat").code == 0
    settled.write("config.json", '{"tick_command": "false"}')
    said = settled("beat", "--force", "--json")
    assert (said.code, said.json["ending"]) == (1, "failed")


def test_sensor_that_fails_is_exit_code_1(settled: Looop) -> None:
    """`sensor run` of a failing sensor exits with 1, prints what it printed, and talks on stderr.

    Source: spec/cli.md §1 exit codes.
    """
    settled.write("sensors/bad.sh", "#!/bin/sh\necho half; echo why >&2; exit 4\n", 0o755)
    said = settled("sensor", "run", "bad")
    assert (said.code, said.json["signal"]) == (1, {"error": True, "exit_code": 4})
    assert "bad said: why" in said.err
    assert "exited with 4" in said.err
    assert settled("sensor", "run", "today").code == 0


def test_interrupted(settled: Looop) -> None:
    """Ctrl-C ends a waiting verb with exit code 130 and without a traceback.

    Source: spec/cli.md §1 exit codes 130.
    """
    settled.write("sensors/slow.sh", "#!/bin/sh\ntouch started; sleep 20\n", 0o755)
    process = settled.start("sensor", "run", "slow")
    until((settled.data / "started").exists)
    process.send_signal(2)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err.strip()) == (130, "", "")
