"""The system readings, exactly as spec/beat.md §4 has them, and only what should wake the loop in their signal."""

import json
from pathlib import Path

import pytest

from looop.sense.system import system_readings
from tests.fakes.house import Home


@pytest.fixture
def home(root: Path) -> Home:
    return Home(root)


def raw(home: Home, stem: str) -> str:
    return (home.root / f"snapshots/{stem}.json").read_text()


def test_an_empty_house_has_five_readings(home: Home) -> None:
    """Every system reading is there from the first beat, as one line of compact JSON.

    Source: spec/beat.md §4.
    """
    home.run_beat()
    assert {path.name: path.read_text() for path in (home.root / "snapshots").iterdir() if path.name[0] != "."} == {
        "sys-sessions.json": '{"signal":[],"detail":{"count":0,"workers":{}}}\n',
        "sys-claims.json": '{"signal":[]}\n',
        "sys-goals.json": '{"signal":{},"detail":{"goals":{}}}\n',
        "sys-schedules.json": '{"signal":{},"detail":{}}\n',
        "sys-asks.json": '{"signal":{"pending":[]},"detail":{}}\n',
    }


def test_claims_are_sorted_and_a_damaged_one_is_null(home: Home) -> None:
    """Each lease stands with its record, null where it does not parse; there is no detail key.

    Source: spec/beat.md §4, spec/edge-cases.md item 193.
    """
    home.write("claims/b.json", '{"session": "w", "ts": 5}')
    home.write("claims/a.json", '{"session":')
    home.write("claims/c.json", b'{"session": "\xff"}')
    home.write("claims/d.json", "")
    home.write("claims/e.json/x", "")
    home.write("claims/.lock", "")
    assert json.loads(system_readings(home.house, home.clock.now())["sys-claims"]) == {
        "signal": [
            {"name": "a", "claim": None},
            {"name": "b", "claim": {"session": "w", "ts": 5}},
            {"name": "c", "claim": None},
            {"name": "d", "claim": None},
        ]
    }
    home.run_beat()
    assert home.snapshot("sys-claims") == {"signal": [{"name": "d", "claim": None}]}, "a beat frees what nobody holds"


def test_goals_have_their_ages_in_the_detail(home: Home) -> None:
    """When each goal was acted on is detail, so time alone never wakes the loop.

    Source: spec/beat.md §4, spec/edge-cases.md item 85.
    """
    now = home.clock.now()
    home.write("goals/old.md", "x")
    home.write("goals/new.md", "x")
    home.write("goals/ahead.md", "x")
    home.write("goals/archive/done.md", "x")
    home.write("goals/folder.md/x", "x")
    home.write(".goal-activity.json", json.dumps({"old": now - 70, "ahead": now + 9, "elsewhere": 1}))
    first = home.run_beat()
    assert home.snapshot("sys-goals") == {
        "signal": {},
        "detail": {
            "goals": {
                "ahead": {"last_acted_unix": now + 9, "age_s": 0},
                "new": {"last_acted_unix": None, "age_s": None},
                "old": {"last_acted_unix": now - 70, "age_s": 70},
            }
        },
    }
    assert home.later(10).world_hash == first.world_hash
    assert home.snapshot("sys-goals")["detail"]["goals"]["old"]["age_s"] == 80


