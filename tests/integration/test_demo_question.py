"""The question of `looop demo`, and a person who answers it: on a terminal, beforehand, from elsewhere, not at all."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from looop.__main__ import Loop
from looop.clients.demo import props
from looop.clients.demo.person import meant
from looop.clients.demo.story import NotAsPromised, tell
from tests.fakes.terminal import Terminal

DEMO = [sys.executable, "-m", "looop", "demo"]
PROMPT = b"Your answer (1 yes, 2 no, or your own words):"
TOOK = re.compile(r"answer → worker went on: (\d+) ms")
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


class Machine:
    """A machine with an empty scratch place and no home of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.scratch = folder, folder / "scratch"
        self.scratch.mkdir()
        inherited = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        self.env = {
            "TMPDIR": str(self.scratch),
            "XDG_STATE_HOME": str(folder / "state"),
            "LANG": "C.UTF-8",
            **inherited,
        }

    def demo(self, *words: str) -> tuple[int, str, str]:
        """A demo without a terminal: its exit code and what it said."""
        done = subprocess.run(
            [*DEMO, *words], env=self.env, cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        return done.returncode, done.stdout, done.stderr

    def data(self) -> Path:
        """The data dir of the demo that runs, or was kept."""
        (root,) = self.scratch.iterdir()
        return root / "looop"

    def is_clean(self) -> bool:
        """Whether nothing is left: no folder, and no process that began here."""
        return not list(self.scratch.iterdir()) and not self._running()

    def _running(self) -> list[str]:
        mark, found = b"TMPDIR=" + os.fsencode(self.scratch) + b"\0", []
        for pid in filter(str.isdigit, os.listdir("/proc") if os.path.isdir("/proc/self") else []):
            try:
                found += [pid] if mark in Path(f"/proc/{pid}/environ").read_bytes() else []
            except OSError:
                continue
        return found


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def terminal(machine: Machine) -> Iterator[Terminal]:
    """The demo on a terminal, whose question is on the screen."""
    terminal = Terminal(DEMO, machine.folder, machine.env, (100, 50))
    try:
        terminal.shows(PROMPT, 30)
        yield terminal
    finally:
        terminal.close()


def text_of(terminal: Terminal) -> str:
    return ESCAPES.sub("", terminal.seen.decode()).replace("\r\n", "\n")


@pytest.mark.slow
@pytest.mark.parametrize(("typed", "heard"), [(b"yes\n", "yes"), (b"1\n", "yes"), (b"Y\n", "yes")])
def test_a_person_answers_in_the_same_terminal(machine: Machine, terminal: Terminal, typed: bytes, heard: str) -> None:
    """The option, its number or its beginning is typed; the worker has it at once, goes on, and all is mended."""
    terminal.type(typed)
    assert terminal.ends(30) == 0
    shown = text_of(terminal)
    assert f"answer    {heard} (typed here)" in shown and f"* the answer is: {heard}" in shown
    assert int(TOOK.findall(shown)[0]) < 2000
    assert "8 beats, 2 repairs, 1 question, 0 model calls, $0.00" in shown
    assert machine.is_clean()


@pytest.mark.slow
def test_nothing_is_no_answer(machine: Machine, terminal: Terminal) -> None:
    """Enter, blanks and the number of no option ask again, and say what is expected; then an answer counts."""
    for typed, said in ((b"\n", b"an answer is needed"), (b"  \t\n", b"an answer is needed"), (b"3\n", b"2 options")):
        terminal.type(typed)
        terminal.shows(said)
        terminal.shows(PROMPT)
    terminal.type(b"no\n")
    assert terminal.ends(30) == 0
    assert "answer    no (typed here)" in text_of(terminal)
    assert machine.is_clean()


@pytest.mark.slow
@pytest.mark.parametrize("end", [b"\x04", b"\x03"])
def test_leaving_at_the_question_leaves_nothing(machine: Machine, terminal: Terminal, end: bytes) -> None:
    """The end of the input and Ctrl-C end the demo: the worker goes, nothing is applied, nothing is left."""
    terminal.type(end)
    assert terminal.ends(30) == 130
    assert "went on" not in text_of(terminal) and "Traceback" not in text_of(terminal)
    assert machine.is_clean()


@pytest.mark.slow
def test_a_closed_window_at_the_question_leaves_nothing(machine: Machine, terminal: Terminal) -> None:
    """When the terminal goes away the demo goes, with its worker and its folder."""
    terminal.hang_up()
    assert terminal.process.wait(30) == 129
    assert machine.is_clean()


@pytest.mark.slow
def test_answered_from_elsewhere(machine: Machine, terminal: Terminal) -> None:
    """While the demo asks, `looop answer` in another terminal answers; the demo sees it and goes on."""
    env = machine.env | {"LOOOP_DATA_DIR": str(machine.data())}
    words = [sys.executable, "-m", "looop", "answer", "tests-green-1", "yes"]
    subprocess.run(words, env=env, cwd=machine.folder, check=True, capture_output=True)
    assert terminal.ends(30) == 0
    shown = text_of(terminal)
    assert "answer    yes (given elsewhere)" in shown and not TOOK.search(shown)
    assert machine.is_clean()


@pytest.mark.slow
def test_what_is_typed_before_the_question_is_no_answer(machine: Machine) -> None:
    """A yes that was typed before anything was asked is not taken for one."""
    terminal = Terminal(DEMO, machine.folder, machine.env, (100, 50))
    try:
        terminal.shows(b"Beat 1")
        terminal.type(b"yes\n")
        terminal.shows(PROMPT, 30)
        terminal.type(b"no\n")
        assert terminal.ends(30) == 0
    finally:
        terminal.close()
    assert "answer    no (typed here)" in text_of(terminal)


@pytest.mark.slow
def test_escapes_are_shown_for_what_they_are(machine: Machine, terminal: Terminal) -> None:
    """Arrow keys and other escapes in an answer reach the worker as they are, and no terminal through the demo."""
    terminal.type(b"\x1b[31mlater\n")
    assert terminal.ends(30) == 0
    answered = next(line for line in terminal.seen.decode().splitlines() if "(typed here)" in line)
    assert "\x1b[31mlater" not in answered and "later" in answered


@pytest.mark.slow
@pytest.mark.parametrize("answer", ["no", "2", "not before Monday"])
def test_without_a_yes_nothing_is_applied(machine: Machine, answer: str) -> None:
    """No, and whatever is not a plain yes: the app is as it was, the goal open, and the demo ends well."""
    code, out, err = machine.demo("--keep", "--answer", answer)
    assert (code, err) == (0, "")
    heard = {"2": "no"}.get(answer, answer)
    data = machine.data()
    subjects = subprocess.run(
        ["git", "-C", data.parent / "app", "log", "--format=%s"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert subjects[0] == "Simplify the discount"
    assert json.loads((data / "answers/tests-green-1.json").read_bytes())["answer"] == heard
    asked = sorted(path.name for path in (data / "asks").glob("*.json"))
    assert asked == ["tests-green-1.json", "tests-green-2.json"][: 1 if heard == "no" else 2]
    assert "tests-green is open" in out and f"0 repairs, {len(asked)} question" in out
    assert ("your no is the answer to it" in out) == (heard == "no")


@pytest.mark.slow
def test_without_a_terminal_the_demo_answers_itself(machine: Machine) -> None:
    """Nobody is waited for where nobody can type, and the page says who said yes."""
    began = time.monotonic()
    code, out, err = machine.demo()
    assert (code, err) == (0, "")
    assert "yes (nobody is at this terminal, so the demo says so itself; --answer" in " ".join(out.split())
    assert time.monotonic() - began < 15
    assert machine.is_clean()


@pytest.mark.slow
def test_the_loop_is_free_while_the_worker_waits(machine: Machine) -> None:
    """The beat in between finds the worker waiting, does nothing, asks no model, and the question is still there."""
    code, out, _ = machine.demo("--keep", "--answer", "yes")
    assert code == 0
    beat = out.split("the worker waits, the loop does not")[1].split("\n\n")[0]
    assert "waiting-ask: ask tests-green-1 has waited" in beat and "0 model calls" in beat
    rows = [json.loads(line) for line in (machine.data() / "events.jsonl").read_text().splitlines()]
    assert [row["event"] for row in rows if row.get("ask_id")] == ["ask", "answer"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "right", "wrong", "said"),
    [
        ("no", '[ "$answer" != yes ]', "false", "nothing to be applied without a yes"),
        ("yes", "if @compiles@", "if false", "worker tests-green to ask"),
        ("yes", '"$answer" >@mark@', '"whatever" >@mark@', "the worker to hear 'yes'"),
        ("yes", "    printf", "    sleep 60; printf", "to go on once it is answered within 1 s"),
        ("yes", "--options yes,no", "--options yes,no w", "a question of tests-green"),
    ],
)
def test_a_worker_that_does_as_it_likes_is_found_out(
    answer: str, right: str, wrong: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that applies without a yes, never asks, hears something else or does not go on ends the demo."""
    assert right in props._MENDER
    monkeypatch.setattr(props, "_MENDER", props._MENDER.replace(right, wrong))
    monkeypatch.setattr("looop.clients.demo.question._ANSWER_S", 1)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(NotAsPromised, match=re.escape(said)):
        tell(Loop(), keep=False, answer=answer)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_answer_is_refused(machine: Machine) -> None:
    """--answer without a word is a mistake, and nothing is begun."""
    code, out, err = machine.demo("--answer", " ")
    assert (code, out) == (1, "")
    assert "--answer is empty" in err and machine.is_clean()


@pytest.mark.slow
def test_an_answer_that_names_no_option(machine: Machine) -> None:
    """A number beyond the options is refused rather than taken for words."""
    code, _, err = machine.demo("--answer", "7")
    assert (code, err) == (1, "looop: --answer '7': there are 2 options\n")
    assert machine.is_clean()


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("yes", "yes"),
        (" YES ", "yes"),
        ("y", "yes"),
        ("1", "yes"),
        ("2", "no"),
        ("n", "no"),
        ("yes please", "yes please"),
        ("not now", "not now"),
        ("ye s", "ye s"),
    ],
)
def test_what_an_answer_means(text: str, answer: str) -> None:
    """A number or the beginning of an option is that option; everything else stands for itself, never for a yes."""
    assert meant(text, ["yes", "no"]) == (answer, "")


@pytest.mark.parametrize("text", ["", " ", "0", "3", "99999999999999999999"])
def test_what_no_answer_means(text: str) -> None:
    """Nothing, and a number that no option has, mean nothing."""
    answer, wrong = meant(text, ["yes", "no"])
    assert answer == "" and wrong


def test_a_beginning_that_fits_two_options_is_neither() -> None:
    """Where options begin alike a beginning stands for itself."""
    assert meant("s", ["staging", "stable"]) == ("s", "")
    assert meant("sta", []) == ("sta", "")
