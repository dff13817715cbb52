"""Verbs around sensors: write, add from a template, list, run, rm."""

import os

import click

from looop.clients.cli.output import give, patience, print_json, relay, say, steer, talk
from looop.clients.cli.show import run_line, sensor_line
from looop.clients.cli.words import Verbs, body_of, complete, journal_option, json_option
from looop.contract.local import open_local
from looop.contract.templates import TEMPLATES, Template
from looop.model.ids import require_id
from looop.model.moves import WriteSensor
from looop.model.text import one_line

_names = complete(lambda local: [view.name for view in local.sensors()])


@click.group(cls=Verbs)
def sensor() -> None:
    """What is sensed: write, add, list, run, rm."""


@sensor.command("write")
@click.argument("name", shell_complete=_names)
@click.argument("script", nargs=-1)
@journal_option
def sensor_write(name: str, script: tuple[str, ...], journal: str) -> None:
    """Create or replace sensors/NAME.sh. SCRIPT is words or standard input, and starts with a #! line."""
    require_id(name, "sensor name")
    steer(WriteSensor(name=name, script=body_of(script, "script")), journal)


@sensor.command("list")
@json_option
def sensor_list(as_json: bool) -> None:
    """Every sensor: how often it runs, how old its reading is, what it says."""
    views = open_local().sensors()
    if as_json:
        print_json(views)
    else:
        say(*map(sensor_line, views) if views else ["no sensors: `looop sensor add --help`"])


@sensor.command("run")
@click.argument("name", shell_complete=_names)
@json_option
@click.pass_context
def sensor_run(ctx: click.Context, name: str, as_json: bool) -> None:
    """Run one sensor now, to try it; the reading is shown, not published. Exit code 1 when it fails."""
    local = open_local()
    with patience(f"running {one_line(name)}"):
        tried = local.try_sensor(name)
    if as_json:
        print_json(tried)
    else:
        give(tried.output)
        relay(f"{one_line(name)} said", tried.stderr)
        talk(run_line(tried))
    if not tried.ok:
        ctx.exit(1)


@sensor.command("rm")
@click.argument("name", shell_complete=_names)
@journal_option
def sensor_rm(name: str, journal: str) -> None:
    """Remove a sensor: its file goes for good. NAME is the sensor's, or its file's where two share a name."""
    say(one_line(open_local().remove_sensor(name, journal)))


@sensor.group("add", cls=Verbs)
def sensor_add() -> None:
    """Write a sensor from a template; it is a script of yours from then on."""


def _template_command(template: Template) -> click.Command:
    """One subcommand of `sensor add`, made of the template's own options."""

    def write(name: str | None, journal: str, **options: str | None) -> None:
        given = {key.replace("_", "-"): value for key, value in options.items() if value is not None}
        if given.get("path", "~").startswith("~") is False:
            given["path"] = os.path.abspath(given["path"])
        chosen = name or template.kind
        say(one_line(open_local().add_sensor(template.kind, chosen, given, journal)))
        talk(f"try it: `looop sensor run {chosen}`")

    params: list[click.Parameter] = [click.Argument(["name"], required=False)]
    for option in template.options:
        required = option.default is None
        about = option.about if required else f"{option.about}  [default: {option.default or 'none'}]"
        params.append(click.Option([f"--{option.name}"], required=required, help=about))
    params.append(click.Option(["--journal"], metavar="TEXT", default="", help="The journal line."))
    return click.Command(template.kind, params=params, callback=write, help=template.about)


for _template in TEMPLATES.values():
    sensor_add.add_command(_template_command(_template))