def test_schedules_show_their_state_and_not_the_clock(home: Home) -> None:
    """One-shots are pending or due, recurring ones count periods, and what makes no sense stays, stably.

    Source: spec/beat.md §4, spec/edge-cases.md items 213-219.
    """
    now = home.clock.now()
    home.write("schedules/soon.json", json.dumps({"at": now + 30, "note": "n"}))
    home.write("schedules/past.json", json.dumps({"at": now - 30}))
    home.write("schedules/daily.json", json.dumps({"every_s": 100, "anchor": now - 250}))
    home.write("schedules/edge.json", json.dumps({"every_s": 100, "anchor": now - 200}))
    home.write("schedules/both.json", json.dumps({"at": 1, "every_s": 100}))
    home.write("schedules/fast.json", json.dumps({"every_s": 59, "note": "m"}))
    home.write("schedules/huge.json", json.dumps({"at": 10**30}))
    home.write("schedules/broken.json", "{")
    first = home.run_beat()
    found = home.snapshot("sys-schedules")
    assert found["signal"] == {
        "both": "invalid",
        "broken": "unparseable",
        "daily": {"period": 2},
        "edge": {"period": 2},
        "fast": "invalid",
        "huge": "pending",
        "past": "due",
        "soon": "pending",
    }
    assert found["detail"]["soon"] == {"kind": "one-shot", "due_in_s": 30, "note": "n"}
    assert found["detail"]["past"] == {"kind": "one-shot", "due_in_s": 0, "note": None}
    assert found["detail"]["daily"] == {"kind": "recurring", "every_s": 100, "next_due_in_s": 50, "note": None}
    assert found["detail"]["edge"]["next_due_in_s"] == 0
    assert found["detail"]["fast"] == {"kind": "invalid", "note": "m"}
    assert found["detail"]["broken"] == {"kind": "unparseable"}
    assert home.later(10).world_hash == first.world_hash
    assert home.later(20).world_hash != first.world_hash


def test_asks_wait_in_order_and_answered_ones_leave(home: Home) -> None:
    """Pending asks stand in (ts, id) order; an answer ends one, a damaged answer does not.

    Source: spec/beat.md §4, spec/edge-cases.md items 198, 273.
    """
    now = home.clock.now()
    for ask, ts in (("w-2", now - 5), ("w-1", now - 5), ("v-1", now - 50), ("u-1", now - 1), ("t-1", now)):
        home.write(f"asks/{ask}.json", json.dumps({"id": ask, "worker": ask[0], "prompt": "?", "ts": ts}))
    home.write("asks/broken.json", "{")
    home.write("answers/u-1.json", '{"answer": "yes"}')
    home.write("answers/t-1.json", '{"ans')
    home.run_beat()
    assert home.snapshot("sys-asks") == {
        "signal": {"pending": ["v-1", "w-1", "w-2", "t-1"]},
        "detail": {
            "v-1": {"worker": "v", "age_s": 50, "urgency": "normal"},
            "w-1": {"worker": "w", "age_s": 5, "urgency": "normal"},
            "w-2": {"worker": "w", "age_s": 5, "urgency": "normal"},
            "t-1": {"worker": "t", "age_s": 0, "urgency": "normal"},
        },
    }


@pytest.mark.parametrize(
    ("folder", "stem"), [("claims", "sys-claims"), ("schedules", "sys-schedules"), ("asks", "sys-asks")]
)
def test_a_folder_that_cannot_be_listed_reads_as_an_error(home: Home, folder: str, stem: str) -> None:
    """A file in the place of a folder is an error reading that names it, stable from beat to beat, never `empty`.

    Source: spec/beat.md §4 (never fail), spec/edge-cases.md item 156.
    """
    home.write(folder, "")
    home.run_beat()
    found = home.snapshot(stem)
    assert found["signal"] == {"error": True}
    assert folder in found["detail"]["message"]
    (home.root / folder).unlink()
    home.run_beat()
    assert "error" not in raw(home, stem)


def test_an_activity_of_any_size_is_borne(home: Home) -> None:
    """Numbers beyond 64 bits in hand-written records crash neither reading nor bundle.

    Source: spec/edge-cases.md items 20, 36.
    """
    home.write("goals/g.md", "x")
    home.write(".goal-activity.json", json.dumps({"g": -(10**40)}))
    home.write("asks/a-1.json", json.dumps({"id": "a-1", "worker": "a", "prompt": "?", "ts": -(10**40)}))
    home.sensor("s", "echo '{\"signal\": 123456789012345678901234567890}'")
    home.decides({"action": "noop"})
    assert home.run_beat().ending == "decided"
    assert home.snapshot("sys-goals")["detail"]["goals"]["g"]["age_s"] > 10**40
