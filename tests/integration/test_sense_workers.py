"""How workers are shown: the reading `sys-sessions`, the state view, the prompt's asks and the reflexes' scope."""

import json
from pathlib import Path
from typing import Any

import pytest

from looop.contract.observe import state_of
from looop.sense.workers import worker_rows
from tests.fakes.fleet import FakeFleet, dead, session
from tests.fakes.house import Home


class Staffed(Home):
    """A house whose fleet the test decides; each beat notes the fleet's reading."""

    def staff(self, *sessions: Any, broken: str = "", **knobs: Any) -> None:
        self.house = FakeFleet(*sessions, broken=broken).into(self.furnish(**knobs))

    def reading(self) -> Any:
        self.run_beat()
        return self.snapshot("sys-sessions")

    def worker(self, worker: str = "w") -> Any:
        """What the detail says of one worker."""
        return self.reading()["detail"]["workers"][worker]

    def health(self) -> dict[str, str]:
        return {row["id"]: row["health"] for row in self.reading()["signal"]}

    def ask(self, worker: str, age_s: int, **fields: Any) -> None:
        number = len(list((self.root / "asks").glob("*.json"))) + 1 if (self.root / "asks").exists() else 1
        record = {"id": f"{worker}-{number}", "worker": worker, "prompt": "?", "ts": self.clock.now() - age_s}
        self.write(f"asks/{worker}-{number}.json", json.dumps(record | fields))


@pytest.fixture
def home(root: Path) -> Staffed:
    return Staffed(root)


def test_the_reading_is_that_of_the_reference(home: Staffed) -> None:
    """Rows by id with what wakes, ages in the detail, corpses included, the pulse left out. Source: spec/beat.md §4."""
    now = home.clock.now()
    home.write("verify/b.json", json.dumps({"ok": False, "exit_code": 1, "output": "red\n", "ts": now}))
    home.write("verify/c.json", json.dumps({"ok": True, "exit_code": 0, "output": "green\n", "ts": now}))
    for name in ("a-1", "a-12"):
        home.write(f"tells/{name}.json", json.dumps({"id": name, "worker": "a", "msg": "x"}))
    home.write("tells/consumed/a-3.1.x.json", "{}")
    home.staff(
        session("c", "killed", signal=9, started_at=now - 50, last_change=now - 20),
        session("d", started_at=None),
        session("e", "exited", started_at=now - 50, last_change=None),
        session("pulse"),
        session("a", started_at=now - 100, output_at=now - 3),
        session("b", "exited", exit_code=0, started_at=now - 50, last_change=now - 10, output_at=now - 12),
    )
    assert home.reading() == {
        "signal": [
            {"id": "a", "state": "running", "exit_code": None, "health": "busy", "started_at": now - 100},
            {"id": "b", "state": "exited", "exit_code": 0, "health": "dead", "started_at": now - 50, "verify": "fail"},
            {
                "id": "c",
                "state": "killed",
                "exit_code": None,
                "health": "dead",
                "started_at": now - 50,
                "verify": "pass",
            },
            {"id": "d", "state": "running", "exit_code": None, "health": "busy"},
            {"id": "e", "state": "exited", "exit_code": None, "health": "dead", "started_at": now - 50},
        ],
        "detail": {
            "count": 5,
            "workers": {
                "a": {"idle_s": 3, "uptime_s": 100, "derived_from": "output 3s ago", "pending_tells": 2},
                "b": {"verify_output": "red", "idle_s": 12, "uptime_s": 40, "derived_from": "it exited with 0"},
                "c": {"uptime_s": 30, "derived_from": "it was killed by signal 9"},
                "d": {"derived_from": "no output is on record"},
                "e": {"derived_from": "it exited"},
            },
        },
    }


def test_seconds_never_wake_the_loop_and_stuck_does_once(home: Staffed) -> None:
    """The hash moves when busy turns stuck, and at no other second. Source: spec/edge-cases.md item 175."""
    home.staff(session("w", started_at=home.clock.now(), output_at=home.clock.now()))
    hashes = [home.later(300).world_hash for _ in range(6)]
    assert hashes[0] == hashes[1] != hashes[2] == hashes[3] == hashes[4] == hashes[5]
    assert home.health() == {"w": "stuck"}


def test_the_threshold_is_a_knob(home: Staffed) -> None:
    """LOOOP_WORKER_STUCK_SECS decides, and 0 calls nobody stuck. Source: spec/workers.md §5."""
    quiet = session("w", output_at=home.clock.now() - 50)
    home.staff(quiet, worker_stuck_secs=50)
    assert home.worker()["derived_from"] == "no output for 50s (LOOOP_WORKER_STUCK_SECS 50)"
    home.staff(quiet, worker_stuck_secs=0)
    assert home.health() == {"w": "busy"}


