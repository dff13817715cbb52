"""What a goal file may declare, and what its author is told when it cannot be read."""

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looop.model.errors import Invalid
from looop.model.moves import Noop, StartWorker, WriteSchedule
from looop.rules.goals import (
    MAX_FRONT_MATTER,
    MAX_NESTING,
    GoalSpec,
    Reflex,
    declares,
    parse_goal,
    unfenced_key,
)

EXAMPLE = """---
goal: the test suite is green
done: sensor.tests.signal.failed == 0
reflexes:
  - when: sensor.tests.signal.failed > 0 && !worker.alive
    move: {action: start_worker, id: tests-green, prompt: "Pass the tests.", verify: "sh -c 'cd ~/app && make test'"}
---
Anything below is prose for the model.
"""


def front(block: str) -> str:
    """A goal with this front matter."""
    return f"---\n{block}\n---\nprose\n"


def refusal(text: str) -> str:
    """What the author of a goal that cannot be read is told."""
    with pytest.raises(Invalid) as caught:
        parse_goal(text)
    return str(caught.value)


def test_the_documented_example() -> None:
    """The example of the design is read as it stands there. Source: design §4."""
    spec = parse_goal(EXAMPLE)
    assert (spec.goal, spec.done) == ("the test suite is green", "sensor.tests.signal.failed == 0")
    move = StartWorker("tests-green", "Pass the tests.", verify="sh -c 'cd ~/app && make test'")
    assert spec.reflexes == (Reflex("sensor.tests.signal.failed > 0 && !worker.alive", move),)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "prose",
            "# Title\n---\ndone: x\n---\n",
            " ---\ndone: x\n---\n",
            "----\ndone: x\n----\n",
            "--- \n\nprose",
        ),
        *(
            "---\nonly a ruler",
            "---\n\njust prose\n\n---\nmore",
            "---\n- a\n- list\n---\n",
            "---\n---\n",
            "---\n# note\n---\n",
        ),
    ],
)
def test_prose_declares_nothing(text: str) -> None:
    """A goal without declarations is for the model, and no error. Source: design §4."""
    assert parse_goal(text) == GoalSpec()


@pytest.mark.parametrize(
    "text",
    [
        "---\ndone: 'true'\n---\nprose",
        "---\ndone: 'true'\n---",
        "---\r\ndone: 'true'\r\n---\r\nprose\r\n",
        "\ufeff---\ndone: 'true'\n---\n",
        "---  \ndone: 'true'\n---\t\n",
        "---\ndone: 'true'\n...\nprose\n---\nmore",
        "---\ndone: true\n---\n",
        "---\ndone: |-\n  true\n---\n",
        "---\ngoal: ~\nreflexes:\ndone: true\n---\n",
    ],
)
def test_front_matter_in_all_its_spellings(text: str) -> None:
    """Line ends, a byte order mark, trailing spaces and YAML styles make no difference. Source: design §4."""
    assert parse_goal(text).done == "true"


def test_only_newlines_end_a_line() -> None:
    """Other signs that split lines in Python do not close the front matter. Source: spec/edge-cases.md item 258."""
    assert "not closed" in refusal("---\ndone: 'true'\u2028---\u2028prose")
    assert "not closed" in refusal("---\ndone: 'true'\x0b---\x0bprose")


