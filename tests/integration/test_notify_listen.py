"""`looop notify --listen`: a signed reply answers, once; everything else gets one line of JSON and changes nothing.

Source: design §3 row 7, edge case 200.
"""

import http.client
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from looop.contract.replies import sign
from tests.fakes.command import Looop
from tests.fakes.waiting import until
from tests.fakes.webhook import Webhook

TOKEN = "a-token-of-a-test-0123456789"


class Listening(Looop):
    """looop with a `notify --listen` beside it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.settle()
        self.write("notify.token", TOKEN + "\n", 0o600)
        self.process: subprocess.Popen[str] | None = None
        self.port = 0

    def begin(self, *words: str) -> None:
        self.process = self.start("notify", "--listen", "0", "--batch", "0", *words)
        assert self.process.stderr is not None
        found = re.search(r"http://127.0.0.1:(\d+)/answer", self.process.stderr.readline())
        assert found
        self.port = int(found.group(1))

    def end(self, number: int = signal.SIGKILL) -> str:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.communicate(timeout=15)[1]

    def raised(self, name: str, **fields: Any) -> None:
        record = {"id": name, "worker": name.rpartition("-")[0], "prompt": "May I?", "ts": int(time.time())}
        self.write(f"asks/{name}.json", json.dumps(record | fields))

    def answer_of(self, name: str) -> Any:
        file = self.data / "answers" / f"{name}.json"
        return json.loads(file.read_text())["answer"] if file.exists() else None

    def post(self, body: bytes, signature: str = "", path: str = "/answer", method: str = "POST") -> tuple[int, Any]:
        """The status and the one line that came back."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, {"X-Looop-Signature": signature})
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        assert text.count(b"\n") == 1
        assert b"Traceback" not in text
        return answer.status, json.loads(text)

    def reply(
        self, ask: str, *, ts: int | None = None, nonce: str = "", token: str = TOKEN, **said: Any
    ) -> tuple[int, Any]:
        """A reply, signed as it should be unless told otherwise."""
        ts, nonce = ts or int(time.time()), nonce or os.urandom(8).hex()
        body = json.dumps({"ask": ask, "ts": ts, "nonce": nonce, **said}).encode()
        return self.post(body, sign(token, ts, nonce, body))


@pytest.fixture
def looop(tmp_path: Path) -> Iterator[Listening]:
    listening = Listening(tmp_path)
    listening.begin()
    listening.raised("w-1", options=["yes", "no"])
    yield listening
    assert "Traceback" not in listening.end()


def test_a_signed_reply_answers(looop):
    """The answer is on record, and so is that it came this way."""
    assert looop.reply("w-1", answer="go on") == (200, {"ok": True, "message": "answered w-1"})
    assert looop.answer_of("w-1") == "go on"
    (row,) = [row for row in looop("events", "--json").json if row["event"] == "answer"]
    assert (row["ask_id"], row["by"]) == ("w-1", "notify")


def test_a_reply_may_name_an_option(looop):
    """Options are counted from one, as everywhere; what is none is refused."""
    assert looop.reply("w-1", option=3)[0] == 400
    assert looop.reply("w-1", option=2)[0] == 200
    assert looop.answer_of("w-1") == "no"


def test_a_forged_reply_changes_nothing(looop):
    """Another token, another text, no signature: 401, whatever else is right."""
    assert looop.reply("w-1", answer="x", token="another-token-of-a-test-01")[0] == 401
    ts, nonce = int(time.time()), "0123456789abcdef"
    body = json.dumps({"ask": "w-1", "answer": "yes", "ts": ts, "nonce": nonce}).encode()
    assert looop.post(body.replace(b"yes", b"no!"), sign(TOKEN, ts, nonce, body))[0] == 401
    assert looop.post(body, "")[0] == 401
    assert looop.post(body, "sha256=")[0] == 401
    assert looop.post(body, sign(TOKEN, ts + 1, nonce, body))[0] == 401
    assert looop.answer_of("w-1") is None
    assert looop.post(body, sign(TOKEN, ts, nonce, body))[0] == 200


