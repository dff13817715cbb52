"""The verb that prints a prompt for an agent that shall be a person's interface: `claude "$(looop concierge)"`."""

from importlib.resources import files

import click

from looop.clients.cli.output import give
from looop.contract.surroundings import call, places
from looop.model.text import one_line


@click.command()
def concierge() -> None:
    """Print a prompt for an agent that shall be your interface to this loop: claude "$(looop concierge)"."""
    text = files("looop.clients.cli").joinpath("concierge.txt").read_text(encoding="utf-8")
    words = call()
    give(text.replace("{data_dir}", one_line(places()["data dir"])).replace("{call}", words))
