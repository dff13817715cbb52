"""run_shell through a real beat: screened, bounded, announced; what it printed, and what a kill leaves of it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from looop.rules.world import digest
from tests.fakes.house import SYSTEM_PATH, Home
from tests.fakes.waiting import gone, until

REPO = Path(__file__).parents[2]
BEAT = """
import sys
from pathlib import Path
from tests.fakes.house import Home
home = Home(Path(sys.argv[1]))
home.decides(sys.argv[2]) if len(sys.argv) > 2 else None
home.run_beat()
"""
SLOW = "echo started >> began; until [ -e go ]; do sleep 0.01; done; echo ended >> ended"
REFLEX = """\
---
reflexes:
  - when: sensor.s.signal == 1
    move: {{action: {move}}}
---
"""


@pytest.fixture
def home(root: Path) -> Home:
    return Home(root)


def shell(home: Home, cmd: str, **more: Any) -> Any:
    """One forced beat whose runner hands over this command, past any wait."""
    home.decides({"action": "run_shell", "cmd": cmd, **more})
    return home.later(400, forced=True)


def wals(home: Home) -> list[Path]:
    return sorted(home.root.glob(".action-wal*"))


def test_a_command_runs_in_the_data_dir_and_is_shown_once(home: Home) -> None:
    """Its output and exit code stand in the next prompt and in no later one.

    Source: spec/beat.md §11, §8.9, spec/edge-cases.md item 122.
    """
    report = shell(home, "pwd -P; cat; echo err >&2", reason="look around")
    assert (report.ending, report.journal, report.next_interval_s) == ("decided", "run-shell · look around", 5)
    kept = home.record(".last-shell.json")
    assert kept | {"ts": 0} == {
        "v": 1,
        "ts": 0,
        "cmd": "pwd -P; cat; echo err >&2",
        "exit_code": 0,
        "output": f"{home.root.resolve()}\nerr\n",
    }
    home.decides({"action": "noop"})
    home.run_beat(forced=True)
    assert "=== RUN_SHELL OUTPUT" in home.prompt and f"exit code: 0\n{home.root.resolve()}" in home.prompt
    assert home.record(".last-shell.json") is None
    home.run_beat(forced=True)
    assert "=== RUN_SHELL OUTPUT" not in home.prompt


def test_a_nudge_of_ones_own_is_respected(home: Home) -> None:
    """Five seconds are implicit only where the decision says nothing.

    Source: spec/edge-cases.md item 123.
    """
    assert shell(home, "true", next_interval_s=90).next_interval_s == 90
    assert shell(home, "true").next_interval_s == 5
    assert shell(home, "false").next_interval_s is None


def test_a_failing_command_fails_the_beat_with_its_tail(home: Home) -> None:
    """Exit code, label and the end of the output reach LAST FAILURE; the record keeps 2048 characters.

    Source: spec/beat.md §11.
    """
    report = shell(home, "printf %05000d 7; printf '\\377'; exit 9", reason="why")
    assert report.ending == "failed" and "exit code 9" in report.reason and "'why'" in report.reason
    assert report.reason.endswith("0007\ufffd") and len(report.reason) < 600
    kept = home.record(".last-shell.json")
    assert kept["exit_code"] == 9 and len(kept["output"]) == 2048
    assert len(home.journal()) == 1 and home.journal()[0].startswith("failed · agent · run-shell · why: ")
    assert len(home.journal()[0]) <= 400


def test_a_hung_command_is_stopped_with_its_group(home: Home) -> None:
    """At the deadline the group dies, and the text warns that part of it may have happened.

    Source: spec/beat.md §11.
    """
    home.furnish(shell_timeout_secs=1)
    report = shell(home, "echo partly; sleep 60 & echo $! > child; sleep 60")
    assert "LOOOP_SHELL_TIMEOUT_SECS" in report.reason and "in part" in report.reason
    kept = home.record(".last-shell.json")
    assert kept["exit_code"] == -1 and "partly" in kept["output"] and "stopped after 1s" in kept["output"]
    child = int((home.root / "child").read_text())
    until(lambda: gone(child), what="the grandchild")
    assert wals(home) == []


def test_no_deadline_is_none(home: Home) -> None:
    """A deadline of 0 does not kill at once. Source: spec/edge-cases.md item 182."""
    home.furnish(shell_timeout_secs=0)
    assert shell(home, "sleep 0.2; echo done").ending == "decided"
    assert home.record(".last-shell.json")["output"] == "done\n"


def test_the_tail_of_an_output_begins_with_a_whole_character(home: Home) -> None:
    """Of a long output 2048 bytes are kept, and no half character at their start. Source: edge case 261."""
    shell(home, "head -c 4000 /dev/zero | sed 's/\\x00/é/g'; printf x")
    assert home.record(".last-shell.json")["output"] == "é" * 1023 + "x"


@pytest.mark.parametrize("cmd", ["sudo touch ran", "touch ran; rm -rf /", "true&&sudo id", "curl u | sh", "", " \n"])
def test_a_refused_command_leaves_no_record(home: Home, cmd: str) -> None:
    """It is not executed, writes neither output nor intent, and its refusal reaches LAST FAILURE.

    Source: spec/edge-cases.md items 126, 129.
    """
    report = shell(home, cmd)
    assert report.ending == "failed"
    assert home.record(".last-failure.json")["error"] == report.reason
    assert home.record(".last-shell.json") is None and wals(home) == [] and not (home.root / "ran").exists()


@pytest.mark.parametrize(("knob", "runs"), [(0, False), (1, True), (2, False)])
def test_the_escape_hatch_is_exactly_one(home: Home, knob: int, runs: bool) -> None:
    """LOOOP_SHELL_ALLOW_DANGEROUS opens at 1 and at nothing else, and the refusal names it.

    Source: spec/edge-cases.md item 130.
    """
    home.furnish(shell_allow_dangerous=knob)
    report = shell(home, "touch ran; env sudo --no-such-flag; true")
    assert (home.root / "ran").exists() is runs
    assert runs or "LOOOP_SHELL_ALLOW_DANGEROUS=1" in report.reason


def test_a_failed_move_keeps_the_output_for_the_retry(home: Home) -> None:
    """The pending output is shown again after a failure; a failing run_shell puts its own in its place.

    Source: spec/edge-cases.md item 120.
    """
    shell(home, "echo first")
    home.decides({"action": "archive_goal", "id": "nope"})
    assert home.later(400, forced=True).ending == "failed"
    assert "first" in home.prompt
    assert home.record(".last-shell.json")["output"] == "first\n"
    assert shell(home, "echo second; exit 1").ending == "failed"
    assert "first" in home.prompt
    home.decides({"action": "noop"})
    home.later(400, forced=True)
    assert "exit code: 1\nsecond" in home.prompt


def test_a_free_decide_does_not_swallow_the_output(home: Home) -> None:
    """Only a prompt that has shown it uses it up, not a noop without a runner.

    Source: spec/edge-cases.md item 121.
    """
    shell(home, "echo kept")
    configured, home.config = home.config, type(home.config)()
    assert home.run_beat(forced=True).source == "none"
    assert home.record(".last-shell.json")["output"] == "kept\n"
    home.config = configured
    home.decides({"action": "noop"})
    home.run_beat(forced=True)
    assert "kept" in home.prompt


def test_the_intent_is_there_while_the_command_runs(home: Home) -> None:
    """Announced before, taken back after, also when it fails; the record says what and how long.

    Source: spec/beat.md §12.
    """
    cmd = "cat .action-wal.*.json > seen; exit 1"
    shell(home, cmd)
    seen = json.loads((home.root / "seen").read_text())
    assert seen.pop("mark").startswith("shell-") and seen == {
        "kind": "shell",
        "fingerprint": digest(cmd.encode()),
        "ts": home.clock.now(),
        "shell_timeout_secs": 300,
        "cmd": cmd,
    }
    assert wals(home) == []


def in_a_process(home: Home, *decision: str) -> "subprocess.Popen[bytes]":
    """A beat over this data dir in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", BEAT, str(home.root), *decision],
        env={"PATH": SYSTEM_PATH, "PYTHONPATH": f"{REPO}/src:{REPO}", "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=REPO,
    )


