"""The fleet: every session there is. There are no sessions yet, so the fleet is empty."""


class Fleet:
    """Who works. An empty list is the truth while nothing can start a worker."""

    def sessions(self) -> list[dict[str, object]]:
        """The sessions, sorted by id."""
        return []

    def is_alive(self, session: str) -> bool:
        """Whether this session lives."""
        return False
