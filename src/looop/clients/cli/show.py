"""Turning values into lines for people. Nothing here prints; text from outside never reaches a terminal raw."""

import os
import re
import sys
from typing import Any

import msgspec

from looop.contract.verbs import GoalView, ScheduleView, SensorView, StateView
from looop.model.prompt import GoalStatus
from looop.model.records import Ask
from looop.model.report import BeatReport
from looop.model.world import Change

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def clean(text: str) -> str:
    """`text` with control characters made visible, on one line."""
    return visible(text.replace("\n", " ").replace("\t", " "))


def visible(text: str) -> str:
    """`text` with control characters made visible; its lines and tabs stay."""
    return _CONTROL.sub(_name_of, text)


def clip(text: str, width: int) -> str:
    """At most `width` columns of a terminal, ending in … when cut. Source: edge case 238."""
    if text.isascii() or len(text) * 2 <= width:
        return text if len(text) <= width else text[: max(width - 1, 0)] + "…"
    total = end = 0
    for n, ch in enumerate(text):
        total += columns(ch)
        if total < width:
            end = n + 1
        elif total > width:
            return text[:end] + "…"
    return text


def columns(ch: str) -> int:
    """How many columns of a terminal one character takes."""
    if ch.isascii():
        return 1
    from unicodedata import category, east_asian_width

    if category(ch) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if east_asian_width(ch) in "WF" else 1


def _name_of(match: re.Match[str]) -> str:
    """A byte that is not UTF-8 and a control character as \\xff, any other as \\uffff."""
    code = ord(match.group())
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def width() -> int:
    """The terminal's width, at least 40; 100 when there is no terminal."""
    try:
        return max(os.get_terminal_size(sys.stdout.fileno()).columns, 40)
    except (OSError, ValueError):
        return 100


def age(seconds: int | None) -> str:
    """`just now`, `5m ago`, `3h ago`, `2d ago`; `never` for None."""
    if seconds is None:
        return "never"
    if seconds < 45:
        return "just now"
    for limit, unit, name in ((90, 60, "m"), (3600, 60, "m"), (86400, 3600, "h")):
        if seconds < limit:
            return f"{max(seconds // unit, 1)}{name} ago"
    return f"{seconds // 86400}d ago"


def compact(value: Any) -> str:
    """A value as compact JSON text."""
    return msgspec.json.encode(value, order="sorted").decode()


def state_lines(view: StateView, changed: list[str] | None = None) -> list[str]:
    """`looop state` for people. Source: spec/cli.md §2."""
    wide = width()
    live = [worker for worker in view.workers if worker.get("alive")]
    lines = [f"changed: {', '.join(changed)}"] if changed is not None else []
    lines.append(
        f"pulse: {'live' if view.pulse_alive else 'DOWN'}  ·  last beat: {age(view.last_beat_age_s)}"
        f"  ·  asks: {len(view.asks)}  ·  workers: {len(live)} live / {len(view.workers)}  ·  goals: {len(view.goals)}"
    )
    if not view.pulse_alive:
        lines.append("nothing is sensed while the pulse is down: start it with `looop pulse`, or run one `looop beat`")
    for ask in view.asks:
        lines += ask_lines(ask, view.now)
    lines += ["goals:"] if view.goal_status else []
    lines += [_status_line(status) for status in view.goal_status]
    lines += ["sensors:"] if view.snapshots else []
    for stem, snapshot in sorted(view.snapshots.items()):
        signal = snapshot.get("signal", snapshot) if isinstance(snapshot, dict) else snapshot
        lines.append(f"  {clean(stem)}  {clean(compact(signal))}")
    lines += ["journal (latest):"] if view.journal_tail else []
    lines += [f"  {clean(line)}" for line in view.journal_tail[-3:]]
    return [clip(line, wide) for line in lines]


