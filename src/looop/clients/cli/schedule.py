"""Verbs around schedules: write, rm, list, show, and next to try an expression."""

import click

from looop.clients.cli.output import print_json, say, steer, talk
from looop.clients.cli.show import schedule_line, schedule_lines
from looop.clients.cli.words import Duration, Verbs, complete, journal_option, json_option
from looop.contract.local import open_local
from looop.model.decision import CATCH_UP, MIN_EVERY_S
from looop.model.ids import require_id
from looop.model.moves import DropSchedule, WriteSchedule
from looop.model.text import one_line

_names = complete(lambda local: [view.name for view in local.schedules()])
_tz_option = click.option("--tz", metavar="ZONE", help="Time zone, such as Europe/Berlin; the machine's without it.")


@click.group(cls=Verbs)
def schedule() -> None:
    """Wake-ups: write, rm, list, show, next."""


@schedule.command("write")
@click.argument("name", shell_complete=_names)
@click.option("--in", "in_s", type=Duration(), help="Once, after this long (90, 90s, 30m, 12h, 1d).")
@click.option("--at", metavar="TIME", help="Once, at a local time: 18:00, '2026-12-24 18:00'.")
@click.option("--every", "every_s", type=Duration(), help="Again and again, at least every minute.")
@click.option("--cron", metavar="EXPR", help="By the calendar: '30 2 * * *', '0 9 * * MON-FRI', @daily.")
@_tz_option
@click.option("--catch-up", type=click.Choice(CATCH_UP), help="Which missed runs wake the loop. [default: one]")
@click.option("--note", help="What it is for.")
@journal_option
def schedule_write(
    name: str,
    in_s: int | None,
    at: str | None,
    every_s: int | None,
    cron: str | None,
    tz: str | None,
    catch_up: str | None,
    note: str | None,
    journal: str,
) -> None:
    """Create or replace a schedule: give exactly one of --in, --at, --every and --cron."""
    require_id(name, "schedule name")
    if [in_s, at, every_s, cron].count(None) != 3:
        raise click.UsageError("give exactly one of --in, --at, --every and --cron")
    if in_s == 0:
        raise click.UsageError("--in must be at least 1s, not 0s")
    if every_s is not None and every_s < MIN_EVERY_S:
        raise click.UsageError(f"--every must be at least {MIN_EVERY_S}s, not {every_s}s")
    if tz is not None and cron is None and at is None:
        raise click.UsageError("--tz belongs to --cron and --at")
    if catch_up is not None and cron is None and every_s is None:
        raise click.UsageError("--catch-up belongs to --cron and --every: what is due once stays due until you drop it")
    move = WriteSchedule(name=name, in_s=in_s, every_s=every_s, note=note, cron=cron, tz=tz, catch_up=catch_up)
    written = open_local().write_schedule(move, journal, at or "")
    say(one_line(written.summary))
    if written.next:
        talk(f"next run {written.next.words}")


@schedule.command("rm")
@click.argument("name", shell_complete=_names)
@journal_option
def schedule_rm(name: str, journal: str) -> None:
    """Delete a schedule; one that is not there is fine."""
    steer(DropSchedule(name=name), journal)


@schedule.command("list")
@json_option
def schedule_list(as_json: bool) -> None:
    """Every schedule: name, what wakes the loop, when it runs next, what it is."""
    views = open_local().schedules()
    for view in views:
        if "error" in view.detail:
            talk(view.detail["error"])
    if as_json:
        print_json({view.name: view.record for view in views})
    else:
        say(*map(schedule_line, views) if views else ["(no schedules)"])


@schedule.command("show")
@click.argument("name", shell_complete=_names)
@json_option
def schedule_show(name: str, as_json: bool) -> None:
    """One schedule with its next five runs."""
    view = open_local().schedule(name)
    if as_json:
        print_json(view)
    else:
        say(*schedule_lines(view))


@schedule.command("next")
@click.argument("expression")
@_tz_option
@json_option
def schedule_next(expression: str, tz: str | None, as_json: bool) -> None:
    """The next five runs of a cron expression, to try it; nothing is written."""
    runs = open_local().upcoming(expression, tz)
    if as_json:
        print_json(runs)
    else:
        say(*(one_line(run.words) for run in runs))
