"""The JSON Schema given to models must say what the parser does."""

import json
from typing import Any

import msgspec
import pytest

from looop.model.decision import ACTIONS, decision_from, decision_schema
from looop.model.errors import Invalid
from looop.model.moves import ALL_MOVES, AnyMove

REQUIRED = {
    "noop": set(),
    "run_shell": {"cmd"},
    "write_goal": {"id", "body"},
    "archive_goal": {"id"},
    "write_sensor": {"name", "script"},
    "write_playbook": {"body"},
    "start_worker": {"id", "prompt"},
    "kill_worker": {"id"},
    "write_schedule": {"name"},
    "drop_schedule": {"name"},
}
OPTIONAL = {
    "noop": {"reason"},
    "run_shell": {"reason"},
    "start_worker": {"command", "verify"},
    "kill_worker": {"reason"},
    "write_schedule": {"in_s", "every_s", "note", "cron", "tz", "catch_up"},
}
TYPES = {"string": str, "integer": int, "null": type(None)}


def variants() -> dict[str, dict[str, Any]]:
    """The schema of each action."""
    found = decision_schema()["oneOf"]
    return {variant["properties"]["action"]["enum"][0]: variant for variant in found}


def accepts(schema: dict[str, Any], value: dict[str, Any]) -> bool:
    """A validator of the few keywords the schema uses."""
    fields = schema["properties"]
    return set(schema["required"]) <= set(value) and all(
        _fits(fields[key], value[key]) for key in value if key in fields
    )


def _fits(field: dict[str, Any], value: object) -> bool:
    if "anyOf" in field:
        return any(_fits(choice, value) for choice in field["anyOf"])
    if "enum" in field and value not in field["enum"]:
        return False
    if "minimum" in field and isinstance(value, int) and value < field["minimum"]:
        return False
    return "type" not in field or (type(value) is TYPES[field["type"]])


def test_one_variant_per_action() -> None:
    """Each action stands once, as the only value of its `action`. Source: spec/beat.md §10."""
    schema = decision_schema()
    assert [variant["properties"]["action"]["enum"] for variant in schema["oneOf"]] == [[name] for name in ACTIONS]
    assert schema["$schema"].endswith("2020-12/schema")


@pytest.mark.parametrize("action", ACTIONS)
def test_required_fields(action: str) -> None:
    """A variant requires the action and the fields without which it is refused. Source: spec/beat.md §10."""
    assert set(variants()[action]["required"]) == {"action"} | REQUIRED[action]


@pytest.mark.parametrize("action", ACTIONS)
def test_known_fields(action: str) -> None:
    """A variant knows its own fields and the two that every decision may have. Source: spec/beat.md §10."""
    shared = {"action", "journal", "next_interval_s"}
    assert set(variants()[action]["properties"]) == shared | REQUIRED[action] | OPTIONAL.get(action, set())


def test_it_stands_alone() -> None:
    """The schema is plain JSON without references to elsewhere, as model APIs want it."""
    assert "$ref" not in json.dumps(decision_schema())


def test_a_caller_cannot_spoil_it() -> None:
    """Two calls give two values: changing one does not change what the next caller gets."""
    decision_schema()["oneOf"][0]["properties"].clear()
    assert "action" in decision_schema()["oneOf"][0]["properties"]


@pytest.mark.parametrize(
    ("value", "good"),
    [
        ({"action": "noop"}, True),
        ({"action": "noop", "journal": "x", "next_interval_s": 60}, True),
        ({"action": "run_shell", "cmd": "ls"}, True),
        ({"action": "run_shell"}, False),
        ({"action": "write_goal", "id": "g", "body": "b", "journal": "j"}, True),
        ({"action": "write_goal", "id": "g"}, False),
        ({"action": "write_goal", "id": 5, "body": "b"}, False),
        ({"action": "start_worker", "id": "w", "prompt": "p", "verify": None}, True),
        ({"action": "start_worker", "id": "w", "prompt": "p", "verify": 5}, False),
        ({"action": "write_schedule", "name": "s", "in_s": 60}, True),
        ({"action": "write_schedule", "name": "s", "in_s": "60"}, False),
        ({"action": "write_schedule", "name": "s", "in_s": True}, False),
        ({"action": "fly"}, False),
        ({}, False),
    ],
)
def test_schema_and_parser_agree(value: dict[str, Any], good: bool) -> None:
    """What exactly one variant accepts is parsed, what none accepts is refused. Source: spec/beat.md §10."""
    assert sum(accepts(variant, value) for variant in decision_schema()["oneOf"]) == good
    try:
        decision_from(value)
    except Invalid:
        assert not good
    else:
        assert good


def test_a_negative_interval_is_not_offered() -> None:
    """The schema says what the parser would ignore. Source: spec/edge-cases.md item 109."""
    wish = variants()["noop"]["properties"]["next_interval_s"]
    assert (wish["type"], wish["minimum"]) == ("integer", 0)
    assert variants()["noop"]["properties"]["journal"]["type"] == "string"


def test_the_union_and_the_tuple_hold_the_same_moves() -> None:
    """No move can be typed but not parsed, or parsed but not typed."""
    assert set(AnyMove.__args__) == set(ALL_MOVES)
    assert len(ALL_MOVES) == len({move.__struct_config__.tag for move in ALL_MOVES})
    assert msgspec.json.decode(b'{"action":"noop"}', type=AnyMove) == ALL_MOVES[0]()
