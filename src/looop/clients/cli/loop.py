"""Verbs that run the loop: pulse, beat, demo."""

import click

from looop.clients.cli.show import report_lines
from looop.clients.cli.words import json_option, print_json
from looop.contract.verbs import Engine


@click.command()
@click.pass_obj
def pulse(engine: Engine) -> None:
    """Beat in the foreground until stopped (Ctrl-C or SIGTERM): sense, skip or decide, act, wait."""
    engine.pulse()


@click.command()
@click.option("--dry-run", is_flag=True, help="Sense and judge, say what would be done and why, change nothing.")
@click.option("--force", is_flag=True, help="Decide even if nothing changed.")
@json_option
@click.pass_context
def beat(ctx: click.Context, dry_run: bool, force: bool, as_json: bool) -> None:
    """Run one beat in the foreground and say what it did. Exit code 1 when it failed."""
    engine: Engine = ctx.obj
    report = engine.beat(forced=force, dry_run=dry_run, quiet=as_json)
    if as_json:
        print_json(report)
    else:
        click.echo("\n".join(report_lines(report, dry_run=dry_run)))
    if report.ending in ("failed", "blocked"):
        ctx.exit(1)


@click.command()
@click.option("--keep", is_flag=True, help="Leave the data dir and the repository for you to look at.")
@click.pass_obj
def demo(engine: Engine, keep: bool) -> None:
    """Watch the loop repair a real git repository without any model, in a scratch folder."""
    engine.demo(keep=keep)
