"""How a decision is read from text, and what its author is told when it cannot be."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from looop.model.decision import ACTIONS, Decision, check_move, decision_from, emitted, move_from, parse_decision
from looop.model.errors import Invalid
from looop.model.moves import (
    ArchiveGoal,
    DropSchedule,
    KillWorker,
    Move,
    Noop,
    RunShell,
    StartWorker,
    WriteGoal,
    WritePlaybook,
    WriteSchedule,
    WriteSensor,
)

FULL: list[tuple[dict[str, Any], Move]] = [
    ({"action": "noop"}, Noop()),
    ({"action": "noop", "reason": "quiet"}, Noop("quiet")),
    ({"action": "noop", "reason": None}, Noop()),
    ({"action": "run_shell", "cmd": "ls"}, RunShell("ls")),
    ({"action": "run_shell", "cmd": "ls", "reason": "look"}, RunShell("ls", "look")),
    ({"action": "write_goal", "id": "größe", "body": "b"}, WriteGoal("größe", "b")),
    ({"action": "archive_goal", "id": "g"}, ArchiveGoal("g")),
    ({"action": "write_sensor", "name": "ci", "script": "#!/bin/sh\n"}, WriteSensor("ci", "#!/bin/sh\n")),
    ({"action": "write_playbook", "body": ""}, WritePlaybook("")),
    ({"action": "start_worker", "id": "w", "prompt": "p"}, StartWorker("w", "p")),
    (
        {"action": "start_worker", "id": "w", "prompt": "p", "command": "c", "verify": "v"},
        StartWorker("w", "p", "c", "v"),
    ),
    ({"action": "kill_worker", "id": "w", "reason": "stuck"}, KillWorker("w", "stuck")),
    ({"action": "write_schedule", "name": "s", "in_s": 1}, WriteSchedule("s", in_s=1)),
    ({"action": "write_schedule", "name": "s", "every_s": 60, "note": "n"}, WriteSchedule("s", every_s=60, note="n")),
    (
        {"action": "write_schedule", "name": "s", "cron": "30 2 * * *", "tz": "Europe/Berlin", "catch_up": "all"},
        WriteSchedule("s", cron="30 2 * * *", tz="Europe/Berlin", catch_up="all"),
    ),
    ({"action": "drop_schedule", "name": "s"}, DropSchedule("s")),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def refusal(value: object) -> str:
    """What the author of a decision that cannot be used is told."""
    with pytest.raises(Invalid) as caught:
        parse_decision(value if isinstance(value, str) else json.dumps(value))
    return str(caught.value)


@pytest.mark.parametrize(("value", "move"), FULL)
def test_every_action_is_read(value: dict[str, Any], move: Move) -> None:
    """Each action with its fields becomes its move. Source: spec/beat.md §10."""
    assert parse_decision(json.dumps(value)) == Decision(move)


def test_every_action_is_tried() -> None:
    """The table above misses no action, and there are ten of them. Source: spec/beat.md §10."""
    assert {value["action"] for value, _ in FULL} == set(ACTIONS)
    assert len(ACTIONS) == 10


@pytest.mark.parametrize(
    "text",
    [
        '{"action":"noop"}',
        ' \n{"action":"noop"}\n ',
        '```json\n{"action":"noop"}\n```',
        '```\n{"action":"noop"}\n```\n',
        '```JSON5 x\r\n{"action":"noop"}\r\n```',
        '```json\n{"action":"noop"}```',
    ],
)
def test_one_fence_is_tolerated(text: str) -> None:
    """Bare JSON and JSON in one markdown fence are the same decision. Source: spec/edge-cases.md item 108."""
    assert parse_decision(text) == Decision(Noop())


@pytest.mark.parametrize(
    "text",
    [
        '```\n```json\n{"action":"noop"}\n```\n```',
        '```json\n{"action":"noop"}\n```\n```json\n{"action":"noop"}\n```',
        '```json\n{"action":"noop"}',
        '{"action":"noop"}\n```',
        '```json\n{"action":"noop"}\n```\nThat is all.',
        'I would say:\n```json\n{"action":"noop"}\n```',
        '{"action":"noop"} {"action":"noop"}',
        '{"action":"noop",}',
        "{'action':'noop'}",
        '{"action":"noop","x":NaN}',
        '\ufeff{"action":"noop"}',
        "",
        "```\n```",
        "noop",
    ],
)
def test_anything_around_or_inside_is_malformed(text: str) -> None:
    """Two fences, an open fence, prose, two objects or loose JSON are refused. Source: spec/edge-cases.md item 108."""
    assert "not JSON" in refusal(text)
    assert "exactly one JSON object" in refusal(text)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ([], "an array"),
        ("x", "a string"),
        (5, "a number"),
        (1.5, "a number"),
        (True, "a boolean"),
        (None, "null"),
        ([{"action": "noop"}], "an array"),
    ],
)
def test_only_an_object_is_a_decision(value: object, named: str) -> None:
    """What is JSON but no object is called by its name. Source: spec/edge-cases.md item 110."""
    assert refusal(json.dumps(value)) == f"the decision is {named}: expected one JSON object with an `action`"


@pytest.mark.parametrize("given_action", ["nop", "Noop", "", None, 5, True, ["noop"], {"a": 1}])
def test_unknown_action_names_it_and_the_valid_ones(given_action: object) -> None:
    """The message shows what was given and every action there is. Source: spec/edge-cases.md item 110."""
    text = refusal({"action": given_action})
    assert text == f"unknown action {given_action!r}: expected one of {', '.join(ACTIONS)}"


def test_missing_action_is_not_an_unknown_one() -> None:
    """A decision without `action` is told that it is missing, and the choice. Source: spec/edge-cases.md item 110."""
    assert refusal({"journal": "x"}) == f"`action` is missing: expected one of {', '.join(ACTIONS)}"


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ({"action": "write_goal", "id": "a"}, ["write_goal", "`body`", "(fields: id, body)"]),
        ({"action": "run_shell"}, ["run_shell", "`cmd`", "(fields: cmd, reason?)"]),
        ({"action": "write_goal", "id": 1, "body": ""}, ["write_goal", "$.id", "got 1"]),
        ({"action": "noop", "reason": ["x"]}, ["noop", "$.reason", "got ['x']", "(fields: reason?)"]),
        ({"action": "start_worker", "id": "w", "prompt": None}, ["start_worker", "$.prompt", "got None"]),
        ({"action": "write_schedule", "name": "s", "in_s": "60"}, ["write_schedule", "$.in_s", "got '60'"]),
        ({"action": "write_schedule", "name": "s", "in_s": True}, ["$.in_s", "got True"]),
        ({"action": "write_schedule", "name": "s", "every_s": 60.0}, ["$.every_s", "got 60.0"]),
        ({"action": "write_schedule", "name": "s", "cron": 5}, ["$.cron", "got 5"]),
        ({"action": "drop_schedule"}, ["drop_schedule", "`name`", "(fields: name)"]),
    ],
)
def test_a_bad_field_is_named_with_its_value(value: dict[str, Any], parts: list[str]) -> None:
    """The message names action, field, value and the fields there are. Source: spec/edge-cases.md items 110, 260."""
    text = refusal(value)
    assert [part for part in parts if part not in text] == []


def test_a_long_value_is_shown_in_part() -> None:
    """A megabyte where a name was expected does not become a megabyte of message."""
    text = refusal({"action": "write_goal", "id": ["x" * 1000], "body": ""})
    assert "['xxx" in text
    assert "…" in text
    assert len(text) < 300


@pytest.mark.parametrize("text", ["../x", ".x", "a b", "a/b", "a\\b", "", "a\x00", "x" * 65])
@pytest.mark.parametrize(
    ("action", "field", "kind"),
    [
        ("write_goal", "id", "goal"),
        ("archive_goal", "id", "archive"),
        ("write_sensor", "name", "sensor"),
        ("start_worker", "id", "worker"),
        ("kill_worker", "id", "kill"),
        ("write_schedule", "name", "schedule"),
        ("drop_schedule", "name", "drop-schedule"),
    ],
)
def test_every_name_is_checked(action: str, field: str, kind: str, text: str) -> None:
    """No action takes a name that could leave its folder. Source: spec/edge-cases.md item 112."""
    rest = {"body": "", "script": "", "prompt": "", "in_s": 5}
    assert f"invalid {kind} {field} {text!r}" in refusal({"action": action, field: text} | rest)


@pytest.mark.parametrize(
    ("trigger", "complaint"),
    [
        ({}, "exactly one of in_s, every_s and cron"),
        ({"in_s": None, "every_s": None}, "exactly one of in_s, every_s and cron"),
        ({"in_s": 5, "every_s": 60}, "exactly one of in_s, every_s and cron"),
        ({"in_s": 0}, "in_s must be above 0, not 0"),
        ({"in_s": -1}, "in_s must be above 0, not -1"),
        ({"every_s": 59}, "every_s must be at least 60, not 59"),
        ({"every_s": 0}, "every_s must be at least 60, not 0"),
        ({"every_s": -60}, "every_s must be at least 60, not -60"),
        ({"cron": "@daily", "every_s": 60}, "exactly one of in_s, every_s and cron"),
        ({"every_s": 60, "tz": "UTC"}, "tz belongs to cron: leave it out"),
        ({"cron": "@daily", "catch_up": "some"}, "catch_up must be one of one, all, none, not 'some'"),
        ({"in_s": 60, "catch_up": "all"}, "a one-shot stays due until it is dropped: leave catch_up out"),
    ],
)
def test_a_schedule_has_one_sound_trigger(trigger: dict[str, Any], complaint: str) -> None:
    """Exactly one trigger: above 0 s once, at least 60 s repeated. Source: spec/workers.md §11."""
    text = refusal({"action": "write_schedule", "name": "s"} | trigger)
    assert text.startswith("schedule s: ")
    assert text.endswith(complaint)


def test_a_moment_far_away_is_allowed() -> None:
    """A huge in_s is no reason to refuse. Source: spec/edge-cases.md item 217."""
    assert parse_decision(json.dumps({"action": "write_schedule", "name": "s", "in_s": 10**40})).move == WriteSchedule(
        "s", in_s=10**40
    )


@pytest.mark.parametrize("cmd", ["", "  ", "\n\t"])
def test_a_blank_command_is_refused(cmd: str) -> None:
    """run_shell without a command would succeed at nothing. Source: spec/edge-cases.md item 110."""
    assert refusal({"action": "run_shell", "cmd": cmd}) == "run_shell: `cmd` is blank"


def test_extra_keys_are_ignored() -> None:
    """Keys that mean nothing to us do no harm. Source: spec/edge-cases.md item 111."""
    text = '{"action":"noop","thoughts":{"a":[1]},"id":"../x","v":2}'
    assert parse_decision(text) == Decision(Noop())


@pytest.mark.parametrize(("wish", "kept"), [(0, 0), (1, 1), (300, 300), (10**30, 10**30)])
def test_the_next_interval_is_kept(wish: int, kept: int) -> None:
    """A non-negative whole number is the decider's wish. Source: spec/edge-cases.md items 109, 123."""
    assert parse_decision(json.dumps({"action": "noop", "next_interval_s": wish})).next_interval_s == kept


