"""What a goal file declares: `done:` and `reflexes:` in YAML front matter. Source: design §4.

A goal without front matter is prose for the model, and says nothing here. YAML is read without aliases, so a small
file cannot become a large value, without tags, and without deep nesting, which takes quadratic time. A scalar is null,
true or false, a whole number, or text, as in JSON: a date or `12:30` stays what was written.
"""

import re
from functools import cache, lru_cache
from typing import Any

from msgspec import Struct

from looop.model.decision import move_from
from looop.model.errors import Invalid
from looop.model.moves import AnyMove
from looop.rules import cel

MAX_FRONT_MATTER = 32768
MAX_NESTING = 20
_KEYS = ("goal", "done", "reflexes")
_REFLEX_KEYS = ("when", "move")
_FENCE = ("---", "\ufeff---")
_UNFENCED = rf"\ufeff?\s*(?:---[ \t]*\n\s*)?({'|'.join(_KEYS)})[ \t]*:"
_QUOTE = "quote a value that holds ': ' or ' #', or begins with ! & * { [ \" ' or another sign of YAML"
_SCALARS = {"null": r"(?:~|null|)\Z", "bool": r"(?:true|false)\Z", "int": r"-?(?:0|[1-9][0-9]*)\Z"}


class Reflex(Struct, frozen=True):
    """When the condition holds, this move is the beat's move."""

    when: str
    move: AnyMove


class GoalSpec(Struct, frozen=True):
    """The machine-readable part of a goal; all absent for a goal of prose."""

    goal: str | None = None
    done: str | None = None
    reflexes: tuple[Reflex, ...] = ()


def declares(text: str) -> bool:
    """Whether a goal may have front matter; a cheap look that needs no YAML."""
    return text.startswith(_FENCE)


def unfenced_key(text: str) -> str | None:
    """The key with which a goal of prose begins although it belongs into front matter: its `---` lines are missing

    or do not begin in the first line. None when the goal begins otherwise.
    """
    match = None if declares(text) else re.match(_UNFENCED, text)
    return match[1] if match else None


@lru_cache(maxsize=4096)
def parse_goal(text: str) -> GoalSpec:
    """The declarations of one goal file, conditions compiled. Raises Invalid with what is wrong and where."""
    block = _front_matter(text)
    if block is None:
        return GoalSpec()
    declared = _load_yaml(block)
    if not isinstance(declared, dict):
        return GoalSpec()
    _known_keys(declared, _KEYS, "front matter")
    return GoalSpec(
        goal=_text(declared, "goal", "front matter"),
        done=_condition(declared, "done", "front matter"),
        reflexes=tuple(_reflex(entry, n) for n, entry in enumerate(_entries(declared))),
    )


def _front_matter(text: str) -> str | None:
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    if lines[0].rstrip() != "---":
        return None
    for n, line in enumerate(lines[1:], 1):
        if line.rstrip() in ("---", "..."):
            block = "\n".join(lines[1:n])
            if len(block) > MAX_FRONT_MATTER:
                raise Invalid(f"front matter has {len(block)} characters: at most {MAX_FRONT_MATTER} are allowed")
            return block
    if any(line.startswith(tuple(f"{key}:" for key in _KEYS)) for line in lines):
        raise Invalid("front matter is not closed: end it with a line `---`")
    return None


def _load_yaml(block: str) -> Any:
    import yaml

    try:
        depth = 0
        for event in yaml.parse(block, yaml.SafeLoader):
            _only_plain(event)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_NESTING:
                raise Invalid(f"front matter nests more than {MAX_NESTING} deep")
        return yaml.load(block, _loader())
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 2}: " if error.problem_mark else ""
        raise Invalid(f"front matter is not YAML: {where}{error.problem} ({_QUOTE})") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise Invalid(f"front matter is not YAML: {str(error).partition(chr(10))[0]}") from None


def _only_plain(event: Any) -> None:
    import yaml

    if isinstance(event, yaml.AliasEvent):
        raise Invalid("front matter uses a YAML alias (*name): write the value out")
    if tag := getattr(event, "tag", None):
        cure = "leave it out" if tag.startswith("tag:") else "quote it"
        raise Invalid(f"front matter uses a YAML tag (line {event.start_mark.line + 2}: {tag}): {cure}")
    if any("\ud800" <= sign <= "\udfff" for sign in getattr(event, "value", "")):
        raise Invalid("front matter holds half a character (\\ud800-\\udfff): write the whole one")


@cache
def _loader() -> Any:
    import yaml

    resolvers = {None: [(f"tag:yaml.org,2002:{name}", re.compile(sign)) for name, sign in _SCALARS.items()]}
    return type("Loader", (yaml.SafeLoader,), {"yaml_implicit_resolvers": resolvers})


def _entries(declared: dict[str, Any]) -> list[Any]:
    entries = declared.get("reflexes")
    if entries is None:
        return []
    if not isinstance(entries, list):
        raise Invalid("front matter `reflexes`: expected a list of {when, move}")
    return entries


def _reflex(entry: Any, n: int) -> Reflex:
    where = f"reflex #{n}"
    if not isinstance(entry, dict):
        raise Invalid(f"{where}: expected a mapping with `when` and `move`")
    _known_keys(entry, _REFLEX_KEYS, where)
    when = _condition(entry, "when", where)
    move = entry.get("move")
    if when is None or not isinstance(move, dict):
        raise Invalid(f"{where}: expected both `when` (a condition) and `move` (a mapping with an `action`)")
    try:
        return Reflex(when=when, move=move_from(move))
    except Invalid as error:
        raise Invalid(f"{where}: {error}") from None


def _condition(declared: dict[str, Any], key: str, where: str) -> str | None:
    value = declared.get(key)
    if isinstance(value, bool):
        value = "true" if value else "false"
    expression = _text({key: value}, key, where)
    if expression is not None:
        try:
            cel.check(expression)
        except Invalid as error:
            raise Invalid(f"{where} `{key}`: {error}") from None
    return expression


def _text(declared: dict[str, Any], key: str, where: str) -> str | None:
    value = declared.get(key)
    if value is not None and not isinstance(value, str):
        raise Invalid(f"{where} `{key}`: expected text, got {value!r} (quote it)")
    return value


def _known_keys(declared: dict[Any, Any], known: tuple[str, ...], where: str) -> None:
    import difflib

    for key in declared:
        if key not in known:
            close = difflib.get_close_matches(str(key), known)
            hint = f": did you mean `{close[0]}`?" if close else f": expected {', '.join(known)}"
            raise Invalid(f"{where}: unknown key `{key}`{hint}")
