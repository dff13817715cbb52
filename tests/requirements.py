"""Which tests speak for which numbered edge case: `python tests/requirements.py` prints the list.

A test names its source in its docstring: `Source: spec/edge-cases.md items 21, 37, 139-142.`
"""

import ast
import os
import re
import sys
from collections.abc import Iterator

TESTS = os.path.dirname(os.path.abspath(__file__))
_NAMED = re.compile(r"(?:edge-cases\.md|edge) (?:items?|cases?) ((?:\d+(?:\s*[-–]\s*\d+)?(?:,\s*|\s+and\s+)?)+)")
_PART = re.compile(r"(\d+)(?:\s*[-–]\s*(\d+))?")


def covered() -> dict[int, list[str]]:
    """The tests, as `file::name`, by the number of the edge case they name."""
    found: dict[int, list[str]] = {}
    for test, doc in _docstrings():
        for numbers in _NAMED.findall(" ".join(doc.split())):
            for first, last in _PART.findall(numbers):
                for number in range(int(first), int(last or first) + 1):
                    found.setdefault(number, []).append(test)
    return dict(sorted(found.items()))


def _docstrings() -> Iterator[tuple[str, str]]:
    for folder, _, names in os.walk(TESTS):
        for name in sorted(name for name in names if name.startswith("test_") and name.endswith(".py")):
            path = os.path.join(folder, name)
            with open(path, encoding="utf-8") as file:
                tree = ast.parse(file.read())
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                    yield f"{os.path.relpath(path, TESTS)}::{node.name}", ast.get_docstring(node) or ""


def main() -> None:
    """Print one line an edge case: its number and the tests that name it."""
    for number, tests in covered().items():
        sys.stdout.write(f"{number:>4}  {', '.join(tests)}\n")


if __name__ == "__main__":
    main()