@pytest.mark.parametrize("off", [-301, -100_000, 310, 10**15])
def test_a_stale_reply_is_refused(looop, off):
    """More than five minutes off, into the past or the future: 401."""
    status, said = looop.reply("w-1", answer="x", ts=int(time.time()) + off)
    assert (status, said["ok"]) == (401, False)
    assert looop.answer_of("w-1") is None


def test_a_replayed_reply_is_refused_also_after_a_restart(looop):
    """A nonce counts once; kill -9 and a new start do not open a hole."""
    looop.raised("v-1")
    ts, nonce = int(time.time()), "0123456789abcdef"
    assert looop.reply("w-1", answer="yes", ts=ts, nonce=nonce)[0] == 200
    os.remove(looop.data / "answers/w-1.json")
    assert looop.reply("w-1", answer="yes", ts=ts, nonce=nonce)[0] == 409
    looop.end()
    looop.begin()
    assert looop.reply("w-1", answer="yes", ts=ts, nonce=nonce)[0] == 409
    assert looop.answer_of("w-1") is None
    assert looop.reply("v-1", answer="yes")[0] == 200


def test_a_second_answer_is_refused(looop):
    """A channel that answers twice, or one that is too late: 409, and the first answer stands."""
    assert looop.reply("w-1", answer="first")[0] == 200
    assert looop.reply("w-1", answer="second")[0] == 409
    assert looop.answer_of("w-1") == "first"


