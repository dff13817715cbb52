"""What was promised, kept beside looop: who set out to write what, when, and how that ended; and what may stand then.

A command that ended with 0 is a promise. One that was killed may have happened or not; one that was refused has not.
Times are those of the machine's monotonic clock, so that processes agree on what was before what.
"""

import math
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

Fate = Literal["running", "done", "refused", "cut"]


def fate_of(code: int | None) -> Fate:
    """What came of a command: its exit code, negative when it was killed, None while it runs."""
    return "running" if code is None else "done" if code == 0 else "cut" if code < 0 else "refused"


class Act(Struct, eq=False):
    """One command that gives something a value; None: none. A forced one replaces what it finds."""

    value: object
    begin: float
    forced: bool = True
    end: float = math.inf
    fate: Fate = "running"

    @property
    def may_stand(self) -> bool:
        """Whether what it wrote can be found."""
        return self.fate != "refused"

    def is_before(self, other: "Act") -> bool:
        """Whether it was over when the other one began."""
        return self.end < other.begin


class Register(Struct):
    """What one place may hold, given everything that was done to it. It holds nothing at first."""

    acts: list[Act] = []

    def begin(self, value: object, now: float, *, forced: bool = True) -> Act:
        """Somebody sets out to give it this value."""
        act = Act(value, now, forced)
        self.acts.append(act)
        return act

    @property
    def done(self) -> list[Act]:
        """Those that were promised."""
        return [act for act in self.acts if act.fate == "done"]

    def wrong(self, found: object) -> str:
        """Why this must not be what it holds, empty when it may."""
        if found is None and not self.done:
            return ""
        writers = [act for act in self.acts if act.value == found and act.may_stand]
        if not writers:
            return f"holds {found!r}, which nobody wrote" if found is not None else f"has lost {self._latest()!r}"
        whys = [self._why_not(act) for act in writers]
        return "" if "" in whys else whys[-1]

    def _why_not(self, act: Act) -> str:
        """Why what this one wrote cannot be what stands."""
        if later := [other for other in self.done if act.is_before(other)]:
            return f"holds {act.value!r}, after {later[-1].value!r} was promised"
        if not act.forced and (before := [other for other in self.done if other.is_before(act)]):
            return f"holds {act.value!r}, which came after {before[0].value!r}"
        return ""

    def settled_twice(self) -> str:
        """Of those that replace nothing one is promised at most; empty when that is so."""
        once = [act for act in self.done if not act.forced]
        return f"was promised to {[act.value for act in once]!r}" if len(once) > 1 else ""

    def may_change(self, since: float) -> bool:
        """Whether somebody may have replaced what was seen in it at that time."""
        return any(act.forced and act.may_stand and act.end > since for act in self.acts)

    def _latest(self) -> object:
        return self.done[-1].value


class Shelf:
    """Registers by name: goals, or schedules."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.places: dict[str, Register] = {}

    def of(self, name: str) -> Register:
        return self.places.setdefault(name, Register())

    def is_free(self, name: str) -> bool:
        """Whether nobody writes it now."""
        return all(act.fate != "running" for act in self.of(name).acts)

    def wrong(self, found: dict[str, object]) -> Iterable[str]:
        """What is not as it may be."""
        for name, place in self.places.items():
            if why := place.wrong(found.get(name)):
                yield f"{self.what} {name} {why}"
