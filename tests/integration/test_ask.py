"""A worker asks and waits: `looop ask` as a process of its own, the answer, and whatever may come in between.

Source: spec/workers.md §9.
"""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from looop.contract.ask import ask
from looop.contract.questions import Question
from looop.runtime import watch
from looop.state.open import NoStop
from tests.fakes.command import Looop
from tests.fakes.house import Home
from tests.fakes.waiting import until, watches

needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at processes in /proc")
Process = subprocess.Popen


class Asking(Looop):
    """looop whose `ask`s run beside the test."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.running: list[Process[str]] = []
        self.settle()

    def ask(self, *words: str, **env: str) -> "Process[str]":
        """A worker's question, waiting or about to."""
        words = words if "--prompt" in words else (*words, "--prompt", "May I?")
        self.running.append(self.start("ask", *words, env=env))
        return self.running[-1]

    def waiting(self, *words: str, **env: str) -> "Process[str]":
        """A worker's question that is on record and watched."""
        process = self.ask(*words, **env)
        until(lambda: process.poll() is not None or (self.asked() and watches(process.pid)), what="the watch")
        return process

    def asked(self) -> bool:
        """Whether a question is on record besides the one that looop brings along."""
        return any(path.stem != "setup-1" for path in (self.data / "asks").glob("*.json"))

    def pending(self) -> list[Any]:
        return list(self("asks", "--json").json)

    def end(self) -> None:
        for process in self.running:
            process.kill()
            process.communicate()


def ends(process: "Process[str]", seconds: float = 20) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    out, err = process.communicate(timeout=seconds)
    assert "Traceback" not in err
    return process.returncode, out, err


def goes_on(process: "Process[str]", seconds: float = 0.5) -> None:
    """It is still waiting after so many seconds."""
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(seconds)


@pytest.fixture
def looop(tmp_path: Path) -> Iterator[Asking]:
    made = Asking(tmp_path)
    yield made
    made.end()


def test_stdout_carries_the_answer_and_nothing_else(tmp_path: Path) -> None:
    """Even in a data dir that is seeded by the very call there is only the answer on stdout. Source: edge case 202."""
    looop = Looop(tmp_path)
    process = looop.start("ask", "w", "--prompt", "May I?", env={"LOOOP_LOG_FORMAT": "json"})
    until((looop.data / "asks/w-1.json").exists, what="the question")
    assert looop("answer", "w-1", "yes").out == "answered w-1\n"
    assert ends(process) == (0, "yes\n", "")


@needs_proc
def test_a_question_says_all_there_is_to_it(looop: Asking) -> None:
    """Prompt, reference and options are shown to people; options may be given again, and are cut at commas.

    Source: spec/cli.md, worker callbacks.
    """
    words = ("--prompt", "Merge?\nIt is green.", "--ref", "pr/9", "--options", " yes, no,", "--options", "later")
    process = looop.waiting(*words, LOOOP_SESSION_ID="fix")
    (found,) = looop.pending()
    assert found["id"] == "fix-1"
    assert [found[name] for name in ("worker", "prompt", "reference", "options", "key")] == [
        "fix",
        "Merge?\nIt is green.",
        "pr/9",
        ["yes", "no", "later"],
        "",
    ]
    shown = looop("asks").out
    assert (
        "⚑ fix-1 (fix · just now): Merge?" in shown
        and "ref: pr/9" in shown
        and "options: 1 yes, 2 no, 3 later" in shown
    )
    looop("answer", "fix-1", "later")
    assert ends(process)[:2] == (0, "later\n")
    assert '"event":"ask","ask_id":"fix-1","worker":"fix"' in looop.read("events.jsonl")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("ask", "w"), "--prompt"),
        (("ask", "--prompt", "?"), "which worker is this?"),
        (("ask", "w", "--prompt", " \n"), "the question is empty"),
        (("ask", "../w", "--prompt", "?"), "invalid worker id"),
        (("ask", "w", "--prompt", "?", "--key", "a b"), "invalid key"),
        (("ask", "w", "--prompt", "?", "--detach"), "--detach"),
        (("ask", "w", "v", "--prompt", "?"), "unexpected extra argument"),
        (("told",), "which worker is this?"),
        (("told", "a/b"), "invalid worker id"),
    ],
)
def test_bad_words_ask_nothing(looop: Asking, words: tuple[str, ...], said: str) -> None:
    """What cannot be asked is one line on stderr and exit code 1, and leaves no record. Source: spec/workers.md §9."""
    refused = looop(*words)
    assert (refused.code, refused.out, refused.err.count("\n")) == (1, "", 1)
    assert said in refused.err
    assert looop.pending() == []


