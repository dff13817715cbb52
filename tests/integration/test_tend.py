"""What every beat does for the fleet: orphans, retention, leases, debris. Real sessions, real processes.

Source: spec/workers.md §7, §8, spec/beat.md §1 steps 3-6.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from looop.act.tend import tend
from looop.act.verify import reconcile
from looop.act.worktrees import make, session_ttl
from looop.config.file import DEFAULT_SESSION_TTL_S as TTL
from looop.model.records import Ask
from looop.session.kin import is_alive
from looop.state.sessions import PULSE
from tests.fakes.crew import Crew, no_worker_left, processes_of
from tests.fakes.disk import QuickDisk
from tests.fakes.fleet import FakeFleet, session
from tests.fakes.house import SYSTEM_PATH
from tests.fakes.racing import Track, side_by_side
from tests.fakes.repository import repository
from tests.fakes.waiting import until

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at processes in /proc")
DEAF = "trap '' HUP TERM; setsid -f sleep 600; sleep 600 & sleep 600; : {{prompt_file}}"
OVER = "exit 0; : {{prompt_file}}"


class Dawdling(QuickDisk):
    """Takes its time before it reads a verify command, so that others can do much meanwhile."""

    def read(self, path: str) -> tuple[bytes, int]:
        if path.endswith(".cmd"):
            time.sleep(0.15)
        return super().read(path)


@pytest.fixture
def home(root: Path) -> Iterator[Crew]:
    with no_worker_left(root):
        made = Crew(root)
        made.configure()
        yield made


def orphan(home: Crew, worker: str = "w", command: str = DEAF) -> None:
    """A worker whose supervisor has died."""
    home.start(worker, command)
    found = home.session(worker)
    if command == DEAF:
        until(lambda: len(processes_of(home.root)) >= 5, what="the worker's processes")
    os.kill(found.pid, signal.SIGKILL)
    until(lambda: not is_alive(found.pid, found.born), what="the supervisor's end")


def over(home: Crew, *workers: str, verify: str | None = None) -> None:
    """Workers that have ended."""
    for worker in workers:
        home.start(worker, OVER, verify)
    for worker in workers:
        home.ended(worker)


def ids(home: Crew) -> list[str]:
    return [found.id for found in home.house.fleet.all()]


def test_what_a_dead_supervisor_left_is_ended_and_told_once(home: Crew) -> None:
    """Its processes are gone, record, journal and events say so, and the next beat has nothing to say about it.

    Source: users.md row Orphans, spec/edge-cases.md item 154, docs/continuity.md.
    """
    orphan(home)
    home.run_beat()
    assert processes_of(home.root) == []
    found = home.session()
    assert (found.state, found.exit_code) == ("killed", None) and "supervisor died" in found.problem
    (row,) = home.events("worker_orphaned")
    assert row["worker"] == "w" and row["left"] >= 3
    assert f"the supervisor of w died; {row['left']} processes it left were ended" in home.journal()
    (seen,) = home.snapshot("sys-sessions")["signal"]
    assert (seen["state"], seen["health"]) == ("killed", "dead")
    home.later(10)
    home.furnish()
    home.later(10)
    assert sum("supervisor of w" in line for line in home.journal()) == 1
    assert len(home.events("worker_orphaned")) == 1


def test_an_orphan_is_judged_in_the_same_beat(home: Crew) -> None:
    """Its verify runs after its processes are gone. Source: spec/edge-cases.md item 176."""
    home.start(command=DEAF, verify="echo judged")
    until(lambda: len(processes_of(home.root)) >= 5)
    os.kill(home.session().pid, signal.SIGKILL)
    until(lambda: not home.session().alive)
    home.run_beat()
    assert home.record("verify/w.json")["ok"] is True and processes_of(home.root) == []


def test_an_orphan_whose_record_cannot_be_written_is_ended_all_the_same(home: Crew) -> None:
    """That costs its record, not the beat; each beat says so until it can be. Source: spec/beat.md §1."""
    orphan(home)
    status = home.root / "sessions/w/status.json"
    status.unlink()
    status.mkdir()
    home.run_beat()
    home.later(10)
    assert processes_of(home.root) == []
    assert home.events("worker_orphaned") == []
    assert [row["guard"] for row in home.events("guard_degraded")] == ["orphans", "orphans"]
    status.rmdir()
    home.later(10)
    assert len(home.events("worker_orphaned")) == 1


def test_nothing_goes_while_nobody_can_tell_how_long_it_is_kept(home: Crew) -> None:
    """A config that cannot be read shortens nothing: the session stays, and it is said. Source: spec/workers.md §7."""
    over(home, "w")
    home.run_beat()
    home.write("config.json", "{broken")
    home.later(30 * TTL)
    assert ids(home) == ["w"]
    assert "retention" in [row["guard"] for row in home.events("guard_degraded")]
    home.write("config.json", "{}")
    home.later(10)
    assert ids(home) == []


@pytest.mark.parametrize(
    ("knob", "config", "ttl"),
    [(None, None, TTL), (None, 7200, 7200), (3600, 7200, 3600), (0, 7200, 0), (None, 0, 0)],
)
def test_environment_over_config_over_three_days(home: Crew, knob: int | None, config: Any, ttl: int) -> None:
    """How long what is over is kept. Source: spec/workers.md §7."""
    over(home, "w")
    home.run_beat()
    if config is not None:
        home.configure(session_ttl=config)
    home.furnish(**({} if knob is None else {"session_ttl": knob}))
    assert session_ttl(home.house) == ttl
    if ttl:
        home.later(ttl - 10)
        assert ids(home) == ["w"]
    home.later(20)
    assert ids(home) == []


def test_what_is_old_goes_with_all_that_was_kept_for_it(home: Crew) -> None:
    """Transcript, verdict and tells go, in one event; its prompt stays. Source: spec/workers.md §7, edge case 206."""
    over(home, "a", "b", verify="exit 1")
    home.write("tells/a-1.json", json.dumps({"v": 1, "id": "a-1", "worker": "a", "msg": "news", "ts": 1}))
    home.run_beat()
    home.later(TTL + 5)
    assert ids(home) == []
    assert not list(home.root.glob("verify/[ab].*")) and not list(home.root.glob("tells/*.json"))
    assert sorted(path.name for path in home.root.glob("prompts/*.md")) == ["a.md", "b.md"]
    assert [row["workers"] for row in home.events("worker_pruned")] == ["a, b"]
    assert [name for name in os.listdir(home.root / "sessions") if name[0] != "."] == []


def test_without_retention_a_verdict_is_still_seen_once(home: Crew) -> None:
    """TTL 0 removes what is over at the next beat, but not before a beat has shown the verdict.

    Source: spec/edge-cases.md item 168, spec/workers.md §6.
    """
    home.furnish(session_ttl=0)
    over(home, "judged", verify="exit 1")
    over(home, "plain")
    home.later(2)
    assert ids(home) == ["judged"]
    assert [(row["id"], row["verify"]) for row in home.snapshot("sys-sessions")["signal"]] == [("judged", "fail")]
    home.later(1)
    assert ids(home) == [] and home.snapshot("sys-sessions")["signal"] == []


def test_what_is_still_to_be_judged_stays(home: Crew) -> None:
    """Also where nobody can list what is owed. Source: spec/workers.md §6, edge cases 178, 179."""
    home.furnish(session_ttl=0)
    over(home, "w", verify="exit 1")
    shutil.move(home.root / "verify", home.root / "aside")
    home.write("verify", "a file in the place of the folder")
    home.run_beat()
    assert ids(home) == ["w"] and "worker.verify_skipped" in home.codes()
    (home.root / "verify").unlink()
    shutil.move(home.root / "aside", home.root / "verify")
    home.later(1)
    assert ids(home) == ["w"]
    home.later(1)
    assert ids(home) == []


def test_who_lives_is_never_touched(home: Crew) -> None:
    """However old its folder looks, and the pulse's session just as little. Source: spec/workers.md §7."""
    home.furnish(session_ttl=0)
    home.start()
    home.house.fleet.start(PULSE, ["sleep", "600"], home.house.setting.env, max_log=0)
    for name in ("w", PULSE):
        os.utime(home.root / "sessions" / name, (1, 1))
    home.later(10 * TTL)
    assert ids(home) == [PULSE, "w"] and all(found.alive for found in home.house.fleet.all())


