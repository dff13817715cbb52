"""Workers are started and ended as the loop does it: real houses, real supervisors, real processes.

Source: spec/workers.md §2, §4, §7.
"""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from looop.act.launch import restart_worker, start_worker
from looop.act.perform import perform
from looop.model.errors import Invalid, LooopError, Missing, Refused, Unreadable
from looop.model.moves import KillWorker, StartWorker
from looop.state.sessions import PULSE
from tests.fakes.crew import IDLE, Crew, no_worker_left
from tests.fakes.racing import Track, side_by_side
from tests.fakes.waiting import gone, until

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at processes in /proc")
ODD = ["with space", "quo'te\"s", "new\nline", "-dash", "日本", "$HOME;`id`", "x" * 200]


@pytest.fixture
def home(root: Path) -> Iterator[Crew]:
    with no_worker_left(root):
        yield Crew(root)


def refused(home: Crew, move: Any, *words: str) -> str:
    """The text of a refusal that has changed nothing."""
    before, said = home.found(), list(home.rows)
    with pytest.raises(LooopError) as caught:
        perform(home.house, move, home.clock.now(), journal="made")
    text = str(caught.value)
    assert all(word in text for word in words), text
    assert "\n" not in text
    assert home.found() == before
    assert home.rows == said
    return text


def tell(home: Crew) -> None:
    home.write("tells/w-1.json", json.dumps({"v": 1, "id": "w-1", "worker": "w", "msg": "news", "ts": 1}))


def told(home: Crew) -> bool:
    """Whether what was told still waits for its reader."""
    return (home.root / "tells/w-1.json").exists()


def test_a_start_is_checked_in_order_before_anything_changes(home: Crew) -> None:
    """With everything wrong at once the first check speaks; each names what to do; nothing has changed after any.

    Source: spec/workers.md §2.1, edge cases 156, 157, 160, 166, 167; design §6.
    """
    home.write("config.json", "{broken")
    home.write("sessions", "a file")
    refused(home, StartWorker("../x", " "), "invalid worker id '../x'")
    refused(home, StartWorker(PULSE, " \n", "no-such-agent", "rm -rf /"), f"start_worker '{PULSE}' failed", "prompt")
    refused(home, StartWorker(PULSE, "p", None, "rm -rf /"), "cannot load the config", "config.json")
    home.configure(None)
    refused(home, StartWorker(PULSE, "p", None, "rm -rf /"), "verify would never run", "LOOOP_SHELL_ALLOW_DANGEROUS")
    refused(home, StartWorker(PULSE, "p"), "worker_command", "looop init")
    home.configure("no-such-agent")
    refused(home, StartWorker(PULSE, "p"), PULSE, "reserved")
    refused(home, StartWorker("w", "p"), "cannot enumerate the fleet", "Not a directory")
    (home.root / "sessions").unlink()
    home.start("w", IDLE)
    home.furnish(max_workers=1)
    refused(home, StartWorker("w", "p"), "1 workers are alive and 1 is the most", "LOOOP_MAX_WORKERS")
    home.furnish(max_workers=0)
    refused(home, StartWorker("w", "p"), "worker w is already running", "looop screenshot w")
    refused(home, StartWorker("v", "p"), "worker_command = 'no-such-agent'", "expected {{prompt_file}}")
    home.configure("no-such-agent {{prompt_file}}")
    refused(home, StartWorker("v", "p"), "no-such-agent is not on the PATH", "looop init")


