"""Git worktrees of sessions: each works in a checkout of its own, on a branch of its own.

A checkout is `worktrees/<repository>-<hash of its path>/<session>` in the data dir. Nothing else is written down: the
folders and git's own list say all there is to know.

Note [What is work]
A checkout goes only when it holds nothing that would go with it: no change and no new file, no rebase or merge under
way, no commit that its branch alone has, no lock. Its branch stays in any case. Git looks again while it removes, and
only a person may force it.

Note [Half made]
Git locks a checkout as `initializing` while it makes it. Ours are made one at a time per repository, so one that is
found so was never handed out: its maker was killed, and it is made anew. The git that may have outlived its maker is
found by its mark and ended first.

Note [In use]
A checkout that is handed out again gets a fresh time, under the same lock under which old ones are removed. So a
session that takes up the id of an older one never loses the checkout it was just given.
"""

import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress

from msgspec import Struct
from msgspec.structs import replace

from looop.act.git import GitFailed, NoGit, git
from looop.act.repository import Entry, Repository, commit_of, commits_alone, git_dir, is_branch, repository_at
from looop.config.file import load_config
from looop.model.errors import LooopError, Refused, Unreadable, Unwritable
from looop.model.ids import is_id, require_id
from looop.rules.world import digest
from looop.runtime.lock import checkouts_lock
from looop.state.house import House

FOLDER = "worktrees"
_CHECKOUT_S = 600
_HALF_MADE = "initializing"
_UNDER_WAY = (
    "rebase-merge",
    "rebase-apply",
    "MERGE_HEAD",
    "CHERRY_PICK_HEAD",
    "REVERT_HEAD",
    "BISECT_LOG",
    "sequencer",
)


class Made(Struct, frozen=True):
    """A session's checkout; `notes` says in a sentence each what may not be as expected."""

    path: str
    repo: str
    session: str
    branch: str
    new: bool
    notes: list[str]


class Worktree(Struct, frozen=True):
    """A session's checkout as it stands. `keep` says why it must not simply go, "" when nothing would be lost.

    `changes` counts files that differ or are new, `commits` those that no other branch has. `store` is empty when git
    cannot tell whose checkout it is.
    """

    path: str
    session: str
    used: int
    repo: str = ""
    store: str = ""
    branch: str = ""
    changes: int = 0
    commits: int = 0
    locked: bool = False
    keep: str = ""


def make(house: House, where: str, session: str, branch: str = "", base: str = "") -> Made:
    """The checkout of `session` for the repository at `where`, made when there is none yet.

    A branch that exists is used as it stands; a new one begins at `base`, else at HEAD. Raises Invalid, Missing,
    Refused, GitFailed, Unwritable.
    """
    require_id(session, "session id")
    repo = repository_at(house, os.path.abspath(where))
    path = os.path.join(_place(house, repo), session)
    _prepare(house, os.path.dirname(path))
    with checkouts_lock(os.path.dirname(path), _CHECKOUT_S):
        repo = repository_at(house, os.path.abspath(where))
        entry = repo.at(path)
        if entry is None or entry.locked == _HALF_MADE or not os.path.isdir(path):
            return _add(house, repo, os.path.abspath(where), path, branch or f"looop/{session}", base)
        if entry.broken is not None:
            raise Refused(f"{path} has lost its repository: `git -C {repo.top} worktree repair` brings it back")
        os.utime(path)
        notes = [f"it is on {entry.branch or 'no branch'}, not on {branch}"] if branch not in ("", entry.branch) else []
        return Made(path, repo.top, session, entry.branch, False, notes)


def survey(house: House) -> list[Worktree]:
    """Every checkout there is, by path. Raises Unreadable, Missing without git."""
    return [_examine(house, path) for path in _paths(house)]


def remove(house: House, tree: Worktree, *, force: bool = False) -> None:
    """Remove a checkout; its branch stays. Raises Refused where work would be lost, unless forced; GitFailed.

    A lock is somebody's wish that force does not overrule.
    """
    if tree.keep and (tree.locked or not force):
        raise Refused(f"{tree.path} stays: {tree.keep}{'' if tree.locked else ' (--force removes it all the same)'}")
    with checkouts_lock(os.path.dirname(tree.path), _CHECKOUT_S):
        _drop(house, tree, force=force)


