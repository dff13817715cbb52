"""What a clean interpreter loads: importing costs only what was asked for."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src/looop"
HEAVY = (
    "asyncio",
    "argparse",
    "logging",
    "subprocess",
    "http",
    "email",
    "yaml",
    "watchdog",
    "cel_expr_python",
    "tree_sitter",
)


def loaded_by(code: str) -> set[str]:
    """Names of the modules a fresh interpreter has after `code`, without those it starts with."""
    script = f"import sys; before = set(sys.modules)\n{code}\nprint('\\n'.join(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_looop_imports_nothing_else():
    """`import looop` costs nothing and runs nothing."""
    assert loaded_by("import looop") == {"looop"}


def test_the_version_is_answered_by_the_front_door():
    """`looop version` loads no room."""
    loaded = loaded_by(
        "import io\nsys.argv = ['looop', 'version']; out, sys.stdout = sys.stdout, io.StringIO()\n"
        "import looop.__main__ as front\nassert front.main() == 0; sys.stdout = out"
    )
    assert {name for name in loaded if name.startswith("looop")} == {"looop", "looop.__main__"}


def test_nobody_takes_stdout_away():
    """No room behind the clients puts another stdout in its place, so no window can lose one, or leave it lost.

    Source: edge case 165.
    """
    taken = re.compile(r"redirect_std|sys\.std(out|err) = |\bdup2\(")
    rooms = [path for path in SOURCE.rglob("*.py") if path.relative_to(SOURCE).parts[0] not in ("clients", "session")]
    assert len(rooms) > 100
    found = {path.name for path in rooms if taken.search(path.read_text(encoding="utf-8"))}
    assert found == {"__main__.py", "model.py", "delivery.py"}  # a process at its end; children with their own voice


@pytest.mark.parametrize("heavy", HEAVY)
def test_state_loads_nothing_it_does_not_use(tmp_path, heavy):
    """`looop state` on a plain data dir loads no process, watching, YAML, CEL or parsing library."""
    code = (
        f"import os; os.environ['LOOOP_DATA_DIR'] = {str(tmp_path)!r}\n"
        "import contextlib, io\n"
        "from looop.__main__ import Loop\n"
        "from looop.clients.cli.app import run\n"
        "with contextlib.redirect_stdout(io.StringIO()): assert run(['state', '--json'], Loop()) == 0\n"
    )
    assert heavy not in loaded_by(code)


@pytest.mark.parametrize("room", ["model", "rules", "store", "config", "state", "contract"])
def test_no_package_runs_code_when_it_is_entered(room):
    """A package's `__init__` holds its entry rule and nothing else."""
    import ast
    import importlib.util

    spec = importlib.util.find_spec(f"looop.{room}")
    assert spec and spec.origin
    with open(spec.origin, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    assert len(tree.body) == 1
    assert "Entry rule:" in (ast.get_docstring(tree) or "")
