"""What was spent, as a person sees it; a worker's own report; the repair of the ledger."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.command import Looop

DAY = 86400


@pytest.fixture
def looop(tmp_path: Path) -> Looop:
    """looop over a seeded data dir."""
    return Looop(tmp_path).settle()


def stamp(ago_s: int = 0) -> str:
    """The time so many seconds ago, as a row has it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - ago_s))


def ledger(looop: Looop, *rows: dict[str, Any] | str) -> None:
    """A ledger of these rows; a text is a line as it stands."""
    whole = {"ts": stamp(), "kind": "tick", "id": "t", "runner": "claude"}
    looop.write("cost.jsonl", "".join((r if isinstance(r, str) else json.dumps(whole | r)) + "\n" for r in rows))


def test_nothing_was_spent(looop: Looop) -> None:
    """Without a ledger the limits in force are shown, and where the ledger would be.

    Source: spec/cli.md §9 cost.
    """
    said = looop("cost")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("today: 0 of 10 USD · 0 tokens · 0 runs\n")
    assert f"no run is on record yet ({looop.data}/cost.jsonl)" in said.out
    assert not (looop.data / "cost.jsonl").exists()


def test_today_against_the_limits(looop: Looop) -> None:
    """Dollars, tokens and goals stand beside their limits; what is reached is said; estimates and blind runs count.

    Source: design §6.
    """
    looop.write("config.toml", "max_daily_usd = 2\nmax_daily_tokens = 1000\nmax_goal_usd = 3\n")
    ledger(
        looop,
        {"cost_usd": 0.5, "tokens": {"input": 300, "output": 20}, "goal": "g", "estimated": True},
        {"cost_usd": 1.75, "goal": "g"},
        {"metered": False},
        {"ts": stamp(9 * DAY), "cost_usd": 4, "goal": "g"},
    )
    said = looop("cost")
    today, reached, goal = said.out.split("\n")[:3]
    assert today == "today: 2.25 of 2 USD · 320 of 1000 tokens · 3 runs (1 estimated, 1 unmetered)"
    assert reached == "! 2.2500 of 2.00 USD are spent today: nobody is asked any more today"
    assert goal == "! goal g: 6.25 of 3 USD"
    assert said.out.rstrip().endswith("total: 6.25 USD · 320 tokens · 4 runs (1 estimated, 1 unmetered)")


def test_a_goal_reaches_its_limit_in_small_sums(looop: Looop) -> None:
    """What no worker is started for any more is said to be used up. Source: design §6."""
    looop.write("config.toml", "max_goal_usd = 0.2\n")
    ledger(looop, *[{"cost_usd": 0.02, "goal": "g"}] * 10)
    assert "! goal g: 0.2 of 0.2 USD" in looop("cost").out


def test_the_tables(looop: Looop) -> None:
    """There is a table for each subject that rows name; days come in order, the rest by what it cost.

    Source: design §6.
    """
    ledger(
        looop,
        {"ts": stamp(3 * DAY), "cost_usd": 1},
        {"cost_usd": 2, "kind": "worker", "runner": "pi", "goal": "g"},
        {"cost_usd": 0.25, "goal": "h"},
    )
    out = looop("cost").out
    assert "by model" not in out
    lines = [line.split() for line in out.split("\n")]
    heads = [line[1] for line in lines if line[:1] == ["by"]]
    assert heads == ["day", "kind", "runner", "goal"]
    at = lines.index(["by", "day", "runs", "USD", "tokens"])
    assert [line[2] for line in lines[at + 1 : at + 3]] == ["1", "2.25"]
    at = lines.index(["by", "goal", "runs", "USD", "tokens"])
    assert [line[0] for line in lines[at + 1 : at + 4]] == ["g", "(none)", "h"]
    assert "█" not in out
    only = looop("cost", "--by", "runner").out
    assert "by runner" in only and "by day" not in only


def test_since(looop: Looop) -> None:
    """A duration counts back from now, a day from its midnight on; the day's own total does not depend on it.

    Source: design §8, durations.
    """
    ledger(looop, {"ts": stamp(3 * DAY), "cost_usd": 1}, {"ts": stamp(10 * DAY), "cost_usd": 2}, {"cost_usd": 4})
    assert looop("cost", "--since", "7d", "--json").json["total"]["usd"] == 5
    assert looop("cost", "--since", stamp(10 * DAY)[:10], "--json").json["total"]["usd"] == 7
    assert looop("cost", "--since", stamp(9 * DAY)[:10], "--json").json["total"]["usd"] == 5
    assert looop("cost", "--since", "1s", "--json").json["today"]["usd"] == 4
    for wrong in ("soon", "2030-02-31", "-1d"):
        said = looop("cost", "--since", wrong)
        assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)


