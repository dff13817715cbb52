"""A git repository and its checkouts, as git tells them."""

import os

from msgspec import Struct

from looop.act.git import GitFailed, git
from looop.model.errors import Invalid, Missing, Refused
from looop.state.house import House


class Entry(Struct, frozen=True):
    """A checkout as git lists it. `branch` is "" on a detached HEAD, `locked` None unless it is; `broken` says how."""

    path: str
    head: str = ""
    branch: str = ""
    locked: str | None = None
    broken: str | None = None


class Repository(Struct, frozen=True):
    """A repository: where git keeps it, where a person sees it, and its checkouts, the main one first."""

    store: str
    top: str
    entries: list[Entry]

    def at(self, path: str) -> Entry | None:
        """The checkout in this folder."""
        real = os.path.realpath(path)
        return next((entry for entry in self.entries if os.path.realpath(entry.path) == real), None)


def repository_at(house: House, where: str) -> Repository:
    """The repository whose checkout or bare folder is `where`. Raises Missing, Refused, GitFailed."""
    if not os.path.isdir(where):
        raise Missing(f"there is no folder {where}: expected a git repository")
    try:
        said = git(house, where, "rev-parse", "--path-format=absolute", "--git-common-dir", "--show-prefix")
    except GitFailed as error:
        raise Missing(f"{where} is no git repository that can be used: {error}") from None
    store, prefix, _ = said.rsplit("\n", 2)
    if prefix:
        top = os.path.join(where, *[os.pardir] * prefix.strip("/").count("/"), os.pardir)
        raise Refused(f"{where} is a folder inside a git repository: name the repository, {os.path.normpath(top)}")
    entries = _entries(git(house, where, "worktree", "list", "--porcelain", "-z"))
    return Repository(os.path.realpath(store), entries[0].path, entries)


def _entries(listing: str) -> list[Entry]:
    """What `git worktree list --porcelain -z` says."""
    found = []
    for block in listing.removesuffix("\0\0").split("\0\0"):
        said = {key: value for key, _, value in (line.partition(" ") for line in block.split("\0"))}
        branch = said.get("branch", "").removeprefix("refs/heads/")
        found.append(Entry(said["worktree"], said.get("HEAD", ""), branch, said.get("locked"), said.get("prunable")))
    return found


def is_branch(house: House, repo: Repository, branch: str) -> bool:
    """Whether there is such a branch. Raises Invalid where there cannot be one."""
    ref = f"refs/heads/{branch}"
    try:
        if branch.startswith("-"):
            raise GitFailed("git would take it for an option")
        git(house, repo.store, "check-ref-format", ref)
    except GitFailed:
        raise Invalid(f"{branch!r} cannot be a branch: give another one with --branch") from None
    return ref in git(house, repo.store, "for-each-ref", "--format=%(refname)", ref).split("\n")


def commit_of(house: House, repo: Repository, where: str, base: str) -> str:
    """The commit a new branch begins at. Raises Missing."""
    try:
        return git(house, where, "rev-parse", "--verify", "--end-of-options", f"{base or 'HEAD'}^{{commit}}").strip()
    except GitFailed:
        raise Missing(f"{repo.top} has no commit {base}" if base else f"{repo.top} has no commit yet") from None


def commits_alone(house: House, cwd: str, start: str, branch: str) -> int:
    """How many commits of `start` are on no branch, remote branch or tag but `branch`."""
    others = ("--not", f"--exclude={branch}", "--branches", "--remotes", "--tags")
    return int(git(house, cwd, "rev-list", "--count", start, *others))


def git_dir(path: str) -> str:
    """Where git keeps its notes on a checkout, "" when it does not say."""
    try:
        with open(os.path.join(path, ".git"), encoding="utf-8", errors="surrogateescape") as file:
            said = file.read(4096)
    except OSError:
        return ""
    return os.path.join(path, said.removeprefix("gitdir:").strip())
