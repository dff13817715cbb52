"""What else comes from outside and is made of text: conditions, cron, commands, streams, transcripts, books, sessions.

`tests/integration/test_fuzz.py` has the rest. Each property is met at random here, and guided by coverage by
`scripts/fuzz` (targets.py says with which bytes).
"""

import json
import math
import re
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from looop.config.knobs import Knobs, read_knobs, variable
from looop.contract.escapes import stripped, whole
from looop.decide.model_answer import Failed, Reply, decision_in
from looop.decide.streams import parked_until, reader_for
from looop.model.errors import Invalid, LooopError
from looop.model.records import Fault, ReflexLedger, Schedule
from looop.rules import cel, cron
from looop.rules.due import Before, next_due, probe
from looop.rules.goals import declares, unfenced_key
from looop.rules.reflexes import fired, judge
from looop.rules.shell import tripped
from looop.rules.world import assemble, decode_json
from looop.runtime.zones import zone_of
from looop.session.fleet import Fleet
from looop.state.codec import decode_record
from looop.state.leases import Leases
from looop.state.ledger import KEY, CostLedger
from looop.state.mailbox import Mailbox
from looop.state.notices import Notices
from looop.state.schedules import Schedules
from looop.state.tells import Tells
from looop.state.verify import Verify
from looop.store.memory import MemoryStore
from tests.integration.test_fuzz import DEEP, in_time, often, values

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

NOW = 1_790_000_000
ZONES = ("UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia", "no/where")
SCOPE_WORLD = {
    "sensor-ci": b'{"signal": {"red": 2, "names": ["a", null], "big": 99999999999999999999}, "detail": {"x": 1.5}}',
    "sensor-disk": b"not json",
    "sys-schedules": b'{"signal": {"d": {"run": "2026-01-01T00:00:00+00:00"}, "o": "due"}, "ran": {"d": 5}}',
    "sys-sessions": b'{"signal": [{"id": "w", "state": "exited", "health": "dead", "exit_code": 0}]}',
    "sys-asks": b'{"signal": {"pending": ["w-1"]}, "detail": {"w-1": {"worker": "w", "prompt": "?"}}}',
}

some = st.text(max_size=60)
json_bytes = st.binary(max_size=40) | values.map(lambda value: json.dumps(value).encode())
words = st.sampled_from(
    ["sensor.ci.signal", "due.d", "now", "workers", "has(", ")", "&&", "==", "1", "'x'", "[0]", "."]
)
conditions = some | st.lists(words, max_size=8).map(" ".join)


@given(conditions)
@example("(" * 2000)
@example("sensor" + "[ " * 900)
@example("due . " * 300)
@often
def test_any_condition_holds_or_not_or_says_why(text: str) -> None:
    """A condition is refused, or it is true, false, or a sentence, and twice the same. Source: design §4."""
    with in_time(), suppress(Invalid):
        cel.sensors_named(text), cel.due_named(text)
        cel.check(text)
        document = "---\n" + json.dumps({"done": text, "reflexes": [{"when": text, "move": {"action": "noop"}}]})
        first, second = (judged(f"{document}\n---\n", SCOPE_WORLD) for _ in range(2))
        assert first == second


def judged(goal: str, snapshots: dict[str, bytes]) -> Any:
    """How one goal stands in such a world, and that what fires can be noted down."""
    found = [(stem, data, "untrusted") for stem, data in snapshots.items()]
    world = assemble({"goals/g.md": goal.encode("utf-8", "replace")}, found)  # type: ignore[arg-type]
    judgement = judge(world, ReflexLedger(), {"g": NOW - 60}, NOW)
    if judgement.firing:
        msgspec.json.encode(fired(judgement.ledger, judgement.firing, world))
    return judgement


@given(some, st.dictionaries(st.sampled_from(sorted(SCOPE_WORLD)), json_bytes, max_size=3))
@example("---\ndone: due.d && asks.size() > 0\n---\n", {"sys-schedules": b'{"signal": {"d": 1}, "ran": [1]}'})
@example("---\ndone: worker.alive\n---\n", {"sys-sessions": b'[{"id": []}]', "sys-asks": b'{"pending": [{}]}'})
@often
def test_any_goal_is_judged_on_any_readings(goal: str, snapshots: dict[str, bytes]) -> None:
    """Reflexes are judged whatever the readings hold, also those the loop makes itself. Source: design §4."""
    with in_time():
        assert not (declares(goal) and unfenced_key(goal))
        assert isinstance(judged(goal, SCOPE_WORLD | snapshots).statuses, list)


lines_of_cron = st.lists(
    st.sampled_from(["*", "*/5", "0", "59", "1-5", "L", "LW", "5L", "1#2", "MON", "JAN", "29", "2"])
)
moments = st.integers(0, 3_000_000_000) | st.integers(0, cron.LATEST)