@pytest.mark.parametrize("name", ["", ".x", "a/b", "a b", "a\nb", "a\0b", "x" * 65])
def test_an_id_is_an_id(home: Crew, name: str) -> None:
    """What cannot name a goal cannot name a worker, whoever asks. Source: spec/workers.md §2.1, design §3 row 9."""
    refused(home, StartWorker(name, "p"))
    with pytest.raises(Invalid, match="invalid worker id"):
        start_worker(home.house, StartWorker(name, "p"), 1)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("agent", ["the worker's command = 'agent'", "expected {{prompt_file}}"]),
        ("agent --model {{model}} {{prompt_file}}", ["{{model}}", "looop init"]),
        ("agent {{thinking}} {{prompt_file}}", ["{{thinking}}", "looop init"]),
        ("no-such-agent {{prompt_file}}", ["no-such-agent is not on the PATH"]),
        ("X=1 'no-such-agent' {{prompt_file}}", ["no-such-agent"]),
        ("./no-such-agent {{prompt_file}}", ["./no-such-agent"]),
        ("/etc/passwd {{prompt_file}}", ["/etc/passwd", "cannot be run"]),
    ],
)
def test_a_command_must_be_one(home: Crew, command: str, words: list[str]) -> None:
    """A command without a place for its task, with a retired one, or whose program is not there is refused.

    Source: spec/edge-cases.md items 166, 236.
    """
    refused(home, StartWorker("w", "p", command), *words)
    home.configure(command)
    refused(home, StartWorker("w", "p"), *words[1:])


@pytest.mark.parametrize(
    "command",
    [
        "./agent {{prompt_file}}",
        "X=1 Y= ./agent '{{prompt_file}}'",
        "umask 077; ./agent {{prompt_file}}",
        "exec ./agent {{prompt_file}}",
        "{ ./agent; } < {{prompt_file}}",
        "if true; then ./agent; fi < {{prompt_file}}",
        '"$LOOOP_DATA_DIR"/agent {{prompt_file}}',
        "~/agent {{prompt_file}}",
    ],
)
def test_what_the_shell_finds_is_not_refused(home: Crew, command: str) -> None:
    """The word is looked for where the worker will be, and only a word that can be told without a shell is.

    Source: spec/edge-cases.md item 236, spec/workers.md §2.2 item 5.
    """
    for place in (home.root, home.tools):
        (place / "agent").write_text("#!/bin/sh\necho works\n")
        (place / "agent").chmod(0o755)
    home.start("w", command)
    assert home.ended().exit_code == 0 and "works" in home.shown()


def test_a_goal_over_its_budget_gets_no_worker(home: Crew) -> None:
    """Neither one that has spent too much nor, where somebody set a limit, one whose bill cannot be read.

    Source: design §6.
    """
    row = {"ts": "2020-01-01T00:00:00Z", "kind": "worker", "id": "w", "runner": "a", "goal": "w", "cost_usd": 2.5}
    home.configure(max_goal_usd=2.5)
    home.write("cost.jsonl", json.dumps(row) + "\n")
    refused(home, StartWorker("w", "p"), "goal w has cost 2.5000 of 2.50 USD", "max_goal_usd")
    home.write("cost.jsonl", "torn\n")
    refused(home, StartWorker("w", "p"), "cost.jsonl", "looop cost repair")
    home.configure()
    home.start()
    home.configure(max_goal_usd=2.5)
    before = home.found()
    with pytest.raises(Refused, match="looop cost repair"):
        restart_worker(home.house, "w")
    assert home.found() == before and home.session().alive


def test_a_start_is_on_record(home: Crew) -> None:
    """Prompt, verify, session, goal stamp, journal line, event: all are there, and no announcement is.

    Source: spec/workers.md §2.2, spec/beat.md §10, §12.
    """
    assert home.start(verify="true", prompt="do it") == "start-worker w"
    assert home.session().alive and home.session().state == "running"
    text = (home.root / "prompts/w.md").read_text()
    assert text.endswith("do it\n") and "worker w" in text and str(home.root) in text
    assert (home.root / "verify/w.cmd").read_text() == "true"
    assert home.record(".goal-activity.json") == {"w": home.clock.now()}
    assert home.journal() == ["start-worker w"]
    assert [row["worker"] for row in home.events("worker_started")] == ["w"]
    assert list(home.root.glob(".action-wal*")) == []


def test_a_worker_needs_no_goal_of_its_name(home: Crew) -> None:
    """That a worker bears the id of a goal is convention: one without is stamped all the same, which harms nobody.

    Source: edge case 274.
    """
    home.write("goals/g.md", "# Another one\n")
    assert home.start() == "start-worker w"
    assert home.record(".goal-activity.json") == {"w": home.clock.now()}
    assert home.run_beat().ending == "decided"
    assert list(home.snapshot("sys-goals")["detail"]["goals"]) == ["g"]
    assert home.record(".goal-activity.json") == {"w": home.clock.now()}


