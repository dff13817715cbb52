"""`looop notify` as a process, with real services on loopback: pushed once, whatever they or we do.

Source: design §3 row 7, edge case 209.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.command import Looop
from tests.fakes.waiting import until
from tests.fakes.webhook import Answer, Webhook

SECRETS = ("s3cretpass", "t0kenpath")


class Notifying(Looop):
    """looop whose `notify` runs beside the test."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.running: list[subprocess.Popen[str]] = []
        self.settle()

    def notify(self, *words: str, batch: str = "0", ready: bool = True) -> "subprocess.Popen[str]":
        """`looop notify`, watching."""
        process = self.start("notify", "--batch", batch, *words)
        self.running.append(process)
        assert process.stderr is not None
        if ready:
            assert "questions go to" in process.stderr.readline()
        return process

    def raised(self, name: str, ts: int | None = None, **fields: Any) -> None:
        """A question of a worker, as if asked now."""
        record = {"id": name, "worker": name.rpartition("-")[0], "prompt": "May I?", "ts": ts or int(time.time())}
        self.write(f"asks/{name}.json", json.dumps(record | fields))

    def book(self) -> list[dict[str, Any]]:
        file = self.data / "notices.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def outcomes(self) -> list[str]:
        return [row["outcome"] for row in self.book()]

    def end(self) -> None:
        for process in self.running:
            process.kill()
            process.communicate()


@pytest.fixture
def looop(tmp_path: Path) -> Iterator[Notifying]:
    notifying = Notifying(tmp_path)
    yield notifying
    notifying.end()


@pytest.fixture
def hooks() -> Iterator[Callable[..., Webhook]]:
    made: list[Webhook] = []

    def hook(answers: Answer = lambda _: 200) -> Webhook:
        made.append(Webhook(answers))
        return made[-1]

    yield hook
    for one in made:
        one.close()


def ended(process: "subprocess.Popen[str]", number: int = signal.SIGTERM) -> tuple[int, str, str]:
    """Exit code, stdout, stderr after that signal."""
    process.send_signal(number)
    out, err = process.communicate(timeout=15)
    assert "Traceback" not in err
    return process.returncode, out, err


def leftovers(looop: Notifying, *words: str) -> list[str]:
    """The files below the data dir in which one of these words stands."""
    found = []
    for folder, _, names in os.walk(looop.data):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                text = file.read()
            found += [name for word in words if word.encode() in text]
    return found


@pytest.mark.slow
def test_a_question_is_pushed_once_through_the_library(looop, hooks):
    """A question reaches a service of apprise with all one needs to answer it, once, also over a restart."""
    hook = hooks()
    process = looop.notify("--to", hook.apprise)
    looop.raised("w-1", prompt="Deploy?\n\x1b[31mnow\x1b[0m", options=["yes", "no"], urgency="irreversible")
    until(lambda: looop.outcomes() == ["sending", "sent"], what="the push")
    code, out, err = ended(process)
    assert code == 0
    assert re.search(r"sent +new +json://127.0.0.1#[0-9a-f]{8} +w-1\n", out)
    again = looop.notify("--to", hook.apprise)
    looop.raised("v-1")
    until(lambda: len(hook.posts) == 2, what="the second push")
    ended(again)
    first, second = hook.posts
    assert first["title"] == "looop: w asks (irreversible)"
    assert first["message"].split("\n") == [
        "w-1 (w) · IRREVERSIBLE",
        "Deploy?",
        "now",
        "options: 1 yes · 2 no",
        "looop answer w-1 …",
    ]
    assert second["title"] == "looop: v asks"
    assert not leftovers(looop, *SECRETS)
    assert not any(secret in err for secret in SECRETS)


@pytest.mark.slow
def test_questions_within_the_window_are_one_message(looop, hooks):
    """What is raised within --batch goes together; what is answered meanwhile is left out."""
    hook = hooks()
    looop.notify("--to", hook.own, batch="2s")
    for name in ("w-1", "w-2", "v-1"):
        looop.raised(name)
    looop("answer", "w-2", "no")
    until(lambda: bool(hook.posts), what="the push")
    assert hook.asks == [["v-1", "w-1"]]


