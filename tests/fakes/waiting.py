"""Waiting for a condition with a deadline, and what tests want to know about processes."""

import os
import subprocess
import time
from collections.abc import Callable


def until(condition: Callable[[], bool], seconds: float = 10.0, what: str = "the condition") -> None:
    """Return as soon as the condition holds; fail the test when it does not within `seconds`."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, f"waited {seconds} s for {what}"
        time.sleep(0.005)


def watches(pid: int) -> bool:
    """Whether a process waits for the kernel's events: by inotify, or by a pipe to itself and the folder of the asks.

    A folder alone may be one that is just being listed.
    """
    try:
        links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        return False
    to_itself = any(link.startswith("pipe:") and links.count(link) > 1 for link in links)
    return any("inotify" in link for link in links) or (to_itself and any(link.endswith("/asks") for link in links))


def gone(pid: int) -> bool:
    """True when no such process runs any more; a zombie that nobody reaps counts as gone."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return state_of(pid) in ("", "Z")


def state_of(pid: int) -> str:
    """The one letter `ps` shows: R, S, T, Z ...; empty when there is no such process."""
    answer = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return answer.stdout.strip()[:1]
