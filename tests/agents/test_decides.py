"""Decides of a real `looop` by real agent CLIs: what is executed, what is not, what it cost, and what is left running.

The facts about each CLI are those of docs/runners.md; the rules are of issue 3 ("Streams", "Ledger and breakers").
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agents.beats import GOAL, TURN, Base, asked, billed, scenarios
from tests.agents.cli import CLIS, Options, unavailable
from tests.agents.endpoint import Endpoint
from tests.fakes.waiting import until

pytestmark = [
    pytest.mark.agents,
    pytest.mark.skipif(bool(unavailable()), reason=unavailable()),
    pytest.mark.timeout(300),
]

QUICK = ("claude", "codex", "pi")
DEADLINE_S = {"claude": 6, "codex": 6, "pi": 6, "opencode": 20}
LATE_S = 3.0
STOP_S = 2.0
CAP = 50_500
SCHEMA = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in GOAL},
    "required": list(GOAL),
    "additionalProperties": False,
}
Make = Callable[..., Base]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with Endpoint(scenarios()) as running:
        yield running


@pytest.fixture
def tag(request: pytest.FixtureRequest) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", request.node.name)


@pytest.fixture
def make(tmp_path: Path, endpoint: Endpoint, tag: str) -> Iterator[Make]:
    """Makes the base of a CLI that plays a scenario; nothing of it outlives the test."""
    made: list[Base] = []

    def build(cli: str, scenario: str, options: Options | None = None, **config: Any) -> Base:
        made.append(Base.make(tmp_path, cli, endpoint.base(scenario, tag), options, **config))
        return made[-1]

    yield build
    for base in made:
        base.end()


def used(row: dict[str, Any]) -> int:
    """All tokens of a row of the ledger."""
    return sum((row.get("tokens") or {}).values())


def assert_nothing_came_of_it(base: Base, report: dict[str, Any]) -> dict[str, Any]:
    """The attempt failed, was recorded, executed nothing and left no process. Returns its row of the ledger."""
    assert report["ending"] == "failed", report
    assert not base.acted()
    assert GOAL["journal"] not in base.journal()
    outcome = json.loads((base.bundle() / "outcome.json").read_bytes())
    assert (outcome["ending"], outcome["run_id"]) == ("failed", report["run_id"])
    assert json.loads((base.data / ".last-failure.json").read_bytes())["code"]
    until(lambda: base.left() == [], 5, "the end of every process")
    (row,) = base.rows()
    assert row["id"] == report["run_id"]
    return row


@pytest.mark.parametrize("cli", CLIS)
def test_a_decide_from_end_to_end(cli: str, make: Make, endpoint: Endpoint, tag: str) -> None:
    """The move is made and journaled; bundle, report and ledger have what the endpoint billed; nothing is left.

    Source: issue 3, real programs in CI.
    """
    base = make(cli, "act")
    report = base.beat(120)
    assert (report["ending"], report["action"], report["source"]) == ("decided", "write_goal", cli)
    assert base.acted() and base.journal().splitlines()[-1].endswith(GOAL["journal"])
    assert not (base.data / ".decision.json").exists()
    assert asked(endpoint, tag) == 2
    bundle = base.bundle()
    assert json.loads((bundle / "decision.json").read_bytes()) == GOAL
    assert {"prompt.md", "world.json", "memory.json", "stream.jsonl", "output.log", "outcome.json"} <= {
        file.name for file in bundle.iterdir()
    }
    (row,) = base.rows()
    tokens = {"input": 1300, "output": 70, "cache_read": 1300, "cache_write": 0}
    assert (row["runner"], row["id"], row["tokens"]) == (cli, report["run_id"], tokens)
    assert row["cost_usd"] > 0 and row.get("metered", True)
    assert used(row) == billed(endpoint, tag)
    until(lambda: base.left() == [], 5, "the end of every process")


ONE_REQUEST = {
    "claude": ("act", Options(schema=SCHEMA, tools=False)),
    "codex": ("act", Options(schema=SCHEMA)),
    "pi": ("act-said", Options(tools=False)),
}


@pytest.mark.parametrize("cli", ONE_REQUEST)
def test_a_decide_in_one_request(cli: str, make: Make, endpoint: Endpoint, tag: str) -> None:
    """The answer itself is the decision, by a schema (claude, codex) or in words (pi): one request, no file.

    Source: issue 3, one-request decides.
    """
    scenario, options = ONE_REQUEST[cli]
    base = make(cli, scenario, options)
    report = base.beat()
    assert (report["ending"], report["action"]) == ("decided", "write_goal"), report
    assert base.acted() and asked(endpoint, tag) == 1
    (row,) = base.rows()
    assert row["tokens"] == {"input": 1000, "output": 50, "cache_read": 200, "cache_write": 0}


BEFORE_ANY_ANSWER = {
    "err401": {"claude": "401", "codex": "401", "pi": "401", "opencode": "401"},
    "err429": {"claude": "429", "codex": "429", "pi": "429"},
    "err500": {"claude": "500", "codex": "high demand", "pi": "500"},
    "truncate": {"claude": "ECONNRESET", "codex": "stream disconnected", "pi": "terminated"},
    "garbage": {"claude": "JSON Parse error", "codex": "stream disconnected", "pi": "in JSON"},
    "html": {"claude": "empty or malformed", "codex": "stream disconnected", "pi": "Stream ended"},
    "empty": {"claude": "empty or malformed", "codex": "stream disconnected", "pi": "Stream ended"},
    "reset": {"claude": "ECONNRESET", "codex": "error sending request", "pi": "Connection error"},
}


@pytest.mark.parametrize(
    ("cli", "fault"), [(cli, fault) for fault, by_cli in BEFORE_ANY_ANSWER.items() for cli in by_cli]
)
def test_a_fault_of_the_endpoint(cli: str, fault: str, make: Make) -> None:
    """The attempt fails at once, with the CLI's own words for it, whatever its exit code; nothing was used.

    Source: issue 3, streams: exit 0 proves nothing.
    """
    base = make(cli, f"act-{fault}")
    report = base.beat(60)
    assert BEFORE_ANY_ANSWER[fault][cli] in report["reason"]
    assert used(assert_nothing_came_of_it(base, report)) == 0


@pytest.mark.parametrize("fault", ["flaky429", "flaky500", "truncate1"])
@pytest.mark.parametrize("cli", QUICK)
def test_a_passing_fault_is_got_over(cli: str, fault: str, make: Make) -> None:
    """Where the CLI tries again by itself the decide succeeds, and the error before it is no failure."""
    base = make(cli, f"act-{fault}", Options(retries=2))
    report = base.beat(60)
    assert report["ending"] == "decided", report["reason"]
    assert base.acted() and used(base.rows()[0]) > 0


BAD_ANSWERS = {
    "prose": "left no decision",
    "huge": "left no decision",
    "twojson": "trailing characters",
    "unknown": "unknown action 'launch_rocket'",
}


@pytest.mark.parametrize("answer", BAD_ANSWERS)
@pytest.mark.parametrize("cli", QUICK)
def test_an_answer_that_is_no_decision(cli: str, answer: str, make: Make, endpoint: Endpoint, tag: str) -> None:
    """Prose, 1 MB of text, two objects, an unknown action: the run ends well, the attempt fails, all is billed.

    Source: issue 3, bad input.
    """
    base = make(cli, answer)
    report = base.beat(60)
    assert BAD_ANSWERS[answer] in report["reason"]
    assert used(assert_nothing_came_of_it(base, report)) == billed(endpoint, tag)


@pytest.mark.parametrize("cli", QUICK)
def test_an_answer_that_was_cut(cli: str, make: Make, endpoint: Endpoint, tag: str) -> None:
    """At the limit of output tokens: claude writes the torso, pi refuses to, codex gives up; all is billed."""
    base = make(cli, "cutjson")
    report = base.beat(60)
    assert used(assert_nothing_came_of_it(base, report)) == billed(endpoint, tag)


@pytest.mark.parametrize("cli", QUICK)
def test_a_run_that_fails_after_it_wrote_a_decision(cli: str, make: Make) -> None:
    """The decision is not executed, now or by the next beat, and the turn before the fault is billed.

    Source: issue 3, streams: a fresh valid decision is not enough.
    """
    base = make(cli, "act-late")
    report = base.beat(60)
    row = assert_nothing_came_of_it(base, report)
    assert row["tokens"] == {"input": 1000, "output": 50, "cache_read": 200, "cache_write": 0}
    assert (base.data / ".decision.json").exists()
    (base.data / "config.json").write_text('{"tick_command": "true"}')
    base.edit_goal()
    assert "left no decision" in base.beat(60)["reason"] and not base.acted()


TOLD = {
    ("claude", "longcmd"): 1250,
    ("codex", "longcmd"): 1250,
    ("pi", "longcmd"): 1250,
    ("claude", "act-stall"): 1201,
}


@pytest.mark.parametrize(
    ("cli", "scenario"),
    [
        *((cli, scenario) for cli in QUICK for scenario in ("act-hang", "act-stall", "longcmd")),
        *(("opencode", scenario) for scenario in ("act-html", "longcmd")),
    ],
)
def test_the_deadline_ends_everything(cli: str, scenario: str, make: Make, endpoint: Endpoint, tag: str) -> None:
    """Silence before the head or in the middle, a command that does not end, a page that is asked for again and again:
    all processes of the run are gone in time, those in a session of their own too, and what the CLI had told of its use
    is in the ledger.

    Source: issue 3: deadline kill leaves no process.
    """
    base = make(cli, scenario, Options(partial=cli == "claude"))
    report = base.beat(DEADLINE_S[cli])
    assert asked(endpoint, tag) > 0, "the deadline must fall into the request"
    assert "timed out" in report["reason"]
    assert report["seconds"] < DEADLINE_S[cli] + LATE_S
    row = assert_nothing_came_of_it(base, report)
    assert used(row) == TOLD.get((cli, scenario), 0)


@pytest.mark.parametrize("cli", CLIS)
def test_a_stopped_pulse_takes_its_run_along(cli: str, make: Make) -> None:
    """SIGTERM to the pulse alone, while the agent runs a command: within 2 s nothing runs any more.

    Source: issue 3, real programs in CI.
    """
    base = make(cli, "longcmd")
    pulse = base.pulse()
    base.in_a_command(60)
    assert pulse.terminate() < STOP_S
    assert base.left() == []
    assert not base.acted() and len(base.rows()) == 1


@pytest.mark.parametrize("cli", CLIS)
def test_a_large_prompt_arrives_whole(cli: str, make: Make, endpoint: Endpoint, tag: str) -> None:
    """300 KB, in one piece and in order: no argument list could carry it. Source: issue 3, presets."""
    base = make(cli, "act")
    (base.data / "goals").mkdir()
    for number in range(100):
        words = "\n".join(f"Rule {number:03} {line:03}: keep order among the rules." for line in range(75))
        (base.data / "goals" / f"rules-{number:03}.md").write_text(words + "\n")
    report = base.beat(120, prompt_max_bytes=500_000)
    prompt = (base.bundle() / "prompt.md").read_text()
    assert report["ending"] == "decided" and report["prompt_bytes"] > 300_000
    first = next(seen for seen in endpoint.seen(tag) if seen.step == 0)
    assert any(prompt.strip() in text for text in texts(first.body))


def texts(value: Any) -> Iterator[str]:
    """Every text in a decoded body."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from texts(part)


