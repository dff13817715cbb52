"""Conditions in goal files: CEL, Kubernetes' own expression language, checked when compiled, bounded when run.

The engine bounds nesting (32), and the iterations of one evaluation (10,000); the length is bounded here.
It has no functions with side effects. Source: design §4.

Note [Values the engine cannot hold]
One integer beyond 64 bits anywhere in a bound variable makes every expression over it fail. Such integers are
bound as floats.
"""

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

from looop.model.errors import Invalid

MAX_CHARS = 2000
VARIABLES = ("sensor", "goal", "worker", "workers", "asks", "schedules", "now")
_INT64 = 2**63


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
        return _first_line(str(value.value()))
    if value.type() != cel.Type.BOOL:
        return f"`{expression}` is not true or false but {value.type().name().lower()}"
    return bool(value.value())


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
        raise Invalid(f"`{expression}`: {_first_line(str(error))}") from None
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


def _first_line(text: str) -> str:
    line = text.strip().split("\n", 1)[0].removeprefix("INVALID_ARGUMENT: ").removeprefix("ERROR: ")
    return line.replace("<input>:", "at ")[:300]