def test_what_nobody_can_date_or_read_stays(home: Crew) -> None:
    """A record that is none, a folder without one, a file: none of them is ever removed. Source: edge case 168."""
    over(home, "future")
    os.utime(home.root / "sessions/future", (2**33, 2**33))
    home.write("sessions/torn/meta.json", '{"id": "to')
    home.write("sessions/bare/output.log", "x")
    home.write("sessions/file", "x")
    for name in ("torn", "bare", "file"):
        os.utime(home.root / "sessions" / name, (1, 1))
    home.furnish(session_ttl=0)
    home.later(TTL)
    there = {name for name in os.listdir(home.root / "sessions") if name[0] != "."}
    assert there == {"future", "torn", "bare", "file"}


def test_a_session_without_a_date_stays(home: Crew) -> None:
    """What cannot be dated is not old. Source: spec/edge-cases.md item 168."""
    home.write("sessions/w/meta.json", "{}")
    home.furnish(session_ttl=0)
    house = FakeFleet(session("w", "exited", changed_at=None)).into(home.house)
    tend(house, home.clock.now())
    assert (home.root / "sessions/w").exists() and home.events("worker_pruned") == []


def test_the_debris_of_starts_goes(home: Crew) -> None:
    """A half-made folder of a process that is no more is removed, one of a process at work is not.

    Source: spec/workers.md §3.3, §7.
    """
    over(home, "w")
    dead = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True).stdout.strip()
    home.write(f"sessions/.{dead}.x.0a0a0a0a.tmp/meta.json", "{}")
    home.write(f"sessions/.{os.getpid()}..0a0a0a0a.tmp/meta.json", "{}")
    home.run_beat()
    left = [name for name in os.listdir(home.root / "sessions") if name.endswith(".tmp")]
    assert left == [f".{os.getpid()}..0a0a0a0a.tmp"] and ids(home) == ["w"]