def test_the_cap_counts_live_workers_alone(home: Crew) -> None:
    """Neither the pulse nor who is over counts; 0 is no cap. Source: spec/edge-cases.md item 159."""
    home.furnish(max_workers=2)
    home.house.fleet.start(PULSE, ["sleep", "600"], home.house.setting.env, max_log=0)
    home.start("over", "exit 0; : {{prompt_file}}")
    home.ended("over")
    home.start("a")
    home.start("b")
    refused(home, StartWorker("c", "p"), "2 workers are alive and 2 is the most")
    home.furnish(max_workers=0)
    home.start("c")
    home.kill("a")
    home.furnish(max_workers=3)
    home.start("d")


def test_the_id_of_a_dead_worker_is_free(home: Crew) -> None:
    """Its session goes, with its verdict and with what nobody told it any more. Source: edge cases 158, 184, 206."""
    home.start(command="echo first; exit 0; : {{prompt_file}}", verify="exit 3")
    tell(home)
    home.ended()
    home.run_beat()
    assert home.record("verify/w.json")["ok"] is False
    home.start(command="echo second; sleep 600; : {{prompt_file}}", prompt="again")
    home.shows("second")
    assert "first" not in home.shown()
    assert not list(home.root.glob("verify/w.*"))
    assert not told(home)
    assert (home.root / "prompts/w.md").read_text().endswith("again\n")


def test_a_start_that_fails_owes_no_verify(home: Crew) -> None:
    """The supervisor finds the id taken: verify and announcement go, the prompt stays. Source: edge case 162."""
    home.write("sessions/w/notes", "somebody's")
    before = set(home.found())
    with pytest.raises(Refused) as caught:
        home.start(verify="echo judged")
    assert "start_worker 'w' failed" in str(caught.value) and f"remove {home.root}/sessions/w" in str(caught.value)
    assert set(home.found()) - before == {"prompts", "prompts/w.md", "verify"}
    assert home.journal() == [] and home.record(".goal-activity.json") is None
    assert home.events("worker_started") == []
    (home.root / "sessions/w/notes").unlink()
    (home.root / "sessions/w").rmdir()
    home.start()


def test_a_verify_that_cannot_be_stored_prevents_the_start(home: Crew) -> None:
    """Nobody works unjudged who was to be judged. Source: spec/workers.md §2.2 item 3."""
    home.write("verify", "a file in the place of the folder")
    with pytest.raises(LooopError, match="start_worker 'w' failed"):
        home.start(verify="true")
    assert home.house.fleet.all() == [] and home.journal() == []


def test_a_blank_verify_is_none(home: Crew) -> None:
    """Blank text is no command, neither as verify nor as override. Source: edge case 166, spec/workers.md §2.2."""
    home.configure("echo template; : {{prompt_file}}")
    assert home.start(command=" \t", verify=" ") == "start-worker w"
    home.ended()
    assert "template" in home.shown()
    assert not list(home.root.glob("verify/w.*"))


def test_an_override_replaces_the_template(home: Crew) -> None:
    """Wholesale; the journal says that it was one, and its label is its own. Source: spec/workers.md §2.1, §2.2."""
    home.configure("echo template; : {{prompt_file}}")
    line = home.start(command="cat '{{prompt_file}}'; exit 7", prompt="the task")
    assert line == "start-worker w (command override)"
    assert home.ended().exit_code == 7
    assert "the task" in home.shown() and "template" not in home.shown()
    assert home.events("worker_started")[0]["runner"] == "cat"


def test_a_worker_that_dies_at_once_is_judged(home: Crew) -> None:
    """However short its life, the next beat runs its verify. Source: spec/edge-cases.md item 163."""
    home.start(command="exit 1; : {{prompt_file}}", verify="echo fine")
    home.ended()
    home.run_beat()
    assert home.record("verify/w.json")["output"] == "fine\n"


def test_a_program_that_is_gone_is_a_failed_start(home: Crew) -> None:
    """bash itself can be missing: the move fails, and says so. Source: spec/workers.md §2.2."""
    setting = home.house.setting
    home.house = replace(home.house, setting=replace(setting, env={**setting.env, "PATH": "/nonexistent"}))
    with pytest.raises(Refused, match="bash"):
        home.start(command='"$X" {{prompt_file}}', verify="true")
    assert home.house.verify.obligations() == []


