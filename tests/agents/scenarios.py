"""What the scripted endpoint plays: named scenarios of abstract steps, and the faults that befall them.

A step is one assistant turn, a mapping with one or two of these keys:

    {"write": path, "body": text}   a file, by the writing tool the agent offers, else by its shell. A request that
                                    demands an answer in a shape (a JSON schema, a forced tool) gets `body` as that
                                    answer instead; each line of it is an answer of its own
    {"bash": command}               a command, by the shell the agent offers
    {"text": words}                 plain words, alone or before the action
    {"cut": True}                   the turn ends because the limit of output tokens was reached
    {"usage": Usage(...)}           other figures than `usage_of` gives

Behind the last step every turn is `DONE`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

Step = Mapping[str, Any]

DECISION_FILE = ".decision.json"
DECISION = {"action": "noop", "reason": "scripted", "journal": "the scripted endpoint decided"}
DECISION_TEXT = json.dumps(DECISION)
DONE: Step = {"text": "done"}


class Usage(NamedTuple):
    """Tokens of one turn. `fresh` is what the cache did not have; the whole input is `fresh + cached`."""

    fresh: int
    cached: int
    output: int


def usage_of(turn: int) -> Usage:
    """The figures of the turn with that number: a sum over turns differs from the last one and from the largest."""
    return Usage(fresh=1000, cached=200, output=50) if turn == 0 else Usage(fresh=300, cached=1100, output=20)


@dataclass(frozen=True)
class Fault:
    """What goes wrong instead of the turn.

    `kind` is one of: status (with `status` and `headers`), truncate, garbage, html, empty, hang, stall, reset,
    midstream_error. It befalls turns from number `turn` on, and only the first `times` requests of a tag if given.
    """

    kind: str
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    times: int | None = None
    turn: int = 0


@dataclass(frozen=True)
class Scenario:
    """Steps in order, and at most one fault."""

    steps: Sequence[Step]
    fault: Fault | None = None


def _decide_with(body: str, **extra: Any) -> Scenario:
    return Scenario([{"write": DECISION_FILE, "body": body, **extra}, {"text": "Decision written."}])


def _decide_under(fault: Fault) -> Scenario:
    return Scenario(DECIDE.steps, fault)


DECIDE = _decide_with(DECISION_TEXT)

SCENARIOS: dict[str, Scenario] = {
    "decide": DECIDE,
    "text": Scenario([{"text": DECISION_TEXT}]),
    "bash": Scenario([{"text": "I look around.", "bash": "echo hello from the shell"}, {"text": "It said hello."}]),
    "bashfail": Scenario([{"bash": "echo to stderr >&2; exit 3"}, {"text": "The command failed with 3."}]),
    "longcmd": Scenario([{"bash": "tail -f /dev/null"}, {"text": "Never said."}]),
    "prose": Scenario([{"text": "I would rather talk about it: nothing needs doing."}]),
    "cutjson": _decide_with(DECISION_TEXT[:-20], cut=True),
    "twojson": _decide_with(DECISION_TEXT + "\n" + json.dumps({"action": "noop", "reason": "second thoughts"})),
    "unknown": _decide_with(json.dumps({"action": "launch_rocket", "reason": "scripted"})),
    "huge": Scenario([{"text": "x" * 1_000_000}]),
    "err400": _decide_under(Fault("status", 400)),
    "err401": _decide_under(Fault("status", 401)),
    "err404": _decide_under(Fault("status", 404)),
    "err429": _decide_under(Fault("status", 429, headers=(("retry-after", "1"),))),
    "err500": _decide_under(Fault("status", 500)),
    "err529": _decide_under(Fault("status", 529)),
    "flaky429": _decide_under(Fault("status", 429, headers=(("retry-after", "1"),), times=1)),
    "flaky500": _decide_under(Fault("status", 500, times=1)),
    "late500": _decide_under(Fault("status", 500, turn=1)),
    "truncate": _decide_under(Fault("truncate")),
    "truncate1": _decide_under(Fault("truncate", times=1)),
    "garbage": _decide_under(Fault("garbage")),
    "html": _decide_under(Fault("html")),
    "empty": _decide_under(Fault("empty")),
    "hang": _decide_under(Fault("hang")),
    "stall": _decide_under(Fault("stall")),
    "reset": _decide_under(Fault("reset")),
    "midstream": _decide_under(Fault("midstream_error")),
}
