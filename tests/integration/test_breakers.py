"""Money: what every run leaves in the ledger, what stops a run, and what lets none begin."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from looop.model.records import CostRow, OpenRun
from looop.model.usage import CostSpec, Price
from looop.runtime.clock import utc_stamp
from looop.runtime.command import Command
from tests.fakes.house import Home
from tests.fakes.waiting import gone, until

NOOP = '{"action":"noop"}'
PI = "{agent} --mode json"


@pytest.fixture
def home(root: Path) -> Home:
    made = Home(root)
    made.write("PLAYBOOK.md", "judge\n")
    return made


def step(cost: float | None, tokens: int = 1000, text: str = NOOP) -> str:
    """One message of pi with its figures, as a line of shell."""
    usage: dict[str, Any] = {"input": tokens, "output": 0, "cacheRead": 0, "cacheWrite": 0}
    usage |= {} if cost is None else {"cost": {"total": cost}}
    message = {"role": "assistant", "stopReason": "stop", "usage": usage, "content": [{"type": "text", "text": text}]}
    return "echo '" + json.dumps({"type": "message_end", "message": message}).replace("'", "") + "'\n"


SETTLED = """echo '{"type":"agent_settled"}'\n"""


def pi(home: Home, *lines: str, **config: Any) -> None:
    """A runner that speaks as pi does; 10 USD a day unless the config says otherwise."""
    home.runner("".join(lines), command=PI, name="pi", **({"max_daily_usd": None} | config))


def rows(home: Home) -> list[dict[str, Any]]:
    """The ledger."""
    path = home.root / "cost.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def spent(home: Home, usd: float, **more: Any) -> None:
    """A row of today in the ledger."""
    row = {"ts": "2026-11-21T10:00:00Z", "kind": "tick", "id": "before", "runner": "x", "cost_usd": usd} | more
    home.write("cost.jsonl", (home.root / "cost.jsonl").read_text() if (home.root / "cost.jsonl").exists() else "")
    with (home.root / "cost.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")


def today(home: Home) -> str:
    """The time of the house's clock as a row has it."""
    from looop.runtime.clock import utc_stamp

    return utc_stamp(home.clock.now())


def test_a_good_run_leaves_its_row(home: Home) -> None:
    """Tokens, dollars and the goal the move named; report, outcome and log say the same. Source: design §6."""
    goal = json.dumps({"action": "write_goal", "id": "g", "body": "x"})
    pi(home, step(0.25, 1000, "thinking"), step(0.5, 200, goal), SETTLED)
    report = home.run_beat()
    assert report.ending == "decided" and report.cost_usd == 0.75
    (row,) = rows(home)
    tokens = {"input": 1200, "output": 0, "cache_read": 0, "cache_write": 0}
    assert row == {
        "ts": today(home),
        "kind": "tick",
        "id": report.run_id,
        "runner": "pi",
        "goal": "g",
        "cost_usd": 0.75,
        "tokens": tokens,
    }
    assert home.outcome()["cost_usd"] == 0.75 and home.outcome()["tokens"] == tokens
    assert next(line for line in home.lines if line["event"] == "tick.decided")["msg"].endswith(" · $0.7500")


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        ("exit 3", "exited with 3"),
        ("kill -9 $$", "exited with 137"),
        ("exit 0", "broke off before its end mark"),
        ("sleep 60", "timed out"),
        (SETTLED + step(0.0, 0, "prose") + SETTLED, "exactly one JSON object"),
    ],
    ids=["exit", "signal", "no end mark", "deadline", "prose"],
)
def test_a_failed_run_leaves_its_row(home: Home, ending: str, reason: str) -> None:
    """What was spent before it failed is spent. Source: design §6."""
    home.furnish(tick_timeout_secs=1)
    pi(home, step(0.25, text="thinking"), ending)
    report = home.run_beat()
    assert report.ending == "failed" and reason in report.reason
    assert [row["cost_usd"] for row in rows(home)] == [0.25]


def test_exit_0_without_an_end_mark_executes_nothing(home: Home) -> None:
    """A decision of a stream that broke off does not count, not even from the file. Source: issue: streams."""
    home.write("d.json", json.dumps({"action": "write_goal", "id": "g", "body": "x"}))
    pi(home, "cp d.json .decision.json\n", step(0.1))
    assert home.run_beat().ending == "failed"
    assert not (home.root / "goals").exists()


