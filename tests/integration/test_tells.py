"""Steering: `looop tell` and `looop told`, on the answer of a waiting worker, and workers that really run.

Source: spec/workers.md §10.
"""

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from looop.contract.questions import STEERED
from looop.model.errors import Refused, Unreadable
from looop.state.mailbox import Mailbox
from looop.state.tells import Tells
from looop.store.files import FileStore
from tests.fakes.crew import IDLE, Crew, no_worker_left
from tests.fakes.sessions import SOURCE
from tests.fakes.waiting import gone, until
from tests.integration.test_ask import Asking, ends, watches

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at processes in /proc")
ASKS = (
    f"export PYTHONPATH={SOURCE}\n"
    + """\
echo "$(date +%s%N) asking" >> log
answer="$("$LOOOP_BIN" ask --key merge --prompt 'Merge?' --options yes,no)" || exit 7
echo "$(date +%s%N) $answer" >> log
"$LOOOP_BIN" told >> log
echo gone on >> log
sleep 600; : {{prompt_file}}"""
)


@pytest.fixture
def looop(tmp_path: Path) -> Iterator[Asking]:
    with no_worker_left(tmp_path / "data"):
        made = Asking(tmp_path)
        made.write("config.json", json.dumps({"worker_command": IDLE}))
        yield made
        made.end()


def tells(looop: Asking) -> Tells:
    """The book over the same data dir, for messages to workers that do not live."""
    return Tells(FileStore(str(looop.data)), 600)


def files(looop: Asking, folder: str = "tells") -> list[str]:
    return sorted(path.name for path in (looop.data / folder).glob("*.json"))


def test_a_live_worker_is_told(looop: Asking) -> None:
    """Words are joined and trimmed, may begin with dashes or be a lone one, and are heard once, oldest first.

    Source: spec/workers.md §10; spec/cli.md §1, `tell` passes leading dashes through.
    """
    assert looop("worker", "start", "w", "work").code == 0
    said = [
        ("leave", "the", " branch  "),
        ("-n", "--force", "x"),
        ("--help",),
        ("-",),
        ("--", "--json"),
        ("two\nlines \x1b[31m",),
    ]
    for words in said:
        assert looop("tell", "w", *words).out == "told w\n"
    assert tells(looop).waiting() == {"w": 6}
    heard = looop("told", env={"LOOOP_SESSION_ID": "w"})
    assert (heard.code, heard.err) == (0, "")
    assert heard.out.split("\n") == [
        "• leave the  branch",
        "• -n --force x",
        "• --help",
        "• -",
        "• --json",
        "• two lines \\x1b[31m",
        "",
    ]
    assert [looop("told", "w").out, looop("told", "w", "--json").json] == ["", []]
    assert len(files(looop, "tells/consumed")) == 6
    assert looop.read("events.jsonl").count('"event":"tell"') == 6


def test_nobody_else_is_told(looop: Asking) -> None:
    """A dead worker, one that never was, the pulse, no words: refused in a line, and nothing is left lying about.

    Source: edge case 205.
    """
    looop("worker", "start", "w", "work")
    looop("kill", "w")
    for words, said in (
        (("w", "hi"), "no live worker 'w'"),
        (("nobody", "hi"), "no live worker 'nobody'"),
        (("pulse", "hi"), "no live worker 'pulse'"),
        (("w", " ", ""), "nothing to tell"),
        (("w",), "nothing to tell"),
        (("../w", "hi"), "invalid worker id"),
    ):
        refused = looop("tell", *words)
        assert (refused.code, refused.out, refused.err.count("\n")) == (1, "", 1)
        assert said in refused.err
    assert files(looop) == []


def test_an_unreadable_fleet_is_another_error(root: Path) -> None:
    """Where nobody knows who lives the error says so, and to try again: it is not "dead". Source: edge case 205."""
    from looop.contract.ask import tell

    with no_worker_left(root):
        home = Crew(root)
        home.write("sessions", "a file")
        with pytest.raises(Unreadable, match=r"nobody knows whether w lives: .*: try again"):
            tell(home.house, "w", "hi")
        (root / "sessions").unlink()
        with pytest.raises(Refused):
            tell(home.house, "w", "hi")
        assert not list(root.glob("tells/*.json"))


def test_what_was_never_heard_ends_with_its_generation(root: Path) -> None:
    """A kill, a restart, and a reap with the start of the next one discard it; the successor hears nothing.

    Source: edge cases 206, 278.
    """
    from looop.act.launch import restart_worker
    from looop.contract.ask import tell, told

    with no_worker_left(root):
        home = Crew(root)
        home.start("w")
        for end in (
            lambda: home.kill("w"),
            lambda: os.kill(home.session("w").child_pid or 0, 9) or home.ended("w"),
            lambda: restart_worker(home.house, "w"),
        ):
            tell(home.house, "w", "for this one alone")
            end()
            if not home.session("w").alive:
                home.start("w")
            assert told(home.house, "w").messages == []


def test_steering_rides_on_the_answer_once(looop: Asking) -> None:
    """What was told while the worker waited stands ahead of the answer, and `told` has none of it any more.

    Source: edge case 203; spec/workers.md §10.
    """
    process = looop.waiting("w")
    for n in range(2):
        tells(looop).tell("w", f"line {n}", 5)
    looop("answer", "w-1", "-", stdin="two\nlines")
    assert ends(process) == (0, f"{STEERED}\n• line 0\n• line 1\n---\ntwo\nlines\n", "")
    assert STEERED.startswith("[") and STEERED.endswith("]")
    assert looop("told", "w").out == ""
    again = looop.waiting("w")
    looop("answer", "w-2", "yes")
    assert ends(again)[1] == "yes\n"


