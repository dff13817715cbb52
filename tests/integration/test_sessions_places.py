"""Sessions where things are odd: names, folders, records cut in half, a full disk, a data dir that moves or is gone."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from looop.model.errors import Invalid, Missing, Refused, Unreadable, Unwritable
from looop.session.client import ask
from looop.session.fleet import Fleet, SpawnError
from looop.session.kin import birth
from looop.state.sessions import Sessions
from tests.fakes.sessions import ENV, SOURCE, ended, left_in, no_one_left, now, shows, start
from tests.fakes.waiting import until

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at processes in /proc")


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with no_one_left(tmp_path) as fleet:
        yield fleet


def folder_of(fleet: Fleet, name: str = "") -> Path:
    return Path(fleet._root, "sessions", name)


@pytest.mark.parametrize("name", ["x" * 64, "日本", "日" * 64, "a.b-c_d", "123", "-x", "--", "a b", "a'\"\n"])
def test_any_plain_name_is_an_id(fleet: Fleet, name: str) -> None:
    """A session may be called what a goal may be called, and more. Source: spec/workers.md §3.2, design §3 row 9."""
    session = start(fleet, name, "sleep 60")
    assert [found.id for found in fleet.sessions()] == [name]
    assert ask(session.socket, {"op": "status"}, 5)["state"] == "running"
    assert fleet.kill(session)["state"] == "killed"
    assert fleet.reap(name)
    assert left_in(fleet) == []


@pytest.mark.parametrize("name", ["", ".", "..", ".x", "a/b", "../x", "/tmp/x", "a\0b"])
def test_no_name_leads_out(fleet: Fleet, name: str) -> None:
    """What is no plain name is no session for anybody, and removes nothing. Source: spec/workers.md §12."""
    start(fleet, "b", "exit 0")
    ended(fleet, "b")
    with pytest.raises(SpawnError, match="cannot name a session"):
        fleet.start(name, ["true"], ENV)
    assert fleet.session(name) is None
    assert not fleet.is_taken(name)
    assert not fleet.reap(name)
    assert fleet.reap("b")


@pytest.mark.parametrize(
    "name", ["x" * 200, "with space", "quo'te\"s", "new\nline", "-dash", "日本", "$HOME;`id`", "\udcff"]
)
def test_any_data_dir_holds_sessions(tmp_path: Path, name: str) -> None:
    """However the data dir is called, its sessions have sockets and can be killed. Source: edge case 169."""
    root = tmp_path / name
    with no_one_left(root) as fleet:
        session = start(fleet, "a", "echo hello; sleep 60")
        shows(session, b"hello")
        assert ask(session.socket, {"op": "status"}, 5)["state"] == "running"
        assert fleet.kill(session)["state"] == "killed"


def test_a_relative_data_dir_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A data dir below where the starter is, is the same for its supervisor. Source: spec/workers.md §3.1."""
    monkeypatch.chdir(tmp_path)
    with no_one_left(Path("-dir")) as fleet:
        assert start(fleet, "a", "sleep 60").alive


def test_an_id_is_taken_once(fleet: Fleet) -> None:
    """A live session, a dead one and what is none hold their id; who is late leaves nothing. Source: edge case 158."""
    start(fleet, "a", "sleep 60")
    start(fleet, "b", "exit 0")
    ended(fleet, "b")
    folder_of(fleet, "c").mkdir()
    folder_of(fleet, "d").write_text("")
    folder_of(fleet, "e").symlink_to("nowhere")
    for name in "abcde":
        with pytest.raises(SpawnError, match=f"session {name}: there is a session of that id"):
            fleet.start(name, ["sleep", "61"], ENV)
    assert left_in(fleet) == list("abcde")
    assert now(fleet, "a").alive
    assert "sleep 61" not in subprocess.run(["ps", "-eo", "args="], capture_output=True, text=True).stdout


