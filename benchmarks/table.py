"""The whole table: every benchmark that needs no agent, with fewer turns, each row with how it was measured."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

from paired import ROOT

SCRIPTS = (
    ("startup",),
    ("idle_beat",),
    ("prompt",),
    ("store",),
    ("idle_pulse",),
    ("edit_to_beat",),
    ("sessions",),
    ("ask",),
    ("screens",),
    ("races", "--rounds", "200"),
    ("prefix",),
    ("unattended", "--days", "1"),
)
HOW = {
    "startup": "CPU of the whole process",
    "idle_beat": "CPU, or wall where it says so",
    "prompt": "CPU",
    "store": "on the clock",
    "idle_pulse": "/proc of one pulse",
    "edit_to_beat": "on the clock, looked for every ms",
    "sessions": "/proc; seconds on the clock",
    "ask": "on the clock; CPU and memory by /proc",
    "screens": "CPU or wall, as it says",
    "races": "counted",
    "prefix": "bytes, counted",
    "unattended": "counted, in virtual time",
    "growth": "CPU in process, the least of 5",
}
LEFT_OUT = "left out: runners, overshoot (they need `scripts/install --agents`; `scripts/bench runners overshoot`)"
WIDTHS = (50, 13, 13, 20)


def run(words: tuple[str, ...], rows: str) -> tuple[int, float]:
    """Run one benchmark, its own lines to stderr; its exit code and how long it took."""
    env = dict(os.environ) | {"BENCH_QUICK": "1", "BENCH_ROWS": rows}
    command = [sys.executable, os.path.join(ROOT, "benchmarks", f"{words[0]}.py"), *words[1:]]
    began = time.monotonic()
    return subprocess.run(command, env=env, stdout=sys.stderr).returncode, time.monotonic() - began


def taken(path: str) -> list[dict[str, str]]:
    """What one benchmark put on record."""
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def shown(row: dict[str, str], how: str = "") -> str:
    """One row of the table."""
    if "title" in row:
        return f"\n{row['title']}"
    ratio = f"{row['ratio']} ({row['spread']})" if row.get("spread") else row.get("ratio", "")
    cells = (row["name"], row.get("ours", ""), row.get("base", ""), ratio)
    said = ", ".join(filter(None, (how, row.get("how", ""))))
    text = "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, WIDTHS, strict=True))
    return f"  {text}  {row.get('goal', '').strip():<26} {said}".rstrip()


def whole(scripts: list[tuple[str, ...]]) -> list[str]:
    """The rows of all scripts; what failed says so in its place."""
    lines = []
    with tempfile.TemporaryDirectory(prefix="looop-bench-") as folder:
        for words in scripts:
            path = os.path.join(folder, words[0])
            status, seconds = run(words, path)
            lines += [shown(row, HOW.get(words[0], "")) for row in taken(path)]
            lines += [f"  {words[0]} FAILED with {status}: its lines are above"] if status else []
            lines.append(f"  ({words[0]}: {seconds:.0f} s)")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench --all", description=__doc__)
    parser.add_argument("--svg", metavar="PATH", help="where to draw the curves of growth")
    parser.add_argument("--peer", metavar="PATH", help="a program with the same verbs to stand beside")
    options = parser.parse_args()
    scripts = [*SCRIPTS, ("growth", *(["--svg", options.svg] if options.svg else []))]
    scripts += [("peer", "--peer", options.peer)] if options.peer else []
    began = time.monotonic()
    lines = whole(scripts)
    head = ("what", "ours", "yardstick", "ratio (middle half)")
    print(
        "  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(head, WIDTHS, strict=True)) + f"  {'target':<26} how"
    )
    print("\n".join(lines))
    counts = [sum(word in line for line in lines) for word in (": met", "NOT MET", "(not settled)")]
    seconds = time.monotonic() - began
    print("\n{} met, {} NOT MET; of both {} are not settled; in {:.0f} s".format(*counts, seconds))
    print(LEFT_OUT)
    return any("FAILED" in line for line in lines)


if __name__ == "__main__":
    sys.exit(main())
