"""What every beat does for the fleet before it looks at the world. Spec/beat.md §1 steps 3-6, workers.md §7.

Each step costs only itself when it fails; a fleet that cannot be enumerated is left as it is, and that is said. What is
old goes before the dead are judged, so that a verdict is seen by one beat at least, however short the retention.
"""

from functools import partial

from looop.act.launch import remove_worker
from looop.act.orphans import end_orphan
from looop.act.verify import reconcile
from looop.act.worktrees import prune_worktrees, session_ttl
from looop.model.errors import LooopError, Unreadable
from looop.model.records import Ask
from looop.session.fleet import Session
from looop.state.house import House

_SETTLED_S = 3600


def tend(house: House, now: int) -> None:
    """End what dead supervisors left, judge dead workers, free dead leases, put away what is old. Never raises."""
    try:
        sessions = house.fleet.all()
    except Unreadable as error:
        house.events.emit("reap_skipped", error=str(error))
        house.best_effort("mailbox", partial(_expire, house, now))
        reconcile(house, now)
        return
    for session in sessions:
        if session.is_orphaned:
            house.best_effort("orphans", partial(end_orphan, house, session, now))
    house.best_effort("mailbox", partial(_expire, house, now))
    house.best_effort("retention", partial(_put_away, house, sessions, now))
    _free_leases(house, sessions, now)
    reconcile(house, now)


def _free_leases(house: House, sessions: list[Session], now: int) -> None:
    alive = {session.id for session in sessions if session.alive}
    try:
        for name, holder in house.leases.reap(alive, house.fleet.is_alive, now):
            house.events.emit("claim_reaped", claim=name, session=holder)
    except LooopError as error:
        house.events.emit("reap_skipped", error=str(error))


def _expire(house: House, now: int) -> None:
    """Questions that are due, and for which nobody waits who would settle them."""
    for ask in house.mailbox.expire(now):
        house.events.emit("ask_expired", ask_id=ask.id, worker=ask.worker, default=ask.default)


def _put_away(house: House, sessions: list[Session], now: int) -> None:
    """What is old goes; nothing does while nobody can tell how long it is to be kept."""
    ttl = session_ttl(house)
    house.best_effort("mailbox", partial(_give_up, house, sessions, ttl, now))
    _remove_old(house, sessions, ttl, now)
    house.best_effort("archive", partial(_archive, house, ttl, now))


def _remove_old(house: House, sessions: list[Session], ttl: int, now: int) -> None:
    """Sessions past their retention, with all that was kept for them. One that is still to be judged stays."""
    gone: list[str] = []

    def remove(session: Session) -> None:
        if remove_worker(house, session):
            gone.append(session.id)

    for session in sessions:
        changed = session.changed_at
        if not session.alive and changed is not None and now - changed >= ttl:
            house.best_effort("retention", partial(remove, session))
    if gone:
        house.events.emit("worker_pruned", workers=", ".join(gone))
        house.best_effort("worktrees", partial(_prune_worktrees, house, now))
    house.best_effort("retention", house.fleet.clean)


def _give_up(house: House, sessions: list[Session], ttl: int, now: int) -> None:
    """Questions of sessions that are over; with a key they may yet be taken over, as long as a session is kept.

    A session must still be there to tell when it ended, so this comes before old ones go.
    """
    known = {session.id: session for session in sessions}

    def may_be_taken_over(ask: Ask) -> bool:
        """Whether it has not been stranded for that long: its session has just ended, or another has just begun."""
        session = known.get(ask.worker)
        if session is None:
            return False
        since = session.started_at if session.alive else session.changed_at
        return since is None or now - since < ttl or (session.alive and since == ask.generation)

    for ask in house.mailbox.strand(house.fleet.living, now - ttl, now, may_be_taken_over):
        house.events.emit("ask_stranded", ask_id=ask.id, worker=ask.worker)


def _archive(house: House, ttl: int, now: int) -> None:
    """Questions whose answer is past the retention of sessions, and an hour old: its worker may be about to read it."""
    put_away = house.mailbox.archive((now - max(ttl, _SETTLED_S)) * 10**9)
    if put_away:
        house.events.emit("asks_archived", asks=", ".join(put_away))


def _prune_worktrees(house: House, now: int) -> None:
    """Checkouts are looked at only when a session has gone: git is asked about each, and most beats have none due."""
    pruned = prune_worktrees(house, lambda session_id: not house.fleet.is_alive(session_id), now)
    if pruned:
        house.events.emit("worktrees_pruned", worktrees=", ".join(pruned))
