"""Where the command line works: HOME, data dir, config, knobs, first-run seeding."""

import json
from pathlib import Path

import pytest

from tests.fakes.command import Looop, Said

VERBS = [
    ("state",),
    ("state", "--json"),
    ("wait",),
    ("journal",),
    ("events",),
    ("goal", "write", "x", "y"),
    ("goal", "archive", "x"),
    ("goal", "list"),
    ("goal", "show", "x"),
    ("sensor", "write", "x", "#!/bin/sh"),
    ("sensor", "add", "disk"),
    ("sensor", "list"),
    ("sensor", "run", "x"),
    ("playbook", "write", "x"),
    ("playbook", "show"),
    ("playbook", "history"),
    ("schedule", "write", "x", "--in", "5"),
    ("schedule", "rm", "x"),
    ("schedule", "list"),
    ("run", "true"),
    ("beat",),
    ("beat", "--dry-run"),
    ("pulse",),
]


@pytest.fixture
def looop(tmp_path: Path) -> Looop:
    """looop over a fresh data dir."""
    return Looop(tmp_path)


def one_line(said: Said, code: int) -> str:
    """The only thing that was said: one line on stderr."""
    assert (said.code, said.out, said.err.count("\n")) == (code, "", 1), said
    assert "Traceback" not in said.err
    return said.err


@pytest.mark.parametrize("words", VERBS[::3], ids=" ".join)
def test_no_home(looop: Looop, words: tuple[str, ...]) -> None:
    """Without HOME and without another place, a verb that needs one says so in one line, with exit code 2.

    Source: spec/cli.md §3; spec/cli.md §1 exit codes.
    """
    said = looop(*words, env={"HOME": None, "LOOOP_DATA_DIR": None})
    assert one_line(said, 2).startswith("looop: HOME is not set")


def test_verbs_that_need_no_home(looop: Looop) -> None:
    """What touches no state works without HOME; so does everything once LOOOP_DATA_DIR or XDG_STATE_HOME is set.

    Source: spec/cli.md §3.
    """
    bare = {"HOME": None, "LOOOP_DATA_DIR": None}
    for words in (("version",), ("help",), ("help", "goal"), ("schema", "decision"), ("completion", "bash"), ()):
        said = looop(*words, env=bare)
        assert (said.code, said.err) == (0, ""), words
    assert looop("state", env=bare | {"LOOOP_DATA_DIR": "here"}).code == 0
    assert looop("state", "--json", env=bare | {"XDG_STATE_HOME": str(looop.folder / "xdg")}).json["data_dir"] == str(
        looop.folder / "xdg/looop"
    )


def test_default_place(looop: Looop) -> None:
    """Without anything set the data dir is ~/.local/state/looop.

    Source: spec/cli.md §3 LOOOP_DATA_DIR.
    """
    view = looop("state", "--json", env={"LOOOP_DATA_DIR": None}).json
    assert view["data_dir"] == str(looop.folder / ".local/state/looop")


def test_relative_data_dir(looop: Looop) -> None:
    """A relative LOOOP_DATA_DIR is made absolute once, and children get the absolute one.

    Source: spec/edge-cases.md item 233.
    """
    env = {"LOOOP_DATA_DIR": "rel/../there"}
    assert looop("run", 'printf %s "$LOOOP_DATA_DIR" > seen; pwd >> seen', env=env).code == 0
    there = str(looop.folder / "there")
    assert (looop.folder / "there/seen").read_text() == f"{there}{there}\n"
    assert looop("state", "--json", env=env).json["data_dir"] == there


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_a_file_where_the_data_dir_should_be(looop: Looop, words: tuple[str, ...]) -> None:
    """A data dir that cannot be one is one line and exit code 1, for every verb.

    Source: spec/cli.md §1 errors; design §8.
    """
    looop.data.write_text("in the way")
    assert str(looop.data) in one_line(looop(*words), 1)
    assert looop.data.read_text() == "in the way"


def test_a_data_dir_that_cannot_be_made(looop: Looop) -> None:
    """A data dir below something that is no folder is one line, for readers and writers.

    Source: spec/cli.md §1 errors.
    """
    env = {"LOOOP_DATA_DIR": "/dev/null/x"}
    for words in (("state",), ("wait",), ("goal", "write", "x", "y"), ("beat",)):
        assert "/dev/null/x" in one_line(looop(*words, env=env), 1)


def test_seeding_that_fails_is_a_warning(looop: Looop) -> None:
    """When a data dir cannot be seeded, the verb warns in one line, records the fact, and goes on.

    Source: spec/cli.md §1 first-run seeding; spec/edge-cases.md item 249.
    """
    looop.write("reports", "a file where a folder should be")
    said = looop("state")
    assert said.code == 0
    assert said.out.startswith("pulse: DOWN")
    assert (said.err.startswith("looop: "), said.err.count("\n")) == (True, 1)
    assert json.loads(looop.read("events.jsonl"))["event"] == "seed_degraded"