def prune_worktrees(house: House, ended: Callable[[str], bool], now: int) -> list[str]:
    """Remove the checkouts that have served; their paths. As `sweep`."""
    return [tree.path for tree, kept in sweep(house, ended, now) if not kept]


def sweep(house: House, ended: Callable[[str], bool], now: int) -> list[tuple[Worktree, str]]:
    """Every checkout with why it was kept; "" where it was removed. Git is asked only about those that are due.

    Due is one whose session has `ended`, and which nobody has used for as long as dead sessions are kept. Raises
    Unreadable and Corrupt for the folder and the config.
    """
    paths = _paths(house)
    ttl_s = session_ttl(house) if paths else 0
    return [_settle(house, path, ended, now, ttl_s) for path in paths]


def session_ttl(house: House) -> int:
    """How long what a session leaves is kept: environment over config over three days. Raises Unreadable, Corrupt."""
    ttl_s = house.setting.knobs.session_ttl
    return load_config(house.setting.config_file).session_ttl if ttl_s is None else ttl_s


def _settle(house: House, path: str, ended: Callable[[str], bool], now: int, ttl_s: int) -> tuple[Worktree, str]:
    """Remove one checkout if it is due and nothing is lost. See Note [In use]."""
    tree = Worktree(path, os.path.basename(path), _used(path))
    try:
        if not ended(tree.session):
            return tree, "its session has not ended, or not long ago"
        with checkouts_lock(os.path.dirname(path), 0):
            if now - _used(path) < ttl_s:
                return tree, "it was used not long ago"
            tree = _examine(house, path)
            if not tree.keep:
                _drop(house, tree)
            return tree, tree.keep
    except LooopError as error:
        return tree, str(error)


def _place(house: House, repo: Repository) -> str:
    """Where the checkouts of a repository are: named after it, and after its path."""
    name = os.path.basename(repo.top.removesuffix("/.git")).removesuffix(".git")
    name = re.sub(r"[^\w.-]", "-", name).strip(".")[:40] or "repository"
    return os.path.join(house.setting.root, FOLDER, f"{name}-{digest(os.fsencode(repo.store))[:12]}")


def _prepare(house: House, folder: str) -> None:
    """Make a folder for checkouts, which nobody else may enter and git never takes for a part of the data dir."""
    house.store.create(f"{FOLDER}/.gitignore", b"*\n")
    try:
        os.makedirs(folder, exist_ok=True)
        os.chmod(os.path.dirname(folder), 0o700)
    except OSError as error:
        raise Unwritable(f"cannot make {folder}: {error.strerror}") from None


def _add(house: House, repo: Repository, where: str, path: str, branch: str, base: str) -> Made:
    """Make the checkout that is not there."""
    old, notes = repo.at(path), _notes(house, where)
    if old is not None:
        _clear(house, repo, old, path)
    elif os.path.isdir(path) and os.listdir(path):
        raise Refused(f"{path} is there and is no worktree of {repo.top}: look what it is, and move it away")
    stale = old is not None or _is_held_by_nobody(repo, old, branch)
    if is_branch(house, repo, branch):
        notes += [f"branch {branch} was there before: --base {base} does not apply"] if base else []
        begin = ["--", path, branch]
    else:
        begin = ["--no-track", "-b", branch, "--", path, commit_of(house, repo, where, base)]
    force = ["--force", "--force"] if stale else []
    try:
        git(house, repo.store, "worktree", "add", *force, *begin, deadline_s=_CHECKOUT_S, mark=_mark(path))
    except GitFailed as error:
        made = repository_at(house, where).at(path)
        if made is None or made.locked is not None or made.broken is not None:
            raise
        notes.append(f"it was made, but {error}")
    return Made(path, repo.top, os.path.basename(path), branch, True, notes)


def _mark(path: str) -> str:
    """What the git that makes a checkout is known by. See Note [Half made]."""
    return f"worktree-{digest(os.fsencode(path))}"


def _clear(house: House, repo: Repository, old: Entry, path: str) -> None:
    """Make room where git lists a checkout that is gone, or was never ready. See Note [Half made]."""
    if old.locked == _HALF_MADE:
        house.setting.processes.kill_left(_mark(path))
        shutil.rmtree(path, ignore_errors=True)
    elif old.locked is not None:
        how = f"`git -C {repo.top} worktree unlock {old.path}` gives it up"
        raise Refused(f"{old.path} is gone, and is locked ({old.locked or 'without a reason'}): {how}")
    elif not old.branch and (lost := commits_alone(house, repo.store, old.head, "")):
        how = f"`git -C {repo.top} branch NAME {old.head}` keeps them"
        raise Refused(f"{old.path} is gone, and {lost} commits in it are on no branch: {how}")