def test_a_question_belongs_to_the_worker_its_record_names(home: Staffed) -> None:
    """Whatever its file is called. Source: spec/edge-cases.md item 273."""
    now = home.clock.now()
    home.write("asks/w-9.json", json.dumps({"id": "w-9", "worker": "v", "prompt": "?", "ts": now}))
    home.staff(session("w", output_at=now), session("v", output_at=now))
    assert home.health() == {"w": "busy", "v": "waiting-ask"}


def test_a_worker_without_output_is_busy(home: Staffed) -> None:
    """Unknown silence is held against nobody, and has no number. Source: spec/edge-cases.md item 174."""
    home.staff(session("w", started_at=home.clock.now() - 10**6))
    assert home.worker() == {"uptime_s": 10**6, "derived_from": "no output is on record"}
    assert home.health() == {"w": "busy"}


def test_who_waits_for_a_person_is_never_stuck(home: Staffed) -> None:
    """However old, the oldest open question speaks; an answer ends it, and the dead wait for nothing.

    Source: spec/edge-cases.md item 173.
    """
    now = home.clock.now()
    home.ask("w", 9 * 86400)
    home.ask("w", 60)
    home.staff(session("w", output_at=now - 9 * 86400), session("x", output_at=now))
    assert home.health() == {"w": "waiting-ask", "x": "busy"}
    assert home.worker()["ask_age_s"] == 9 * 86400
    assert home.worker()["derived_from"] == "ask w-1 has waited 9d"
    home.write("answers/w-1.json", '{"answer":"yes","ts":1}')
    assert home.worker()["derived_from"] == "ask w-2 has waited 1m"
    home.write("answers/w-2.json", '{"answer":"yes","ts":1}')
    assert home.health()["w"] == "stuck"
    home.ask("w", 5)
    home.staff(dead("w"))
    assert home.health() == {"w": "dead"} and "ask_age_s" not in home.worker()


def test_a_detached_ask_blocks_nobody(home: Staffed) -> None:
    """A legacy field says that its worker went on. Source: spec/workers.md §5, spec/edge-cases.md item 83."""
    home.ask("w", 60, detach=True)
    home.staff(session("w", output_at=home.clock.now()))
    assert home.health() == {"w": "busy"}


def test_an_unreadable_mailbox_is_said(home: Staffed) -> None:
    """It blocks nobody, what that rests on is said, and the asks are an error of their own. Source: spec/beat.md §0."""
    home.write("asks", "a file in the place of the folder")
    home.staff(session("w", output_at=home.clock.now() - 1000), dead("x"))
    home.run_beat()
    workers = home.snapshot("sys-sessions")["detail"]["workers"]
    assert workers["w"]["derived_from"].startswith("no output for 16m") and "asks cannot be read" in str(workers["w"])
    assert "asks cannot be read" not in str(workers["x"])
    assert home.snapshot("sys-asks")["signal"] == {"error": True}


def test_a_night_of_the_machine_makes_nobody_stuck(home: Staffed) -> None:
    """Right after a resume a healthy worker is busy, and wakes nobody; who stays silent is stuck a threshold later.

    Source: spec/edge-cases.md item 275.
    """
    home.staff(session("w", output_at=home.clock.now()))
    before = home.run_beat().world_hash
    home.clock.suspend(8 * 3600)
    assert home.run_beat().world_hash == before
    assert home.worker()["derived_from"] == "output 8h ago, counted as 0s: the machine slept"
    home.clock.move(899)
    assert home.health() == {"w": "busy"}
    home.clock.move(1)
    assert home.health() == {"w": "stuck"}


def test_a_reader_needs_no_beat_to_know_of_the_night(home: Staffed) -> None:
    """Who lists workers right after a resume sees them busy too, and writes nothing. Source: edge case 275."""
    home.staff(session("w", output_at=home.clock.now() - 10))
    home.run_beat()
    home.clock.suspend(8 * 3600)
    before = home.tree()
    (row,) = worker_rows(home.house, home.clock.now())
    assert (row.health, row.idle_s) == ("busy", 10) and home.tree() == before


def test_a_clock_that_was_set_is_not_a_night(home: Staffed) -> None:
    """Only the machine's own word for its sleep forgives silence. Source: spec/edge-cases.md item 275."""
    home.staff(session("w", output_at=home.clock.now()))
    home.run_beat()
    home.clock.move(8 * 3600)
    assert home.health() == {"w": "stuck"}


def test_a_verdict_waits_for_the_worker_to_be_dead(home: Staffed) -> None:
    """A live worker has none, whatever was left of a predecessor. Source: spec/edge-cases.md item 184."""
    home.write("verify/w.json", '{"ok":false,"exit_code":1,"output":"old","ts":1}')
    home.staff(session("w"))
    assert "verify" not in home.reading()["signal"][0] and "verify_output" not in home.worker()


