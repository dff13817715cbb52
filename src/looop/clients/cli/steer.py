"""Verbs that change the policy or the world: goal, playbook, run. Each is journaled."""

import shlex
from typing import Any

import click

from looop.clients.cli.output import give, patience, print_json, relay, say, steer, talk
from looop.clients.cli.show import goal_line
from looop.clients.cli.words import Verbs, body_of, complete, journal_option, json_option
from looop.contract.local import open_local
from looop.model.ids import require_id
from looop.model.moves import ArchiveGoal, RunShell, WriteGoal, WritePlaybook
from looop.model.text import one_line, visible

_goal_ids = complete(lambda local: [view.id for view in local.goals()])
_versions = complete(lambda local: local.playbook_versions())


@click.group(cls=Verbs)
def goal() -> None:
    """What is wanted: write, archive, list, show."""


@goal.command("write")
@click.argument("goal_id", shell_complete=_goal_ids)
@click.argument("body", nargs=-1)
@journal_option
def goal_write(goal_id: str, body: tuple[str, ...], journal: str) -> None:
    """Create or replace a goal. BODY is words, or standard input when there are none or a lone -.

    A body that starts with YAML front matter (--- … ---) may declare `done:` and `reflexes:`; both are checked.
    """
    require_id(goal_id, "goal id")
    move = WriteGoal(id=goal_id, body=body_of(body, "goal"))
    written = open_local().write_goal(move, journal)
    say(one_line(written.summary))
    for doubt in written.doubts:
        talk(doubt)


@goal.command("archive")
@click.argument("goal_id", shell_complete=_goal_ids)
@journal_option
def goal_archive(goal_id: str, journal: str) -> None:
    """Move a finished goal to the archive."""
    steer(ArchiveGoal(id=goal_id), journal)


@goal.command("list")
@json_option
def goal_list(as_json: bool) -> None:
    """Every live goal: id, done/open/unknown, when it was last acted on."""
    views = open_local().goals()
    if as_json:
        print_json(views)
    else:
        say(*map(goal_line, views) if views else ["no goals"])


@goal.command("show")
@click.argument("goal_id", shell_complete=_goal_ids)
@json_option
def goal_show(goal_id: str, as_json: bool) -> None:
    """One goal: how it stands and what it says."""
    view = open_local().goal(goal_id)
    if as_json:
        print_json(view)
        return
    done = f"cannot be told: {view.error}" if view.error else view.done or "a person says so"
    say(goal_line(view), f"done when: {one_line(done)}")
    for n, reflex in enumerate(view.reflexes):
        say(f"reflex #{n} {one_line(reflex)}" + (" (suspended)" if n in view.suspended else ""))
    say("", visible(view.text.rstrip("\n")))


@click.group(cls=Verbs)
def playbook() -> None:
    """How to judge: write, show, history."""


@playbook.command("write")
@click.argument("body", nargs=-1)
@journal_option
def playbook_write(body: tuple[str, ...], journal: str) -> None:
    """Replace the whole PLAYBOOK; the old one is kept. BODY is words or standard input."""
    steer(WritePlaybook(body=body_of(body, "playbook")), journal)


@playbook.command("show")
@click.argument("version", required=False, shell_complete=_versions)
@json_option
def playbook_show(version: str | None, as_json: bool) -> None:
    """The PLAYBOOK, or a kept VERSION of it."""
    text = open_local().playbook(version)
    if as_json:
        print_json({"version": version, "body": text})
    else:
        give(text)


@playbook.command("history")
@json_option
def playbook_history(as_json: bool) -> None:
    """The kept versions, oldest first."""
    versions = open_local().playbook_versions()
    if as_json:
        print_json(versions)
    else:
        say(*map(one_line, versions) if versions else ["no older versions"])


@click.command(context_settings={"allow_interspersed_args": False, "ignore_unknown_options": False})
@click.option("--reason", metavar="R", help="What it is for; stands in the journal instead of the command.")
@journal_option
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def run(command: tuple[str, ...], reason: str | None, journal: str) -> None:
    """Run one shell command in the data dir, as the loop would: screened, bounded, journaled.

    One word is shell text as it stands; several are quoted each. The end of what it printed goes to stderr.
    """
    cmd: Any = command[0] if len(command) == 1 else shlex.join(command)
    if not cmd.strip():
        raise click.UsageError("give a command: `looop run 'make test'`")
    with patience("running"):
        ran = open_local().run(RunShell(cmd=cmd, reason=reason), journal)
    say(one_line(ran.summary))
    relay("it printed", ran.output)
