"""The verbs, and how their words are read. Modules of verbs are loaded when they are asked for."""

import importlib
from typing import Any, cast

import click

from looop.clients.cli.output import say, talk
from looop.clients.cli.words import Verbs
from looop.contract.verbs import Engine

VERBS = {
    "state": "read",
    "wait": "read",
    "asks": "mail",
    "notify": "notify",
    "answer": "mail",
    "ask": "mail",
    "tell": "mail",
    "told": "mail",
    "journal": "read",
    "events": "read",
    "schema": "read",
    "goal": "steer",
    "sensor": "sensor",
    "playbook": "steer",
    "schedule": "schedule",
    "run": "steer",
    "worker": "worker",
    "screenshot": "screens",
    "log": "screens",
    "attach": "attach",
    "send": "attach",
    "kill": "worker",
    "prune": "worker",
    "claim": "lease",
    "unclaim": "lease",
    "cost": "money",
    "init": "setup",
    "service": "service",
    "doctor": "setup",
    "concierge": "concierge",
    "up": "loop",
    "down": "loop",
    "worktree": "worktree",
    "pulse": "loop",
    "beat": "loop",
    "demo": "loop",
    "help": "help",
    "version": "help",
    "completion": "help",
    "config": "help",
}


class Rooms(Verbs):
    """All verbs by name, each module imported when one of its verbs is used."""

    aliases = {"w": "worker", "ss": "screenshot"}  # noqa: RUF012 - a table
    meant = {  # noqa: RUF012 - a table
        "status": "state",
        **dict.fromkeys(("start", "daemon", "serve", "loop"), "up"),
        **dict.fromkeys(("stop", "shutdown"), "down"),
        **dict.fromkeys(("workers", "agents", "sessions", "ps", "top"), "worker"),
        **dict.fromkeys(("shot", "screen", "capture"), "screenshot"),
        **dict.fromkeys(("tick", "once", "step"), "beat"),
        "history": "journal",
        "logs": "log",
        **dict.fromkeys(("questions", "inbox"), "asks"),
        **dict.fromkeys(("reply", "respond"), "answer"),
        **dict.fromkeys(("exec", "sh", "shell"), "run"),
        "watch": "wait",
        **dict.fromkeys(("setup", "configure", "install"), "init"),
        **dict.fromkeys(("check", "diagnose", "health", "selftest"), "doctor"),
        **dict.fromkeys(("costs", "money", "bill", "spend", "spent", "usage", "budget"), "cost"),
        "man": "help",
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        cmd_name = self.aliases.get(cmd_name, cmd_name)
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"looop.clients.cli.{VERBS[cmd_name]}")
        return cast(click.Command, getattr(module, cmd_name))


@click.command(
    cls=Rooms,
    invoke_without_command=True,
    add_help_option=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.pass_context
def looop(ctx: click.Context) -> None:
    """An autonomous control loop for a person's work."""
    if ctx.invoked_subcommand is None:
        say(*_short_list(ctx))


def parse(words: list[str], engine: Engine) -> int:
    """Read the words, run the verb, return its exit code. Errors of ours are raised, errors of the words are said."""
    try:
        code: Any = looop.main(args=words, prog_name="looop", standalone_mode=False, obj=engine)
    except click.Abort:
        return 130
    except click.UsageError as error:
        talk(_usage(error))
        return 1
    except click.ClickException as error:
        talk(error.format_message())
        return 1
    return code if isinstance(code, int) else 0


def _short_list(ctx: click.Context) -> list[str]:
    """The verbs, a line each."""
    lines = ["looop: an autonomous control loop. `looop help` is the manual.", ""]
    for name in VERBS:
        command = looop.get_command(ctx, name)
        lines.append(f"  {name:<11} {command.get_short_help_str(90) if command else ''}")
    return lines


def _usage(error: click.UsageError) -> str:
    where = error.ctx.command_path if error.ctx else "looop"
    if isinstance(error, click.NoSuchOption) and not error.option_name.lstrip("-").replace("-", "").isalnum():
        return f"a text that begins with a dash stands behind `--`, or comes on standard input (see `{where} --help`)"
    return f"{' '.join(error.format_message().split()).rstrip('.')} (see `{where} --help`)"