@pytest.mark.parametrize("key", ["goal", "done", "reflexes"])
def test_unclosed_front_matter_is_said(key: str) -> None:
    """What was meant as a declaration is not silently prose. Source: design §4."""
    assert refusal(f"---\n{key}: x\n\nprose") == "front matter is not closed: end it with a line `---`"


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("dnoe: x", "front matter: unknown key `dnoe`: did you mean `done`?"),
        ("reflexs: []", "front matter: unknown key `reflexs`: did you mean `reflexes`?"),
        ("title: x", "front matter: unknown key `title`: expected goal, done, reflexes"),
        ("5: x", "front matter: unknown key `5`: expected goal, done, reflexes"),
        ("reflexes: [{wen: 'true', move: {action: noop}}]", "reflex #0: unknown key `wen`: did you mean `when`?"),
        ("reflexes: [{when: 'true', then: x}]", "reflex #0: unknown key `then`: did you mean `when`?"),
    ],
)
def test_unknown_keys_get_a_suggestion(block: str, message: str) -> None:
    """A typo is not ignored: the near key is named, or those there are. Source: design §3, §4."""
    assert refusal(front(block)) == message


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("goal: 5", "front matter `goal`: expected text, got 5 (quote it)"),
        ("goal: [a]", "front matter `goal`: expected text, got ['a'] (quote it)"),
        ("goal: true", "front matter `goal`: expected text, got True (quote it)"),
        ("done: 5", "front matter `done`: expected text, got 5 (quote it)"),
        ("done: {a: b}", "front matter `done`: expected text, got {'a': 'b'} (quote it)"),
        ("reflexes: x", "front matter `reflexes`: expected a list of {when, move}"),
        ("reflexes: {when: x}", "front matter `reflexes`: expected a list of {when, move}"),
        ("reflexes: [x]", "reflex #0: expected a mapping with `when` and `move`"),
        ("done: ''", "front matter `done`: the expression is empty"),
    ],
)
def test_wrong_shapes_are_named(block: str, message: str) -> None:
    """The message says where, what was expected, and what was found. Source: design §3, §8."""
    assert refusal(front(block)) == message


@pytest.mark.parametrize("entry", ["{when: 'true'}", "{move: {action: noop}}", "{when: 'true', move: noop}", "{}"])
def test_a_reflex_needs_both_halves(entry: str) -> None:
    """Neither a condition nor a move alone is a reflex; the faulty one is counted. Source: design §4."""
    good = "{when: 'true', move: {action: noop}}"
    assert refusal(front(f"reflexes: [{good}, {entry}]")).startswith("reflex #1: expected both `when`")


@pytest.mark.parametrize(
    ("move", "parts"),
    [
        ("{action: fly}", ["reflex #0", "unknown action 'fly'", "start_worker"]),
        ("{reason: x}", ["reflex #0", "`action` is missing"]),
        ("{action: start_worker, id: w}", ["reflex #0", "start_worker", "`prompt`"]),
        ("{action: start_worker, id: ../w, prompt: p}", ["reflex #0", "'../w'"]),
        ("{action: write_schedule, name: s, in_s: '60'}", ["reflex #0", "$.in_s", "'60'"]),
        ("{action: write_schedule, name: s, every_s: 5}", ["reflex #0", "at least 60"]),
    ],
)
def test_a_move_is_checked_when_it_is_written(move: str, parts: list[str]) -> None:
    """A move that could never be made is refused before its condition holds. Source: design §4."""
    text = refusal(front(f"reflexes: [{{when: 'true', move: {move}}}]"))
    assert [part for part in parts if part not in text] == []


@pytest.mark.parametrize(
    ("block", "where"),
    [
        ("done: sensor.", "front matter `done`: `sensor.`"),
        ("done: now", "front matter `done`: `now` is not true or false"),
        ("reflexes: [{when: nope, move: {action: noop}}]", "reflex #0 `when`: `nope`"),
        ("reflexes: [{when: '1 / 0', move: {action: noop}}]", "reflex #0 `when`: `1 / 0` is not true or false"),
    ],
)
def test_conditions_are_checked_when_they_are_written(block: str, where: str) -> None:
    """A broken expression is found without any reading, and says where it stands. Source: design §4."""
    assert refusal(front(block)).startswith(where)


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ("goal: a: b", "line 2: "),
        ("done: 'true'\ngoal: 'x", "line 3: "),
        ("goal: [", "line 2: "),
        ("\tgoal: x", "line 2: "),
        ("goal: a\x01", "special characters"),
        ("--- a\n--- b", "line 3: "),
        ("? [a]\n: b", "unhashable"),
        ("5" * 5000 + ": x", "not YAML"),
    ],
)
def test_broken_yaml_says_where(block: str, part: str) -> None:
    """The line is that of the file, the opening ruler included. Source: design §4, §8."""
    text = refusal(front(block))
    assert text.startswith("front matter is not YAML: ")
    assert part in text
    assert "\n" not in text


