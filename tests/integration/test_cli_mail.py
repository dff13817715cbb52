"""Questions that wait for a person, and their answers."""

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fakes.command import Looop
from tests.fakes.waiting import until


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


def put(looop, name="w-1", **fields):
    """A question as a worker leaves it on record."""
    looop.write(
        f"asks/{name}.json",
        json.dumps({"v": 1, "id": name, "worker": name.rpartition("-")[0], "prompt": "May I?", "ts": 1} | fields),
    )


def test_one_question_is_shown_whole(looop):
    """Every line of it, escapes made visible, options numbered, and how it was settled; JSON has the same fields."""
    looop.settle()
    put(looop, prompt="Drop it?\n\n  \x1b[31mIt is big\x1b[0m", options=["yes", "n\to"], reference="r", again="because")
    assert "Drop it? …\n" in looop("asks").out and "It is big" not in looop("asks").out
    assert looop("asks", "w-1").out.splitlines()[1:] == [
        "",
        "      \\x1b[31mIt is big\\x1b[0m",
        "    ref: r",
        "    asked again: because",
        "    options: 1 yes, 2 n o",
    ]
    looop("answer", "w-1", "-", stdin="no,\x1b[2J never")
    shown = looop("asks", "w-1")
    assert (
        shown.out.startswith("· w-1 (w") and "refused by a person 2" in shown.out and r"'no,\x1b[2J never'" in shown.out
    )
    found = looop("asks", "w-1", "--json").json
    assert (found["state"], found["answer"], found["by"]) == ("refused", "no,\x1b[2J never", "")
    assert "no ask 'w-2'" in looop("asks", "w-2").err and "invalid ask id" in looop("asks", "a/b").err
    looop.write("asks/w-3.json", '{"id": "w-3", "wor')
    cut = looop("asks", "w-3")
    assert (cut.code, cut.out, cut.err.count("\n")) == (1, "", 1) and "asks/w-3.json" in cut.err


def test_settled_questions_are_listed_on_demand(looop):
    """With --all those that are settled stand first, the latest last, the archive's among them; each says its state."""
    looop.settle()
    for n in range(1, 6):
        put(looop, f"w-{n}")
    put(looop, "s-1", generation=7)
    looop.write("answers/w-1.json", '{"answer": "no, never", "ts": 50}')
    looop.write("answers/w-2.json", '{"answer": "", "ts": 40, "outcome": "expired", "by": "nobody"}')
    looop.write("answers/w-3.json", '{"answer": "moot", "ts": 30, "outcome": "withdrawn", "by": "w"}')
    (looop.data / "asks/archive").mkdir()
    for kind, target in (("asks", "w-4.json"), ("answers", "w-4.answer.json")):
        looop.write("answers/w-4.json", '{"answer": "yes", "ts": 20}')
        (looop.data / kind / "w-4.json").rename(looop.data / "asks/archive" / target)
    (looop.data / "answers/w-4.json").unlink(missing_ok=True)
    assert [line.split()[1] for line in looop("asks").out.splitlines()] == ["w-5", "s-1"]
    lines = looop("asks", "--all").out.splitlines()
    assert [line.split()[1] for line in lines] == ["setup-1", "w-4", "w-3", "w-2", "w-1", "w-5", "s-1"]
    assert "withdrawn by worker w 1970-01-01 00:00 'moot'" in lines[2] and "expired 1970" in lines[3]
    rows = looop("asks", "--all", "--json").json
    states = {row["id"]: row["state"] for row in rows}
    assert states == {
        **dict.fromkeys(("setup-1", "w-4"), "answered"),
        "w-1": "refused",
        "w-2": "expired",
        "w-3": "withdrawn",
        "w-5": "pending",
        "s-1": "stranded",
    }
    assert [ask["id"] for ask in looop("asks", "--json").json] == ["w-5"]
    assert (looop("asks", "w-5").out[0], looop("asks", "s-1").out[0]) == ("⚑", "✗")


