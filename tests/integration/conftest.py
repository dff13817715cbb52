"""What holds for every integration test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from looop.decide.bundle import prompt_input_of, read_kept
from looop.rules.prompt.build import build


@pytest.fixture(autouse=True)
def every_prompt_can_be_rebuilt(tmp_path: Path) -> Iterator[None]:
    """Whatever bundle a test makes, its prompt comes out of world.json and memory.json again, byte for byte."""
    yield
    for prompt in tmp_path.glob("**/runs/*/prompt.md"):
        world, memory = read_kept(str(prompt.parent))
        assert build(prompt_input_of(world, memory)).text.encode("utf-8", "replace") == prompt.read_bytes(), prompt


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the data dir of a test is."""
    return tmp_path / "data"
