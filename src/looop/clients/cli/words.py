"""What the verbs share: groups, bodies, durations, options, completion."""

import re
import sys
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, TypeVar, cast

import click
from click.shell_completion import CompletionItem

from looop.clients.cli.output import talk
from looop.contract.local import Local

F = TypeVar("F", bound=Callable[..., Any])
_MOST_BYTES = 1 << 22
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST_S = 100 * 366 * 86400
_DURATION = re.compile(r"([0-9]{1,12})([smhd]?)")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
journal_option = click.option("--journal", metavar="TEXT", default="", help="The journal line, instead of the summary.")


class Verbs(click.Group):
    """A group that knows short names of its verbs, and says what there is when a word fits none."""

    aliases: ClassVar[dict[str, str]] = {"w": "write", "ls": "list"}
    meant: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("new", "create", "make"), "add write"),
        **dict.fromkeys(("add", "edit", "set", "put", "update"), "write"),
        **dict.fromkeys(("test", "try", "check", "exec"), "run"),
        **dict.fromkeys(("delete", "del", "remove", "drop", "close", "done"), "rm archive"),
        "rm": "archive",
        **dict.fromkeys(("cat", "view", "get", "print", "read"), "show list"),
        **dict.fromkeys(("status", "all"), "list"),
        **dict.fromkeys(("log", "versions"), "history"),
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"no_args_is_help": False} | kwargs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, self.aliases.get(cmd_name, cmd_name))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not self.invoke_without_command and not ctx.resilient_parsing:
            ctx.fail(f"`{ctx.command_path}` needs a verb: {', '.join(self.list_commands(ctx))}")
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        known = self.list_commands(ctx)
        if self.get_command(ctx, args[0]) is None and not ctx.resilient_parsing and not args[0].startswith("-"):
            hint = suggestion(args[0], known, self.meant.get(args[0], "").split())
            ctx.fail(f"no such command {args[0]!r}{hint or ': there are ' + ', '.join(known)}")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        short = [name for name, verb in self.aliases.items() if verb in self.commands and name == incomplete]
        return [*super().shell_complete(ctx, incomplete), *map(CompletionItem, short)]


class Duration(click.ParamType[int]):
    """Seconds: `90`, `90s`, `30m`, `12h`, `1d`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = _DURATION.fullmatch(str(value).strip())
        if match is None:
            self.fail(f"{value!r} is not a duration: expected 90, 90s, 30m, 12h or 1d", param, ctx)
        seconds = int(match.group(1)) * _UNITS[match.group(2)]
        if seconds > _LONGEST_S:
            self.fail(f"{value!r} is too long: expected 100 years at most", param, ctx)
        return seconds


def body_of(words: tuple[str, ...], what: str) -> str:
    """The words joined by one space; standard input when there are none or a lone `-`. Spec/cli.md §1."""
    text = " ".join(words) if words and words != ("-",) else _standard_input(what)
    if not text.strip():
        raise click.UsageError(f"the {what} is empty: give it as words, or on standard input")
    return text


def suggestion(word: str, known: list[str], meant: Iterable[str] = ()) -> str:
    """`: did you mean `state`?` for the first of `meant` that is known, else the known word that is nearest."""
    import difflib

    close = [other for other in meant if other in known]
    close += difflib.get_close_matches(word, known, n=1) or [other for other in known if other.startswith(word)]
    return f": did you mean `{close[0]}`?" if close and word else ""


def complete(read: Callable[[Local], list[str]]) -> Callable[..., list[str]]:
    """Shell completion from live values; silence when they cannot be read."""

    def values(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        try:
            return [value for value in read(Local()) if value.startswith(incomplete) and value.isprintable()]
        except Exception:  # noqa: BLE001 - a completion must never print
            return []

    return cast(Callable[..., list[str]], values)


def _standard_input(what: str) -> str:
    if sys.stdin is None:
        return ""
    if sys.stdin.isatty():
        talk(f"type the {what}, end with Ctrl-D")
    data = sys.stdin.buffer.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise click.UsageError(f"the {what} is over {_MOST_BYTES} bytes: nothing was changed")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise click.UsageError(f"the {what} on standard input is not UTF-8: nothing was changed") from None
