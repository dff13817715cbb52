"""The command runner: any agent CLI or script that reads the prompt and writes `.decision.json`. Spec/beat.md §9.

Its exit status alone proves nothing: a decide needs exit 0 and a decision nobody had left there before.

Note [Where the decision is]
The file wins. Without one, the last JSON object with an `action` in the last 64 KiB of stdout counts; stderr is
talk, where some runners show what they read and do.
Source: design §3 row 8.
"""

import os
import re
import shlex
from collections.abc import Callable
from time import monotonic

from msgspec import Struct
from msgspec.structs import replace

from looop.decide.bundle import Bundle, Tee
from looop.model.errors import LooopError
from looop.rules.final_text import last_decision
from looop.runtime.clock import wall_clock
from looop.runtime.command import Command, Ended, pause
from looop.state.codec import discard
from looop.state.house import House

DECISION = ".decision.json"
_PLACEHOLDER = re.compile(r""""\{\{prompt_file\}\}"|'\{\{prompt_file\}\}'|\{\{prompt_file\}\}""")
_KEEP_BYTES = 65536
_KEEP_ERRORS = 4096


class Answer(Struct, frozen=True):
    """What the runner left: the text of a decision, None when there is none, or why the run failed."""

    text: str | None = None
    error: str = ""
    stopped: bool = False
    seconds: float = 0.0


def drop_stale_decision(house: House) -> None:
    """Remove a decision that nobody asked for; it must never be executed. Raises Unreadable, Unwritable. Item 88."""
    if house.store.read(DECISION) is not None:
        discard(house.store, DECISION)
        house.events.emit("stale_decision")


def ask_command(house: House, tick_command: str, bundle: Bundle, prompt: str) -> Answer:
    """Run the command on the bundle's prompt and collect its decision. Never raises for what the runner does."""
    copies = _Copies(house, bundle)
    try:
        ended = _run_with_retries(house, runner_command(house, tick_command, bundle), copies)
    except LooopError as error:
        return Answer(error=_cannot_consume(error))
    finally:
        copies.close()
    if copies.problem:
        house.events.emit("guard_degraded", guard="copy of the runner's output", error=copies.problem)
    return _answer(house, ended, prompt)


def runner_command(house: House, tick_command: str, bundle: Bundle) -> Command:
    """How the runner is started: by path where the command names `{{prompt_file}}`, else on stdin."""
    prompt = bundle.file("prompt.md")
    by_path = _PLACEHOLDER.search(tick_command) is not None
    script = _PLACEHOLDER.sub(lambda _: shlex.quote(prompt), tick_command)
    return Command(
        argv=("bash", "-c", f"{{ {script}\n}}"),
        cwd=house.setting.root,
        env=house.setting.env,
        stdin=None if by_path else prompt,
        deadline_s=house.setting.knobs.tick_timeout_secs,
        keep=_KEEP_BYTES,
        keep_end=True,
        keep_errors=_KEEP_ERRORS,
    )


def _run_with_retries(house: House, command: Command, copies: "_Copies") -> Ended:
    """Each attempt gets the whole prompt anew, and what a failed one left is not the next one's decision. §9.1.

    All attempts and the pauses between them share one deadline, and `seconds` is their sum. Raises Unreadable,
    Unwritable when a failed attempt's decision cannot be removed.
    """
    knobs, began = house.setting.knobs, monotonic()
    attempts, limit = knobs.runner_retries + 1, command.deadline_s
    for attempt in range(1, attempts + 1):
        ended = house.setting.processes.run(command, copies.output, copies.errors)
        wait, passed = knobs.runner_retry_sleep * attempt, monotonic() - began
        if attempt == attempts or not _worth_retrying(ended, knobs.runner_retry_match):
            break
        if limit and passed + wait >= limit:
            break
        copies.note(f"looop-retry: attempt {attempt} of {attempts} failed, trying again in {wait}s")
        if pause(house.setting.stop, wait):
            return Ended(stopped=True, seconds=monotonic() - began)
        drop_stale_decision(house)
        command = replace(command, deadline_s=max(int(limit - passed - wait), 1) if limit else 0)
    return replace(ended, seconds=monotonic() - began)