def together(count: int, step: Callable[[int], object]) -> list[object]:
    """What each of several threads returned or raised, started together."""
    gate, results = threading.Barrier(count), list[object]([None] * count)

    def run(number: int) -> None:
        gate.wait()
        try:
            results[number] = step(number)
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_of_those_who_start_one_id_one_wins(fleet: Fleet) -> None:
    """Of eight starters one has the session, the others are told so, and nothing else is left. Source: §2.1."""
    for turn in range(3):
        name = f"s{turn}"
        results = together(8, lambda number, name=name: fleet.start(name, ["sleep", str(900 + number)], ENV))  # type: ignore[misc]
        winners = [number for number, result in enumerate(results) if result is None]
        assert len(winners) == 1, results
        losers = [result for result in results if result is not None]
        assert {str(loser) for loser in losers} == {f"session {name}: there is a session of that id"}
        assert now(fleet, name).command == ["sleep", str(900 + winners[0])]
        assert now(fleet, name).alive
    assert left_in(fleet) == ["s0", "s1", "s2"]


def test_those_who_reuse_an_id_do_not_undo_each_other(fleet: Fleet) -> None:
    """Of six that remove a corpse and start anew, whoever was told that it runs, runs. Source: edge case 158."""
    for _ in range(5):
        fleet.start("a", ["true"], ENV)
        ended(fleet, "a")

        def reuse(number: int) -> None:
            fleet.reap("a")
            fleet.start("a", ["sleep", str(900 + number)], ENV)

        results = together(6, reuse)
        winners = [number for number, result in enumerate(results) if result is None]
        assert len(winners) == 1, results
        session = now(fleet, "a")
        assert (session.alive, session.command) == (True, ["sleep", str(900 + winners[0])])
        assert left_in(fleet) == ["a"]
        fleet.kill(session)
        assert fleet.reap("a")


