"""The runner: how it gets its prompt, how it is bounded, and what is kept of what it says."""

import json
import os
import re
import shlex
import sys
from pathlib import Path

import pytest

from looop.config.file import Config, parse_config
from looop.runtime.stop import StopFlag
from tests.fakes.house import Home
from tests.fakes.waiting import gone, until

NOOP = '{"action":"noop"}'


@pytest.fixture
def home(root: Path) -> Home:
    return Home(root)


def test_the_prompt_comes_on_stdin(home: Home) -> None:
    """Without a placeholder the whole prompt is the runner's stdin, and it is the bundle's prompt.md.

    Source: spec/beat.md §9 Prompt delivery.
    """
    home.decides({"action": "noop"})
    home.run_beat()
    assert home.prompt == (home.bundles()[0] / "prompt.md").read_text()
    assert home.prompt.endswith("hand over its JSON object.")


def test_the_runner_works_in_the_data_dir(home: Home) -> None:
    """Its cwd and LOOOP_DATA_DIR are the data dir, and the shell is no login shell.

    Source: spec/beat.md §9, spec/edge-cases.md item 104.
    """
    (home.tools / ".bash_profile").write_text("touch profile-was-read\n")
    (home.tools / ".profile").write_text("touch profile-was-read\n")
    home.runner(f'[ "$PWD" = "$LOOOP_DATA_DIR" ] && echo \'{NOOP}\'')
    assert home.run_beat().ending == "decided"
    assert not (home.root / "profile-was-read").exists()


@pytest.mark.parametrize("folder", ["da ta", 'it\'s $HOME "q" `x`', "{{prompt_file}}", "{{model}} \\ *"])
@pytest.mark.parametrize("placeholder", ["{{prompt_file}}", '"{{prompt_file}}"', "'{{prompt_file}}'"])
def test_a_path_arrives_whole_whatever_it_holds(tmp_path: Path, folder: str, placeholder: str) -> None:
    """`{{prompt_file}}`, bare or quoted, is one argument, and is replaced in one pass; stdin is then empty.

    Source: spec/edge-cases.md items 97, 98.
    """
    home = Home(tmp_path / folder / "data")
    home.tools = tmp_path
    home.runner(f'cat "$1" > "$0.prompt"; [ $# = 1 ] && echo \'{NOOP}\'', command=f"{{agent}} {_braces(placeholder)}")
    assert home.run_beat().ending == "decided"
    assert (home.tools / "agent.prompt").read_text() == (home.bundles()[0] / "prompt.md").read_text()
    assert home.prompt == ""


def test_a_prompt_as_an_argument_arrives_whole(tmp_path: Path) -> None:
    """The presets' `"$(cat {{prompt_file}})"` hands over the text, whatever the path holds.

    Source: spec/cli.md §4, spec/edge-cases.md item 97.
    """
    home = Home(tmp_path / "it's a $HOME" / "data")
    home.runner(f'printf %s "$1" > "$0.prompt"; echo \'{NOOP}\'', command='{agent} "$(cat {{{{prompt_file}}}})"')
    assert home.run_beat().ending == "decided"
    assert (home.tools / "agent.prompt").read_text() == (home.bundles()[0] / "prompt.md").read_text()


def _braces(placeholder: str) -> str:
    """Through str.format once."""
    return placeholder.replace("{", "{{").replace("}", "}}")


def test_a_prompt_of_300_kb_arrives_on_stdin(home: Home) -> None:
    """More than an argument can hold, also when the runner never reads it.

    Source: spec/edge-cases.md item 99.
    """
    home.furnish(prompt_max_bytes=0)
    for number in range(40):
        home.write(f"goals/g{number:02}.md", "x" * 8000)
    home.decides({"action": "noop"})
    assert home.run_beat().ending == "decided"
    assert len(home.prompt) > 300_000
    home.config = Config(tick_command=f"echo '{NOOP}'")
    assert home.run_beat(forced=True).ending == "decided"


