"""The recorded streams: complete, small, and free of the machine they were made on."""

import json
import os
import re

import pytest

from tests.agents.record import LARGEST, STREAMS, takes

NAMES = sorted(take.name for take in takes())
FOREIGN = re.compile(r"(?<![\w/])/(?:tmp|root|work|Users|var)/|127\.0\.0\.1:(?!8000)|https?://(?!127\.)")


def test_every_take_is_recorded_and_indexed():
    """Takes, files and index name the same recordings."""
    files = sorted(name.removesuffix(".jsonl") for name in os.listdir(STREAMS) if name.endswith(".jsonl"))
    assert files == NAMES
    assert sorted(json.loads((STREAMS / "index.json").read_text())) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_recording_is_small_and_names_no_machine(name):
    """Each stays below the limit, holds one JSON object per line, and no path or port of the machine."""
    text = (STREAMS / f"{name}.jsonl").read_text()
    assert len(text) <= LARGEST
    assert all(isinstance(json.loads(line), dict) for line in text.splitlines())
    assert FOREIGN.search(text) is None
