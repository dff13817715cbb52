"""The text that bash runs as a worker, tried with a real bash, on a terminal where one matters."""

import os
import pty
import re
import select
import subprocess
import time
from pathlib import Path

import pytest

from looop.config.knobs import Knobs
from looop.model.errors import Refused
from looop.rules.launch import Retries, launch_script, names_prompt, with_prompt

OFF = Retries()
TRICKY = ["da ta", 'it\'s "$HOME" `x` \\', "two\nlines", "{{prompt_file}}", "{{model}} {{thinking}}", "日本 *"]
FAILS = "n=$(($(cat n 2>/dev/null || echo 0) + 1)); echo $n > n; : {{prompt_file}}; "


def run(script: str, **more: object) -> "subprocess.CompletedProcess[str]":
    """Run the script as a session would, but without a terminal."""
    argv = ["bash", "-c", script]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, **more)


def script_of(command: str, data: Path, retries: Retries = OFF) -> str:
    """The script of a worker `w` whose prompt lies in the data dir."""
    return launch_script(command, None, f"{data}/prompts/w.md", str(data), "w", retries)


def attempts(data: Path) -> int:
    """How often a command that begins with FAILS ran."""
    return int((data / "n").read_text())


@pytest.mark.parametrize("folder", TRICKY)
@pytest.mark.parametrize("placeholder", ["{{prompt_file}}", '"{{prompt_file}}"', "'{{prompt_file}}'"])
def test_paths_arrive_whole(tmp_path: Path, folder: str, placeholder: str) -> None:
    """The worker starts in the data dir, and gets its prompt's path as one word, whatever the path holds.

    Source: spec/edge-cases.md items 97, 98.
    """
    data = tmp_path / folder
    (data / "prompts").mkdir(parents=True)
    (data / "prompts/w.md").write_text("the task")
    for retries in (OFF, Retries(extra=1)):
        done = run(script_of(f'printf "%s|" "$#" "$PWD"; set -- {placeholder}; echo "$# $(cat "$1")"', data, retries))
        assert done.stdout == f"0|{data}|1 the task\n"
        assert done.returncode == 0


def test_a_prompt_as_an_argument(tmp_path: Path) -> None:
    """The presets' `"$(cat {{prompt_file}})"` is one argument with all of the text.

    Source: spec/cli.md §4, spec/edge-cases.md item 97.
    """
    data = tmp_path / "it's $here"
    (data / "prompts").mkdir(parents=True)
    (data / "prompts/w.md").write_text("a 'b' $c\nd")
    assert run(script_of('printf "[%s]" "$(cat {{prompt_file}})"', data)).stdout == "[a 'b' $c\nd]"


def test_without_retries_the_command_is_unchanged() -> None:
    """Nothing but the prompt's path is put into the command; the braces close on a line of their own.

    Source: spec/edge-cases.md item 101, spec/workers.md §2.2 item 5.
    """
    command = "  my agent --p {{prompt_file}} 'x'  # a comment"
    filled = command.replace("{{prompt_file}}", "/d/prompts/w.md")
    assert script_of(command, Path("/d")) == f"export LOOOP_SESSION_ID=w; cd /d && {{ {filled}\n}}"


def test_the_worker_knows_its_id_and_its_exit_code_is_the_sessions(tmp_path: Path) -> None:
    """LOOOP_SESSION_ID is in its environment; the script ends with the command's own exit status.

    Source: spec/workers.md §2.2 item 5, §2.3.
    """
    done = run(script_of("printenv LOOOP_SESSION_ID; : {{prompt_file}}; exit 7 # bye", tmp_path))
    assert (done.stdout, done.returncode) == ("w\n", 7)


def test_without_its_data_dir_nothing_runs(tmp_path: Path) -> None:
    """A data dir that is gone ends the worker before its command.

    Source: spec/workers.md §2.2 item 5.
    """
    done = run(script_of("echo ran {{prompt_file}}", tmp_path / "gone", Retries(extra=3)))
    assert done.returncode != 0
    assert done.stdout == ""


def test_the_override_counts_unless_it_is_blank() -> None:
    """An override replaces the template as a whole; one of blanks is none.

    Source: spec/edge-cases.md item 166.
    """
    for override, program in ((None, "a"), ("", "a"), (" \n", "a"), ("b {{prompt_file}}", "b")):
        script = launch_script("a {{prompt_file}}", override, "/p", "/d", "w", OFF)
        assert script.endswith(f"{{ {program} /p\n}}")