def test_what_does_not_fit_is_left_out_and_said(home: Home) -> None:
    """Goals over the budget are left out with a marker and a warning.

    Source: spec/edge-cases.md item 78, spec/beat.md §8.
    """
    home.furnish(prompt_max_bytes=20000)
    for number in range(4):
        home.write(f"goals/g{number}.md", "x" * 8000)
    home.decides({"action": "noop"})
    home.run_beat()
    assert "(section truncated: " in home.prompt
    oversize = [line for line in home.lines if line["event"] == "tick.prompt_oversize"]
    assert len(oversize) == 1 and "goals" in oversize[0]["omitted"]


def test_a_hung_runner_is_killed_with_its_group(home: Home) -> None:
    """At the deadline the whole group dies, the beat fails naming the knob, and the wait begins.

    Source: spec/edge-cases.md item 90.
    """
    home.furnish(tick_timeout_secs=1)
    home.runner('sleep 60 & echo $! > "$0.child"; sleep 60')
    report = home.run_beat()
    assert report.ending == "failed" and "LOOOP_TICK_TIMEOUT_SECS" in report.reason and "1s" in report.reason
    child = int((home.tools / "agent.child").read_text())
    until(lambda: gone(child), what="the grandchild")
    assert home.record(".tick-backoff")["fails"] == 1


def test_a_runner_that_closes_its_output_is_still_bounded(home: Home) -> None:
    """The deadline holds though nothing can be read any more.

    Source: spec/edge-cases.md item 91.
    """
    home.furnish(tick_timeout_secs=1)
    home.runner(f"echo '{NOOP}'; exec >&- 2>&-; sleep 60")
    report = home.run_beat()
    assert report.ending == "failed" and "timed out" in report.reason
    assert 1 <= report.seconds < 20


def test_a_runner_that_closes_its_output_and_ends_well_has_decided(home: Home) -> None:
    """An early end of its output is not the end of the runner.

    Source: spec/edge-cases.md items 91, 93.
    """
    late = '{"action":"noop","reason":"late"}'
    home.runner(f"exec >&- 2>&-; sleep 0.2; echo '{late}' > .decision.json")
    assert home.run_beat().summary == "noop · late"


def test_output_is_kept_whatever_bytes_it_has(home: Home) -> None:
    """Invalid UTF-8 does not end the stream, a last line without newline counts, blank lines are swallowed.

    Source: spec/edge-cases.md items 94, 95.
    """
    home.runner(f"printf 'one\\r\\n\\n\\377two\\nthree' ; echo '{NOOP}' > .decision.json; echo err >&2; printf end")
    home.run_beat()
    log = (home.bundles()[0] / "output.log").read_text().splitlines()
    assert [re.sub(r"^\[\d\d:\d\d:\d\d\] ", "", line) for line in log if not line.endswith("] err")] == [
        "one",
        "\ufffdtwo",
        "threeend",
    ]
    assert len(log) == 4
    assert (home.bundles()[0] / "stream.jsonl").read_bytes() == b"one\r\n\n\xfftwo\nthreeend"
    assert (home.root / "tick.log").read_text().splitlines() == log


def test_the_tick_log_is_the_last_decides_only(home: Home) -> None:
    """tick.log is cut at each decide; the bundles keep their own.

    Source: spec/beat.md §0, §9 Tee sinks.
    """
    for word in ("first", "second"):
        home.runner(f"echo {word}; echo '{NOOP}'")
        home.run_beat(forced=True)
        home.clock.move(1)
    assert "first" not in (home.root / "tick.log").read_text()
    assert "first" in (home.bundles()[0] / "output.log").read_text()


def test_every_run_has_its_row_in_the_ledger(home: Home) -> None:
    """One row for each touch of a model, also when it failed; none for reflexes and model-free noops.

    Source: design §6.
    """
    home.run_beat()
    assert not (home.root / "cost.jsonl").exists()
    home.decides({"action": "noop"})
    home.run_beat(forced=True)
    home.runner("exit 1")
    home.run_beat(forced=True)
    rows = home.house.ledger.read()
    assert rows.damaged == 0
    assert [(row.kind, row.id, row.runner, row.metered, row.cost_usd) for _, row in rows.rows] == [
        ("tick", bundle.name, "agent", False, None) for bundle in home.bundles()[1:]
    ]
    assert [ts for ts, _ in rows.rows] == [home.clock.now()] * 2


