"""The benchmarks' own parts: every one has its place in the table, curves are drawn, a peer that fails is named."""

import glob
import os
import subprocess
import sys
import xml.dom.minidom
from pathlib import Path

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDER = os.path.join(ROOT, "benchmarks")
DRAW = """
from plot import svg
curve = ([10, 100, 1000], [0.001, 0.004, 0.2])
panels = {"an idle beat": {"goals": curve, "<asks>": curve}, "looop state": {"goals": curve}}
print(svg(panels, "a & b"))
"""
BESIDE = """
import sys
from peer import Program, idle_beat, in_turns, on_the_clock, row, sessions
both = tuple(Program([words], sys.argv[1]) for words in sys.argv[2:])
row("start", in_turns(on_the_clock("version"), both, 3), "thrice")
row("beat", in_turns(idle_beat, both, 1), "once")
row("sessions", in_turns(sessions, both, 1), "once")
"""


def run(code: str, *words: str) -> str:
    """What a script prints that may import the benchmarks; it must end well and say nothing else."""
    env = dict(os.environ) | {"PYTHONPATH": f"{ROOT}/src:{FOLDER}"}
    done = subprocess.run([sys.executable, "-c", code, *words], env=env, capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_every_benchmark_is_in_the_table_or_said_to_be_left_out():
    """A script that can be run by itself is run for the whole table, or the table names it."""
    text = Path(FOLDER, "table.py").read_text(encoding="utf-8")
    names = [
        os.path.basename(path)[:-3] for path in glob.glob(f"{FOLDER}/*.py") if "if __name__" in Path(path).read_text()
    ]
    left_out = next(line for line in text.splitlines() if line.startswith("LEFT_OUT"))
    missing = [name for name in names if f'("{name}"' not in text and name not in left_out and name != "table"]
    assert missing == []


def test_the_same_curves_are_the_same_drawing():
    """A plot is well-formed XML with its names escaped, and nothing in it depends on when it was drawn."""
    drawn = run(DRAW)
    assert drawn == run(DRAW)
    shapes = xml.dom.minidom.parseString(drawn.strip())
    assert len(shapes.getElementsByTagName("polyline")) == 3
    assert "&lt;asks&gt;" in drawn and "a &amp; b" in drawn


def test_what_a_peer_cannot_do_is_not_available_with_the_reason(tmp_path):
    """One that lacks verbs, and one that cannot be started, cost their own figures only."""
    shim = tmp_path / "shim"
    shim.write_text("#!/bin/sh\n[ $1 = version ] || exit 3\n")
    shim.chmod(0o755)
    start, beat, sessions = run(BESIDE, str(tmp_path), str(shim), str(tmp_path / "none")).splitlines()
    assert "s : not available" in start and "theirs: No such file" in start and "ours" not in start
    assert "ours: `pulse` ends with 3" in beat and "ours: `worker start` ends with 3" in sessions