@pytest.mark.parametrize("wish", [-1, 60.0, 1.5, "60", True, False, None, [60], {"s": 60}])
def test_a_nonsense_interval_does_not_cost_the_move(wish: object) -> None:
    """A negative, fractional, textual or boolean wish is ignored. Source: spec/edge-cases.md items 109, 260."""
    assert parse_decision(json.dumps({"action": "noop", "next_interval_s": wish})) == Decision(Noop())


@pytest.mark.parametrize(
    ("journal", "kept"),
    [("did it", "did it"), ("  x \n", "x"), ("", ""), ("  ", ""), (None, ""), (5, ""), (["x"], ""), (True, "")],
)
def test_the_journal_is_text_or_empty(journal: object, kept: str) -> None:
    """A journal that is no text counts as none, and the move still runs. Source: spec/beat.md §10."""
    assert parse_decision(json.dumps({"action": "noop", "journal": journal})).journal == kept


@pytest.mark.parametrize(("value", "_move"), FULL)
def test_a_decision_can_be_emitted_and_read_back(value: dict[str, Any], _move: Move) -> None:
    """What the run bundle keeps reads as the same decision. Source: design §7."""
    for extra in ({}, {"journal": "line"}, {"next_interval_s": 0}, {"journal": "line", "next_interval_s": 9}):
        decision = decision_from(value | extra)
        assert parse_decision(msgspec.json.encode(emitted(decision)).decode()) == decision


