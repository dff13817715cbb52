"""A fresh data dir gets a whole first set of files, once, and nothing of a person's is lost by it."""

import re
import subprocess

import msgspec
import pytest

from looop.model.errors import Unreadable, Unwritable
from looop.model.moves import ALL_MOVES
from looop.model.records import Ask
from looop.rules import cel
from looop.rules.goals import GoalSpec, parse_goal
from looop.state import seed as seeds
from looop.state.sensors import Sensors
from looop.store.open import open_files, open_memory

NOW = 1_900_000_000
WHOLE = {
    "PLAYBOOK.md": seeds.PLAYBOOK.encode(),
    "goals/setup.md": seeds.SETUP.encode(),
    "goals/playbook-daily.md": seeds.PLAYBOOK_DAILY.encode(),
    "sensors/today.sh": seeds.TODAY.encode(),
    "asks/setup-1.json": seeds.setup_ask(NOW),
    ".gitignore": seeds.GITIGNORE.encode(),
}
CHANGES = ("write", "create", "swap", "append", "move")
PERSONS = sorted(WHOLE.keys() - {"PLAYBOOK.md", "asks/setup-1.json"})


class Crash(BaseException):
    """The process is gone."""


class CrashingStore:
    """A store whose process dies just before its n-th change; `error` is raised in place of the death if given."""

    def __init__(self, store, at, error=Crash):
        self.store, self.left, self.error = store, at, error

    def __getattr__(self, name):
        real = getattr(self.store, name)
        return self.counted(real) if name in CHANGES else real

    def counted(self, real):
        def change(*args, **how):
            if self.left == 0:
                raise self.error("no more")
            self.left -= 1
            return real(*args, **how)

        return change


@pytest.fixture(params=["memory", "files"])
def store(request, tmp_path):
    return open_memory() if request.param == "memory" else open_files(str(tmp_path / "data"))


def everything(store):
    """Every value in the folders that can hold one."""
    keys = [entry.name for entry in store.list("")]
    for folder in (*seeds.FOLDERS, "goals"):
        keys += [f"{folder}/{entry.name}" for entry in store.list(folder)]
    return {key: store.read(key).data for key in keys}


def changes_of_a_seeding():
    counter = CrashingStore(open_memory(), at=1000)
    seeds.seed(counter, NOW)
    return 1000 - counter.left


def test_a_fresh_data_dir_is_seeded_whole(store):
    """An empty data dir gets the six first files and nothing else.

    Source: spec/cli.md §5
    """
    assert seeds.seed(store, NOW) is True
    assert everything(store) == WHOLE


def test_the_seed_comes_once(store):
    """With a PLAYBOOK.md there, nothing is written, whatever else is missing.

    Source: spec/edge-cases.md item 248.
    """
    store.write("PLAYBOOK.md", b"mine")
    assert seeds.seed(store, NOW) is False
    assert everything(store) == {"PLAYBOOK.md": b"mine"}


def test_an_empty_playbook_counts_as_one(store):
    """A PLAYBOOK.md that a person emptied is theirs, not absent."""
    store.write("PLAYBOOK.md", b"")
    assert seeds.seed(store, NOW) is False


def test_a_deleted_playbook_seeds_everything_again(store):
    """Without PLAYBOOK.md all is seeded again, and a same-named ask is asked anew.

    Source: spec/edge-cases.md item 248.
    """
    seeds.seed(store, NOW - 1000)
    store.swap("PLAYBOOK.md", seeds.PLAYBOOK.encode(), None)
    store.swap("goals/setup.md", seeds.SETUP.encode(), None)
    assert seeds.seed(store, NOW) is True
    assert everything(store) == WHOLE


@pytest.mark.parametrize("key", PERSONS)
def test_what_a_person_wrote_stays(store, key):
    """A goal, sensor or .gitignore that is already there keeps its content; the rest is seeded around it."""
    store.write(key, b"mine")
    assert seeds.seed(store, NOW) is True
    assert everything(store) == WHOLE | {key: b"mine"}


def test_a_playbook_written_meanwhile_stays():
    """A PLAYBOOK.md that appears while we seed is kept, and this call says it was not the one that seeded."""
    store = open_memory()

    class Raced(CrashingStore):
        def counted(self, real):
            store.create("PLAYBOOK.md", b"mine")
            return real

    assert seeds.seed(Raced(store, at=0), NOW) is False
    assert store.read("PLAYBOOK.md").data == b"mine"


@pytest.mark.parametrize("error", [Crash, Unwritable])
@pytest.mark.parametrize("at", range(changes_of_a_seeding()))
def test_a_crash_anywhere_seeds_again(store, at, error):
    """Cut off before any of its changes, a seeding leaves no PLAYBOOK.md, and the next one leaves the whole seed."""
    with pytest.raises(error):
        seeds.seed(CrashingStore(store, at, error), NOW)
    assert store.read("PLAYBOOK.md") is None
    assert seeds.seed(store, NOW) is True
    assert everything(store) == WHOLE


@pytest.mark.parametrize("at", range(changes_of_a_seeding()))
def test_a_crash_anywhere_loses_nothing(store, at):
    """Whatever a person writes between a cut-off seeding and the next one is there afterwards."""
    with pytest.raises(Crash):
        seeds.seed(CrashingStore(store, at), NOW)
    for key in PERSONS:
        store.write(key, b"mine")
    seeds.seed(store, NOW)
    assert everything(store) == WHOLE | dict.fromkeys(PERSONS, b"mine")