def test_what_an_own_webhook_gets_is_signed(looop, hooks):
    """The signature over time, nonce and body is by the token of the data dir, which nobody else can read."""
    from looop.contract.replies import is_signed

    hook = hooks()
    looop.raised("w-1", default="no", expires=2_000_000_000)
    assert looop("notify", "--to", hook.own, "--once").code == 0
    path, headers, body = hook.raw[0]
    post = hook.posts[0]
    token = looop.read("notify.token").strip()
    assert os.stat(looop.data / "notify.token").st_mode & 0o777 == 0o600
    assert is_signed(token, post["ts"], post["nonce"], body, headers["X-Looop-Signature"])
    assert not is_signed(token, post["ts"] + 1, post["nonce"], body, headers["X-Looop-Signature"])
    assert path == "/hook"
    assert (post["kind"], post["count"], post["reply"], post["more"]) == ("new", 1, None, [])
    assert post["asks"][0]["id"] == "w-1"
    assert post["asks"][0]["expires"] == 2_000_000_000


@pytest.mark.slow
def test_a_target_that_hangs_holds_up_no_other(looop, hooks):
    """While one service does not answer, another gets every question; the first is cut off, and not repeated."""
    hanging, well = hooks(lambda _: None), hooks()
    looop.notify("--to", hanging.own, "--to", well.own, "--timeout", "3s")
    looop.raised("w-1")
    until(lambda: len(hanging.posts) == len(well.posts) == 1, what="the first pushes")
    looop.raised("v-1")
    until(lambda: len(well.posts) == 2, 2.5, what="the second push to the one that is well")
    until(lambda: "unknown" in looop.outcomes(), what="the end of the one that hangs")
    row = next(row for row in looop.book() if row["outcome"] == "unknown")
    assert row["error"] == "no end after 3 s: it may have arrived"
    assert row["asks"] == ["w-1"]
    assert hanging.asks == [["w-1"]]


@pytest.mark.slow
def test_the_child_of_a_hanging_target_goes_with_its_group(looop, hooks):
    """At its deadline the child that delivers is killed; nothing of it is left."""
    hanging = hooks(lambda _: None)
    process = looop.notify("--to", hanging.own, "--timeout", "1s")
    looop.raised("w-1")
    until(lambda: bool(hanging.posts), what="the push")
    until(lambda: "unknown" in looop.outcomes(), what="its end")
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True)
    assert children.stdout.strip() == ""


def test_a_target_that_fails_is_tried_again(looop, hooks):
    """A 500 is a failure that is on record; the next pass but one is the first that is due again."""
    hook = hooks(lambda n: 500 if n <= 2 else 200)
    looop.raised("w-1", ts=1)
    done = looop("notify", "--to", hook.own, "--once")
    assert done.code == 1
    assert "HTTP 500" in done.out
    assert looop("notify", "--to", hook.own, "--once").out == ""
    for _ in range(2):
        looop.write("notices.jsonl", re.sub(r'"ts":\d+', '"ts":5', looop.read("notices.jsonl")))
        looop("notify", "--to", hook.own, "--once")
    assert looop.outcomes() == ["sending", "failed"] * 2 + ["sending", "sent"]
    assert hook.asks == [["w-1"]] * 3
    assert looop("notify", "--to", hook.own, "--once").out == ""


def test_a_target_that_says_no_at_length_has_failed(looop):
    """A reason of any length is still a no, which is tried again, and only its beginning is kept."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def refuse() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 500 " + b'"' * 60_000 + b"\r\nContent-Length: 0\r\n\r\n")

        threading.Thread(target=refuse, daemon=True).start()
        looop.raised("w-1")
        looop("notify", "--once", "--to", f"looop+http://127.0.0.1:{server.getsockname()[1]}/")
    assert looop.outcomes() == ["sending", "failed"]
    assert looop.book()[1]["error"].startswith('HTTP 500 """')
    assert len(looop.book()[1]["error"]) < 400