def _is_held_by_nobody(repo: Repository, old: Entry | None, branch: str) -> bool:
    """Whether only a checkout that is gone has the branch. Raises Refused where another one has it."""
    others = [entry for entry in repo.entries if entry.branch == branch and entry is not old]
    for entry in others:
        if os.path.isdir(entry.path) or entry.locked is not None:
            raise Refused(f"branch {branch} is checked out in {entry.path}: give another one with --branch")
    return bool(others)


def _notes(house: House, where: str) -> list[str]:
    """What a session may miss in its checkout. A bare repository has nothing that could be missed."""
    with suppress(GitFailed):
        if git(house, where, "status", "--porcelain", "--untracked-files=no"):
            return [f"{where} has uncommitted changes, which are not in the worktree"]
    return []


def _examine(house: House, path: str) -> Worktree:
    """How a checkout stands. What cannot be told is a reason to keep it. Raises NoGit."""
    tree = Worktree(path, os.path.basename(path), _used(path))
    try:
        repo = repository_at(house, path)
        entry = repo.at(path)
        if entry is None:
            mend = f"`git -C {repo.top} worktree repair {path}` mends that"
            return replace(tree, keep=f"git believes it to be somewhere else: {mend}")
        tree = replace(tree, repo=repo.top, store=repo.store, branch=entry.branch, locked=entry.locked is not None)
        return _judge(house, tree, entry)
    except NoGit:
        raise
    except LooopError as error:
        return replace(tree, keep=str(error))


def _judge(house: House, tree: Worktree, entry: Entry) -> Worktree:
    """With what would be lost if it went. See Note [What is work]."""
    status = ("status", "--porcelain", "-z", "--no-renames", "--untracked-files=normal", "--ignore-submodules=none")
    changes = git(house, tree.path, *status).count("\0")
    commits = commits_alone(house, tree.path, "HEAD", tree.branch)
    keep = ""
    if entry.locked is not None:
        keep = f"it is locked ({entry.locked or 'without a reason'}): `git worktree unlock {tree.path}` unlocks it"
    elif any(os.path.lexists(os.path.join(git_dir(tree.path), name)) for name in _UNDER_WAY):
        keep = "a merge, rebase or bisect is under way in it"
    elif changes:
        keep = f"it has uncommitted changes ({changes})"
    elif commits:
        keep = f"it has commits that no other branch has ({commits})"
    return replace(tree, changes=changes, commits=commits, keep=keep)


def _drop(house: House, tree: Worktree, *, force: bool = False) -> None:
    """Remove a checkout, by git where it knows it. Raises GitFailed, Unwritable."""
    if tree.store:
        words = ["--force"] if force else []
        git(house, tree.store, "worktree", "remove", *words, "--", tree.path, deadline_s=_CHECKOUT_S)
        return
    try:
        shutil.rmtree(tree.path)
    except OSError as error:
        raise Unwritable(f"cannot remove {tree.path}: {error.strerror}") from None


def _paths(house: House) -> list[str]:
    """Every checkout of ours, sorted. Raises Unreadable."""
    try:
        places = _folders(os.path.join(house.setting.root, FOLDER))
        return sorted(path for place in places for path in _folders(place) if is_id(os.path.basename(path)))
    except OSError as error:
        raise Unreadable(f"cannot list {error.filename}: {error.strerror}") from None


def _folders(path: str) -> list[str]:
    try:
        with os.scandir(path) as names:
            return [name.path for name in names if name.is_dir(follow_symlinks=False) and name.name[0] != "."]
    except FileNotFoundError:
        return []


def _used(path: str) -> int:
    """When somebody was last at work in a checkout, as far as its own folder and git's notes on it tell."""
    own = git_dir(path)
    found = 0
    for place in (path, *(os.path.join(own, name) for name in ("HEAD", "index", "logs/HEAD") if own)):
        with suppress(OSError):
            found = max(found, int(os.stat(place).st_mtime))
    return found
