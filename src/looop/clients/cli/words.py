"""What the verbs share: bodies, durations, options, and one way to print data."""

import re
import sys
from collections.abc import Callable
from typing import Any, TypeVar, cast

import click

from looop.contract.local import Local

F = TypeVar("F", bound=Callable[..., Any])
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"([0-9]{1,12})([smhd]?)")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
journal_option = click.option("--journal", metavar="TEXT", default="", help="The journal line, instead of the summary.")


class Duration(click.ParamType[int]):
    """Seconds: `90`, `90s`, `30m`, `12h`, `1d`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = _DURATION.fullmatch(str(value).strip())
        if match is None:
            self.fail(f"{value!r} is not a duration: expected 90, 90s, 30m, 12h or 1d", param, ctx)
        return int(match.group(1)) * _UNITS[match.group(2)]


def contract() -> Local:
    """The contract, on a data dir that is there."""
    local = Local()
    local.prepare()
    return local


def body_of(words: tuple[str, ...], what: str) -> str:
    """The words joined by one space; standard input when there are none or a lone `-`. Spec/cli.md §1."""
    if words and words != ("-",):
        return " ".join(words)
    if sys.stdin.isatty():
        click.echo(f"looop: type the {what}, end with Ctrl-D", err=True)
    text = sys.stdin.buffer.read().decode("utf-8", "replace")
    if not text.strip():
        raise click.UsageError(f"the {what} is empty: give it as words, or on standard input")
    return text


def print_json(value: Any) -> None:
    """One pretty JSON document on stdout."""
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def complete(read: Callable[[Local], list[str]]) -> Callable[..., list[str]]:
    """Shell completion from live values; silence when they cannot be read."""

    def values(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        try:
            return [value for value in read(Local()) if value.startswith(incomplete)]
        except Exception:  # noqa: BLE001 - a completion must never print
            return []

    return cast(Callable[..., list[str]], values)
