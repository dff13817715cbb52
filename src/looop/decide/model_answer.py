"""From what a model answered to the one JSON object that is the decision, or to the line why there is none."""

import json
import re
from typing import Any

from msgspec import Struct

from looop.decide.model_schema import WRAPPER
from looop.model.usage import Tokens

_LONGEST = 262_144
_SHOWN = 120
_FENCE = re.compile(r"\A```[^\n`]*\n(.*)\n?```\Z", re.DOTALL)


class Failed(Exception):
    """Asking came to nothing. Its text is one line."""


class Reply(Struct, frozen=True):
    """One answer of a model: its texts, what it used, and whether it was cut off or refused."""

    texts: tuple[str, ...] = ()
    tokens: Tokens | None = None
    model: str = ""
    why_ended: str = ""
    cut: bool = False
    refusal: str = ""
    error: str = ""


def decision_in(reply: Reply, max_tokens: int) -> str:
    """The JSON text of the decision in this answer. Raises Failed."""
    if reply.error:
        raise Failed(f"the endpoint answered with an error: {one_line(reply.error)}")
    if reply.refusal:
        raise Failed(f"the model refused: {one_line(reply.refusal)}")
    if reply.cut:
        raise Failed(f"the answer was cut off at max_tokens = {max_tokens}: raise max_tokens of this runner")
    texts = [text.strip() for text in reply.texts if text.strip()]
    if not texts:
        raise Failed(f"the model answered nothing (its reason to end: {one_line(reply.why_ended) or 'none'})")
    if len(texts) > 1:
        raise Failed(f"the model gave {len(texts)} decisions: exactly one is wanted")
    return json.dumps(_unwrapped(_object_in(texts[0])), ensure_ascii=False)


def one_line(text: str, limit: int = _SHOWN) -> str:
    """Foreign text on one line, cut where it is long."""
    text = " ".join(text[: limit * 8].split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _object_in(text: str) -> dict[str, Any]:
    """The one object that the text is, bare or in a markdown fence."""
    if len(text) > _LONGEST:
        raise Failed(f"the answer has {len(text)} characters and a decision at most {_LONGEST}: {one_line(text, 60)}")
    if fenced := _FENCE.match(text):
        text = fenced.group(1).strip()
    if not text.startswith("{"):
        raise Failed(f"the model answered in prose, not with a JSON object: {one_line(text)}")
    try:
        value, end = json.JSONDecoder(parse_constant=_refuse).raw_decode(text)
    except (ValueError, RecursionError):
        raise Failed(f"the model answered with broken JSON: {one_line(text)}") from None
    if rest := text[end:].strip():
        what = "two JSON objects" if rest.startswith("{") else "something behind its JSON object"
        raise Failed(f"the model answered with {what}: exactly one object is wanted: {one_line(text)}")
    assert isinstance(value, dict)
    return value


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _unwrapped(value: dict[str, Any]) -> dict[str, Any]:
    inner = value.get(WRAPPER)
    return inner if isinstance(inner, dict) and "action" not in value else value
