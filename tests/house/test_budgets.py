"""The code stays readable: files, functions, comments, and the whole core, within their budgets."""

import ast
import io
import os
import tokenize

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FILE_LINES, FUNCTION_LINES, MEAN_FUNCTION_LINES, CORE_LINES = 400, 40, 11, 12_000
COMMENT_SHARE = 0.06


def sources() -> list[str]:
    found = []
    for folder, _, names in os.walk(os.path.join(ROOT, "src")):
        found += [os.path.join(folder, name) for name in names if name.endswith(".py")]
    return sorted(found)


def read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def functions(text: str) -> list[tuple[str, int]]:
    """Every function with its length, its docstring not counted."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            doc = 0
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                doc = (first.end_lineno or 0) - first.lineno + 1
            found.append((node.name, (node.end_lineno or 0) - node.lineno + 1 - doc))
    return found


def code_lines(text: str) -> int:
    """The lines that are neither blank nor a comment nor part of a docstring."""
    skipped = {
        line
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or 0) + 1)
    }
    lines = enumerate(text.split("\n"), 1)
    return sum(bool(line.strip()) and not line.lstrip().startswith("#") and n not in skipped for n, line in lines)


@pytest.mark.parametrize("path", [os.path.relpath(path, ROOT) for path in sources()])
def test_files_and_functions_are_short(path):
    """No file over 400 lines, no function over 40."""
    text = read(os.path.join(ROOT, path))
    assert text.count("\n") <= FILE_LINES
    assert [name for name, length in functions(text) if length > FUNCTION_LINES] == []


def test_the_whole_core_can_be_read_in_one_sitting():
    """The core, all below the contract, stays under 12,000 lines of code, the mean function under 11."""
    above = tuple(os.path.join(ROOT, "src", "looop", room, "") for room in ("contract", "clients"))
    texts = [read(path) for path in sources()]
    core = [read(path) for path in sources() if not path.startswith(above)]
    lengths = [length for text in texts for _, length in functions(text)]
    assert 7_000 < sum(code_lines(text) for text in core) <= CORE_LINES
    assert sum(lengths) / len(lengths) <= MEAN_FUNCTION_LINES


def test_comments_stand_outside_functions():
    """Inside functions the code speaks: at most 6 % of the lines carry a comment."""
    inside = total = 0
    for path in sources():
        text = read(path)
        spans = [
            range(node.lineno, (node.end_lineno or 0) + 1)
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef)
        ]
        total += sum(1 for line in text.split("\n") if line.strip())
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            inside += token.type == tokenize.COMMENT and any(token.start[0] in span for span in spans)
    assert inside / total <= COMMENT_SHARE


@pytest.mark.parametrize("path", [os.path.relpath(path, ROOT) for path in sources()])
def test_every_module_says_what_it_is_for(path):
    """Each module opens with a docstring of at most fifteen lines before its first named note."""
    doc = ast.get_docstring(ast.parse(read(os.path.join(ROOT, path))))
    assert doc
    assert doc.split("\nNote [")[0].count("\n") <= 15


def test_tests_say_what_must_be_so():
    """Every test carries a docstring."""
    silent = []
    for folder, _, names in os.walk(os.path.join(ROOT, "tests")):
        for name in names:
            if name.startswith("test_") and name.endswith(".py"):
                tree = ast.parse(read(os.path.join(folder, name)))
                silent += [
                    f"{name}:{node.name}"
                    for node in ast.walk(tree)
                    if isinstance(node, ast.FunctionDef)
                    and node.name.startswith("test_")
                    and not ast.get_docstring(node)
                ]
    assert silent == []