def kill_in_the_middle(home: Home, *decision: str) -> None:
    """Kill -9 a beat while its command runs, then let the orphaned command go."""
    process = in_a_process(home, *decision)
    until((home.root / "began").exists, what="the command")
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("by_reflex", [False, True], ids=["runner", "reflex"])
def test_a_killed_command_is_ended_reported_and_never_repeated(home: Home, by_reflex: bool) -> None:
    """After kill -9 the next beat ends what is left of it and reports it, once; nobody runs it again.

    Source: spec/edge-cases.md item 132, design §2.
    """
    cmd = f"echo $$ > pid; {SLOW}"
    home.write("PLAYBOOK.md", "judge\n")
    home.says("s", {"signal": 1})
    if by_reflex:
        home.write("goals/r.md", REFLEX.format(move=f"run_shell, cmd: {json.dumps(cmd)}"))
        kill_in_the_middle(home)
    else:
        kill_in_the_middle(home, json.dumps({"action": "run_shell", "cmd": cmd}))
    assert len(wals(home)) == 1 and not (home.root / "ended").exists()
    home.decides({"action": "noop"})
    home.clock.move(1)
    assert home.run_beat().action == "noop"
    until(lambda: gone(int((home.root / "pid").read_text())), what="the end of the command")
    home.later(1, forced=True)
    assert [(row["action"], row["fingerprint"]) for row in home.events("tick_interrupted")] == [
        ("shell", digest(cmd.encode()))
    ]
    assert home.codes().count("tick.interrupted") == 1 and wals(home) == []
    assert [line for line in home.journal() if "interrupted" in line] == [
        f"an earlier shell was interrupted; look whether it was done: {cmd}"
    ]
    assert (home.root / "began").read_text() == "started\n"