@given(some | lines_of_cron.map(" ".join), st.sampled_from(ZONES), moments | st.integers())
@example("0 0 29 2 1#5", "UTC", NOW)
@example("*/5 1-3 L * MON#2", "Pacific/Apia", 10**12)
@example("59 23 31 12 *", "Pacific/Apia", 1_325_203_200)
@often
def test_any_cron_line_has_its_runs_or_is_refused(text: str, zone_name: str, now: int) -> None:
    """A cron line is refused, or its runs around a moment are in order. Source: docs/schedules.md."""
    with in_time(), suppress(Invalid):
        zone, spec = zone_of(zone_name), cron.parse(text)
        window = cron.window(spec, zone, now)
        now = min(max(now, 0), cron.LATEST)
        assert window.run is None or window.run <= now
        assert window.next is None or now < window.next
        for run in (run for run in (window.run, window.next) if run and run <= cron.LATEST):
            assert cron.from_stamp(cron.stamp(run, zone)) == run
            assert cron.latest(spec, zone, run) == run
            assert run < 1 or cron.following(spec, zone, run - 1) == run


@given(json_bytes, json_bytes, moments)
@example(b'{"every_s": 60, "anchor": 5, "catch_up": "all"}', b'{"period": 3}', NOW)
@example(b'{"at": 99999999999999999999999}', b"null", NOW)
@example(b'{"cron": "@hourly", "tz": "UTC", "anchor": -9223372036854775808, "catch_up": "all"}', b"1", NOW)
@example(b'{"cron": "0 0 * * *", "tz": "no/where"}', b"[]", NOW)
@often
def test_any_schedule_reads_as_something(data: bytes, shown: bytes, now: int) -> None:
    """A schedule's record and what was shown of it give a signal that is JSON, and a next moment that is ahead.

    Source: docs/schedules.md.
    """
    with in_time():
        record = decode_record(data, "schedules/d.json", Schedule)
        before = None
        with suppress(ValueError):
            before = Before(decided=decode_json(shown), published=decode_json(shown))
        signal, detail = probe(record, now, zone_of, before)
        assert decode_json(msgspec.json.encode([signal, detail]))
        due = next_due([record], now, zone_of)
        assert due is None or due > now or isinstance(record, Fault)


@given(some)
@example("x=$(" * 500)
@example("cat <<A\n" * 200)
@example("bash -c '" * 60)
@example("`" * 999)
@example('bash -c "$(cat <<A\nls\nA\n)"')
@often
def test_any_command_is_looked_through(text: str) -> None:
    """The tripwire says what trips in one line, or nothing. Source: design §8; docs/safety.md."""
    with in_time():
        reason = tripped(text)
        assert reason is None or (reason and "\n" not in reason), reason


KINDS = ("claude", "codex", "pi", "opencode", "model", "text")


@given(st.sampled_from(KINDS), st.lists(json_bytes, max_size=5))
@example("claude", [b'{"type":"result","total_cost_usd":1e999,"usage":{"input_tokens":-1}}', DEEP.encode()])
@often
def test_any_stream_is_followed(kind: str, lines: list[bytes]) -> None:
    """A reader never raises, says lines, and knows figures that can be summed. Source: spec/beat.md §9.2."""
    with in_time():
        events = {"model": "looop.decide.model", "text": None}.get(kind, kind)
        reader = reader_for("", "x", {"HOME": "/nonexistent"}, events)
        for line in lines:
            assert all(isinstance(said, str) for said in reader.feed(line))
            cost, tokens = reader.usage.cost_usd, reader.usage.tokens
            assert cost is None or (math.isfinite(cost) and cost >= 0)
            assert tokens is None or all(figure >= 0 for figure in msgspec.to_builtins(tokens).values())
        verdict = reader.verdict()
        assert msgspec.json.encode(verdict.text)
        parked_until(verdict.limit or verdict.text, NOW, 0)


@given(some, st.integers(0, 3_000_000_000), st.integers(-50_400, 50_400))
@example("usage limit reached. resets Feb 30, 2027 at 11:59 pm (UTC)", NOW, 0)
@example("usage limit reached|9999999999", NOW, 0)
@often
def test_any_limit_ends_soon_or_nobody_knows(text: str, now: int, offset_s: int) -> None:
    """What a runner says of its limit is a moment within five weeks, or nothing. Source: design §6."""
    with in_time():
        for said in (text, f"usage limit reached: {text}"):
            until = parked_until(said, now, offset_s)
            assert until is None or now < until <= now + 35 * 86400


@given(some)
@example('{"decision": {"action": "noop"}}')
@example("```json\n{broken\n```")
@often
def test_any_answer_of_a_model_is_one_object_or_failed(text: str) -> None:
    """What a model's API answered is one JSON object, or failed in one line. Source: docs/runners.md."""
    with in_time():
        try:
            assert isinstance(json.loads(decision_in(Reply(texts=(text,)), 9)), dict)
        except Failed as error:
            assert "\n" not in str(error)


