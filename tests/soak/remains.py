"""What a soak leaves when it ends early: processes, sockets, and its folder, which names the process it belongs to."""

import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.fakes.crew import end_all, processes_of

QUIET_S = 0.5  # what a thread or a process was just starting has shown itself by then
LONGEST_S = 30.0
_NAME = re.compile(r"looop-soak-(\d+)-\w+")


@contextmanager
def data_dir() -> Iterator[Path]:
    """A data dir in a folder of its own, which is removed in the end."""
    with tempfile.TemporaryDirectory(prefix=f"looop-soak-{os.getpid()}-", ignore_cleanup_errors=True) as folder:
        yield Path(folder) / "data"


def end_processes(root: Path) -> int:
    """Kill all of a data dir until nothing new comes, and remove its sockets; how many were killed."""
    killed = set[str]()
    began = quiet = time.monotonic()
    while time.monotonic() < min(quiet + QUIET_S, began + LONGEST_S):
        for line in processes_of(root):
            quiet = time.monotonic()
            with suppress(ProcessLookupError):
                os.kill(int(line.split()[0]), signal.SIGKILL)
                killed.add(line.split()[0])
        time.sleep(0.05)
    end_all(root)
    return len(killed)


def clear_away() -> None:
    """End and remove what soaks that were killed have left."""
    for folder in Path(tempfile.gettempdir()).glob("looop-soak-*"):
        match = _NAME.fullmatch(folder.name)
        if match and folder.stat().st_uid == os.getuid() and not _is_soak(int(match[1])):
            count = end_processes(folder / "data")
            shutil.rmtree(folder, ignore_errors=True)
            print(f"removed {folder}, left by a soak that is gone, and ended {count} processes", file=sys.stderr)


def _is_soak(pid: int) -> bool:
    """Whether that process is one, not another that has got its number since."""
    with suppress(OSError):
        return pid != os.getpid() and b"tests.soak.kills" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False
