"""Every move through a real beat: its effect, its refusals, its journal line, and what it counts for."""

import json
import os
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest

from looop.act.perform import perform
from looop.model.errors import Missing
from looop.model.moves import WriteSensor
from looop.state.goals import Goals
from looop.state.seed import seed
from looop.store.files import FileStore
from tests.fakes.disk import FailingDisk, QuickDisk
from tests.fakes.house import Home


@pytest.fixture
def home(root: Path) -> Home:
    made = Home(root)
    made.write("PLAYBOOK.md", "first\n")
    return made


def decide(home: Home, **move: Any) -> Any:
    """One forced beat whose runner hands over this move, past any wait."""
    home.decides(move)
    home.furnish(backoff_cap=0)
    return home.run_beat(forced=True)


def acted(home: Home) -> dict[str, int]:
    return home.record(".goal-activity.json") or {}


def versions(home: Home) -> list[str]:
    """The kept bodies of the PLAYBOOK, in the order of their names."""
    playbook = home.house.playbook
    return [playbook.version(name).decode() for name in playbook.versions()]


def test_a_noop_only_says_so(home: Home) -> None:
    """Nothing changes but the journal, whose line is the reason or what the decision brings.

    Source: spec/beat.md §10.
    """
    before = {key: value for key, value in home.tree().items() if not key.startswith(("runs", ".", "snap"))}
    assert not decide(home, action="noop", reason="waiting").acted
    decide(home, action="noop", journal="  my own words ")
    assert home.journal() == ["noop · waiting", "my own words"]
    after = {key: value for key, value in home.tree().items() if not key.startswith(("runs", ".", "snap"))}
    assert set(after) - set(before) == {"journal.md", "cost.jsonl", "tick.log"}


def test_write_goal_creates_and_replaces(home: Home) -> None:
    """The body ends in exactly one newline if it had none; the goal is stamped and journaled.

    Source: spec/edge-cases.md item 113, spec/beat.md §10.
    """
    report = decide(home, action="write_goal", id="g", body="one")
    assert (report.acted, report.action, report.journal) == (True, "write_goal", "write-goal g")
    assert (home.root / "goals/g.md").read_bytes() == b"one\n"
    decide(home, action="write_goal", id="g", body="two\n\n")
    assert (home.root / "goals/g.md").read_bytes() == b"two\n\n"
    decide(home, action="write_goal", id="ärger-目標", body="")
    assert (home.root / "goals/ärger-目標.md").read_bytes() == b"\n"
    assert set(acted(home)) == {"g", "ärger-目標"}


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a\\b", "a b", "a\nb", "a\x00b", "x" * 65, "a\u202eb"])
@pytest.mark.parametrize(
    "move",
    [
        {"action": "write_goal", "body": "x"},
        {"action": "archive_goal"},
        {"action": "write_sensor", "script": "#!/bin/sh\n"},
        {"action": "write_schedule", "in_s": 5},
        {"action": "drop_schedule"},
        {"action": "start_worker", "prompt": "x"},
        {"action": "kill_worker"},
    ],
    ids=lambda move: move["action"],
)
def test_names_that_are_no_ids_are_refused(home: Home, move: dict[str, Any], name: str) -> None:
    """Traversal, dot files, separators, whitespace, control characters and long names write nothing.

    Source: spec/edge-cases.md item 112, design §3 row 9.
    """
    key = "name" if move["action"].endswith(("sensor", "schedule")) else "id"
    report = decide(home, **move, **{key: name})
    assert report.ending == "failed" and "expected 1-64 letters" in report.reason
    assert [line.split(" · ")[0] for line in home.journal()] == ["failed"] and acted(home) == {}
    assert not any((home.root / folder).exists() for folder in ("goals", "sensors", "schedules"))


def test_archive_goal_never_overwrites(home: Home) -> None:
    """The archive takes the name, then -1, -2; a missing goal fails and counts for nothing.

    Source: spec/edge-cases.md items 114, 115.
    """
    for body in ("one", "two", "three"):
        home.write("goals/g.md", body)
        assert decide(home, action="archive_goal", id="g").ending == "decided"
    archive = home.root / "goals/archive"
    assert [(archive / f"{name}.md").read_text() for name in ("g", "g-1", "g-2")] == ["one", "two", "three"]
    assert set(acted(home)) == {"g"}
    report = decide(home, action="archive_goal", id="nope")
    assert report.ending == "failed" and "no goal 'nope'" in report.reason
    assert set(acted(home)) == {"g"} and home.journal()[:3] == ["archive-goal g"] * 3


