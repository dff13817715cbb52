"""Verbs that reach into a live session: attach, send."""

import sys

import click

from looop.clients.cli.output import say, talk
from looop.clients.cli.words import body_of, complete
from looop.contract.local import open_local
from looop.model.text import one_line

live_ids = complete(lambda local: [view.id for view in local.workers() if view.alive])


@click.command()
@click.argument("session_id", metavar="ID", shell_complete=live_ids)
@click.option("--write", is_flag=True, help="Type into it, too; journaled. Without, keys go nowhere.")
@click.pass_context
def attach(ctx: click.Context, session_id: str, write: bool) -> None:
    """Look into a live session as it runs. Ctrl-\\ twice detaches; so does Ctrl-C unless you --write.

    The exit code is the session's when it ends meanwhile, 0 when you detach. With --write your terminal's size becomes
    the session's, and a single Ctrl-\\ goes in with the key behind it.
    """
    from looop.clients.cli.viewer import Viewer, size_here

    here = sys.stdin.isatty() and sys.stdout.isatty()
    if write and not here:
        raise click.UsageError("--write needs a terminal; `looop send` types a text without one")
    local, name = open_local(), one_line(session_id)
    attachment = local.attach(session_id, write=write, size=size_here() if here else None)
    talk(f"attached to {name}, {'typing' if write else 'read-only'}: Ctrl-\\ twice detaches")
    try:
        end = Viewer(local, session_id, attachment, write=write, keys=here).run()
    finally:
        attachment.close()
    if end is None:
        talk(f"detached from {name}, which goes on")
        return
    talk(f"session {name} ended ({'signal' if end.signaled else 'exit code'} {end.code})")
    ctx.exit(128 + end.code if end.signaled else min(max(end.code, 0), 255))


@click.command()
@click.argument("session_id", metavar="ID", shell_complete=live_ids)
@click.argument("text", nargs=-1)
@click.option("-n", "--no-newline", is_flag=True, help="Do not press Enter behind it.")
def send(session_id: str, text: tuple[str, ...], no_newline: bool) -> None:
    """Type TEXT into a live session's terminal, then press Enter. Journaled.

    TEXT is words, or standard input when there are none or a lone -. An empty one ('') is Enter alone.
    """
    typed = " ".join(text) if text and text != ("-",) else body_of(text, "text").rstrip("\n")
    if no_newline and not typed:
        raise click.UsageError("there is nothing to type")
    say(one_line(open_local().send(session_id, typed, enter=not no_newline)))
