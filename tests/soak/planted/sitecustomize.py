"""Imported by every Python process that has this folder on its path: plants the bug that the environment names."""

import os

if bug := os.environ.get("SOAK_BUG"):
    from tests.soak.bugs import BUGS

    BUGS[bug]()