def test_a_sensor_is_executable_before_it_is_visible(root: Path) -> None:
    """The file is chmodded under its temporary name, also when it replaces one that is not executable.

    Source: spec/edge-cases.md item 116.
    """
    home = Home(root, disk=FailingDisk("nothing", 0))
    home.write("sensors/s.sh", "old", 0o600)
    decide(home, action="write_sensor", name="s", script="#!/bin/sh\necho 4")
    calls = home.disk.calls
    assert calls.index("chmod") < calls.index("rename", calls.index("chmod"))
    file = home.root / "sensors/s.sh"
    assert file.read_text() == "#!/bin/sh\necho 4\n" and stat.S_IMODE(file.stat().st_mode) == 0o755
    assert home.run_beat().ending == "decided" and home.snapshot("sensor-s") == 4


def test_a_sensor_without_its_first_line_is_refused(home: Home) -> None:
    """A script that could never run is not written, and the text says what is missing.

    Source: spec/edge-cases.md items 57, 110.
    """
    report = decide(home, action="write_sensor", name="s", script="echo 1")
    assert report.ending == "failed" and "#!" in report.reason
    assert not (home.root / "sensors").exists()


@pytest.mark.parametrize("path", ["move", "seed"])
def test_no_sensor_is_ever_seen_without_its_exec_bit(root: Path, path: str) -> None:
    """Whoever puts it there, a move or the seed, every moment it has its name it can be run.

    Source: spec/edge-cases.md item 116.
    """

    class Looking(QuickDisk):
        seen: ClassVar[list[bool]] = []

        def look(self) -> None:
            self.seen.extend(os.access(file, os.X_OK) for file in (root / "sensors").glob("[!.]*"))

        def sync(self, fd: int) -> None:
            self.look()

        def rename(self, source: str, target: str) -> None:
            super().rename(source, target)
            self.look()

        def write(self, fd: int, data: bytes) -> int:
            self.look()
            return super().write(fd, data)

    home, Looking.seen[:] = Home(root, disk=Looking()), []
    if path == "move":
        perform(home.house, WriteSensor("s", "#!/bin/sh\necho 1\n"), home.clock.now())
    else:
        seed(home.house.store, home.clock.now())
    assert Looking.seen and all(Looking.seen)


def test_goals_that_are_archived_at_once_all_survive(root: Path) -> None:
    """Four that write a goal of one name and archive it, again and again: every goal that left is in the archive.

    Source: spec/edge-cases.md item 114.
    """
    book, gone = Goals(FileStore(str(root), QuickDisk())), list[str]()

    def archives(me: int) -> None:
        for turn in range(25):
            book.write("g", f"{me}.{turn}")
            with suppress(Missing):
                gone.append(book.archive("g"))

    with ThreadPoolExecutor(4) as people:
        list(people.map(archives, range(4)))
    kept = [path.read_text() for path in (root / "goals/archive").glob("g*")]
    assert len(kept) == len(set(kept)) == len(set(gone)) == len(gone) >= 25


def test_the_playbook_keeps_its_past(home: Home) -> None:
    """The old body is kept, same-second versions stay in order, the oldest go; no file before means none kept.

    Source: spec/edge-cases.md item 117, spec/beat.md §10.1.
    """
    for number in range(3):
        decide(home, action="write_playbook", body=f"body {number}")
    assert versions(home) == ["first\n", "body 0\n", "body 1\n"]
    stamp, *later = home.house.playbook.versions()
    assert re.fullmatch(r"\d{8}-\d{6}", stamp) and later == [f"{stamp}-0001", f"{stamp}-0002"]
    home.furnish(playbook_keep=2)
    home.decides({"action": "write_playbook", "body": "last"})
    home.later(1, forced=True)
    assert versions(home) == ["body 1\n", "body 2\n"]
    (home.root / "PLAYBOOK.md").unlink()
    home.later(1, forced=True)
    assert len(versions(home)) == 2


def test_schedules_are_written_and_dropped(home: Home) -> None:
    """Exactly one trigger, within bounds; dropping what is not there is fine.

    Source: spec/beat.md §10, spec/edge-cases.md items 213, 217.
    """
    now = home.clock.now()
    assert decide(home, action="write_schedule", name="once", in_s=90, note="n").ending == "decided"
    decide(home, action="write_schedule", name="often", every_s=60)
    decide(home, action="write_schedule", name="never", in_s=10**40)
    assert home.record("schedules/once.json") == {"v": 1, "at": now + 90, "note": "n"}
    assert home.record("schedules/often.json") == {"v": 1, "every_s": 60, "anchor": now}
    assert home.record("schedules/never.json")["at"] > now + 10**10
    for wrong in ({"in_s": 0}, {"in_s": -1}, {"every_s": 59}, {"in_s": 1, "every_s": 60}, {}, {"in_s": True}):
        assert decide(home, action="write_schedule", name="bad", **wrong).ending == "failed", wrong
    assert home.record("schedules/bad.json") is None
    for _ in range(2):
        assert decide(home, action="drop_schedule", name="once").ending == "decided"
    assert home.record("schedules/once.json") is None
    assert home.journal()[:2] == [
        "write-schedule once (one-shot, due in 90s)",
        "write-schedule often (recurring, every 60s)",
    ]