def _worth_retrying(ended: Ended, pattern: str) -> bool:
    if ended.stopped or ended.timed_out or ended.spawn_error:
        return False
    if ended.code != 0:
        return True
    if not pattern.strip():
        return False
    try:
        return re.search(pattern, _all_text(ended), re.IGNORECASE) is not None
    except re.error:
        return False


def _answer(house: House, ended: Ended, prompt: str) -> Answer:
    seconds = round(ended.seconds, 1)
    if ended.stopped:
        return Answer(stopped=True, seconds=seconds)
    if why := _why_failed(house, ended):
        return Answer(error=f"the runner command failed: {why}", seconds=seconds)
    try:
        blob = house.store.read(DECISION)
        if blob is not None:
            discard(house.store, DECISION)
    except LooopError as error:
        return Answer(error=_cannot_consume(error), seconds=seconds)
    if blob is not None:
        return Answer(text=blob.data.decode("utf-8", "replace"), seconds=seconds)
    return Answer(text=last_decision(_final_text(ended), prompt), seconds=seconds)


def _final_text(ended: Ended) -> str:
    """What was kept of stdout, without a first line whose beginning is lost."""
    kept = ended.output
    if ended.output_bytes > len(kept):
        kept = kept[kept.find(b"\n") + 1 :]
    return kept.decode("utf-8", "replace")


def _cannot_consume(error: LooopError) -> str:
    return f"there may be a decision, but it cannot be consumed: {error}"


def _why_failed(house: House, ended: Ended) -> str:
    if ended.code == 0:
        return ""
    if ended.spawn_error:
        return ended.spawn_error
    if ended.timed_out:
        limit = house.setting.knobs.tick_timeout_secs
        return f"timed out after {limit}s (LOOOP_TICK_TIMEOUT_SECS), its process group was killed"
    if ended.signal is not None:
        return f"killed by signal {ended.signal}"
    tail = _all_text(ended).strip()[-400:]
    return f"exited with {ended.code}" + (f": {tail}" if tail else "")


def _all_text(ended: Ended) -> str:
    return (ended.output + b"\n" + ended.errors).decode("utf-8", "replace")


class _Copies:
    """What the runner says, as it comes: raw stdout in `stream.jsonl`, stamped lines of both streams for people."""

    def __init__(self, house: House, bundle: Bundle) -> None:
        self._clock = house.setting.clock
        self._tee = Tee([bundle.file("output.log"), os.path.join(house.setting.root, "tick.log")])
        self._raw = Tee([bundle.file("stream.jsonl")])
        self._lines, self._error_lines = _Lines(self.note), _Lines(self.note)
        self.errors = self._error_lines.feed

    @property
    def problem(self) -> str:
        """Which copy failed and why, empty when none did."""
        return self._tee.problem or self._raw.problem

    def output(self, chunk: bytes) -> None:
        self._raw.write(chunk)
        self._lines.feed(chunk)

    def note(self, line: str) -> None:
        stamp = wall_clock(self._clock, self._clock.now())
        self._tee.write(f"[{stamp}] {line}\n".encode("utf-8", "replace"))

    def close(self) -> None:
        self._lines.end()
        self._error_lines.end()
        self._tee.close()
        self._raw.close()


class _Lines:
    """Cuts a byte stream into decoded lines; what has no newline at the end is still a line. Items 94, 95."""

    _LONGEST = 1 << 20

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line, self._rest = on_line, b""

    def feed(self, chunk: bytes) -> None:
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        for line in whole:
            self._emit(line)
        if len(self._rest) > self._LONGEST:
            self.end()

    def end(self) -> None:
        if self._rest:
            self._emit(self._rest)
            self._rest = b""

    def _emit(self, line: bytes) -> None:
        if text := line.decode("utf-8", "replace").rstrip("\r"):
            self._on_line(text)
