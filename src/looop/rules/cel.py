"""Conditions in goal files: CEL, Kubernetes' own expression language, checked when compiled, bounded when run.

The engine bounds nesting (32), and the iterations of one evaluation (10,000); the length is bounded here.
It has no functions with side effects. Source: design §4.

Note [Values the engine cannot hold]
One integer beyond 64 bits anywhere in a bound variable makes every expression over it fail. Such integers are
bound as floats.
"""

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

from looop.model.errors import Invalid

MAX_CHARS = 2000
VARIABLES = ("sensor", "goal", "worker", "workers", "asks", "schedules", "due", "now")
_INT64 = 2**63
_TEXT = r"""r?("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
_SENSOR = r"""(?<![\w."'])sensor\s*(?:\.\s*(\w+)|\[\s*["']([^"'\\]+)["']\s*\])"""
_ASKED = r"""has\(\s*sensor\.(\w+)\s*\)|["']([^"'\\]+)["']\s+in\s+sensor\b(?!\s*[.\[])"""
_DUE = r"""(?<![\w."'])due\s*(?:\.\s*(\w+)|\[\s*["']([^"'\\]+)["']\s*\])"""
_DASHED = r"(?<![\w.])([\w.]*\w)\.(\w+(?:-[^\W\d]\w*)+)"
_SINGLE_EQUALS = r"(?<![=!<>])=(?![=<>])"
_DUE_HINT = " (the last beat saw no such schedule)"
_NULL_HINT = " (a value is null here: ask for `… != null &&` first)"
_NO_KEY = "NOT_FOUND: Key not found in map : "
_WORDS = {"and": "&&", "or": "||", "not": "!"}
_WORD = r"(?i)(?<![\w.])(and|or|not)(?![\w.])"


def check(expression: str) -> None:
    """Raise Invalid with the position and the reason when `expression` cannot be a condition."""
    _compiled(expression)


def holds(expression: str, scope: Mapping[str, Any]) -> bool | str:
    """True or False, or a sentence saying why it is neither. Never raises.

    `scope` binds VARIABLES, its values made by `bindable`.
    """
    from cel_expr_python import cel

    try:
        value = _compiled(expression).eval(data=dict(scope))
    except (Invalid, RuntimeError, ValueError) as error:
        return _first_line(str(error))
    if value.type() == cel.Type.ERROR:
        trouble = _first_line(str(value.value())).replace(_NO_KEY, "there is no ")
        return trouble + _runtime_hint(expression, trouble)
    if value.type() != cel.Type.BOOL:
        return f"`{expression}` is not true or false but {value.type().name().lower()}"
    return bool(value.value())


def sensors_named(expression: str) -> set[str]:
    """The sensors that a condition needs, by name: those whose being there it asks for itself are left out."""
    asked = {dotted or quoted for dotted, quoted in re.findall(_ASKED, expression)}
    return {dotted or quoted for dotted, quoted in re.findall(_SENSOR, expression)} - asked


def due_named(expression: str) -> set[str]:
    """The schedules whose being due a condition asks for, by name."""
    return {dotted or quoted for dotted, quoted in re.findall(_DUE, expression)}


def bindable(value: Any) -> Any:
    """A decoded JSON `value` as the engine can hold it. See Note [Values the engine cannot hold]."""
    if isinstance(value, dict):
        return {key: bindable(part) for key, part in value.items()}
    if isinstance(value, list):
        return [bindable(part) for part in value]
    if type(value) is int and not -_INT64 <= value < _INT64:
        return float(str(value))
    return value


@lru_cache(maxsize=4096)
def _compiled(expression: str) -> Any:
    from cel_expr_python import cel

    if not expression.strip():
        raise Invalid("the expression is empty")
    if len(expression) > MAX_CHARS:
        raise Invalid(f"the expression has {len(expression)} characters: at most {MAX_CHARS} are allowed")
    try:
        compiled = _environment().compile(expression)
    except (RuntimeError, ValueError) as error:
        raise Invalid(f"`{expression}`: {_first_line(str(error))}{_hints(expression)}") from None
    if compiled.return_type() not in (cel.Type.BOOL, cel.Type.DYN):
        raise Invalid(f"`{expression}` is not true or false but {compiled.return_type().name().lower()}")
    return compiled


@cache
def _environment() -> Any:
    from cel_expr_python import cel

    record = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
    types = dict.fromkeys(VARIABLES, record) | {
        "workers": cel.Type.List(cel.Type.DYN),
        "asks": cel.Type.List(cel.Type.DYN),
        "now": cel.Type.INT,
    }
    return cel.NewEnv(variables=types)


def _hints(expression: str) -> str:
    """What the author may have meant, for the end of a refusal; empty when nothing looks like it."""
    bare = re.sub(_TEXT, '""', expression)
    hints = ["equality is written =="] if re.search(_SINGLE_EQUALS, bare) else []
    hints += [f"`{word}` is written {_WORDS[word.lower()]}" for word in dict.fromkeys(re.findall(_WORD, bare))]
    hints += [_dash_hint(*found) for found in re.findall(_DASHED, bare)]
    return f" ({'; '.join(hints)})" if hints else ""


def _runtime_hint(expression: str, trouble: str) -> str:
    """The same for what only a reading shows: a null, or the part of a name before its dash."""
    if "null_type" in trouble:
        return _NULL_HINT
    if trouble in {f'there is no "{name}"' for name in due_named(expression)}:
        return _DUE_HINT
    dashed = [
        found
        for found in re.findall(_DASHED, re.sub(_TEXT, '""', expression))
        if f'"{found[1].split("-")[0]}"' in trouble
    ]
    return f" ({_dash_hint(*dashed[0])})" if dashed else ""


def _dash_hint(owner: str, name: str) -> str:
    return f'a name with a dash is written {owner}["{name}"]'


def _first_line(text: str) -> str:
    line = text.strip().partition("\n")[0].removeprefix("INVALID_ARGUMENT: ").removeprefix("ERROR: ")
    return line.replace("<input>:", "at ")[:300]
