"""Verbs that look at a worker: screenshot, log. Source: spec/cli.md §2, §10, spec/workers.md §3.6, §3.7."""

import io
import sys
from typing import Any

import click

from looop.clients.cli.output import escaped, give, say, talk
from looop.clients.cli.words import complete, json_option
from looop.contract.local import open_local
from looop.contract.screens import Format
from looop.contract.transcript import Text
from looop.model.text import to_json, visible

_ids = complete(lambda local: [row.id for row in local.workers()])


@click.command()
@click.argument("worker", shell_complete=_ids)
@click.option("--plain", is_flag=True, help="As text, which is what you get without an option.")
@click.option("--ansi", is_flag=True, help="With its colours, for a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: size, cursor, and every cell that shows something.")
@click.option("--no-trim", is_flag=True, help="Keep the blank rows at the end.")
def screenshot(worker: str, plain: bool, ansi: bool, as_json: bool, no_trim: bool) -> None:
    """The screen of a worker, or of the pulse, as it is now or was at the end."""
    if plain + ansi + as_json > 1:
        raise click.UsageError("give one of --plain, --ansi and --json")
    shown: Format = "ansi" if ansi else "json" if as_json else "plain"
    shot = open_local().screenshot(worker, shown, trim=not no_trim)
    if as_json:
        _say_json(shot)
        return
    text = shot.text or ""
    if ansi:
        _write(f"{text}\n" if text else "")
    elif text:
        give(text + "\n")
    if shot.degraded:
        talk(shot.degraded)


@click.command()
@click.argument("worker", shell_complete=_ids)
@click.option("--tail", "-n", type=click.IntRange(1, 10**6), metavar="N", help="Only the last N lines.")
@click.option("--grep", metavar="RE", help="Only lines that match this regular expression.")
@click.option("--since", type=click.IntRange(0), default=0, metavar="OFFSET", help="From this byte of the session on.")
@click.option("--raw", is_flag=True, help="With its escape sequences, byte for byte.")
@click.option("--follow", "-f", is_flag=True, help="Go on with what is new until the worker has ended.")
@json_option
def log(worker: str, tail: int | None, grep: str | None, since: int, raw: bool, follow: bool, as_json: bool) -> None:
    """What a worker, or the pulse, has printed. --grep comes before --tail.

    With --json: text, the offset that --since takes next time, and whether the worker is done.
    """
    transcript = open_local().transcript(worker)
    if not follow:
        _show(transcript.read(since=since, tail=tail, grep=grep, raw=raw), raw=raw, as_json=as_json)
        return
    for piece in transcript.follow(since=since, tail=tail, grep=grep, raw=raw):
        _show(piece, raw=raw, as_json=as_json)
        sys.stdout.flush()


def _show(piece: Text, *, raw: bool, as_json: bool) -> None:
    if as_json:
        _say_json({"text": piece.text, "offset": piece.offset, "done": piece.done})
    elif raw:
        _write(piece.text)
    else:
        sys.stdout.write(visible(piece.text) if sys.stdout.isatty() else piece.text)


def _say_json(value: Any) -> None:
    """One JSON document on one line, without a character that a terminal would obey."""
    say(escaped(to_json(value).decode()))


def _write(text: str) -> None:
    """Text as it is, escape sequences and odd bytes included: only for what asks for that by name."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
    else:
        sys.stdout.write(text)
