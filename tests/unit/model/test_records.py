"""Moves, records, reports, facts and errors: what their values must be."""

from typing import Any

import msgspec
import pytest

from looop.model import errors, records
from looop.model.facts import FACTS
from looop.model.moves import (
    ArchiveGoal,
    DropSchedule,
    KillWorker,
    Move,
    Noop,
    RunShell,
    StartWorker,
    WriteGoal,
    WritePlaybook,
    WriteSchedule,
    WriteSensor,
)
from looop.model.report import BeatEnding, BeatReport

MOVES: list[tuple[Move, str, str, str | None]] = [
    (Noop(), "noop", "noop", None),
    (Noop("quiet"), "noop", "noop · quiet", None),
    (RunShell("ls -l"), "shell", "run-shell · ls -l", None),
    (RunShell("ls -l", "look"), "shell", "run-shell · look", None),
    (WriteGoal("g", "b"), "goal", "write-goal g", "g"),
    (ArchiveGoal("g"), "archive", "archive-goal g", "g"),
    (WriteSensor("ci", "s"), "sensor", "write-sensor ci", None),
    (WritePlaybook("b"), "playbook", "write-playbook", None),
    (StartWorker("w", "p"), "worker", "start-worker w", "w"),
    (StartWorker("w", "p", command="c"), "worker", "start-worker w (command override)", "w"),
    (KillWorker("w"), "kill", "kill-worker w", "w"),
    (KillWorker("w", "stuck"), "kill", "kill-worker w · stuck", "w"),
    (WriteSchedule("n", in_s=5), "schedule", "write-schedule n (one-shot, due in 5s)", None),
    (WriteSchedule("n", every_s=60), "schedule", "write-schedule n (recurring, every 60s)", None),
    (
        WriteSchedule("n", every_s=60, catch_up="all"),
        "schedule",
        "write-schedule n (recurring, every 60s, catch-up all)",
        None,
    ),
    (WriteSchedule("n", cron="@daily"), "schedule", "write-schedule n (cron @daily)", None),
    (WriteSchedule("n", cron="0 9 * * 1", tz="UTC"), "schedule", "write-schedule n (cron 0 9 * * 1, UTC)", None),
    (DropSchedule("n"), "drop-schedule", "drop-schedule n", None),
]


@pytest.mark.parametrize(("move", "kind", "summary", "_goal"), MOVES)
def test_kind_and_summary(move: Move, kind: str, summary: str, _goal: str | None) -> None:
    """Each move has its kind word and its line for the journal. Source: spec/beat.md §10."""
    assert (move.kind, move.summary) == (kind, summary)


@pytest.mark.parametrize(("move", "_kind", "_summary", "goal"), MOVES)
def test_which_moves_act_on_a_goal(move: Move, _kind: str, _summary: str, goal: str | None) -> None:
    """Writing, archiving, starting and killing act on a goal, the rest on none. Source: spec/edge-cases.md item 124."""
    assert move.goal == goal


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (records.Backoff, {"hash": "h", "fails": True}),
        (records.Backoff, {"hash": "h", "fails": "4"}),
        (records.Backoff, {"hash": "h", "fails": 1.5}),
        (records.Backoff, {"hash": "h", "ts": True}),
        (records.Backoff, {"hash": None}),
        (records.Backoff, {"fails": 1}),
        (records.NoopMark, {"ts": "1", "hash": "h"}),
        (records.NextWake, {"due": False}),
        (records.NextWake, {}),
        (records.FlapLedger, {"snaps": {"x": {"streak": True}}}),
        (records.Schedule, {"at": "soon"}),
        (records.Failure, {"ts": 1, "run_id": "r", "code": "c", "error": "e", "fails": True}),
        (records.ShellOutput, {"ts": 1, "cmd": "c", "exit_code": False, "output": ""}),
    ],
)
def test_a_wrong_type_is_never_read_as_a_value(kind: Any, data: dict[str, Any]) -> None:
    """A boolean, text or fraction for a number makes a record corrupt. Source: spec/edge-cases.md item 260."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(data), type=kind)


@pytest.mark.parametrize(
    ("kind", "data", "expected"),
    [
        (records.Backoff, {"hash": "h"}, records.Backoff("h", fails=0, ts=0, armed=False)),
        (records.Backoff, {"v": 1, "hash": "h", "fails": 3, "ts": 9}, records.Backoff("h", 3, 9)),
        (records.NoopMark, {}, records.NoopMark(ts=0, hash="")),
        (records.FlapLedger, {"snaps": {"x": {"last": 5}}}, records.FlapLedger({"x": records.FlapEntry(last=5)})),
        (records.AttemptLedger, {"ts": [1, "x", None]}, records.AttemptLedger([1, "x", None])),
        (records.Schedule, {"v": 1, "at": 5}, records.Schedule(at=5)),
        (records.Schedule, {"every_s": 7, "anchor": 1, "x": 2}, records.Schedule(every_s=7, anchor=1)),
        (records.Intent, {"kind": "shell", "fingerprint": "f", "ts": 1}, records.Intent("shell", "f", 1)),
    ],
)
def test_records_of_the_reference_program_are_read(kind: Any, data: dict[str, Any], expected: Any) -> None:
    """Missing fields have the reference defaults, unknown ones are passed over. Source: spec/beat.md §0."""
    assert msgspec.json.decode(msgspec.json.encode(data), type=kind) == expected


def test_every_record_passes_over_what_it_does_not_know() -> None:
    """A newer version's record is still read. Source: spec/edge-cases.md item 211."""
    kept = [kind for kind in vars(records).values() if isinstance(kind, type) and kind.__module__ == records.__name__]
    assert len(kept) > 10
    assert not any(kind.__struct_config__.forbid_unknown_fields for kind in kept)


def test_schedules_are_written_as_the_reference_writes_them() -> None:
    """What is absent is not written as null. Source: spec/workers.md §11."""
    assert msgspec.to_builtins(records.Schedule(at=5)) == {"at": 5}


@pytest.mark.parametrize(
    ("ending", "action", "acted", "attempted"),
    [
        ("idle", "", False, False),
        ("blocked", "", False, False),
        ("stopped", "", False, False),
        ("decided", "noop", False, True),
        ("decided", "shell", True, True),
        ("failed", "shell", False, True),
        ("failed", "", False, True),
    ],
)
def test_what_counts_as_acted_and_attempted(ending: BeatEnding, action: str, acted: bool, attempted: bool) -> None:
    """A noop is a decision without an act; only a sought move serves a wake. Source: spec/beat.md §1, §15."""
    report = BeatReport(ending=ending, action=action)
    assert (report.acted, report.attempted) == (acted, attempted)


def test_every_fact_can_be_told() -> None:
    """A fact has a level people know and a sentence, or it is for the file alone. Source: spec/beat.md §14."""
    for name, fact in FACTS.items():
        assert fact.level in ("info", "step", "ok", "warn", "error"), name
        assert bool(fact.code) == bool(fact.text), name
        assert fact.row or fact.code, name


def test_errors_are_one_tree() -> None:
    """Every error a person meets is a LooopError with an exit code. Source: spec/cli.md §3."""
    raised = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert len(raised) > 5
    assert all(issubclass(kind, errors.LooopError) for kind in raised)
    assert {kind.exit_code for kind in raised} == {1, 2}
    assert errors.NoHome.exit_code == 2
