"""Setting up who decides: what is there, what would be written, and writing it.

Nothing is made or changed before `write`. The file is replaced in one step, and only if nobody has changed it since it
was read. What is not about the runner stays. Source: spec/cli.md §6, design §3 row 14.
"""

import os
from shutil import which
from typing import Any

import msgspec
from msgspec import Struct

from looop.config.file import NO_RUNNER, Config, load_config, parse_config, program_word
from looop.config.presets import CUSTOM, PRESETS, PROMPT_FILE, preset_of
from looop.contract.config_text import Edits, Path, edited, json_text, toml_text
from looop.model.errors import Corrupt, Invalid, Refused, Unreadable
from looop.model.text import one_line
from looop.state.house import House
from looop.store.open import open_files

_ALIASES = {"tick_command": "tick", "worker_command": "interactive"}


class Choice(Struct, frozen=True):
    """A ready-made wiring. `found` is the path of the CLI it needs, empty where it is not installed."""

    name: str
    about: str
    tick_command: str
    worker_command: str
    found: str


class Setup(Struct, frozen=True):
    """How things are: the config file (`exists` or not), its runner (`none` without one), and what may be chosen."""

    path: str
    exists: bool
    runner: str
    tick_command: str | None
    worker_command: str | None
    choices: list[Choice]


class Wiring(Struct, frozen=True):
    """What somebody wants; None leaves a thing as it is. `runner` is a preset, `none`, or one that the config has."""

    runner: str | None = None
    tick_command: str | None = None
    worker_command: str | None = None
    interval: int | None = None


class Plan(Struct, frozen=True):
    """What would be written. `changes` says key by key what becomes of it; empty when all is so already.

    `doubts` says what may not be meant; `before` is what the file holds now, None without one.
    """

    path: str
    runner: str
    changes: list[str]
    doubts: list[str]
    text: str
    before: bytes | None


def look(house: House) -> Setup:
    """How things are. Raises Unreadable, Corrupt: a config that has gone bad is mended by a person."""
    path = house.setting.config_file
    config, search = load_config(path), house.setting.env.get("PATH")
    preset = preset_of(config.tick_command)
    return Setup(
        path=path,
        exists=os.path.exists(path),
        runner=preset.name if preset else config.runner,
        tick_command=None if config.api else config.tick_command,
        worker_command=config.worker_command,
        choices=[
            Choice(
                each.name, each.about, each.tick_command, each.worker_command, which(each.program, path=search) or ""
            )
            for each in PRESETS.values()
        ],
    )


def plan(house: House, wanted: Wiring) -> Plan:
    """What would be written for these wishes. Raises Invalid, Refused, Unreadable, Corrupt."""
    path = house.setting.config_file
    before = _read(path)
    raw = _decoded(path, before)
    edits = {key: value for key, value in _edits(raw, wanted).items() if _at(raw, key) != value}
    after = parse_config(edited(raw, edits), path)
    text = toml_text((before or b"").decode(), raw, edits) if path.endswith(".toml") else json_text(raw, edits)
    changes = [_change(key, _at(raw, key), value) for key, value in edits.items()]
    preset = preset_of(after.tick_command)
    return Plan(path, preset.name if preset else after.runner, changes, _doubts(house, raw, edits, after), text, before)


def write(plan: Plan) -> None:
    """Put the plan into the file. Raises Refused when it has changed since; Unreadable, Unwritable."""
    folder, name = os.path.split(os.path.realpath(plan.path))
    store, data = open_files(folder), plan.text.encode()
    done = store.create(name, data) if plan.before is None else store.swap(name, plan.before, data)
    if not done:
        raise Refused(f"{plan.path} was changed by somebody else meanwhile, and is not overwritten: try again")


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unreadable(f"cannot read the config {path}: {error.strerror}; nothing is written") from None


