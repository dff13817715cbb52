"""Help, version, completion: what a person reads before anything else."""

from importlib.resources import files

import click

from looop import __version__
from looop.clients.cli.output import say
from looop.clients.cli.parser import VERBS, looop
from looop.contract.surroundings import places
from looop.model.text import one_line

_PROGRAM = "looop"


def _topics(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in VERBS if name.startswith(incomplete)]


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("topic", nargs=-1, type=click.UNPROCESSED, shell_complete=_topics)
def help(topic: tuple[str, ...]) -> None:
    """The manual, or the help of one verb: looop help goal write."""
    words = topic[1:] if topic[:1] == ("_",) else topic
    words = ("help",) if words in (("-h",), ("--help",)) else words
    if not words:
        say(*_manual())
        return
    where = _find(words)
    if where is None:
        raise click.ClickException(f"no help on {' '.join(words)!r}. Topics: {', '.join(VERBS)}")
    say(where.command.get_help(where))


@click.command()
def version() -> None:
    """The version."""
    say(f"looop {__version__}")


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL: eval "$(looop completion bash)"."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"no completion for {shell}")
    say(kind(looop, {}, _PROGRAM, "_LOOOP_COMPLETE").source().rstrip("\n"))


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def config(ctx: click.Context, shell: str) -> None:
    """The old name of `completion`."""
    ctx.invoke(completion, shell=shell)


def _manual() -> list[str]:
    text = files("looop.clients.cli").joinpath("manual.txt").read_text(encoding="utf-8")
    here = [f"  {what:<12} {one_line(place)}" for what, place in places().items()]
    return [*text.rstrip("\n").split("\n"), *(["", "THIS PROFILE", *here] if here else [])]


def _find(words: tuple[str, ...]) -> click.Context | None:
    """The context of the verb that the words name, None when they name none."""
    where = click.Context(looop, info_name=_PROGRAM, **looop.context_settings)
    for word in words:
        group = where.command
        command = group.get_command(where, word) if isinstance(group, click.Group) else None
        if command is None:
            return None
        is_verb = isinstance(group, click.Group) and group.invoke_without_command and where.parent is not None
        name, parent = (f"{where.info_name} {word}", where.parent) if is_verb else (word, where)
        where = click.Context(command, info_name=name, parent=parent, **command.context_settings)
    return where
