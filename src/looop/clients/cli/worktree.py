"""The verb worktree: a git checkout of its own for a session."""

import click

from looop.clients.cli.output import give, print_json, say, talk
from looop.clients.cli.show import age
from looop.clients.cli.words import Verbs, complete, json_option
from looop.contract.local import open_local
from looop.contract.worktree import WorktreeView
from looop.model.text import one_line

_sessions = complete(lambda local: [view.session for view in local.worktrees()])
_HELP = ("-h", "--help")


class _Worktrees(Verbs):
    """A group whose verb `add` may be left out."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in _HELP and self.get_command(ctx, args[0]) is None and not ctx.resilient_parsing:
            args = ["add", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Worktrees)
def worktree() -> None:
    """A git checkout of its own for a session: add (may be left out), list, rm, prune."""


@worktree.command("add")
@click.argument("repo", type=click.Path())
@click.option("--session", metavar="S", help="Whose it is; else what LOOOP_SESSION_ID says.")
@click.option("--branch", metavar="B", default="", help="The branch, instead of looop/SESSION.")
@click.option("--base", metavar="REF", default="", help="What a new branch begins at, instead of HEAD.")
@json_option
def worktree_add(repo: str, session: str | None, branch: str, base: str, as_json: bool) -> None:
    """Make the session's worktree of a repository and print its path; asked again, print it again."""
    made = open_local().make_worktree(repo, session, branch, base)
    for note in made.notes:
        talk(f"note: {note}")
    if as_json:
        print_json(made)
    else:
        give(made.path)


@worktree.command("list")
@json_option
def worktree_list(as_json: bool) -> None:
    """Every worktree: session, branch, path, last use, and why it has to stay."""
    views = open_local().worktrees()
    if as_json:
        print_json(views)
    else:
        say(*map(_line, views) if views else ["no worktrees"])


@worktree.command("rm")
@click.argument("which", metavar="PATH|SESSION", shell_complete=_sessions)
@click.option(
    "--force",
    is_flag=True,
    help="Also when uncommitted changes are lost with it. Files that git ignores go in any case.",
)
def worktree_rm(which: str, force: bool) -> None:
    """Remove a worktree; its branch stays. Refused where work would be lost."""
    say(f"removed {one_line(open_local().remove_worktree(which, force=force))}")


@worktree.command("prune")
@json_option
def worktree_prune(as_json: bool) -> None:
    """Remove the worktrees of sessions that ended long ago, where nothing is lost."""
    done = open_local().prune_worktrees()
    if as_json:
        print_json(done)
        return
    lines = [f"removed {path}" for path in done.removed] + [f"kept {kept.path}: {kept.why}" for kept in done.kept]
    say(*map(one_line, lines or ["no worktrees"]))


def _line(view: WorktreeView) -> str:
    lives = {True: "alive", False: "ended", None: "unknown"}[view.alive]
    parts = [f"{view.session} ({lives})", view.branch or "no branch", view.path, f"used {age(view.age_s)}", view.keep]
    return " · ".join(one_line(part) for part in parts if part)
