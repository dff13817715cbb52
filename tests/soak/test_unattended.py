"""A week nobody is there: the schedule goes on, each question is there once. `benchmarks/unattended.py` prints it."""

import json
from pathlib import Path

import pytest

from tests.fakes.week import DAY_S, HOUR_S, Plan, Week

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_nine_questions_nobody_answers_stop_nothing(tmp_path: Path) -> None:
    """Nine workers ask again and again, and are started anew; every quarter of an hour is looked after, on time.

    Source: design §1 promise 4, §3 row 7; users.md, an unattended prompt must not hang the loop; ask once.
    """
    found = Week(tmp_path / "data", Plan(ask_after_s=1000, tool_limit_s=3 * HOUR_S, interval=900)).run()
    assert found.due == 672
    assert found.uptime >= 99, found
    assert (found.questions, found.records, found.most_copies) == (9, 9, 1), found
    assert found.calls_of_ask > 9 * 40 and found.restarts > 9 * 5, found
    assert found.model_calls == found.decides <= found.due + found.news, "what is asked again wakes nobody"


def test_with_a_default_the_workers_go_on(tmp_path: Path) -> None:
    """Questions with a limit and a default are settled by nobody, once; each worker goes on with what it named.

    Source: design §3 row 7; users.md, a wait can expire with a stated default.
    """
    plan = Plan(tool_limit_s=3 * HOUR_S, interval=900, timeout_s=10 * HOUR_S, default="no", seconds=DAY_S)
    week = Week(tmp_path / "data", plan)
    found = week.run()
    assert found.uptime >= 99, found
    assert (found.went_on, found.records, found.most_copies) == (9, 9, 1), found
    outcomes = [json.loads(file.read_bytes()) for file in (tmp_path / "data" / "answers").glob("*.json")]
    assert [(one["outcome"], one["by"], one["answer"]) for one in outcomes] == [("expired", "nobody", "no")] * 9