def test_days_are_local(looop: Looop) -> None:
    """A row counts for the local day it was written on.

    Source: spec/beat.md §6.5, edge case 55.
    """
    ledger(looop, {"ts": "2026-03-01T23:30:00Z", "cost_usd": 1}, {"ts": "2026-03-02T00:30:00Z", "cost_usd": 1})
    days = [row["key"] for row in looop("cost", "--json", env={"TZ": "UTC-2"}).json["tables"]["day"]]
    assert days == ["2026-03-02"]
    since = looop("cost", "--since", "2026-03-02", "--json", env={"TZ": "UTC+2"}).json
    assert since["total"]["runs"] == 0


def test_json(looop: Looop) -> None:
    """Scripts get every figure: today, the limits, and each table.

    Source: docs/contract.md, fields of `cost --json`.
    """
    ledger(looop, {"cost_usd": 0.5, "model": "m"}, "broken")
    found = looop("cost", "--json")
    assert found.code == 0
    assert set(found.json) == {
        *("now", "since", "today", "total", "max_daily_usd", "max_daily_tokens", "max_goal_usd"),
        *("reached", "goals", "tables", "damaged", "doubts", "ledger"),
    }
    row = {"key": "m", "runs": 1, "usd": 0.5, "tokens": 0, "estimated": 0, "unmetered": 0}
    assert found.json["tables"]["model"] == [row]
    assert set(found.json["tables"]) == {"day", "kind", "runner", "model", "goal"}
    assert found.json["damaged"] == 1
    assert found.err.count("cost repair") == 1


def test_bars_only_on_a_terminal(looop: Looop) -> None:
    """On a terminal each row is drawn as well, the largest in full, and no line is wider than the terminal.

    Source: design §6, a bar chart in a terminal.
    """
    ledger(looop, {"cost_usd": 1}, {"cost_usd": 3, "runner": "pi"}, {"cost_usd": 0.001, "runner": "tiny"})
    code, text = looop.on_terminal("cost", "--by", "runner", columns=100)
    assert code == 0
    bars = {line.split()[0]: line.count("█") for line in text.split("\n") if "█" in line}
    assert bars == {"pi": 30, "claude": 10, "tiny": 1}
    _, narrow = looop.on_terminal("cost", "--by", "runner", columns=45)
    assert all(len(line.rstrip("\r")) <= 45 for line in narrow.split("\n") if "█" in line or line.startswith("by"))


NASTY = [
    "broken",
    "{",
    '{"ts": "2026-01-01T00:00:00Z"}',
    '{"ts": 5, "kind": "tick", "id": "a", "runner": "r"}',
    '{"ts": "2026-01-01T00:00:00Z", "kind": "tick", "id": "a", "runner": "r", "cost_usd": -1}',
    '{"ts": "2026-01-01T00:00:00Z", "kind": "tick", "id": "a", "runner": "r", "tokens": {"input": -5}}',
    "[" * 50_000,
    "\ud800",
]


def test_damaged_lines_are_counted(looop: Looop) -> None:
    """Whatever stands in the ledger, its good rows are shown, and the others counted with the way to repair them.

    Source: edge case 56.
    """
    text = "\n".join(NASTY).encode("utf-8", "surrogatepass") + b"\n\xff\xfe\0\n"
    looop.write("cost.jsonl", text + json.dumps({"ts": stamp(), "kind": "x", "id": "a", "runner": "r"}).encode())
    said = looop("cost")
    assert (said.code, said.err) == (0, "")
    assert f"! {len(NASTY) + 1} lines of cost.jsonl are damaged" in said.out
    assert "`looop cost repair`" in said.out
    assert "1 run" in said.out


def test_a_ledger_that_cannot_be_read(looop: Looop) -> None:
    """It is one line on stderr, for the report and for the repair.

    Source: design §6.
    """
    (looop.data / "cost.jsonl").mkdir()
    for words in (("cost",), ("cost", "--json"), ("cost", "repair"), ("cost", "add", "worker", "w", "pi", "1")):
        said = looop(*words)
        assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
        assert "cost.jsonl" in said.err


def test_a_config_that_cannot_be_read(looop: Looop) -> None:
    """What was spent is shown all the same; that the limits are not known is said.

    Source: edge case 234.
    """
    ledger(looop, {"cost_usd": 1})
    looop.write("config.toml", 'max_daily_usd = "ten"\n')
    said = looop("cost")
    assert said.code == 0
    assert "! the limits of the config are not known: " in said.out
    assert "max_daily_usd = 'ten': expected a number" in said.out


