"""How a person wants to be talked to: log format and colour. Source: spec/beat.md §14, edge case 237."""

import os
from collections.abc import Mapping
from typing import Literal, TextIO


def log_format(environ: Mapping[str, str] | None = None) -> Literal["human", "json"]:
    """`json` when LOOOP_LOG_FORMAT says so, else `human`."""
    environ = os.environ if environ is None else environ
    return "json" if environ.get("LOOOP_LOG_FORMAT") == "json" else "human"


def may_colour(stream: TextIO, environ: Mapping[str, str] | None = None) -> bool:
    """Colour only on a terminal, and never with NO_COLOR set; decided per process, never inherited."""
    environ = os.environ if environ is None else environ
    return "NO_COLOR" not in environ and stream.isatty()


def debugging(environ: Mapping[str, str] | None = None) -> bool:
    """Whether tracebacks are wanted: LOOOP_DEBUG=1."""
    environ = os.environ if environ is None else environ
    return environ.get("LOOOP_DEBUG") == "1"
