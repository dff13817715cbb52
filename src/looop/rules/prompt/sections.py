"""The sections that show the world as it stands: PLAYBOOK, goals, readings, asks, goal status, fairness.

Source: spec/beat.md §8, design §4.
"""

from collections.abc import Iterator

from looop.model.prompt import GoalStatus, PendingAsk, PromptInput
from looop.model.world import goals_of
from looop.rules.prompt.budget import Listing
from looop.rules.prompt.text import Section, body, line, local_time, section

PLAYBOOK = "PLAYBOOK.md"
PLAYBOOK_CHARS = 16384
GOAL_CHARS = 8192
ASK_CHARS = 2048
WHY_CHARS = 240
UNREADABLE = "(unreadable)"
EMPTY = "(empty)"


def playbook(given: PromptInput) -> Section:
    """The person's standing instructions."""
    if PLAYBOOK not in given.policy:
        return section("PLAYBOOK", "", "(none)")
    return section("PLAYBOOK", "", _policy_text(given.policy[PLAYBOOK], PLAYBOOK_CHARS))


def goals(given: PromptInput) -> Listing:
    """The goal files by id, in full up to a cap."""
    found = goals_of(given.policy)
    return Listing(
        kind="goals",
        title="GOALS",
        qualifier="",
        count=len(found),
        items=(_item(f"{goal}.md", _policy_text(found[goal], GOAL_CHARS)) for goal in sorted(found)),
        nothing="(no goals)",
        hint="archive or consolidate goals",
    )


def readings(given: PromptInput) -> Listing:
    """The snapshots by stem, as raw text."""
    found = given.readings
    return Listing(
        kind="readings",
        title="SENSOR READINGS",
        qualifier="",
        count=len(found),
        items=(_item(f"{stem}.json", body(found[stem]) or EMPTY) for stem in sorted(found)),
        nothing="(no readings)",
        hint="consolidate sensors",
    )


def asks(given: PromptInput) -> Listing:
    """The questions that wait for a person, in the order given."""
    return Listing(
        kind="asks",
        title="PENDING ASKS",
        qualifier="for the person to answer, never for you",
        count=len(given.asks),
        items=(_ask(ask) for ask in given.asks),
        nothing="(no pending asks)",
        hint="",
    )


def goal_status(given: PromptInput) -> Section | None:
    """What each goal's `done:` says of it and which reflexes made no progress; None when there is no status."""
    lines = [_status(status) for status in sorted(given.statuses, key=lambda status: status.goal)]
    return section("GOAL STATUS", "machine-checked", "\n".join(lines)) if lines else None


def fairness(given: PromptInput) -> Section | None:
    """The goal acted on longest ago, never counting as longest; ties by name. Source: edge case 84."""
    waiting = sorted(goals_of(given.policy))
    if not waiting:
        return None
    goal = min(waiting, key=lambda goal: given.activity.get(goal, 0))
    acted = given.activity.get(goal, 0)
    since = f"last acted on {local_time(acted, given.utc_offset_s)}" if acted else "never acted on"
    return section(
        "FAIRNESS",
        "machine-computed",
        f"Most neglected goal: {line(goal)} ({since}).\n"
        "If something can be done for it now, prefer it; if you pass over it, say why in `journal`.",
    )


def _policy_text(text: str | None, limit: int) -> str:
    return UNREADABLE if text is None else body(text, limit) or EMPTY


def _item(name: str, text: str) -> str:
    return f"--- {line(name)}\n{text}\n"


def _ask(ask: PendingAsk) -> str:
    return "".join(f"{part}\n" for part in _ask_lines(ask))


def _ask_lines(ask: PendingAsk) -> Iterator[str]:
    yield f"--- [{ask.tag}] {line(ask.id)} from worker {line(ask.worker)}"
    yield body(ask.prompt, ASK_CHARS) or EMPTY
    if ask.reference:
        yield f"reference: {line(ask.reference, ASK_CHARS)}"
    if ask.options:
        yield f"options: {line(', '.join(ask.options), ASK_CHARS)}"


def _status(status: GoalStatus) -> str:
    why = f" - {line(status.why, WHY_CHARS)}" if status.why.strip() else ""
    stuck = "".join(
        f"; reflex #{number} suspended: its condition still held after three runs" for number in status.suspended
    )
    return f"{line(status.goal)}: {status.status}{why}{stuck}"
