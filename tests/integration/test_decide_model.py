"""Decides by a model API, over real HTTP: what is sent, what is kept, and how each fault ends."""

import contextlib
import json
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import pytest

import looop
from looop.config.file import Config, parse_config
from looop.runtime.proc import Processes
from tests.agents.endpoint import Endpoint
from tests.agents.local_model import serving, unavailable
from tests.agents.odd import Answer, Asked, Odd
from tests.agents.scenarios import DECISION, DECISION_TEXT, Fault, Scenario, Usage
from tests.fakes.house import Home
from tests.fakes.waiting import until

KEY = "sk-hunter2-0123456789"
PROVIDERS = ("anthropic", "openai")
SECOND = "X" * 40
WRAPPED = {"decision": {"action": "noop", "reason": "wrapped", "journal": None, "next_interval_s": None}}
SLOW = Fault("status", 429, headers=(("retry-after", "300"),))
QUOTA = Fault("status", 429, headers=(("x-should-retry", "false"),))
SCENARIOS = {
    "wrapped": Scenario([{"write": "x", "body": json.dumps(WRAPPED)}]),
    "slow429": Scenario([{"text": "never"}], SLOW),
    "quota": Scenario([{"text": "never"}], QUOTA),
    "leak": Scenario([{"write": "x", "body": json.dumps({"action": "noop", "reason": KEY})}]),
    "unmetered": Scenario([{"write": "x", "body": DECISION_TEXT, "usage": Usage(-5, 0, -1)}]),
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(map(find_spec, PROVIDERS)), reason="the SDKs are not installed: scripts/test installs them"
    ),
]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with Endpoint(SCENARIOS) as endpoint:
        yield endpoint


@pytest.fixture
def home(root: Path) -> Home:
    home = Home(root)
    home.tools.joinpath("key").write_text(KEY + "\n")
    home.tools.joinpath("key").chmod(0o600)
    return home


def asks(home: Home, provider: str, base: str, **table: Any) -> None:
    """The home's runner is this API, with its key in a file."""
    base += "/v1" if provider == "openai" else ""
    own = {"provider": provider, "model": "scripted-model", "base_url": base, "key_file": str(home.tools / "key")}
    home.config = parse_config({"runner": "m", "runners": {"m": own | table}}, str(home.root / "config.toml"))


def beat_of(home: Home, endpoint: Endpoint, provider: str, scenario: str, **table: Any) -> Any:
    asks(home, provider, endpoint.base(scenario, f"{provider}-{scenario}"), **table)
    return home.run_beat()


def row_of(home: Home) -> Any:
    (_, row), *others = home.house.ledger.read().rows
    assert not others
    return row


def no_key_in(home: Home) -> bool:
    """Whether the key is nowhere in the data dir, file names included, nor in what was said."""
    texts = [
        path.encode() + (content if isinstance(content, bytes) else b"") for path, (_, content) in home.tree().items()
    ]
    return not any(KEY.encode() in text for text in [*texts, home.said.encode()])


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(("scenario", "summary"), [("decide", "noop · scripted"), ("wrapped", "noop · wrapped")])
def test_one_request_decides(home: Home, endpoint: Endpoint, provider: str, scenario: str, summary: str) -> None:
    """The answer is the move; the bundle, the tee and the ledger hold what they hold for every runner.

    Source: the issue, "Model API decider"; design §6, §7.
    """
    report = beat_of(home, endpoint, provider, scenario)
    assert (report.ending, report.summary, report.source) == ("decided", summary, f"{provider}/scripted-model")
    (seen,) = endpoint.seen(f"{provider}-{scenario}")
    assert (home.bundles()[0] / "prompt.md").read_text() in sent_text(seen.body)
    row = row_of(home)
    assert (row.runner, row.model, row.metered) == (f"{provider}/scripted-model", "scripted-model", True)
    assert row.tokens == {"input": 1000, "output": 50, "cache_read": 200, "cache_write": 0}
    assert row.estimated and row.cost_usd == pytest.approx(0.01905)
    assert "asking" in (home.bundles()[0] / "output.log").read_text()
    assert home.outcome()["cost_usd"] == row.cost_usd
    assert no_key_in(home)


