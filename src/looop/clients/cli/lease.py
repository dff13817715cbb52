"""Verbs for leases: claim, unclaim. Workers use them to keep out of each other's way."""

import click

from looop.clients.cli.output import say, talk
from looop.contract.local import open_local

_session_option = click.option("--session", metavar="S", help="Whose lease it is; else what LOOOP_SESSION_ID says.")


@click.command()
@click.argument("name")
@_session_option
def claim(name: str, session: str | None) -> None:
    """Take a lease, or keep it; exit code 1 when a session that lives has it."""
    if said := open_local().claim(name, session, talk):
        say(said)


@click.command()
@click.argument("name")
@_session_option
def unclaim(name: str, session: str | None) -> None:
    """Give a lease up; one that is nobody's is fine."""
    open_local().unclaim(name, session)
