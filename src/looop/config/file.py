"""The config file: `config.toml` when present, else `config.json`, decoded into one record. Design §3, last lines.

An unknown key is a warning with a suggestion; a wrong type is an error that names key, value and expectation.
Keys of older versions are read. Source: spec/cli.md §4, edge cases 103, 145, 234.
"""

import difflib
import errno
import math
import os
import re
import stat
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from looop.config.api import API_KEYS, ModelApi, model_api
from looop.model.errors import Corrupt, Unreadable
from looop.model.usage import CostSpec, Price

DEFAULT_INTERVAL_S = 60
DEFAULT_MAX_NUDGE_S = 300
DEFAULT_SESSION_TTL_S = 259200
NO_RUNNER = "none"
EVENTS = ("claude", "codex", "opencode", "pi")

_TEXT: tuple[type, ...] = (str,)
_NUMBER: tuple[type, ...] = (int, float)
_TABLE: tuple[type, ...] = (dict,)
_KEYS: dict[str, tuple[type, ...]] = {
    "runner": _TEXT,
    "default": _TEXT,
    "runners": _TABLE,
    "tick_command": _TEXT,
    "tick": _TEXT,
    "worker_command": _TEXT,
    "interactive": _TEXT,
    "interval": _NUMBER,
    "max_next_interval": _NUMBER,
    "session_ttl": _NUMBER,
    "max_daily_usd": _NUMBER,
    "max_daily_tokens": _NUMBER,
    "max_goal_usd": _NUMBER,
    "cost": _TABLE,
    "price": _TABLE,
    "events": _TEXT,
}
_RUNNER_KEYS: dict[str, tuple[type, ...]] = {
    "tick": _TEXT,
    "interactive": _TEXT,
    "tick_command": _TEXT,
    "worker_command": _TEXT,
    "resume": _TEXT,
    "cost": _TABLE,
    "price": _TABLE,
    "events": _TEXT,
} | API_KEYS
_WITHOUT_EFFECT = {"busy_interval": "interval", "active_interval": "interval"}
_EXPECTED = {_TEXT: "text", _NUMBER: "a number", _TABLE: "a table"}
_FORMATTER_PIPE = re.compile(
    r"""\s*\|\s*(["']?)(?:\$\{?LOOOP_BIN\}?|(?:\S*/)?looop)\1\s+(?:_\s+fmt|_?fmt)\s*\Z""",
)


_MOST_BYTES = 1 << 20
_MOST_WARNINGS = 20

T = TypeVar("T")


class Config(Struct, frozen=True):
    """What a person configured. Intervals may be fractions or nonsense: rules/cadence.py clamps them.

    With a model API, `tick_command` is the command line of the child that asks it. `events` names the agent CLI whose
    JSON events the command prints, where its own name does not.
    """

    tick_command: str | None = None
    worker_command: str | None = None
    interval: float = DEFAULT_INTERVAL_S
    max_next_interval: int = DEFAULT_MAX_NUDGE_S
    session_ttl: int = DEFAULT_SESSION_TTL_S
    max_daily_usd: float | None = None
    max_daily_tokens: float | None = None
    max_goal_usd: float | None = None
    cost: CostSpec | None = None
    price: Price | None = None
    events: str | None = None
    api: ModelApi | None = None
    warnings: tuple[str, ...] = ()

    @property
    def runner(self) -> str:
        """The name of what decides when no reflex does: `provider/model`, the tick command's program, or `none`."""
        if self.api:
            return self.api.label
        return program_word(self.tick_command) if self.tick_command else NO_RUNNER


def load_config(path: str) -> Config:
    """The config at `path`, the defaults when there is no file. Raises Unreadable, Corrupt."""
    try:
        with open(path, "rb", opener=_open_file) as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return Config()
    except OSError as error:
        raise Unreadable(f"cannot read the config {path}: {error.strerror}") from None
    if len(data) > _MOST_BYTES:
        raise Corrupt(f"{path}: more than {_MOST_BYTES} bytes: that is no config")
    return parse_config(_decode(path, data.removeprefix(b"\xef\xbb\xbf")), path)


def _open_file(path: str, flags: int) -> int:
    """Open without waiting for what is not a file, such as a FIFO. Raises OSError for that, too."""
    fd = os.open(path, flags | os.O_NONBLOCK)
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "Is a directory" if stat.S_ISDIR(mode) else "Not a regular file")
    return fd


