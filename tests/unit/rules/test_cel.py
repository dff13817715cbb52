"""What a condition may say, and what becomes of one that cannot be answered."""

from time import monotonic
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looop.model.errors import Invalid
from looop.rules.cel import MAX_CHARS, VARIABLES, bindable, check, holds, sensors_named

NOBODY = {"id": "g", "alive": False, "state": None, "health": "none", "exit_code": None, "verify": None}
EMPTY: dict[str, Any] = {
    "sensor": {},
    "goal": {"id": "g", "last_acted_s": None},
    "worker": NOBODY,
    "workers": [],
    "asks": [],
    "schedules": {},
    "due": {},
    "now": 100,
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def ask(expression: str, signal: Any = None, **scope: Any) -> bool | str:
    """What `expression` says where sensor x has this signal."""
    reading = {"signal": bindable(signal), "detail": None}
    return holds(expression, EMPTY | {"sensor": {"x": reading, "a-b": reading}} | scope)


def refusal(expression: str) -> str:
    """What the author of an expression that is no condition is told."""
    with pytest.raises(Invalid) as caught:
        check(expression)
    return str(caught.value)


@pytest.mark.parametrize(
    ("expression", "signal", "expected"),
    [
        ("true", None, True),
        ("false", None, False),
        ("sensor.x.signal.failed == 0", {"failed": 0}, True),
        ("sensor.x.signal.failed > 0 && !worker.alive", {"failed": 2}, True),
        ('sensor["a-b"].signal == "up"', "up", True),
        ("sensor.x.signal == 1", 1.0, True),
        ("sensor.x.signal == null", None, True),
        ("sensor.x.signal", True, True),
        ("has(sensor.gone)", None, False),
        ("has(sensor.gone) && sensor.gone.signal > 0", None, False),
        ("sensor.x.signal.exists(row, row.state == 'red')", [{"state": "green"}, {"state": "red"}], True),
        ("sensor.x.signal.all(row, row > 0)", [1, 0], False),
        ("size(sensor.x.signal) == 2 && 'a' in sensor.x.signal", {"a": 1, "b": 2}, True),
        ("sensor.x.signal.startsWith('v1.') || sensor.x.signal.matches('^v2')", "v2.0", True),
        ("now - 40 == 60", None, True),
    ],
)
def test_conditions(expression: str, signal: Any, expected: bool) -> None:
    """Comparisons, membership, presence and bounded loops work over readings. Source: design §4."""
    assert ask(expression, signal) is expected


def test_every_documented_variable_is_known() -> None:
    """The eight variables are there, others are not. Source: design §4."""
    assert VARIABLES == ("sensor", "goal", "worker", "workers", "asks", "schedules", "due", "now")
    assert ask(" && ".join(f"type({name}) == type({name})" for name in VARIABLES)) is True
    assert "undeclared reference to 'sensors" in refusal("sensors.x.signal == 1")


@pytest.mark.parametrize(
    ("expression", "part"),
    [
        ("sensor.", "1:"),
        ("sensor.x ==", "1:"),
        ("sensor.x.signal = 1", "1:"),
        ("nope == 1", "undeclared reference to 'nope'"),
        ("now == 'text'", "no matching overload"),
        ("true || 1", "no matching overload"),
        ("frobnicate(now)", "undeclared reference"),
        ("now > 9999999999999999999999", "invalid int"),
        ("", "empty"),
        (" \n", "empty"),
        ("now", "not true or false but int"),
        ("1 + 1", "not true or false but int"),
        ("'yes'", "not true or false but string"),
        ("[true]", "not true or false but list"),
        ("(" * 100 + "true" + ")" * 100, "recursion"),
        ("true && " * 300 + "true", "at most 2000"),
    ],
)
def test_what_is_no_condition_is_refused_when_written(expression: str, part: str) -> None:
    """Syntax, unknown names, types, length and nesting are checked before anything runs. Source: design §4."""
    assert part in refusal(expression)
    assert part in ask(expression)


@pytest.mark.parametrize(
    ("expression", "hint"),
    [
        ("sensor.x.signal = 1", "equality is written =="),
        ("sensor.x.signal.a=1 && true", "equality is written =="),
        ("sensor.x.signal == 1 and true", "`and` is written &&"),
        ("true OR false", "`OR` is written ||"),
        ("not sensor.x.signal", "`not` is written !"),
        ("not(sensor.x.signal)", "`not` is written !"),
        ("sensor.my-app.signal.dirty", 'a name with a dash is written sensor["my-app"]'),
        ("sensor.x.signal.first-line == 'a'", 'a name with a dash is written sensor.x.signal["first-line"]'),
        ("schedules.a-b-c == 'due'", 'a name with a dash is written schedules["a-b-c"]'),
    ],
)
def test_common_slips_are_answered_with_the_right_way(expression: str, hint: str) -> None:
    """What people bring from other languages is recognized, and the message says how CEL spells it."""
    assert refusal(expression).endswith(f"({hint})")


@pytest.mark.parametrize(
    "expression",
    ["nope == 1", "sensor.x.signal == 'a = b' && nope", "nope == 'a and not-b.c-d'", "sensor.", "a <= b", "nope != 1"],
)
def test_hints_are_not_given_at_random(expression: str) -> None:
    """A text in quotes, and operators that are right, are no slips."""
    assert " is written " not in refusal(expression)


def test_a_refusal_is_one_line_with_the_place() -> None:
    """It names the condition, where in it, and what is wrong; a long one is cut. Source: design §4."""
    assert refusal("nope == 1") == "`nope == 1`: at 1:1: undeclared reference to 'nope' (in container '')"
    assert "\n" not in refusal("true &&").partition("`: ")[2]
    name = "n" * 1000
    assert len(refusal(name)) == len(f"`{name}`: ") + 300


def test_several_slips_are_all_named() -> None:
    """One look is enough to mend a condition."""
    text = refusal("sensor.my-app.signal = 1 and true")
    assert [part for part in ("==;", "&&;", 'sensor["my-app"])') if part not in text] == []


def test_slips_that_only_a_reading_shows() -> None:
    """A null that is compared, and a name whose dash happens to be a minus, are recognized when they are met."""
    assert "a value is null here" in str(ask("sensor.x.signal > 0"))
    assert 'sensor["my-goal"]' in str(ask("sensor.my-goal.signal == 1"))
    assert str(ask("sensor.gone.signal == 1")).endswith('"gone"')
    assert str(ask("sensor.gone.signal == schedules.a-now")).endswith('"gone"')


@pytest.mark.parametrize(
    ("expression", "named"),
    [
        ("sensor.a.signal > 0 && sensor.b_2.detail == null", {"a", "b_2"}),
        ("sensor[\"c-d\"].signal == sensor[ 'e.f' ].signal", {"c-d", "e.f"}),
        ("has(sensor.a) && sensor.a.signal == 1", set()),
        ('"c-d" in sensor && sensor["c-d"].signal == 1', set()),
        ('"a" in sensor.b.signal', {"b"}),
        ("schedules.sensor == 'sensor.a'", set()),
        ("now > 5", set()),
    ],
)
def test_the_sensors_a_condition_needs(expression: str, named: set[str]) -> None:
    """The names of sensors are found, but for those whose absence the condition provides for."""
    check(expression)
    assert sensors_named(expression) == named


def test_the_length_bound_is_exact() -> None:
    """As many characters as allowed are allowed. Source: design §4."""
    check("true" + " " * (MAX_CHARS - 4))
    assert str(MAX_CHARS + 1) in refusal("true" + " " * (MAX_CHARS - 3))


@pytest.mark.parametrize(
    ("expression", "signal", "part"),
    [
        ("1 / (now - 100) == 1", None, "divide by zero"),
        ("1 / 0 == 1", None, "divide by zero"),
        ("sensor.gone.signal == 1", None, 'there is no "gone"'),
        ("due.nightly", None, 'there is no "nightly" (the last beat saw no such schedule)'),
        ("sensor.x.signal.gone == 1", {}, '"gone"'),
        ("sensor.x.signal > 1", "text", "overload"),
        ("sensor.x.signal > 1", None, "overload"),
        ("sensor.x.signal[5] == 1", [1], "5"),
        ("9223372036854775807 + now > 0", None, "overflow"),
        ("int(sensor.x.signal) == 1", "one", "convert"),
        ("goal.last_acted_s > 60", None, "overload"),
        ("sensor.x.signal", "text", "not true or false but string"),
        ("sensor.x.signal", 1, "not true or false but int"),
        ("sensor.x.signal", None, "not true or false but null"),
    ],
)
def test_trouble_at_run_time_is_a_sentence(expression: str, signal: Any, part: str) -> None:
    """An error or an answer that is no boolean says what it is, in one line. Source: design §4."""
    answer = ask(expression, signal)
    assert isinstance(answer, str)
    assert part in answer
    assert "\n" not in answer


def test_an_error_that_does_not_matter_does_not_matter() -> None:
    """CEL's `||` and `&&` forgive an error when the other side decides. Source: design §4."""
    assert ask("sensor.gone.signal == 1 || true") is True
    assert ask("sensor.gone.signal == 1 && false") is False


@pytest.mark.parametrize(
    "expression",
    [
        "sensor.x.signal.all(a, sensor.x.signal.all(b, a + b >= 0))",
        "sensor.x.signal.exists(a, sensor.x.signal.exists(b, sensor.x.signal.exists(c, a + b + c < 0)))",
    ],
)
def test_loops_are_bounded(expression: str) -> None:
    """A condition that would run for hours ends at once and says why. Source: design §4."""
    began = monotonic()
    assert "budget" in str(ask(expression, list(range(2000))))
    assert monotonic() - began < 2


def test_a_pattern_cannot_run_away() -> None:
    """A regular expression takes linear time. Source: design §4."""
    began = monotonic()
    assert ask("sensor.x.signal.matches('^(a+)+$')", "a" * 5000 + "!") is False
    assert monotonic() - began < 2


@pytest.mark.parametrize(
    ("signal", "expression"),
    [
        (2**63, "sensor.x.signal > 9.2e18 && sensor.x.signal / 2.0 > 4.6e18"),
        (2**63 - 1, "sensor.x.signal == 9223372036854775807"),
        (-(2**63), "sensor.x.signal == -9223372036854775808"),
        (-(2**63) - 1, "sensor.x.signal < -9.2e18"),
        (10**30, "sensor.x.signal > 1"),
        (-(10**30), "sensor.x.signal < 1"),
        (10**400, "sensor.x.signal > 1e300"),
        (-(10**400), "sensor.x.signal < -1e300"),
        ({"deep": [1, {"er": 10**30}]}, "sensor.x.signal.deep[1].er > 1"),
        ([10**30], "now == 100"),
    ],
)
def test_huge_integers_can_be_compared(signal: Any, expression: str) -> None:
    """Beyond 64 bits a number keeps its sign and spoils nothing. Source: spec/edge-cases.md item 20."""
    assert ask(expression, signal) is True


def test_what_fits_is_bound_unchanged() -> None:
    """Booleans, integers, floats, text and their nesting reach the engine as they are. Source: design §4."""
    value = {"a": [True, False, None, 1, -5, 1.5, "x", 2**63 - 1, -(2**63), {"b": []}]}
    assert bindable(value) == value
    assert [type(part) for part in bindable(value)["a"]] == [type(part) for part in value["a"]]


def test_a_condition_has_no_side_effects() -> None:
    """Judging does not change what is judged. Source: design §4."""
    signal = {"a": [1, 2]}
    assert ask("sensor.x.signal.a.map(n, n + 1) == [2, 3]", signal) is True
    assert signal == {"a": [1, 2]}


@given(st.text(max_size=30) | st.text('sensor.x signal()[]"&|!<>=+0123456789', max_size=30), JSON)
def test_any_expression_over_any_value_has_an_answer(expression: str, signal: Any) -> None:
    """True, False or a sentence, whatever was written and whatever was read. Source: design §4."""
    answer = ask(expression, signal)
    assert isinstance(answer, bool) or answer
