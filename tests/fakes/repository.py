"""Real git repositories for tests, which nobody's configuration reaches."""

import os
import subprocess
from pathlib import Path

from tests.fakes.house import SYSTEM_PATH

AUTHOR = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b.invalid"}
AUTHOR |= {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b.invalid"}
PLAIN = {"PATH": SYSTEM_PATH, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", **AUTHOR}


def run(folder: Path | str, *words: str) -> str:
    """What git prints, as somebody at work in the folder would run it."""
    return subprocess.run(["git", *words], cwd=folder, env=PLAIN, check=True, capture_output=True, text=True).stdout


def commit(folder: Path | str, name: str = "file", text: str = "1\n") -> str:
    Path(folder, name).write_text(text)
    run(folder, "add", "--all")
    run(folder, "commit", "-qm", f"{name} is there")
    return run(folder, "rev-parse", "HEAD").strip()


def repository(path: Path) -> Path:
    """A repository with one commit on main."""
    path.mkdir(parents=True)
    run(path, "init", "-q", "-b", "main")
    commit(path)
    return path
