"""Questions with terms: time that runs out, a default, urgency, a refusal that is remembered, a withdrawal.

`looop ask` as a process of its own. Source: design §3 row 7, users.md rows Ask once and An unattended prompt.
"""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.command import Looop
from tests.fakes.waiting import until

Process = subprocess.Popen


class Asking(Looop):
    """looop whose `ask`s run beside the test."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.running: list[Process[str]] = []
        self.settle()

    def ask(self, *words: str, ask_id: str = "w-1", **env: str) -> "Process[str]":
        """A worker's question that is on record."""
        words = words if "--prompt" in words else (*words, "--prompt", "May I?")
        self.running.append(process := self.start("ask", *words, env=env))
        file = self.data / f"asks/{ask_id}.json"
        until(lambda: file.exists() or process.poll() is not None, what=ask_id)
        return process

    def record(self, path: str) -> Any:
        return json.loads(self.read(path))

    def events(self, name: str) -> list[Any]:
        rows = map(json.loads, self.read("events.jsonl").splitlines())
        return [row for row in rows if row["event"] == name]


def ends(process: "Process[str]", seconds: float = 20) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    out, err = process.communicate(timeout=seconds)
    assert "Traceback" not in err
    return process.returncode, out, err


@pytest.fixture
def looop(tmp_path: Path) -> Iterator[Asking]:
    made = Asking(tmp_path)
    yield made
    for process in made.running:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_when_time_is_up_the_worker_gets_its_default(looop: Asking) -> None:
    """Alone on stdout, exit code 0; stderr and the record say that nobody decided, and nobody can answer any more."""
    began = time.time()
    code, out, err = ends(looop.ask("w", "--timeout", "2s", "--default", "no"))
    assert (code, out) == (0, "no\n")
    assert err == "looop: nobody answered ask w-1 within 2s: nobody decided, this is your default\n"
    settled = looop.record("answers/w-1.json")
    assert (settled["outcome"], settled["by"], settled["answer"]) == ("expired", "nobody", "no")
    assert 0.9 < time.time() - began < 8 and settled["ts"] <= time.time()
    assert [row["default"] for row in looop.events("ask_expired")] == ["no"]
    for force in ((), ("--force",)):
        late = looop("answer", *force, "w-1", "yes")
        assert (late.code, late.out, late.err.count("\n")) == (1, "", 1)
        assert "ask w-1 expired on " in late.err and "nobody decided; the worker got its default 'no'" in late.err
    assert looop("asks").out == "no pending asks\n"


@pytest.mark.slow
def test_without_a_default_it_is_an_error(looop: Asking) -> None:
    """One line that says so, exit code 1, and the key is free for another question."""
    code, out, err = ends(looop.ask("w", "--timeout", "1s", "--key", "k"))
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "it has no default: nobody decided" in err
    assert "the worker got an error" in looop("answer", "w-1", "yes").err
    looop.ask("w", "--key", "k", ask_id="w-2")
    assert [found["id"] for found in looop("asks", "--json").json] == ["w-2"]


def test_an_answer_in_time_is_the_answer(looop: Asking) -> None:
    """Before it is due the question is like any other, and what is left of its time is shown."""
    process = looop.ask("w", "--timeout", "20m", "--default", "no", "--options", "yes,no")
    assert re.search(r"\(w · just now · expires in (20|19)m → default 'no'\): May I\?", looop("asks").out)
    assert looop("answer", "w-1", "--option", "1").out == "answered w-1\n"
    assert ends(process) == (0, "yes\n", "")


@pytest.mark.slow
def test_a_call_that_is_made_again_gets_no_more_time(looop: Asking) -> None:
    """Cut off and made again under its key, it is the same question, which is due when it was."""
    looop.ask("w", "--key", "k", "--timeout", "3s", "--default", "no").kill()
    due = looop.record("asks/w-1.json")["expires"]
    code, out, _ = ends(looop.ask("w", "--key", "k", "--timeout", "1h", "--default", "later"))
    assert (code, out, looop.record("answers/w-1.json")["ts"]) == (0, "no\n", due)


