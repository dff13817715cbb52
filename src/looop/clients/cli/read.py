"""Verbs that only read: state, wait, journal, events, schema."""

import click
import msgspec

from looop.clients.cli.show import clean, state_lines
from looop.clients.cli.words import contract, json_option, print_json
from looop.contract.verbs import Filter


@click.command()
@json_option
def state(as_json: bool) -> None:
    """Everything at a glance: pulse, asks, goals, sensors, journal. Senses nothing."""
    view = contract().state()
    if as_json:
        print_json(view)
    else:
        click.echo("\n".join(state_lines(view)))


@click.command()
@json_option
@click.option("--actionable", is_flag=True, help="Only an ask or a journal line ends the wait.")
@click.option("--only-asks", is_flag=True, help="Only an ask ends the wait.")
@click.pass_context
def wait(ctx: click.Context, as_json: bool, actionable: bool, only_asks: bool) -> None:
    """Block until something changes, then print the state and what changed.

    Ends at once while an ask is pending; ends with exit code 2 when no pulse runs.
    """
    wanted: Filter = "only-asks" if only_asks else "actionable" if actionable else "any"
    woke = contract().wait(wanted)
    if as_json:
        print_json(msgspec.to_builtins(woke.state) | {"changed": woke.changed})
    else:
        click.echo("\n".join(state_lines(woke.state, woke.changed)))
    if woke.pulse_down:
        ctx.exit(2)


@click.command()
@click.option(
    "--tail", "-n", "count", type=click.IntRange(min=1), default=20, show_default=True, help="How many lines."
)
@json_option
def journal(count: int, as_json: bool) -> None:
    """The last lines of the journal: one for every move."""
    lines = contract().journal(count)
    if as_json:
        print_json(lines)
    else:
        click.echo("\n".join(clean(line) for line in lines) if lines else "the journal is empty")


@click.command()
@click.option("--tail", "-n", "count", type=click.IntRange(min=1), default=20, show_default=True, help="How many rows.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array instead of a row a line.")
def events(count: int, as_json: bool) -> None:
    """The last rows of the event log, as JSON, one a line."""
    rows = contract().events(count)
    if as_json:
        print_json([msgspec.Raw(row.encode()) for row in rows if _is_json(row)])
    elif rows:
        click.echo("\n".join(rows))


@click.command()
@click.argument("name", type=click.Choice(["decision"]))
def schema(name: str) -> None:
    """Print the JSON Schema of NAME: what a runner has to write."""
    from looop.model.decision import decision_schema

    print_json(decision_schema())


def _is_json(row: str) -> bool:
    try:
        msgspec.json.decode(row)
    except msgspec.DecodeError:
        return False
    return True