def test_a_default_is_not_emitted() -> None:
    """The kept decision holds what was decided, no padding. Source: design §7."""
    assert emitted(Decision(Noop())) == {"action": "noop"}


def test_a_move_made_by_hand_is_checked_the_same_way() -> None:
    """A move from a verb passes the same door as one from a runner. Source: design §3 row 9."""
    good = WriteSchedule("s", every_s=60)
    assert check_move(good) is good
    with pytest.raises(Invalid):
        check_move(WriteGoal("../x", ""))
    with pytest.raises(Invalid):
        check_move(WriteSchedule("s", every_s=59))


def test_endless_nesting_is_a_refusal() -> None:
    """However deep the text nests, its author gets a sentence. Source: spec/edge-cases.md item 110."""
    for depth in [*range(700, 1010), 100_000]:
        assert refusal('{"action":' + "[" * depth + "]" * depth + "}")


@given(st.text() | st.text(alphabet='{}[]",:`\n action noop\ud800\\u'))
def test_arbitrary_text_is_a_decision_or_invalid(text: str) -> None:
    """Whatever was written, parsing ends in a Decision or in Invalid. Source: spec/edge-cases.md item 110."""
    try:
        assert isinstance(parse_decision(text), Decision)
    except Invalid as error:
        assert str(error)


@given(st.dictionaries(st.sampled_from(["id", "name", "cmd", "body", "in_s", "every_s", "prompt", "reason"]), JSON))
def test_arbitrary_fields_are_a_move_or_invalid(fields: dict[str, Any]) -> None:
    """Whatever the fields hold, each action reads them or refuses with Invalid. Source: spec/edge-cases.md item 110."""
    for action in ACTIONS:
        try:
            assert isinstance(move_from(fields | {"action": action}), Move)
        except Invalid as error:
            assert str(error)


@given(JSON)
def test_arbitrary_values_are_a_decision_or_invalid(value: object) -> None:
    """Whatever was decoded, reading ends in a Decision or in Invalid. Source: spec/edge-cases.md item 110."""
    try:
        assert isinstance(decision_from(value), Decision)
    except Invalid as error:
        assert str(error)