@pytest.mark.slow
def test_a_failure_through_the_library_says_why_and_no_secret(looop, hooks):
    """What apprise says of a service that answers 500 is on record, without what stands in the URL."""
    hook = hooks(lambda _: 500)
    looop.raised("w-1")
    done = looop("notify", "--to", hook.apprise, "--once", "--json")
    assert done.code == 1
    (row,) = done.json
    assert (row["outcome"], row["asks"]) == ("failed", ["w-1"])
    assert "500" in row["error"]
    assert not leftovers(looop, *SECRETS)
    assert not any(secret in done.out + done.err for secret in SECRETS)


@pytest.mark.slow
def test_killed_in_the_middle_of_a_push_it_is_not_repeated(looop, hooks):
    """kill -9 between the push's announcement and its end: after a restart the question is not pushed again."""
    hook = hooks(lambda n: None if n == 1 else 200)
    process = looop.notify("--to", hook.own)
    looop.raised("w-1")
    until(lambda: bool(hook.posts), what="the push")
    assert looop.outcomes() == ["sending"]
    process.kill()
    process.communicate()
    looop.notify("--to", hook.own)
    looop.raised("v-1")
    until(lambda: len(hook.posts) == 2, what="the next push")
    assert hook.asks == [["w-1"], ["v-1"]]


@pytest.mark.slow
def test_killed_before_the_child_was_started_the_book_knows(looop, hooks):
    """A row that only announces counts as sent: the nudge, here after a second, brings it again."""
    hook = hooks()
    looop.raised("w-1")
    row = {"ts": int(time.time()), "target": "", "kind": "new", "asks": ["w-1"], "outcome": "sending"}
    name = json.loads(looop("notify", "--to", hook.own, "--test", "--json").out)[0]["target"]
    looop.write("notices.jsonl", json.dumps(row | {"target": name}) + "\n")
    hook.posts.clear()
    quiet = looop("notify", "--to", hook.own, "--once")
    assert quiet.out == "" and "nothing is due now: the next push is in " in quiet.err
    time.sleep(1.1)
    assert looop("notify", "--to", hook.own, "--once", "--nudge", "1s").code == 0
    assert [post["kind"] for post in hook.posts] == ["nudge"]


def test_a_second_one_is_refused(looop, hooks):
    """Two that push for one data dir would push twice: the second ends at once, and says why."""
    hook = hooks()
    looop.notify("--to", hook.own)
    for words in ([], ["--once"]):
        done = looop("notify", "--to", hook.own, *words)
        assert done.code == 1
        assert "another `looop notify`" in done.err
    assert looop("notify", "--to", hook.own, "--test").code == 0


@pytest.mark.slow
def test_a_thousand_questions_are_one_message_of_bounded_size(looop, hooks):
    """1,000 asks with long prompts: one push to each service, small enough for a chat; the book knows all of them."""
    hook = hooks()
    for n in range(1000):
        looop.raised(f"w{n}-1", prompt="x" * 2000, ts=1)
    done = looop("notify", "--to", hook.own, "--to", hook.apprise, "--once")
    assert done.code == 0, done.err
    own = next(post for post in hook.posts if "asks" in post)
    chat = next(post for post in hook.posts if "message" in post)
    assert own["count"] == 1000
    assert len(own["asks"]) + len(own["more"]) == 1000
    assert max(len(body) for _, _, body in hook.raw) < 65536
    assert chat["title"] == "looop: 1000 questions"
    assert len(chat["message"]) < 2000
    assert re.search(r"and \d+ more: looop asks$", chat["message"])
    assert looop("notify", "--to", hook.own, "--to", hook.apprise, "--once").out == ""


def test_test_says_how_each_target_fared(looop, hooks):
    """--test pushes to each; one that fails makes the exit code 1. Nothing of it is in the book."""
    well, ill = hooks(), hooks(lambda _: 503)
    done = looop("notify", "--to", well.own, "--to", ill.own, "--test")
    assert done.code == 1
    assert sorted(line.split()[1] for line in done.out.splitlines()) == ["failed", "sent"]
    assert "HTTP 503" in done.out
    assert well.posts[0]["kind"] == "test"
    assert looop.book() == []


