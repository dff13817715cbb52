"""What one beat sees, as values.

One read of the disk makes a World: its hash and its items can therefore never disagree.
Source: spec/beat.md §5, edge case 13.
"""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

Trust = Literal["trusted", "untrusted"]
ChangeKind = Literal["added", "changed", "removed"]
UNREADABLE = "!unreadable"


class Reading(Struct, frozen=True):
    """One snapshot as read. For non-JSON content `is_json` is False and `signal` is None."""

    stem: str
    raw: str
    is_json: bool
    signal: Any
    detail: Any
    trust: Trust


class Item(Struct, frozen=True):
    """One thing that can change. `name` is `playbook`, `goal:<id>` or `snap:<stem>`; `value` what is compared."""

    name: str
    value: str
    trust: Trust


class World(Struct, frozen=True):
    """The settled world of one beat. `policy` maps relative paths to text, None where unreadable."""

    hash: str
    policy_hash: str
    items: dict[str, Item]
    policy: dict[str, str | None]
    readings: dict[str, Reading]


class Change(Struct, frozen=True):
    """One difference between the baseline and now; `old`/`new` are None where there is none to show."""

    kind: ChangeKind
    name: str
    old: str | None
    new: str | None
    trust: Trust


def goals_of(policy: Mapping[str, str | None]) -> dict[str, str | None]:
    """The goal files of a policy, by goal id."""
    files = {path: text for path, text in policy.items() if path.startswith("goals/")}
    return {path.removeprefix("goals/").removesuffix(".md"): text for path, text in files.items()}
