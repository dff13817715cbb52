"""Workers as lines for people. Nothing here prints; text from outside never reaches a terminal raw."""

import shlex
import sys
import time
from collections.abc import Sequence

from looop.clients.cli.show import clip, columns, width
from looop.contract.surroundings import may_colour
from looop.contract.verbs import WorkerDetail
from looop.model.text import one_line, span, visible
from looop.model.workers import WorkerRow

_HEADINGS = ("ID", "HEALTH", "STATE", "IDLE", "UP", "ASK", "VERIFY")
_COLOURS = {"stuck": "31", "down": "31", "waiting-ask": "33", "dead": "2"}


def worker_table(rows: Sequence[WorkerRow]) -> list[str]:
    """`looop worker list`: aligned columns, coloured on a terminal only. Source: spec/cli.md §2."""
    colour, wide = may_colour(sys.stdout), width()
    cells = [_HEADINGS, *map(_cells, rows)]
    widths = [max(_width(row[n]) for row in cells) for n in range(len(_HEADINGS))]
    lines = []
    for row, cell in zip([None, *rows], cells, strict=True):
        text = "  ".join(part + " " * (widths[n] - _width(part)) for n, part in enumerate(cell)).rstrip()
        code = _COLOURS.get(row.health, "31" if row.verify == "fail" else "") if row and colour else ""
        lines.append(f"\x1b[{code}m{clip(text, wide)}\x1b[0m" if code else clip(text, wide))
    return lines


def worker_lines(detail: WorkerDetail) -> list[str]:
    """`looop worker show`."""
    row = detail.row
    lines = [f"{one_line(row.id)}  {row.health}: {one_line(row.derived_from)}"]
    lines += [f"problem: {one_line(detail.problem)}"] if detail.problem else []
    times = f"started: {_local(detail.started_at)}  ·  last change: {_local(detail.last_change)}"
    lines.append(f"state: {_state(row)}  ·  {times}")
    owner = f"supervisor: {detail.supervisor_pid}  ·  its command: {detail.child_pid or '-'}"
    lines.append(f"terminal: {detail.size[0]}x{detail.size[1]}  ·  {owner}")
    lines += _pasteable(detail.command)
    if detail.verify:
        lines.append(f"verify: {one_line(detail.verify)}  ·  {row.verify or 'not run yet'}")
        lines += [f"  {one_line(line)}" for line in detail.verify_output.strip().split("\n") if line]
    task = detail.task
    lines += ["task:", *(f"  {one_line(line)}" for line in task.split("\n"))] if task else []
    return lines


def _pasteable(command: list[str]) -> list[str]:
    """A command as it can be typed again; of several lines each stands as it is, below the label."""
    first, *more = visible(shlex.join(command)).split("\n")
    return [f"command: {first}"] if not more else ["command:", first, *more]


def _cells(row: WorkerRow) -> tuple[str, ...]:
    verdict = {"pass": "pass", "fail": "FAIL"}.get(row.verify or "", "-")
    times = ("-" if known is None else span(known) for known in (row.idle_s, row.uptime_s, row.ask_age_s))
    return one_line(row.id), row.health, _state(row), *times, verdict


def _state(row: WorkerRow) -> str:
    return f"exit {row.exit_code}" if row.state == "exited" and row.exit_code is not None else one_line(row.state)


def _width(text: str) -> int:
    return sum(map(columns, text))


def _local(ts: int | None) -> str:
    return "-" if ts is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ts))
