"""The books over a store in memory: what each promises beyond what a beat shows of it."""

import json

import pytest

from looop.model.errors import Corrupt, Missing, Unreadable
from looop.model.records import Awake, Backoff, CostRow, Fault, Intent, NextWake, ShellOutput
from looop.rules.world import assemble
from looop.state.codec import LineLog, is_text, names_in, read_record, require_record, write_record
from looop.state.goals import Goals
from looop.state.guards import Guards
from looop.state.intents import Intents
from looop.state.journal import Journal
from looop.state.ledger import CostLedger
from looop.state.playbook import Playbook
from looop.state.readings import Readings
from looop.store.memory import MemoryStore
from looop.store.protocol import Blob, Entry, Store


class Blind(MemoryStore):
    """A store in which one key is there and cannot be read."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self._key = key

    def read(self, key: str) -> Blob | None:
        if key == self._key:
            raise Unreadable(f"cannot read {key!r}: Input/output error")
        return super().read(key)


class Odd(MemoryStore):
    """A store that lists a name that is no text."""

    def list(self, folder: str) -> list[Entry]:
        return [*super().list(folder), Entry("\udcff.md", 1, 1, False)]


def test_a_record_is_read_four_valued() -> None:
    """Absent, unreadable, corrupt and parsed stay apart. Source: spec/beat.md §0."""
    store = MemoryStore()
    assert read_record(store, "r", Backoff) is None
    store.write("r", b'{"hash": "h", "new": 1}')
    assert read_record(store, "r", Backoff) == Backoff(hash="h")
    for broken in (b"", b"{", b"[]", b"null", b'{"hash": 1}', b'{"hash": "h", "ts": true}', b'"\xff"', b"[" * 10**5):
        store.write("r", broken)
        found = read_record(store, "r", Backoff)
        assert isinstance(found, Fault) and (found.key, found.kind) == ("r", "corrupt") and "r is not" in found.why
    found = read_record(Blind("r"), "r", Backoff)
    assert isinstance(found, Fault) and found.kind == "unreadable"


def test_what_is_required_raises() -> None:
    """The demanding reader tells unreadable and corrupt apart by their class. Source: spec/beat.md §0."""
    store = MemoryStore()
    assert require_record(store, "r", Backoff) is None
    store.write("r", b"{")
    with pytest.raises(Corrupt):
        require_record(store, "r", Backoff)
    with pytest.raises(Unreadable):
        require_record(Blind("r"), "r", Backoff)


def test_a_record_is_one_line_of_compact_json() -> None:
    """As the reference program writes it. Source: spec/beat.md §0."""
    store = MemoryStore()
    write_record(store, ".next-wake.json", NextWake(due=5))
    assert store.read(".next-wake.json").data == b'{"due":5,"v":1}\n'  # type: ignore[union-attr]


def test_names_are_sorted_without_their_suffix() -> None:
    """`x` is before `x-1`; dot files and names that are no text are nobody's. Source: edge-cases.md items 117, 243."""
    store = Odd()
    for name in ("x-1.md", "x.md", ".h.md", "b.txt", "é.md"):
        store.write(f"d/{name}", b"")
    assert names_in(store, "d", ".md") == ["x", "x-1", "é"]
    assert is_text("é") and not is_text("\udcff")
    assert Goals(store).ids() == []


def rotating(max_bytes: int) -> tuple[Store, LineLog]:
    store = MemoryStore()
    return store, LineLog(store, "log", max_bytes)


def test_a_log_keeps_one_older_generation() -> None:
    """Over its size it is moved aside, replacing the older one, and the tail reads across. Source: edge case 246."""
    store, log = rotating(20)
    for number in range(12):
        log.append(f"line {number:02}")
    assert store.read("log.1").data.count(b"\n") == 3  # type: ignore[union-attr]
    assert log.tail(4) == [f"line {number:02}" for number in range(8, 12)]
    assert log.tail(100)[0] == "line 06"


def test_a_log_of_size_zero_never_rotates() -> None:
    """0 switches rotation off. Source: spec/beat.md §14."""
    store, log = rotating(0)
    for _ in range(50):
        log.append("x" * 100)
    assert store.read("log.1") is None and log.tail(2) == ["x" * 100] * 2
    assert rotating(0)[1].tail(5) == []


def test_a_log_rotates_what_an_earlier_process_left() -> None:
    """The size is asked of the store before the first line. Source: spec/beat.md §14."""
    store = MemoryStore()
    store.append("log", b"x" * 50 + b"\n")
    LineLog(store, "log", 20).append("new")
    assert store.read("log").data == b"new\n" and store.read("log.1") is not None  # type: ignore[union-attr]


