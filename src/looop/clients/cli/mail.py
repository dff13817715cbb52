"""Verbs around questions: asks, answer, ask; and around steering a worker: tell, told."""

import click

from looop.clients.cli.output import Reader, hand_over, print_json, say, talk
from looop.clients.cli.show import ask_lines
from looop.clients.cli.words import body_of, complete, json_option
from looop.contract.local import open_local
from looop.contract.questions import Question, bullet

_ask_ids = complete(lambda local: [ask.id for ask in local.asks().pending])
_live = complete(lambda local: [row.id for row in local.workers()[1:] if row.alive])


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


@click.command()
@click.argument("worker", metavar="[WORKER]", required=False)
@click.option("--prompt", required=True, help="The question, and what one must know to answer it.")
@click.option("--ref", default="", help="What to read first: a path, a URL.")
@click.option("--options", multiple=True, metavar="A,B", help="Answers to choose from; may be given again.")
@click.option("--key", default="", help="Your name for this question: asked again under it, it is the same one.")
def ask(worker: str | None, prompt: str, ref: str, options: tuple[str, ...], key: str) -> None:
    """A worker's question to a person: wait for the answer and print it, and nothing else.

    WORKER is the worker's id, else what LOOOP_SESSION_ID says. Steering that came meanwhile stands before the answer.
    """
    choices = [choice.strip() for given in options for choice in given.split(",") if choice.strip()]
    local = open_local()
    reply = local.ask(Question(prompt, worker, ref, choices, key), Reader(), talk)
    hand_over(reply.text)
    local.took(reply.ask_id)


@click.command(context_settings={"allow_interspersed_args": False})
@click.argument("worker", shell_complete=_live)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def tell(worker: str, words: tuple[str, ...]) -> None:
    """Tell a live worker something; it hears of it at its next `told`, or with its next answer."""
    say(open_local().tell(worker, " ".join(words[1:] if words[:1] == ("--",) else words)))


@click.command()
@click.argument("worker", required=False)
@json_option
def told(worker: str | None, as_json: bool) -> None:
    """What people have told this worker since it last asked, a line each; each is printed once.

    WORKER is the worker's id, else what LOOOP_SESSION_ID says.
    """
    heard = open_local().told(worker)
    if as_json:
        print_json(heard.messages)
    else:
        say(*map(bullet, heard.messages))
    for sentence in heard.damaged:
        talk(sentence)