def parse_config(raw: object, path: str) -> Config:
    """The config in a decoded file. Raises Corrupt."""
    if not isinstance(raw, dict):
        raise Corrupt(f"{path}: expected a table of keys, got {type(raw).__name__}")
    warnings = _check(raw, _KEYS, path, "")
    table, where = _chosen(raw, path, warnings)
    tick, api = (
        (table.get("tick_command") or table.get("tick") or "").strip(),
        model_api(table, path, where) if where else None,
    )
    return Config(
        tick_command=api.command if api else _FORMATTER_PIPE.sub("", tick) if tick else None,
        worker_command=table.get("worker_command") or table.get("interactive"),
        interval=raw.get("interval", DEFAULT_INTERVAL_S),
        max_next_interval=int(raw.get("max_next_interval", DEFAULT_MAX_NUDGE_S)),
        session_ttl=int(raw.get("session_ttl", DEFAULT_SESSION_TTL_S)),
        max_daily_usd=raw.get("max_daily_usd"),
        max_daily_tokens=raw.get("max_daily_tokens"),
        max_goal_usd=raw.get("max_goal_usd"),
        cost=_record(table, "cost", CostSpec, path, where),
        price=_record(table, "price", Price, path, where),
        events=_events(table, path, where),
        api=api,
        warnings=tuple(warnings[:_MOST_WARNINGS]),
    )


def program_word(command: str) -> str:
    """The first real word of a shell command: assignments, `env` and its flags are passed over. Spec/beat.md §7.

    `runner` where only a shell could tell it, as behind an assignment with quotes, whose parts must not pass for it.
    """
    for word in command.split():
        if word == "env" or word.startswith("-"):
            continue
        if not is_assignment(word):
            return os.path.basename(word.strip("'\"")) or "runner"
        if set(word) & set("'\"\\$`"):
            break
    return "runner"


def is_assignment(word: str) -> bool:
    """Whether a shell would take the word for `NAME=value`."""
    return re.match(r"[A-Za-z_]\w*=", word) is not None


def _decode(path: str, data: bytes) -> object:
    try:
        if path.endswith(".toml"):
            import tomllib

            return tomllib.loads(data.decode())
        return msgspec.json.decode(data)
    except (ValueError, RecursionError) as error:
        raise Corrupt(f"{path}: not {'TOML' if path.endswith('.toml') else 'JSON'}: {error}") from None


def _check(raw: dict[str, Any], known: dict[str, tuple[type, ...]], path: str, where: str) -> list[str]:
    warnings = []
    for key, value in raw.items():
        if key in _WITHOUT_EFFECT:
            warnings.append(f"{path}: {where}{key} has no effect: {_WITHOUT_EFFECT[key]} is the one there is")
        elif key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            warnings.append(f"{path}: unknown key {where}{key}" + (f": did you mean {close[0]}?" if close else ""))
        elif not isinstance(value, known[key]) or isinstance(value, bool) or _is_endless(value):
            raise Corrupt(f"{path}: {where}{key} = {value!r}: expected {_EXPECTED[known[key]]}")
    return warnings


def _is_endless(value: object) -> bool:
    """TOML knows `inf` and `nan`; no key of ours does."""
    return isinstance(value, float) and not math.isfinite(value)


def _chosen(raw: dict[str, Any], path: str, warnings: list[str]) -> tuple[dict[str, Any], str]:
    """The table that describes the runner, and its name in front of a key; an empty one when no runner is wanted."""
    chosen, runners = raw.get("runner") or raw.get("default"), raw.get("runners", {})
    if chosen == NO_RUNNER:
        return {}, ""
    if not chosen or not runners:
        return _with_command(raw, chosen, path, warnings), ""
    if chosen not in runners:
        raise Corrupt(f"{path}: runner = {chosen!r}: expected {NO_RUNNER!r} or one of {', '.join(sorted(runners))}")
    table = runners[chosen]
    if not isinstance(table, dict):
        raise Corrupt(f"{path}: runners.{chosen} = {table!r}: expected a table")
    where = f"runners.{chosen}."
    warnings += _check(table, _RUNNER_KEYS, path, where)
    return _with_command(table, chosen, path, warnings), where


def _with_command(table: dict[str, Any], chosen: str | None, path: str, warnings: list[str]) -> dict[str, Any]:
    """The table of a runner; one that was chosen by name must say what to run. Raises Corrupt."""
    if chosen and not (table.get("tick_command") or table.get("tick") or "provider" in table):
        hints = "".join(f"; {warning}" for warning in warnings)
        wanted = f"give it one, or set runner = {NO_RUNNER!r}{hints}"
        raise Corrupt(f"{path}: runner = {chosen!r} has no tick_command: {wanted}")
    return table


def _events(table: dict[str, Any], path: str, where: str) -> str | None:
    """Whose events the runner prints, None when its name says so. Raises Corrupt."""
    events = table.get("events")
    if events is not None and events not in EVENTS:
        raise Corrupt(f"{path}: {where}events = {events!r}: expected one of {', '.join(EVENTS)}")
    return events


def _record(table: dict[str, Any], key: str, kind: type[T], path: str, where: str) -> T | None:
    """The record in one table of the file, None without it. Raises Corrupt."""
    if key not in table:
        return None
    try:
        return msgspec.convert(table[key], kind)
    except msgspec.ValidationError as error:
        raise Corrupt(f"{path}: {where}{key} = {table[key]!r}: {error}") from None