@pytest.mark.parametrize(
    "block",
    ["done: *x", "goal: &a x\ndone: *a", "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]", "goal: &a [*a]", "<<: *x"],
)
def test_aliases_are_refused(block: str) -> None:
    """A small file cannot become a large value. Source: design §4."""
    assert "YAML alias" in refusal(front(block))


@pytest.mark.parametrize("block", ["[" * 15_000, "[" * 10_000 + "]" * 10_000, "{" * 15_000, "- " * 10_000 + "x"])
def test_deep_nesting_is_refused_at_once(block: str) -> None:
    """A small file cannot hold up the beat either. Source: design §4."""
    began = process_time()
    assert "nests more than" in refusal(front(block))
    assert process_time() - began < 2


def test_ordinary_nesting_is_fine() -> None:
    """What nobody needs is refused, what somebody may write is not. Source: design §4."""
    extra = "[" * (MAX_NESTING - 4) + "]" * (MAX_NESTING - 4)
    text = front(f"reflexes: [{{when: true, move: {{action: noop, thought: {extra}}}}}]")
    assert parse_goal(text).reflexes
    assert "nests" in refusal(text.replace("thought: [", "thought: [[").replace("]}}]", "]]}}]"))


@pytest.mark.parametrize(
    ("block", "cure"),
    [
        ("done: !!bool x", "leave it out"),
        ("done: !!timestamp x", "leave it out"),
        ("goal: !!int ''", "leave it out"),
        ("goal: !x y", "quote it"),
        ("goal: !!python/name:os.system", "leave it out"),
    ],
)
def test_tags_are_refused(block: str, cure: str) -> None:
    """Nobody needs YAML's types here, and they can do harm; a sign that was no tag is to be quoted. Design §4."""
    text = refusal(front(block))
    assert "YAML tag" in text and text.endswith(cure)


@pytest.mark.parametrize(
    "value",
    [
        "!worker.alive",
        "!sensor.x.signal.dirty",
        "!sensor.x.signal.dirty && sensor.x.signal.behind == 0",
        "!has(sensor.x)",
        "!(sensor.x.signal)",
        '!("a" in schedules)',
        '"a" in schedules',
        'schedules.a == "x: y"',
    ],
)
def test_a_condition_that_yaml_reads_otherwise_has_to_be_quoted(value: str) -> None:
    """A condition that begins like a sign of YAML is answered with the line, and with the cure. Source: design §8."""
    text = refusal(front(f"reflexes:\n  - when: {value}\n    move: {{action: noop}}"))
    assert "line 3" in text
    assert "quote " in text
    assert "leave it out" not in text
    quoted = value.replace("'", "''")
    assert parse_goal(front(f"done: '{quoted}'")).done == value


def test_half_a_character_is_refused() -> None:
    """An escape that is no text could be neither judged nor written down. Source: design §4."""
    for block in ('done: "now == \\ud800"', 'reflexes: [{when: "true", move: {action: noop, reason: "\\udfff"}}]'):
        assert "half a character" in refusal(front(block))


@pytest.mark.parametrize(
    "scalar", ["2026-01-31", "12:30", "1:2:3", "0x1F", "0777", "1_000", "yes", "off", "1.5", ".inf", "="]
)
def test_a_scalar_is_what_was_written(scalar: str) -> None:
    """Dates, times, yes and no are text, not YAML's idea of them. Source: design §4."""
    assert parse_goal(front(f"goal: {scalar}")).goal == scalar


@pytest.mark.parametrize(
    ("scalar", "value"), [("60", 60), ("3600", 3600), ("'60'", None), ("6_0", None), ("60.0", None)]
)
def test_whole_numbers_are_numbers(scalar: str, value: int | None) -> None:
    """Digits are a number in a move, everything else is not. Source: spec/edge-cases.md items 259, 260."""
    text = front(f"reflexes: [{{when: 'true', move: {{action: write_schedule, name: s, in_s: {scalar}}}}}]")
    if value is None:
        assert "$.in_s" in refusal(text)
    else:
        assert parse_goal(text).reflexes[0].move == WriteSchedule("s", in_s=value)


