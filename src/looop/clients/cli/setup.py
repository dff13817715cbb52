"""Verbs that set looop up and look whether all is well: init, doctor."""

import sys
from typing import TYPE_CHECKING

import click

from looop.clients.cli.output import patience, print_json, say, talk
from looop.clients.cli.show import clip, width
from looop.clients.cli.words import Duration, complete, json_option
from looop.contract.local import Local, open_local
from looop.contract.setup import Choice, Plan, Setup, Wiring
from looop.model.errors import Invalid
from looop.model.text import one_line

if TYPE_CHECKING:
    from looop.contract.doctor import Finding

ABORTED = 130
_NONE = "none"
_CUSTOM = "custom"
_KEEP = "keep"
_PROMPT_FILE = "{{prompt_file}}"
_names = complete(lambda local: [_NONE, *(choice.name for choice in local.setup().choices)])


@click.command()
@click.option("--runner", metavar="NAME", shell_complete=_names, help="claude, codex, opencode, pi, none … (see docs).")
@click.option("--tick", metavar="CMD", help="The command that decides; it reads the prompt on stdin.")
@click.option("--worker", metavar="CMD", help="The command that works on a goal; {{prompt_file}} is its task.")
@click.option("--interval", type=Duration(), help="Seconds between beats (90, 90s, 30m).")
@json_option
@click.pass_context
def init(
    ctx: click.Context, runner: str | None, tick: str | None, worker: str | None, interval: int | None, as_json: bool
) -> None:
    """Set up who decides what no reflex decides: asks on a terminal, or takes what the options say."""
    local, wanted = Local(), Wiring(runner, tick, worker, interval)
    if interval == 0:
        raise click.UsageError("--interval must be at least 1s")
    setup = local.setup()
    asking = wanted == Wiring() and _terminal() and not as_json
    if asking:
        try:
            plan = _asked(local, setup)
        except click.Abort:
            talk("aborted (no config written).")
            ctx.exit(ABORTED)
    else:
        plan = local.plan_setup(wanted if wanted != Wiring() else _silent(setup))
    local.prepare()
    local.write_setup(plan)
    if as_json:
        print_json({"path": plan.path, "runner": plan.runner, "changes": plan.changes, "doubts": plan.doubts})
    else:
        say(*_written(plan, shown=asking))


@click.command()
@click.option("--no-ask", is_flag=True, help="Do not ask the runner for a trial decision, which may cost a little.")
@json_option
@click.pass_context
def doctor(ctx: click.Context, no_ask: bool, as_json: bool) -> None:
    """Look whether everything works, and say how to mend what does not. Exit code 1 when something is broken."""
    with patience("looking, and asking the runner for a trial decision"):
        checkup = open_local().check_up(ask=not no_ask)
    if as_json:
        print_json(checkup)
    else:
        say(*(line for finding in checkup.findings for line in finding_lines(finding)))
    ctx.exit(0 if checkup.healthy else 1)


def finding_lines(finding: "Finding") -> list[str]:
    """One line for what was found, and one for what to do about it."""
    mark = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}[finding.status]
    lines = [f"{mark}  {finding.subject:<12} {one_line(finding.said)}"]
    return [*lines, f"      {'':<12} -> {one_line(finding.remedy)}"] if finding.remedy else lines


def _terminal() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


def _silent(setup: Setup) -> Wiring:
    """Without a terminal and without options: what is there stays; where nothing is, reflexes alone decide."""
    talk("no terminal, so nothing is asked: --runner, --tick, --worker and --interval say what is wanted")
    return Wiring() if setup.exists else Wiring(runner=_NONE)


def _asked(local: Local, setup: Setup) -> Plan:
    """The plan a person agreed to. Raises click.Abort."""
    say(*_menu(setup))
    while True:
        wanted = _wishes(setup)
        try:
            plan = local.plan_setup(wanted)
        except Invalid as error:
            talk(str(error))
            continue
        if not plan.changes:
            return plan
        say("", f"{one_line(plan.path)}:", *_change_lines(plan))
        click.confirm("Write this?", default=True, abort=True)
        return plan


def _menu(setup: Setup) -> list[str]:
    lines = [
        "Who shall decide what no reflex decides?",
        f"  0  {_NONE:<12} nobody: reflexes alone, nothing is ever spent",
    ]
    for n, choice in enumerate(setup.choices, 1):
        found = f"found: {choice.found}" if choice.found else "not installed"
        lines.append(f"  {n}  {choice.name:<12} {choice.about} ({one_line(found)})")
    lines.append(f"  {len(setup.choices) + 1}  {_CUSTOM:<12} a command of your own")
    lines.append(f"  {len(setup.choices) + 2}  {_KEEP:<12} as it is now: {one_line(setup.runner)}")
    return [clip(line, width()) for line in lines]


def _wishes(setup: Setup) -> Wiring:
    """What a person wants, line by line; Enter takes what stands in brackets."""
    names = [_NONE, *(choice.name for choice in setup.choices), _CUSTOM, _KEEP]
    said = click.prompt("Runner", default=_preselected(setup, names))
    name = names[int(said)] if said.isdecimal() and int(said) < len(names) else said.strip()
    if name in (_NONE, _KEEP):
        return Wiring(runner=_NONE) if name == _NONE else Wiring()
    preset = next((choice for choice in setup.choices if choice.name == name), None)
    if preset is None and name != _CUSTOM:
        talk(f"there is no {name!r}: a number or a name of the list")
        return _wishes(setup)
    first, then = _prefilled(setup, preset)
    tick = click.prompt("Decides (tick command)", default=first).strip()
    worker = click.prompt("Works (worker command)", default=then).strip()
    while _PROMPT_FILE not in worker:
        talk(f"the worker command needs {_PROMPT_FILE}, where its task stands")
        worker = click.prompt("Works (worker command)", default=then).strip()
    return Wiring(preset.name if preset else None, tick, worker)


def _prefilled(setup: Setup, preset: Choice | None) -> tuple[str | None, str | None]:
    if preset:
        return preset.tick_command, preset.worker_command
    return setup.tick_command, setup.worker_command or f"my-agent {_PROMPT_FILE}"


def _preselected(setup: Setup, names: list[str]) -> str:
    """What is set up now; before anything is, the first CLI that is installed."""
    if setup.exists:
        return setup.runner if setup.runner in names else _KEEP
    return next((choice.name for choice in setup.choices if choice.found), _NONE)


def _written(plan: Plan, *, shown: bool) -> list[str]:
    if not plan.changes:
        return [f"{one_line(plan.path)} says so already (runner: {one_line(plan.runner)}): nothing to write"]
    lines = [f"Wrote {one_line(plan.path)} (runner: {one_line(plan.runner)})."]
    lines += [] if shown else _change_lines(plan)
    return [
        *lines,
        "Next: `looop doctor` tries it, `looop beat --dry-run` shows a beat, `looop up` starts the loop.",
        'An agent can be your interface to it: claude "$(looop concierge)"',
    ]


def _change_lines(plan: Plan) -> list[str]:
    return [f"  {one_line(change)}" for change in plan.changes] + [f"! {one_line(doubt)}" for doubt in plan.doubts]
