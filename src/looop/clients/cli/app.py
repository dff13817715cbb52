"""The command line: parse, call the contract, render. This module owns exit codes and stderr. Spec/cli.md §1.

Verbs live in modules that are loaded when they are asked for, so that a command costs only what it uses.
"""

import importlib
import signal
from typing import Any, cast

import click

from looop.contract.verbs import Engine
from looop.model.errors import LooopError

VERBS = {
    "state": "read",
    "wait": "read",
    "journal": "read",
    "events": "read",
    "schema": "read",
    "goal": "steer",
    "sensor": "sensor",
    "playbook": "steer",
    "schedule": "steer",
    "run": "steer",
    "pulse": "loop",
    "beat": "loop",
    "demo": "loop",
    "help": "help",
    "version": "help",
    "completion": "help",
}
_LONG_LIVED = ("pulse", "beat")


class Verbs(click.Group):
    """The verbs by name, each module imported when one of its verbs is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"looop.clients.cli.{VERBS[cmd_name]}")
        return cast(click.Command, getattr(module, cmd_name))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            raise click.UsageError(f"no verb {args[0]!r}{_suggestion(args[0], VERBS)}: `looop` lists them") from None


@click.command(
    cls=Verbs,
    invoke_without_command=True,
    add_help_option=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.pass_context
def looop(ctx: click.Context) -> None:
    """An autonomous control loop for a person's work."""
    if ctx.invoked_subcommand is None:
        from looop.clients.cli.help import short_list

        click.echo(short_list(ctx))


def run(words: list[str], engine: Engine) -> int:
    """Run one command line and return its exit code."""
    words = words[1:] if words[:1] == ["_"] else words
    if words[:1] in (["-h"], ["--help"]):
        words = ["help"]
    if not words or words[0] not in _LONG_LIVED:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        looop.main(args=words, prog_name="looop", standalone_mode=False, obj=engine)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.Abort:
        return 130
    except KeyboardInterrupt:
        return 130
    except click.UsageError as error:
        return _fail(_usage(error), 1)
    except click.ClickException as error:
        return _fail(error.format_message(), 1)
    except LooopError as error:
        return _fail(str(error), error.exit_code, error)
    except BrokenPipeError:
        return 1
    except Exception as error:  # noqa: BLE001 - the top of the process: a traceback is not for people
        return _fail(f"a fault in looop itself: {type(error).__name__}: {error} (LOOOP_DEBUG=1 shows where)", 1, error)
    return 0


def _usage(error: click.UsageError) -> str:
    where = error.ctx.command_path if error.ctx else "looop"
    return f"{error.format_message().rstrip('.')} (see `{where} --help`)"


def _fail(message: str, code: int, error: Exception | None = None) -> int:
    from looop.contract.surroundings import debugging

    if error is not None and debugging():
        import traceback

        traceback.print_exception(error)
    text = message if message.startswith("looop:") else f"looop: {message}"
    click.echo(text.replace("\n", " "), err=True)
    return code


def _suggestion(word: str, known: Any) -> str:
    import difflib

    close = difflib.get_close_matches(word, list(known), n=1)
    return f", did you mean {close[0]!r}?" if close else ""
