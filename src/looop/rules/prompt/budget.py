"""The aggregate budget of the three sections that grow with the world: goals, readings, asks.

Note [How bytes are accounted]
Charged before any item: the sections above GOALS, and for each of the three its header with its marker (or
its note, when it is empty). Then items are charged in order; the first that does not fit ends its section. So
all text down to PENDING ASKS stays within the limit, unless what is charged beforehand alone exceeds it; the
sections below are not charged. Source: spec/beat.md §8, edge cases 78, 79.
"""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from looop.rules.prompt.text import Section, header, size


class Listing(Struct, frozen=True):
    """A budgeted section: `count` items, made only when they are reached, each ending in a line end."""

    kind: str
    title: str
    qualifier: str
    count: int
    items: Iterator[str]
    nothing: str
    hint: str


def fit(listings: Sequence[Listing], spent: int, max_bytes: int) -> tuple[list[Section], dict[str, int]]:
    """The sections with the items that fit, and how many of which kind do not; `max_bytes` 0 is no limit."""
    sections: list[Section] = []
    omitted: dict[str, int] = {}
    room = max_bytes - spent - sum(size(_fixed(listing)) for listing in listings)
    for listing in listings:
        taken, room = _take(listing.items, room, limited=max_bytes > 0)
        left_out = listing.count - len(taken)
        if left_out:
            omitted[listing.kind] = left_out
        sections.append(_render(listing, taken, left_out))
    return sections, omitted


def _take(items: Iterator[str], room: int, *, limited: bool) -> tuple[list[str], int]:
    taken: list[str] = []
    for item in items:
        if limited and size(item) > room:
            break
        room -= size(item)
        taken.append(item)
    return taken, room


def _fixed(listing: Listing) -> str:
    """What the section holds besides items, at its longest."""
    return header(listing.title, listing.qualifier) + _closing(listing, listing.count)


def _render(listing: Listing, taken: list[str], left_out: int) -> Section:
    closing = _closing(listing, left_out) if left_out or not listing.count else ""
    return Section(listing.title, header(listing.title, listing.qualifier) + "".join(taken) + closing)


def _closing(listing: Listing, left_out: int) -> str:
    if not listing.count:
        return f"{listing.nothing}\n"
    hint = f"; {listing.hint}" if listing.hint else ""
    return f"(section truncated: {left_out} {listing.kind} left out, LOOOP_PROMPT_MAX_BYTES reached{hint})\n"
