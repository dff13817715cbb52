"""Verbs that run the loop: up, down, pulse, beat, demo."""

import click

from looop.clients.cli.output import say, show_beat, talk
from looop.clients.cli.words import json_option
from looop.contract.local import open_local
from looop.contract.verbs import Engine
from looop.model.text import one_line

_no_park = click.option(
    "--no-park", is_flag=True, help="Ask a runner again that said it is at its usage limit (LOOOP_PARK=0)."
)


@click.command()
@_no_park
@click.pass_obj
def pulse(engine: Engine, no_park: bool) -> None:
    """Beat in the foreground until stopped (Ctrl-C or SIGTERM): sense, skip or decide, act, wait."""
    engine.pulse(park=not no_park)


@click.command()
@click.option("--json", "json_log", is_flag=True, help="The pulse writes its log as JSON lines.")
def up(json_log: bool) -> None:
    """Start the pulse in the background; it outlives this terminal. `looop service` makes it outlive a reboot."""
    if open_local().up(json_log=json_log):
        say(f"looop: pulse started{' [json]' if json_log else ''}")
    else:
        say("looop: pulse already running")


@click.command()
@click.pass_context
def down(ctx: click.Context) -> None:
    """Stop the pulse, then every worker."""
    seen = open_local().down()
    for sentence in seen.left:
        talk(sentence)
    if seen.workers:
        count = len(seen.workers)
        say(f"looop: stopped {count} worker{'' if count == 1 else 's'} ({', '.join(map(one_line, seen.workers))})")
    if not seen.left:
        say("looop: pulse stopped" if seen.pulse_stopped else "looop: pulse not running")
    ctx.exit(1 if seen.left else 0)


@click.command()
@click.option("--dry-run", is_flag=True, help="Sense and judge, say what would be done and why, change nothing.")
@click.option("--force", is_flag=True, help="Decide even if nothing changed.")
@_no_park
@json_option
@click.pass_context
def beat(ctx: click.Context, dry_run: bool, force: bool, no_park: bool, as_json: bool) -> None:
    """Run one beat in the foreground and say what it did. Exit code 1 when it failed."""
    ctx.exit(show_beat(ctx.obj, forced=force, dry_run=dry_run, park=not no_park, as_json=as_json))


@click.command()
@click.option("--keep", is_flag=True, help="Leave the data dir and the repository for you to look at.")
@click.option("--answer", metavar="TEXT", help="What to answer the worker (yes, no, your own words) instead of asking.")
@click.pass_obj
def demo(engine: Engine, keep: bool, answer: str | None) -> None:
    """Watch the loop repair a real git repository without any model, in a scratch folder; a worker asks you first."""
    if answer is not None and not answer.strip():
        raise click.UsageError("--answer is empty: yes, no, or words of your own")
    engine.demo(keep=keep, answer=answer)