def test_every_attempt_is_billed(home: Home) -> None:
    """What retries cost adds up in one row. Source: spec/beat.md §9.1, design §6."""
    home.furnish(runner_retries=2, runner_retry_sleep=0)
    pi(home, step(0.25), '[ $(wc -l < "$0.asked") = 3 ] || exit 1\n', SETTLED)
    assert home.run_beat().ending == "decided"
    assert [(row["cost_usd"], row["tokens"]["input"]) for row in rows(home)] == [(0.75, 3000)]


def test_a_run_that_passes_the_cap_is_stopped_with_its_group(home: Home) -> None:
    """Mid-run, at the first message past the cap; nothing is executed and the row says what it cost.

    Source: design §6.
    """
    spent(home, 9.5, ts=today(home))
    goal = json.dumps({"action": "write_goal", "id": "g", "body": "x"})
    more = "".join(step(0.2) for _ in range(20))
    pi(home, f"(sleep 60; echo late > late) & echo $! > child\n{step(0.3, text=goal)}", more + "sleep 60\n")
    report = home.run_beat()
    assert report.ending == "failed" and "10.0000 of 10.00 USD are spent today" in report.reason
    assert home.codes()[-1] == "tick.budget" and not (home.root / "goals").exists()
    cost = rows(home)[-1]["cost_usd"]
    assert cost == 0.5, "one message past what was left"
    until(lambda: gone(int((home.root / "child").read_text())), what="the end of the group")
    assert home.record(".last-failure.json")["code"] == "tick.budget"
    assert home.later(3600).reason == "budget_exceeded"


def test_tokens_have_a_cap_of_their_own(home: Home) -> None:
    """A subscription that reports 0 USD is stopped by its tokens. Source: design §6."""
    pi(home, step(0.0, 600), step(0.0, 600), "sleep 60\n", max_daily_usd=0, max_daily_tokens=1000)
    assert "1200 of 1000 tokens" in home.run_beat().reason
    assert home.later(3600).reason == "budget_exceeded" and home.asked == 1


def test_tokens_without_dollars_are_priced(home: Home) -> None:
    """By the runner's price, or dearly: a budget in dollars stops such a run, too. Source: rules/budget.py."""
    pi(home, step(None, 1_000_000), SETTLED, price=Price(input=2.0))
    assert home.run_beat().cost_usd == 2.0
    assert (rows(home)[0]["cost_usd"], rows(home)[0]["estimated"]) == (2.0, True)
    pi(home, step(None, 1_000_000), SETTLED)
    assert "15.0000" not in (report := home.run_beat(forced=True)).reason and report.ending == "failed"
    assert rows(home)[1]["cost_usd"] == 15.0


@pytest.mark.parametrize("cap", ["knob", "config", "default"])
def test_a_reached_cap_lets_no_run_begin(home: Home, cap: str) -> None:
    """Environment over config over 10 USD; it idles, says the figures, spends nothing, and opens at local midnight.

    Source: spec/edge-cases.md items 51, 55, spec/beat.md §6.5.
    """
    limit = {"knob": 2.0, "config": 3.0, "default": 10.0}[cap]
    home.furnish(**({"max_daily_usd": 2.0} if cap == "knob" else {}))
    pi(home, step(0.1), SETTLED, max_daily_usd=None if cap == "default" else 3.0)
    spent(home, limit, ts=today(home))
    report = home.run_beat()
    assert (report.ending, report.reason, home.asked) == ("idle", "budget_exceeded", 0)
    (event,) = home.events("budget_exceeded")
    assert (event["spent_usd"], event["max_daily_usd"]) == (limit, limit)
    assert "tick.budget" in home.codes() and home.bundles() == [] and home.record(".decide-ledger.json") is None
    assert home.later(86400).ending == "decided"


def test_a_reflex_needs_no_budget(home: Home) -> None:
    """What costs nothing is not held up. Source: design §4."""
    spent(home, 99.0, ts=today(home))
    pi(home, step(0.1), SETTLED)
    home.write(
        "goals/g.md", "---\nreflexes:\n  - when: 'true'\n    move: {action: run_shell, cmd: echo ran > ran}\n---\n"
    )
    assert home.run_beat().source == "reflex g#0"


