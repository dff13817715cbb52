"""From a move to its effect. The same executor serves reflexes, runners and people's own verbs.

A move takes effect, then its goal is stamped, then one line is journaled; a journal that cannot be written after
the effect is a warning, or the effect would be repeated. Source: spec/beat.md §10, edge cases 112-125.
"""

from collections.abc import Callable
from typing import Any

from looop.act.launch import kill_worker, start_worker
from looop.act.schedules import in_zone, record_of
from looop.act.shell import run_shell
from looop.model.decision import check_move
from looop.model.errors import Invalid, Refused
from looop.model.moves import (
    AnyMove,
    ArchiveGoal,
    DropSchedule,
    KillWorker,
    Noop,
    RunShell,
    StartWorker,
    WriteGoal,
    WritePlaybook,
    WriteSchedule,
    WriteSensor,
)
from looop.rules.goals import parse_goal
from looop.rules.launch import names_prompt
from looop.rules.shell import tripped
from looop.runtime.clock import second_stamp
from looop.state.house import House


def perform(
    house: House,
    move: AnyMove,
    now: int,
    *,
    journal: str = "",
    goal: str | None = None,
    seen_at: int | None = None,
    begin: Callable[[], object] | None = None,
) -> str:
    """Carry the move out for the loop and return the line that was journaled. `goal` is what a reflex acts for.

    `seen_at` is when the world was looked at that it was decided on, and `now` without it: the goal has been acted on
    as of then, or a schedule that ran since would never be seen.

    A run_shell or start_worker calls `begin` once it is announced, and does nothing when that raises. Raises a
    LooopError whose text a model or a person can act on; then nothing was journaled or stamped.
    """
    checked = check_move(move)
    if isinstance(checked, WriteSchedule):
        checked = in_zone(house, checked, now)
    close: Callable[[], object] | None = None
    if isinstance(checked, RunShell):
        close = run_shell(house, checked.cmd, checked.reason or checked.cmd, now, begin=begin).close
    elif isinstance(checked, StartWorker):
        close = start_worker(house, checked, now, begin=begin)
    else:
        _EFFECTS[type(checked)](house, checked, now)
    if acted_on := move.goal or goal:
        house.best_effort("goal activity", lambda: house.guards.stamp(acted_on, now if seen_at is None else seen_at))
    line = journal.strip() or checked.summary
    house.note(line, now)
    if close:
        close()
    return line


def _noop(house: House, move: Noop, now: int) -> None:
    pass


def _write_goal(house: House, move: WriteGoal, now: int) -> None:
    """Whoever writes it, a goal must be one, and its reflexes must be able to run."""
    try:
        spec = parse_goal(move.body)
    except Invalid as error:
        raise Invalid(f"goal {move.id} not written: {error}") from None
    allow = house.setting.knobs.shell_allow_dangerous == 1
    for n, reflex in enumerate(spec.reflexes):
        if why := _why_never(reflex.move, allow=allow) or _no_schedule(house, reflex.move, now):
            raise Refused(f"goal {move.id} not written: reflex #{n} would never run: {why}")
    house.goals.write(move.id, move.body)


def _why_never(move: AnyMove, *, allow: bool) -> str:
    """Why a reflex with this move could only ever fail, empty when it may work."""
    command = move.cmd if isinstance(move, RunShell) else ""
    if isinstance(move, StartWorker):
        command = move.verify or ""
        if not move.prompt.strip():
            return "missing prompt: say what the worker is to do"
        if move.command and move.command.strip() and not names_prompt(move.command):
            return "its command has no {{prompt_file}}, where the worker finds its task"
    reason = "" if allow else tripped(command)
    return f"{reason} (a person may allow it with LOOOP_SHELL_ALLOW_DANGEROUS=1)" if reason else ""


def _no_schedule(house: House, move: AnyMove, now: int) -> str:
    """Why a reflex could never write its schedule, empty when it may."""
    if isinstance(move, WriteSchedule):
        try:
            in_zone(house, move, now)
        except Invalid as error:
            return str(error)
    return ""


def _archive_goal(house: House, move: ArchiveGoal, now: int) -> None:
    house.goals.archive(move.id)


def _write_sensor(house: House, move: WriteSensor, now: int) -> None:
    if not move.script.startswith("#!"):
        raise Invalid(f"sensor {move.name} not written: the script must begin with a #! line, such as #!/bin/sh")
    taken = [sensor.file for sensor in house.sensors.all() if sensor.stem == move.name]
    if taken not in ([], [f"{move.name}.sh"]):
        raise Refused(f"sensor {move.name} not written: {taken[0]} has that stem already, and both would be refused")
    house.sensors.write(move.name, move.script)


def _write_playbook(house: House, move: WritePlaybook, now: int) -> None:
    house.playbook.write(move.body, second_stamp(house.setting.clock, now))


def _write_schedule(house: House, move: WriteSchedule, now: int) -> None:
    house.schedules.write(move.name, record_of(move, now))


def _drop_schedule(house: House, move: DropSchedule, now: int) -> None:
    house.schedules.drop(move.name)


def _kill_worker(house: House, move: KillWorker, now: int) -> None:
    kill_worker(house, move.id, now)


_EFFECTS: dict[type, Callable[[House, Any, int], None]] = {
    Noop: _noop,
    WriteGoal: _write_goal,
    ArchiveGoal: _archive_goal,
    WriteSensor: _write_sensor,
    WritePlaybook: _write_playbook,
    KillWorker: _kill_worker,
    WriteSchedule: _write_schedule,
    DropSchedule: _drop_schedule,
}