def test_a_call_that_is_made_again_in_other_terms_is_told_which_hold(looop: Asking) -> None:
    """Under its key the question is the one on record, with its time and its default: who counts on others hears it.

    Source: design §3 row 7.
    """
    looop.ask("w", "--key", "k")
    again = looop.ask("w", "--key", "k", "--timeout", "1h", "--default", "no")
    same = looop.ask("w", "--key", "k")
    time.sleep(1)
    looop("answer", "w-1", "yes")
    said = "looop: ask w-1 is on record in other terms, which hold: no time limit\n"
    assert (ends(again), ends(same)) == ((0, "yes\n", said), (0, "yes\n", ""))
    looop.ask("v", "--key", "k", "--timeout", "2h", ask_id="v-1")
    again = looop.ask("v", "--key", "k", "--timeout", "1h", "--default", "no", ask_id="v-1")
    time.sleep(1)
    looop("answer", "v-1", "yes")
    assert ends(again)[2] == "looop: ask v-1 is on record in other terms, which hold: 2h, then an error\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--default", "no"), "it needs --timeout"),
        (("--timeout", "0"), "at least 1s"),
        (("--timeout", "soon"), "'soon' is not a duration"),
        (("--timeout", "1h", "--default", " "), "--default is empty"),
        (("--timeout", "1h", "--default", "maybe", "--options", "yes,no"), "none of the options: yes, no"),
        (("--timeout", "1h", "--default", "yes", "--urgency", "irreversible"), "is no refusal"),
        (("--timeout", "1h", "--default", "no problem", "--urgency", "irreversible"), "is no refusal"),
        (
            ("--timeout", "1h", "--default", "cancel", "--urgency", "irreversible", "--options", "keep,cancel"),
            "no refusal",
        ),
        (("--urgency", "high"), "'high' is not one of"),
    ],
)
def test_bad_terms_ask_nothing(looop: Asking, words: tuple[str, ...], said: str) -> None:
    """Terms that would do harm, or nothing, are one line on stderr, and leave no record: an irreversible question can
    only expire into a no.
    """
    refused = looop("ask", "w", "--prompt", "May I?", *words)
    assert (refused.code, refused.out, refused.err.count("\n")) == (1, "", 1)
    assert said in refused.err
    assert looop("asks", "--json").json == []


def test_what_is_irreversible_says_so(looop: Asking) -> None:
    """A person sees it; it may have a no for its default, or none at all."""
    process = looop.ask("w", "--urgency", "irreversible", "--timeout", "1s", "--default", "No, not without a person.")
    assert ends(process)[:2] == (0, "No, not without a person.\n")
    looop.ask("w", "--urgency", "irreversible", ask_id="w-2")
    assert "⚑ w-2 (w · just now · IRREVERSIBLE): May I?" in looop("asks").out


@pytest.mark.slow
def test_a_refusal_is_not_asked_again(looop: Asking) -> None:
    """The same worker, in other words, and another one in the same words get the refusal at once, with its date; with a
    reason the question is asked, and the person sees both.
    """
    process = looop.ask("w", "--key", "drop", "--prompt", "Drop the table?")
    looop("answer", "w-1", "no, never")
    assert ends(process)[:2] == (0, "no, never\n")
    for words in (("w", "--prompt", "May I drop it now?"), ("v", "--prompt", "Drop the table?")):
        said = looop("ask", *words, "--key", "drop")
        assert (said.code, said.out) == (0, "no, never\n")
        assert said.err.startswith("looop: refused on 2") and said.err.endswith(
            " as ask w-1: not asked again; --again WHY asks all the same\n"
        )
    assert [row["ask_id"] for row in looop.events("ask_refused")] == ["w-1", "w-1"]
    assert [found["id"] for found in looop("asks", "--all", "--json").json if found["worker"] == "w"] == ["w-1"]
    words = ("w", "--key", "drop", "--prompt", "Drop the table?", "--again", "a backup exists")
    process = looop.ask(*words, ask_id="w-2")
    assert "asked again: a backup exists (refused on 2" in looop("asks").out
    looop("answer", "w-2", "yes")
    assert ends(process)[:2] == (0, "yes\n")
    process = looop.ask("w", "--key", "drop", "--prompt", "Drop the table?", ask_id="w-3")
    assert [found["id"] for found in looop("asks", "--json").json] == ["w-3"], "a later yes lifts the refusal"