@pytest.mark.parametrize(
    ("template", "override", "said"),
    [
        ("agent", None, "worker_command = 'agent': expected {{prompt_file}} in it"),
        ("", " ", "worker_command = '': expected {{prompt_file}}"),
        ("a {{prompt_file}}", "agent", "the worker's command = 'agent': expected {{prompt_file}} in it"),
        ("agent {prompt_file}", None, "expected {{prompt_file}} in it"),
        ("a -m {{model}} {{prompt_file}}", None, "worker_command has {{model}}, which nothing fills in any more"),
        ("a -t {{thinking}} {{prompt_file}}", None, "or let `looop init` write the command anew"),
        ("a {{prompt_file}}", "a {{model}} {{prompt_file}}", "the worker's command has {{model}}"),
    ],
)
def test_a_command_that_cannot_work_is_refused(template: str, override: str | None, said: str) -> None:
    """Without a place for the prompt, or with a retired placeholder, it is refused with a remedy.

    Source: spec/edge-cases.md item 166, spec/workers.md §2.1.
    """
    with pytest.raises(Refused, match=re.escape(said)):
        launch_script(template, override, "/p", "/d", "w", OFF)


def test_the_rule_of_the_placeholder() -> None:
    """Quotes around the placeholder are taken with it, never nested, and a filled-in path is not filled in again.

    Source: spec/beat.md §9 Prompt delivery, spec/edge-cases.md item 98.
    """
    assert with_prompt("a {{prompt_file}} '{{prompt_file}}' \"{{prompt_file}}\"", "/x y") == "a '/x y' '/x y' '/x y'"
    assert with_prompt("a {{prompt_file}}", "/{{prompt_file}}") == "a '/{{prompt_file}}'"
    assert not names_prompt("a { {prompt_file} }")


def test_a_failure_is_tried_again(tmp_path: Path) -> None:
    """Up to N more attempts, a line on stderr before each, output as it comes, and the last exit status.

    Source: spec/beat.md §9.1.
    """
    done = run(script_of(FAILS + "echo out $n; exit $n", tmp_path, Retries(extra=2, sleep_s=0)))
    assert (done.stdout, done.returncode, attempts(tmp_path)) == ("out 1\nout 2\nout 3\n", 3, 3)
    assert done.stderr.splitlines() == [
        "looop-retry: attempt 1 of 3 failed (exit code 1), trying again in 0s",
        "looop-retry: attempt 2 of 3 failed (exit code 2), trying again in 0s",
    ]


def test_without_knobs_it_is_as_with_their_defaults() -> None:
    """No attempt more, no pattern, and the pause of the knob.

    Source: spec/beat.md §9.1.
    """
    knobs = Knobs()
    assert Retries() == Retries(knobs.runner_retries, knobs.runner_retry_match, knobs.runner_retry_sleep)


def test_success_ends_the_attempts(tmp_path: Path) -> None:
    """The first success is the last attempt, also after a failure; a command of several lines stays one command.

    Source: spec/beat.md §9.1.
    """
    done = run(script_of(FAILS + "\n[ $n = 2 ] # well?", tmp_path, Retries(extra=5, sleep_s=0)))
    assert (done.returncode, attempts(tmp_path)) == (0, 2)
    assert done.stderr.count("looop-retry: ") == 1


def test_the_pause_grows(tmp_path: Path) -> None:
    """The pause is the knob's seconds times the attempt's number.

    Source: spec/beat.md §9.1.
    """
    (tmp_path / "sleep").write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/pauses\n')
    (tmp_path / "sleep").chmod(0o755)
    env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = run(script_of(FAILS + "exit 1", tmp_path, Retries(extra=3, sleep_s=4)), env=env)
    assert (tmp_path / "pauses").read_text().split() == ["4", "8", "12"]
    assert "trying again in 12s" in done.stderr


