"""From an attempt to its end: the effect and the commit, or the failure and the wait. Source: spec/beat.md §13.

Note [Order of a commit]
The effect comes first, then the journal, the hash, the baseline, what the reflexes have done, and last all that
speaks of failure goes. A crash between two of them costs at most one more decide over a world that was already
decided, and one line of WHAT CHANGED that was already known; it never skips a world nobody decided.
"""

from msgspec.structs import replace

from looop import __version__
from looop.act.perform import perform
from looop.act.shell import Busy
from looop.decide.attempt import Attempt
from looop.decide.bundle import Outcome, prune_bundles
from looop.model.decision import Decision
from looop.model.errors import LooopError
from looop.model.facts import FACTS
from looop.model.moves import Noop, RunShell, StartWorker
from looop.model.records import Failure, NoopMark, ReflexLedger, ShellOutput
from looop.model.report import BeatReport
from looop.model.world import World
from looop.rules import gates
from looop.rules.gates import Memory
from looop.rules.world import changes
from looop.state.house import House

SHELL_FOLLOW_UP_S = 5
_FAILURE_CHARS = 400
_FAILURES = {"no_decision": "no_decision", "over_budget": "budget_stopped"}


def conclude(house: House, world: World, memory: Memory, attempt: Attempt, seen_at: int) -> BeatReport:
    """Perform what was decided and commit it, or record why there is nothing to perform. Never raises.

    `seen_at` is when the world was looked at.
    """
    now = house.setting.clock.now()
    if attempt.ending == "blocked":
        house.events.emit("tick_error", error=attempt.error)
        return BeatReport(ending="blocked", reason=attempt.error, world_hash=world.hash)
    if attempt.note:
        house.events.emit(attempt.note.name, **attempt.note.fields)
        return BeatReport(ending="idle", reason=attempt.note.name, world_hash=world.hash)
    if attempt.ending == "stopped":
        return BeatReport(ending="stopped", world_hash=world.hash)
    report = _report(world, memory, attempt)
    if attempt.decision is None:
        return _fail(house, world, memory, attempt, replace(report, reason=attempt.error))
    try:
        line = perform(
            house,
            attempt.decision.move,
            now,
            journal=attempt.decision.journal,
            goal=attempt.goal,
            seen_at=seen_at,
            begin=lambda: _keep_reflexes(house, attempt.after),
        )
    except Busy as error:
        return _fail(house, world, memory, replace(attempt, after_failure=None), replace(report, reason=str(error)))
    except LooopError as error:
        return _fail(house, world, memory, attempt, replace(report, reason=str(error)))
    return _commit(house, world, memory, attempt, attempt.decision, replace(report, ending="decided", journal=line))


def _report(world: World, memory: Memory, attempt: Attempt) -> BeatReport:
    move = attempt.decision.move if attempt.decision else None
    return BeatReport(
        ending="failed",
        world_hash=world.hash,
        changes=changes(memory.baseline, world.items) if isinstance(memory.baseline, dict) else None,
        source=attempt.source,
        why=attempt.why,
        action=move.action if move else "",
        summary=move.summary if move else "",
        run_id=attempt.run_id,
        seconds=attempt.seconds,
        goals=attempt.goals,
        prompt_bytes=attempt.prompt_bytes,
        cost_usd=attempt.usage.cost_usd,
        tokens=attempt.usage.tokens,
    )


def _commit(
    house: House, world: World, memory: Memory, attempt: Attempt, decision: Decision, report: BeatReport
) -> BeatReport:
    guards, is_noop = house.guards, isinstance(decision.move, Noop)
    mark = NoopMark(ts=house.setting.clock.now(), hash=world.hash) if is_noop else None
    house.best_effort("commit", lambda: guards.commit(world))
    if not isinstance(decision.move, RunShell | StartWorker):
        house.best_effort("reflexes", lambda: _keep_reflexes(house, attempt.after))
    if attempt.goal is None or not gates.waits_for_another(memory, attempt.source):
        house.best_effort("backoff", guards.forgive)
    house.best_effort("noop", lambda: guards.mark_noop(mark))
    if attempt.prompt_bytes and isinstance(memory.shell, ShellOutput):
        shown = memory.shell
        house.best_effort("output of run_shell", lambda: guards.drop_shell(shown))
    house.events.emit(
        "decided",
        run_id=report.run_id,
        action=report.action,
        kind=decision.move.kind,
        summary=report.summary,
        journal=report.journal,
        secs=report.seconds,
        cost_usd=report.cost_usd,
        _bill="" if report.cost_usd is None else f" · ${report.cost_usd:.4f}",
    )
    nudge = decision.next_interval_s
    if nudge is None and isinstance(decision.move, RunShell):
        nudge = SHELL_FOLLOW_UP_S
    return _close_bundle(house, attempt, replace(report, next_interval_s=nudge))


def _fail(house: House, world: World, memory: Memory, attempt: Attempt, report: BeatReport) -> BeatReport:
    """The world stays uncommitted, so it is tried again after the wait."""
    now = house.setting.clock.now()
    backoff = gates.after_failure(world, memory, now, attempt.source)
    name = _FAILURES.get(attempt.ending, "tick_failed")
    failure = Failure(ts=now, run_id=report.run_id, code=FACTS[name].code, error=report.reason, fails=backoff.fails)
    house.best_effort("backoff", lambda: house.guards.record_failure(backoff, failure))
    house.best_effort("reflexes", lambda: _keep_reflexes(house, attempt.after_failure))
    house.note(f"failed · {report.source} · {report.summary or attempt.ending}: {report.reason}"[:_FAILURE_CHARS], now)
    house.events.emit(
        name,
        run_id=report.run_id,
        fails=backoff.fails,
        error=report.reason,
        secs=report.seconds,
        replay=attempt.bundle.path if attempt.bundle else "",
    )
    return _close_bundle(house, attempt, report)


def _keep_reflexes(house: House, ledger: ReflexLedger | None) -> None:
    """Remember what the reflexes have done; see the note in decide/reflex.py. Raises Unwritable."""
    if ledger is not None:
        house.guards.record_reflexes(ledger)


def _close_bundle(house: House, attempt: Attempt, report: BeatReport) -> BeatReport:
    """Complete the run bundle; best effort, the decide itself is over."""
    untrusted = any(change.trust == "untrusted" for change in report.changes or [])
    outcome = Outcome(
        run_id=report.run_id,
        source=report.source,
        ending=report.ending,
        version=__version__,
        seconds=report.seconds,
        action=report.action or None,
        summary=report.summary,
        journal=report.journal,
        error=report.reason,
        model=attempt.usage.model,
        cost_usd=report.cost_usd,
        tokens=report.tokens,
        trust="untrusted" if untrusted else "trusted",
    )
    if bundle := attempt.bundle:
        house.best_effort("run bundle", lambda: bundle.write_json("outcome.json", outcome))
    prune_bundles(house.setting.root, house.setting.knobs.runs_keep)
    return report