def test_targets_from_a_file(looop, hooks):
    """A file keeps the URLs out of `ps`; it must be its owner's alone, and may hold comments."""
    hook = hooks()
    file = looop.folder / "targets"
    file.write_text(f"# my hook\n\n{hook.own}\n")
    file.chmod(0o644)
    refused = looop("notify", "--to-file", str(file), "--test")
    assert refused.code == 1
    assert "chmod 600" in refused.err
    file.chmod(0o600)
    assert looop("notify", "--to-file", str(file), "--test").code == 0
    assert looop("notify", "--to-file", str(file) + "x", "--test").code == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--to URL"),
        (["--to", "s3cretpass"], "--to number 1 is no URL"),
        (["--to", "looop+http://s3cretpass@x/"], "without a user"),
        (["--to", "json://[s3cretpass"], "does not understand json://#"),
        (["json://s3cretpass@host"], "stands behind --to"),
        (["--to", "nosuch://s3cretpass/t0kenpath"], "does not understand nosuch://#"),
        (["--to", "looop+http://127.0.0.1:1/", "--quiet", "22-7"], "HH:MM-HH:MM"),
        (["--to", "looop+http://127.0.0.1:1/", "--quiet", "07:00-07:00"], "must differ"),
        (
            ["--to", "looop+http://127.0.0.1:1/", "--quiet", "22:00-07:00", "--tz", "Mars/Olympus"],
            "--tz: time zone 'Mars/Olympus' is not known",
        ),
        (["--to", "looop+http://127.0.0.1:1/", "--tz", "Etc/UTC"], "--tz belongs to --quiet"),
        (["--to", "looop+http://127.0.0.1:1/", "--allow-remote"], "--allow-remote belongs to --listen"),
        (["--to", "looop+http://127.0.0.1:1/", "--nudge", "soon"], "is not a duration"),
        (["--to", "looop+http://127.0.0.1:1/", "--listen", "x"], "expected [HOST:]PORT"),
        (["--to", "looop+http://127.0.0.1:1/", "--listen", "0.0.0.0:0"], "--allow-remote"),
        (["--listen", "0", "--once"], "leave out --once"),
    ],
)
def test_wishes_that_cannot_be_are_refused_without_a_secret(looop, words, said):
    """One line says what is wrong with the words; no part of a URL that may be a secret is in it."""
    done = looop("notify", *words)
    assert done.code == 1
    assert said in done.err
    assert done.err.count("\n") == 1
    assert not any(secret in done.err for secret in SECRETS)


def test_without_the_library_one_line_says_how_to_get_it(looop, hooks):
    """A target of apprise is refused with the way to install it; our own webhook works without."""
    hook = hooks()
    blind = (
        "import sys, importlib.util as util\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name == 'apprise' else find(name, *more)\n"
        "from looop.__main__ import main\n"
        "sys.exit(main())"
    )

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        words = (sys.executable, "-c", blind, "notify", *words)
        return subprocess.run(words, env=looop.env, capture_output=True, text=True, timeout=30)

    refused = run("--to", hook.apprise, "--test")
    assert refused.returncode == 1
    assert "pip install 'looop[notify]'" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert run("--to", hook.own, "--test").returncode == 0


def test_it_goes_on_without_a_pulse_and_says_so_once(looop, hooks):
    """No pulse runs: that is said in one sentence, and questions that come are pushed all the same."""
    hook = hooks()
    process = looop.notify("--to", hook.own)
    for n in range(1, 4):
        looop.raised(f"w-{n}")
        until(lambda n=n: len(hook.posts) == n, what="the push")
    _, _, err = ended(process)
    assert err.count("no pulse runs") == 1


def test_a_book_that_cannot_be_read_stops_the_pushes_and_nothing_else(looop, hooks):
    """Without the book nobody knows what was sent: nothing is pushed until it can be read again, and that is said."""
    hook = hooks()
    (looop.data / "notices.jsonl").mkdir()
    process = looop.notify("--to", hook.own)
    looop.raised("w-1")
    assert process.stderr is not None
    lines = [process.stderr.readline() for _ in range(2)]
    assert any("notices.jsonl" in line and "trying again" in line for line in lines)
    assert process.poll() is None
    assert hook.posts == []