def test_a_name_from_outside_is_made_visible(looop: Looop) -> None:
    """A model's name reaches no terminal raw.

    Source: edge case 238.
    """
    ledger(looop, {"cost_usd": 1, "model": "\x1b[31mred\nline"})
    assert "\\x1b[31mred line" in looop("cost").out


@pytest.mark.parametrize("words", [("cost", "add"), ("_", "cost"), ("cost",)])
def test_a_worker_reports_its_cost(looop: Looop, words: tuple[str, ...]) -> None:
    """A row with the time, for the ledger; the reference's spelling works, too.

    Source: spec/cli.md §9 `_ cost`.
    """
    said = looop(*words, "worker", "w1", "claude", "0.42")
    assert (said.code, said.out, said.err) == (0, "noted 0.42 USD for worker w1\n", "")
    row = json.loads(looop.read("cost.jsonl"))
    assert abs(time.mktime(time.strptime(row.pop("ts"), "%Y-%m-%dT%H:%M:%SZ")) - time.mktime(time.gmtime())) < 60
    assert row == {"kind": "worker", "id": "w1", "runner": "claude", "cost_usd": 0.42}


def test_a_report_may_name_goal_and_tokens(looop: Looop) -> None:
    """Both are in the row, in the report by goal, and in the bill of the day.

    Source: design §6, per goal.
    """
    said = looop("cost", "add", "worker", "w1", "anthropic/claude", "1.5", "--goal", "g", "--tokens", "1200")
    assert said.out == "noted 1.5 USD for worker w1, goal g\n"
    found = looop("cost", "--json").json
    assert (found["today"]["usd"], found["today"]["tokens"]) == (1.5, 1200)
    assert found["tables"]["goal"][0]["key"] == "g"
    state = looop("state", "--json").json
    assert (state["spent_today_usd"], state["money"]["tokens_today"]) == (1.5, 1200)


REFUSED = [
    ("worker", "w", "pi", "0"),
    ("worker", "w", "pi", "-1"),
    ("worker", "w", "pi", "nan"),
    ("worker", "w", "pi", "inf"),
    ("worker", "w", "pi", "1e300"),
    ("worker", "w", "pi", "ten"),
    ("worker", "w", "pi", ""),
    ("worker", "w", "", "1"),
    ("worker", "w", "a\nb", "1"),
    ("worker", "../w", "pi", "1"),
    ("", "w", "pi", "1"),
    ("worker", "w", "pi", "1", "--goal", "../g"),
    ("worker", "w", "pi", "1", "--tokens", "-3"),
    ("worker", "w", "pi", "1", "--tokens", "1.5"),
    ("worker", "w", "pi"),
]


@pytest.mark.parametrize("words", REFUSED, ids=repr)
def test_a_report_that_is_none(looop: Looop, words: tuple[str, ...]) -> None:
    """Only an amount above nothing is money; whatever else is refused in a line, and nothing is written.

    Source: edge case 56.
    """
    said = looop("cost", "add", *words)
    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1), said
    assert "Traceback" not in said.err
    assert not (looop.data / "cost.jsonl").exists()


def test_repair(looop: Looop) -> None:
    """Damaged lines are set aside, which is journaled and opens the breaker again; a second repair finds nothing.

    Source: design §6, a damaged ledger.
    """
    looop.write("config.toml", 'tick_command = "echo \'{\\"action\\": \\"noop\\"}\'"\n')
    ledger(looop, {"cost_usd": 1}, "torn", "torn, too")
    stuck = looop("beat", "--json")
    assert stuck.json["reason"] == "guard_degraded"
    assert "`looop cost repair`" in stuck.err
    said = looop("cost", "repair")
    assert said.out == "cost-repair: 2 damaged lines of cost.jsonl set aside in cost.jsonl.damaged\n"
    assert looop.read("cost.jsonl.damaged") == "torn\ntorn, too\n"
    assert looop.read("journal.md").endswith(said.out)
    assert looop("beat", "--force", "--json").json["ending"] == "decided"
    assert looop("cost", "repair").out == "cost.jsonl is whole: nothing to repair\n"


def test_a_word_that_is_no_verb(looop: Looop) -> None:
    """It is refused with the verbs there are; a near word gets the right one.

    Source: spec/cli.md §1.
    """
    assert "there are add, repair" in looop("cost", "today").err
    assert "did you mean `repair`?" in looop("cost", "repiar").err
    assert "did you mean `cost`?" in looop("budget").err
