"""Verbs around workers: worker start, kill, list, restart, show, prune; and `kill`, which workers call themselves."""

import sys
from collections.abc import Callable
from threading import Event

import click

from looop.clients.cli.attach import live_ids
from looop.clients.cli.output import print_json, say, steer, talk
from looop.clients.cli.show_workers import worker_lines, worker_table
from looop.clients.cli.words import Verbs, body_of, complete, journal_option, json_option
from looop.contract.local import open_local
from looop.model.ids import require_id
from looop.model.moves import StartWorker
from looop.model.text import one_line
from looop.model.workers import PULSE, WorkerRow

_goal_ids = complete(lambda local: [view.id for view in local.goals()])
_all_ids = complete(lambda local: [view.id for view in local.workers() if view.id != PULSE])


@click.group(cls=Verbs)
def worker() -> None:
    """Agents at work, each in a terminal of its own: start, list, show, kill, restart, prune."""


@worker.command("start")
@click.argument("worker_id", metavar="ID", shell_complete=_goal_ids)
@click.argument("prompt", nargs=-1)
@click.option("--command", metavar="CMD", help="Instead of worker_command; it must name {{prompt_file}}, its task.")
@click.option("--verify", metavar="CMD", help="Run once it has ended: exit code 0 is a pass. It must change nothing.")
@journal_option
def worker_start(
    worker_id: str, prompt: tuple[str, ...], command: str | None, verify: str | None, journal: str
) -> None:
    """Start a worker. PROMPT is its task, as words, or standard input when there are none or a lone -.

    By convention ID is that of the goal it works on.
    """
    require_id(worker_id, "worker id")
    steer(StartWorker(id=worker_id, prompt=body_of(prompt, "prompt"), command=command, verify=verify), journal)
    talk(f"watch it: `looop attach {worker_id}`, or `looop screenshot {worker_id}`")


@worker.command("kill")
@click.argument("worker_id", metavar="ID", shell_complete=live_ids)
def worker_kill(worker_id: str) -> None:
    """End a worker with all its processes. What it must be verified by is still run."""
    _end(worker_id)


@click.command()
@click.argument("worker_id", metavar="ID", shell_complete=live_ids)
def kill(worker_id: str) -> None:
    """End a worker with all its processes; a worker's own last step."""
    _end(worker_id)


@worker.command("restart")
@click.argument("worker_id", metavar="ID", shell_complete=_all_ids)
def worker_restart(worker_id: str) -> None:
    """End a worker if it is alive, and start the same command on the same task again."""
    say(one_line(open_local().restart_worker(worker_id)))


@worker.command("list")
@json_option
@click.option("-a", "--all", "include_ended", is_flag=True, help="Also those that have ended.")
@click.option("-w", "--watch", is_flag=True, help="Look again and again, until Ctrl-C.")
@click.option("--interval", type=click.IntRange(min=0), metavar="S", help="Seconds between looks, with --watch (2).")
def worker_list(as_json: bool, include_ended: bool, watch: bool, interval: int | None) -> None:
    """The pulse and every worker: how it fares, for how long, what it waits for, its verdict."""
    if as_json and watch:
        raise click.UsageError("--json and --watch exclude each other")
    if interval is not None and not watch:
        raise click.UsageError("--interval goes with --watch")
    local = open_local()

    def look() -> list[WorkerRow]:
        return [view for view in local.workers() if view.alive or include_ended or view.id == PULSE]

    if as_json:
        print_json(look())
    elif watch:
        _repaint(lambda: worker_table(look()), max(2 if interval is None else interval, 1))
    else:
        say(*worker_table(look()))


@worker.command("show")
@click.argument("worker_id", metavar="ID", shell_complete=_all_ids)
@json_option
def worker_show(worker_id: str, as_json: bool) -> None:
    """One worker: how it fares and why, its command, its task, its verify and the verdict."""
    detail = open_local().worker(worker_id)
    if as_json:
        print_json(detail)
    else:
        say(*worker_lines(detail))


@worker.command("prune")
@json_option
def worker_prune(as_json: bool) -> None:
    """Remove the sessions of workers that have ended, with what they printed and their verdicts."""
    _prune(as_json=as_json)


@click.command()
@json_option
def prune(as_json: bool) -> None:
    """Remove the sessions of workers that have ended, with what they printed and their verdicts."""
    _prune(as_json=as_json)


def _prune(*, as_json: bool) -> None:
    local = open_local()
    gone = local.prune_workers()
    if as_json:
        print_json(gone)
    else:
        count = f"{len(gone)} finished session{'' if len(gone) == 1 else 's'}"
        say(f"pruned {count}{': ' if gone else ''}{', '.join(map(one_line, gone))}")
    if kept := [row.id for row in local.workers() if not row.alive and row.id != PULSE]:
        talk(f"kept {', '.join(map(one_line, kept))}: the next beat has to verify what was done, `looop beat` does")


def _end(worker_id: str) -> None:
    ended = open_local().kill_worker(worker_id)
    talk(f"ended {one_line(ended)}")


def _repaint(lines: Callable[[], list[str]], seconds: int) -> None:
    """Draw again and again, over what was drawn before where there is a terminal."""
    drawn, over = 0, sys.stdout.isatty()
    while True:
        table = lines()
        say((f"\x1b[{drawn}A\x1b[J" if over and drawn else "") + "\n".join(table))
        sys.stdout.flush()
        drawn = len(table)
        Event().wait(seconds)
