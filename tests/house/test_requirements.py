"""The numbered cases, what each demands, and the tests that name it: each way round, and as a page."""

import os
import subprocess
import sys

from tests import requirements
from tests.requirements import covered, manifest, markdown, unheard

ROOT = os.path.dirname(requirements.TESTS)
HIGHEST = 280


def test_every_case_has_one_sentence():
    """The manifest has each number once, in order, with one sentence in an area."""
    items = manifest()
    assert [item.number for item in items] == list(range(1, HIGHEST + 1))
    assert [item.number for item in items if not item.area or not item.sentence.endswith(".")] == []
    assert [item.number for item in items if ". " in item.sentence] == []
    assert len({item.sentence for item in items}) == len(items)


def test_every_case_is_tested_or_cannot_apply():
    """A case has a test that names it, or a reason why there can be none, and never both."""
    reasons = {item.number for item in manifest() if item.reason}
    assert set(range(1, HIGHEST + 1)) - set(covered()) == reasons


def test_every_case_that_is_named_is_there():
    """No test names a number the manifest does not have, nor one in words that nobody hears."""
    assert set(covered()) <= {item.number for item in manifest()}
    assert unheard() == []


def test_the_page_is_up_to_date():
    """docs/conformance.md is what the command in its head prints, byte for byte."""
    words = [sys.executable, os.path.join("tests", "requirements.py"), "--markdown"]
    printed = subprocess.run(words, cwd=ROOT, capture_output=True, check=True).stdout
    with open(os.path.join(ROOT, "docs", "conformance.md"), "rb") as file:
        assert file.read() == printed == markdown().encode(), f"run: {' '.join(words[1:])} > docs/conformance.md"
