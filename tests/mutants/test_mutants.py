"""The mutation check's own tests: which changes it makes, which it leaves, and that it kills."""

import ast
import subprocess
import sys

import pytest

from tests.mutants.mutate import mutants
from tests.mutants.run import ROOT, _read, explained, modules


def changes(source: str) -> list[str]:
    """The mutants of a text, as they are shown."""
    return [f"{mutant.old} → {mutant.new}" for mutant in mutants("m.py", source)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a < b", ["a < b → a <= b", "a < b → a >= b"]),
        ("a == b", ["a == b → a != b"]),
        ("a is not None", ["a is not None → a is None"]),
        ("0 <= a", ["0 <= a → 0 < a", "0 <= a → 0 > a", "0 <= a → 1 <= a"]),
        ("a and b", ["a and b → a or b"]),
        ("not a", ["not a → a"]),
        ("a if b else c", ["a if b else c → a if not b else c"]),
        ("x = 3", ["x = 3 → x = 4", "x = 3 → x = 2"]),
        ("x = True", ["x = True → x = False"]),
        ("x = 'word'", ["x = 'word' → x = ''"]),
        ("x = b''", ["x = b'' → x = b'x'"]),
        ("a - b", ["a - b → a + b"]),
        ("x += a", ["x += a → x -= a", "x += a → nothing"]),
        ("f(a)", ["f(a) → nothing"]),
        ("x = f(a, b=c)", ["x = f(a, b=c) → x = f(a)"]),
        ("x = min(a)", ["x = min(a) → x = max(a)"]),
        ("x = [a for a in b if a]", ["x = [a for a in b if a] → x = [a for a in b]"]),
        ("def f():\n return a", ["return a → return None"]),
        ("def f(a=1):\n pass", ["1 → 2", "1 → 0"]),
        ("for a in b:\n if a:\n  continue", ["if a → if not a", "continue → break"]),
        ("raise a", ["raise a → nothing"]),
        ("with suppress(E):\n pass", ["with suppress(E) → with suppress()"]),
    ],
)
def test_every_kind_of_change_is_made(source: str, expected: list[str]) -> None:
    """Each operator makes the changes it is there for."""
    made = changes(source)
    assert [change for change in expected if change not in made] == []


@pytest.mark.parametrize(
    "source",
    [
        '"""Words."""',
        "import a",
        "A = Literal['a']",
        "x: 'A'",
        "def f(a=1): ...",
        "@cache(3)\ndef f(a: 'A') -> 'B': ...",
        "class A(B, frozen=True): ...",
    ],
)
def test_what_says_nothing_stays(source: str) -> None:
    """Docstrings, imports, types and decorators are not behaviour that a test could see."""
    assert changes(source) == []


def test_every_mutant_is_a_program_of_its_own() -> None:
    """Each mutant of a real module can be compiled, differs from it, and has a name of its own."""
    path = "src/looop/rules/gates.py"
    source = _read(path)
    made = list(mutants(path, source))
    assert len({mutant.name for mutant in made}) == len(made) > 100
    plain = ast.unparse(ast.parse(source))
    for mutant in made:
        compile(mutant.source, path, "exec")
        assert mutant.source != plain


@pytest.mark.timeout(180)
def test_every_survivor_that_is_explained_can_be_made() -> None:
    """The list of survivors names mutants of the code as it is, each with a reason."""
    paths = {name.split(" ")[0] for name in explained()}
    assert paths <= {*modules()}
    names = {mutant.name for path in paths for mutant in mutants(path, _read(path))}
    assert [name for name in explained() if name not in names] == []
    assert all(explained().values())


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_mutant_that_matters_is_killed() -> None:
    """A run over one small module tries some of its mutants and says what became of them."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.mutants.run", "cadence", "--limit", "3", "--jobs", "1"],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}/src:{ROOT}", "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith("3 of "), done.stderr
    assert "0 reasons are stale" in done.stdout
    assert done.returncode in (0, 1)