def test_what_a_failing_runner_says_is_in_the_failure(home: Home) -> None:
    """A runner that cannot be found or is killed fails the beat with the reason, and the next prompt shows it.

    Source: spec/beat.md §9 Errors returned, §13.
    """
    home.config = Config(tick_command="no-such-agent --flag")
    assert "no-such-agent" in home.run_beat().reason
    home.runner("kill -9 $PPID; kill -9 $$")
    assert "killed by signal 9" in home.later(60).reason
    failed = [line for line in home.lines if line["event"] == "tick.failed"]
    assert [line["fails"] for line in failed] == [1, 2]
    assert failed[0]["replay"] == str(home.bundles()[0])
    home.decides({"action": "noop"})
    home.later(120)
    assert "failure #2, 120 seconds ago" in home.prompt and "killed by signal 9" in home.prompt


@pytest.mark.parametrize(
    ("tick", "runner"),
    [
        ("FOO=1 env -i BAR=2 claude -p", "claude"),
        ("/opt/bin/pi --mode json", "pi"),
        ("'my agent'", "my"),
        ("A=1", "runner"),
    ],
)
def test_the_runner_is_called_by_its_program(tick: str, runner: str) -> None:
    """Assignments, `env` and its flags are passed over.

    Source: spec/beat.md §7 Runner label, spec/edge-cases.md item 236.
    """
    assert parse_config({"tick_command": tick}, "c").runner == runner


def test_a_config_error_is_no_failed_beat(home: Home) -> None:
    """A config that cannot be read blocks the beat: nothing counted, no bundle, said each time.

    Source: spec/edge-cases.md items 39, 146.
    """
    from looop.config.file import load_config

    path = home.write("config.json", "{")

    class Broken(Home):
        @property
        def config(self):
            return load_config(str(path))

        @config.setter
        def config(self, value):
            pass

    home = Broken(home.root)
    for _ in range(2):
        report = home.later(60)
        assert report.ending == "blocked" and "config.json" in report.reason
    assert home.codes().count("tick.error") == 2
    assert home.bundles() == [] and home.record(".tick-backoff") is None and home.record(".decide-ledger.json") is None
    path.write_text(json.dumps({"tick_command": f"echo '{NOOP}'"}))
    assert home.run_beat().ending == "decided"


def test_a_stop_ends_the_runner_without_a_verdict(root: Path) -> None:
    """When the loop is asked to end, the runner is stopped, nothing is executed and no failure is counted.

    Source: spec/edge-cases.md item 143, design §2.
    """
    stop = StopFlag()

    home = Home(root, stop=stop)
    home.decides({"action": "write_goal", "id": "g", "body": "x"}, then="kill -TERM $1; sleep 30")
    agent = home.tools / "agent"
    home.config = Config(tick_command=f"{shlex.quote(str(agent))} {os.getpid()}")
    stop.install()
    try:
        assert home.run_beat().ending == "stopped"
    finally:
        stop.close()
    assert home.record(".tick-backoff") is None and not (home.root / "goals").exists()
    home.stop = Home(root).stop
    home.furnish()
    home.decides({"action": "noop"})
    assert home.run_beat().summary == "noop"
    assert "tick.stale_decision" in home.codes()


def test_python_runners_work_as_well(home: Home) -> None:
    """Any program that reads stdin and writes the decision is a runner.

    Source: spec/beat.md §9.
    """
    code = "import sys, json; sys.stdin.read(); print(json.dumps({'action': 'noop', 'reason': 'py'}))"
    home.config = Config(tick_command=f"{shlex.quote(sys.executable)} -c {shlex.quote(code)}")
    assert home.run_beat().summary == "noop · py"