@pytest.mark.parametrize(("data", "shown"), [('{"ok":tr', None), ('{"ok":true}', "pass"), ('{"ok":false}', "fail")])
def test_what_a_verdict_says(home: Staffed, data: str, shown: str | None) -> None:
    """A torn one says nothing, a failure without a word has no output to show. Source: spec/beat.md §4."""
    home.write("verify/w.json", data)
    home.staff(dead("w"))
    assert home.reading()["signal"][0].get("verify") == shown and "verify_output" not in home.worker()


def test_a_verdict_that_cannot_be_read_is_no_pass(home: Staffed) -> None:
    """It fails, naming what resists. Source: spec/beat.md §0, spec/edge-cases.md item 180."""
    (home.root / "verify").mkdir()
    (home.root / "verify/w.json").symlink_to("w.json")
    home.staff(dead("w"))
    assert home.reading()["signal"][0]["verify"] == "fail" and "verify/w.json" in home.worker()["verify_output"]


def test_a_fleet_that_cannot_be_listed_is_an_empty_list_that_says_why(home: Staffed) -> None:
    """The beat goes on with a warning, and the reason stands beside the empty list.

    Source: spec/workers.md §4, edge case 156.
    """
    home.staff(broken="cannot list sessions: Input/output error")
    found = home.reading()
    assert (
        found["signal"] == [] and found["detail"]["count"] == 0 and "Input/output error" in found["detail"]["message"]
    )
    assert [line["level"] for line in home.lines if line["event"] == "fleet.list_degraded"] == ["warn"]


def tags(home: Staffed) -> dict[str, str]:
    """The tag of each ask in the newest bundle."""
    memory = json.loads((home.bundles()[-1] / "memory.json").read_bytes())
    return {ask["id"]: ask["tag"] for ask in memory["asks"]}


def test_an_ask_is_live_while_a_live_worker_is_blocked_on_it(home: Staffed) -> None:
    """That of a dead worker, of nobody, and a detached one is STRANDED. Source: spec/edge-cases.md items 82, 83."""
    home.decides({"action": "noop"})
    for worker, fields in (("w", {}), ("w", {"detach": True}), ("gone", {}), ("setup", {})):
        home.ask(worker, 60, **fields)
    home.staff(session("w", "starting", alive=True), dead("gone"))
    home.run_beat(forced=True)
    assert tags(home) == {"w-1": "LIVE", "w-2": "STRANDED", "gone-3": "STRANDED", "setup-4": "STRANDED"}
    home.staff(dead("w"), dead("gone"))
    home.run_beat(forced=True)
    assert set(tags(home).values()) == {"STRANDED"}


def test_nobody_is_stranded_while_the_fleet_is_not_known(home: Staffed) -> None:
    """An ask that may block somebody is left alone. Source: spec/beat.md §0, spec/edge-cases.md item 82."""
    home.decides({"action": "noop"})
    home.ask("w", 60)
    home.ask("w", 60, detach=True)
    home.staff(broken="cannot list sessions")
    home.run_beat(forced=True)
    assert tags(home) == {"w-1": "LIVE", "w-2": "STRANDED"}


@pytest.mark.parametrize(
    ("sessions", "verdict", "condition"),
    [
        ([session("g")], None, 'worker.alive && worker.health == "busy" && worker.verify == null'),
        ([dead("g", 3)], None, '!worker.alive && worker.health == "dead" && worker.exit_code == 3'),
        ([dead("g")], True, 'worker.verify == "pass"'),
        ([dead("g")], False, 'worker.verify == "fail" && workers.exists(w, w.verify == "fail")'),
        ([], None, '!worker.alive && worker.verify == null && worker.health == "none"'),
    ],
)
def test_reflexes_see_health_and_verdict(
    home: Staffed, sessions: list[Any], verdict: bool | None, condition: str
) -> None:
    """`worker` of a goal has alive, health and verify, null without a verdict. Source: design §4."""
    home.write("goals/g.md", f"---\ndone: {json.dumps(condition)}\n---\n")
    if verdict is not None:
        home.write("verify/g.json", json.dumps({"ok": verdict}))
    home.staff(*sessions)
    home.run_beat()
    assert [(goal.status, goal.why) for goal in state_of(home.house).goal_status] == [("done", "")]


def test_the_state_shows_every_worker(home: Staffed) -> None:
    """Id, state, alive and exit code as the reference has them, with health and what it rests on. Spec/cli.md §2."""
    home.staff(session("b", output_at=home.clock.now()), dead("a", 3), session("pulse"))
    workers = state_of(home.house).workers
    assert [(row["id"], row["state"], row["alive"], row["exit_code"], row["health"]) for row in workers] == [
        ("a", "exited", False, 3, "dead"),
        ("b", "running", True, None, "busy"),
    ]
    home.staff(broken="cannot list sessions: Input/output error")
    view = state_of(home.house)
    assert view.workers == [] and "cannot list sessions: Input/output error" in view.damaged