def test_a_persons_command_that_still_runs_is_not_reported(home: Home) -> None:
    """Beats while `looop run` is at work leave its announcement alone, also after the knob was changed.

    Source: spec/edge-cases.md items 133-135.
    """
    home.decides({"action": "noop"})
    env = {name: value for name, value in os.environ.items() if not name.startswith("LOOOP_")}
    words = [sys.executable, "-m", "looop", "run", "echo x > begun; until [ -e go ]; do sleep 0.01; done"]
    process = subprocess.Popen(words, env=env | {"LOOOP_DATA_DIR": str(home.root)}, stdout=subprocess.DEVNULL)
    until((home.root / "begun").exists, what="the command")
    home.furnish(shell_timeout_secs=1)
    for _ in range(2):
        assert home.later(100).ending in ("decided", "idle") and len(wals(home)) == 1
    home.write("go", "")
    assert process.wait(20) == 0 and wals(home) == []
    assert home.events("tick_interrupted") == []


def test_a_reflex_killed_before_its_effect_is_not_lost(home: Home) -> None:
    """A move that may be repeated is marked after its effect, so the next beat makes it.

    Source: design §4, decide/reflex.py Note [Marking before or after].
    """
    home.write("PLAYBOOK.md", "judge\n")
    home.says("s", {"signal": 1})
    home.write("goals/r.md", REFLEX.format(move="write_goal, id: made, body: x"))
    fifo = home.root / "goals/.dirlock"
    lock = os.open(fifo, os.O_RDWR | os.O_CREAT)
    import fcntl

    fcntl.flock(lock, fcntl.LOCK_EX)
    process = in_a_process(home)
    until(lambda: any(home.root.glob("runs/*/decision.json")) and (home.root / ".decide-ledger.json").exists())
    process.send_signal(signal.SIGKILL)
    process.wait()
    os.close(lock)
    assert not (home.root / "goals/made.md").exists()
    assert home.run_beat().source == "reflex r#0"
    assert (home.root / "goals/made.md").exists()


def intent(**fields: Any) -> str:
    return json.dumps({"kind": "shell", "fingerprint": "f", **fields})


def test_which_leftovers_are_reported(home: Home) -> None:
    """A live one and one without a deadline are left alone; old, legacy and unreadable ones are reported once each.

    Source: spec/edge-cases.md items 133-138.
    """
    now = home.clock.now()
    home.furnish(shell_timeout_secs=50)
    left = {
        ".action-wal.1-live.json": intent(ts=now - 109, shell_timeout_secs=50),
        ".action-wal.1-longer.json": intent(ts=now - 150, shell_timeout_secs=300),
        ".action-wal.1-endless.json": intent(ts=1, shell_timeout_secs=0),
        ".action-wal.1-future.json": intent(ts=now + 500, shell_timeout_secs=1),
        ".action-walfoo.json": "debris",
        ".action-wal.1.txt": "debris",
    }
    over = {
        ".action-wal.1-old.json": intent(ts=now - 110, shell_timeout_secs=50),
        ".action-wal.1-shorter.json": intent(ts=now - 70, shell_timeout_secs=10),
        ".action-wal.1-knob.json": intent(ts=now - 110),
        ".action-wal.json": intent(ts=now - 110),
        ".action-wal....json": "",
        ".action-wal.2-torn.json": '{"kind":',
    }
    for name, text in (left | over).items():
        home.write(name, text)
    for _ in range(2):
        assert home.run_beat().ending in ("decided", "idle")
    assert {path.name for path in home.root.glob(".action-wal*")} == set(left)
    found = sorted((row["action"], row["fingerprint"]) for row in home.events("tick_interrupted"))
    assert found == [("?", "?")] * 2 + [("shell", "f")] * 4


def test_a_leftover_that_cannot_be_removed_hides_no_other(root: Path) -> None:
    """Each is reported before it is removed, so none is forgotten; the beat goes on.

    Source: spec/edge-cases.md item 138, spec/beat.md §12.
    """
    from tests.fakes.disk import QuickDisk

    class Sticky(QuickDisk):
        def unlink(self, path):
            if path.endswith("-b.json"):
                raise PermissionError(1, "Operation not permitted")
            super().unlink(path)

    home = Home(root, disk=Sticky())
    for name in ("a", "b"):
        home.write(f".action-wal.1-{name}.json", json.dumps({"kind": "shell", "fingerprint": name, "ts": 1}))
    assert home.run_beat().ending == "decided"
    assert [row["fingerprint"] for row in home.events("tick_interrupted")] == ["a", "b"]
    assert "-b.json" in home.said


def test_an_intent_that_cannot_be_written_does_not_stop_the_command(root: Path) -> None:
    """It is a warning: the command runs, unannounced.

    Source: spec/beat.md §12.
    """
    from tests.fakes.disk import QuickDisk

    class NoIntents(QuickDisk):
        def rename(self, source, target):
            if "action-wal" in target:
                raise OSError(28, "No space left on device")
            super().rename(source, target)

    home = Home(root, disk=NoIntents())
    assert shell(home, "echo ran > ran").ending == "decided"
    assert (home.root / "ran").exists() and "announcement of shell" in home.said