def _decoded(path: str, data: bytes | None) -> dict[str, Any]:
    """The file's table. Raises Corrupt: then it is not touched."""
    if data is None:
        return {}
    load_config(path)
    import tomllib

    try:
        raw = tomllib.loads(data.decode()) if path.endswith(".toml") else msgspec.json.decode(data)
    except ValueError as error:
        raise Corrupt(f"{path}: {error}") from None
    return dict(raw)


def _edits(raw: dict[str, Any], wanted: Wiring) -> Edits:
    """The keys to set, and (None) those to take away."""
    tick, worker = wanted.tick_command, wanted.worker_command
    edits: dict[Path, Any] = {} if wanted.interval is None else {("interval",): wanted.interval}
    runners, chosen = raw.get("runners") or {}, raw.get("runner") or raw.get("default")
    name = wanted.runner
    if name == NO_RUNNER:
        return edits | {("runner",): NO_RUNNER}
    if name is not None and name in PRESETS and name not in runners:
        tick, worker = tick or PRESETS[name].tick_command, worker or PRESETS[name].worker_command
    elif name is not None and name not in runners and not (name == CUSTOM and tick):
        raise Invalid(_unknown(name, [*PRESETS, *runners]))
    if tick is None and worker is None and name is None:
        return edits
    name = name or _own_name(raw, chosen)
    if runners or chosen:
        edits |= {("runner",): name, ("default",): None}
    where: Path = ("runners", name) if runners else ()
    for key, command in (("tick_command", tick), ("worker_command", worker)):
        if command is not None:
            edits |= {(*where, key): _checked(key, command), (*where, _ALIASES[key]): None}
    return edits


def _own_name(raw: dict[str, Any], chosen: str | None) -> str:
    """The runner whose commands somebody changes: the chosen one, unless it is ready-made, an API or nobody."""
    table = raw.get("runners", {}).get(chosen)
    if table is None:
        return CUSTOM if not chosen or chosen == NO_RUNNER or chosen in PRESETS else chosen
    return CUSTOM if chosen is None or "provider" in table else chosen


def _unknown(name: str, known: list[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, known, n=1)
    hint = f": did you mean `{close[0]}`?" if close else f": expected {NO_RUNNER}, {', '.join(known)}"
    return f"no runner {name!r}{hint} (a command of your own: --tick)"


def _checked(key: str, command: str) -> str:
    """The command, if it can be one. Raises Invalid."""
    if not command.strip() or command != command.strip():
        raise Invalid(f"{key} = {command!r}: expected a command, without blanks around it")
    if command != one_line(command):
        raise Invalid(f"{key} = {command!r}: expected one line of text")
    if key == "worker_command" and PROMPT_FILE not in command:
        raise Invalid(f"worker_command = {command!r}: expected {PROMPT_FILE} in it, where the worker finds its task")
    return command


def _at(raw: Any, path: Path) -> Any:
    for key in path:
        raw = raw.get(key) if isinstance(raw, dict) else None
    return raw


def _change(path: Path, old: Any, new: Any) -> str:
    name = ".".join(path)
    if new is None:
        return f"{name}: {old!r} is taken away"
    return f"{name} = {new!r}" + ("" if old is None else f" (was {old!r})")


def _doubts(house: House, raw: dict[str, Any], edits: Edits, after: Config) -> list[str]:
    """What somebody may want to know before it is written, or right after."""
    found = list(after.warnings)
    tick_changes = any(path[-1] == "tick_command" and value is not None for path, value in edits.items())
    if tick_changes and (after.cost or after.price):
        found.append("`cost` and `price` of the config stay as they are: do they fit the new runner?")
    if after.tick_command and not after.api:
        program = program_word(after.tick_command)
        if which(program, path=house.setting.env.get("PATH")) is None and "/" not in after.tick_command.split()[0]:
            found.append(f"{program} is not on the PATH here: install it before the loop needs it")
        as_root = "--dangerously-skip-permissions" in after.tick_command and os.geteuid() == 0
        if program == "claude" and as_root and not house.setting.env.get("IS_SANDBOX"):
            found.append("as root claude refuses to run so, unless IS_SANDBOX=1 is set (docs/runners.md)")
    return found
