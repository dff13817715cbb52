"""The verb that reaches a person elsewhere: notify."""

import sys
from contextlib import suppress

import click
import msgspec

from looop.clients.cli.output import escaped, print_json, say, talk
from looop.clients.cli.words import Duration
from looop.contract.notices import Wishes
from looop.contract.surroundings import local_time
from looop.contract.verbs import Engine
from looop.model.notices import Notice
from looop.model.text import one_line

_duration = Duration()


@click.command()
@click.argument("stray", nargs=-1, metavar="", type=click.UNPROCESSED)
@click.option("--to", "urls", multiple=True, metavar="URL", help="Where to; may be given again. `ps` shows it.")
@click.option("--to-file", "file", default="", metavar="FILE", help="A file of URLs, a line each; # begins a comment.")
@click.option(
    "--batch",
    "batch_s",
    type=_duration,
    default="5s",
    metavar="D",
    help="Questions so close go together. [default: 5s]",
)
@click.option(
    "--nudge",
    "nudge_s",
    type=_duration,
    default="4h",
    metavar="D",
    help="Unanswered, again after D, doubling; 0: never. [default: 4h]",
)
@click.option("--quiet", default="", metavar="HH:MM-HH:MM", help="The part of the day in which nothing is pushed.")
@click.option("--tz", "zone", default="", metavar="ZONE", help="The time zone of --quiet; else this machine's.")
@click.option(
    "--timeout",
    "limit_s",
    type=_duration,
    default="30s",
    metavar="D",
    help="How long a target may take. [default: 30s]",
)
@click.option("--listen", default="", metavar="[HOST:]PORT", help="Take signed replies: POST /answer.")
@click.option("--allow-remote", is_flag=True, help="--listen where others than this machine can reach it.")
@click.option("--token-file", default="", metavar="FILE", help="What signs; else notify.token in the data dir.")
@click.option("--once", is_flag=True, help="Push what is due and end: for cron. Exit code 1 when a push failed.")
@click.option("--test", is_flag=True, help="Push a test message to each target. Exit code 1 when one failed.")
@click.option("--json", "as_json", is_flag=True, help="An object a line; with --once and --test one array.")
@click.pass_obj
def notify(engine: Engine, /, stray: tuple[str, ...], as_json: bool, **wanted: object) -> None:
    """Push each question once to desktop, mail, chat or a push service, until stopped; a nudge follows.

    What was sent is in notices.jsonl. docs/notify.md shows targets, replies, and how to keep this running.
    """
    wishes = msgspec.convert(wanted, Wishes)
    if stray:
        raise click.UsageError("a target stands behind --to, or in the file of --to-file")
    if wishes.listen and (wishes.once or wishes.test):
        raise click.UsageError("--listen goes on for good: leave out --once and --test")
    if not 1 <= wishes.limit_s <= 600:
        raise click.UsageError("--timeout is from 1s to 10m")
    if wishes.allow_remote and not wishes.listen:
        raise click.UsageError("--allow-remote belongs to --listen")
    if wishes.zone and not wishes.quiet:
        raise click.UsageError("--tz belongs to --quiet")
    bounded = wishes.once or wishes.test
    sent: list[Notice] = []
    well = engine.notify(wishes, sent.append if bounded else lambda row: _show(row, as_json=as_json), talk)
    if bounded and as_json:
        print_json(sent)
    elif bounded:
        say(*map(_line, sent))
    click.get_current_context().exit(0 if well else 1)


def _show(row: Notice, *, as_json: bool) -> None:
    """A line on stdout at once. That nobody reads it any more is no reason to push no more."""
    with suppress(OSError):
        say(escaped(msgspec.json.encode(row).decode()) if as_json else _line(row))
        sys.stdout.flush()


def _line(row: Notice) -> str:
    about = "a test" if row.kind == "test" else ", ".join(row.asks[:5]) + (" …" if len(row.asks) > 5 else "")
    why = f": {row.error}" if row.error else ""
    return one_line(f"{local_time(row.ts)} {row.outcome:<7} {row.kind:<5} {row.target}  {about}{why}")