@needs_proc
def test_racing_questions_all_survive(looop: Asking) -> None:
    """Six questions of one worker at once get six ids, and each call its own answer. Source: edge case 196."""
    processes = [looop.ask("w", "--prompt", f"question {n}") for n in range(6)]
    until(lambda: len(list((looop.data / "asks").glob("w-*.json"))) == 6, 20, "six questions")
    asked = {found["prompt"]: found["id"] for found in looop.pending()}
    assert sorted(asked.values()) == [f"w-{n}" for n in range(1, 7)]
    for n in range(6):
        assert looop("answer", asked[f"question {n}"], f"answer {n}").code == 0
    assert [ends(process)[1] for process in processes] == [f"answer {n}\n" for n in range(6)]


@needs_proc
def test_racing_calls_under_one_key_are_one_question(looop: Asking) -> None:
    """Three calls with the same key put one question, and the one answer ends them all. Source: design §3."""
    processes = [looop.waiting("w", "--key", "merge") for _ in range(2)] + [looop.ask("w", "--key", "merge")]
    until(lambda: all(watches(process.pid) for process in processes), what="three watches")
    assert [found["id"] for found in looop.pending()] == ["w-1"]
    looop("answer", "w-1", "yes")
    assert [ends(process)[:2] for process in processes] == [(0, "yes\n")] * 3


@needs_proc
def test_of_racing_answers_one_reaches_the_worker(looop: Asking) -> None:
    """Eight people answer at once: one is told "answered", seven "already", and the worker reads that one's.

    Source: edge case 200.
    """
    process = looop.waiting("w")
    with ThreadPoolExecutor(8) as people:
        said = list(people.map(lambda n: looop("answer", "w-1", f"answer {n}"), range(8)))
    winners = [n for n, one in enumerate(said) if one.code == 0]
    assert len(winners) == 1
    assert all("already answered" in one.err for n, one in enumerate(said) if n not in winners)
    assert ends(process)[:2] == (0, f"answer {winners[0]}\n")


@needs_proc
def test_what_is_cut_off_can_be_asked_again(looop: Asking) -> None:
    """A call that is killed leaves its question; the same call waits on, or gets what was answered in between, once.

    Source: design §3 row 7; docs/continuity.md.
    """
    for _ in range(2):
        process = looop.waiting("w", "--key", "merge")
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert [found["id"] for found in looop.pending()] == ["w-1"]
    looop("answer", "w-1", "yes")
    assert ends(looop.ask("w", "--key", "merge"))[:2] == (0, "yes\n")
    again = looop.waiting("w", "--key", "merge", "--prompt", "And now?")
    assert [found["id"] for found in looop.pending()] == ["w-2"]
    goes_on(again)


ANSWERS = {
    "1 MB": "0123456789abcde\n" * 65536,
    "unicode": "größe 目标 𐐀 \u202e\u200d👩‍🚀 \ufeff",
    "escapes": "\x1b[31mred\x1b[0m \x07\t| 'a' \"b\" `c` $d \\n \x00 end",
    "lines": "  first\n\n---\n• last",
}


@needs_proc
@pytest.mark.parametrize("text", ANSWERS.values(), ids=ANSWERS)
def test_any_answer_arrives_as_it_was_given(looop: Asking, text: str) -> None:
    """Byte for byte, whatever is in it; only white space at the end of standard input goes. Source: edge case 210."""
    process = looop.waiting("w")
    assert looop("answer", "w-1", "-", stdin=text + " \n\n").code == 0
    assert ends(process) == (0, text.rstrip() + "\n", "")


@needs_proc
def test_a_corrupt_answer_is_an_error_with_its_remedy(looop: Asking) -> None:
    """The call ends and names `answer --force`; the question stays pending, and the remedy works for the same key.

    Source: edge case 198.
    """
    for n, broken in enumerate(('{"answer": 1}', "{", "{}", "")):
        process = looop.waiting("w", "--key", "k")
        looop.write("answers/w-1.json", broken)
        code, out, err = ends(process)
        assert (code, out) == (1, "")
        assert "`looop answer --force w-1 …`" in err and "answers/w-1.json" in err and err.count("\n") == 1
        assert [found["id"] for found in looop.pending()] == ["w-1"], n
        (looop.data / "answers/w-1.json").unlink()
    looop.write("answers/w-1.json", "{")
    assert looop("answer", "--force", "w-1", "mended").code == 0
    assert ends(looop.ask("w", "--key", "k"))[:2] == (0, "mended\n")


