"""The sections that show what has happened: journal, changes, last command, flapping, last failure, now.

Source: spec/beat.md §8.
"""

from looop.model.prompt import PromptInput
from looop.model.world import Change
from looop.rules.prompt.text import Section, body, line, local_time, section
from looop.rules.prompt.wording import CLOSING

JOURNAL_LINES = 20
JOURNAL_CHARS = 500
CHANGED_LINES = 200
VALUE_CHARS = 240
COMMAND_CHARS = 512
OUTPUT_CHARS = 2048
ERROR_CHARS = 2048


def journal(given: PromptInput) -> Section:
    """The newest journal lines, oldest first."""
    lines = [line(entry, JOURNAL_CHARS) for entry in given.journal[-JOURNAL_LINES:]]
    return section("RECENT JOURNAL", "oldest first", "\n".join(lines) or "(empty)")


def changed(given: PromptInput) -> Section | None:
    """What differs from the baseline; None without one. Source: edge cases 14-18."""
    if given.changes is None:
        return None
    ordered = sorted(given.changes, key=lambda change: (change.kind == "removed", change.name))
    lines = [_change(change) for change in ordered[:CHANGED_LINES]]
    if len(ordered) > CHANGED_LINES:
        lines.append(f"({len(ordered) - CHANGED_LINES} more lines left out)")
    text = "\n".join(lines) or (
        "(nothing: this decide was forced, by a start, a nudge, or a noop old enough to be looked at again)"
    )
    return section("WHAT CHANGED", "since the last decision, machine-computed", text)


def shell_output(given: PromptInput) -> Section | None:
    """What the previous move's command printed; None when it was no command. Source: edge cases 80, 81."""
    if given.shell is None:
        return None
    return section(
        "RUN_SHELL OUTPUT",
        "of the previous move, shown once",
        f"command: {body(given.shell.cmd, COMMAND_CHARS)}\n"
        f"exit code: {given.shell.exit_code}\n"
        f"{body(given.shell.output, OUTPUT_CHARS) or '(no output)'}",
    )


def flapping(given: PromptInput) -> Section | None:
    """The sensors that change at every beat; None when there are none."""
    if not given.flapping:
        return None
    return section(
        "FLAPPING SENSORS",
        "they defeat the gate that keeps idle free",
        f"{', '.join(line(stem) for stem in sorted(given.flapping))}\n"
        "Their signal changes at almost every beat, and each change costs a decide. Rewrite such a sensor so\n"
        "that volatile fields move to `detail`. For a sys-* reading look for a very short schedule or a worker\n"
        "that crashes and is started again.",
    )


def last_failure(given: PromptInput) -> Section | None:
    """Why the previous decide failed; None when it did not."""
    failure = given.failure
    if failure is None:
        return None
    return section(
        "LAST FAILURE",
        "do not repeat it",
        f"code {line(failure.code)}, failure #{failure.fails}, {max(given.now - failure.ts, 0)} seconds ago\n"
        f"{body(failure.error, ERROR_CHARS) or '(no error text)'}\n"
        "(Do not hand over the same move unchanged: repair it or choose another.)",
    )


def now(given: PromptInput) -> Section:
    """The time, and as the very last line what to do. Source: edge cases 74, 86."""
    opened = section("NOW", "local time", local_time(given.now, given.utc_offset_s))
    return Section(opened.title, opened.text + CLOSING)


def _change(change: Change) -> str:
    name = line(change.name)
    if change.kind == "removed":
        return f"- {name}"
    mark = "+" if change.kind == "added" else "~"
    if not change.name.startswith("snap:"):
        return f"{mark} {name} ({'new' if mark == '+' else 'edited'}; its text is above)"
    if mark == "+":
        return f"+ {name}: {_value(change.new)}"
    return f"~ {name}: {_value(change.old)} -> {_value(change.new)}"


def _value(value: str | None) -> str:
    return "(not known)" if value is None else line(value, VALUE_CHARS)
