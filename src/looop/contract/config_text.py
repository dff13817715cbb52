"""A config file's text with some keys changed; everything else stays as a person wrote it.

Note [TOML by lines]
No library here writes TOML, so single lines are replaced, added, or turned into comments. The result is parsed and
must be what was wanted and nothing else; where it is not (a value over several lines, an inline table), nothing is
written and a person is told what to add.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from looop.model.errors import Refused

Path = tuple[str, ...]
Edits = Mapping[Path, Any]
_HEADER = re.compile(r"\s*\[")
_VALUE = r"""(?:"(?:[^"\\]|\\.)*"|'[^']*'|[^\s"'\[{#]+)"""


def edited(raw: Mapping[str, Any], edits: Edits) -> dict[str, Any]:
    """The decoded file with these keys set, those that are None taken away."""
    table = dict(raw)
    for path, value in edits.items():
        if len(path) > 1 and (value is not None or path[0] in table):
            table[path[0]] = edited(table.get(path[0], {}), {path[1:]: value})
        elif value is None:
            table.pop(path[0], None)
        else:
            table[path[0]] = value
    return table


def json_text(raw: Mapping[str, Any], edits: Edits) -> str:
    """The whole file as JSON, in the order it had."""
    return msgspec.json.format(msgspec.json.encode(edited(raw, edits)), indent=2).decode() + "\n"


def toml_text(text: str, raw: Mapping[str, Any], edits: Edits) -> str:
    """The file with these lines changed. Raises Refused where that is not safe. See Note [TOML by lines]."""
    import tomllib

    newline = "\r\n" if "\r\n" in text else "\n"
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n") if text.strip() else []
    for path, value in edits.items():
        lines = _with_line(lines, path, value)
    changed = "".join(f"{line}{newline}" for line in lines)
    try:
        safe = tomllib.loads(changed) == edited(raw, edits)
    except tomllib.TOMLDecodeError:
        safe = False
    if safe:
        return changed
    wanted = "; ".join(f"{'.'.join(path)} = {_spelled(value)}" for path, value in edits.items() if value is not None)
    raise Refused(f"the config cannot be changed safely, and was not: put into it by hand: {wanted}")


def _with_line(lines: list[str], path: Path, value: Any) -> list[str]:
    *tables, key = path
    begin, end = _segment(lines, ".".join(map(_key, tables)))
    if begin < 0:
        header = [f"[{'.'.join(map(_key, tables))}]"]
        return lines if value is None else [*lines, *([""] if lines else []), *header, _line(key, value)]
    names = "|".join(re.escape(name) for name in {key, _key(key), f'"{key}"'})
    line = re.compile(rf"(\s*(?:{names})\s*=\s*){_VALUE}(\s*(?:#.*)?)")
    for n in range(begin, end):
        if found := line.fullmatch(lines[n]):
            new = f"# {lines[n]}" if value is None else f"{found[1]}{_spelled(value)}{found[2]}"
            return [*lines[:n], new, *lines[n + 1 :]]
    if value is None:
        return lines
    at = _after_last_key(lines, begin, end)
    return [*lines[:at], _line(key, value), *lines[at:]]


def _segment(lines: list[str], table: str) -> tuple[int, int]:
    """The lines of one table, from behind its header to the next one; (-1, -1) without it."""
    headers = [n for n, line in enumerate(lines) if _HEADER.match(line)]
    if not table:
        return 0, headers[0] if headers else len(lines)
    for n in headers:
        if re.fullmatch(rf"\s*\[\s*{re.escape(table)}\s*\]\s*(#.*)?", lines[n]):
            return n + 1, next((m for m in headers if m > n), len(lines))
    return -1, -1


def _after_last_key(lines: list[str], begin: int, end: int) -> int:
    """Behind the last line that is neither blank nor a comment; else behind the comments that begin the file."""
    said = [n for n in range(begin, end) if lines[n].strip() and not lines[n].lstrip().startswith("#")]
    if said:
        return said[-1] + 1
    while begin < end and lines[begin].lstrip().startswith("#"):
        begin += 1
    return begin


def _line(key: str, value: Any) -> str:
    return f"{_key(key)} = {_spelled(value)}"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)


def _spelled(value: Any) -> str:
    """A value of ours in TOML."""
    if not isinstance(value, str):
        return str(value)
    plain = value.isprintable() and "'" not in value
    return f"'{value}'" if plain and '"' in value else json.dumps(value, ensure_ascii=False)
