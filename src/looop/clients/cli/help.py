"""Help, version, completion: what a person reads before anything else."""

import click

from looop import __version__
from looop.clients.cli.app import VERBS, looop


def short_list(ctx: click.Context) -> str:
    """The verbs, a line each."""
    rows = []
    for name in VERBS:
        command = looop.get_command(ctx, name)
        rows.append((name, command.get_short_help_str(90) if command else ""))
    lines = [f"  {name:<11} {about}" for name, about in rows]
    return "\n".join(["looop: an autonomous control loop. `looop help` is the manual.", "", *lines])


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("topic", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def help(ctx: click.Context, topic: tuple[str, ...]) -> None:
    """The manual, or the help of one verb: looop help goal write."""
    if not topic:
        click.echo(_manual())
        return
    command, where = _find(ctx, topic)
    if command is None:
        topics = ", ".join(VERBS)
        raise click.ClickException(f"no help on {' '.join(topic)!r}. Topics: {topics}")
    click.echo(command.get_help(where))


@click.command()
def version() -> None:
    """The version."""
    click.echo(f"looop {__version__}")


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL: eval "$(looop completion bash)"."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"no completion for {shell}")
    click.echo(kind(looop, {}, "looop", "_LOOOP_COMPLETE").source())


def _find(ctx: click.Context, topic: tuple[str, ...]) -> tuple[click.Command | None, click.Context]:
    command: click.Command | None = looop
    where = click.Context(looop, info_name="looop")
    for word in topic:
        if not isinstance(command, click.Group):
            return None, where
        command = command.get_command(where, word)
        if command is None:
            return None, where
        where = click.Context(command, info_name=word, parent=where)
    return command, where


def _manual() -> str:
    from importlib.resources import files

    return files("looop.clients.cli").joinpath("manual.txt").read_text(encoding="utf-8")