def test_a_slow_reaper_removes_no_new_session(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its look and its removal nobody else can remove the corpse and start anew. Source: edge case 158."""
    fleet.start("a", ["true"], ENV)
    ended(fleet, "a")
    looked, slow = threading.Event(), Fleet(fleet._root)

    def look(name: str) -> object:
        session = fleet.session(name)
        looked.set()
        restarted.wait(0.5)
        return session

    def restart() -> None:
        looked.wait()
        fleet.reap("a")
        fleet.start("a", ["sleep", "60"], ENV)
        restarted.set()

    restarted = threading.Event()
    monkeypatch.setattr(slow, "session", look)
    results = together(2, lambda number: restart() if number else slow.reap("a"))
    assert results == [True, None]
    assert now(fleet, "a").alive
    assert ask(now(fleet, "a").socket, {"op": "status"}, 5)["state"] == "running"


@pytest.mark.slow
def test_two_hundred_sessions(fleet: Fleet) -> None:
    """Two hundred started side by side are all listed, and all ended. Source: users.md, last rows."""
    results = together(8, lambda number: [fleet.start(f"s{number}-{n}", ["sleep", "60"], ENV) for n in range(25)])
    assert all(isinstance(result, list) for result in results), results
    sessions = fleet.sessions()
    assert len(sessions) == 200
    assert all(session.alive for session in sessions)
    together(8, lambda number: [fleet.kill(session) for session in sessions[number::8]])
    assert not any(session.alive for session in fleet.sessions())


def test_a_missing_folder_is_no_session_and_a_file_an_error(fleet: Fleet) -> None:
    """No folder is an empty fleet; a file in its place cannot be enumerated. Source: edge cases 156, 157."""
    assert fleet.sessions() == []
    fleet.clean()
    assert not fleet.reap("a")
    folder_of(fleet).write_text("")
    for act in (fleet.sessions, fleet.clean):
        with pytest.raises(NotADirectoryError):
            act()
    with pytest.raises(SpawnError, match="session a: "):
        fleet.start("a", ["true"], ENV)


@pytest.mark.parametrize("spoil", ["cut", "empty", "list", "gone", "folder"])
def test_half_a_meta_is_no_session_and_never_touched(fleet: Fleet, spoil: str) -> None:
    """A folder without a whole record is left out, holds its id, and is not removed. Source: edge case 168."""
    start(fleet, "a", "exit 0")
    ended(fleet, "a")
    path = folder_of(fleet, "a") / "meta.json"
    whole = path.read_text()
    path.unlink()
    if spoil == "folder":
        path.mkdir()
    elif spoil != "gone":
        path.write_text({"cut": whole[:40], "empty": "", "list": "[]"}[spoil])
    assert fleet.sessions() == []
    assert fleet.is_taken("a")
    assert not fleet.reap("a")
    fleet.clean()
    assert folder_of(fleet, "a").exists()
    with pytest.raises(Refused, match="records cannot be read: remove"):
        Sessions(fleet._root).start("a", ["true"], ENV, max_log=0)


def test_half_a_status_is_starting(fleet: Fleet) -> None:
    """Without a whole status a session lives as long as its supervisor, and is an orphan then. Source: §3.3."""
    session = start(fleet, "a", "sleep 60")
    path = folder_of(fleet, "a") / "status.json"
    path.write_text(path.read_text()[:20])
    assert (now(fleet, "a").state, now(fleet, "a").alive) == ("starting", True)
    path.unlink()
    assert (now(fleet, "a").state, now(fleet, "a").alive) == ("starting", True)
    os.kill(session.pid, 9)
    until(lambda: now(fleet, "a").is_orphaned, what="the orphan")
    fleet.sweep(now(fleet, "a"))
    assert now(fleet, "a").state == "killed"


@pytest.mark.skipif(os.getuid() == 0 and not os.path.isdir("/proc/self"), reason="needs another user")
def test_what_may_not_be_read_is_left_out_or_an_error(fleet: Fleet) -> None:
    """A folder of a session nobody may read is left out; the folder of all, an error. Source: edge case 156."""
    start(fleet, "a", "exit 0")
    start(fleet, "b", "exit 0")
    ended(fleet, "a")
    ended(fleet, "b")
    script = (
        "import os, sys; from looop.session.fleet import Fleet\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        "try:\n    print([session.id for session in Fleet(sys.argv[1]).sessions()])\n"
        "except PermissionError:\n    print('error')"
    )
    for path in (Path(fleet._root), *Path(fleet._root).parents):
        if path.stat().st_uid == os.getuid() and str(path).startswith("/tmp/"):
            path.chmod(0o755)
    told = []
    for path in (folder_of(fleet, "a"), folder_of(fleet)):
        path.chmod(0)
        words = [sys.executable, "-c", script, fleet._root]
        told.append(subprocess.run(words, env={**ENV, "PYTHONPATH": SOURCE}, capture_output=True, text=True).stdout)
        path.chmod(0o755)
    assert told == ["['b']\n", "error\n"]


def test_a_reboot_leaves_the_dead(fleet: Fleet) -> None:
    """After a reboot `running` is what the disk says, and a stranger has the pid: dead. Source: edge cases 154, 155."""
    start(fleet, "a", "exit 0")
    ended(fleet, "a")
    folder = folder_of(fleet, "a")
    meta = json.loads((folder / "meta.json").read_text())
    boot, namespace, tick = birth(os.getpid()).split("-")
    for owner in (f"{'0' * len(boot)}-{namespace}-{tick}", f"{boot}-{namespace}-1"):
        (folder / "meta.json").write_text(json.dumps({**meta, "babysit_pid": os.getpid(), "owner": owner}))
        (folder / "status.json").write_text(json.dumps({"state": "running", "child_pid": os.getpid()}))
        session = now(fleet, "a")
        assert (session.state, session.alive, session.is_orphaned) == ("running", False, True)
        assert fleet.sweep(session) == 0
        assert now(fleet, "a").state == "killed"
    assert fleet.reap("a")


def test_sessions_of_the_reference_program_are_read(fleet: Fleet) -> None:
    """Records without what we add are sessions, alive by their pid alone. Source: spec/workers.md §3.2."""
    folder = folder_of(fleet, "old")
    folder.mkdir(parents=True)
    meta = {"id": "old", "cmd": ["bash"], "babysit_pid": os.getpid(), "started_at": "2026-11-21T13:34:20.5+02:00"}
    (folder / "meta.json").write_text(json.dumps(meta, indent=1))
    session = now(fleet, "old")
    assert (session.alive, session.state, session.started_at) == (True, "starting", 1_795_260_860)
    (folder / "status.json").write_text('{"state":"exited","child_pid":5,"exit_code":2,"last_change":"nonsense"}')
    session = now(fleet, "old")
    assert (session.alive, session.exit_code, session.last_change) == (False, 2, None)
    assert fleet.reap("old")


FOREIGN = """
import os, sys
from looop.session.fleet import Fleet
place, kind = f"/tmp/looop-{os.getuid()}", sys.argv[1]
if kind == "file": open(place, "w").close()
if kind == "link": os.mkdir("/tmp/real", 0o700); os.symlink("/tmp/real", place)
if kind == "open": os.mkdir(place); os.chmod(place, 0o777)
fleet = Fleet("/tmp/data")
fleet.start("a", ["sh", "-c", "trap '' HUP; sleep 60; sleep 60"], dict(os.environ))
session = fleet.session("a")
print(session.alive, os.path.exists(session.socket), session.problem)
print(fleet.kill(session)["state"], fleet.session("a").state, os.path.lexists(place))
"""


@pytest.mark.skipif(
    any(path.startswith("/tmp/") for path in (sys.executable, sys.base_prefix, SOURCE)),
    reason="looop itself is below /tmp, which the test hides",
)
@pytest.mark.parametrize("kind", ["file", "link", "open"])
def test_a_place_that_is_not_ours_holds_no_socket(kind: str) -> None:
    """Where somebody has taken the place of the sockets, a session runs without, and can be killed. Source: §3.2."""
    inner = f'mount -t tmpfs tmpfs /tmp && exec "{sys.executable}" -c "$1" "$2"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", inner, "-", FOREIGN, kind]
    try:
        told = subprocess.run(command, env={**ENV, "PYTHONPATH": SOURCE}, capture_output=True, text=True, timeout=30)
    except FileNotFoundError:
        pytest.skip("no namespaces here")
    if "unshare" in told.stderr or "mount" in told.stderr:
        pytest.skip("no namespaces here")
    lines = told.stdout.splitlines()
    assert lines[0].startswith("True False no control socket: "), told.stderr
    assert lines[1] == "killed killed True"


def test_failures_are_errors_of_ours(fleet: Fleet) -> None:
    """Whoever guards something with the fleet hears what went wrong, in one line. Source: edge case 156."""
    sessions = Sessions(fleet._root)
    sessions.start("looop-x", ["sleep", "60"], ENV, max_log=0)
    sessions.start("pulse", ["true"], ENV, max_log=0)
    assert [session.id for session in sessions.workers()] == ["looop-x"]
    assert [session.id for session in sessions.all()] == ["looop-x", "pulse"]
    assert sessions.is_alive("looop-x")
    assert not sessions.is_alive("x")
    with pytest.raises(Refused, match="there is a session of that id"):
        sessions.start("looop-x", ["true"], ENV, max_log=0)
    with pytest.raises(Missing, match="no session 'y'"):
        sessions.require("y")
    with pytest.raises(Invalid):
        sessions.reap("../x")
    assert not sessions.reap("looop-x")
    session = sessions.require("looop-x")
    sessions.kill(session)
    with pytest.raises(Refused, match="already finished"):
        sessions.kill(sessions.require("looop-x"))
    assert sessions.reap("looop-x")
    assert sessions.sweep(session) is None
    sessions.clean()
    folder_of(fleet).rename(Path(fleet._root, "away"))
    folder_of(fleet).write_text("")
    for act in (sessions.all, lambda: sessions.is_alive("x"), lambda: sessions.find("x")):
        with pytest.raises(Unreadable, match="cannot enumerate the fleet"):
            act()
    for act in (sessions.clean, lambda: sessions.reap("x")):
        with pytest.raises(Unwritable, match="Not a directory"):
            act()
    folder_of(fleet).unlink()


def test_a_legacy_prefix_is_stripped_only_when_it_must_be(fleet: Fleet) -> None:
    """`looop-x` is the session of that name, else `x`. Source: edge case 161."""
    sessions = Sessions(fleet._root)
    sessions.start("x", ["true"], ENV, max_log=0)
    assert sessions.require("looop-x").id == "x"
    sessions.start("looop-x", ["true"], ENV, max_log=0)
    assert sessions.require("looop-x").id == "looop-x"
    assert sessions.require("x").id == "x"
