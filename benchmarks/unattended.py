"""A virtual week nobody is there: a schedule of 15 minutes, nine workers whose questions wait; what becomes of it."""

import argparse
import sys
import tempfile
from pathlib import Path

from paired import ROOT, figure, share, title

sys.path.append(ROOT)

from tests.fakes.week import DAY_S, HOUR_S, Found, Plan, Week


def show(found: Found) -> None:
    share(f"schedule: {found.handled} of {found.due} due runs on time", found.uptime, 99)
    figure(f"copies of a question, {found.calls_of_ask} calls of ask", found.most_copies, "", 1)
    figure(f"records on disk for {found.questions} questions", found.records, "", found.questions)
    figure("model calls for starts, restarts and questions", found.model_calls - found.due, "", found.news)
    figure("beats", found.beats, "")
    figure("of them decided", found.decides, "")
    figure("workers started anew", found.restarts, "")
    figure("workers that went on without an answer", found.went_on, "")
    figure("the slowest beat, on the clock", found.slowest_beat_s, "s")
    figure("seconds the week took", found.seconds, "s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=7)
    days = parser.parse_args().days
    with tempfile.TemporaryDirectory(prefix="looop-bench-") as root:
        title(f"unattended: {days} virtual days, a run every 15 min, nine questions nobody answers")
        show(Week(Path(root) / "unanswered", Plan(seconds=days * DAY_S)).run())
        title("the same, and after ten hours without an answer each worker gets the default it named")
        show(Week(Path(root) / "default", Plan(seconds=days * DAY_S, timeout_s=10 * HOUR_S, default="no")).run())


if __name__ == "__main__":
    main()