@given(st.binary(max_size=60), st.integers(0, 60))
@example(b"\x1b]0;a\x1b\\b\r\n\x1b[2J\x1b[1;2Hc\xc3\xa4\r", 5)
@example(b"a\x1b[2J\r\x1b[1;2", 9)
@example(b"a\r\nb", 2)
@often
def test_any_output_reads_the_same_however_it_is_cut(data: bytes, at: int) -> None:
    """A transcript has no sequence left in it, and says the same in two pieces.

    Source: spec/workers.md §3.7.
    """
    with in_time():
        text = stripped(data)
        assert re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", text) is None
        cut = whole(data[:at])
        assert 0 <= cut <= len(data[:at])
        assert stripped(data[:cut]) + stripped(data[cut:]) == text


@given(st.lists(json_bytes, max_size=4).map(b"\n".join))
@example(b'{"ts": "2026-01-01", "kind": "tick", "id": "1", "runner": "r", "cost_usd": -0.0}\n[]')
@often
def test_any_ledger_is_counted_and_can_be_repaired(data: bytes) -> None:
    """A ledger's rows are read whatever stands between them, and none is lost by a repair.

    Source: spec/beat.md §0.
    """
    with in_time():
        store = MemoryStore()
        store.write(KEY, data)
        ledger = CostLedger(store)
        found = ledger.read()
        ledger.mend_end()
        assert ledger.read().rows == found.rows
        ledger.repair()
        after = ledger.read()
        assert (after.rows, after.damaged) == (found.rows, 0)


@given(json_bytes, json_bytes)
@example(b'{"babysit_pid": 99999999999999999999, "cmd": [1], "started_at": "0001-01-01T00:00:00+23:59"}', b"[]")
@example(b'{"size": [1, true]}', b'{"last_change": "9999-12-31T23:59:59-23:59", "state": 5}')
@example(b'{"size": [1]}', b'{"exit_code": 1e400}')
@often
def test_any_records_of_a_session_are_one_or_none(meta: bytes, status: bytes) -> None:
    """A session whose records are odd is listed or left out. Source: spec/workers.md §3.3."""
    with tempfile.TemporaryDirectory(prefix="looop-fuzz-") as folder, in_time():
        place = Path(folder) / "sessions" / "w"
        place.mkdir(parents=True)
        (place / "meta.json").write_bytes(meta)
        (place / "status.json").write_bytes(status)
        for session in Fleet(folder).sessions():
            assert session.id == "w"
            assert all(0 < cells < 1000 for cells in session.size)
            assert session.alive or session.is_orphaned or session.state in ("exited", "killed", "failed")


FILES = (
    *("schedules/d.json", "claims/a.json", "asks/w-1.json", "answers/w-1.json", "tells/w-1.json", "notices.jsonl"),
    *("asks/archive/w-2.json", "asks/archive/w-2.answer.json", "verify/w.cmd", "verify/w.json"),
)


@given(st.dictionaries(st.sampled_from(FILES), json_bytes, max_size=4))
@example(
    dict.fromkeys(FILES, b'{"v": 1, "id": "w-1", "worker": "w", "prompt": "?", "ts": 5, "expires": 6, "key": "k"}')
)
@example(dict.fromkeys(FILES, b"\xff"))
@often
def test_any_files_of_the_books_are_read_or_refused(found: dict[str, bytes]) -> None:
    """Every book reads what a person or a crash has left there, or raises an error of ours. Source: spec/beat.md §0."""
    with in_time():
        store = MemoryStore()
        for name, data in found.items():
            store.write(name, data)
        mailbox, tells, leases = Mailbox(store), Tells(store, 60), Leases(store)
        for step in (
            lambda: mailbox.pending(NOW),
            mailbox.settled,
            lambda: mailbox.expire(NOW),
            lambda: mailbox.archive(10**30),
            tells.waiting,
            lambda: tells.drain("w", NOW),
            Schedules(store).all,
            leases.all,
            lambda: leases.claim("a", "me", NOW, lambda session: False, lambda seconds: None),
            lambda: leases.reap(set(), lambda session: False, NOW),
            Notices(store).rows,
            Verify(store).obligations,
            lambda: Verify(store).command("w"),
            lambda: Verify(store).result("w"),
        ):
            with suppress(LooopError):
                step()


@given(st.dictionaries(st.sampled_from(Knobs.__struct_fields__).map(variable), some, max_size=4))
@example({"LOOOP_BACKOFF_CAP": "9" * 5000, "LOOOP_NOOP_TTL": "²"})
@often
def test_any_environment_gives_knobs(environ: dict[str, str]) -> None:
    """Whatever the environment says, there is a value for each knob, and what made no sense is named."""
    with in_time():
        knobs, bad = read_knobs(environ)
        assert {knob.var for knob in bad} <= set(environ)
        for field in msgspec.structs.fields(knobs):
            value = getattr(knobs, field.name)
            assert value is None or isinstance(value, str) or math.isfinite(value)
