"""A disk that is really full after some kilobytes."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def tiny_disk(where: Path, kilobytes: int) -> Iterator[Path]:
    """A file system of that size; the test is skipped where nobody may mount one."""
    where.mkdir(exist_ok=True)
    options = f"size={kilobytes}k,mode=0755"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tiny", str(where)], capture_output=True)
    if mounted.returncode:
        pytest.skip("no disk can be mounted here")
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True)


def fill(folder: Path) -> Path:
    """Take all the room there is; returns what to remove to give it back."""
    path = folder / ".ballast"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        for size in (4096, 64, 1):
            while os.write(fd, b"x" * size) == size:
                pass
    except OSError:
        pass
    finally:
        os.close(fd)
    return path