@pytest.mark.parametrize("damage", ["torn", "unreadable", "negative", "tokens"])
def test_a_ledger_that_cannot_be_read_stops_spending(home: Home, damage: str) -> None:
    """With a budget in force nobody is asked, and the text says how to repair it; without one all goes on.

    Source: design §6.
    """
    pi(home, step(0.1), SETTLED)
    if damage == "unreadable":
        (home.root / "cost.jsonl").mkdir()
    elif damage == "torn":
        home.write("cost.jsonl", '{"ts":"2026-11-2')
    else:
        spent(home, -1.0 if damage == "negative" else 1.0, ts=today(home), tokens={"input": -5})
    report = home.run_beat()
    assert (report.ending, report.reason, home.asked) == ("idle", "guard_degraded", 0)
    assert "cost.jsonl" in home.lines[-1]["msg"]
    pi(home, step(0.1), SETTLED, max_daily_usd=0)
    assert home.run_beat().ending == "decided"


def test_a_row_dated_in_the_future_counts_today(home: Home) -> None:
    """A clock that was set back hides no spending. Source: design §6."""
    pi(home, step(0.1), SETTLED)
    spent(home, 11.0, ts="2099-01-01T00:00:00Z")
    assert home.run_beat().reason == "budget_exceeded"


def test_three_runs_without_a_figure_open_the_breaker(home: Home) -> None:
    """A budget that cannot see is no budget; another runner, or a declared cost, closes the breaker again.

    Source: spec/edge-cases.md item 52, design §6.
    """
    home.runner(f"echo '{NOOP}'", max_daily_usd=None)
    assert [home.run_beat(forced=True).ending for _ in range(4)] == ["decided"] * 3 + ["idle"]
    assert home.codes().count("tick.unmetered") == 3 and home.events("budget_unmetered")[0]["runner"] == "agent"
    assert [row["metered"] for row in rows(home)] == [False] * 3
    home.runner(
        f"""echo '{{"type":"bill","usd":0.125}}'; echo '{NOOP}'""", max_daily_usd=None, cost=CostSpec("bill", "/usd")
    )
    assert [home.run_beat(forced=True).ending for _ in range(4)] == ["decided"] * 4
    assert rows(home)[-1]["cost_usd"] == 0.125 and home.record(".cost-unmetered") is None


def test_a_wrapper_says_whose_events_it_prints(home: Home) -> None:
    """`events` takes the place of the command's name: the decision and the figures are read. Source: issue: streams."""
    home.runner(step(0.5) + SETTLED, max_daily_usd=None, events="pi")
    assert home.run_beat().cost_usd == 0.5


RESULT = '{"type":"result","subtype":"success","is_error":false,"total_cost_usd":%s,"result":%s}'
CLAUDE = "{agent} -p --output-format stream-json --verbose"
GOAL_MOVE = json.dumps({"action": "write_goal", "id": "g", "body": "x"})


def claude_message(number: int, tokens: int) -> str:
    """One message of claude that has used so many tokens, as a line of shell."""
    usage = {"input_tokens": tokens, "output_tokens": 0}
    event = {"type": "assistant", "message": {"id": f"m{number}", "model": "x", "usage": usage, "content": []}}
    return f"echo '{json.dumps(event)}'\n"


def test_one_attempts_dollars_do_not_hide_anothers_tokens(home: Home) -> None:
    """Each attempt is priced by itself, in the row and while it runs. Source: design §6."""
    home.furnish(runner_retries=1, runner_retry_sleep=0)
    first = claude_message(1, 100_000)
    second = f"echo '{RESULT % (0.01, json.dumps(NOOP))}'\n"
    home.runner(f'if [ $(wc -l < "$0.asked") = 1 ]; then {first} exit 1; fi\n{second}', command=CLAUDE, name="claude")
    assert home.run_beat().ending == "decided"
    assert (rows(home)[0]["cost_usd"], rows(home)[0]["estimated"]) == (1.51, True)


def test_messages_after_a_result_are_priced(home: Home) -> None:
    """A cost covers what came before it; what comes after is stopped at the cap as well. Source: design §6."""
    early = f"echo '{RESULT % (0.01, json.dumps(''))}'\n"
    more = "".join(claude_message(n, 200_000) for n in range(20))
    home.runner(early + more + "sleep 60\n", command=CLAUDE, name="claude", max_daily_usd=None)
    report = home.run_beat()
    assert report.ending == "failed" and "USD are spent today" in report.reason
    assert 10 <= rows(home)[0]["cost_usd"] <= 13.1


def test_a_last_line_without_its_end_counts(home: Home) -> None:
    """A figure past the cap in an unfinished line stops the decision, too. Source: design §6."""
    home.write("last", RESULT % (99, json.dumps(GOAL_MOVE)))
    home.runner("printf '%s' \"$(cat last)\"", command=CLAUDE, name="claude", max_daily_usd=None)
    assert home.run_beat().ending == "failed" and not (home.root / "goals").exists()
    assert rows(home)[0]["cost_usd"] == 99.0


