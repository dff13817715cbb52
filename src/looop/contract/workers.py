"""Looking at workers, and a person's own hands on them. Source: spec/cli.md §2 `worker`, spec/workers.md §4."""

from looop.act.launch import remove_worker, restart_worker
from looop.contract.verbs import WorkerDetail
from looop.model.errors import Missing
from looop.model.ids import is_id
from looop.model.records import Fault, VerifyResult
from looop.model.workers import PULSE, WorkerRow
from looop.rules.contract_text import TASK
from looop.runtime.lock import is_held
from looop.sense.workers import worker_rows
from looop.session.fleet import Session
from looop.state.house import House


def rows(house: House) -> list[WorkerRow]:
    """The pulse first, then every worker, the dead included. Raises Unreadable."""
    now = house.setting.clock.now()
    return [_pulse(house, house.fleet.find(PULSE), now), *worker_rows(house, now)]


def detail(house: House, session_id: str) -> WorkerDetail:
    """One session with all that is known of it. Raises Missing, Unreadable."""
    session = house.fleet.require(session_id)
    row = next((row for row in rows(house) if row.id == session.id), None)
    if row is None:
        raise Missing(f"session {session.id} has just been removed")
    declared, verdict = house.verify.command(session.id), house.verify.result(session.id)
    prompt = house.store.read(f"prompts/{session.id}.md")
    return WorkerDetail(
        row=row,
        command=session.command,
        task=prompt.data.decode("utf-8", "replace").partition(f"{TASK}\n")[2].strip() if prompt else "",
        verify=declared.why if isinstance(declared, Fault) else declared.command if declared else "",
        verify_output=verdict.output if isinstance(verdict, VerifyResult) else "",
        started_at=session.started_at,
        last_change=session.last_change,
        size=session.size,
        problem=session.error or session.problem,
        supervisor_pid=session.pid,
        child_pid=session.child_pid,
    )


def restart(house: House, session_id: str) -> str:
    """Restart a worker as a person and return the line that was journaled. Raises as act.launch.restart_worker."""
    line = f"restart-worker {restart_worker(house, session_id)}"
    house.note(line, house.setting.clock.now())
    return line


def prune(house: House) -> list[str]:
    """Remove every worker's session that has ended; their ids. Raises Unreadable, Unwritable.

    One that must still be verified stays until the next beat has done so; what an ended pulse said stays for `log`.
    """
    over = [session for session in house.fleet.workers() if not session.alive and is_id(session.id)]
    return [session.id for session in over if remove_worker(house, session)]


def _pulse(house: House, session: Session | None, now: int) -> WorkerRow:
    """The pulse's row: whether a beat may come, however the pulse was started."""
    up = is_held(house.setting.root)
    alive = bool(session and session.alive)
    started = session.started_at if session else None
    return WorkerRow(
        id=PULSE,
        state=session.state if session else "down",
        alive=alive,
        exit_code=session.exit_code if session else None,
        signal=session.signal if session else None,
        health="up" if up else "down",
        derived_from="it holds the lock" if up else "nobody holds the lock: `looop up` starts it",
        uptime_s=max(now - started, 0) if alive and started is not None else None,
    )