BY_BASH = {"PWD", "SHLVL", "_", "OLDPWD"}


def test_the_environment_of_a_worker_is_exact(home: Crew) -> None:
    """What looop exports and the starter has, its own id, a terminal's name; no session variable of the starter's.

    Source: spec/workers.md §2.3.
    """
    setting = home.house.setting
    env = {**setting.env, "LOOOP_RUN_MARK": ":of-the-starter", "LOOOP_SESSION_ID": "starter", "TERM": "dumb", "É": "ü"}
    home.house = replace(home.house, setting=replace(setting, env=env))
    home.start(command="env -0 > reports.env; echo done; : {{prompt_file}}")
    home.ended()
    lines = (home.root / "reports.env").read_bytes().decode().split("\0")
    seen = dict(line.split("=", 1) for line in lines if line)
    mark = seen.pop("LOOOP_RUN_MARK")
    assert "starter" not in mark and mark.startswith(":session-")
    assert {key: value for key, value in seen.items() if key not in BY_BASH} == {
        **setting.env,
        "LOOOP_SESSION_ID": "w",
        "TERM": "xterm-256color",
        "É": "ü",
    }
    assert {"LOOOP_BIN", "LOOOP_DATA_DIR", "LOOOP_CONFIG", "LOOOP_CLAIMS_DIR", "LOOOP_REPORTS_DIR"} <= set(seen)
    assert seen["LOOOP_LOG_FORMAT"] in ("json", "human") and os.path.isabs(seen["LOOOP_BIN"])


@pytest.mark.parametrize("name", ODD)
def test_a_worker_begins_in_the_data_dir_whatever_its_name(tmp_path: Path, name: str) -> None:
    """Folder and prompt are found, however the path is written. Source: spec/workers.md §2.2, edge cases 98, 169."""
    root = tmp_path / name / "data dir"
    with no_worker_left(root):
        home = Crew(root)
        home.start(command="pwd -P > here; cat {{prompt_file}} > task; sleep 600", prompt="a task")
        until(lambda: (root / "task").exists() and "a task" in (root / "task").read_text(), what="the task")
        assert (root / "here").read_text() == f"{root}\n"
        home.kill("w")


@pytest.mark.parametrize("name", ["日本", "ärger-目標", "x" * 64, "日" * 64, "-x", "a.b_c-1", "123"])
def test_every_goal_can_have_a_worker(home: Crew, name: str) -> None:
    """An id that names a goal names a worker, too. Source: edge case 172, design §3 row 9."""
    home.start(name, 'printf %s "$LOOOP_SESSION_ID" > "id"; sleep 600; : {{prompt_file}}', "exit 0")
    until(lambda: (home.root / "id").exists() and (home.root / "id").read_text() == name, what="its id")
    home.kill(name)
    home.run_beat()
    assert home.record(f"verify/{name}.json")["ok"] is True


@pytest.mark.parametrize("size", [(80, 24), (132, 50)])
def test_a_terminal_has_the_size_that_was_asked_for(home: Crew, size: tuple[int, int]) -> None:
    """80 columns and 24 rows, unless a person wants others. Source: spec/workers.md §3.3."""
    home.furnish(session_cols=size[0], session_rows=size[1])
    home.start(command="stty size; : {{prompt_file}}")
    home.shows(f"{size[1]} {size[0]}")
    assert home.session().size == size


def test_a_failed_agent_is_started_again(home: Crew) -> None:
    """The retries that somebody asked for wrap the command. Source: spec/beat.md §9.1, spec/workers.md §2.2 item 5."""
    home.furnish(runner_retries=1, runner_retry_sleep=0)
    home.start(command="echo try >> tries; exit 4; : {{prompt_file}}")
    assert home.ended().exit_code == 4
    assert (home.root / "tries").read_text() == "try\ntry\n"


