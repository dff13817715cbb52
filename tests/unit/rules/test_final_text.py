"""Finding a decision in what a runner printed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looop.rules.final_text import last_decision

NOOP = '{"action":"noop"}'
ASKED = f"Decide. Such as {NOOP} or another action. Print it as the last thing."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (NOOP, NOOP),
        (f"I decided:\n```json\n{NOOP}\n```\nBye.", NOOP),
        (
            '{"action":"noop","reason":"first"} then {"action":"noop","reason":"last"}',
            '{"action":"noop","reason":"last"}',
        ),
        (NOOP + ' {"thought":"no action here"}', NOOP),
        ('{"action":"run_shell","cmd":"echo {}"}', '{"action":"run_shell","cmd":"echo {}"}'),
        ('{ { {"action":"noop"} tail', NOOP),
        ('{{"action":"noop"}}', NOOP),
        ('set {x} and {"action": "noop"}', '{"action": "noop"}'),
        ('{"action":null}', '{"action":null}'),
        ('[{"action":"noop"}]', NOOP),
        ('was {x}, is [{"action":"noop"}]', NOOP),
        ('{"a":"{\\"action\\":\\"x\\"}"}', None),
        ('{"wrapped":{"action":"noop"}}', None),
        ('{"action":"noop"', None),
        ('{"thought":1}', None),
        ('"action"', None),
        ("", None),
    ],
)
def test_the_last_object_with_an_action(text: str, expected: str | None) -> None:
    """The last object that stands by itself and has an `action` counts, else none. Source: design §3 row 8."""
    assert last_decision(text, "") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("You asked: " + ASKED, None),
        (NOOP + " is what you showed me, then came more.", None),
        (NOOP, NOOP),
        (f"I do as in the example:\n```json\n{NOOP}\n```\n", NOOP),
        (ASKED + ' So: {"action":"noop","reason":"calm"} and that is all.', '{"action":"noop","reason":"calm"}'),
    ],
)
def test_a_prompt_that_is_printed_back_decides_nothing(text: str, expected: str | None) -> None:
    """What stands in the prompt word for word counts only as the last thing that is said. Source: design §3 row 8."""
    assert last_decision(text, ASKED) == expected


@pytest.mark.parametrize("text", ["{" * 50_000, '{"a":' * 2000, "[{" * 2000, '{"a":' + "9" * 5000 + "}"])
def test_hostile_output_is_no_decision(text: str) -> None:
    """Endless nesting and endless numbers end in None. Source: design §3 row 8."""
    assert last_decision(text, "") is None


@given(st.text(alphabet='{}[]":, aq\\\n'), st.text())
def test_what_is_found_is_part_of_the_text(noise: str, reason: str) -> None:
    """A decision after any noise without quotes left open is found whole. Source: design §3 row 8."""
    found = last_decision(noise, "")
    assert found is None or found in noise
    decision = json.dumps({"action": "noop", "reason": reason})
    assert last_decision("noise\n" + decision + "\n", "") == decision