def test_only_moves_on_a_goal_count_for_it(home: Home) -> None:
    """noop, run_shell, sensors, the PLAYBOOK and schedules stamp no goal.

    Source: spec/edge-cases.md item 124.
    """
    for move in (
        {"action": "noop"},
        {"action": "run_shell", "cmd": "true"},
        {"action": "write_sensor", "name": "g", "script": "#!/bin/sh\necho 1"},
        {"action": "write_playbook", "body": "x"},
        {"action": "write_schedule", "name": "g", "in_s": 9},
        {"action": "drop_schedule", "name": "g"},
    ):
        assert decide(home, **move).ending == "decided"
    assert acted(home) == {}


def test_a_worker_that_cannot_be_is_a_failed_move(home: Home) -> None:
    """The refusal is a failed move whose text a model can act on, and its goal is not stamped.

    Source: spec/edge-cases.md items 110, 167.
    """
    report = decide(home, action="start_worker", id="g", prompt="x")
    assert report.ending == "failed" and "no worker_command is configured" in report.reason
    report = decide(home, action="kill_worker", id="g")
    assert report.ending == "failed" and "no session 'g'" in report.reason
    assert acted(home) == {}


def test_the_journal_has_one_stamped_line_per_move(home: Home) -> None:
    """Line ends become blanks and looop stamps local time; a decision's text cannot forge a second line.

    Source: spec/edge-cases.md items 87, 119, 279.
    """
    home.clock._offset_s = 3600
    decide(home, action="noop", journal="one\n- 2020-01-01 00:00 two\r\nthree")
    line = (home.root / "journal.md").read_text()
    assert re.fullmatch(r"- \d{4}-\d\d-\d\d \d\d:\d\d one - 2020-01-01 00:00 two  three\n", line)
    assert int(line[13:15]) == (home.clock.now() // 3600 + 1) % 24


def test_a_failed_move_is_journaled_and_leaves_the_world_open(home: Home) -> None:
    """One line says what failed and why; no stamp, the world open, the reason in LAST FAILURE.

    Source: spec/beat.md §10, §13; design §6.
    """
    home.decides({"action": "archive_goal", "id": "nope"})
    assert home.run_beat().ending == "failed"
    why = "no goal 'nope': `looop goal list` shows the live ones"
    assert home.journal() == [f"failed · agent · archive-goal nope: {why}"]
    assert not (home.root / ".last-tick-hash").exists()
    assert "no goal 'nope'" in home.record(".last-failure.json")["error"]
    assert home.outcome()["error"] == home.record(".last-failure.json")["error"]
    assert home.outcome()["action"] == "archive_goal"


def test_a_goal_that_could_not_be_judged_is_not_written(home: Home) -> None:
    """Broken front matter is refused with its reason, and the old goal stays.

    Source: design §4.
    """
    home.write("goals/g.md", "old\n")
    report = decide(home, action="write_goal", id="g", body="---\ndone: sensor.x >\n---\n")
    assert report.ending == "failed" and "goal g not written" in report.reason
    assert (home.root / "goals/g.md").read_text() == "old\n"


def test_a_stamp_that_cannot_be_kept_is_a_warning(home: Home) -> None:
    """Goal activity is lossy: the move stands, and what cannot be read is not written over.

    Source: spec/edge-cases.md item 125.
    """
    (home.root / ".goal-activity.json").mkdir()
    assert decide(home, action="write_goal", id="g", body="x").ending == "decided"
    assert "cannot read" in home.said and ".goal-activity.json" in home.said
    assert json.loads((home.bundles()[-1] / "outcome.json").read_text())["ending"] == "decided"


def test_a_runner_writes_no_reflex_that_could_never_run(home: Home) -> None:
    """A goal with a reflex that the tripwire refuses is refused whoever writes it, and the next prompt says why;
    a person may allow it.

    Source: design §4, spec/beat.md §11.
    """
    body = '---\nreflexes:\n  - when: now > 0\n    move: {action: run_shell, cmd: "rm -rf /"}\n---\n'
    report = decide(home, action="write_goal", id="g", body=body)
    assert report.ending == "failed"
    assert report.reason.startswith("goal g not written: reflex #0 would never run: ")
    assert not (home.root / "goals/g.md").exists()
    home.decides({"action": "write_goal", "id": "g", "body": body})
    home.furnish(backoff_cap=0, shell_allow_dangerous=1)
    assert home.run_beat(forced=True).ending == "decided"
    assert report.reason in home.prompt
