"""What a dead supervisor has left: its command is alone in the world, so it is ended, and that is told."""

from looop.session.fleet import Session
from looop.state.house import House


def end_orphan(house: House, session: Session, now: int) -> None:
    """End the processes of a session whose supervisor died, and put that on record. Raises Unwritable."""
    left = house.fleet.sweep(session)
    house.events.emit("worker_orphaned", worker=session.id, left=left)
    house.note(f"the supervisor of {session.id} died; {left} processes it left were ended", now)