def test_a_live_worker_is_restarted(home: Crew) -> None:
    """It ends, and the very same command begins on the same task, with its verify owed anew.

    Source: spec/workers.md §3.4, §7; design §3 row 15.
    """
    home.start(command="echo $$ >> pids; sleep 600; : {{prompt_file}}", verify="echo judged >> judged")
    until((home.root / "pids").exists)
    before = home.session()
    assert restart_worker(home.house, "w") == "w"
    after = home.session()
    assert after.command == before.command and after.alive and after.pid != before.pid
    until(lambda: len((home.root / "pids").read_text().split()) == 2)
    first, second = map(int, (home.root / "pids").read_text().split())
    assert gone(first) and not gone(second)
    home.run_beat()
    assert home.house.verify.obligations() == ["w"] and not (home.root / "judged").exists()


def test_a_dead_worker_is_restarted_and_judged_again(home: Crew) -> None:
    """A verdict stands for the generation it was made on. Source: spec/edge-cases.md item 184."""
    home.start(command="exit 2; : {{prompt_file}}", verify="echo judged >> judged")
    home.ended()
    home.run_beat()
    restart_worker(home.house, "looop-w")
    home.ended()
    home.run_beat()
    assert (home.root / "judged").read_text() == "judged\njudged\n"


def test_a_restart_that_cannot_be_changes_nothing(home: Crew) -> None:
    """Nobody of that name, no room, a verify that cannot be read, a record without a command: the old one stays.

    Source: spec/workers.md §2.1, §4.
    """
    with pytest.raises(Missing, match="no session 'v'"):
        restart_worker(home.house, "v")
    home.start("v", "exit 0; : {{prompt_file}}")
    home.ended("v")
    home.start("w", verify="true")
    home.furnish(max_workers=1)
    before = home.found()
    with pytest.raises(Refused, match="1 is the most"):
        restart_worker(home.house, "v")
    assert home.found() == before
    home.write("verify/w.cmd", "")
    with pytest.raises(Unreadable, match="not restarted"):
        restart_worker(home.house, "w")
    meta = home.record("sessions/v/meta.json")
    home.write("sessions/v/meta.json", json.dumps({**meta, "cmd": "?"}))
    home.furnish()
    with pytest.raises(Refused, match="what its command was"):
        restart_worker(home.house, "v")
    assert home.session("w").alive and home.house.fleet.is_there("v")


def test_a_kill_keeps_the_verify_and_drops_the_tells(home: Crew) -> None:
    """It must still be judged; nobody will read what was told to it. Source: edge cases 170, 176, 206."""
    home.start(command="setsid -f sleep 600; sleep 600 & sleep 600; : {{prompt_file}}", verify="echo judged")
    tell(home)
    child = home.session().child_pid
    assert child and home.kill("w") == "kill-worker w"
    assert home.session().state == "killed" and gone(child)
    assert not told(home)
    assert home.house.verify.obligations() == ["w"]
    home.run_beat()
    assert home.record("verify/w.json")["ok"] is True
    assert [row["worker"] for row in home.events("worker_killed")] == ["w"]


def test_a_finished_worker_cannot_be_killed(home: Crew) -> None:
    """That is an error, the beat that decided it has failed, and tells stay where they are.

    Source: spec/edge-cases.md items 277, 278.
    """
    home.start(command="exit 0; : {{prompt_file}}")
    home.ended()
    tell(home)
    refused(home, KillWorker("w"), "session w has already finished", "exited")
    assert told(home)
    home.decides({"action": "kill_worker", "id": "w"})
    report = home.run_beat()
    assert report.ending == "failed" and "already finished" in report.reason
    assert home.events("worker_killed") == []


@pytest.mark.parametrize("name", [PULSE, f"looop-{PULSE}"])
def test_the_pulse_is_nobodys_worker(home: Crew, name: str) -> None:
    """Its id is refused by kill and restart, also with a legacy prefix, and it lives on. Source: edge case 160."""
    home.house.fleet.start(PULSE, ["sleep", "600"], home.house.setting.env, max_log=0)
    refused(home, KillWorker(name), "reserved", "looop down", "looop screenshot")
    with pytest.raises(Refused, match="reserved"):
        restart_worker(home.house, name)
    assert home.session(PULSE).alive