@pytest.mark.parametrize("retries", [OFF, Retries(extra=1, sleep_s=0), Retries(extra=1, match="x", sleep_s=0)])
def test_the_script_is_one_that_bash_can_read(retries: Retries) -> None:
    """Bash parses the script without a word, whatever the data dir is called.

    Source: spec/workers.md §2.2 item 5.
    """
    for folder in TRICKY:
        script = launch_script("a {{prompt_file}}", None, f"/{folder}/p", f"/{folder}", "w", retries)
        done = subprocess.run(["bash", "-n", "-c", script], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


def on_terminal(script: str, data: Path, rotate: bytes = b"") -> tuple[int, str]:
    """Run the script as a session does: on a terminal, all of whose output goes to the session's output.log.

    What was shown comes back without the marks. The log begins anew once `rotate` has been shown.
    """
    folder = data / "sessions/w"
    folder.mkdir(parents=True)
    ours, theirs = pty.openpty()
    log = open(folder / "output.log", "ab", buffering=0)  # noqa: SIM115 - replaced on the way
    process = subprocess.Popen(
        ["bash", "-c", script], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    shown, deadline = b"", time.monotonic() + 30
    while time.monotonic() < deadline and select.select([ours], [], [], 30)[0]:
        try:
            chunk = os.read(ours, 65536)
        except OSError:
            break
        time.sleep(0.02)
        log.write(chunk)
        shown += chunk
        if rotate and rotate in chunk:
            os.rename(folder / "output.log", folder / "output.log.1")
            log.close()
            log, rotate = open(folder / "output.log", "ab", buffering=0), b""  # noqa: SIM115
    log.close()
    os.close(ours)
    said = shown.decode().replace("\r\n", "\n")
    return process.wait(5), said.replace("\033_\033\\", "")


def test_a_provider_error_with_exit_0_is_tried_again(tmp_path: Path) -> None:
    """What the pattern matches, in any case, counts as a failure; the exit status stays the attempt's own.

    Source: spec/edge-cases.md item 102, spec/beat.md §9.1.
    """
    said = FAILS + '[ $n = 3 ] && echo fine || echo "API Error: OVERLOADED_error"'
    code, shown = on_terminal(script_of(said, tmp_path, Retries(4, "rate.limit|overloaded", 0)), tmp_path)
    assert (code, attempts(tmp_path)) == (0, 3)
    assert "looop-retry: attempt 2 of 5 failed (exit code 0), trying again in 0s\nfine\n" in shown


def test_the_last_attempt_is_what_it_is(tmp_path: Path) -> None:
    """When all attempts match, the last one's exit status is the worker's: 0.

    Source: spec/beat.md §9.1.
    """
    code, shown = on_terminal(script_of(FAILS + "echo overloaded", tmp_path, Retries(1, "overloaded", 0)), tmp_path)
    assert (code, attempts(tmp_path), shown.count("overloaded")) == (0, 2, 2)


def test_an_attempt_is_judged_by_its_own_words(tmp_path: Path) -> None:
    """Neither the line between two attempts, nor the command, nor what an attempt before said is searched.

    Source: spec/beat.md §9.1.
    """
    said = FAILS + "[ $n = 1 ] && { echo attempt failed; exit 5; }; echo fine"
    code, shown = on_terminal(script_of(said, tmp_path, Retries(4, "failed|looop|exit", 0)), tmp_path)
    assert (code, attempts(tmp_path)) == (0, 2), shown


@pytest.mark.parametrize("match", ["", "overloaded"])
def test_the_agent_keeps_its_terminal(tmp_path: Path, match: str) -> None:
    """In every attempt stdin, stdout and stderr are the session's terminal, with or without a pattern.

    Source: spec/workers.md §1.
    """
    said = FAILS + "tty; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo all three; exit 1"
    _, shown = on_terminal(script_of(said, tmp_path, Retries(1, match, 0)), tmp_path)
    assert shown.count("all three\n") == 2
    assert len(set(re.findall("^/dev/.*$", shown, re.MULTILINE))) == 1


def test_a_log_that_begins_anew_is_searched_to_its_end(tmp_path: Path) -> None:
    """When the session's log is rotated during an attempt, what is in the old part and in the new one counts.

    Source: spec/workers.md §3.2.
    """
    said = FAILS + "[ $n = 2 ] && exit 0; echo overloaded; sleep 0.2; echo turn; sleep 0.2; echo more"
    script = script_of(said, tmp_path, Retries(2, "overloaded", 0))
    assert on_terminal(script, tmp_path, rotate=b"turn")[0] == 0
    assert attempts(tmp_path) == 2


def test_without_a_log_exit_codes_count_and_that_is_said(tmp_path: Path) -> None:
    """Where there is no output.log a pattern cannot be looked for: one line says so, exit status still counts.

    Source: spec/beat.md §9.1.
    """
    done = run(script_of(FAILS + "echo overloaded; [ $n = 2 ]", tmp_path, Retries(3, "overloaded", 0)))
    assert (done.returncode, attempts(tmp_path)) == (0, 2)
    assert done.stderr.splitlines()[0].endswith("so exit codes alone count, not LOOOP_RUNNER_RETRY_MATCH")


def test_a_pattern_that_is_none_matches_nothing(tmp_path: Path) -> None:
    """A broken pattern, and one with quotes or a leading dash, does no harm: exit status counts.

    Source: spec/beat.md §9.1.
    """
    for number, pattern in enumerate(("(", 'it\'s "$(touch harm)"', "-e")):
        data = tmp_path / str(number)
        data.mkdir()
        assert on_terminal(script_of(FAILS + "echo fine", data, Retries(1, pattern, 0)), data)[0] == 0
        assert attempts(data) == 1
        assert not (data / "harm").exists()
