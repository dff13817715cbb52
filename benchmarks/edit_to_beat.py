"""From the edit of a goal to the beat that looks at it, in a running pulse."""

import os
import time
from statistics import median

from paired import fewer, figure, title
from scratch import PROSE, data_dir, running_pulse, write

EDITS = fewer(17)
APART_S = 2.6
LOOK_S = 0.001
LATEST_S = 10.0


def beat_after(events: str, size: int) -> float:
    """When the next beat began: the moment its `tick_start` row is seen behind `size` bytes of the file."""
    ends = time.perf_counter() + LATEST_S
    while time.perf_counter() < ends:
        if os.path.getsize(events) > size:
            with open(events, "rb") as file:
                file.seek(size)
                if b'"tick_start"' in file.read():
                    return time.perf_counter()
        time.sleep(LOOK_S)
    return float("inf")


def edit_and_wait(root: str, n: int) -> float:
    """Seconds from the replaced goal file to the start of the next beat."""
    events = os.path.join(root, "events.jsonl")
    size = os.path.getsize(events)
    began = time.perf_counter()
    write(os.path.join(root, "goals", "goal-0003.md"), PROSE.format(n=n) + f"\nEdit {n}.\n")
    return beat_after(events, size) - began


def main() -> None:
    title(f"edit_to_beat: {EDITS} edits of a goal, {APART_S} s apart, 50 goals and 5 sensors")
    took = []
    with data_dir(50, 5) as root, running_pulse(root):
        for n in range(EDITS):
            took.append(edit_and_wait(root, n))
            time.sleep(APART_S)
    took.sort()
    figure("from the edit to the start of the beat, median", median(took) * 1000, "ms", 400, how=f"{EDITS} edits")
    figure("the fastest", took[0] * 1000, "ms")
    figure("the slowest", took[-1] * 1000, "ms")


if __name__ == "__main__":
    main()