def sent_text(body: Any) -> str:
    """The user's text in a request."""
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def test_the_stable_part_is_marked_for_the_cache(home: Home, endpoint: Endpoint) -> None:
    """Instructions, constitution and PLAYBOOK stand first and are the same from beat to beat; Anthropic is told so."""
    home.write("PLAYBOOK.md", "Wäit and see.\n")
    parts = []
    for number in range(2):
        home.write("goals/g.md", f"goal {number}")
        asks(home, "anthropic", endpoint.base("decide", "cache"))
        home.later(60, forced=True)
        parts.append(endpoint.seen("cache")[-1].body["messages"][0]["content"])
    for stable, rest in parts:
        assert stable["cache_control"] == {"type": "ephemeral"} and "cache_control" not in rest
        assert stable["text"].endswith("Wäit and see.\n") and rest["text"].lstrip().startswith("=== GOALS")
    assert parts[0][0] == parts[1][0] and parts[0][1] != parts[1][1]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_prompt_of_300_kb_arrives_whole(home: Home, endpoint: Endpoint, provider: str) -> None:
    """More than an argument can hold. Source: spec/edge-cases.md item 99."""
    home.furnish(prompt_max_bytes=0)
    for number in range(40):
        home.write(f"goals/g{number:02}.md", "é" * 8000)
    assert beat_of(home, endpoint, provider, "decide", max_tokens=77).ending == "decided"
    seen = endpoint.seen(f"{provider}-decide")[-1]
    prompt = (home.bundles()[0] / "prompt.md").read_text()
    assert len(prompt.encode()) > 300_000 and sent_text(seen.body) == prompt
    assert seen.body["max_tokens"] == 77


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    ("scenario", "requests", "said"),
    [
        ("err400", 1, "HTTP 400: scripted error 400"),
        ("err401", 1, "refused the key (key_file "),
        ("err404", 1, "is 'scripted-model' a model there, and base_url right? HTTP 404"),
        ("err500", 3, "HTTP 500: scripted error 500"),
        ("err529", 3, "(asked 3 times)"),
        ("quota", 1, "HTTP 429"),
        ("slow429", 1, "it wants a pause of 300s, longer than this decide has"),
        ("html", 1, "answered with HTML, is base_url right?"),
        ("garbage", 1, "answered with something that is not JSON"),
        ("empty", 1, "gave an empty answer"),
        ("truncate", 3, "cannot reach"),
        ("reset", 3, "the connection was reset"),
    ],
)
def test_a_fault_is_one_line(
    home: Home, endpoint: Endpoint, provider: str, scenario: str, requests: int, said: str
) -> None:
    """Every fault of the endpoint fails the beat with one line that says what to do; only what may pass is retried.

    Source: the issue, "Model API decider" and "Real programs".
    """
    home.furnish(tick_timeout_secs=30)
    report = beat_of(home, endpoint, provider, scenario)
    assert report.ending == "failed" and said in report.reason and "\n" not in report.reason
    assert len(endpoint.seen(f"{provider}-{scenario}")) == requests
    assert not row_of(home).metered and home.record(".tick-backoff")["fails"] == 1
    assert "Traceback" not in home.said + (home.bundles()[0] / "output.log").read_text() and no_key_in(home)


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    ("scenario", "said"),
    [
        ("prose", "answered in prose"),
        ("cutjson", "cut off at max_tokens = 8192"),
        ("twojson", "exactly one"),
        ("unknown", "unknown action 'launch_rocket': expected one of noop, "),
        ("huge", "1000000 characters"),
    ],
)
def test_a_bad_answer_fails_and_is_paid_for(
    home: Home, endpoint: Endpoint, provider: str, scenario: str, said: str
) -> None:
    """An answer that is no decision is one line, is not asked for again, and leaves its row in the ledger.

    Source: the issue, "Bad input"; design §6.
    """
    report = beat_of(home, endpoint, provider, scenario)
    assert report.ending == "failed" and said in report.reason and "\n" not in report.reason
    assert len(endpoint.seen(f"{provider}-{scenario}")) == 1
    assert row_of(home).metered and row_of(home).tokens["input"] == 1000
    assert (home.bundles()[0] / "stream.jsonl").stat().st_size < 4096


