"""Which tests speak for which numbered edge case: `python tests/requirements.py` prints the list.

`requirements.txt` says what each case demands, or why it cannot apply; `--markdown` prints both as docs/conformance.md.
A test names its source in its docstring: `Source: spec/edge-cases.md items 21, 37, 139-142.`
"""

import ast
import os
import re
import sys
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

TESTS = os.path.dirname(os.path.abspath(__file__))
MANIFEST = os.path.join(TESTS, "requirements.txt")
SHOWN = 3
_NAMED = re.compile(r"(?:edge-cases\.md|[Ee]dge) (?:items?|cases?) ((?:\d+(?:\s*[-–]\s*\d+)?(?:,\s*|\s+and\s+)?)+)")
_MEANT = re.compile(r"edge-cases\.md|[Ee]dge cases? \d|(?:Source: |\. |; )[Ii]tems? \d")
_PART = re.compile(r"(\d+)(?:\s*[-–]\s*(\d+))?")

_HEAD = """\
# Conformance

What the program promises for each numbered case of its specification, and the tests that hold it to that. A case that
differs from the reference program says so with "here". Made from `tests/requirements.txt` and the docstrings of the
tests; after a change of either, run `python tests/requirements.py --markdown > docs/conformance.md`.
`tests/house/test_requirements.py` holds the two together.
"""


class Item(NamedTuple):
    """One numbered case: its area, what it demands in one sentence, and why it cannot apply, or nothing."""

    number: int
    area: str
    sentence: str
    reason: str = ""


def manifest() -> list[Item]:
    """The cases in the order of the file. Raises ValueError for a line that is none of its three kinds."""
    items: list[Item] = []
    area = ""
    with open(MANIFEST, encoding="utf-8") as file:
        for line in filter(None, map(str.rstrip, file)):
            mark, _, rest = line.partition(" ")
            if mark == "##":
                area = rest
            elif mark == "-":
                items[-1] = items[-1]._replace(reason=rest)
            elif mark != "#":
                items.append(Item(int(mark.removesuffix(".")), area, rest))
    return items


def covered() -> dict[int, list[str]]:
    """The tests, as `file::name`, by the number of the edge case they name."""
    found: dict[int, list[str]] = {}
    for test, doc in _docstrings():
        for numbers in _NAMED.findall(doc):
            for first, last in _PART.findall(numbers):
                for number in range(int(first), int(last or first) + 1):
                    found.setdefault(number, []).append(test)
    return dict(sorted(found.items()))


def unheard() -> list[str]:
    """The tests that seem to name a case in words that `covered` does not understand."""
    return [test for test, doc in _docstrings() if _MEANT.search(_NAMED.sub("", doc))]


def markdown() -> str:
    """The page of all cases, one table an area."""
    tests = covered()
    parts = [_HEAD]
    for area, items in groupby(manifest(), lambda item: item.area):
        rows = [f"| {item.number} | {_cell(item.sentence)} | {_held(item, tests)} |" for item in items]
        parts.append("\n".join([f"\n## {area}\n", "| case | what holds | tests |", "|---|---|---|", *rows, ""]))
    return "".join(parts)


def _held(item: Item, tests: dict[int, list[str]]) -> str:
    if item.reason:
        return f"does not apply: {_cell(item.reason)}"
    names = tests.get(item.number, [])
    more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(f"[{name}](../tests/{name.partition('::')[0]})" for name in names[:SHOWN]) + more


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _docstrings() -> Iterator[tuple[str, str]]:
    for folder, folders, names in os.walk(TESTS):
        folders.sort()
        for name in sorted(name for name in names if name.startswith("test_") and name.endswith(".py")):
            path = os.path.join(folder, name)
            with open(path, encoding="utf-8") as file:
                tree = ast.parse(file.read())
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                    doc = ast.get_docstring(node) or ""
                    yield f"{os.path.relpath(path, TESTS)}::{node.name}", " ".join(doc.split())


def main() -> None:
    """Print the page, or one line an edge case: its number and the tests that name it."""
    if sys.argv[1:] == ["--markdown"]:
        sys.stdout.buffer.write(markdown().encode())
        return
    for number, tests in covered().items():
        sys.stdout.write(f"{number:>4}  {', '.join(tests)}\n")


if __name__ == "__main__":
    main()
