"""The ready-made wirings are metered, and read the prompt where every size of it fits."""

import subprocess
from pathlib import Path

import pytest

from looop.config.file import parse_config, program_word
from looop.config.presets import PRESETS, PROMPT_FILE, Preset, preset_of
from looop.decide.streams import TextReader, reader_for
from looop.rules.launch import Retries, launch_script

EACH = pytest.mark.parametrize("preset", PRESETS.values(), ids=list(PRESETS))


@EACH
def test_a_preset_is_a_config(preset: Preset) -> None:
    """Its two commands make a config without a warning, whose runner is the CLI. Source: spec/cli.md §4."""
    config = parse_config({"tick_command": preset.tick_command, "worker_command": preset.worker_command}, "c")
    assert (config.runner, config.warnings) == (preset.program, ())
    assert program_word(preset.worker_command) == preset.program
    assert preset_of(config.tick_command) is preset


@EACH
def test_a_preset_is_metered(preset: Preset) -> None:
    """Its output is JSON events, read by the reader of that CLI. Source: design §6."""
    reader = reader_for(preset.program, preset.tick_command)
    assert not isinstance(reader, TextReader)
    assert type(reader).__name__.lower() == f"{preset.program}reader"


@EACH
def test_the_prompt_comes_on_stdin(preset: Preset) -> None:
    """No tick command takes the prompt as an argument, which ends at 131,072 bytes; each worker command names its task.

    Source: design §3, spec/cli.md §4.
    """
    assert PROMPT_FILE not in preset.tick_command
    assert "$(cat" not in preset.tick_command
    assert PROMPT_FILE in preset.worker_command


@pytest.mark.parametrize("size", (10, 131_071, 131_072, 300_000))
@pytest.mark.parametrize("name", ("claude", "codex", "opencode", "pi"))
def test_a_worker_gets_its_task_whatever_its_size(name: str, size: int, tmp_path: Path) -> None:
    """As its last argument while that is one argument, else by path; pi by path always. Source: edge cases 97, 99."""
    data = tmp_path / "it's a $HOME"
    data.mkdir()
    task = data / "w.md"
    task.write_text("x" * (size - 1) + "\n")
    agent = tmp_path / name
    agent.write_text('#!/bin/sh\nfor last; do :; done; printf %s "$last"\n')
    agent.chmod(0o755)
    script = launch_script(PRESETS[name].worker_command, None, str(task), str(data), "w", Retries())
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    if name == "pi":
        assert done.stdout == f"@{task}"
    elif size < 131_072:
        assert done.stdout == "x" * (size - 1)
    else:
        assert done.stdout == f"Read all of {task}, in parts, and do what it says."


def test_anything_else_is_no_preset() -> None:
    """A command of somebody's own has no preset. Source: spec/cli.md §6."""
    assert preset_of("claude -p") is None
    assert preset_of(None) is None


def test_the_guide_shows_what_is_written() -> None:
    """docs/runners.md names each preset, with its commands unless they are long. Source: docs/runners.md."""
    text = (Path(__file__).parents[3] / "docs/runners.md").read_text(encoding="utf-8")
    for preset in PRESETS.values():
        assert f"| `{preset.name}` |" in text
        if not preset.name.endswith("-fast"):
            assert f"`{preset.tick_command}`" in text
            assert f"`{preset.worker_command}`" in text
