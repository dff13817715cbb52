"""Worktrees as a client sees them: one for a session, all there are, what may go. See act/worktrees.py."""

import os

from msgspec import Struct

from looop.act import worktrees
from looop.act.worktrees import Made, Worktree
from looop.config.session import session_id
from looop.model.errors import Invalid, Missing, Refused, Unreadable
from looop.state.house import House


class WorktreeView(Struct, frozen=True):
    """A session's checkout. `keep` says why it stays, "" where nothing would be lost; `alive` is None if unknown.

    `changes` are files that differ from the last commit or are new, `commits` those that no other branch has.
    """

    path: str
    repo: str
    session: str
    branch: str
    changes: int
    commits: int
    locked: bool
    alive: bool | None
    age_s: int
    keep: str


class Kept(Struct, frozen=True):
    """A checkout that stays, and why."""

    path: str
    session: str
    why: str


class Pruned(Struct, frozen=True):
    """The paths that were removed, and what stays."""

    removed: list[str]
    kept: list[Kept]


def make(house: House, repo: str, session: str | None = None, branch: str = "", base: str = "") -> Made:
    """The session's checkout for a repository, made when there is none; without `session` the environment's.

    Raises Invalid, Missing, Refused, GitFailed, Unwritable.
    """
    session = session_id(house.setting.env) if session is None else session
    if not session:
        raise Invalid("a worktree belongs to a session, and this is none: say whose it is with --session S")
    return worktrees.make(house, repo, session, branch, base)


def views(house: House) -> list[WorktreeView]:
    """Every checkout. Raises Unreadable, and Missing without git."""
    now = house.setting.clock.now()
    return [
        WorktreeView(
            path=tree.path,
            repo=tree.repo,
            session=tree.session,
            branch=tree.branch,
            changes=tree.changes,
            commits=tree.commits,
            locked=tree.locked,
            alive=_lives(house, tree.session),
            age_s=max(now - tree.used, 0),
            keep=tree.keep,
        )
        for tree in worktrees.survey(house)
    ]


def remove(house: House, name: str, *, force: bool = False) -> str:
    """Remove the checkout at a path or of a session; its path. A session's own may go while it lives, by itself alone.

    Raises Missing, Refused, GitFailed, Unwritable.
    """
    tree = _named(worktrees.survey(house), name)
    own = tree.session == session_id(house.setting.env)
    if not own and not force and _lives(house, tree.session) is not False:
        raise Refused(f"{tree.path} stays: session {tree.session} lives, or may live (--force removes it all the same)")
    worktrees.remove(house, tree, force=force)
    return tree.path


def prune(house: House) -> Pruned:
    """Remove the checkouts whose session is over for long and which hold nothing. Raises Unreadable, Corrupt."""
    settled = worktrees.sweep(house, lambda session: not house.fleet.is_alive(session), house.setting.clock.now())
    return Pruned(
        removed=[tree.path for tree, why in settled if not why],
        kept=[Kept(tree.path, tree.session, why) for tree, why in settled if why],
    )


def _named(trees: list[Worktree], name: str) -> Worktree:
    """The one checkout a person means."""
    meant = [tree for tree in trees if tree.session == name]
    if not meant:
        real = os.path.realpath(name)
        meant = [tree for tree in trees if os.path.realpath(tree.path) == real]
    if not meant:
        raise Missing(f"there is no worktree {name!r}: expected a session or a path of `looop worktree list`")
    if len(meant) > 1:
        paths = ", ".join(tree.path for tree in meant)
        raise Refused(f"session {name} has {len(meant)} worktrees: name one by its path: {paths}")
    return meant[0]


def _lives(house: House, session: str) -> bool | None:
    try:
        return house.fleet.is_alive(session)
    except Unreadable:
        return None
