"""Verbs around questions: asks, answer."""

import click

from looop.clients.cli.output import print_json, say, talk
from looop.clients.cli.show import ask_lines
from looop.clients.cli.words import body_of, complete, json_option
from looop.contract.local import open_local

_ask_ids = complete(lambda local: [ask.id for ask in local.asks().pending])


@click.command()
@json_option
def asks(as_json: bool) -> None:
    """Every question that waits for a person."""
    found = open_local().asks()
    if as_json:
        print_json(found.pending)
    elif found.pending:
        say(*(line.removeprefix("  ") for ask in found.pending for line in ask_lines(ask, found.now)))
    else:
        say("no pending asks")
    for damage in found.damaged:
        talk(damage)


@click.command()
@click.argument("ask_id", shell_complete=_ask_ids)
@click.argument("text", nargs=-1)
@click.option("--force", is_flag=True, help="Replace an answer that is there.")
def answer(ask_id: str, text: tuple[str, ...], force: bool) -> None:
    """Answer a question. TEXT is words, or standard input when there are none or a lone -."""
    say(open_local().answer(ask_id, body_of(text, "answer").rstrip(), force=force))