def test_only_line_feeds_end_a_journal_line() -> None:
    """Other line separators are made visible: one record, one line. Source: spec/edge-cases.md item 258."""
    journal = Journal(MemoryStore(), 0)
    journal.write("a\u2028b\x0bc\rd\ne\ud800", "2026-01-01 00:00")
    assert journal.tail(5) == ["- 2026-01-01 00:00 a\\u2028b\\x0bc d e\\ud800"]


def test_a_wake_that_was_rewritten_survives() -> None:
    """Only the exact bytes that were seen are taken away. Source: spec/edge-cases.md item 150."""
    guards = Guards(MemoryStore())
    assert guards.wake() is None
    guards.set_wake(10)
    seen = guards.wake()
    assert seen is not None and seen[1] == NextWake(due=10)
    guards.set_wake(11)
    assert guards.drop_wake(seen[0]) is False
    found = guards.wake()
    assert found is not None and guards.drop_wake(found[0]) and guards.wake() is None


def test_a_newer_shell_output_is_not_dropped_with_the_shown_one() -> None:
    """What a person's verb put there meanwhile stays. Source: spec/edge-cases.md item 121."""
    guards = Guards(MemoryStore())
    shown, newer = (ShellOutput(ts=ts, cmd="c", exit_code=0, output="o") for ts in (1, 2))
    guards.record_shell(newer)
    guards.drop_shell(shown)
    assert guards.recall().shell == newer
    guards.drop_shell(newer)
    assert guards.recall().shell is None


def test_a_commit_writes_hash_and_baseline() -> None:
    """The hash with a newline, the baseline as a flat object of strings. Source: spec/beat.md §0, §13."""
    store = MemoryStore()
    world = assemble({"PLAYBOOK.md": b"x"}, [("s", b"1", "untrusted")])
    Guards(store).commit(world)
    assert store.read(".last-tick-hash").data == world.hash.encode() + b"\n"  # type: ignore[union-attr]
    baseline = json.loads(store.read(".last-world.json").data)  # type: ignore[union-attr]
    assert baseline == {"playbook": world.items["playbook"].value, "snap:s": "1"}
    assert Guards(store).recall().last_hash == world.hash


def test_damage_names_what_no_gate_asks_for() -> None:
    """Each record the beat goes on without is a fault here; the gates' own are not repeated. Source: beat.md §0."""
    store = MemoryStore()
    keys = [".last-world.json", ".noop-at.json", ".last-failure.json", ".last-shell.json", ".goal-activity.json"]
    for key in (*keys, ".tick-backoff", ".decide-ledger.json"):
        store.write(key, b"?")
    guards = Guards(store)
    assert [fault.key for fault in guards.damage(guards.recall())] == keys
    assert guards.activity() == {}


def test_a_stamp_keeps_what_is_known_of_other_goals() -> None:
    """A record that cannot be read just now is no empty one. Source: spec/beat.md §0."""
    blind, store = Blind(".goal-activity.json"), MemoryStore()
    blind.write(".goal-activity.json", b'{"backup":5}')
    with pytest.raises(Unreadable):
        Guards(blind).stamp("other", 7)
    assert MemoryStore.read(blind, ".goal-activity.json").data == b'{"backup":5}'  # type: ignore[union-attr]
    store.write(".goal-activity.json", b"?")
    Guards(store).stamp("other", 8)
    assert Guards(store).activity() == {"other": 8}


def test_two_actors_have_separate_records() -> None:
    """One finishing does not erase the other's, and ends only what it began. Source: spec/edge-cases.md item 134."""
    store = MemoryStore()
    intents = Intents(store)
    mine, theirs = (Intent(kind="shell", fingerprint=name, ts=0, shell_timeout_secs=10) for name in "mt")
    token = intents.begin("1-a", mine)
    other = intents.begin("2-b", theirs)
    intents.end(token, theirs)
    assert store.read(token) is not None
    intents.end(token, mine)
    assert store.read(token) is None and store.read(other) is not None
    assert [left.fingerprint for left in intents.sweep(69, 0, lambda _: False)] == []
    assert [left.fingerprint for left in intents.sweep(70, 0, lambda _: True)] == ["t"]


def test_what_a_dead_process_announced_is_over_at_once() -> None:
    """A record that names what it started is judged by its process, which the key names, not by its age.

    Source: spec/edge-cases.md item 132.
    """
    intents = Intents(MemoryStore())
    for pid in (1, 2):
        intents.begin(f"{pid}-a", Intent(kind="shell", fingerprint=str(pid), ts=0, shell_timeout_secs=0, mark="m"))
    assert [left.fingerprint for left in intents.sweep(10**9, 0, lambda pid: pid == 1)] == ["2"]
    assert [left.fingerprint for left in intents.sweep(10**9, 0, lambda pid: pid == 1)] == []


