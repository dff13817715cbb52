"""Where the kernel does not report all changes, or LOOOP_WATCH=poll says so: ask, wait and pulse look for them."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from looop.runtime import filesystem
from looop.runtime.lock import PulseLock
from tests.fakes.command import Looop
from tests.fakes.house import Home
from tests.fakes.waiting import until, watches

POLL = {"LOOOP_WATCH": "poll", "LOOOP_ASK_POLL_MS": "50", "LOOOP_WAIT_POLL_MS": "50", "LOOOP_INTERVAL": "600"}
SENTENCE = "files are looked at every {}s: LOOOP_WATCH=poll"


@pytest.fixture
def looop(tmp_path: Path) -> Looop:
    return Looop(tmp_path).settle()


@pytest.fixture
def pulse(looop: Looop) -> Iterator["subprocess.Popen[str]"]:
    """A pulse that looks, and has made its first beat."""
    process = looop.start("pulse", env=POLL)
    until((looop.data / "journal.md").exists, 20, what="the first beat")
    yield process
    process.kill()
    process.communicate()


@pytest.mark.slow
def test_an_answer_is_found_by_looking(looop: Looop) -> None:
    """`ask` says once how it watches, uses no events, and gets its answer. Source: design §3 row 6; edge case 208."""
    process = looop.start("ask", "w", "--prompt", "?", env=POLL)
    until((looop.data / "asks/w-1.json").exists, what="the question")
    time.sleep(0.5)
    assert not watches(process.pid)
    assert looop("answer", "w-1", "yes", env=POLL).code == 0
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "yes\n", f"looop: {SENTENCE.format(0.05)}\n")


@pytest.mark.slow
def test_a_question_and_a_goal_are_found_by_looking(looop: Looop) -> None:
    """`wait` says once how it watches, and finds a question and an edited goal. Source: design §3 row 6."""
    lock = PulseLock(str(looop.data))
    lock.acquire()
    for path, text, changed in (
        ("goals/new.md", "wanted", "goals"),
        ("asks/q-1.json", '{"id": "q-1", "worker": "q", "prompt": "?", "ts": 1}', "asks"),
    ):
        process = looop.start("wait", "--json", env=POLL)
        time.sleep(1)
        looop.write(path, text)
        out, err = process.communicate(timeout=10)
        assert (process.returncode, changed in json.loads(out)["changed"]) == (0, True)
        assert err == f"looop: {SENTENCE.format(0.05)}\n"
    lock.release()


@pytest.mark.slow
def test_the_pulse_looks(looop: Looop, pulse: "subprocess.Popen[str]") -> None:
    """The pulse puts on record once how it watches, and beats for an edited goal long before its interval is over.

    Source: design §3 row 6.
    """
    before = looop.read("events.jsonl").count('"tick_start"')
    time.sleep(2.5)
    looop.write("goals/new.md", "wanted")
    until(lambda: looop.read("events.jsonl").count('"tick_start"') > before, 10, "a beat")
    rows = [row for row in looop.read("events.jsonl").split("\n") if '"watch_degraded"' in row]
    assert [json.loads(row)["error"] for row in rows] == [SENTENCE.format(1)]
    assert not watches(pulse.pid)


def test_doctor_says_how_files_are_watched(looop: Looop) -> None:
    """It is well to look where that was wished for. Source: design §3 row 6."""
    for env, said in ((POLL, SENTENCE.format(1)), ({"LOOOP_WATCH": "events"}, "a changed file is noticed at once")):
        findings = looop("doctor", "--no-ask", "--json", env=env).json["findings"]
        (found,) = [finding for finding in findings if finding["subject"] == "watching"]
        assert (found["status"], found["said"]) == ("ok", said)


def test_what_the_knob_says_goes_before_the_file_system(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By itself the house looks at its file system; with `events` and `poll` it does not. Source: design §3 row 6."""
    monkeypatch.setattr(filesystem, "without_events", lambda _: "on nfs4")
    home = Home(root)
    found = [home.furnish(watch=word).setting.unwatched for word in ("auto", "events", "poll")]
    assert found == ["on nfs4", "", "LOOOP_WATCH=poll"]
