"""Thousands of small data dirs are made here: in memory, where there is room for them."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

MEMORY = "/dev/shm"


@pytest.fixture
def quick_path(tmp_path: Path) -> Iterator[Path]:
    """As tmp_path, on a file system that is none of a disk's where the machine has one."""
    if not os.access(MEMORY, os.W_OK | os.X_OK):
        yield tmp_path
        return
    folder = tempfile.mkdtemp(prefix="looop-crash-", dir=MEMORY)
    yield Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