def ask_lines(ask: Ask, now: int) -> list[str]:
    """A question that waits for a person."""
    first = clean(ask.prompt.strip().split("\n", 1)[0])
    lines = [f"  ⚑ {clean(ask.id)} ({clean(ask.worker)} · {age(max(now - ask.ts, 0))}): {first}"]
    lines += [f"      ref: {clean(ask.reference)}"] if ask.reference else []
    lines += [f"      options: {clean(', '.join(ask.options))}"] if ask.options else []
    return lines


def _status_line(status: GoalStatus) -> str:
    mark = {"done": "✓", "unknown": "?"}.get(status.status, "·")
    note = f"  ({clean(status.why)})" if status.why else ""
    if status.suspended:
        note += f"  (suspended: {', '.join(f'reflex #{n}' for n in status.suspended)})"
    return f"  {mark} {clean(status.goal)}  {status.status}{note}"


def change_lines(changes: list[Change] | None) -> list[str]:
    """The differences of a beat, one line each."""
    if changes is None:
        return ["  everything is new"]
    lines = []
    for change in changes:
        name = change.name.removeprefix("snap:")
        if change.kind == "added":
            lines.append(f"  + {clean(name)}  {clean(change.new or '')}")
        elif change.kind == "removed":
            lines.append(f"  - {clean(name)}")
        elif change.new is None:
            lines.append(f"  ~ {clean(name)}  edited")
        else:
            lines.append(f"  ~ {clean(name)}  {clean(change.old or '')} -> {clean(change.new)}")
    return [clip(line, width()) for line in lines] or ["  nothing"]


def report_lines(report: BeatReport, *, dry_run: bool) -> list[str]:
    """What a beat did, or would do, for people."""
    if report.ending == "idle":
        return [f"idle: {_IDLE.get(report.reason) or clean(report.reason)}"]
    if report.ending in ("blocked", "stopped"):
        return [f"{report.ending}: {clean(report.reason)}".rstrip(": ")]
    lines = ["changed:", *change_lines(report.changes)]
    lines += [_status_line(goal) for goal in report.goals]
    if report.prompt_bytes:
        lines.append(f"prompt: {report.prompt_bytes} bytes (about {report.prompt_bytes // 4} tokens)")
    if dry_run and not report.action:
        lines.append(f"would ask: {clean(report.source)}")
    elif dry_run:
        lines.append(f"would do: {clean(report.summary)}")
    elif report.ending == "failed":
        lines.append(f"failed: {clean(report.reason)}")
    else:
        lines.append(f"did: {clean(report.journal)}")
    because = f"{report.source}" + (f", {report.why}" if report.why else "")
    replay = [f"replay: runs/{clean(report.run_id)}"] if report.run_id else []
    return [*lines, f"because: {clean(because)}", *replay]


_IDLE = {
    "world_unchanged": "nothing changed, so nothing was asked and nothing was spent",
    "tick_backoff": "waiting after a failure (`looop state` says more; an edit of a goal tries at once)",
    "tick_capped": "the hourly cap of decides is reached (LOOOP_MAX_DECIDES_PER_HOUR)",
    "guard_degraded": "a state file cannot be read, and a guard stays closed (see the lines above)",
}


def goal_line(view: GoalView) -> str:
    """One row of `looop goal list`."""
    note = f"\t{clean(view.why)}" if view.why else ""
    return f"{clean(view.id)}\t{view.status}\tacted {age(view.age_s)}{note}"


def sensor_line(view: SensorView) -> str:
    """One row of `looop sensor list`."""
    said = f"FAILS: {clean(view.error)}" if view.error else clean(compact(view.signal))
    every = f"every {view.interval_s}s" if view.interval_s else "every beat"
    return f"{clean(view.name)}\t{every}\t{age(view.age_s)}\t{clip(said, 100)}"


def schedule_line(view: ScheduleView) -> str:
    """One row of `looop schedule list`. Source: spec/cli.md §2."""
    return f"{clean(view.name)}\t{clean(compact(view.signal))}\t{clean(compact(view.detail))}"