def test_a_damaged_book_pushes_nothing_again(looop, hooks):
    """A book that somebody has damaged is not taken for an empty one: one line says which line of it is wrong."""
    hook = hooks()
    looop.raised("w-1")
    assert looop("notify", "--once", "--to", hook.own).code == 0
    looop.write("notices.jsonl", looop.read("notices.jsonl") + "not a row\n" + looop.read("notices.jsonl"))
    ended = looop("notify", "--once", "--to", hook.own)
    assert ended.code == 1
    assert "notices.jsonl: line 3" in ended.err
    assert ended.err.count("\n") == 1
    assert len(hook.posts) == 1


@pytest.mark.parametrize("stranded", [{"generation": 1, "key": "k"}, {}])
def test_a_book_that_shrinks_keeps_what_may_wait_again(looop, hooks, stranded):
    """Of a question that is stranded the book forgets nothing: the next session of its worker may take it over."""
    hook = hooks()
    looop.raised("w-1")
    assert looop("notify", "--once", "--to", hook.own).code == 0
    looop.raised("w-1", **stranded)
    told = looop.read("notices.jsonl")
    filler = json.dumps(json.loads(told.split("\n")[0]) | {"asks": ["v-1"], "target": "x" * 900})
    looop.write("notices.jsonl", told + (filler + "\n") * 1100)
    looop.raised("u-1")
    assert looop("notify", "--once", "--to", hook.own).code == 0
    assert (looop.data / "notices.jsonl").stat().st_size < 1 << 20
    assert any(row["asks"] == ["w-1"] for row in looop.book())


def test_quiet_hours_hold_back(looop, hooks):
    """In quiet hours nothing leaves; the local zone may be named."""
    hook = hooks()
    looop.raised("w-1")
    hour = time.gmtime().tm_hour
    quiet = f"{(hour - 2) % 24:02}:00-{(hour + 3) % 24:02}:00"
    assert looop("notify", "--to", hook.own, "--once", "--quiet", quiet, "--tz", "Etc/UTC").out == ""
    later = f"{(hour + 3) % 24:02}:00-{(hour + 5) % 24:02}:00"
    assert "sent" in looop("notify", "--to", hook.own, "--once", "--quiet", later, "--tz", "Etc/UTC").out
    assert len(hook.posts) == 1


def test_json_is_an_object_a_line(looop, hooks):
    """With --json each push is one object on a line of its own."""
    hook = hooks()
    process = looop.notify("--to", hook.own, "--json")
    looop.raised("w-1")
    assert process.stdout is not None
    row = json.loads(process.stdout.readline())
    assert (row["outcome"], row["asks"], row["kind"]) == ("sent", ["w-1"], "new")


@pytest.mark.slow
def test_idle_it_costs_next_to_nothing(looop, hooks):
    """Waiting, it uses less than one per cent of a CPU."""
    if not os.path.isdir("/proc/self"):
        pytest.skip("looks at processes in /proc")
    process = looop.notify("--to", hooks().own)
    looop.raised("w-1")
    until(lambda: "sent" in looop.outcomes(), what="the push")
    time.sleep(0.5)

    def ticks() -> int:
        with open(f"/proc/{process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before = ticks()
    time.sleep(4)
    assert ticks() - before <= 4


def test_it_goes_on_when_nobody_reads_what_it_says(looop, hooks):
    """`looop notify | head -1`: that the reader went away is no reason to push no more."""
    hook = hooks()
    process = looop.notify("--to", hook.own)
    assert process.stdout is not None
    process.stdout.close()
    for n in (1, 2, 3):
        looop.raised(f"w-{n}")
        until(lambda n=n: len(hook.posts) == n, what="the push")
    until(lambda: looop.outcomes() == ["sending", "sent"] * 3, what="the end of the last")
    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    assert "fault" not in process.stderr.read()
    process.wait(15)
