"""The config file: both formats, the shapes of older versions, and what a person is told when it is wrong."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from looop.config.file import Config, load_config, parse_config
from looop.model.errors import Corrupt, Unreadable


def parsed(**keys: Any) -> Config:
    return parse_config(keys, "config.json")


def test_no_file_is_the_default(tmp_path: Path) -> None:
    """Without a file nobody is asked and the defaults hold. Source: design §4."""
    config = load_config(str(tmp_path / "config.json"))
    assert config == Config() and (config.runner, config.interval, config.max_next_interval) == ("none", 60, 300)


def test_both_formats_give_the_same_config(tmp_path: Path) -> None:
    """TOML and JSON decode into one record. Source: design §3, last lines."""
    toml, plain = tmp_path / "config.toml", tmp_path / "config.json"
    toml.write_text('tick_command = "agent -p"\ninterval = 90\nmax_daily_usd = 2.5\n')
    plain.write_text('{"tick_command": "agent -p", "interval": 90, "max_daily_usd": 2.5}')
    assert load_config(str(toml)) == load_config(str(plain))
    assert load_config(str(toml)).max_daily_usd == 2.5


@pytest.mark.parametrize(
    "shape",
    [
        {"tick_command": "t", "worker_command": "w"},
        {"tick": "t", "interactive": "w"},
        {"default": "pi", "runners": {"pi": {"tick": "t", "interactive": "w", "resume": "r"}, "x": {"tick": "no"}}},
        {
            "runner": "pi",
            "runners": {"pi": {"tick_command": "t", "worker_command": "w", "cost": {"type": "x", "pointer": "/y"}}},
        },
        {"runner": "a", "default": "b", "runners": {"a": {"tick": "t", "interactive": "w"}, "b": {}}},
        {"tick_command": "t", "tick": "old", "worker_command": "w", "interactive": "old"},
    ],
)
def test_every_shape_of_old_is_read(shape: dict[str, Any]) -> None:
    """Keys of 0.12, 0.22 and 1.0 mean what they meant, without a warning. Source: spec/cli.md §4, design §3."""
    config = parse_config(shape, "config.json")
    assert (config.tick_command, config.worker_command, config.warnings) == ("t", "w", ())


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"interval": "60"}, "interval = '60': expected a number"),
        ({"interval": True}, "interval = True: expected a number"),
        ({"interval": None}, "interval = None: expected a number"),
        ({"tick_command": 5}, "tick_command = 5: expected text"),
        ({"runners": []}, "runners = []: expected a table"),
        ({"runner": "x", "runners": {"x": 1}}, "runners.x = 1: expected a table"),
        ({"runner": "x", "runners": {"x": {"tick": 1}}}, "runners.x.tick = 1: expected text"),
        ({"runner": "c", "runners": {"b": {}, "a": {}}}, "runner = 'c': expected 'none' or one of a, b"),
        ({"runner": "claude"}, "runner = 'claude' has no tick_command: give it one, or set runner = 'none'"),
        (
            {"default": "pi", "runners": {"pi": {"interactive": "w"}}},
            "runner = 'pi' has no tick_command: give it one, or set runner = 'none'",
        ),
        ({"interval": float("inf")}, "interval = inf: expected a number"),
        ({"interval": float("nan")}, "interval = nan: expected a number"),
        ({"session_ttl": float("nan")}, "session_ttl = nan: expected a number"),
        ({"max_next_interval": float("-inf")}, "max_next_interval = -inf: expected a number"),
    ],
)
def test_a_wrong_type_names_key_value_and_expectation(keys: dict[str, Any], message: str) -> None:
    """A wrong value is an error a person can repair from. Source: design §3, last lines."""
    with pytest.raises(Corrupt) as caught:
        parse_config(keys, "/d/config.json")
    assert str(caught.value) == f"/d/config.json: {message}"


@pytest.mark.parametrize(
    ("keys", "warning"),
    [
        ({"intervall": 5}, "unknown key intervall: did you mean interval?"),
        ({"zzz": 5}, "unknown key zzz"),
        (
            {"runner": "x", "runners": {"x": {"tick": "t", "worker_comand": "t"}}},
            "unknown key runners.x.worker_comand: did you mean worker_command?",
        ),
    ],
)
def test_an_unknown_key_is_a_warning_with_a_suggestion(keys: dict[str, Any], warning: str) -> None:
    """A typo is said and does not stop anything. Source: design §3, last lines."""
    assert parsed(**keys).warnings == (f"config.json: {warning}",)


def test_a_misspelt_command_is_no_silent_none() -> None:
    """A runner without a command is an error, and the typo that made it so is in it.

    Source: edge case 39, design §3.
    """
    with pytest.raises(Corrupt, match=r"no tick_command.*tick_comand: did you mean tick_command\?"):
        parsed(runner="x", runners={"x": {"tick_comand": "t"}})


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '"x"', '{"interval": NaN}', "[" * 5000])
def test_what_is_no_config_is_corrupt(tmp_path: Path, text: str) -> None:
    """Garbage is an error that names the file, never the default. Source: spec/edge-cases.md items 146, 234."""
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(Corrupt, match=r"config\.json"):
        load_config(str(path))


@pytest.mark.parametrize("data", [b"a = ", b"\xff", b"interval = nan\n"])
def test_what_is_no_toml_is_corrupt(tmp_path: Path, data: bytes) -> None:
    """The same for TOML, whose numbers may be endless. Source: spec/edge-cases.md item 145."""
    path = tmp_path / "config.toml"
    path.write_bytes(data)
    with pytest.raises(Corrupt, match=r"config\.toml"):
        load_config(str(path))


def test_a_folder_in_its_place_is_unreadable_and_costs_nothing(tmp_path: Path) -> None:
    """Unreadable is not absent, and reading it each beat leaks no descriptor. Source: spec/edge-cases.md item 234."""
    folder = tmp_path / "config.json"
    folder.mkdir()
    before = len(os.listdir("/dev/fd"))
    for _ in range(20):
        with pytest.raises(Unreadable, match=r"config\.json"):
            load_config(str(folder))
    assert len(os.listdir("/dev/fd")) == before


@pytest.mark.parametrize(
    ("command", "kept"),
    [
        ("agent | looop _ fmt", "agent"),
        ('agent -x | "$LOOOP_BIN" _ fmt', "agent -x"),
        ("agent | ${LOOOP_BIN} _fmt ", "agent"),
        ("agent | '/opt/bin/looop' fmt", "agent"),
        ("agent | tee log | looop _ fmt", "agent | tee log"),
        ("agent | grep looop_fmt", "agent | grep looop_fmt"),
        ("agent | looop state", "agent | looop state"),
        ("looop _ fmt", "looop _ fmt"),
    ],
)
def test_only_the_formatter_tail_of_old_is_cut(command: str, kept: str) -> None:
    """A last pipe into looop's own formatter goes, any other pipeline stays. Source: spec/edge-cases.md item 103."""
    assert parsed(tick_command=command).tick_command == kept


@pytest.mark.parametrize(
    "keys", [{}, {"runner": "none", "tick_command": "x"}, {"runner": "none", "runners": {"a": {}}}]
)
def test_no_runner_means_none(keys: dict[str, Any]) -> None:
    """`runner = "none"`, or nothing configured: reflexes only. Source: design §4."""
    config = parse_config(keys, "config.json")
    assert (config.tick_command, config.runner) == (None, "none")


@pytest.mark.parametrize("interval", [0, -3, 0.4, 1e300])
def test_an_interval_may_be_nonsense_here(interval: float) -> None:
    """It is kept as written and clamped where it is used. Source: spec/edge-cases.md item 145."""
    assert parsed(interval=interval).interval == interval


def test_numbers_of_any_size_are_read(tmp_path: Path) -> None:
    """A huge whole number is no crash. Source: spec/edge-cases.md item 20."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"session_ttl": 10**30, "max_next_interval": 2.9}))
    assert (load_config(str(path)).session_ttl, load_config(str(path)).max_next_interval) == (10**30, 2)
