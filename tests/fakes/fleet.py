"""A fleet as a test says it is."""

from typing import Any

from looop.model.errors import Unreadable
from looop.state.house import House
from looop.state.sessions import Session


class FakeFleet:
    """Implements state.sessions.Fleet over a list; with `broken` it cannot be listed."""

    def __init__(self, *sessions: Session, broken: str = "") -> None:
        self.sessions, self.broken = list(sessions), broken

    def all(self) -> list[Session]:
        if self.broken:
            raise Unreadable(self.broken)
        return list(self.sessions)

    def into(self, house: House) -> House:
        """The same house with this fleet."""
        books = {field: getattr(house, field) for field in house.__struct_fields__}
        return House(**books | {"fleet": self})


def session(worker: str, state: str = "running", *, alive: bool | None = None, **known: Any) -> Session:
    """A session; it is alive when its state says so, unless told otherwise."""
    facts: dict[str, Any] = {"exit_code": None, "signal": None, "started_at": 0, "last_change": 0, "output_at": None}
    facts |= {"mark": "", "folder": "", "alive": state == "running" if alive is None else alive}
    return Session(id=worker, state=state, **facts | known)


def dead(worker: str, exit_code: int = 0) -> Session:
    """A session that has ended by itself."""
    return session(worker, "exited", exit_code=exit_code)