@needs_proc
def test_an_answer_that_is_being_written_is_waited_for(looop: Asking) -> None:
    """A program that fills the file in steps does not end the call. Source: edge case 198."""
    process = looop.waiting("w")
    with (looop.data / "answers/w-1.json").open("w") as file:
        file.flush()
        time.sleep(0.05)
        file.write('{"answer": "ye')
        file.flush()
        time.sleep(0.05)
        file.write('s"}')
    assert ends(process)[:2] == (0, "yes\n")


@needs_proc
@pytest.mark.slow
def test_a_withdrawn_question_is_an_error(looop: Asking) -> None:
    """When somebody removes its record the call ends within some seconds, and says so. Source: edge cases 199, 272."""
    process = looop.waiting("w")
    (looop.data / "asks/w-1.json").unlink()
    code, out, err = ends(process)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "ask w-1 was withdrawn" in err


def test_a_question_that_cannot_be_read_is_waited_for(looop: Asking) -> None:
    """Trouble with the record, or with the answer's, is said once and ends nothing; the answer then arrives.

    Source: edge case 199.
    """
    process = looop.ask("w", LOOOP_WATCH="poll", LOOOP_ASK_POLL_MS="20")
    until((looop.data / "asks/w-1.json").exists, what="the question")
    time.sleep(0.5)
    kept = looop.read("asks/w-1.json")
    for key in ("asks/w-1.json", "answers/w-1.json"):
        for _ in range(2):
            loop = looop.data / "loop"
            loop.symlink_to("w-1.json")
            loop.replace(looop.data / key)
            time.sleep(0.2)
        if key == "asks/w-1.json":
            looop.write(key, kept)
    goes_on(process)
    looop.write("answers/w-1.json", '{"answer": "yes"}')
    code, out, err = ends(process)
    assert (code, out) == (0, "yes\n")
    assert [line.endswith("still waiting") for line in err.splitlines()] == [False, True, True]
    assert err.startswith("looop: files are looked at every 0.02s: LOOOP_WATCH=poll\n")


@needs_proc
def test_the_folders_may_be_replaced(looop: Asking) -> None:
    """A data dir that is restored under a waiting call ends nothing; the answer arrives. Source: runtime/watch.py."""
    process = looop.waiting("w")
    (looop.data / "answers").rename(looop.data / "answers.old")
    (looop.data / "answers.old").rename(looop.data / "answers")
    looop("answer", "w-1", "yes")
    assert ends(process)[:2] == (0, "yes\n")


@needs_proc
@pytest.mark.parametrize("limit", ["0", "1" + "0" * 30, "soon"])
def test_without_a_limit_it_waits(looop: Asking, limit: str) -> None:
    """No limit, one that is too large to count, and one that is no number wait for ever. Source: edge case 208."""
    process = looop.waiting("w", LOOOP_ASK_TIMEOUT_S=limit)
    goes_on(process, 1.0)
    looop("answer", "w-1", "yes")
    assert ends(process)[:2] == (0, "yes\n")


def test_a_limit_ends_the_wait_and_not_the_question(looop: Asking) -> None:
    """After LOOOP_ASK_TIMEOUT_S the call fails and says so; the question stays asked. Source: spec/workers.md §9."""
    code, out, err = ends(looop.ask("w", LOOOP_ASK_TIMEOUT_S="1"))
    assert (code, out) == (1, "")
    assert "no answer to w-1 within 1 s (LOOOP_ASK_TIMEOUT_S)" in err
    assert [found["id"] for found in looop.pending()] == ["w-1"]


