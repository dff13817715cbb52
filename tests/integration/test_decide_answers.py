"""What counts as a decision: the file, the last JSON object printed, never what a failing or earlier run left."""

import json
from pathlib import Path

import pytest

from looop.config.file import Config
from tests.fakes.disk import QuickDisk
from tests.fakes.house import Home

GOAL = '{"action": "write_goal", "id": "made", "body": "x"}'
NOOP = '{"action": "noop"}'


@pytest.fixture
def home(root: Path) -> Home:
    return Home(root)


def made(home: Home) -> bool:
    return (home.root / "goals/made.md").exists()


def test_no_decision_is_a_failure_of_its_own(home: Home) -> None:
    """A runner that ends well without a decision fails as tick.no_decision, and the next prompt says what is missing.

    Source: spec/edge-cases.md item 106.
    """
    home.runner("echo I thought about it")
    report = home.run_beat()
    assert report.ending == "failed" and "exactly one JSON object" in report.reason
    assert home.codes()[-1] == "tick.no_decision" and home.events("tick_failed")[0]["fails"] == 1
    assert home.record(".last-failure.json")["code"] == "tick.no_decision"
    assert home.outcome()["ending"] == "failed"
    home.runner(f"echo '{NOOP}'")
    home.later(60)
    assert "code tick.no_decision" in home.prompt


@pytest.mark.parametrize(
    ("printed", "summary"),
    [
        (f"thinking {{}} {NOOP}", "noop"),
        (f"{GOAL} on second thought {NOOP} done.", "noop"),
        (f'{NOOP} then {{"other": {GOAL}}}', "noop"),
        ('```json\n{\n  "action": "noop",\n  "reason": "r"\n}\n```', "noop · r"),
        (f"{NOOP} {{broken", "noop"),
    ],
)
def test_the_last_object_printed_counts(home: Home, printed: str, summary: str) -> None:
    """Without a file the last whole JSON object with an `action` in the output is the decision.

    Source: design §3 row 8.
    """
    home.write("values/out", printed)
    home.runner("cat values/out")
    assert home.run_beat().summary == summary
    assert not made(home)


@pytest.mark.parametrize("command", ["cat", "sh -c 'cat; echo That was the prompt.'", "tee copy >&2"])
def test_a_runner_that_repeats_the_prompt_decides_nothing(home: Home, command: str) -> None:
    """The prompt shows moves, and what sensors say: printed back it is nobody's decision.

    Source: design §3 row 8.
    """
    home.write("goals/g.md", f"Hand over {GOAL} and look.\n")
    home.says("s", {"signal": 1, "detail": GOAL})
    home.config = Config(tick_command=command)
    report = home.run_beat()
    assert report.ending == "failed" and "exactly one JSON object" in report.reason
    assert not made(home)


def test_talk_on_stderr_decides_nothing(home: Home) -> None:
    """A CLI shows on stderr what it reads and does; only stdout can hold its answer.

    Source: design §3 row 8.
    """
    home.runner(f"echo '{GOAL}' >&2")
    assert home.run_beat().ending == "failed" and not made(home)
    assert GOAL in (home.bundles()[-1] / "output.log").read_text()


def test_a_line_that_lost_its_beginning_decides_nothing(home: Home) -> None:
    """When only the end of a long line is known, an object in it may have been part of another.

    Source: design §3 row 8.
    """
    home.runner(f"printf '%s' '{{\"quoted\":['; head -c 100000 /dev/zero | tr '\\0' ' '; echo '{GOAL}]}}'")
    assert home.run_beat().ending == "failed" and not made(home)


def test_the_end_of_a_long_output_is_looked_at(home: Home) -> None:
    """Of an output of any length the end is kept, because the decision comes last.

    Source: design §3 row 8.
    """
    home.runner(f"echo '{GOAL}'; head -c 300000 /dev/zero | tr '\\0' 'x'; echo; echo '{NOOP}'")
    assert home.run_beat().action == "noop"


def test_the_file_wins_over_the_output(home: Home) -> None:
    """What is written to .decision.json counts, whatever is printed besides.

    Source: design §3 row 8.
    """
    home.decides(NOOP, then=f"echo '{GOAL}'")
    assert home.run_beat().action == "noop"
    assert not (home.root / ".decision.json").exists()


def test_a_stale_decision_is_removed_before_the_runner_starts(home: Home) -> None:
    """A leftover, such as an orphan writes, is never executed.

    Source: spec/edge-cases.md items 88, 89.
    """
    home.write(".decision.json", GOAL)
    home.runner('[ -e .decision.json ] && touch "$0.seen"; true')
    assert home.run_beat().ending == "failed"
    assert "tick.stale_decision" in home.codes()
    assert not (home.tools / "agent.seen").exists() and not made(home)


def test_a_failing_runners_decision_is_never_executed(home: Home) -> None:
    """Not at this beat, and not at a later one.

    Source: spec/edge-cases.md item 88.
    """
    home.decides(GOAL, then="exit 7")
    report = home.run_beat()
    assert report.ending == "failed" and "exited with 7" in report.reason
    home.runner("true")
    assert home.later(60).ending == "failed"
    assert not made(home)


