"""Turning values into lines for people. Nothing here prints; text from outside never reaches a terminal raw."""

import os
import sys
import time
from typing import TYPE_CHECKING, Any

import msgspec

from looop.contract.policy import GoalView
from looop.contract.timetable import ScheduleView
from looop.contract.verbs import Failing, StateView
from looop.model.prompt import GoalStatus
from looop.model.records import Ask, Parked
from looop.model.report import BeatReport
from looop.model.text import one_line, span, visible
from looop.model.world import Change

if TYPE_CHECKING:
    from looop.contract.sensors import SensorRun, SensorView


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
    """`looop state` for people, clipped to the terminal but for what is wrong. Source: spec/cli.md §2."""
    wide = width()
    live = [worker for worker in view.workers if worker.get("alive")]
    lines = [f"changed: {', '.join(changed) or 'nothing'}"] if changed is not None else []
    lines.append(
        f"pulse: {'live' if view.pulse_alive else 'DOWN'}  ·  last beat: {age(view.last_beat_age_s)}"
        f"  ·  asks: {len(view.asks)}  ·  workers: {len(live)} live / {len(view.workers)}  ·  goals: {len(view.goals)}"
    )
    if not view.pulse_alive:
        start = "`looop up` starts it" if view.configured else "start it with `looop pulse`, or run one `looop beat`"
        lines.append(f"nothing is sensed while the pulse is down: {start}")
    lines += money_lines(view)
    failing = [failing_line(view.failing)] if view.failing else []
    wrong, above = (
        [f"! {one_line(said)}" for said in [*failing, *_not_asked(view), *view.damaged, *view.warnings]],
        len(lines),
    )
    for ask in view.asks:
        lines += ask_lines(ask, view.now)
    lines += [stranded_line(ask, view.now) for ask in view.stranded]
    lines += ["goals:"] if view.goal_status else []
    lines += [_status_line(status) for status in view.goal_status]
    lines += ["sensors:"] if view.snapshots else []
    for stem, snapshot in sorted(view.snapshots.items()):
        signal = snapshot.get("signal", snapshot) if isinstance(snapshot, dict) else snapshot
        lines.append(f"  {one_line(stem)}  {one_line(compact(signal))}")
    lines += _worker_lines(view.workers)
    lines += ["journal (latest):"] if view.journal_tail else []
    lines += [f"  {one_line(line)}" for line in view.journal_tail[-3:]]
    lines = [clip(line, wide) for line in lines]
    return lines[:above] + wrong + lines[above:]


def spelled_usd(usd: float) -> str:
    """An amount with at most four decimals, without zeros at its end. Source: spec/cli.md §9."""
    return f"{usd:.4f}".rstrip("0").rstrip(".")


def money_lines(view: StateView) -> list[str]:
    """What today has cost and may cost; nothing where nobody is ever asked."""
    money = view.money
    if view.runner == _NOBODY and not (view.spent_today_usd or money.tokens_today):
        return []
    usd = "" if money.max_daily_usd is None else f" of {spelled_usd(money.max_daily_usd)}"
    tokens = "" if money.max_daily_tokens is None else f" of {money.max_daily_tokens}"
    spent = f"{spelled_usd(view.spent_today_usd)}{usd} USD  ·  {money.tokens_today}{tokens} tokens"
    return [f"runner: {one_line(view.runner)}  ·  today: {spent}"]


def _not_asked(view: StateView) -> list[str]:
    """What keeps the runner from being asked, in a sentence each."""
    found = [f"{view.money.reached}: nobody is asked any more today"] if view.money.reached else []
    found += [f"{view.runner} is not asked: {view.money.unmetered}"] if view.money.unmetered else []
    return [*found, parked_line(view.parked, view.now)] if view.parked else found


