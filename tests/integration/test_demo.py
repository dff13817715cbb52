"""`looop demo`, run as a person runs it, under everything a person's machine may throw at it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from looop.__main__ import Loop
from looop.clients.cli.app import run
from looop.clients.demo.page import Page, difference, facts
from looop.clients.demo.props import REPAIR
from looop.clients.demo.story import NotAsPromised, tell
from looop.model.errors import Missing
from looop.model.records import CostRow
from looop.model.world import Change
from looop.state.open import open_house

DEMO = [sys.executable, "-m", "looop", "demo"]
GIT = shutil.which("git")
HOSTILE = """\
[user]
    useConfigOnly = true
[commit]
    gpgsign = true
    template = /nonexistent
[gpg]
    program = /nonexistent
[init]
    defaultBranch = trunk
    templateDir = {home}/template
[core]
    hooksPath = {home}/hooks
    editor = false
    autocrlf = true
    excludesFile = {home}/everything
[alias]
    revert = !false
[log]
    showSignature = true
[color]
    ui = always
"""
GIT_WRAPPER = """\
#!/bin/sh
# git, and once, from its Nth call on, a signal to the demo
echo . >>"$DEMO_FOLDER/calls"
if [ "$(wc -l <"$DEMO_FOLDER/calls")" -ge "$DEMO_AT" ] && mkdir "$DEMO_FOLDER/sent" 2>/dev/null; then
    while [ ! -s "$DEMO_FOLDER/pid" ]; do sleep 0.01; done
    for name in $DEMO_SIGNALS; do kill -s "$name" "$(cat "$DEMO_FOLDER/pid")"; done
fi
exec "$DEMO_GIT" "$@"
"""
GIT_THAT_HANGS = """\
#!/bin/sh
# git, but the worker's repair never ends, and sends a signal to the demo
case "$*" in *revert*) ;; *) exec "$DEMO_GIT" "$@" ;; esac
while [ ! -s "$DEMO_FOLDER/pid" ]; do sleep 0.01; done
trap '' HUP TERM INT
for name in $DEMO_SIGNALS; do kill -s "$name" "$(cat "$DEMO_FOLDER/pid")"; done
sleep 60
"""


@pytest.fixture
def machine(tmp_path):
    """A machine with an empty scratch place and no home; Ctrl-C works even if the suite itself ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield Machine(tmp_path)
    signal.signal(signal.SIGINT, before)


class Machine:
    """Runs the demo with an environment of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.scratch = folder / "scratch with space"
        self.scratch.mkdir()
        self.env = {
            "PATH": os.environ["PATH"],
            "TMPDIR": str(self.scratch),
            "XDG_STATE_HOME": str(folder / "state"),
            "LANG": "C.UTF-8",
        } | {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}

    def start(self, *words, **env):
        return subprocess.Popen(
            [*DEMO, *words],
            env=self.env | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
        )

    def demo(self, *words, **env):
        process = self.start(*words, **env)
        out, err = process.communicate(timeout=50)
        return process.returncode, out, err

    def left(self):
        """What is left in the scratch place, and every process that began there."""
        return sorted(path.name for path in self.scratch.iterdir()) + self.running()

    def running(self):
        """The processes, workers and their supervisors too, that have this machine's environment."""
        mark, found = b"\0TMPDIR=" + os.fsencode(self.scratch) + b"\0", []
        for pid in filter(str.isdigit, os.listdir("/proc") if os.path.isdir("/proc/self") else []):
            try:
                with open(f"/proc/{pid}/environ", "rb") as environ, open(f"/proc/{pid}/comm") as comm:
                    found += [comm.read().strip()] if mark in b"\0" + environ.read() + b"\0" else []
            except OSError:
                continue
        return found

    def put_git(self, text):
        """Another git, first on the PATH; returns the environment that has it."""
        bin_dir = self.folder / "bin"
        bin_dir.mkdir()
        (bin_dir / "git").write_text(text)
        (bin_dir / "git").chmod(0o755)
        path = f"{bin_dir}:{self.env['PATH']}"
        return {"PATH": path, "DEMO_GIT": GIT, "DEMO_FOLDER": str(self.folder)}

    def interrupted(self, **env):
        """A demo that is told its pid; its exit code and what it said."""
        process = self.start(**env)
        (self.folder / "pid").write_text(str(process.pid))
        out, err = process.communicate(timeout=50)
        return process.returncode, out, err

    def kept(self):
        [name] = self.left()
        return self.scratch / name

    def be_hostile(self):
        """A home, a system config and an environment in which almost no git command works."""
        home = self.folder / "home"
        for hook in ("hooks/pre-commit", "hooks/commit-msg", "template/hooks/pre-commit"):
            path = home / hook
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("#!/bin/sh\nexit 1\n")
            path.chmod(0o755)
        (home / "everything").write_text("*\n")
        (home / ".gitconfig").write_text(HOSTILE.format(home=home))
        (home / "broken").write_text("[this is not\n")
        self.env |= {
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home),
            "GIT_CONFIG_SYSTEM": str(home / "broken"),
            "GIT_DIR": str(home / "elsewhere"),
            "GIT_WORK_TREE": str(home / "elsewhere"),
            "GIT_AUTHOR_NAME": "",
            "GIT_TEMPLATE_DIR": str(home / "template"),
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "commit.gpgsign",
            "GIT_CONFIG_VALUE_0": "true",
            "LOOOP_DATA_DIR": str(self.folder / "mine"),
            "LOOOP_INTERVAL": "nonsense",
            "LOOOP_SENSOR_MAX_BYTES": "1",
        }


