"""The schema of a decision in the one shape that every checking CLI takes.

Note [Flat]
Providers refuse a union at the root of a schema. So all moves share one object: `action` says which move it is, and a
field that does not belong to it is null or left out, which reads the same. OpenAI's strict mode wants all fields
required; elsewhere that would only make a model repeat its answer. There is no `$schema`: claude refuses it.
"""

from typing import Any

from looop.model.decision import ACTIONS, decision_schema

_OPTIONAL = ("journal", "next_interval_s")


def flat_schema(*, strict: bool) -> dict[str, Any]:
    """JSON Schema of a decision without a union at its root; `strict` requires every field. See Note [Flat]."""
    fields: dict[str, Any] = {"action": {"type": "string", "enum": list(ACTIONS)}}
    used: dict[str, list[str]] = {}
    for variant in decision_schema()["oneOf"]:
        action = variant["properties"]["action"]["enum"][0]
        for name, schema in variant["properties"].items():
            if name != "action":
                used.setdefault(name, []).append(action)
                fields.setdefault(name, _nullable(schema))
    for name, actions in used.items():
        if name not in _OPTIONAL:
            fields[name]["description"] = f"of {', '.join(actions)}; else null"
    return {
        "title": "Decision",
        "type": "object",
        "properties": fields,
        "required": list(fields) if strict else ["action"],
        "additionalProperties": False,
    }


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    kind = schema.get("type") or schema["anyOf"][0]["type"]
    return {key: schema[key] for key in ("description",) if key in schema} | {"type": [kind, "null"]}
