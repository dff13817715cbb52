"""Judge dead workers by the command they were started with, once each, before the world is sensed.

Source: spec/workers.md §6, edge cases 162-163, 176-184.

Note [Once, and a crash in between]
A command whose verdict was not recorded is run again: after a kill in the middle, after a stop, on a full disk. Nobody
can know how far it came, and it does no harm: verify commands are read-only by the constitution. A verdict that is on
record is never made again, so a worker is judged once.

Note [Who is asked first]
The commands are read before the fleet is listed. A worker that is started in between under the same id has a command of
its own by then, and the verdict on its predecessor is not kept: it is compared and written under the lock of starts
(see state/verify.py). The other way round the new command would be run on a worker that has just begun.

Note [At work after its end]
What a dead supervisor left may still be at work on what is to be judged. So it is ended before, also where the
supervisor died since this beat looked after the fleet.

Note [A worker that is just being started]
Its command is on disk before its session is. So a command without a session is forgotten only once it is a minute old.
"""

from functools import partial

from msgspec.structs import replace

from looop.act.orphans import end_orphan
from looop.act.shell import KEEP_BYTES, shell_command
from looop.model.errors import LooopError, Unreadable
from looop.model.records import Fault, VerifyResult
from looop.model.text import clipped, tail_text
from looop.runtime.command import Command, Ended
from looop.runtime.lock import workers_lock
from looop.state.house import House
from looop.state.verify import Declared

_SIDE_BY_SIDE = 4
_START_GRACE_S = 60
_SHOWN_CHARS = 256
_NANO = 10**9


def reconcile(house: House, now: int) -> None:
    """Run what is due and record the verdicts; a stop in the middle records nothing. Never raises a LooopError.

    A live worker is waited for. One that nobody knows is forgotten. A fleet that cannot be listed leaves all as it is.
    See Note [At work after its end].
    """
    try:
        declared = {worker: house.verify.command(worker) for worker in house.verify.obligations()}
        sessions = {session.id: session for session in house.fleet.all()} if declared else {}
    except Unreadable as error:
        house.events.emit("verify_skipped", error=str(error))
        return
    due: dict[str, Declared] = {}
    for worker, command in declared.items():
        session = sessions.get(worker)
        if session is None:
            _forget(house, worker, command, now)
        elif session.alive:
            continue
        elif isinstance(command, Fault):
            _keep(house, worker, command, VerifyResult(ok=False, output=command.why, ts=now))
        elif isinstance(command, Declared):
            if session.is_orphaned:
                house.best_effort("orphans", partial(end_orphan, house, session, now))
            due[worker] = command
    _judge(house, due, now)


def verify_command(house: House, command: str) -> Command:
    """How a verify command is run: as a shell command of the loop, with a deadline of its own. Edge cases 181, 182."""
    return replace(shell_command(house, command, ""), deadline_s=house.setting.knobs.verify_timeout_secs)


def _judge(house: House, due: dict[str, Declared], now: int) -> None:
    """A few side by side, until the time of this beat is spent. Source: edge case 178."""
    knobs, waiting, spent = house.setting.knobs, list(due), 0.0
    while waiting:
        if 0 < knobs.verify_beat_budget_secs <= spent:
            house.events.emit("verify_deferred", worker=", ".join(waiting))
            return
        batch, waiting = waiting[:_SIDE_BY_SIDE], waiting[_SIDE_BY_SIDE:]
        ended = house.setting.processes.run_all([verify_command(house, due[worker].command) for worker in batch])
        spent += max(end.seconds for end in ended)
        for worker, end in zip(batch, ended, strict=True):
            if not end.stopped:
                result = _result(end, knobs.verify_timeout_secs, now)
                _keep(house, worker, due[worker], result)


def _result(end: Ended, timeout_s: int, now: int) -> VerifyResult:
    output, how = tail_text(end.output, KEEP_BYTES), ""
    if end.timed_out:
        how = f"(stopped after {timeout_s}s: LOOOP_VERIFY_TIMEOUT_SECS)"
    elif end.signal is not None:
        how = f"(killed by signal {end.signal})"
    elif end.spawn_error:
        how = f"(not run: {end.spawn_error})"
    ok = end.code == 0 and not how
    return VerifyResult(
        ok=ok, exit_code=end.code, output=f"{output.rstrip()}\n{how}".lstrip() if how else output, ts=now
    )


def _keep(house: House, worker: str, judged: Declared | Fault, result: VerifyResult) -> None:
    try:
        with workers_lock(house.setting.root):
            kept = house.verify.record(worker, result, judged)
    except LooopError as error:
        house.events.emit("guard_degraded", guard=f"verify of {worker}", error=str(error))
        return
    if not kept:
        return
    shown = clipped(judged.command if isinstance(judged, Declared) else "", _SHOWN_CHARS)
    if result.ok:
        house.events.emit("worker_verify", worker=worker, ok=True, cmd=shown)
    else:
        how = result.output.strip().rpartition("\n")[2] if result.exit_code is None else f"exit code {result.exit_code}"
        house.events.emit(
            "worker_verify_failed", worker=worker, ok=False, cmd=shown, exit_code=result.exit_code, _how=how
        )


def _forget(house: House, worker: str, command: Declared | Fault | None, now: int) -> None:
    """See Note [A worker that is just being started]; a command that is not the one that was seen is its own.

    A session whose records cannot be read is there all the same: nobody knows whether it lives.
    """
    age_s = now - command.written_ns // _NANO if isinstance(command, Declared) else _START_GRACE_S
    if house.fleet.is_there(worker):
        return
    if command and age_s >= _START_GRACE_S and house.verify.command(worker) == command:
        house.best_effort(f"verify of {worker}", lambda: house.verify.clear(worker))
