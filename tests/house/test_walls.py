"""Every wall of the house has been seen to bite: each import contract fails on a violation planted in a copy."""

import ast
import os
import shutil
import subprocess
import sys
import tomllib

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

VIOLATIONS = {
    "house": ("state/goals.py", "import looop.pulse.beat"),
    "no-cycles": ("rules/due.py", "import looop.rules.reflexes\nimport looop.rules.due"),
    "clients-drive-the-contract": ("clients/cli/read.py", "import looop.state.goals"),
    "clients-unaware": ("clients/demo/__init__.py", "import looop.clients.cli.show"),
    "pulse-unaware": ("pulse/beat.py", "import looop.contract.verbs"),
    "core-without-ui": ("contract/verbs.py", "import click"),
    "rules-are-pure": ("rules/gates.py", "import time"),
    "session-stands-alone": ("session/fleet.py", "import looop.model.ids"),
    "supervisor-is-light": ("session/wire.py", "import socket"),
    "store-by-its-door": ("state/goals.py", "import looop.store.files"),
    "processes-in-one-room": ("act/shell.py", "import subprocess"),
    "state-unaware": ("state/goals.py", "import looop.state.journal"),
}
CYCLE = ("rules/reflexes.py", "import looop.rules.due")


def contracts() -> list[str]:
    with open(os.path.join(ROOT, "pyproject.toml"), "rb") as file:
        return [wall["id"] for wall in tomllib.load(file)["tool"]["importlinter"]["contracts"]]


def lint(tree: str, contract: str) -> subprocess.CompletedProcess[str]:
    program = os.path.join(os.path.dirname(sys.executable), "lint-imports")
    return subprocess.run(
        [program, "--no-cache", "--contract", contract],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": os.path.join(tree, "src")},
        capture_output=True,
        text=True,
    )


def test_every_wall_has_a_planted_violation():
    """A wall nobody has seen bite is not a wall: the table above names one violation for each contract."""
    assert sorted(contracts()) == sorted(VIOLATIONS)


@pytest.mark.slow
@pytest.mark.parametrize("contract", sorted(VIOLATIONS))
def test_the_wall_bites(tmp_path, contract):
    """The contract holds in the tree as it is, and fails once its violation is planted."""
    shutil.copytree(os.path.join(ROOT, "src"), tmp_path / "src")
    shutil.copy(os.path.join(ROOT, "pyproject.toml"), tmp_path)
    assert lint(str(tmp_path), contract).returncode == 0
    plants = [VIOLATIONS[contract]] + ([CYCLE] if contract == "no-cycles" else [])
    for path, line in plants:
        target = tmp_path / "src" / "looop" / path
        target.write_text(target.read_text() + f"\n{line}\n")
    broken = lint(str(tmp_path), contract)
    assert broken.returncode == 1
    assert "BROKEN" in broken.stdout


@pytest.mark.slow
def test_a_new_room_must_be_given_a_floor(tmp_path):
    """A package that no layer names fails the build."""
    shutil.copytree(os.path.join(ROOT, "src"), tmp_path / "src")
    shutil.copy(os.path.join(ROOT, "pyproject.toml"), tmp_path)
    room = tmp_path / "src" / "looop" / "attic"
    room.mkdir()
    (room / "__init__.py").write_text('"""A room without a floor."""\n')
    assert lint(str(tmp_path), "house").returncode == 1


BANNED = {
    "os.environ": "import os\n\nHOME = os.environ.get('HOME')\n",
    "time.time": "import time\n\nNOW = time.time()\n",
    "datetime.now": "from datetime import datetime\n\nNOW = datetime.now()\n",
    "time.sleep": "import time\n\n\ndef nap() -> None:\n    time.sleep(1)\n",
    "os.replace": "import os\n\nos.replace('a', 'b')\n",
    "print": "print('x')\n",
    "shell": "import subprocess\n\nsubprocess.run('ls', shell=True)\n",
    "relative": "from . import beat\n",
    "apprise": "import apprise\n\nprint(apprise)\n",
    "anthropic": "import anthropic\n\nprint(anthropic)\n",
    "openai": "def ask() -> None:\n    import openai\n\n    openai.OpenAI()\n",
    "genai_prices": "from genai_prices import calc_price\n\nPRICE = calc_price\n",
    "broad except": "try:\n    pass\nexcept Exception:\n    pass\n",
}


@pytest.mark.parametrize("what", sorted(BANNED))
def test_the_linter_bites(tmp_path, what):
    """Each banned call is refused where it does not belong, by the rules of pyproject.toml."""
    ruff = os.path.join(os.path.dirname(sys.executable), "ruff")
    room = tmp_path / "src" / "looop" / "pulse"
    room.mkdir(parents=True)
    shutil.copy(os.path.join(ROOT, "pyproject.toml"), tmp_path)
    (room / "planted.py").write_text('"""Planted."""\n\n' + BANNED[what])
    found = subprocess.run([ruff, "check", "--no-cache", str(room)], cwd=tmp_path, capture_output=True, text=True)
    assert found.returncode == 1, found.stdout
    assert any(rule in found.stdout for rule in ("TID25", "T201", "S602", "BLE001")), found.stdout


OPENERS = {
    "store/fsio.py",  # the system calls of the store
    "decide/bundle.py",  # a named writer: the run bundle
    "contract/scratch.py",  # the demo's scratch folder, which is nobody's data dir
    "runtime/lock.py",  # the lock file and the pid note beside it
}


def opens_a_file(tree: ast.AST) -> bool:
    """Whether the built-in `open` is called to write: ruff's ban does not see built-ins."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    modes = [
        [*call.args[1:2], *(word.value for word in call.keywords if word.arg == "mode")]
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "open"
    ]
    return any(not isinstance(mode, ast.Constant) or set(mode.value) & set("wax+") for found in modes for mode in found)


def test_only_named_writers_open_files():
    """Durable data goes through the store; everybody else asks it."""
    assert opens_a_file(ast.parse("with open('x', 'w') as file: pass"))
    found = set()
    for folder, _, names in os.walk(os.path.join(ROOT, "src", "looop")):
        for name in (name for name in names if name.endswith(".py")):
            path = os.path.join(folder, name)
            with open(path, encoding="utf-8") as file:
                if opens_a_file(ast.parse(file.read())):
                    found.add(os.path.relpath(path, os.path.join(ROOT, "src", "looop")))
    assert found <= OPENERS
