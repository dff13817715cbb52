"""The fleet: every session there is. There are no sessions yet, so the fleet is empty."""

from msgspec import Struct


class Session(Struct, frozen=True):
    """One session as its folder tells it. `alive`: its supervisor runs. `output_at`: when it last printed."""

    id: str
    alive: bool
    state: str
    exit_code: int | None
    signal: int | None
    started_at: int
    last_change: int
    output_at: int | None
    mark: str
    folder: str


class Fleet:
    """Who works. An empty list is the truth while nothing can start a worker."""

    def all(self) -> list[Session]:
        """Every session. Raises Unreadable."""
        return []
