"""Verbs around money: cost, cost add, cost repair."""

import sys
from datetime import date
from typing import TYPE_CHECKING, Any

import click

from looop.clients.cli.output import print_json, say, talk
from looop.clients.cli.show import clip, spelled_usd, width
from looop.clients.cli.words import Duration, Verbs, complete, json_option
from looop.contract.local import open_local
from looop.model.records import CostRow
from looop.model.text import one_line

if TYPE_CHECKING:
    from looop.contract.money import CostReport, Spent, Subject

_goal_ids = complete(lambda local: [view.id for view in local.goals()])
_SUBJECTS = ("day", "kind", "runner", "model", "goal")
_REPORT_OF_A_WORKER = 4
_BAR = 30
_NOBODY = "(none)"


class Since(click.ParamType["int | date"]):
    """A duration back from now, or a local day."""

    name = "since"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> "int | date":
        text = str(value).strip()
        try:
            return date.fromisoformat(text)
        except ValueError:
            pass
        try:
            return Duration().convert(text, param, ctx)
        except click.BadParameter:
            self.fail(f"{text!r} is no time: expected a duration such as 7d, or a day such as 2030-01-31", param, ctx)


class Costs(Verbs):
    """`cost`, its verbs, and the reference's `cost KIND ID RUNNER USD`. Source: spec/cli.md §9."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        words = [word for word in args if not word.startswith("-")]
        if len(words) == len(args) == _REPORT_OF_A_WORKER and args[0] not in self.commands:
            args = ["add", *args]
        return super().parse_args(ctx, args)


@click.group(cls=Costs, invoke_without_command=True)
@click.option("--since", type=Since(), help="Count from then on: 7d, 12h, or a day such as 2030-01-31.")
@click.option("--by", type=click.Choice(_SUBJECTS), help="Only this table: day, kind, runner, model or goal.")
@json_option
@click.pass_context
def cost(ctx: click.Context, since: "int | date | None", by: "Subject | None", as_json: bool) -> None:
    """What model runs have cost, today against the limits and in tables; verbs: add, repair."""
    if ctx.invoked_subcommand is not None:
        return
    found = open_local().costs(since, by)
    if as_json:
        print_json(found)
        for doubt in found.doubts:
            talk(doubt)
    else:
        say(*cost_lines(found, bars=sys.stdout.isatty()))


@cost.command("add", context_settings={"ignore_unknown_options": True})
@click.argument("kind", shell_complete=lambda ctx, param, incomplete: ["worker"])
@click.argument("run_id", metavar="ID")
@click.argument("runner")
@click.argument("usd", type=float)
@click.option("--goal", shell_complete=_goal_ids, help="The goal it was spent for.")
@click.option("--tokens", type=int, help="How many tokens it took, all together.")
def cost_add(kind: str, run_id: str, runner: str, usd: float, goal: str | None, tokens: int | None) -> None:
    """Report what a worker has spent: KIND (worker), its ID, the RUNNER and US dollars, more than none."""
    counts = None if tokens is None else {"total": tokens}
    row = CostRow(ts="", kind=kind, id=run_id, runner=runner, goal=goal, cost_usd=usd, tokens=counts)
    say(open_local().add_cost(row))


@cost.command("repair")
def cost_repair() -> None:
    """Set damaged lines of cost.jsonl aside, in cost.jsonl.damaged; journaled."""
    say(open_local().repair_costs())


def cost_lines(report: "CostReport", *, bars: bool) -> list[str]:
    """The report for people; `bars` draws how the rows of a table compare."""
    lines = [_today(report), *(f"! {one_line(sentence)}" for sentence in report.doubts)]
    lines += [f"! {report.reached}: nobody is asked any more today"] if report.reached else []
    for bill in report.goals:
        mark = "! " if bill.reached else "  "
        lines.append(f"{mark}goal {one_line(bill.goal)}: {spelled_usd(bill.usd)}{_limit(report.max_goal_usd)} USD")
    if not report.total.runs:
        since = " since then" if report.since is not None else " yet"
        return [*lines, f"no run is on record{since} ({one_line(report.ledger)})"]
    for subject, rows in report.tables.items():
        if len(report.tables) == 1 or any(row.key for row in rows):
            lines += ["", *_table(subject, rows, bars=bars)]
    total, notes = report.total, _notes(report.total)
    return [
        *lines,
        "",
        f"total: {spelled_usd(total.usd)} USD · {total.tokens} tokens · {_runs(total)}"
        + (f" ({notes})" if notes else ""),
    ]


def _today(report: "CostReport") -> str:
    today, notes = report.today, _notes(report.today)
    usd = f"{spelled_usd(today.usd)}{_limit(report.max_daily_usd)} USD"
    tokens = f"{today.tokens}{_limit(report.max_daily_tokens)} tokens"
    return f"today: {usd} · {tokens} · {_runs(today)}" + (f" ({notes})" if notes else "")


def _limit(limit: float | None) -> str:
    return "" if limit is None else f" of {spelled_usd(limit)}"


def _runs(spent: "Spent") -> str:
    return "1 run" if spent.runs == 1 else f"{spent.runs} runs"


def _notes(spent: "Spent") -> str:
    parts = [f"{spent.estimated} estimated"] if spent.estimated else []
    return ", ".join([*parts, f"{spent.unmetered} unmetered"] if spent.unmetered else parts)


def _table(subject: str, rows: list["Spent"], *, bars: bool) -> list[str]:
    wide = max(len(subject) + 3, *(len(one_line(row.key or _NOBODY)) for row in rows))
    lines = [f"by {subject:<{wide - 3}}  {'runs':>6}  {'USD':>10}  {'tokens':>12}"]
    for row in rows:
        figures = f"{row.runs:>6}  {spelled_usd(row.usd):>10}  {row.tokens:>12}"
        line = f"{one_line(row.key or _NOBODY):<{wide}}  {figures}"
        line += f"  {_bar(row, rows)}" if bars else ""
        lines.append(f"{line}  {_notes(row)}".rstrip())
    return [clip(line, width()) for line in lines] if bars else lines


def _bar(row: "Spent", rows: list["Spent"]) -> str:
    """How much of the largest row this one is: in dollars, or in tokens where no row has any."""
    field = "usd" if any(other.usd for other in rows) else "tokens"
    most = max(getattr(other, field) for other in rows)
    length = round(_BAR * getattr(row, field) / most) if most else 0
    return f"{'█' * max(length, getattr(row, field) > 0):<{_BAR}}"
