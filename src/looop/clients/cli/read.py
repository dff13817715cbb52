"""Verbs that only read: state, wait, journal, events, schema."""

import click
import msgspec

from looop.clients.cli.output import escaped, print_json, say, show_state, show_woke, talk
from looop.clients.cli.words import Duration, json_option
from looop.contract.local import open_local
from looop.contract.verbs import Filter
from looop.model.text import one_line


@click.command()
@json_option
def state(as_json: bool) -> None:
    """Everything at a glance: pulse, asks, goals, sensors, journal. Senses nothing."""
    show_state(open_local().state(), as_json=as_json)


@click.command()
@json_option
@click.option("--actionable", is_flag=True, help="Only an ask or a journal line ends the wait.")
@click.option("--only-asks", is_flag=True, help="Only an ask ends the wait.")
@click.option("--new-asks", "since", metavar="SINCE", help="Pending asks end it only when they are new since SINCE.")
@click.option("--timeout", type=Duration(), metavar="D", help="End after so long, with nothing changed.")
@click.pass_context
def wait(
    ctx: click.Context, as_json: bool, actionable: bool, only_asks: bool, since: str | None, timeout: int | None
) -> None:
    """Block until something changes, then print the state and what changed.

    Ends at once while an ask is pending; ends with exit code 2 when no pulse runs. SINCE is the `cursor` that the last
    `wait --json` printed; `now` for the asks that are pending now; or a UTC second, for those that were before it.
    """
    wanted: Filter = "only-asks" if only_asks else "actionable" if actionable else "any"
    local = open_local()
    held = None if since is None else local.held_asks(since)
    woke = local.wait(wanted, held, timeout, talk)
    show_woke(woke, as_json=as_json)
    if woke.pulse_down:
        ctx.exit(2)


@click.command()
@click.option(
    "--tail", "-n", "count", type=click.IntRange(1, 10**6), default=20, show_default=True, help="How many lines."
)
@json_option
def journal(count: int, as_json: bool) -> None:
    """The last lines of the journal: one for every move."""
    lines = open_local().journal(count)
    if as_json:
        print_json(lines)
    else:
        say(*map(one_line, lines) if lines else ["the journal is empty"])


@click.command()
@click.option(
    "--tail", "-n", "count", type=click.IntRange(1, 10**6), default=20, show_default=True, help="How many rows."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array instead of a row a line.")
def events(count: int, as_json: bool) -> None:
    """The last rows of the event log, as JSON, one a line."""
    rows = open_local().events(count)
    if as_json:
        print_json([msgspec.Raw(row.encode()) for row in rows if _is_json(row)])
    else:
        say(*(escaped(row) if _is_json(row) else one_line(row) for row in rows))


@click.command()
@click.argument("name", type=click.Choice(["decision"]))
@click.option("--flat", is_flag=True, help="One object for all moves, as CLIs take it that check an answer (claude).")
@click.option("--strict", is_flag=True, help="The same with every field required, null where it is not used (codex).")
def schema(name: str, flat: bool, strict: bool) -> None:
    """Print the JSON Schema of NAME: what a runner has to write."""
    from looop.contract.schema import flat_schema
    from looop.model.decision import decision_schema

    print_json(flat_schema(strict=strict) if flat or strict else decision_schema())


def _is_json(row: str) -> bool:
    try:
        msgspec.json.decode(row)
    except msgspec.DecodeError:
        return False
    return True
