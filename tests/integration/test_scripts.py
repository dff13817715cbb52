"""The commands of scripts/ on a fresh clone in an empty home: what the README promises first."""

import os
import shutil
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not os.path.exists(os.path.join(ROOT, ".git")), reason="needs the repository to clone"),
]


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A fresh clone, and the environment of somebody who has just logged in."""
    folder = tmp_path_factory.mktemp("fresh")
    subprocess.run(["git", "clone", "-q", ROOT, str(folder / "looop")], check=True)
    (folder / "home").mkdir()
    kept = {key: value for key, value in os.environ.items() if key.startswith(("PIP_", "UV_", "SSL_"))}
    env = kept | {"HOME": str(folder / "home"), "PATH": os.environ["PATH"], "TMPDIR": str(folder), "LANG": "C.UTF-8"}
    return str(folder / "looop"), env


def run(clone, *words):
    folder, env = clone
    return subprocess.run(words, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)


def test_the_demo_installs_looop_and_tells_its_story(clone):
    """`scripts/demo` works on a clone nobody has touched and hands its words on: the worker asks, and repairs."""
    done = run(clone, "scripts/demo", "--answer", "yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The worker, in a terminal of its own" in done.stdout
    assert "2 repairs, 1 question, 0 model calls" in done.stdout
    assert "yes (given by --answer)" in done.stdout
    assert not os.path.exists(os.path.join(clone[1]["HOME"], ".local"))


def test_install_says_where_looop_is(clone):
    """`scripts/install` ends with the place of the command, and with --link on the path of that home."""
    assert ".venv/bin/looop" in run(clone, "scripts/install").stderr
    assert run(clone, "scripts/install", "--link").returncode == 0
    linked = os.path.join(clone[1]["HOME"], ".local", "bin", "looop")
    assert subprocess.run([linked, "version"], capture_output=True, text=True).stdout.startswith("looop ")
    assert run(clone, "scripts/install", "--nonsense").returncode == 1


def test_an_old_python_is_one_clear_line(clone, tmp_path):
    """Without Python 3.11 the scripts say what is needed and how to name it, and change nothing."""
    shims = tmp_path / "bin"
    shims.mkdir()
    for name in ("sh", "dirname", "cat", "cksum", "printf"):
        os.symlink(shutil.which(name), shims / name)
    folder, env = clone
    done = subprocess.run(
        ["scripts/install"],
        cwd=folder,
        env=env | {"PATH": str(shims), "LOOOP_VENV": str(tmp_path / "venv")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "Python 3.11" in done.stderr
    assert not (tmp_path / "venv").exists()
