"""How long to sleep. Source: spec/beat.md §15, edge cases 145-153, 122, 123."""

MIN_NUDGE_S = 5
_LONGEST_S = 2**31


def clamp_nudge(wanted_s: int, ceiling_s: int) -> int:
    """A decision's `next_interval_s` within 5 s and the ceiling; a ceiling below 5 means 5."""
    return min(max(wanted_s, MIN_NUDGE_S), max(ceiling_s, MIN_NUDGE_S))


def clamp_interval(interval_s: float) -> int:
    """The beat interval in whole seconds, at least 1: never a busy loop. What is not a number counts as 1."""
    return int(min(max(1, interval_s), _LONGEST_S))


def sleep_until(now: int, interval_s: int, deadlines: list[int | None]) -> int:
    """The moment of the next beat: after the interval, or at the earliest deadline that lies ahead.

    A deadline that has passed does not count: it had its beat, and left over it must not make the loop spin.
    """
    ahead = [deadline for deadline in deadlines if deadline is not None and deadline > now]
    return min([now + interval_s, *ahead])