def test_attempts_are_streams_of_their_own(home: Home) -> None:
    """What one attempt left without a line end is not the beginning of the next one's first line. Source: design §6."""
    home.furnish(runner_retries=1, runner_retry_sleep=0)
    home.write("a", RESULT % (5, '""'))
    home.write("b", RESULT % (0.01, json.dumps(NOOP)))
    home.runner(
        'if [ $(wc -l < "$0.asked") = 1 ]; then printf %s "$(cat a)"; exit 1; fi; cat b', command=CLAUDE, name="claude"
    )
    assert home.run_beat().ending == "decided" and rows(home)[0]["cost_usd"] == 5.01


def test_what_a_crash_cut_off_is_billed_from_its_stream(home: Home) -> None:
    """The row of a run whose loop died has the figures its stream named until then. Source: design §6."""
    home.runner(step(0.5) + "touch said; sleep 60\n", command=PI, name="pi")
    config = {"tick_command": home.config.tick_command, "max_daily_usd": 0}
    home.write("config.json", json.dumps(config))
    env = {**os.environ, "LOOOP_DATA_DIR": str(home.root)}
    process = subprocess.Popen([sys.executable, "-m", "looop", "beat"], env=env, stdout=subprocess.DEVNULL)
    until((home.root / "said").exists, what="the runner's words")
    until(lambda: any(path.stat().st_size for path in home.root.glob("runs/*/stream.jsonl")), what="the stream")
    process.send_signal(signal.SIGKILL)
    process.wait()
    home.runner(f"echo '{NOOP}'")
    home.run_beat(forced=True)
    assert [row.get("cost_usd") for row in rows(home)] == [0.5, None]


def test_a_row_the_ledger_did_not_take_is_owed(home: Home) -> None:
    """It is kept, no other run begins before it is in the ledger, and then it is there once. Source: design §6."""
    pi(home, "mkdir cost.jsonl\n", step(0.5), SETTLED, max_daily_usd=0)
    assert home.run_beat().ending == "decided" and home.asked == 1
    assert home.record(".open-run.json")["row"]["cost_usd"] == 0.5
    pi(home, step(0.25), SETTLED, max_daily_usd=0)
    assert home.run_beat(forced=True).ending == "blocked" and home.asked == 1
    (home.root / "cost.jsonl").rmdir()
    assert home.run_beat(forced=True).ending == "decided"
    assert [row["cost_usd"] for row in rows(home)] == [0.5, 0.25]


def test_a_silent_run_is_looked_at_each_second(home: Home) -> None:
    """A budget is checked while a runner says nothing: codex counts in a file of its own. Source: design §6."""
    ticks: list[float] = []
    home.house.setting.processes.run(
        Command(argv=("sleep", "2.5"), cwd=str(home.root)), on_tick=lambda: ticks.append(time.monotonic())
    )
    assert len(ticks) == 2


def test_an_unreadable_announcement_lets_no_command_run(home: Home) -> None:
    """Nobody can say that it is not the same command, so it is not run. Source: spec/edge-cases.md item 132."""
    os.mkfifo(home.root / ".action-wal.1-x.json")
    home.decides({"action": "run_shell", "cmd": "echo ran > ran"})
    assert home.run_beat().ending == "failed" and not (home.root / "ran").exists()


def test_a_crash_of_a_runner_is_no_blindness(home: Home) -> None:
    """A run that failed before it could name a figure does not count. Source: spec/beat.md §6.5."""
    home.runner("exit 1", max_daily_usd=None)
    for _ in range(5):
        home.later(400, forced=True)
    assert home.asked == 5 and home.record(".cost-unmetered") is None


@pytest.mark.parametrize("junk", ["{", "[]", ""])
def test_a_count_that_cannot_be_read_keeps_the_breaker_open(home: Home, junk: str) -> None:
    """Fail closed, and say what to remove. Source: design §6."""
    home.write(".cost-unmetered", junk)
    pi(home, step(0.1), SETTLED)
    assert home.run_beat().reason == "guard_degraded" and home.asked == 0
    assert ".cost-unmetered" in home.lines[-1]["msg"] and "remove it" in home.lines[-1]["msg"]