@pytest.mark.parametrize(
    "words",
    [
        ("state",),
        ("asks",),
        ("answer", "setup-1", "done"),
        ("wait",),
        ("goal", "list"),
        ("journal",),
        ("run", "true"),
        ("beat",),
    ],
    ids=" ".join,
)
def test_first_run_seeds(looop: Looop, words: tuple[str, ...]) -> None:
    """The first verb that touches state seeds the data dir, silently; it works before any set-up.

    Source: spec/edge-cases.md item 224; spec/cli.md §1 first-run seeding.
    """
    said = looop(*words)
    assert (said.code, said.err) == (0, "")
    assert {"PLAYBOOK.md", "goals", "sensors", "asks", ".gitignore"} <= {path.name for path in looop.data.iterdir()}


def test_seeding_spares_what_a_person_wrote(looop: Looop) -> None:
    """With a PLAYBOOK nothing is seeded; a goal a person wrote before stays as it is.

    Source: spec/edge-cases.md item 248.
    """
    looop.write("PLAYBOOK.md", "mine")
    assert looop("state").code == 0
    assert looop.read("PLAYBOOK.md") == "mine"
    assert not (looop.data / "goals/setup.md").exists()


BROKEN = [
    ("{", "not JSON"),
    ("[]", "expected a table"),
    ('{"interval": "x"}', "interval = 'x': expected a number"),
    ('{"interval": true}', "expected a number"),
    ('{"tick_command": 5}', "tick_command = 5: expected text"),
    ('{"runner": "zz", "runners": {"a": {"tick": "x"}}}', "one of a"),
    ("\udcff", "not JSON"),
]


@pytest.mark.parametrize(("text", "expected"), BROKEN, ids=[text for text, _ in BROKEN[:-1]] + ["bytes"])
def test_a_config_that_cannot_be_used(looop: Looop, text: str, expected: str) -> None:
    """A broken config stops a beat with one line that names the file and the fault; reading verbs do not need it.

    Source: spec/edge-cases.md items 234, 260; design §3 last lines.
    """
    looop.write("config.json", text.encode("utf-8", "surrogateescape"))
    for words in (("beat",), ("beat", "--dry-run"), ("pulse",)):
        err = one_line(looop(*words), 1)
        assert "config.json" in err
        assert expected in err
    said = looop("state")
    assert (said.code, said.err) == (0, "")


def test_a_config_that_is_a_folder(looop: Looop) -> None:
    """A folder in the place of the config is an error, not an absent config; TOML comes before JSON.

    Source: spec/edge-cases.md item 234.
    """
    (looop.data / "config.json").mkdir(parents=True)
    assert "Is a directory" in one_line(looop("beat"), 1)
    looop.write("config.toml", "interval = 5")
    assert looop("beat").code == 0
    looop.write("config.toml", "interval = ")
    assert "not TOML" in one_line(looop("beat"), 1)
    assert looop("beat", env={"LOOOP_CONFIG": "nowhere.json"}).code == 0


def test_an_unknown_config_key(looop: Looop) -> None:
    """An unknown key is a warning with the key that was meant, and the beat goes on.

    Source: design §3 last lines.
    """
    looop.write("config.json", '{"intervall": 5}')
    said = looop("beat")
    assert said.code == 0
    assert "did you mean interval?" in said.out + said.err


@pytest.mark.parametrize("value", ["1_000", "abc", "", "-5", "1e3", "1.5", "٣"])
def test_a_knob_that_is_no_number(looop: Looop, value: str) -> None:
    """A knob that is no plain number is named once on stderr and its default is used; stdout stays clean.

    Source: spec/edge-cases.md items 235, 259.
    """
    said = looop("state", "--json", env={"LOOOP_WAIT_POLL_MS": value})
    assert said.code == 0
    assert said.err.count("LOOOP_WAIT_POLL_MS") == said.err.count("\n") == 1
    assert "using 1000" in said.err
    assert said.json["pulse_alive"] is False


@pytest.mark.parametrize("value", ["1000", "+5", " 7 ", "0"])
def test_a_knob_that_is_a_number(looop: Looop, value: str) -> None:
    """Plain ASCII digits, a plus sign and spaces around are a number.

    Source: spec/edge-cases.md item 259.
    """
    assert looop("state", env={"LOOOP_WAIT_POLL_MS": value}).err == ""


def test_debugging(looop: Looop) -> None:
    """LOOOP_DEBUG=1 adds the traceback; without it there is none.

    Source: design §8.
    """
    assert "Traceback" not in looop("goal", "archive", "nope").err
    said = looop("goal", "archive", "nope", env={"LOOOP_DEBUG": "1"})
    assert said.code == 1
    assert "Traceback" in said.err
    assert said.err.endswith("shows the live ones\n")