@pytest.mark.parametrize("cli", CLIS)
def test_a_runaway_is_stopped_at_the_cap(cli: str, make: Make, endpoint: Endpoint, tag: str) -> None:
    """An agent that never ends is stopped at the first message past the cap, and nothing of it is executed; the row has
    what it used. The bounds leave room for a busy machine: `benchmarks/overshoot` measures how close it is.

    Source: design §6, issue 3.
    """
    base = make(cli, "endless", Options(partial=True), max_daily_tokens=CAP)
    report = base.beat(120)
    row = assert_nothing_came_of_it(base, report)
    assert f"of {CAP} tokens are used today" in report["reason"]
    assert CAP <= used(row) <= billed(endpoint, tag, TURN) <= CAP + 5 * sum(TURN)
    base.edit_goal()
    assert base.beat(120)["reason"] == "budget_exceeded"
    assert len(base.rows()) == 1


@pytest.mark.parametrize("cli", QUICK)
def test_a_runaway_is_stopped_at_a_cap_in_dollars(cli: str, make: Make) -> None:
    """A dollar cap stops a runaway too, by the runner's price, or by the dearest models' where none is known."""
    base = make(cli, "endless", Options(partial=True), max_daily_usd=0.1)
    report = base.beat(120)
    row = assert_nothing_came_of_it(base, report)
    assert "of 0.10 USD are spent today" in report["reason"]
    assert 0.1 <= row["cost_usd"] < 0.12


def test_the_ledger_says_who_and_what_for(make: Make) -> None:
    """The row of a runner names it and its model: codex does not say its model in its stream, its session file does."""
    base = make("codex", "act")
    base.beat()
    (row,) = base.rows()
    assert (row["runner"], row["model"], row["goal"]) == ("codex", "gpt-5.5", "scripted")
