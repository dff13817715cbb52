"""Which session a process works in."""

from collections.abc import Mapping


def session_id(environ: Mapping[str, str]) -> str:
    """The id in LOOOP_SESSION_ID, which every worker has; empty outside of a session. Source: spec/workers.md §2.3."""
    return environ.get("LOOOP_SESSION_ID", "")