def test_steering_rides_on_a_remembered_refusal(looop: Asking) -> None:
    """What a person told the worker meanwhile stands before it, as before any answer. Source: spec/workers.md §10."""
    process = looop.ask("w", "--key", "k")
    looop("answer", "w-1", "no")
    ends(process)
    looop.write("tells/w-1.json", '{"id": "w-1", "worker": "w", "msg": "stop it", "ts": 1}')
    assert looop("ask", "w", "--key", "k", "--prompt", "May I?").out.splitlines()[1:] == ["• stop it", "---", "no"]


def test_a_question_that_became_moot_is_withdrawn(looop: Asking) -> None:
    """The call that waits ends at once and says why; the question is settled, and its key is free.

    Source: edge case 272; design §3 row 7.
    """
    process = looop.ask("w", "--key", "k")
    assert looop("ask", "withdraw", "w-1", "--why", "done by hand").out == "withdrew w-1\n"
    code, out, err = ends(process, 5)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "ask w-1 was withdrawn by a person: done by hand" in err
    late = looop("answer", "--force", "w-1", "yes")
    assert "ask w-1 was withdrawn on 2" in late.err and "the worker waits no more" in late.err
    assert looop("ask", "withdraw", "w-1").code == 1
    looop.ask("w", "--key", "k", ask_id="w-2")
    assert [found["id"] for found in looop("asks", "--json").json] == ["w-2"]
    assert [row["by"] for row in looop.events("ask_withdrawn")] == ["person"]


def test_a_worker_withdraws_its_own_only(looop: Asking) -> None:
    """A worker takes back what it asked itself; what another has asked is for that one and for people."""
    looop.ask("w")
    refused = looop("ask", "withdraw", "w-1", env={"LOOOP_SESSION_ID": "v"})
    assert (refused.code, "ask w-1 is a question of w" in refused.err) == (1, True)
    assert looop("ask", "withdraw", "w-1", env={"LOOOP_SESSION_ID": "w"}).code == 0
    assert looop.record("answers/w-1.json")["by"] == "w"


def test_a_worker_may_have_the_name_of_the_verb(looop: Asking) -> None:
    """`ask withdraw --prompt` is a question of the worker `withdraw`; without a prompt it is the verb."""
    process = looop.ask("withdraw", "--prompt=?", "--prompt", "May I?", ask_id="withdraw-1")
    assert looop("ask", "withdraw", "withdraw-1").code == 0
    assert ends(process)[0] == 1
    assert "no ask 'x-1'" in looop("ask", "withdraw", "x-1").err


@pytest.mark.slow
def test_a_full_disk_takes_no_default(looop: Asking) -> None:
    """A settlement that cannot be written is not taken for one: the call says so, waits on, and settles it later.

    Source: edge case 240; spec/beat.md §0.
    """
    process = looop.ask("w", "--timeout", "2s", "--default", "no")
    answers = looop.data / "answers"
    answers.rename(looop.data / "away")
    answers.write_text("in the way")
    time.sleep(3)
    assert process.poll() is None
    answers.unlink()
    (looop.data / "away").rename(answers)
    code, out, err = ends(process, 20)
    assert (code, out) == (0, "no\n")
    assert looop.record("answers/w-1.json")["outcome"] == "expired"
    assert "still waiting" in err or "stays asked until that can be put on record" in err


@pytest.mark.slow
def test_a_question_that_is_cut_in_half_comes_due_all_the_same(looop: Asking) -> None:
    """The worker knows its terms by itself: the damaged record is said, and time runs out as agreed.

    Source: edge case 199.
    """
    process = looop.ask("w", "--timeout", "3s", "--default", "no")
    looop.write("asks/w-1.json", looop.read("asks/w-1.json")[:40])
    code, out, err = ends(process)
    assert (code, out) == (0, "no\n")
    assert "asks/w-1.json is not what it should be" in err
