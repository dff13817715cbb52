"""The joiner: from the values of one beat to the text its decider reads.

Sections run from the most stable to the most volatile, so that a provider's prefix cache stays warm, and the
clock comes last. Source: spec/beat.md §8, edge case 73.
"""

from looop.model.prompt import Prompt, PromptInput
from looop.rules.prompt import history, sections, wording
from looop.rules.prompt.budget import fit
from looop.rules.prompt.text import Section, size


def build(given: PromptInput) -> Prompt:
    """The prompt for `given`: equal inputs give equal text, any input gives one. Source: edge cases 73-87."""
    head = [*wording.fixed(given.data_dir, given.max_nudge_s), sections.playbook(given)]
    listed, omitted = fit(
        [sections.goals(given), sections.readings(given), sections.asks(given)],
        spent=sum(size(part.text) for part in head),
        max_bytes=given.max_bytes,
    )
    parts = [*head, *listed, *_tail(given)]
    return Prompt(
        text="".join(part.text for part in parts),
        sections=[(part.title, size(part.text)) for part in parts],
        omitted=omitted,
    )


def _tail(given: PromptInput) -> list[Section]:
    parts = (
        sections.goal_status(given),
        sections.fairness(given),
        history.journal(given),
        history.changed(given),
        history.shell_output(given),
        history.flapping(given),
        history.last_failure(given),
        history.now(given),
    )
    return [part for part in parts if part is not None]