def test_leases_end_with_their_session(home: Crew) -> None:
    """Whose holder is dead, an orphan or nobody is free in the same beat, and that is told; a live one's is not.

    Source: spec/workers.md §8, edge case 186.
    """
    home.start("live")
    over(home, "dead")
    orphan(home, "lost", "sleep 600; : {{prompt_file}}")
    for name in ("live", "dead", "lost", "nobody"):
        home.write(f"claims/{name}.json", json.dumps({"session": name, "name": name}))
    home.run_beat()
    assert [path.stem for path in sorted((home.root / "claims").glob("*.json"))] == ["live"]
    assert [(row["claim"], row["session"]) for row in home.events("claim_reaped")] == [
        ("dead", "dead"),
        ("lost", "lost"),
        ("nobody", "nobody"),
    ]


def test_a_fleet_nobody_can_list_is_left_alone(home: Crew) -> None:
    """No lease, no verify, no tell is touched, it is said, and the beat goes on. Source: edge cases 156, 157, 179."""
    home.start("w", verify="echo ran >> ran")
    home.write("claims/c.json", json.dumps({"session": "gone", "name": "c"}))
    home.write("tells/w-1.json", json.dumps({"v": 1, "id": "w-1", "worker": "w", "msg": "news", "ts": 1}))
    shutil.move(home.root / "sessions", home.root / "aside")
    home.write("sessions", "a file in the place of the folder")
    home.clock.move(2 * TTL)
    home.furnish(session_ttl=0)
    before = home.found()
    tend(home.house, home.clock.now())
    assert home.found() == before
    assert home.codes() == ["worker.start", "claim.reap_skipped", "worker.verify_skipped"]
    assert all("Not a directory" in line["msg"] for line in home.lines[1:])
    assert home.run_beat().ending in ("decided", "idle")
    (home.root / "sessions").unlink()
    shutil.move(home.root / "aside", home.root / "sessions")
    assert home.session().alive


@pytest.mark.parametrize("what", ["sessions", "verify", "tells", "claims", "asks", "prompts", ".lock", "journal.md"])
@pytest.mark.parametrize("kind", ["file", "folder", "loop"])
def test_whatever_is_in_the_way_a_beat_does_not_raise(home: Crew, what: str, kind: str) -> None:
    """Each step costs only itself: whatever stands in the place of a folder or file. Source: spec/beat.md §1."""
    home.furnish(session_ttl=0)
    over(home, "a", verify="exit 1")
    orphan(home, "b", "sleep 600; : {{prompt_file}}")
    place = home.root / what
    if place.exists():
        shutil.move(place, home.root / "aside")
    if kind == "file":
        place.write_text("x")
    elif kind == "folder":
        place.mkdir()
    else:
        place.symlink_to(place)
    for _ in range(3):
        assert home.later(10).ending in ("decided", "idle", "blocked", "failed")
    shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else place.unlink(missing_ok=True)
    if (home.root / "aside").exists():
        shutil.move(home.root / "aside", place)


def test_a_worker_that_starts_while_its_ancestor_is_removed_keeps_its_verify(home: Crew) -> None:
    """Of a removal and a start under one id neither takes away what belongs to the other's. Source: edge case 184."""
    home.furnish(session_ttl=0, max_workers=0)
    track, turns = Track(), range(1, 5)
    over(home, *(f"w{turn}" for turn in turns))

    def tender() -> bytes:
        home.disk = Dawdling()
        home.furnish(session_ttl=0)
        for turn in turns:
            track.meet(0, 1, turn)
            tend(home.house, home.clock.now() + 5)
        return b""

    def starter() -> bytes:
        for turn in turns:
            track.meet(1, 0, turn)
            home.start(f"w{turn}", verify="true")
        return b""

    side_by_side(tender, starter)
    assert home.house.verify.obligations() == [f"w{turn}" for turn in turns]
    assert all(home.session(f"w{turn}").alive for turn in turns)