def git(app, *words):
    env = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.run(
        ["git", "-C", app, *words], env=env, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_keeps_a_world_in_its_desired_state(machine):
    """With --keep the reverts, the passing tests, the journal and the bundles are there, and no bill."""
    code, out, err = machine.demo("--keep")
    assert (code, err) == (0, "")
    root = machine.kept()
    subjects = git(root / "app", "log", "--format=%s").splitlines()
    assert subjects[:2] == ['Revert "Tidy up"', "Tidy up"]
    assert subjects[2:4] == ['Revert "Simplify the discount"', "Simplify the discount"]
    assert git(root / "app", "diff", "HEAD", "HEAD~4") == ""
    assert git(root / "app", "status", "--porcelain") == ""
    tests = subprocess.run([sys.executable, "-B", "-m", "unittest"], cwd=root / "app", capture_output=True)
    assert tests.returncode == 0, tests.stderr
    journal = (root / "looop" / "journal.md").read_text()
    assert journal.count("reflex tests-green#0 · start-worker tests-green") == 2
    outcomes = [json.loads(path.read_text()) for path in (root / "looop" / "runs").glob("*/outcome.json")]
    assert sorted(outcome["source"] for outcome in outcomes) == ["none"] * 5 + ["reflex tests-green#0"] * 2
    assert not (root / "looop" / "cost.jsonl").exists()
    assert not list((root / "looop").glob("runs/*/prompt.md"))
    assert "8 beats, 2 repairs, 1 question, 0 model calls, $0.00" in out
    verdict = json.loads((root / "looop" / "verify" / "tests-green.json").read_text())
    assert verdict["ok"] is True
    assert git(root / "app", "worktree", "list").count("\n") == 0
    assert machine.running() == []
    assert not (machine.folder / "state").exists()


@pytest.mark.parametrize("answer", ["yes", "no", "later"])
def test_what_it_says_to_look_at_can_be_looked_at(machine, answer):
    """Every command in the list at the end of --keep works, with the configuration of whoever types it."""
    _, out, _ = machine.demo("--keep", "--answer", answer)
    commands = out.split("Kept for you to look at\n")[1].splitlines()
    words = [re.split(r"   +", line.strip())[0] for line in commands]
    assert words[-1].startswith("rm -rf ")
    done = subprocess.run(
        ["sh", "-euc", "\n".join(words)], env=machine.env, cwd=machine.folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "tests-green" in done.stdout and "done when: sensor.tests.signal.failed == 0" in done.stdout
    assert machine.left() == []


def test_leaves_nothing(machine):
    """Without --keep nothing is left behind, and stdout is plain text of at most 80 columns."""
    code, out, err = machine.demo()
    assert (code, err, machine.left()) == (0, "", [])
    assert "\x1b" not in out and "!" not in re.sub("!(worker|sensor)[.]", "", out)
    ours = (str(machine.scratch), sys.prefix)
    assert [line for line in out.splitlines() if len(line) > 80 and not any(path in line for path in ours)] == []


def test_a_persons_git_does_not_interfere(machine):
    """Signing, hooks, templates, aliases, broken config files, GIT_* and LOOOP_* variables change nothing."""
    machine.be_hostile()
    code, out, err = machine.demo()
    assert (code, err, machine.left()) == (0, "", [])
    assert "branch main" in out
    assert not (machine.folder / "mine").exists()


def test_a_terminal_without_unicode(machine):
    """Where the terminal's encoding knows no arrows, plain signs stand in for them."""
    code, out, err = machine.demo(PYTHONIOENCODING="ascii")
    assert (code, err) == (0, "")
    assert "tests: failed 0 > 2 - head" in out


@pytest.mark.parametrize("at", [1, 7, 20, 33, 45, 60, 80, 100, 130])
@pytest.mark.parametrize(("signals", "expected"), [("INT INT", 130), ("TERM", 143), ("HUP TERM INT", 129)])
def test_a_signal_leaves_nothing(machine, at, signals, expected):
    """Ctrl-C, SIGTERM and a closed terminal end it at any point, also twice; no folder and no process is left."""
    code, out, err = machine.interrupted(**machine.put_git(GIT_WRAPPER), DEMO_AT=str(at), DEMO_SIGNALS=signals)
    assert code == expected, (out, err)
    assert "Traceback" not in err
    assert "8 beats" not in out
    assert machine.left() == []


@pytest.mark.parametrize(("signals", "expected"), [("INT", 130), ("TERM TERM", 143), ("HUP", 129)])
def test_a_signal_while_the_worker_works_leaves_nothing(machine, signals, expected):
    """A worker that hears no signal itself, in the middle of its work, is gone with the demo and its folder."""
    began = time.monotonic()
    code, out, err = machine.interrupted(**machine.put_git(GIT_THAT_HANGS), DEMO_SIGNALS=signals)
    assert (code, err.strip()) == (expected, "")
    assert "the loop starts a worker" in out and "the loop looks again" not in out
    assert machine.left() == []
    assert time.monotonic() - began < 30


def test_a_reader_who_goes_away_leaves_nothing(machine):
    """`looop demo | head -3` removes its folder all the same."""
    with machine.start() as process:
        for _ in range(3):
            process.stdout.readline()
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()
    assert machine.left() == []


@pytest.mark.parametrize("missing", ["git", "bash"])
def test_says_what_to_install(machine, missing):
    """Without git or bash one line says which is missing and how to get it, and nothing is made."""
    bin_dir = machine.folder / "bin"
    bin_dir.mkdir()
    for name in {"git", "bash", "sh"} - {missing}:
        (bin_dir / name).symlink_to(shutil.which(name))
    code, out, err = machine.demo(PATH=str(bin_dir))
    assert (code, out, machine.left()) == (1, "", [])
    assert err == (
        f"looop: the demo needs {missing}, which is not on the PATH: "
        f"install it (apt-get, dnf, apk or brew install {missing}) and try again\n"
    )


def test_a_git_that_does_not_run_is_reported(machine):
    """A git that only says how it could be installed, as on a fresh macOS, is as good as none."""
    (machine.folder / "git").write_text("#!/bin/sh\necho 'no developer tools were found' >&2\nexit 1\n")
    (machine.folder / "git").chmod(0o755)
    code, _, err = machine.demo(PATH=f"{machine.folder}:{machine.env['PATH']}")
    assert code == 1
    assert "git, which does not run here: no developer tools were found" in err


def test_no_place_for_a_scratch_folder(tmp_path, monkeypatch, capsys):
    """Where no folder can be made, one line says so and what decides where."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    assert run(["demo"], Loop()) == 1
    assert "cannot make a scratch folder: No such file or directory (TMPDIR says" in capsys.readouterr().err


class Planted(Loop):
    """A loop whose demo goal runs another repair, and whose beats may have something slipped in."""

    repair = REPAIR

    def elsewhere(self, data_dir):
        copy = type(self)(data_dir)
        copy.data_dir = data_dir
        return copy

    def demo(self, *, keep, answer=None):
        tell(self, keep=keep, answer=answer, repair=self.repair)


APP = '"$(git rev-parse --git-common-dir)/.."'
FAKE_REVERT = "git commit --quiet --allow-empty -m 'Revert nothing'"
FAKE_MERGE = f"git -C {APP} merge --quiet --ff-only $(git rev-parse HEAD)"


@pytest.mark.parametrize(
    ("repair", "said"),
    [
        ("echo nothing", "expected worker tests-green to end well, but it exited with 1: "),
        ("exit 3", "expected worker tests-green to end well, but it exited with 3: "),
        ("kill -KILL $$", "expected worker tests-green to end well, but it exited with 137: "),
        ("exit 0", "expected one new commit on top of the one that broke the app"),
        (f"{FAKE_REVERT}; {FAKE_MERGE}; exit 0", "expected goal tests-green to read done, but the beat was decided"),
        (f"git -C {APP} reset --quiet --hard HEAD~1; exit 0", "expected one new commit on top"),
        (f"{REPAIR}; touch {APP}/litter-$$", "expected the files to be those of commit"),
        (f"{REPAIR}; touch litter", "expected worker tests-green to end well"),
        ("sleep 60", "expected worker tests-green to end within 2 s"),
    ],
)
def test_a_repair_that_does_not_repair_is_found_out(repair, said, tmp_path, monkeypatch, capsys):
    """When the reflex does not do what it should, the demo ends with exit code 1 and what was expected."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("looop.clients.demo.story._WORKER_S", 2)
    environ, handlers = dict(os.environ), [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    engine = Planted()
    engine.repair = repair
    assert run(["demo"], engine) == 1
    out, err = capsys.readouterr()
    assert said in err and err.count("\n") == 1
    assert "model calls, $" not in out
    assert list(tmp_path.iterdir()) == []
    assert os.environ == environ
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers


class Spending(Planted):
    """A loop that asks a model behind everybody's back."""

    def beat(self, **options):
        report = super().beat(**options)
        row = CostRow(ts="2030-01-01T00:00:00Z", kind="tick", id="x", runner="sly", metered=False)
        open_house(data_dir=self.data_dir)[0].ledger.append(row)
        return report


def test_the_bill_is_counted(tmp_path, monkeypatch):
    """The number of model calls comes from the ledger: one row in it, and the demo fails."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(NotAsPromised, match="expected no model to be asked, but 3 model calls"):
        tell(Spending(), keep=False)


def test_without_git_nothing_is_told(monkeypatch, capsys):
    """Called as a function it raises the error the command line prints."""
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(Missing, match="needs git"):
        tell(Loop(), keep=False)
    assert capsys.readouterr().out == ""


def test_a_whole_telling_is_quick(machine):
    """The promise is under a minute; on any machine that runs this suite it takes a small part of that."""
    began = time.monotonic()
    assert machine.demo()[0] == 0
    assert time.monotonic() - began < 15


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (Change("changed", "snap:sensor-a", '{"n":1,"x":2}', '{"n":3,"x":2}', "trusted"), "a: n 1 → 3"),
        (Change("changed", "snap:sensor-a", '{"n":1}', '{"m":true}', "trusted"), "a: m null → yes · n 1 → null"),
        (
            Change("changed", "snap:sys-sessions", "[]", '[{"id":"w","health":"dead"}]', "trusted"),
            "sys-sessions: none → w (health dead)",
        ),
        (Change("changed", "snap:sys-x", "[1]", "[2]", "trusted"), "sys-x: [1] → [2]"),
        (Change("changed", "snap:sensor-a", "no json", "nor this", "trusted"), "a: no json → nor this"),
        (Change("added", "snap:sensor-a", None, '{"n":1}', "trusted"), "a is added"),
        (Change("changed", "goal:g", None, None, "trusted"), "goal:g is edited"),
    ],
)
def test_differences_in_words(change, words):
    """A change reads as what it was and what it is, only where it differs."""
    assert difference(change) == words


def test_facts_in_words():
    """A signal reads as its fields; commits are short, null is left out, anything but an object stands as it is."""
    assert facts({"commit": "0123456789ab", "dirty": False, "ahead": None, "n": 1}) == "commit 0123456 · dirty no · n 1"
    assert facts([1]) == "[1]"


def test_colour_only_where_asked(capsys):
    """With colour every painted word is reset; without there is no escape, and none comes in from outside."""
    page = Page(sys.stdout, colour=True)
    page.row("goal", "done", "good")
    assert "\x1b[32mdone\x1b[0m" in capsys.readouterr().out
    Page(sys.stdout, colour=False).row("goal", "evil \x1b[31m text", "good")
    assert "\x1b" not in capsys.readouterr().out