def test_an_unreadable_playbook_is_not_absent(tmp_path):
    """When PLAYBOOK.md is there and cannot be read, Unreadable comes through and nothing is written."""
    (tmp_path / "PLAYBOOK.md").mkdir()
    with pytest.raises(Unreadable):
        seeds.seed(open_files(str(tmp_path)), NOW)
    assert [path.name for path in tmp_path.iterdir()] == ["PLAYBOOK.md"]


def test_the_sensor_runs(tmp_path):
    """The seeded sensor is executable, is the only sensor, and prints today's date as one JSON object.

    Source: spec/cli.md §5
    """
    store = open_files(str(tmp_path))
    seeds.seed(store, NOW)
    assert [(one.stem, one.executable) for one in Sensors(store).all()] == [("today", True)]
    said = subprocess.run([str(tmp_path / "sensors/today.sh")], capture_output=True, check=True)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", msgspec.json.decode(said.stdout)["date"])
    assert said.stderr == b""


def test_half_a_sensor_is_no_sensor(store):
    """Wherever a seeding is cut off, sensors/ shows an executable today.sh or none."""
    for at in range(changes_of_a_seeding()):
        with pytest.raises(Crash):
            seeds.seed(CrashingStore(store, at), NOW)
        assert {(one.stem, one.executable) for one in Sensors(store).all()} <= {("today", True)}


def test_the_ask_is_a_whole_record():
    """setup-1 reads back as an ask of the synthetic worker `setup`, and its empty fields are not written.

    Source: spec/workers.md §9
    """
    written = msgspec.json.decode(seeds.setup_ask(NOW))
    assert sorted(written) == ["id", "prompt", "reference", "ts", "v", "worker"]
    ask = msgspec.json.decode(seeds.setup_ask(NOW), type=Ask)
    assert (ask.id, ask.worker, ask.ts, ask.reference, ask.v) == ("setup-1", "setup", NOW, "goals/setup.md", 1)


def test_the_ask_is_stable():
    """The same moment gives the same bytes, and a clock at zero still leaves a ts."""
    assert seeds.setup_ask(0) == seeds.setup_ask(0)
    assert msgspec.json.decode(seeds.setup_ask(0))["ts"] == 0


@pytest.mark.parametrize("text", [seeds.SETUP, seeds.PLAYBOOK_DAILY])
def test_seeded_goals_cannot_fire(text):
    """A seeded goal declares nothing: no condition, no reflex."""
    assert parse_goal(text) == GoalSpec()


def example_goal():
    """The goal that setup.md shows, as a person would copy it."""
    lines = re.search(r"(?ms)^       ---\n.*?^       ---\n", seeds.SETUP)[0]
    return re.sub(r"(?m)^       ", "", lines)


def test_the_example_goal_works():
    """The goal shown in setup.md is one a person can paste: it is accepted, and acts only on a clean, late copy."""
    spec = parse_goal(example_goal())
    (reflex,) = spec.reflexes

    def scope(behind, dirty):
        return {"sensor": {"repo": {"signal": {"behind": behind, "dirty": dirty}, "detail": {}}}}

    assert cel.holds(spec.done, scope(0, True)) is True
    assert [cel.holds(reflex.when, scope(*at)) for at in ((2, False), (2, True), (0, False))] == [True, False, False]
    for nothing in ((None, False), (None, None), (2, None), (0, None)):
        assert cel.holds(spec.done, scope(*nothing)) is (nothing[0] == 0)
        assert cel.holds(reflex.when, scope(*nothing)) is False


def test_the_texts_name_what_exists():
    """The PLAYBOOK names all the moves; the setup texts name the ask and the commands of the first five minutes."""
    for move in ALL_MOVES:
        assert f"`{move.__struct_config__.tag}`" in seeds.PLAYBOOK
    for text in (seeds.SETUP, seeds.setup_ask(NOW).decode()):
        assert "looop sensor add git-repo repo --path ~/app" in text
        assert "setup-1" in text
        assert "nterview them" in text
    assert "tick_command" in seeds.SETUP
    assert "looop goal archive setup" in seeds.SETUP


def test_git_ignores_scratch_and_keeps_policy(tmp_path):
    """git sees the policy files and the journal, and none of what the loop can make again.

    Source: spec/cli.md §5
    """
    store = open_files(str(tmp_path))
    seeds.seed(store, NOW)
    kept = ["playbook.d/1.md", "schedules/a.json", "goals/archive/g.md", "journal.md", "sensors/x.py"]
    scratch = [f"{name}/a.json" for name in ("snapshots", "prompts", "runs", "claims", "reports", "asks", "answers")]
    scratch += ["tells/consumed/a.json", "sessions/a/log", "verify/a", ".lock/pid", ".last-tick-hash", "tick.log"]
    scratch += ["events.jsonl", "events.jsonl.1", ".decision.json", "sensors/__pycache__/x.pyc"]
    for key in kept + scratch:
        store.write(key, b"x")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    seen = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=tmp_path, capture_output=True, text=True
    )
    ours = [key for key in WHOLE if not key.startswith("asks/")]
    assert sorted(seen.stdout.split("\n")[:-1]) == sorted(kept + ours)


def test_what_must_not_leave_the_machine_is_ignored_by_git():
    """A data dir that is kept in git keeps the token that signs answers, and the book of pushes, out of it."""
    ignored = seeds.GITIGNORE.split("\n")
    assert {"/notify.token", "/notices.jsonl*"} <= set(ignored)
