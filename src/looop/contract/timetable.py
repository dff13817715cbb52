"""Schedules as values for clients: what each is, and when it runs."""

from typing import Any

from msgspec import Struct


class Run(Struct, frozen=True):
    """A moment to come: UTC seconds, seconds from now, local time with its offset, and the same for a person."""

    at: int
    in_s: int
    time: str
    words: str


class ScheduleView(Struct, frozen=True):
    """One schedule: its record (None when it cannot be read), what wakes the loop, and the rest.

    `next` are the runs to come, the nearest first, one or a few; `says` is its trigger in words, or what is wrong.
    """

    name: str
    record: dict[str, Any] | None
    signal: Any
    detail: dict[str, Any]
    next: list[Run]
    says: str


class ScheduleWritten(Struct, frozen=True):
    """A schedule that was written: its summary, and its next run."""

    summary: str
    next: Run | None