def test_a_legacy_prefix_is_dropped_only_where_nobody_has_that_name(home: Crew) -> None:
    """`looop-w` is the worker of that name where there is one, else `w`. Source: spec/edge-cases.md item 161."""
    home.start("w")
    home.start("looop-w")
    home.kill("looop-w")
    assert home.session("w").alive
    home.house.fleet.reap("looop-w")
    home.kill("looop-w")
    assert not home.house.fleet.is_alive("w")


def test_of_two_starts_the_winners_task_stands(home: Crew) -> None:
    """Two processes start one id at once: one is refused, and task, verify and session are all the other's.

    Source: spec/workers.md §2.1, edge cases 158, 184.
    """
    track = Track()

    def racer(me: int) -> bytes:
        won = b""
        for turn in range(1, 9):
            house = Crew.__new__(Crew)
            house.__dict__.update(home.__dict__)
            house.furnish(max_workers=0)
            track.meet(me, 1 - me, turn)
            try:
                house.start(f"w{turn}", verify=f"echo {me}", prompt=f"task of {me}")
                won += b"%d" % turn
            except LooopError as error:
                assert "already running" in str(error), error
        return won

    first, second = side_by_side(lambda: racer(0), lambda: racer(1))
    assert sorted(first + second) == sorted(b"12345678")
    for me, turns in ((0, first), (1, second)):
        for turn in turns.decode():
            assert (home.root / f"prompts/w{turn}.md").read_text().endswith(f"task of {me}\n"), turn
            assert (home.root / f"verify/w{turn}.cmd").read_text() == f"echo {me}", turn
            assert home.session(f"w{turn}").alive


def test_a_cap_holds_against_starts_at_once(home: Crew) -> None:
    """Of many that start workers at the same moment no more get one than may. Source: spec/workers.md §2.1 item 8."""
    track = Track()

    def racer(me: int) -> bytes:
        home.furnish(max_workers=3)
        track.meet(me, 1 - me, 1)
        for turn in range(4):
            try:
                home.start(f"w{me}{turn}")
            except Refused as error:
                assert "3 is the most" in str(error)
        return b""

    side_by_side(lambda: racer(0), lambda: racer(1))
    assert sum(session.alive for session in home.house.fleet.all()) == 3


def test_a_worker_outlives_the_one_who_started_it(home: Crew) -> None:
    """Nobody is its parent, and no signal to its starter's group reaches it. Source: spec/workers.md §3.1."""
    track = Track()

    def starter() -> bytes:
        os.setsid()
        home.start()
        track.put(0, home.session().pid)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)
        return b""

    side_by_side(starter)
    assert home.session().alive and home.session().pid == track.get(0)
    assert os.getsid(home.session().pid) != os.getsid(0)


def test_what_is_announced_begins_before_the_worker(home: Crew) -> None:
    """`begin` sees the announcement and no session; where it raises nothing starts, and the announcement goes.

    Source: spec/beat.md §12, spec/edge-cases.md item 132.
    """
    seen: list[tuple[int, bool]] = []

    def begin() -> None:
        seen.append((len(list(home.root.glob(".action-wal*"))), home.house.fleet.is_there("w")))
        if len(seen) == 1:
            raise Refused("not now")

    with pytest.raises(Refused, match="start_worker 'w' failed: not now"):
        perform(home.house, StartWorker("w", "p"), 1, begin=begin)
    assert home.house.fleet.all() == [] and not list(home.root.glob(".action-wal*"))
    perform(home.house, StartWorker("w", "p"), 1, begin=begin)
    assert seen == [(1, False), (1, False)] and home.session().alive


def test_a_verify_that_is_never_run_is_put_on_record(home: Crew) -> None:
    """Who starts a worker in the place of one that was not judged yet is told by the journal, once.

    Source: spec/workers.md §6, §7, edge case 184.
    """
    home.start(command="exit 0; : {{prompt_file}}", verify="echo judged >> judged")
    home.ended()
    home.start(command="exit 0; : {{prompt_file}}")
    assert [row["worker"] for row in home.events("verify_dropped")] == ["w"]
    assert (home.root / "journal.md").read_text().count("the verify of the worker w before this one was never run") == 1
    home.ended()
    home.start(command="exit 0; : {{prompt_file}}")
    assert len(home.events("verify_dropped")) == 1
    assert not (home.root / "judged").exists()
