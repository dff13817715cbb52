"""A decision: one move, a journal line, and when to look again; and how one is read from text.

The text comes from a model or a person's YAML, so every refusal is worded for its author to act on.
Source: spec/beat.md §10; edge cases 106-112.
"""

import re
from typing import Any, cast

import msgspec
from msgspec import Struct

from looop.model.errors import Invalid
from looop.model.ids import require_id
from looop.model.moves import ALL_MOVES, AnyMove, Move, WriteSchedule

MAX_TEXT = 1 << 20
MIN_EVERY_S = 60
CATCH_UP = ("one", "all", "none")
ACTIONS = tuple(cast(str, move.__struct_config__.tag) for move in ALL_MOVES)
_BY_ACTION: dict[str, type[Move]] = dict(zip(ACTIONS, ALL_MOVES, strict=True))
_FENCE = re.compile(r"\A```[^\n`]*\n(.*)\n?```\Z", re.DOTALL)
_TYPE_NAMES = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}


class Decision(Struct, frozen=True):
    """What a decider asks for. `journal` is one line or empty; `next_interval_s` seconds or None."""

    move: AnyMove
    journal: str = ""
    next_interval_s: int | None = None


def parse_decision(text: str) -> Decision:
    """The decision in `text`: one JSON object, bare or inside one markdown fence. Raises Invalid."""
    body = text.strip()
    if fenced := _FENCE.match(body):
        body = fenced.group(1)
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
        raise Invalid(f"the decision is not JSON ({error}): write exactly one JSON object with an `action`") from None
    return decision_from(value)


def decision_from(value: object) -> Decision:
    """The decision in an already decoded value. Extra keys are ignored. Raises Invalid."""
    if not isinstance(value, dict):
        raise Invalid(f"the decision is {_type_name(value)}: expected one JSON object with an `action`")
    journal, interval = value.get("journal"), value.get("next_interval_s")
    return Decision(
        move=move_from(value),
        journal=journal.strip() if isinstance(journal, str) else "",
        next_interval_s=interval if type(interval) is int and interval >= 0 else None,
    )


def move_from(value: dict[str, Any]) -> AnyMove:
    """The move a mapping with an `action` describes, checked as far as it can be without the world."""
    action = value.get("action")
    if action not in ACTIONS:
        given = "`action` is missing" if "action" not in value else f"unknown action {_shown(action)}"
        raise Invalid(f"{given}: expected one of {', '.join(ACTIONS)}")
    wanted = _BY_ACTION[cast(str, action)]
    try:
        move = msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        raise Invalid(f"{action}: {_explain(error, value)} (fields: {_fields(wanted)})") from None
    return check_move(cast(AnyMove, move))


def check_move(move: AnyMove) -> AnyMove:
    """`move` itself when its names and triggers are well-formed; raises Invalid. Source: design §3 row 9."""
    for field in ("id", "name"):
        if (value := getattr(move, field, None)) is not None:
            require_id(value, f"{move.kind} {field}")
    for field in move.__struct_fields__:
        _check_text(move, field, getattr(move, field))
    if isinstance(move, WriteSchedule):
        _check_trigger(move)
    if getattr(move, "cmd", "x").strip() == "":
        raise Invalid("run_shell: `cmd` is blank")
    return move


def _check_text(move: AnyMove, field: str, value: object) -> None:
    if not isinstance(value, str):
        return
    if len(value) > MAX_TEXT:
        raise Invalid(f"{move.action}: `{field}` has {len(value)} characters: at most {MAX_TEXT} are allowed")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Invalid(
            f"{move.action}: `{field}` holds what is not UTF-8: nothing was changed (a terminal needs a UTF-8 locale)"
        ) from None


def _check_trigger(move: WriteSchedule) -> None:
    """Whether a cron expression is one is judged where its zone is known, when it is written."""
    if [move.in_s, move.every_s, move.cron].count(None) != 2:
        raise Invalid(f"schedule {move.name}: give exactly one of in_s, every_s and cron")
    if move.tz is not None and move.cron is None:
        raise Invalid(f"schedule {move.name}: tz belongs to cron: leave it out")
    if move.catch_up is not None and move.in_s is not None:
        raise Invalid(f"schedule {move.name}: a one-shot stays due until it is dropped: leave catch_up out")
    if move.catch_up not in (None, *CATCH_UP):
        raise Invalid(
            f"schedule {move.name}: catch_up must be one of {', '.join(CATCH_UP)}, not {_shown(move.catch_up)}"
        )
    if move.in_s is not None and move.in_s <= 0:
        raise Invalid(f"schedule {move.name}: in_s must be above 0, not {move.in_s}")
    if move.every_s is not None and move.every_s < MIN_EVERY_S:
        raise Invalid(f"schedule {move.name}: every_s must be at least {MIN_EVERY_S}, not {move.every_s}")


def emitted(decision: Decision) -> dict[str, Any]:
    """The decision as the one JSON object a runner would have written."""
    value: dict[str, Any] = msgspec.to_builtins(decision.move)
    if decision.journal:
        value["journal"] = decision.journal
    if decision.next_interval_s is not None:
        value["next_interval_s"] = decision.next_interval_s
    return value


def decision_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a decision as one object: a move's fields, `journal`, `next_interval_s`."""
    shared = {
        "journal": {"type": "string", "description": "one line for the journal, without a date"},
        "next_interval_s": {
            "type": "integer",
            "minimum": 0,
            "description": "look again after this many seconds, even if nothing changed",
        },
    }
    variants = []
    for move in ALL_MOVES:
        schema = msgspec.json.schema(move)
        body = dict(schema["$defs"][move.__name__])
        body["properties"] = body["properties"] | shared
        variants.append(body)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Decision", "oneOf": variants}


def _fields(move: type[Move]) -> str:
    return (
        ", ".join(field.name if field.required else f"{field.name}?" for field in msgspec.structs.fields(move))
        or "none"
    )


def _explain(error: msgspec.ValidationError, value: dict[str, Any]) -> str:
    """msgspec's message plus the offending value, which it leaves out."""
    text = str(error)
    path = re.search(r"\$\.(\w+)", text)
    if path and path.group(1) in value:
        text += f", got {_shown(value[path.group(1)])}"
    return text


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except RecursionError:
        text = f"{_type_name(value)}, deeply nested"
    return text if len(text) <= 80 else text[:79] + "…"


def _type_name(value: object) -> str:
    return _TYPE_NAMES.get(type(value), "a number")
