"""A week nobody is there: the schedule goes on, each question is there once. `benchmarks/unattended.py` prints it."""

from pathlib import Path

import pytest

from tests.fakes.week import HOUR_S, Plan, Week

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def test_nine_questions_nobody_answers_stop_nothing(tmp_path: Path) -> None:
    """Nine workers ask again and again, and are started anew; every quarter of an hour is looked after, on time.

    Source: design §1 promise 4, §3 row 7; users.md, an unattended prompt must not hang the loop; ask once.
    """
    found = Week(tmp_path / "data", Plan(tool_limit_s=3 * HOUR_S, interval=900)).run()
    assert found.due == 672
    assert found.uptime >= 99, found
    assert (found.questions, found.records, found.most_copies) == (9, 9, 1), found
    assert found.calls_of_ask > 9 * 40 and found.restarts > 9 * 5, found
    assert found.model_calls == found.decides <= found.due + 30, "what is asked again wakes nobody"
