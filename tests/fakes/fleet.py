"""A fleet as a test says it is."""

from typing import Any

from msgspec import Struct

from looop.model.errors import Unreadable
from looop.state.house import House
from looop.state.sessions import Sessions


class FakeSession(Struct, frozen=True):
    """What is known of a session, without a folder or a process."""

    id: str
    state: str
    alive: bool
    exit_code: int | None = None
    signal: int | None = None
    started_at: int | None = None
    last_change: int | None = None
    output_at: int | None = None
    changed_at: int | None = None
    is_orphaned: bool = False


class FakeFleet(Sessions):
    """A fleet over a list; with `broken` it cannot be listed."""

    def __init__(self, *sessions: FakeSession, broken: str = "") -> None:
        super().__init__("/nonexistent")
        self.sessions, self.broken = list(sessions), broken

    def all(self) -> list[Any]:
        if self.broken:
            raise Unreadable(self.broken)
        return list(self.sessions)

    def into(self, house: House) -> House:
        """The same house with this fleet."""
        books = {field: getattr(house, field) for field in house.__struct_fields__}
        return House(**books | {"fleet": self})


def session(worker: str, state: str = "running", *, alive: bool | None = None, **known: Any) -> FakeSession:
    """A session; it is alive when its state says so, unless told otherwise."""
    return FakeSession(worker, state, state == "running" if alive is None else alive, **known)


def dead(worker: str, exit_code: int = 0, **known: Any) -> FakeSession:
    """A session that has ended by itself."""
    return session(worker, "exited", exit_code=exit_code, **known)
