"""A pulse that waits: what it does between two beats, and what it holds in memory."""

import glob
import os
import re
import sys
import time
from collections import Counter

from paired import figure, record, title
from scratch import DECLARED, PROSE, data_dir, running_pulse

WATCH_S = 12.0
LARGEST = 8
_MAPPING = re.compile(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \S+ *(.*)")


def text_of(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def field(text: str, name: str) -> int:
    """The number on the line of that name."""
    found = re.search(rf"^{name}:\s*(\d+)", text, re.MULTILINE)
    return int(found[1]) if found else 0


def wakeups(pid: int) -> Counter:
    """Times each thread gave up the processor and got it back, by thread."""
    counted = Counter()
    for path in glob.glob(f"/proc/{pid}/task/*/status"):
        status = text_of(path)
        switches = field(status, "voluntary_ctxt_switches") + field(status, "nonvoluntary_ctxt_switches")
        counted[path.split("/")[4]] = switches
    return counted


def cpu_ns(pid: int) -> int:
    """Nanoseconds on a processor, of all threads."""
    return sum(int(text_of(path).split()[0]) for path in glob.glob(f"/proc/{pid}/task/*/schedstat"))


def largest(pid: int) -> list[tuple[str, int]]:
    """The mappings that hold most memory, by file, in kB of PSS."""
    held, name = Counter(), ""
    for row in text_of(f"/proc/{pid}/smaps").splitlines():
        if mapping := _MAPPING.fullmatch(row):
            name = os.path.basename(mapping[1]) or "(anonymous)"
        elif row.startswith("Pss:"):
            held[name] += int(row.split()[1])
    return held.most_common(LARGEST)


def at_rest(pid: int) -> None:
    before, used, began = wakeups(pid), cpu_ns(pid), time.monotonic()
    time.sleep(WATCH_S)
    secs = time.monotonic() - began
    woke = wakeups(pid) - before
    figure(f"wake-ups of its {len(before)} threads in {secs:.0f} s", woke.total(), "", 1)
    figure("CPU between beats", (cpu_ns(pid) - used) / 1e6 / secs, "ms a second", 0.1)


def memory(pid: int) -> None:
    status, rollup = text_of(f"/proc/{pid}/status"), text_of(f"/proc/{pid}/smaps_rollup")
    figure("resident memory (VmRSS)", field(status, "VmRSS") / 1024, "MB", 40)
    figure("its fair share (PSS)", field(rollup, "Pss") / 1024, "MB", 40)
    private = field(rollup, "Private_Dirty") + field(rollup, "Private_Clean")
    figure("its own alone (private)", private / 1024, "MB")
    print("    " + ", ".join(f"{name} {kb / 1024:.1f}" for name, kb in largest(pid)))


def main() -> None:
    title("idle_pulse: `looop pulse` between two beats, 50 goals and 5 sensors")
    if not sys.platform.startswith("linux"):
        sys.exit("needs /proc")
    for kind, text in (("goals of prose", PROSE), ("goals with CEL front matter", DECLARED)):
        print(f" {kind}:")
        record(title=f"the same, {kind}")
        with data_dir(50, 5, text) as root, running_pulse(root) as process:
            memory(process.pid)
            at_rest(process.pid)


if __name__ == "__main__":
    main()