def test_an_archive_says_under_which_name() -> None:
    """The first free name is taken and told; a missing goal is told as well. Source: spec/edge-cases.md item 114."""
    goals = Goals(MemoryStore())
    names = []
    for body in ("1", "2"):
        goals.write("g", body)
        names.append(goals.archive("g"))
    assert names == ["g", "g-1"] and goals.ids() == []
    with pytest.raises(Missing):
        goals.archive("g")


def test_a_version_is_named_by_the_list() -> None:
    """A version that is not listed is an error with the next step, also one with dots in it. Source: beat.md §10.1."""
    store = MemoryStore()
    playbook = Playbook(store, keep=0)
    assert playbook.read() is None and playbook.versions() == []
    playbook.write("one", "s")
    playbook.write("two", "s")
    assert playbook.versions() == ["s"] and playbook.version("s") == b"one\n"
    for wrong in ("nope", "../PLAYBOOK"):
        with pytest.raises(Missing, match="looop playbook history"):
            playbook.version(wrong)


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b"\xff",
        b'{"ts":"x","kind":"tick","id":"i","runner":"r"}',
        b'{"ts":"2026-01-01T00:00:00Z","kind":"tick","id":"i","runner":"r","cost_usd":-1}',
        b'{"ts":"2026-01-01T00:00:00Z","kind":"tick","id":"i","runner":"r","cost_usd":"1"}',
        b'{"ts":"2026-01-01T00:00:00Z","kind":"tick","id":"i","runner":"r","cost_usd":NaN}',
        b"[" * 10**5,
    ],
)
def test_a_damaged_row_is_counted_and_skipped(line: bytes) -> None:
    """The good rows stay and the damage is part of the answer. Source: spec/edge-cases.md item 56, design §6."""
    store = MemoryStore()
    ledger = CostLedger(store)
    row = CostRow(ts="2026-01-01T00:00:00Z", kind="tick", id="i", runner="r", cost_usd=0.25)
    ledger.append(row)
    store.append("cost.jsonl", line + b"\n")
    ledger.append(row)
    read = ledger.read()
    assert read.rows == [(1767225600, row)] * 2 and read.damaged == 1


def test_a_row_of_the_reference_program_is_read() -> None:
    """Its rows have no `metered` and may lack a zone. Source: design §6, spec/edge-cases.md item 55."""
    store = MemoryStore()
    store.append("cost.jsonl", b'{"ts":"2026-01-01T00:00:00","kind":"tick","id":"i","runner":"pi","cost_usd":1}\n\n')
    (when, row), *rest = CostLedger(store).read().rows
    assert (when, row.cost_usd, row.metered, rest) == (1767225600, 1.0, True, [])


def test_a_header_is_read_anew_when_the_script_changed() -> None:
    """What a script declares is remembered until the file changes: sensors are listed every beat.

    Source: edge case 66.
    """
    from looop.state.sensors import Sensors

    store = MemoryStore()
    sensors = Sensors(store)
    store.write("sensors/a.sh", b"#!/bin/sh\n# looop:interval=5\n", executable=True)
    assert [sensor.interval_s for sensor in sensors.all()] == [5]
    store.write("sensors/a.sh", b"#!/bin/sh\n# looop:interval=9\n", executable=True)
    assert [sensor.interval_s for sensor in sensors.all()] == [9]


def test_the_machines_sleep_is_read_four_valued() -> None:
    """Absent, corrupt, unreadable and written stay apart. Source: spec/beat.md §0, edge case 275."""
    store = MemoryStore()
    guards = Guards(store)
    assert guards.awake() is None
    record = Awake(asleep_s=1.5, since=7, boot="b")
    guards.record_awake(record)
    assert guards.awake() == record
    store.write(".awake.json", b"{")
    assert isinstance(guards.awake(), Fault)
    unreadable = Guards(Blind(".awake.json")).awake()
    assert isinstance(unreadable, Fault) and unreadable.kind == "unreadable"


def test_a_stray_file_is_no_reading_of_what_its_name_begins_with() -> None:
    """Only the last suffix is taken off a name: `.err` belongs to its sensor, `x.json.tmp` to nobody, and goes.

    Source: edge cases 64, 65, 262.
    """
    store = MemoryStore()
    for name in ("x.json", "x.err", "x.json.tmp", "x.err.tmp", "x", "gone.json", "gone.err", "a.b.json"):
        store.write(f"snapshots/{name}", b"1")
    book = Readings(store)
    assert set(book.read_all()) == {"x", "gone", "a.b"}
    book.prune({"x", "a.b"})
    assert sorted(book.entries()) == ["a.b.json", "x.err", "x.json"]
