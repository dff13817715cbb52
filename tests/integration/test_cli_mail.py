"""Questions that wait for a person, and their answers."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fakes.command import Looop


@pytest.fixture
def looop(tmp_path):
    return Looop(tmp_path)


def answers(looop, ask="setup-1"):
    with open(os.path.join(looop.data, "answers", f"{ask}.json"), encoding="utf-8") as file:
        return json.load(file)


def test_a_fresh_loop_asks_to_be_set_up(looop):
    """The seeded question waits, for people and as JSON. Source: spec/cli.md §2, §5."""
    assert looop("asks").out.startswith("⚑ setup-1 (setup")
    (ask,) = json.loads(looop("asks", "--json").out)
    assert (ask["id"], ask["worker"], ask["reference"]) == ("setup-1", "setup", "goals/setup.md")


def test_an_answer_settles_the_question(looop):
    """An answered question is no longer pending. Source: spec/workers.md §9."""
    done = looop("answer", "setup-1", "all", "set", "up")
    assert (done.code, done.out) == (0, "answered setup-1\n")
    assert answers(looop)["answer"] == "all set up"
    assert looop("asks").out == "no pending asks\n"


def test_an_answer_can_come_on_standard_input(looop):
    """Only trailing white space of an answer from stdin is lost. Source: edge case 210."""
    assert looop("answer", "setup-1", "-", stdin="  two\nlines \n\n").code == 0
    assert answers(looop)["answer"] == "  two\nlines"


def test_a_second_answer_needs_force(looop):
    """Of two answers the first stands, until --force replaces it. Source: edge case 200."""
    looop("answer", "setup-1", "first")
    refused = looop("answer", "setup-1", "second")
    assert refused.code == 1
    assert "already answered" in refused.err
    assert "--force" in refused.err
    assert answers(looop)["answer"] == "first"
    assert looop("answer", "--force", "setup-1", "second").code == 0
    assert answers(looop)["answer"] == "second"


def test_of_two_people_at_once_one_wins(looop):
    """Ten answers at once: one is kept, nine are told. Source: edge case 200."""
    looop("state")
    with ThreadPoolExecutor(10) as people:
        done = list(people.map(lambda n: looop("answer", "setup-1", f"answer {n}"), range(10)))
    assert [one.code for one in done].count(0) == 1
    assert answers(looop)["answer"] == f"answer {[one.code for one in done].index(0)}"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nobody-1", "yes"), "no ask 'nobody-1'"),
        (("../x", "yes"), "invalid ask id"),
        (("setup-1", " "), "the answer is empty"),
    ],
)
def test_a_bad_answer_is_one_line(looop, words, said):
    """An unknown ask, an impossible id and an empty answer change nothing and say what to do."""
    refused = looop("answer", *words)
    assert refused.code == 1
    assert said in refused.err
    assert refused.err.count("\n") == 1
    assert not os.listdir(os.path.join(looop.data, "answers"))


def test_a_damaged_answer_keeps_the_question(looop):
    """A corrupt answer leaves its ask pending, and --force repairs it. Source: edge case 198."""
    looop("state")
    with open(os.path.join(looop.data, "answers", "setup-1.json"), "w", encoding="utf-8") as file:
        file.write("{")
    assert "setup-1" in looop("asks").out
    assert looop("answer", "--force", "setup-1", "done").code == 0
    assert looop("asks").out == "no pending asks\n"


def test_a_persons_run_shows_what_it_printed(looop):
    """`run` says its summary on stdout and the end of the output on stderr."""
    ran = looop("run", "echo hello")
    assert ran.out == "run-shell · echo hello\n"
    assert "hello" in ran.err


def test_a_persons_run_shows_lines_as_lines(looop):
    """Output of several lines is shown as it was printed, below a heading of its own."""
    ran = looop("run", "printf 'one\n  two\n\nthree\n'")
    assert ran.err == "looop: it printed:\n  one\n    two\n  \n  three\n"


def test_a_persons_run_does_not_swallow_pending_output(looop):
    """Output that waits for the loop's next prompt stays where it is. Source: edge case 121."""
    looop("state")
    pending = '{"ts":1,"cmd":"the loop","exit_code":0,"output":"seen","v":1}\n'
    with open(os.path.join(looop.data, ".last-shell.json"), "w", encoding="utf-8") as file:
        file.write(pending)
    assert looop("run", "echo hello").code == 0
    with open(os.path.join(looop.data, ".last-shell.json"), encoding="utf-8") as file:
        assert file.read() == pending


def test_a_command_that_looks_like_an_option_is_a_command(looop):
    """A command that begins with a dash never becomes an option of bash."""
    ran = looop("run", "--", "--version")
    assert ran.code == 1
    assert "GNU bash, version" not in ran.err


def test_a_relative_path_of_a_sensor_is_where_the_person_stands(looop, tmp_path):
    """`--path .` means the folder the command was typed in, though sensors run in the data dir."""
    assert looop("sensor", "add", "disk", "here", "--path", ".").code == 0
    with open(os.path.join(looop.data, "sensors", "here.sh"), encoding="utf-8") as file:
        assert str(tmp_path) in file.read()


def test_config_is_completion_by_its_old_name(looop):
    """`config bash` prints the completion script. Source: spec/cli.md §2."""
    assert looop("config", "bash").out == looop("completion", "bash").out != ""


def test_looking_senses_nothing(looop):
    """`state` and `wait` show what the last beat left, and run no sensor. Source: edge case 270."""
    looop("state")
    looop.write("sensors/mark.sh", "#!/bin/sh\ntouch sensed\necho 1\n", 0o755)
    looop("state")
    looop("wait")
    assert not (looop.data / "sensed").exists()
    looop("beat")
    assert (looop.data / "sensed").exists()