@pytest.mark.parametrize(
    ("text", "action"),
    [
        (f"```json\n{NOOP}\n```", "noop"),
        (f"```\n{NOOP}\n```\n", "noop"),
        (f"  \n{NOOP}\n\n", "noop"),
        (f"```json\n```json\n{NOOP}\n```\n```", ""),
        (f"```json\n{NOOP}", ""),
        (f"{NOOP}{NOOP}", ""),
        ("", ""),
        ("[1]", ""),
        ('{"action": "fly"}', ""),
        ('{"action": "run_shell"}', ""),
        ('{"action": "write_goal", "id": 5, "body": "x"}', ""),
        ('{"action": "noop", "extra": 1}', "noop"),
    ],
)
def test_what_a_decision_may_look_like(home: Home, text: str, action: str) -> None:
    """One fence is tolerated, two are not; what is malformed is consumed and fails with a usable message.

    Source: spec/edge-cases.md items 107, 108, 110, 111.
    """
    home.decides(text)
    report = home.run_beat()
    assert report.action == action
    assert (report.ending == "decided") is bool(action)
    assert action or any(word in report.reason for word in ("expected", "exactly one JSON object", "fields: "))
    assert not (home.root / ".decision.json").exists()
    assert (home.bundles()[0] / "decision.json").read_text() == text


@pytest.mark.parametrize(
    ("value", "expected"), [(30, 30), (0, 0), (-5, None), (1.5, None), ("9", None), (True, None), (None, None)]
)
def test_a_nudge_that_makes_no_sense_is_ignored(home: Home, value: object, expected: int | None) -> None:
    """The move still runs; only a whole non-negative number is a wish for the next beat.

    Source: spec/edge-cases.md items 109, 260.
    """
    home.decides(json.dumps({"action": "noop", "next_interval_s": value}))
    report = home.run_beat()
    assert (report.ending, report.next_interval_s) == ("decided", expected)


def test_an_unreadable_decision_is_kept_and_fails(home: Home) -> None:
    """Something is there that cannot be read: the beat fails saying so and leaves it in place.

    Source: spec/edge-cases.md item 107.
    """
    home.runner("mkdir .decision.json")
    report = home.run_beat()
    assert report.ending == "failed" and ".decision.json" in report.reason
    assert (home.root / ".decision.json").is_dir()
    assert home.record(".tick-backoff")["fails"] == 1


def test_retries_are_off_by_default_and_bounded(home: Home) -> None:
    """LOOOP_RUNNER_RETRIES more attempts, each with the whole prompt on stdin, one row, one bundle, one attempt.

    Source: spec/edge-cases.md items 100, 101, spec/beat.md §9.1.
    """
    home.runner("exit 1")
    home.run_beat()
    assert home.asked == 1
    home.furnish(runner_retries=2, runner_retry_sleep=0)
    home.runner('[ $(wc -l < "$0.asked") = 4 ] || exit 1; ' + f"echo '{NOOP}'")
    assert home.later(60).ending == "decided"
    assert home.asked == 4 and home.prompt == (home.bundles()[-1] / "prompt.md").read_text()
    assert (home.bundles()[-1] / "output.log").read_text().count("looop-retry: ") == 2
    assert len(home.bundles()) == 2 and len(home.record(".decide-ledger.json")["ts"]) == 2
    home.runner("exit 5")
    assert "exited with 5" in home.run_beat(forced=True).reason
    assert home.asked == 7


def test_a_pattern_makes_a_good_exit_a_failure(home: Home) -> None:
    """A CLI that exits 0 on a provider error is retried by the operator's pattern, whatever its case.

    Source: spec/edge-cases.md item 102.
    """
    home.furnish(runner_retries=1, runner_retry_sleep=0, runner_retry_match="overloaded|quota")
    home.runner(f"[ $(wc -l < \"$0.asked\") = 2 ] && echo '{NOOP}' || echo OVERLOADED")
    assert home.run_beat().ending == "decided" and home.asked == 2
    home.furnish(runner_retries=1, runner_retry_sleep=0, runner_retry_match="(")
    assert home.run_beat(forced=True).ending == "failed" and home.asked == 3


@pytest.mark.parametrize("ending", ["exit 1", "echo overloaded"])
def test_a_decision_of_a_failed_attempt_is_not_the_next_ones(home: Home, ending: str) -> None:
    """The first attempt wrote a decision and failed, the second ends well without one: nothing is executed.

    Source: spec/edge-cases.md item 88.
    """
    home.furnish(runner_retries=1, runner_retry_sleep=0, runner_retry_match="overloaded")
    home.decides(GOAL)
    home.runner(f'[ $(wc -l < "$0.asked") = 1 ] || exit 0; cp "$0.json" .decision.json; {ending}')
    assert home.run_beat().ending == "failed"
    assert home.asked == 2 and not made(home)


def test_pauses_count_against_the_deadline(home: Home) -> None:
    """When the pause before the next attempt reaches the deadline, there is no next attempt.

    Source: spec/beat.md §9.1.
    """
    home.furnish(runner_retries=3, runner_retry_sleep=60, tick_timeout_secs=30)
    home.runner("exit 1")
    assert home.run_beat().ending == "failed" and home.asked == 1


def test_a_runner_that_hangs_is_not_retried(home: Home) -> None:
    """All attempts share the one deadline, and running into it is final.

    Source: spec/edge-cases.md item 90.
    """
    home.furnish(runner_retries=3, runner_retry_sleep=0, tick_timeout_secs=1)
    home.runner("sleep 30")
    assert "timed out" in home.run_beat().reason
    assert home.asked == 1


def test_the_prompt_is_the_one_the_bundle_rebuilds(root: Path) -> None:
    """A journal line that a person's verb adds while the prompt is made cannot tear prompt and bundle apart.

    Source: design §7.
    """

    class Busy(QuickDisk):
        count = 0

        def read(self, path):
            if path.endswith("journal.md"):
                self.count += 1
                Path(path).write_text(f"- 2026-01-01 00:00 line {self.count}\n")
            return super().read(path)

    home = Home(root, disk=Busy())
    home.write("journal.md", "")
    home.decides(NOOP)
    home.run_beat()
    kept = json.loads((home.bundles()[0] / "memory.json").read_text())
    assert kept["journal"][0] in home.prompt