def test_a_long_answer_is_cut_in_the_list_alone(looop):
    """An answer may have a mebibyte: the list shows its beginning, the question itself all of it."""
    looop.settle()
    put(looop)
    looop("answer", "w-1", "-", stdin="a" * (1 << 20))
    line = looop("asks", "--all").out.splitlines()[-1]
    assert "'" + "a" * 200 + "'…: May I?" in line and len(line) < 300
    assert "a" * (1 << 20) in looop("asks", "w-1").out


def test_what_is_answered_cannot_be_withdrawn(looop):
    """It is refused without a word about answering by force, which is not what was wanted."""
    looop("answer", "setup-1", "done")
    refused = looop("ask", "withdraw", "setup-1")
    assert refused.code == 1 and "already answered on 2" in refused.err
    assert "nothing is left to withdraw" in refused.err and "--force" not in refused.err


@pytest.mark.parametrize(
    ("words", "stdin", "said"),
    [
        (("w-1",), b"\xff\xfe", "is not UTF-8"),
        (("w-1", b"caf\xe9"), b"", "is not UTF-8"),
        (("w-1", "-"), b"x" * ((1 << 20) + 1), "has 1048577 bytes, over the 1048576"),
        (("w-1", "-"), b"x" * (5 << 20), "over 4194304 bytes"),
        (("w-1", "-"), b" \n", "the answer is empty"),
        (("w-1", ""), b"", "the answer is empty"),
        (("w-1", "--option", "3"), b"", "ask w-1 has no option 3: there are 1 yes, 2 no"),
        (("w-1", "--option", "0"), b"", "has no option 0"),
        (("w-1", "--option", "1", "yes"), b"", "either a text or an --option"),
        (("w-2", "--option", "1"), b"", "there are none"),
        (("w-1", "--option", "one"), b"", "not a valid integer"),
    ],
)
def test_what_is_no_answer_is_one_line(looop, words, stdin, said):
    """Empty, too large, not UTF-8, an option that is not there: said in one line, and nothing is answered."""
    looop.settle()
    put(looop, options=["yes", "no"])
    put(looop, "w-2")
    refused = looop("answer", *words, stdin=stdin)
    assert (refused.code, refused.out, refused.err.count("\n")) == (1, "", 1)
    assert said in refused.err
    assert os.listdir(looop.data / "answers") == ["setup-1.json"]


def test_what_cannot_be_written_settles_nothing(looop):
    """An answer or a withdrawal that finds no place is one line, and the question stays. Source: edge case 240."""
    looop.settle()
    put(looop)
    (looop.data / "answers/w-1.json").mkdir()
    for words in (("answer", "w-1", "yes"), ("ask", "withdraw", "w-1")):
        refused = looop(*words)
        assert (refused.code, refused.out, refused.err.count("\n")) == (1, "", 1), words
    assert [ask["id"] for ask in looop("asks", "--json").json] == ["w-1"]


@pytest.mark.slow
def test_a_thousand_questions_are_listed_at_once(looop):
    """A thousand pending questions cost `asks` less than half a second beside its start."""
    looop.settle()
    for n in range(1000):
        put(looop, f"w{n}-1", key="k", generation=7 if n % 2 else 0)
    before = time.monotonic()
    looop("asks", "w1-1")
    one = time.monotonic() - before
    found = looop("asks", "--json").json
    assert len(found) == 500
    assert time.monotonic() - before - 2 * one < 0.5


def test_who_answers_is_on_record(looop: Looop) -> None:
    """A worker that answers is not taken for a person: its id stands in the record, and its no is nobody's refusal."""
    looop.write("asks/w-1.json", '{"id": "w-1", "worker": "w", "prompt": "?", "ts": 1, "key": "k", "taken": 2}')
    assert looop("answer", "w-1", "no", env={"LOOOP_SESSION_ID": "v"}).code == 0
    assert looop("asks", "w-1", "--json").json["by"] == "v"
    assert "refused by worker v" in looop("asks", "w-1").out
    asking = looop.start("ask", "w", "--prompt", "?", "--key", "k")
    try:
        until(lambda: '"w-2"' in looop("asks", "--json").out or asking.poll() is not None, what="the question")
        assert asking.poll() is None
    finally:
        asking.kill()
        asking.communicate()
