"""Every fact the loop puts on record: its name, log code, level and sentence, in one table.

One emitted fact becomes a row of `events.jsonl` (under its name) and a log line (under its code); facts with
`row=False` are for the log only, facts without a code for the file only. A field
that begins with `_` is for the text only. Source: spec/beat.md §14, design §3 row 12.
"""

from typing import Literal

from msgspec import Struct

Level = Literal["info", "step", "ok", "warn", "error"]


class Fact(Struct, frozen=True):
    """How one fact is shown. `text` is a format string over the fields; `event` names the row if not the fact."""

    code: str
    level: Level = "info"
    text: str = ""
    row: bool = True
    event: str = ""


FACTS: dict[str, Fact] = {
    "tick_start": Fact(""),
    "sense_done": Fact(""),
    "world_unchanged": Fact("tick.skip", "info", "nothing changed"),
    "noop_revisit": Fact("tick.revisit", "info", "nothing changed for long: looking again"),
    "forced": Fact(
        "tick.forced",
        "info",
        "nothing changed, but this beat decides anyway: the first of a pulse, a due wake, or forced",
        row=False,
    ),
    "tick_backoff": Fact("tick.backoff", "warn", "{fails} failed in a row: next try in {retry_in_s}s"),
    "backoff_cut": Fact("tick.backoff_cut", "info", "policy edited: trying again after {fails} failures", row=False),
    "tick_capped": Fact("tick.capped", "warn", "hourly cap of decides reached: next in {retry_in_s}s"),
    "tick_error": Fact("tick.error", "error", "{error}", row=False),
    "decide_start": Fact("tick.start", "step", "asking {runner} ({run_id})"),
    "stale_decision": Fact("tick.stale_decision", "warn", "removed a decision nobody asked for", row=False),
    "prompt_oversize": Fact("tick.prompt_oversize", "warn", "the prompt is full: left out {omitted}", row=False),
    "decided": Fact("tick.decided", "ok", "{journal} · {secs}s{_bill}"),
    "tick_failed": Fact("tick.failed", "error", "failed ({fails} in a row): {error} · replay: {replay}"),
    "no_decision": Fact(
        "tick.no_decision", "warn", "no decision ({fails} in a row): {error} · replay: {replay}", event="tick_failed"
    ),
    "tick_interrupted": Fact(
        "tick.interrupted",
        "warn",
        "an earlier {action} was interrupted and is not repeated; look whether it was done: {cmd} ({fingerprint})",
    ),
    "budget_exceeded": Fact("tick.budget", "warn", "budget reached: {error}"),
    "budget_unmetered": Fact("tick.budget_unmetered", "warn", "{runner}: {error}"),
    "budget_stopped": Fact(
        "tick.budget", "error", "stopped ({fails} in a row): {error} · replay: {replay}", event="tick_failed"
    ),
    "unmetered": Fact("tick.unmetered", "warn", "{runner} named no figure ({count} in a row)", row=False),
    "parked": Fact("tick.parked", "warn", "{runner} is at its usage limit: next try in {retry_in_s}s ({error})"),
    "guard_degraded": Fact("tick.guard_degraded", "warn", "{guard}: {error}"),
    "sense_degraded": Fact("tick.sense_degraded", "warn", "{error}", row=False),
    "schedule_degraded": Fact("schedule.degraded", "warn", "{error}: missed runs count as one"),
    "schedule_skipped": Fact(
        "schedule.skipped", "warn", "schedule {schedule}: too many runs were missed, the oldest {count} are skipped"
    ),
    "sense": Fact("sense", "info", "{text}", row=False),
    "sense_failed": Fact("sense", "error", "{text}", row=False),
    "sensor_ok": Fact("sense.ok", "ok", "{sensor} ok ({secs}s)", row=False),
    "sensor_failed": Fact("sense.fail", "error", "{sensor}: {error}", row=False),
    "sensor_flapping": Fact(
        "sense.flapping", "warn", "{sensor} changes every beat ({streak}): move what is volatile to its detail"
    ),
    "seeded": Fact("seed.done", "warn", "no PLAYBOOK.md was there: {data_dir} got its first files again"),
    "seed_degraded": Fact("seed.degraded", "warn", "{error}"),
    "watch_degraded": Fact("watch.degraded", "warn", "{error}"),
    "late_beat": Fact("pulse.late", "warn", "this beat is {late_s}s late"),
    "pulse_start": Fact("pulse.start", "ok", "pulse started: every {interval}s, runner: {runner}", row=False),
    "pulse_profile": Fact("pulse.profile", "info", "data dir {data_dir}", row=False),
    "pulse_degraded": Fact("pulse.guard_degraded", "warn", "{error}", row=False),
    "pulse_stop": Fact("pulse.stop", "ok", "pulse stopped", row=False),
    "cadence": Fact("cadence", "info", "next look in {secs}s instead of {default}s", row=False),
    "sleep": Fact("sleep", "info", "next beat in {secs}s, or when something changes", row=False),
    "env_invalid": Fact("env.invalid", "warn", "{var}={value!r} is not a value of its kind: {instead}", row=False),
    "ask": Fact("ask", "ok", "{worker} asks {ask_id}"),
    "ask_refused": Fact(
        "ask.refused", "info", "{worker} asks again what was refused as {ask_id}, and is told so ({key})"
    ),
    "ask_expired": Fact(
        "ask.expired", "warn", "nobody answered {ask_id} of {worker} in time: its default: {default!r}"
    ),
    "ask_withdrawn": Fact("ask.withdrawn", "info", "{ask_id} of {worker} was withdrawn by {by}"),
    "ask_stranded": Fact("ask.stranded", "info", "{ask_id} waits for nobody: the session of {worker} is over"),
    "answer": Fact("answer", "ok", "answered {ask_id} of {worker}"),
    "notified": Fact("notify.sent", "ok", "{target} was told of {count} questions ({kind})"),
    "notify_failed": Fact("notify.failed", "warn", "{target}: {outcome}: {error}"),
    "tell": Fact("tell", "ok", "{worker} is told: {msg}"),
    "told": Fact("told", "ok", "{worker} has heard {count} messages"),
    "asks_archived": Fact("ask.archived", "info", "questions answered long ago put away: {asks}"),
    "config_key": Fact("config.key", "warn", "{error}", row=False),
    "worker_started": Fact("worker.start", "ok", "worker {worker} started ({runner})"),
    "worker_killed": Fact("worker.kill", "ok", "worker {worker} ended"),
    "worker_orphaned": Fact(
        "worker.orphaned", "warn", "the supervisor of {worker} died; processes it had left and that were ended: {left}"
    ),
    "worker_pruned": Fact("worker.pruned", "info", "sessions past their retention removed: {workers}"),
    "worktrees_pruned": Fact("worktree.pruned", "info", "worktrees that have served removed: {worktrees}"),
    "claim_reaped": Fact("claim.reaped", "info", "lease {claim} is free again: its holder {session!r} is gone"),
    "reap_skipped": Fact("claim.reap_skipped", "warn", "leases and old sessions stay as they are: {error}", row=False),
    "worker_verify": Fact("worker.verify", "info", "verify of {worker} passed: {cmd}"),
    "worker_verify_failed": Fact(
        "worker.verify", "warn", "verify of {worker} failed ({_how}): {cmd}", event="worker_verify"
    ),
    "verify_deferred": Fact(
        "worker.verify_deferred", "warn", "this beat's time for verify is spent: {worker} wait for the next", row=False
    ),
    "verify_dropped": Fact("worker.verify_dropped", "warn", "{worker} was started anew before its verify was run"),
    "verify_skipped": Fact("worker.verify_skipped", "warn", "no worker is verified: {error}", row=False),
    "fleet_list_degraded": Fact("fleet.list_degraded", "warn", "{error}", row=False),
}