def test_a_boolean_condition_needs_no_quotes() -> None:
    """`when: true` and `done: false` mean what they say. Source: design §4."""
    spec = parse_goal(front("done: false\nreflexes: [{when: true, move: {action: noop}}]"))
    assert (spec.done, spec.reflexes) == ("false", (Reflex("true", Noop()),))


def test_null_is_absent() -> None:
    """An empty value declares nothing. Source: design §4."""
    assert parse_goal(front("goal:\ndone: ~\nreflexes: null")) == GoalSpec()


def test_extra_keys_of_a_move_are_ignored() -> None:
    """A move is read as in a decision. Source: spec/edge-cases.md item 111."""
    spec = parse_goal(front("reflexes: [{when: true, move: {action: noop, thought: [1]}}]"))
    assert spec.reflexes[0].move == Noop()


def test_front_matter_is_bounded() -> None:
    """As many characters as allowed pass, one more is refused with the figures. Source: design §4."""
    padding = "goal: " + "x" * (MAX_FRONT_MATTER - 6)
    assert parse_goal(front(padding)).goal
    text = refusal(front(padding + "x"))
    assert str(MAX_FRONT_MATTER) in text
    assert str(MAX_FRONT_MATTER + 1) in text


def test_prose_is_not_bounded() -> None:
    """However long the prose, the declarations are read. Source: design §4."""
    assert parse_goal(front("done: true") + "x\n" * MAX_FRONT_MATTER).done == "true"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("done: sensor.x.signal == 1\nprose", "done"),
        ("goal: all is well", "goal"),
        ("\ufeffreflexes:\n  - when: true", "reflexes"),
        ("\n\ndone: true", "done"),
        ("\n---\ndone: true\n---\n", "done"),
        (" ---\nreflexes: []\n---\n", "reflexes"),
        ("prose\ndone: true", None),
        ("done is better than perfect", None),
        ("goals: many", None),
        ("---\ndone: true\n---\n", None),
        ("---\n\nprose", None),
        ("", None),
    ],
)
def test_front_matter_without_its_fences_is_noticed(text: str, key: str | None) -> None:
    """A goal that begins with a key of front matter is prose, and can be told from prose that is meant."""
    assert unfenced_key(text) == key
    if key:
        assert parse_goal(text) == GoalSpec()


@pytest.mark.parametrize(
    ("text", "may"), [("---\ndone: true\n---\n", True), ("\ufeff---\n", True), ("--", False), ("# x\n---\n", False)]
)
def test_declaring_is_told_at_a_glance(text: str, may: bool) -> None:
    """Whether a file can have front matter is seen in its first characters; only such a file is parsed."""
    assert declares(text) is may


YAML = st.text("adeglnorsx:-[]{}'\"#&*!|>?%@`~ \n0159.\\u\t,=<_")


@given(st.text() | YAML.map(front) | st.text().map(front) | YAML.map("---\n".__add__))
def test_arbitrary_text_is_a_goal_or_invalid(text: str) -> None:
    """Whatever is in a goal file, parsing ends in declarations or in Invalid. Source: design §4."""
    try:
        assert isinstance(parse_goal(text), GoalSpec)
    except Invalid as error:
        assert str(error)


@given(st.sampled_from(["goal", "done", "reflexes", "when"]), YAML | st.from_regex(r"\A[-+0-9:.exob_TZ]{1,12}\Z"))
def test_arbitrary_values_are_a_goal_or_invalid(key: str, value: str) -> None:
    """Whatever stands behind a known key, parsing ends in declarations or in Invalid. Source: design §4."""
    for block in (f"{key}: {value}", f"reflexes: [{{{key}: {value}, move: {{action: noop, reason: {value}}}}}]"):
        try:
            assert isinstance(parse_goal(front(block)), GoalSpec)
        except Invalid as error:
            assert str(error)