def test_a_run_cut_off_by_a_crash_gets_its_row(home: Home) -> None:
    """After kill -9 in the middle of a run the next beat ends the runner and writes what the dead one could not.

    Source: design §6.
    """
    home.write("agent.sh", "setsid sleep 60 & echo $! > child; echo $$ > pid; sleep 60\n")
    home.write("config.json", json.dumps({"tick_command": "sh agent.sh"}))
    env = {**os.environ, "LOOOP_DATA_DIR": str(home.root)}
    process = subprocess.Popen([sys.executable, "-m", "looop", "beat"], env=env, stdout=subprocess.DEVNULL)
    until(lambda: (home.root / "pid").exists() and (home.root / "pid").read_text() != "", what="the runner")
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = home.record(".open-run.json")
    pi(home, step(0.1), SETTLED)
    home.run_beat(forced=True)
    assert (rows(home)[0]["id"], rows(home)[0]["metered"]) == (left["id"], False)
    assert home.record(".open-run.json") is None and len(rows(home)) == 2
    for name in ("pid", "child"):
        until(lambda name=name: gone(int((home.root / name).read_text())), what=f"the end of the {name}")


@pytest.mark.parametrize(("earlier_s", "wanted"), [(3600, 2), (0, 1)], ids=["of another run", "its own"])
def test_a_row_of_the_same_id_is_another_runs_when_it_is_older(home: Home, earlier_s: int, wanted: int) -> None:
    """Ids are local times, which come again when the clocks go back: only the run's own row spares it another.

    Source: design §6.
    """
    now, run = home.clock.now(), "tick-20261025-023000"
    home.house.ledger.append(CostRow(ts=utc_stamp(now - earlier_s), kind="tick", id=run, runner="pi", cost_usd=1.0))
    home.house.guards.open_run(OpenRun(id=run, runner="pi", ts=now))
    home.run_beat()
    assert [row["id"] for row in rows(home)] == [run] * wanted
    assert home.record(".open-run.json") is None


def test_a_usage_limit_parks_the_runner(home: Home) -> None:
    """Nobody is asked until the reset that was printed, whatever happens; LOOOP_PARK=0 turns it off.

    Source: issue: a usage-limit message parks the decider.
    """
    until_ts = home.clock.now() + 7200
    limit = f"Claude AI usage limit reached|{until_ts}"
    home.runner(f"echo '{limit}'; exit 1")
    assert home.run_beat().ending == "failed"
    record = home.record(".parked.json")
    assert (record["until"], record["runner"]) == (until_ts, "agent")
    home.furnish()
    report = home.later(3600, forced=True)
    assert (report.ending, report.reason, home.asked) == ("idle", "parked", 1)
    assert home.events("parked")[0]["retry_in_s"] == 3600
    home.furnish(park=0)
    assert home.run_beat(forced=True).ending == "failed" and home.asked == 2
    home.furnish()
    home.runner(f"echo '{NOOP}'")
    assert home.later(3601, forced=True).ending == "decided"


@pytest.mark.parametrize("by", ["runner", "reflex"])
def test_a_goal_has_a_budget_for_life(home: Home, by: str) -> None:
    """Decides that named it and its workers count, of any day; over it no worker is started, and the figures are said.

    Source: design §6.
    """
    move = {"action": "start_worker", "id": "g", "prompt": "x"}
    if by == "reflex":
        home.write("goals/g.md", f"---\nreflexes:\n  - when: 'true'\n    move: {json.dumps(move)}\n---\n")
    pi(home, step(0.1, text=json.dumps(move)), SETTLED)
    home.write("config.json", json.dumps({"max_goal_usd": 3.0}))
    spent(home, 2.0, ts="2020-01-01T00:00:00Z", goal="g")
    spent(home, 1.5, ts="2021-01-01T00:00:00Z", goal="g", kind="worker")
    spent(home, 50.0, ts="2021-01-01T00:00:00Z", goal="other")
    report = home.run_beat()
    assert report.ending == "failed" and "goal g has cost 3." in report.reason and "of 3.00 USD" in report.reason
    home.write("config.json", json.dumps({"max_goal_usd": 4.0}))
    assert "no worker_command is configured" in home.later(400, forced=True).reason


def test_a_quiet_day_costs_nothing(home: Home) -> None:
    """24 quiet hours, a beat a minute: one decide at the start, no call and no row after it. Source: design §1."""
    pi(home, step(0.1), SETTLED)
    home.furnish(noop_ttl=0)
    home.says("s", {"signal": 1})
    home.run_beat()
    asked, before = home.asked, rows(home)
    for _ in range(24 * 60):
        assert home.later(60).ending == "idle"
    assert (home.asked, rows(home)) == (asked, before) == (1, before)
