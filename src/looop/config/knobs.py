"""Environment knobs: one table, read once per process. Source: spec/cli.md §3, edge cases 235, 259.

A knob that is set to something else than a number, whole but for amounts of money, takes its default, and says so once;
so does one that takes a word.
"""

import math
from collections.abc import Mapping

from msgspec import Struct

_AMOUNTS = ("max_daily_usd", "max_goal_usd")
_WORDS = {"watch": ("auto", "events", "poll")}


class Knobs(Struct, frozen=True):
    """What a person may set by environment: mostly numbers, seconds, bytes or counts; 0 mostly means: no limit."""

    interval: int | None = None
    max_next_interval: int | None = None
    session_ttl: int | None = None
    noop_ttl: int = 21600
    flap_streak: int = 5
    max_decides_per_hour: int = 120
    backoff_cap: int = 300
    min_beat_gap: int = 2
    tick_timeout_secs: int = 1800
    shell_timeout_secs: int = 300
    shell_allow_dangerous: int = 0
    sensor_timeout: int = 60
    sensor_max_bytes: int = 8192
    prompt_max_bytes: int = 262144
    runner_retries: int = 0
    runner_retry_sleep: int = 3
    runs_keep: int = 50
    playbook_keep: int = 20
    events_max_bytes: int = 5242880
    journal_max_bytes: int = 5242880
    wait_poll_ms: int = 1000
    ask_poll_ms: int = 1000
    ask_timeout_s: int = 0
    max_workers: int = 8
    session_cols: int = 80
    session_rows: int = 24
    worker_stuck_secs: int = 900
    verify_timeout_secs: int = 60
    verify_beat_budget_secs: int = 120
    session_log_max_bytes: int = 8388608
    tells_consumed_keep_secs: int = 604800
    max_daily_tokens: int | None = None
    park: int = 1
    max_daily_usd: float | None = None
    max_goal_usd: float | None = None
    runner_retry_match: str = ""
    watch: str = "auto"


class BadKnob(Struct, frozen=True):
    """A variable that could not be used, and what is used instead."""

    var: str
    value: str
    default: float | str | None


def read_knobs(environ: Mapping[str, str]) -> tuple[Knobs, list[BadKnob]]:
    """The knobs in the environment, and those that made no sense."""
    values: dict[str, float | str] = {}
    bad = []
    for field in Knobs.__struct_fields__:
        var = variable(field)
        if var not in environ:
            continue
        if field == "runner_retry_match":
            values[field] = environ[var]
        elif (value := _value(field, environ[var])) is not None:
            values[field] = value
        else:
            bad.append(BadKnob(var=var, value=environ[var], default=getattr(Knobs(), field)))
    return Knobs(**values), bad  # type: ignore[arg-type]  # the table decides which field holds what


def _value(field: str, text: str) -> float | str | None:
    if field in _WORDS:
        return text if text in _WORDS[field] else None
    if field not in _AMOUNTS:
        return whole_number(text)
    try:
        amount = float(text)
    except ValueError:
        return None
    return amount if math.isfinite(amount) else None


def variable(field: str) -> str:
    """The environment variable of a knob."""
    return f"LOOOP_{field.upper()}"


def whole_number(text: str) -> int | None:
    """An unsigned integer in ASCII digits, None for anything else."""
    digits = text.strip().removeprefix("+")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 18 else None
