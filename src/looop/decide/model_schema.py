"""The schema of a decision as model APIs take it.

Note [What all of them accept]
The root is an object with the union in one property, since strict modes refuse a union at the root. Every field is
required and `null` stands for one that is not given; nothing else is allowed. There is no `oneOf`, `default` or
`title`.

Note [Lengths]
Every string is bounded: a small model may write on for ever inside a string it is forced to finish. A bound of 2,000
or more is unbounded in the grammars of llama.cpp and an error in its builds of 2025-11 to 2026-08, so only the texts of
whole files have one. OpenAI's own strict mode refuses `maxLength`; there the bound is told in words.
"""

from typing import Any

from looop.model.decision import decision_schema

WRAPPER = "decision"
SHORT = 1999
_LONG = 16384
_BOUNDS = {"id": 64, "name": 64, "journal": 300, "reason": 300, "note": 500}
_WHOLE_TEXTS = ("body", "script", "prompt")

Schema = dict[str, Any]


def request_schema(*, longest: int = _LONG, in_words: bool = False) -> Schema:
    """The schema to send. No string longer than `longest`; `in_words`: bounds are described, not demanded."""
    variants = [_object(variant["properties"], longest, in_words) for variant in decision_schema()["oneOf"]]
    return _closed({WRAPPER: {"anyOf": variants}})


def _object(properties: Schema, longest: int, in_words: bool) -> Schema:
    return _closed({name: _field(name, schema, longest, in_words) for name, schema in properties.items()})


def _closed(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _field(name: str, schema: Schema, longest: int, in_words: bool) -> Schema:
    if "enum" in schema:
        return {"type": "string", "enum": schema["enum"]}
    kind = schema.get("type") or schema["anyOf"][0]["type"]
    one: Schema = {"type": kind}
    words = [schema["description"]] if "description" in schema else []
    if kind == "string":
        bound = min(_BOUNDS.get(name, _LONG if name in _WHOLE_TEXTS else SHORT), longest)
        one |= {} if in_words else {"maxLength": bound}
        words += [f"at most {bound} characters"] if in_words else []
    if words:
        one["description"] = "; ".join(words)
    optional = "anyOf" in schema or name in ("journal", "next_interval_s")
    return {"anyOf": [one, {"type": "null"}]} if optional else one
