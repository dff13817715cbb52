"""How much of a prompt is the one before it, byte for byte from the start: what a provider's prefix cache can reuse.

A real house in a world that changes: 10 goals, 20 sensors, one of which says something new at each beat; the journal
grows by a line a beat. The runner keeps things as they are. Neither time nor load matter here.
"""

import json
import os
from itertools import pairwise
from statistics import median

from paired import share, title
from scratch import DECLARED, PROSE, built, data_dir, sensor_files, write

GOALS, SENSORS, BEATS = 10, 20, 40
RUNNER = """cat > /dev/null; echo '{"action": "noop", "reason": "all is well", "journal": "looked at what changed"}'"""
LONG = DECLARED + PROSE * 5
CHANGING = '#!/bin/sh\necho \'{{"signal": {{"n": {n}, "state": "{state}"}}, "detail": {{"text": "all is well"}}}}\'\n'


def prompts(root: str, changing: list[str]) -> list[bytes]:
    """The prompts of that many beats, before each of which one of these sensors, in turn, says something new."""
    found = []
    _, beat = built(root)
    write(os.path.join(root, "config.json"), json.dumps({"tick_command": RUNNER, "max_daily_usd": 0}))
    for turn in range(BEATS):
        path = changing[turn % len(changing)]
        write(path, CHANGING.format(n=100 + turn, state="red" if turn % 2 else "green"), 0o755)
        report = beat()
        if report.ending != "decided":
            raise SystemExit(f"beat {turn} over a changed world did not decide but {report}")
        with open(os.path.join(root, "runs", report.run_id, "prompt.md"), "rb") as file:
            found.append(file.read())
    return found


def same_start(one: bytes, two: bytes) -> int:
    """How many bytes two texts begin with differ."""
    differ = (at for at, (left, right) in enumerate(zip(one, two, strict=False)) if left != right)
    return next(differ, min(len(one), len(two)))


def measured(name: str, *, several: bool, goal_text: str = DECLARED, playbook: str = "", aim: float | None) -> None:
    """Print the share for one world: all sensors change in turn, or always the one that is listed last."""
    with data_dir(GOALS, SENSORS, goal_text) as root:
        if playbook:
            write(os.path.join(root, "PLAYBOOK.md"), playbook)
        files = sensor_files(root, SENSORS)
        made = prompts(root, files if several else [max(files)])
    shares = [same_start(one, two) / len(two) * 100 for one, two in pairwise(made)]
    share(f"{name} ({median(map(len, made)) / 1024:.1f} kB)", median(shares), aim)
    share("  the least", min(shares))


def main() -> None:
    title(f"prefix: {GOALS} goals, {SENSORS} sensors, one changing at each of {BEATS} beats")
    measured("each sensor in turn, goals of 0.4 kB", several=True, aim=95)
    measured("always the same sensor", several=False, aim=95)
    measured("in turn, goals of 2 kB, PLAYBOOK of 8", several=True, goal_text=LONG, playbook=PROSE * 23, aim=95)
    measured("the same, with these", several=False, goal_text=LONG, playbook=PROSE * 23, aim=95)


if __name__ == "__main__":
    main()