@pytest.mark.parametrize("provider", PROVIDERS)
def test_figures_that_are_none_leave_the_run_unmetered(home: Home, endpoint: Endpoint, provider: str) -> None:
    """Negative tokens are no figure, never a credit. Source: the issue, "Bad input"."""
    assert beat_of(home, endpoint, provider, "unmetered").ending == "decided"
    assert not row_of(home).metered and row_of(home).cost_usd is None


@pytest.mark.parametrize("provider", PROVIDERS)
def test_retry_after_is_honoured(home: Home, endpoint: Endpoint, provider: str) -> None:
    """The second request comes after the second that the endpoint asked for, and its answer counts."""
    report = beat_of(home, endpoint, provider, "flaky429")
    assert report.ending == "decided" and report.seconds >= 1
    assert len(endpoint.seen(f"{provider}-flaky429")) == 2
    assert "again in 1.0s" in (home.bundles()[0] / "output.log").read_text()


def test_the_configured_price_is_taken(home: Home, endpoint: Endpoint) -> None:
    """A local server that costs nothing says so. Source: design §6."""
    price = {"input": 0, "output": 0, "cache_read": 0, "cache_write": 0}
    beat_of(home, endpoint, "openai", "decide", price=price)
    assert row_of(home).metered and row_of(home).cost_usd == 0


def test_without_a_key_none_is_sent(home: Home, endpoint: Endpoint) -> None:
    """A local endpoint needs none, and the environment's own key is not for it."""
    with Odd(lambda asked: chat(DECISION_TEXT)) as odd:
        asks(home, "openai", odd.base)
        environment(home, OPENAI_API_KEY=KEY, OPENAI_CUSTOM_HEADERS=f"x-sneak: {KEY}")
        table = {"provider": "openai", "model": "m", "base_url": f"{odd.base}/v1"}
        home.config = parse_config({"runner": "m", "runners": {"m": table}}, "c")
        assert home.run_beat().ending == "decided"
        assert KEY not in str(odd.asked[0].headers)


def environment(home: Home, **variables: str) -> None:
    """Give the home's children these variables as well."""
    setting = home.house.setting
    changed = msgspec.structs.replace(setting, env={**setting.env, **variables})
    home.house = msgspec.structs.replace(home.house, setting=changed)