def test_steering_that_cannot_be_read_keeps_no_answer_back(looop: Asking) -> None:
    """The answer arrives on stdout, the trouble on stderr; what is well is delivered. Source: edge cases 202, 212."""
    process = looop.waiting("w")
    looop.write("tells/w-8.json", "{")
    looop.write("tells/w-9.json", '{"id": "w-9", "worker": "w", "msg": "well", "ts": 1, "v": 2}')
    looop("answer", "w-1", "yes")
    code, out, err = ends(process)
    assert (code, out) == (0, f"{STEERED}\n• well\n---\nyes\n")
    assert [line.split()[:2] for line in err.splitlines()] == [["looop:", "tells/w-8.json"], ["looop:", "tell"]]
    told = looop("told", "w", "--json")
    assert (told.json, told.err.count("\n")) == ([], 1)
    (looop.data / "tells/w-8.json").unlink()
    os.rename(looop.data / "tells", looop.data / "tells.old")
    looop.write("tells", "a file")
    process = looop.waiting("w")
    looop("answer", "w-2", "yes")
    code, out, err = ends(process)
    assert (code, out, "cannot list" in err) == (0, "yes\n", True)
    assert looop("told", "w").code == 1


def test_told_races_the_answer(looop: Asking) -> None:
    """Thirty messages, an answer and four `told` at once: exactly one hears each. Source: edge case 204."""
    process = looop.waiting("w")
    for n in range(30):
        tells(looop).tell("w", f"message {n}", 5)
    with ThreadPoolExecutor(5) as people:
        heard = [people.submit(looop, "told", "w") for _ in range(4)]
        people.submit(looop, "answer", "w-1", "yes")
        texts = [one.result().out for one in heard]
    code, out, err = ends(process)
    assert (code, err, out.splitlines()[-1]) == (0, "", "yes")
    lines = [line for text in [*texts, out] for line in text.splitlines() if line.startswith("• ")]
    assert sorted(lines) == sorted(f"• message {n}" for n in range(30))
    assert len(files(looop, "tells/consumed")) == 30


def test_a_real_worker_asks_and_goes_on(looop: Asking, capsys: pytest.CaptureFixture[str]) -> None:
    """A worker in its own terminal asks through "$LOOOP_BIN", is shown as waiting, and goes on after the answer.

    The time from the answer to its next line is printed. Source: spec/workers.md §9; design §1 promise 4.
    """
    assert looop("worker", "start", "w", "work", "--command", ASKS).code == 0
    until(lambda: [ask["id"] for ask in looop.pending()] == ["w-1"], 20, "the question")
    assert rows(looop)["w"]["health"] == "waiting-ask"
    until(lambda: any(watches(int(pid)) for pid in os.listdir("/proc") if is_ask(pid)), what="the watch")
    began = time.time_ns()
    Mailbox(FileStore(str(looop.data))).answer("w-1", "yes", int(time.time()))
    until(lambda: "gone on" in looop.read("log"), 20, "the worker's next line")
    asked, answered, last = looop.read("log").splitlines()
    assert (asked.split()[1], answered.split()[1], last) == ("asking", "yes", "gone on")
    with capsys.disabled():
        print(
            f"\n  from the answer to the worker's next line: {(int(answered.split()[0]) - began) / 1e6:.0f} ms", end=" "
        )
    assert rows(looop)["w"]["health"] == "busy"


def rows(looop: Asking) -> dict[str, Any]:
    return {row["id"]: row for row in looop("worker", "list", "--all", "--json").json}


def is_ask(pid: str) -> bool:
    try:
        return b"\0ask\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def test_a_question_outlives_its_worker(root: Path) -> None:
    """A worker killed while it waits leaves its question, which is STRANDED then; answering it changes nothing.

    A worker of the same id is not given that answer. Source: spec/workers.md §9; edge case 82.
    """
    with no_worker_left(root):
        home = Crew(root)
        home.write("config.json", json.dumps({"worker_command": IDLE}))
        home.start("w", ASKS)
        until(lambda: home.house.mailbox.pending(home.clock.now()).pending != [], 20, "the question")
        home.decides({"action": "noop", "reason": "x"})
        home.run_beat(forced=True)
        assert "LIVE" in head(home)
        waiting = [int(pid) for pid in os.listdir("/proc") if is_ask(pid) and belongs(pid, root)]
        home.kill("w")
        until(lambda: all(gone(pid) for pid in waiting), what="the end of the waiting call")
        assert waiting
        home.later(60, forced=True)
        assert "STRANDED" in head(home)
        home.house.mailbox.answer("w-1", "yes", home.clock.now())
        assert home.house.mailbox.pending(home.clock.now()).pending == []
        home.start("w", ASKS)
        until(
            lambda: [ask.id for ask in home.house.mailbox.pending(home.clock.now()).pending] == ["w-2"],
            20,
            "a question of its own",
        )


def head(home: Crew) -> str:
    """How the prompt introduces the question."""
    return next(line for line in home.prompt.splitlines() if line.startswith("--- ") and "w-1" in line)


def belongs(pid: str, root: Path) -> bool:
    return f"LOOOP_DATA_DIR={root}".encode() in Path(f"/proc/{pid}/environ").read_bytes()
