"""The flat schema says what the decision's own schema says."""

import msgspec
import pytest

from looop.contract.schema import flat_schema
from looop.model.decision import ACTIONS, Decision, decision_schema, emitted, parse_decision
from looop.model.moves import KillWorker, Noop, RunShell, StartWorker, WriteGoal, WriteSchedule


def test_the_root_is_one_object() -> None:
    """No union and no `$schema` at the root, nothing else allowed; strict requires all. Source: docs/runners.md."""
    for strict in (False, True):
        schema = flat_schema(strict=strict)
        assert not {"oneOf", "anyOf", "allOf", "$schema", "$defs"} & set(schema)
        assert (schema["type"], schema["additionalProperties"]) == ("object", False)
        assert schema["required"] == (list(schema["properties"]) if strict else ["action"])


def test_every_field_of_every_move_is_there() -> None:
    """It has the fields of all moves and no other; each says which moves it belongs to."""
    fields = flat_schema(strict=True)["properties"]
    variants = decision_schema()["oneOf"]
    assert set(fields) == {name for variant in variants for name in variant["properties"]}
    assert fields["action"]["enum"] == list(ACTIONS)
    for variant in variants:
        action = variant["properties"]["action"]["enum"][0]
        for name in set(variant["properties"]) - {"action", "journal", "next_interval_s"}:
            assert action in fields[name]["description"]


@pytest.mark.parametrize(
    "move",
    [
        Noop(),
        RunShell(cmd="true"),
        WriteGoal(id="g", body="b"),
        StartWorker(id="g", prompt="p"),
        KillWorker(id="g"),
        WriteSchedule(name="s", every_s=60),
    ],
    ids=lambda move: move.action,
)
def test_a_decision_full_of_nulls_is_the_same_decision(move) -> None:
    """What a strict answer fills up with null reads as if it were not there. Source: model/decision.py."""
    decision = Decision(move=move, journal="why", next_interval_s=5)
    full = dict.fromkeys(flat_schema(strict=True)["required"]) | emitted(decision)
    assert parse_decision(msgspec.json.encode(full).decode()) == decision