def chat(content: str, **more: Any) -> Answer:
    """A whole answer of chat completions."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}
    return Answer.json({"model": "m", "choices": [choice], **more})


def test_the_key_comes_from_a_variable(home: Home) -> None:
    """It is sent, and is nowhere else: not in the command line, not in anything that is kept."""
    with Odd(lambda asked: chat(DECISION_TEXT)) as odd:
        asks(home, "openai", odd.base)
        environment(home, MY_KEY=KEY, OPENAI_LOG="debug")
        table = {"provider": "openai", "model": "m", "base_url": f"{odd.base}/v1", "key_env": "MY_KEY"}
        home.config = parse_config({"runner": "m", "runners": {"m": table}}, "c")
        assert home.run_beat().ending == "decided"
        assert odd.asked[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in (home.config.tick_command or "") and no_key_in(home)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_sends_the_key_back_is_not_believed(home: Home, endpoint: Endpoint, provider: str) -> None:
    """An endpoint that echoes its headers, and a model that says the key, put it nowhere."""

    def echo(asked: Asked) -> Answer:
        return Answer.json({"error": {"message": "y" * (185 * (len(odd.asked) - 1)) + KEY + str(asked.headers)}}, 401)

    with Odd(echo) as odd:
        asks(home, provider, odd.base)
        for number in range(2):
            assert "[the key]" in home.later(60 * number, forced=True).reason
            assert KEY in str(odd.asked[number].headers)
    assert KEY[:8] not in (home.bundles()[-1] / "stream.jsonl").read_text()
    asks(home, provider, endpoint.base("leak", f"{provider}-leak"))
    assert home.later(600, forced=True).summary == "noop · [the key]"
    assert no_key_in(home)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_redirect_is_not_followed_with_the_key(home: Home, provider: str) -> None:
    """Where the endpoint sends us is told, and nothing is sent there."""
    with Odd(lambda asked: chat(DECISION_TEXT)) as other:
        with Odd(lambda asked: Answer(307, b"", {"location": f"{other.base}/x", "content-length": "0"})) as odd:
            asks(home, provider, odd.base)
            assert f"set base_url to where it is: {other.base}/x" in home.run_beat().reason
        assert other.asked == []


def test_a_model_that_cannot_be_forced_is_offered_the_tool(home: Home) -> None:
    """One that always thinks refuses a forced tool; the same request with the tool on offer is answered."""
    refusal = {"error": {"message": "Thinking may not be enabled when tool_choice forces tool use."}}

    def answer(asked: Asked) -> Answer:
        if asked.body["tool_choice"]["type"] == "tool":
            return Answer.json(refusal, 400)
        call = {"type": "tool_use", "id": "t", "name": "decide", "input": {"decision": DECISION}}
        return Answer.json({"model": "m", "content": [{"type": "thinking", "thinking": "…"}, call], "usage": {}})

    with Odd(answer) as odd:
        asks(home, "anthropic", odd.base)
        assert home.run_beat().summary == "noop · scripted"
        assert len(odd.asked) == 2


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        (lambda body: "max_tokens" in body, "Use 'max_completion_tokens' instead of 'max_tokens'."),
        (lambda body: '"maxLength": 16384' in json.dumps(body), "failed to parse grammar"),
        (lambda body: body["response_format"]["type"] == "json_schema", "This response_format type is unavailable now"),
    ],
)
def test_a_request_bends_to_what_an_endpoint_takes(home: Home, refused: Any, words: str) -> None:
    """OpenAI-compatible endpoints differ; what one refuses is said and asked for differently, once."""

    def answer(asked: Asked) -> Answer:
        return Answer.json({"error": {"message": words}}, 400) if refused(asked.body) else chat(DECISION_TEXT)

    with Odd(answer) as odd:
        asks(home, "openai", odd.base)
        assert home.run_beat().summary == "noop · scripted"
        assert len(odd.asked) == 2
    with Odd(lambda asked: Answer.json({"error": {"message": words}}, 400)) as odd:
        asks(home, "openai", odd.base)
        assert "HTTP 400" in home.later(60, forced=True).reason
        assert len(odd.asked) == 2


def test_an_error_with_status_200_is_an_error(home: Home) -> None:
    """Some endpoints put an error into an answer that looks well."""
    with Odd(lambda asked: Answer.json({"error": {"message": "no capacity", "code": 502}})) as odd:
        asks(home, "openai", odd.base)
        assert "answered with an error: no capacity" in home.run_beat().reason


def test_a_usage_limit_parks_the_decider(home: Home) -> None:
    """A limit that names its reset is not asked again before it. Source: design §6."""
    said = {"error": {"message": "You have hit your usage limit. Try again in 2 hours.", "code": "insufficient_quota"}}
    with Odd(lambda asked: Answer.json(said, 429)) as odd:
        asks(home, "openai", odd.base)
        assert home.run_beat().ending == "failed"
        assert len(odd.asked) == 1
        home.later(3600, forced=True)
        assert len(odd.asked) == 1
        home.later(4000, forced=True)
        assert len(odd.asked) == 2


@pytest.mark.parametrize("provider", PROVIDERS)
def test_nobody_at_the_address(home: Home, provider: str) -> None:
    """Connection refused and a name that is none are told as such."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    asks(home, provider, f"http://127.0.0.1:{port}")
    assert "connection refused (asked 3 times)" in home.run_beat().reason
    asks(home, provider, "http://no-such-host.invalid")
    assert "cannot reach http://no-such-host.invalid" in home.later(60, forced=True).reason


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_a_certificate_that_nobody_vouches_for(home: Home, provider: str) -> None:
    """It is named, asking again does not help, and the key is not sent."""
    pem = home.tools / "pem"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    parts = [home.tools / "key.pem", home.tools / "cert.pem"]
    where = ["-keyout", str(parts[0]), "-out", str(parts[1]), "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*request, *where], check=True, capture_output=True)
    pem.write_bytes(b"".join(part.read_bytes() for part in parts))
    with Odd(lambda asked: chat(DECISION_TEXT), pem) as odd:
        asks(home, provider, odd.base)
        assert "its TLS certificate is not trusted (self-signed certificate)" in home.run_beat().reason
        assert odd.asked == []
    with Odd(lambda asked: chat(DECISION_TEXT)) as odd:
        asks(home, provider, odd.base.replace("http:", "https:"))
        assert "cannot reach https://127.0.0.1" in home.later(60, forced=True).reason


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_endpoint_that_says_nothing_is_given_up(home: Home, endpoint: Endpoint, provider: str) -> None:
    """The child gives up a little before its deadline, so that the reason is told."""
    home.furnish(tick_timeout_secs=8)
    report = beat_of(home, endpoint, provider, "hang")
    assert report.ending == "failed" and "gave no answer in the time that this decide has" in report.reason
    assert 5 < report.seconds < 8


@pytest.mark.parametrize("provider", PROVIDERS)
def test_at_the_deadline_no_process_is_left(home: Home, provider: str) -> None:
    """An answer that drips for ever ends with the whole group, at the deadline of every runner.

    Source: spec/edge-cases.md item 90.
    """
    home.furnish(tick_timeout_secs=4)

    def drip() -> Iterator[bytes]:
        while not odd.ending.wait(0.1):
            yield b" "

    with Odd(lambda asked: Answer(200, drip(), {"content-type": "application/json"})) as odd:
        asks(home, provider, odd.base)
        report = home.run_beat()
    assert report.ending == "failed" and "LOOOP_TICK_TIMEOUT_SECS" in report.reason
    until(lambda: not running_in(home.tools), what="the end of the child")
    assert not row_of(home).metered


def running_in(place: Path) -> list[str]:
    """The processes whose HOME is this place."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"HOME={place}".encode() in environ.read_bytes().split(b"\0"):
                found.append(str(environ))
    return found


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_missing_extra_is_one_line(home: Home, provider: str) -> None:
    """It names the command that installs it; nothing else is lost."""
    asks(home, provider, "http://127.0.0.1:9")
    bare = home.tools / "lib"
    bare.mkdir()
    for package in (msgspec, looop):
        assert package.__file__
        (bare / package.__name__).symlink_to(Path(package.__file__).parent)
    python = shlex.quote(sys.executable)
    command = (home.config.tick_command or "").replace(f"{python} ", f"PYTHONPATH={bare} {python} -S ", 1)
    home.config = msgspec.structs.replace(home.config, tick_command=command)
    report = home.run_beat()
    assert report.ending == "failed"
    assert f"the {provider} SDK is not installed: pip install 'looop[{provider}]'" in report.reason
    assert report.reason.endswith(f"scripts/install --extra {provider})")


def test_a_file_in_the_data_dir_is_no_module(home: Home, endpoint: Endpoint) -> None:
    """The child works in the data dir, where anybody may have put an `openai.py`."""
    for name in ("openai.py", "msgspec.py", "json.py"):
        home.write(name, "raise SystemExit(3)")
    assert beat_of(home, endpoint, "openai", "decide").ending == "decided"


def test_a_key_file_that_others_can_read_asks_nobody(home: Home, endpoint: Endpoint) -> None:
    """One line, and no request. Source: the issue, "Bad input"."""
    home.tools.joinpath("key").chmod(0o644)
    report = beat_of(home, endpoint, "anthropic", "bash")
    assert "is open to others (mode 0644): chmod 600" in report.reason
    assert endpoint.seen("anthropic-bash") == []


def test_another_model_is_another_runner(home: Home, endpoint: Endpoint) -> None:
    """The breaker for runs without a figure begins anew with another model. Source: design §6."""
    names = []
    for model in ("one", "two"):
        asks(home, "openai", endpoint.base("decide", "names"), model=model)
        names.append((home.config.runner, home.config.tick_command))
    assert names[0][0] == "openai/one" and names[0][1] != names[1][1]
    assert Config().api is None and isinstance(home.house.setting.processes, Processes)


@pytest.mark.local_model
@pytest.mark.timeout(300)
@pytest.mark.skipif(bool(unavailable()), reason=unavailable())
def test_a_real_model_on_this_machine_decides(home: Home) -> None:
    """A valid decision and a metered row, whichever move it is."""
    home.write("goals/tea.md", "Remind me to drink tea. Nothing else.")
    with serving() as base_url:
        asks(home, "openai", base_url.removesuffix("/v1"), model="smollm2", max_tokens=600)
        report = home.run_beat()
    assert report.source == "openai/smollm2"
    assert json.loads((home.bundles()[0] / "decision.json").read_bytes())["action"] == report.action
    row = row_of(home)
    assert row.metered and row.tokens["input"] > 1000 and row.tokens["output"] > 5