def test_a_channel_that_replies_twice_at_once_wins_once(looop):
    """Of replies that come at the same time one is taken. Source: edge case 200."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as channel:
        got = list(channel.map(lambda n: looop.reply("w-1", answer=f"answer {n}")[0], range(8)))
    assert sorted(got) == [200] + [409] * 7


@pytest.mark.parametrize("outcome", ["expired", "withdrawn", "stranded"])
def test_what_nobody_waits_for_any_more_is_410(looop, outcome):
    """A question that was settled without an answer takes none."""
    looop.write("answers/w-1.json", json.dumps({"answer": "x", "ts": 1, "outcome": outcome}))
    assert looop.reply("w-1", answer="yes")[0] == 410
    assert looop.answer_of("w-1") == "x"


def test_a_nonce_that_cannot_be_put_on_record_answers_nothing(looop):
    """Without its nonce on disk a reply could be taken twice: 503, and the question stays."""
    (looop.data / ".notify-nonces.jsonl").mkdir()
    assert looop.reply("w-1", answer="yes")[0] == 503
    assert looop.answer_of("w-1") is None


def test_an_unknown_question_is_404(looop):
    """What nobody asks cannot be answered."""
    assert looop.reply("nobody-1", answer="x")[0] == 404
    assert looop.reply("nobody-1", option=1)[0] == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"\xff\xfe\x00", 400),
        (b"{", 400),
        (b"[" * 50_000, 400),
        (b'{"ask": "w-1"}', 400),
        (b'{"ask": 1, "answer": "x", "ts": 1, "nonce": "12345678"}', 400),
        (b"x" * 70_000, 413),
        (b"x" * 1_500_000, 413),
    ],
)
def test_what_is_no_reply_is_refused(looop, body, status):
    """Empty, binary, broken, nested without end, too large."""
    assert looop.post(body)[0] == status


@pytest.mark.parametrize("said", [{}, {"answer": "  "}, {"answer": "x", "option": 1}, {"option": 0}, {"option": -1}])
def test_a_genuine_reply_without_a_word_is_refused(looop, said):
    """It is signed, and says nothing, or two things."""
    assert looop.reply("w-1", **said)[0] == 400
    assert looop.answer_of("w-1") is None


def test_nothing_else_is_served(looop):
    """No other path, no other method."""
    assert looop.post(b"{}", path="/")[0] == 404
    for method in ("GET", "PUT", "DELETE"):
        assert looop.post(b"", path="/answer", method=method)[0] == 405


def test_odd_ids_are_refused(looop):
    """A path is no id."""
    assert looop.reply("../w-1", answer="x")[0] == 400


@pytest.mark.slow
def test_slow_and_half_open_clients_block_nobody_for_long(looop):
    """Forty connections that say nothing, or drip: a genuine reply gets through within their five seconds."""
    idle = [socket.create_connection(("127.0.0.1", looop.port)) for _ in range(40)]
    for one in idle[:5]:
        one.sendall(b"POST /answer HTTP/1.1\r\nContent-Length: 100\r\n\r\n{")
    began = time.monotonic()
    assert looop.reply("w-1", answer="yes")[0] == 200
    assert time.monotonic() - began < 12
    assert looop.process is not None
    with open(f"/proc/{looop.process.pid}/status", encoding="ascii") as file:
        threads = next(int(line.split()[1]) for line in file if line.startswith("Threads"))
    assert threads < 45
    for one in idle:
        one.close()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits another process, which only Linux can")
def test_a_process_without_descriptors_waits_for_some(looop):
    """Callers that come while nothing more can be opened cost no CPU, and are served once something is free."""
    assert looop.process is not None
    pid = looop.process.pid
    assert looop.post(b"")[0] == 400
    time.sleep(1.5)
    open_now = len(os.listdir(f"/proc/{pid}/fd"))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_now + 3, 4096))
    idle = [socket.create_connection(("127.0.0.1", looop.port)) for _ in range(10)]

    def ticks() -> int:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before = ticks()
    time.sleep(2)
    assert ticks() - before < 40
    for one in idle:
        one.close()
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (4096, 4096))
    assert looop.reply("w-1", answer="yes")[0] == 200


def test_a_push_names_where_replies_go(looop):
    """Who gets a push can answer it with what stands in it: a two-way channel."""
    hook = Webhook()
    try:
        looop.end()
        looop.begin("--to", hook.own)
        until(lambda: bool(hook.posts), what="the push")
        post = hook.posts[0]
        assert post["reply"] == {"url": f"http://127.0.0.1:{looop.port}/answer"}
        assert looop.reply(post["asks"][0]["id"], option=1)[0] == 200
        assert looop.answer_of("w-1") == "yes"
    finally:
        hook.close()


def test_what_was_pushed_is_no_reply(looop):
    """A push that is sent back with its own signature is not understood."""
    hook = Webhook()
    try:
        looop.end()
        looop.begin("--to", hook.own)
        until(lambda: bool(hook.posts), what="the push")
        _, headers, body = hook.raw[0]
        assert looop.post(body, headers["X-Looop-Signature"])[0] == 400
    finally:
        hook.close()


def test_the_token_is_made_once_and_kept_from_others(tmp_path):
    """Without a token one is made, readable by nobody else; one that others can read is refused."""
    looop = Listening(tmp_path)
    os.remove(looop.data / "notify.token")
    looop.begin()
    file = looop.data / "notify.token"
    token = file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    looop.end()
    looop.begin()
    looop.end()
    assert file.read_text() == token
    file.chmod(0o644)
    done = looop("notify", "--listen", "0")
    assert done.code == 1
    assert "chmod 600" in done.err
    assert token.strip() not in done.err


def test_the_port_is_taken(looop):
    """Somebody else listens there: one line says so."""
    other = Listening(looop.folder / "other")
    done = other("notify", "--listen", str(looop.port))
    assert done.code == 1
    assert "cannot listen" in done.err


@pytest.mark.skipif(not (shutil.which("openssl") and shutil.which("curl")), reason="needs openssl and curl")
def test_the_example_of_the_page_works(looop):
    """What docs/notify.md shows signs and sends a reply with nothing but curl and openssl."""
    page = Path(__file__).parents[2] / "docs/notify.md"
    blocks = re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    (script,) = [block for block in blocks if "openssl" in block]
    script = script.replace("8790", str(looop.port)).replace("release-1", "w-1")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], env=looop.env, capture_output=True, text=True, timeout=20
    )
    assert '"ok":true' in done.stdout, done.stdout + done.stderr
    assert looop.answer_of("w-1") == "yes"