def parked_line(parked: Parked, now: int) -> str:
    """Until when the runner is left alone, in local time, and why."""
    until = time.strftime("%Y-%m-%d %H:%M", time.localtime(parked.until))
    left = -(-(parked.until - now) // 60)
    span = f"{left}m" if left < 90 else f"{round(left / 60)}h" if left < 2880 else f"{round(left / 1440)}d"
    return f"{parked.runner} is at its usage limit until {until} (in {span}; --no-park asks it anyway): {parked.why}"


def failing_line(failing: Failing) -> str:
    """How the loop fails, and when it tries again."""
    often = "once" if failing.fails == 1 else f"{failing.fails} times in a row"
    when = f"in {failing.retry_in_s}s" if failing.retry_in_s else "at the next beat"
    return f"failed {often}, retry {when}: {failing.error}"


def ask_lines(ask: Ask, now: int, *, whole: bool = False, mark: str = "⚑") -> list[str]:
    """A question, marked as one that waits for a person; `…` stands for its further lines unless it is `whole`."""
    parts = [one_line(ask.worker), age(max(now - ask.ts, 0)), *_terms(ask, now)]
    first, *more = visible(ask.prompt.strip()).split("\n")
    cut = " …" if more and not whole else ""
    lines = [f"  {mark} {one_line(ask.id)} ({' · '.join(parts)}): {one_line(first)}{cut}"]
    lines += [f"      {line}".rstrip() for line in more] if whole else []
    lines += [f"      ref: {one_line(ask.reference)}"] if ask.reference else []
    lines += [f"      asked again: {one_line(ask.again)}"] if ask.again else []
    options = ", ".join(f"{n} {one_line(option)}" for n, option in enumerate(ask.options, 1))
    return [*lines, f"      options: {options}"] if options else lines


def stranded_line(ask: Ask, now: int) -> str:
    """A question that nobody can answer, since nobody waits for it."""
    first = one_line(ask.prompt.strip().split("\n", 1)[0])
    return f"  ✗ {one_line(ask.id)} ({one_line(ask.worker)} · {age(max(now - ask.ts, 0))}) stranded: {first}"


def _terms(ask: Ask, now: int) -> list[str]:
    """What sets a question apart from others: how urgent it is, and what time does to it."""
    marks = {"irreversible": ["IRREVERSIBLE"], "low": ["low"]}.get(ask.urgency, [])
    if ask.expires is None:
        return marks
    then = f" → default {one_line(repr(ask.default))}" if ask.default else " → the worker gets an error"
    return [*marks, f"expires in {span(max(ask.expires - now, 0))}{then}"]


def _status_line(status: GoalStatus) -> str:
    mark = {"done": "✓", "unknown": "?"}.get(status.status, "·")
    note = f"  ({one_line(status.why)})" if status.why else ""
    if status.suspended:
        note += f"  (suspended: {', '.join(f'reflex #{n}' for n in status.suspended)})"
    return f"  {mark} {one_line(status.goal)}  {status.status}{note}"


def _worker_lines(workers: list[dict[str, Any]]) -> list[str]:
    """Who lives, and how; then whose work did not pass its verify."""
    lines = []
    live = [row for row in workers if row.get("alive")]
    failed = [row for row in workers if not row.get("alive") and row.get("verify") == "fail"]
    for heading, mark, rows in (("workers (live):", "●", live), ("workers (verify failed):", "✗", failed)):
        lines += [heading] if rows else []
        for row in rows:
            why = row["derived_from"] if row["alive"] else row["verify_output"].strip().split("\n")[-1]
            how = f"{row['state']}  {row['health']}" if row["alive"] else row["derived_from"]
            lines.append(f"  {mark} {one_line(row['id'])}  {one_line(how)}{': ' if why else ''}{one_line(why)}")
    return lines


def change_lines(changes: list[Change] | None) -> list[str]:
    """The differences of a beat, one line each."""
    if changes is None:
        return ["  everything is new"]
    lines = []
    for change in changes:
        name = change.name.removeprefix("snap:")
        if change.kind == "added":
            value = f"  {one_line(change.new or '')}" if change.name.startswith("snap:") else ""
            lines.append(f"  + {one_line(name)}{value}")
        elif change.kind == "removed":
            lines.append(f"  - {one_line(name)}")
        elif change.new is None:
            lines.append(f"  ~ {one_line(name)}  edited")
        else:
            lines.append(f"  ~ {one_line(name)}  {one_line(_difference(change.old or '', change.new))}")
    return [clip(line, width()) for line in lines] or ["  nothing"]


def _difference(old: str, new: str) -> str:
    """What differs between two readings: key by key where both are objects."""
    before, after = _object(old), _object(new)
    if before is None or after is None:
        return f"{old} -> {new}"
    return ", ".join(_key_changes("", before, after))


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _key_changes(path: str, before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    found = [f"-{path}{key}" for key in sorted(before.keys() - after.keys())]
    for key, value in sorted(after.items()):
        was = before.get(key)
        if key not in before:
            found.append(f"+{path}{key}: {compact(value)}")
        elif isinstance(was, dict) and isinstance(value, dict):
            found += _key_changes(f"{path}{key}.", was, value)
        elif compact(was) != compact(value):
            found.append(f"{path}{key}: {compact(was)} -> {compact(value)}")
    return found


def report_lines(report: BeatReport, *, dry_run: bool) -> list[str]:
    """What a beat did, or would do, for people."""
    if report.breaker:
        return [
            f"idle: {one_line(report.source)} would not be asked: {one_line(report.breaker)}",
            *prompt_lines(report),
        ]
    if report.ending == "idle":
        return [f"idle: {_IDLE.get(report.reason) or one_line(report.reason)}"]
    if report.ending in ("blocked", "stopped"):
        return [f"{report.ending}: {one_line(report.reason)}".rstrip(": ")]
    lines = ["changed:", *change_lines(report.changes)]
    lines += ["goals:", *map(_status_line, report.goals)] if report.goals else []
    lines += prompt_lines(report)
    if dry_run and not report.action:
        lines.append(f"would ask: {one_line(report.source)}")
    elif dry_run:
        lines.append(f"would do: {one_line(report.summary)}")
    elif report.ending == "failed":
        lines.append(f"failed: {one_line(report.reason)}")
    else:
        lines.append(f"did: {one_line(report.journal)}")
    source = "no runner is configured" if report.source == _NOBODY else report.source
    because = source + (f", {report.why}" if report.why else "")
    replay = [f"replay: runs/{one_line(report.run_id)}"] if report.run_id else []
    return [*lines, f"because: {one_line(because)}", *replay]


def prompt_lines(report: BeatReport) -> list[str]:
    """How large the prompt is, and which part of it; nothing without one. Tokens are estimated."""
    if not report.prompt_bytes:
        return []
    return [
        f"prompt: {report.prompt_bytes} bytes (about {report.prompt_bytes // 4} tokens)",
        *(
            f"  {part.title:<16} {part.bytes:>8} bytes  about {part.tokens:>6} tokens"
            for part in report.prompt_sections
        ),
    ]


_NOBODY = "none"
_IDLE = {
    "world_unchanged": "nothing changed, so nothing was asked and nothing was spent",
    "tick_backoff": "waiting after a failure (`looop state` says more; an edit of a goal tries at once)",
    "tick_capped": "the hourly cap of decides is reached (LOOOP_MAX_DECIDES_PER_HOUR)",
    "budget_exceeded": "the budget of the day is used up (max_daily_usd, max_daily_tokens)",
    "budget_unmetered": "the runner names no cost, and a budget is set (see the lines above)",
    "parked": "the runner is at its usage limit (see the lines above)",
    "guard_degraded": "a state file cannot be read, and a guard stays closed (see the lines above)",
}


def goal_line(view: GoalView) -> str:
    """One row of `looop goal list`."""
    note = f"\t{one_line(view.why)}" if view.why else ""
    return f"{one_line(view.id)}\t{view.status}\tacted {age(view.age_s)}{note}"


def sensor_line(view: "SensorView") -> str:
    """One row of `looop sensor list`."""
    said = f"FAILS: {one_line(view.error)}" if view.error else one_line(compact(view.signal))
    every = f"every {view.interval_s}s" if view.interval_s else "every beat"
    return f"{one_line(view.name)}\t{every}\t{age(view.age_s)}\t{clip(said, 100)}"


def run_line(run: "SensorRun") -> str:
    """The verdict on a sensor that was tried: what the loop would make of it."""
    if not run.ok:
        return f"{one_line(run.name)} FAILS in {run.seconds}s: {run.error}"
    verdict = "the output is not JSON: it is compared as a whole text, and wakes the loop when any of it changes"
    if run.is_json:
        verdict = f"wakes the loop when this changes: {compact(run.signal)}"
    return f"{one_line(run.name)} is ok in {run.seconds}s: {verdict}"


def schedule_line(view: ScheduleView) -> str:
    """One row of `looop schedule list`: name, signal, when it runs next and what it is. Source: spec/cli.md §2."""
    told = [*(run.words for run in view.next[:1]), view.says, str(view.detail.get("note") or "")]
    said = " · ".join(one_line(part) for part in told if part)
    return f"{one_line(view.name)}\t{one_line(compact(view.signal))}\t{said}"


def schedule_lines(view: ScheduleView) -> list[str]:
    """`looop schedule show`."""
    told = {"signal": compact(view.signal), "is": view.says, "note": str(view.detail.get("note") or "")}
    lines = [one_line(view.name), *(f"  {key:<7} {one_line(text)}" for key, text in told.items() if text)]
    return lines + [f"  {'next' if n == 0 else '':<7} {one_line(run.words)}" for n, run in enumerate(view.next)]
