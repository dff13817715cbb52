"""Git as the loop runs it: one command in the one repository it is given, whatever repository the environment names.

Hooks and configuration are those of the person whose repository it is. Git's own words come in English.
"""

import os

from looop.model.errors import LooopError, Missing
from looop.runtime.command import Command, Ended
from looop.state.house import House

_DEADLINE_S = 60
_KEEP_BYTES = 1 << 20
_ELSEWHERE = frozenset(  # what `git rev-parse --local-env-vars` lists, but for configuration
    (
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_COMMON_DIR",
        "GIT_DIR",
        "GIT_GRAFT_FILE",
        "GIT_IMPLICIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_NAMESPACE",
        "GIT_OBJECT_DIRECTORY",
        "GIT_PREFIX",
        "GIT_SHALLOW_FILE",
        "GIT_WORK_TREE",
    )
)
_PLAIN = {"LANGUAGE": "en", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}


class NoGit(Missing):
    """There is no git here that runs."""


class GitFailed(LooopError):
    """Git did not do it; the text is what it said, on one line."""


def git(house: House, cwd: str, *words: str, deadline_s: int = _DEADLINE_S, mark: str = "") -> str:
    """What git prints in the folder `cwd`, which exists; by `mark` it is found later. Raises GitFailed, NoGit."""
    env = {name: value for name, value in house.setting.env.items() if name not in _ELSEWHERE} | _PLAIN
    argv = ("git", "-c", "core.fsmonitor=false", *words)
    command = Command(argv=argv, cwd=cwd, env=env, deadline_s=deadline_s, keep=_KEEP_BYTES, mark=mark)
    ended = house.setting.processes.run(command)
    if ended.spawn_error:
        raise NoGit(f"git does not run here ({ended.spawn_error}): install it, or put it on the PATH")
    if ended.code != 0 or ended.stopped:
        raise GitFailed(f"git {words[0]} in {cwd}: {_why(ended, deadline_s)}")
    return os.fsdecode(ended.output)


def _why(ended: Ended, deadline_s: int) -> str:
    """The line in which git says what is wrong."""
    if ended.timed_out:
        return f"stopped after {deadline_s}s"
    if ended.stopped:
        return "stopped because the loop was asked to end"
    lines = ended.errors.decode("utf-8", "replace").strip().split("\n")
    told = [line for line in lines if line.startswith(("fatal:", "error:"))]
    return (told or lines)[-1].strip() or f"exit code {ended.code}"