@pytest.mark.skipif(shutil.which("git", path=SYSTEM_PATH) is None, reason="needs git")
def test_worktrees_go_with_the_session_that_is_removed(home: Crew, tmp_path: Path) -> None:
    """With nothing in them that would be lost they go when a session does; until then git is not asked.

    Source: spec/workers.md §7; act/worktrees.py, Note [What is work].
    """
    repo = repository(tmp_path / "app")
    over(home, "w", "dirty")
    home.start("live")
    paths = {name: Path(make(home.house, str(repo), name).path) for name in ("w", "dirty", "live", "nobody")}
    (paths["dirty"] / "new").write_text("work\n")
    home.run_beat()
    home.furnish(session_ttl=10 * TTL)
    home.later(2 * TTL)
    assert all(path.exists() for path in paths.values())
    home.furnish()
    home.later(10)
    assert ids(home) == ["live"]
    assert {name for name, path in paths.items() if path.exists()} == {"dirty", "live"}
    (row,) = home.events("worktrees_pruned")
    assert str(paths["w"]) in row["worktrees"] and str(paths["nobody"]) in row["worktrees"]
    assert home.events("guard_degraded") == []


def test_worktrees_that_cannot_be_looked_at_cost_nothing(home: Crew) -> None:
    """A removal is a removal, whatever is in the place of the checkouts. Source: spec/beat.md §1."""
    over(home, "w")
    home.write("worktrees", "a file in the place of the folder")
    home.later(TTL + 5)
    assert ids(home) == []
    assert [row["guard"] for row in home.events("guard_degraded")] == ["worktrees"]


def test_who_dies_right_before_it_is_judged_is_at_work_no_more(home: Crew) -> None:
    """Its supervisor may die between two steps of a beat: what it left is ended before its verify looks.

    Source: spec/edge-cases.md item 176, users.md row Orphans.
    """
    home.start(command=f"echo $$ > pid; {DEAF}", verify="! grep -qs 'State:.[RSDT]' /proc/$(cat pid)/status")
    until(lambda: len(processes_of(home.root)) >= 5)
    os.kill(home.session().pid, signal.SIGKILL)
    until(lambda: not home.session().alive)
    reconcile(home.house, home.clock.now())
    assert processes_of(home.root) == []
    assert home.record("verify/w.json")["ok"] is True and home.session().state == "killed"
    assert len(home.events("worker_orphaned")) == 1


def test_questions_settled_long_ago_are_put_away(home: Crew) -> None:
    """Answered longer ago than sessions are kept, a question goes to the archive with its answer, and that is said.

    A fresh answer stays for an hour however short the retention: its worker may be about to read it.
    Source: design §3 row 10; edge case 271.
    """
    box, now = home.house.mailbox, home.clock.now()
    for _ in range(3):
        box.ask(Ask(id="", worker="w", prompt="?", ts=now), 0)
    for ask, age in (("w-1", TTL + 60), ("w-2", TTL - 60)):
        box.answer(ask, "yes", now)
        os.utime(home.root / f"answers/{ask}.json", (now - age, now - age))
    tend(home.house, now)
    assert sorted(path.name for path in (home.root / "asks").glob("*.json")) == ["w-2.json", "w-3.json"]
    assert sorted(path.name for path in (home.root / "asks/archive").glob("*.json")) == ["w-1.answer.json", "w-1.json"]
    assert [row["asks"] for row in home.events("asks_archived")] == ["w-1"]
    home.furnish(session_ttl=0)
    home.house.mailbox.answer("w-3", "yes", now)
    os.utime(home.root / "answers/w-3.json", (now - 3000, now - 3000))
    tend(home.house, now)
    assert [path.name for path in (home.root / "answers").glob("*.json")] == ["w-3.json"]
    tend(home.house, now)
    assert len(home.events("asks_archived")) == 2


def test_a_question_that_cannot_be_put_away_costs_only_itself(home: Crew) -> None:
    """Without a place for it the question stays, which is said, and the beat goes on. Source: spec/beat.md §1."""
    box, now = home.house.mailbox, home.clock.now()
    box.ask(Ask(id="", worker="w", prompt="?", ts=now), 0)
    box.answer("w-1", "yes", now)
    os.utime(home.root / "answers/w-1.json", (1, 1))
    home.write("asks/archive", "a file")
    tend(home.house, now)
    assert [row["guard"] for row in home.events("guard_degraded")] == ["archive"]
    assert box.pending(now).pending == []
