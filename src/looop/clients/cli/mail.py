"""Verbs around questions: asks, answer, ask, ask withdraw; and around steering a worker: tell, told."""

import time
from typing import Any

import click
from msgspec import to_builtins
from msgspec.structs import replace

from looop.clients.cli.output import Reader, hand_over, print_json, say, talk
from looop.clients.cli.show import ask_lines, stranded_line
from looop.clients.cli.words import Duration, body_of, complete, json_option
from looop.contract.local import open_local
from looop.contract.questions import AskView, Question, Questions, bullet, by_whom
from looop.model.text import one_line

_MOST_SAID = 200
_ask_ids = complete(lambda local: [ask.id for ask in local.asks().pending])
_open_ids = complete(lambda local: [ask.id for mail in [local.asks()] for ask in [*mail.pending, *mail.stranded]])
_live = complete(lambda local: [row.id for row in local.workers()[1:] if row.alive])
_askers = complete(lambda local: ["withdraw", *(row.id for row in local.workers()[1:] if row.alive)])


@click.command()
@click.argument("ask_id", metavar="[ID]", required=False, shell_complete=_open_ids)
@click.option("--all", "everything", is_flag=True, help="Settled ones, too: who decided, and when; the latest last.")
@json_option
def asks(ask_id: str | None, everything: bool, as_json: bool) -> None:
    """Every question that waits for a person; with ID one of them, whole."""
    local = open_local()
    if ask_id is not None:
        view = local.ask_of(ask_id)
        print_json(_row(view)) if as_json else say(*_whole(view, local.asks().now))
        return
    found = local.asks(everything=everything)
    if as_json:
        print_json([*map(_row, _views(found))] if everything else found.pending)
    else:
        say(*(_lines(found) or ["no pending asks"]))
    for damage in found.damaged:
        talk(damage)


@click.command()
@click.argument("ask_id", shell_complete=_ask_ids)
@click.argument("text", nargs=-1)
@click.option("--option", type=int, metavar="N", help="The N-th of its options, counted from 1.")
@click.option("--force", is_flag=True, help="Replace an answer that is there.")
def answer(ask_id: str, text: tuple[str, ...], option: int | None, force: bool) -> None:
    """Answer a question. TEXT is words, or standard input when there are none or a lone -.

    Behind -- a word may begin with a dash.
    """
    local = open_local()
    body = body_of(text, "answer").rstrip() if option is None else " ".join(text)
    say(local.answer(ask_id, body, option=option, force=force))


class _Ask(click.Group):
    """A verb of its own with one more below it. A worker may be called as that one is: a question has a --prompt."""

    allow_extra_args = False
    allow_interspersed_args = True

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        asks_something = any(word.split("=", 1)[0] == "--prompt" for word in args)
        if args[:1] == ["withdraw"] and not asks_something:
            return self.commands["withdraw"].make_context(f"{info_name} withdraw", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return click.Command.parse_args(self, ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        return click.Command.invoke(self, ctx)


@click.group(cls=_Ask, invoke_without_command=True, no_args_is_help=False, subcommand_metavar="")
@click.argument("worker", metavar="[WORKER]", required=False, shell_complete=_askers)
@click.option("--prompt", required=True, help="The question, and what one must know to answer it.")
@click.option("--ref", default="", help="What to read first: a path, a URL.")
@click.option("--options", multiple=True, metavar="A,B", help="Answers to choose from; may be given again.")
@click.option("--key", default="", help="Your name for this question: asked again under it, it is the same one.")
@click.option("--timeout", type=Duration(), metavar="D", help="How long a person has to answer.")
@click.option("--default", metavar="TEXT", help="What you get when time is up; without it that is an error.")
@click.option(
    "--urgency",
    type=click.Choice(["low", "normal", "irreversible"]),
    default="normal",
    help="What is irreversible takes a no for its default, and nothing else.",
)
@click.option("--again", default="", metavar="WHY", help="Ask although a person has refused it; the person reads WHY.")
def ask(
    worker: str | None, prompt: str, ref: str, options: tuple[str, ...], key: str, timeout: int | None, **terms: Any
) -> None:
    """A worker's question to a person: wait for the answer and print it, and nothing else.

    WORKER is the worker's id, else what LOOOP_SESSION_ID says. Steering that came meanwhile stands before the answer.
    """
    choices = [choice.strip() for given in options for choice in given.split(",") if choice.strip()]
    local = open_local()
    reply = local.ask(Question(prompt, worker, ref, choices, key, timeout, **terms), Reader(), talk)
    hand_over(reply.text)
    if not reply.remembered:
        local.took(reply.ask_id)


@ask.command("withdraw")
@click.argument("ask_id", metavar="ID", shell_complete=_open_ids)
@click.option("--why", default="", metavar="TEXT", help="What made it moot.")
def ask_withdraw(ask_id: str, why: str) -> None:
    """Take a question back that needs no answer any more; a worker its own, a person any."""
    say(open_local().withdraw(ask_id, why))


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


def _views(found: Questions) -> list[AskView]:
    """All of them: what is settled, then what is stranded, then what waits."""
    stranded = [AskView(ask, "stranded") for ask in found.stranded]
    return [*found.settled, *stranded, *(AskView(ask, "pending") for ask in found.pending)]


def _row(view: AskView) -> dict[str, Any]:
    """One question with its settlement as JSON."""
    settled, row = view.settled, dict[str, Any](to_builtins(view.ask))
    ending = {"answer": settled.answer, "settled_at": settled.ts, "by": settled.by} if settled else {}
    return row | {"state": view.state} | ending


def _lines(found: Questions) -> list[str]:
    """What is settled, if that was wanted, what waits, and what is stranded."""
    lines = [_settled_line(view) for view in found.settled]
    lines += [line.removeprefix("  ") for ask in found.pending for line in ask_lines(ask, found.now)]
    return [*lines, *(stranded_line(ask, found.now).removeprefix("  ") for ask in found.stranded)]


def _settled_line(view: AskView) -> str:
    first = one_line(view.ask.prompt.strip().split("\n", 1)[0])
    return f"· {one_line(view.ask.id)} ({one_line(view.ask.worker)}) {_ending(view, _MOST_SAID)}: {first}"


def _ending(view: AskView, most: int | None = None) -> str:
    """How a question was settled, when and by whom; of an answer not more than `most` characters."""
    settled = view.settled
    if settled is None:
        return view.state
    date = time.strftime("%Y-%m-%d %H:%M", time.localtime(settled.ts))
    who = "" if view.state in ("expired", "stranded") else f" by {by_whom(settled.by)}"
    cut = "…" if most is not None and len(settled.answer) > most else ""
    said = f" {one_line(repr(settled.answer[:most]))}{cut}" if settled.answer else ""
    return f"{view.state}{who} {date}{said}"


def _whole(view: AskView, now: int) -> list[str]:
    """One question with every line of it, and how it was settled."""
    ask = replace(view.ask, expires=None) if view.settled else view.ask
    mark = {"pending": "⚑", "stranded": "✗"}.get(view.state, "·")
    lines = [line.removeprefix("  ") for line in ask_lines(ask, now, whole=True, mark=mark)]
    if view.state == "stranded":
        lines.append("    stranded: the session that asked is over, nobody waits for the answer")
    return [*lines, f"    {_ending(view)}"] if view.settled else lines