def test_where_nothing_can_be_watched_it_looks(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without watches of the kernel the call looks as often as LOOOP_ASK_POLL_MS says, never more than every 10 ms,
    and says so once. Source: edge case 208.
    """

    def none_left(**_options: Any) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(watch, "_new_source", none_left)
    home, said, answers = Home(root), list[str](), list[str]()
    home.furnish(ask_poll_ms=0)
    thread = Thread(target=lambda: answers.append(ask(home.house, Question("?", "w"), NoStop(), said.append).answer))
    thread.start()
    until(lambda: bool(said), what="the fall-back")
    home.house.mailbox.answer("w-1", "yes", 2)
    thread.join(10)
    assert answers == ["yes"]
    assert said == ["files are looked at every 0.01s: the kernel does not report them all (Too many open files)"]


def test_a_question_ends_a_wait_for_questions(looop: Asking) -> None:
    """A question raised by a worker ends `looop wait`, which then ends at once each time until it is answered.

    Source: edge case 209; spec/cli.md §2 wait.
    """
    pulse = looop.start("pulse", env={"LOOOP_INTERVAL": "600"})
    looop.running.append(pulse)
    until((looop.data / "journal.md").exists, what="the first beat")
    waiting = looop.start("wait", "--json", "--only-asks")
    looop.running.append(waiting)
    until(lambda: watches(waiting.pid), what="the watch")
    process = looop.ask("w")
    out, _ = waiting.communicate(timeout=20)
    assert (waiting.returncode, json.loads(out)["changed"]) == (0, ["asks"])
    assert [looop("wait", "--json", "--only-asks").json["changed"] for _ in range(2)] == [["asks"], ["asks"]]
    until(lambda: '"w-1"' in looop.read("snapshots/sys-asks.json"), 20, "the beat that sees the question")
    looop("answer", "w-1", "yes")
    assert ends(process)[:2] == (0, "yes\n")
    until(lambda: '"w-1"' not in looop.read("snapshots/sys-asks.json"), 20, "the beat that sees the answer")


def test_a_damaged_question_is_said_once(root: Path) -> None:
    """The loop says it at its first beat, not at every one; another process says it for itself, and JSON stays clean.

    Source: edge cases 211, 212.
    """
    home = Home(root)
    home.write("PLAYBOOK.md", "judge")
    home.write("asks/w-1.json", "{")
    home.write("asks/w-2.json", '{"v": 2, "id": "w-2", "worker": "w", "prompt": "?"}')
    for _ in range(3):
        home.later(60)
    assert [row["guard"] for row in home.events("guard_degraded")] == ["mailbox", "mailbox"]
    said = Asking(root.parent)("asks", "--json")
    assert ([ask["id"] for ask in said.json], said.err.count("\n")) == (["w-2"], 2)


@needs_proc
def test_who_has_gone_takes_nothing(looop: Asking) -> None:
    """A call whose reader has gone ends, and takes neither answer nor steering from the one that asks again.

    Source: spec/workers.md §9, §10; edge case 203.
    """
    looop.write("tells/w-1.json", '{"id": "w-1", "worker": "w", "msg": "mind the gap", "ts": 1}')
    process = looop.waiting("w", "--key", "k")
    out, process.stdout = process.stdout, None
    assert out is not None
    out.close()
    code, _, err = ends(process)
    assert (code, "nobody reads the answer to w-1 any more: it stays asked" in err) == (1, True)
    looop("answer", "w-1", "yes")
    code, text, _ = ends(looop.ask("w", "--key", "k"))
    assert (code, text.splitlines()[1:]) == (0, ["• mind the gap", "---", "yes"])


@needs_proc
def test_an_answer_that_was_handed_over_is_no_error(looop: Asking) -> None:
    """Where it cannot be put on record that the worker has its answer, it has it all the same; and gets it again.

    Source: spec/workers.md §9.
    """
    process = looop.waiting("w", "--key", "k")
    looop("answer", "w-1", "yes")
    assert ends(process) == (0, "yes\n", "")
    process = looop.waiting("w", "--key", "k")
    (looop.data / "asks/.dirlock").unlink()
    (looop.data / "asks/.dirlock").mkdir()
    looop("answer", "w-2", "yes")
    for asking in (process, looop.ask("w", "--key", "k")):
        assert ends(asking) == (0, "yes\n", "")
    assert looop.read("events.jsonl").count('"event":"guard_degraded"') == 2


def test_who_has_no_output_takes_nothing(looop: Asking) -> None:
    """With its stdout closed nobody gets the answer: the call ends, the question stays. Source: spec/workers.md §9."""
    said = looop.in_shell("looop ask w --key k --prompt 'May I?' >&-")
    assert (said.code, "nobody reads the answer to w-1 any more" in said.err) == (1, True)
    looop("answer", "w-1", "yes")
    said = looop.in_shell("looop ask w --key k --prompt 'May I?' >&-")
    assert (said.code, "nobody reads the answer to w-1 any more" in said.err) == (1, True)
    assert ends(looop.ask("w", "--key", "k")) == (0, "yes\n", "")


@needs_proc
def test_a_pipe_that_is_open_both_ways_costs_nothing(looop: Asking) -> None:
    """A named pipe that is read and written through one descriptor is readable for ever: nobody looks at that."""
    os.mkfifo(looop.folder / "pipe")
    fd = os.open(looop.folder / "pipe", os.O_RDWR)
    os.write(fd, b"unread\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "looop", "ask", "w", "--prompt", "?"], stdout=fd, env=looop.env, cwd=looop.folder
    )
    looop.running.append(process)  # type: ignore[arg-type]
    until(lambda: watches(process.pid), what="the watch")
    time.sleep(0.3)
    before = cpu(process.pid)
    time.sleep(0.5)
    assert cpu(process.pid) == before
    looop("answer", "w-1", "yes")
    assert (process.wait(5), os.read(fd, 99)) == (0, b"unread\nyes\n")
    os.close(fd)


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_wait(looop: Asking, number: int) -> None:
    """Ctrl-C, a termination and a hangup end the call without a word; the question stays. Source: spec/cli.md §1."""
    process = looop.waiting("w")
    process.send_signal(number)
    code, out, err = ends(process)
    assert (code, out, err.strip()) == (128 + number, "", "")
    assert [found["id"] for found in looop.pending()] == ["w-1"]


@needs_proc
def test_an_answer_wakes_its_worker(looop: Asking) -> None:
    """It is the answer that ends the wait, not the next look after ten seconds; however the file came to be there.

    Source: design §3 row 6.
    """
    for n, put in enumerate(("looop answer", "rename", "link", "in place"), 1):
        process, answer = looop.waiting("w"), looop.data / f"answers/w-{n}.json"
        (looop.folder / "draft").write_text('{"answer": "yes"}')
        if put == "looop answer":
            looop("answer", "w-1", "yes")
        elif put == "rename":
            (looop.folder / "draft").rename(answer)
        elif put == "link":
            answer.hardlink_to(looop.folder / "draft")
        else:
            answer.write_text('{"answer": "yes"}')
        assert ends(process, 5) == (0, "yes\n", ""), put


@needs_proc
@pytest.mark.skipif(not hasattr(signal, "SIGIO"), reason="there is no such signal")
@pytest.mark.parametrize("how", ["blocked", "ignored"])
def test_an_answer_wakes_whoever_was_started_deaf(looop: Asking, how: str) -> None:
    """A worker's tools may hand on a signal mask, or signals that are ignored: the answer ends the wait all the same.

    Source: design §3 row 6.
    """
    if how == "blocked":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGIO})
    else:
        before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        process = looop.ask("w")
    finally:
        if how == "blocked":
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGIO})
        else:
            signal.signal(signal.SIGIO, before)
    until(lambda: watches(process.pid), what="the watch")
    looop("answer", "w-1", "yes")
    assert ends(process, 3) == (0, "yes\n", "")


@needs_proc
def test_a_storm_of_signals_ends_nothing(looop: Asking) -> None:
    """Signals that others send for reasons of their own, thousands of them, leave the call waiting for its answer.

    A process that is stopped and goes on is one that was sent such a signal. Source: spec/workers.md §9.
    """
    process = looop.waiting("w")
    for _ in range(2000):
        for number in (signal.SIGCONT, signal.SIGWINCH, signal.SIGCHLD, signal.SIGURG):
            process.send_signal(number)
    process.send_signal(signal.SIGSTOP)
    looop("answer", "w-1", "yes")
    process.send_signal(signal.SIGCONT)
    assert ends(process) == (0, "yes\n", "")


@needs_proc
def test_a_worker_of_the_longest_id_is_answered(looop: Asking) -> None:
    """A worker may have an id of 64 characters, and its question be answered all the same. Source: design §3 row 9."""
    worker = "w" * 64
    process = looop.waiting(worker)
    assert looop("answer", f"{worker}-1", "yes").code == 0
    assert ends(process)[:2] == (0, "yes\n")


@needs_proc
def test_waiting_costs_next_to_nothing(looop: Asking, capsys: pytest.CaptureFixture[str]) -> None:
    """A call that waits uses no CPU, and its memory is bounded and printed. Source: design §1 promise 1."""
    process = looop.waiting("w")
    time.sleep(0.3)
    before = cpu(process.pid)
    time.sleep(1.5)
    found = dict(re.findall(r"(?m)^(Rss|Pss): +(\d+) kB", Path(f"/proc/{process.pid}/smaps_rollup").read_text()))
    with capsys.disabled():
        print(f"\n  a waiting ask: Rss {found['Rss']} kB, Pss {found['Pss']} kB", end=" ")
    assert cpu(process.pid) == before
    assert int(found["Pss"]) < 30_000


def cpu(pid: int) -> tuple[str, str]:
    """Ticks of user and system time."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[11], fields[12]
