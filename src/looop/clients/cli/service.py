"""Verbs around the service that starts the pulse with the machine: service install, uninstall, status."""

import click

from looop.clients.cli.output import give, print_json, say, talk
from looop.clients.cli.words import Verbs, json_option
from looop.model.text import one_line


@click.group(cls=Verbs)
def service() -> None:
    """Have the machine start the pulse: install, uninstall, status."""


@service.command()
@click.option("--print", "only_print", is_flag=True, help="Print the file that would be written; change nothing.")
@click.pass_context
def install(ctx: click.Context, only_print: bool) -> None:
    """Write a systemd user unit (macOS: a launchd agent) for this data dir, enable it and start it.

    It gets the PATH and the settings (LOOOP_…) of this shell. Exit code 1 when it could not be enabled.
    """
    from looop.contract.service import install as install_service
    from looop.contract.service import service_text

    if only_print:
        give(service_text())
        return
    done = install_service()
    path = one_line(done.path)
    if not done.changes:
        say(f"{path} says so already: nothing to write")
    else:
        say(
            f"{'Replaced' if done.replaced else 'Wrote'} {path}",
            *(map(one_line, done.changes) if done.replaced else ()),
        )
    for note in done.notes:
        talk(note)
    if done.why:
        talk(f"the service is not enabled: {done.why}")
        say("To enable it, type:", *(f"  {one_line(command)}" for command in done.commands))
        ctx.exit(1)
    say("enabled and started")


@service.command()
def uninstall() -> None:
    """Stop the service, disable it and remove its file. One that is not installed is fine."""
    from looop.contract.service import uninstall as uninstall_service

    existed, why = uninstall_service()
    if why:
        talk(why)
    say("the service is removed: nothing starts the loop any more" if existed else "not installed: nothing to do")


@service.command()
@json_option
def status(as_json: bool) -> None:
    """Whether the service is installed, enabled and active, and what would happen after a reboot."""
    from looop.contract.service import service_status

    found = service_status()
    if as_json:
        print_json(found)
        return
    written = "installed" if found.installed else "not installed"
    if found.installed and not found.current:
        written += ", but `looop service install` would write something else now"
    say(
        f"service: {found.name} ({found.manager})",
        f"file: {one_line(found.path)} ({written})",
        f"enabled: {_word(found.enabled)}  ·  active: {_word(found.active)}  ·  "
        f"pulse: {'live' if found.pulse_alive else 'DOWN'}",
        f"after a reboot: {found.after_reboot}",
    )


def _word(answer: bool | None) -> str:
    return "unknown" if answer is None else "yes" if answer else "no"
