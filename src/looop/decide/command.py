"""The command runner: any agent CLI or script that reads the prompt and writes `.decision.json`. Spec/beat.md §9.

Its exit status alone proves nothing: a decide needs exit 0 and a decision nobody had left there before.

Note [Where the decision is]
The file wins. Without one, the last JSON object with an `action` in the last 64 KiB of the output counts.
Source: design §3 row 8.
"""

import os
import re
import select
import shlex
from collections.abc import Callable

from msgspec import Struct

from looop.decide.bundle import Bundle, Tee
from looop.model.errors import LooopError
from looop.rules.final_text import last_decision
from looop.runtime.clock import wall_clock
from looop.runtime.command import Command, Ended
from looop.state.codec import discard
from looop.state.house import House

DECISION = ".decision.json"
_PLACEHOLDER = re.compile(r""""\{\{prompt_file\}\}"|'\{\{prompt_file\}\}'|\{\{prompt_file\}\}""")
_KEEP_BYTES = 65536


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


def ask_command(house: House, tick_command: str, bundle: Bundle) -> Answer:
    """Run the command on the bundle's prompt and collect its decision. Never raises for what the runner does."""
    tee = Tee([bundle.file("output.log"), os.path.join(house.setting.root, "tick.log")])
    raw = Tee([bundle.file("stream.jsonl")])
    lines = _Lines(lambda line: tee.write(f"[{_now(house)}] {line}\n".encode("utf-8", "replace")))

    def take(chunk: bytes) -> None:
        raw.write(chunk)
        lines.feed(chunk)

    try:
        ended = _run_with_retries(house, runner_command(house, tick_command, bundle), take)
        lines.end()
    except LooopError as error:
        return Answer(error=_cannot_consume(error))
    finally:
        tee.close()
        raw.close()
    if problem := tee.problem or raw.problem:
        house.events.emit("guard_degraded", guard="copy of the runner's output", error=problem)
    return _answer(house, ended)


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
        merge_errors=True,
    )


def _run_with_retries(house: House, command: Command, take: Callable[[bytes], None]) -> Ended:
    """Each attempt gets the whole prompt anew, and what a failed one left is not the next one's decision. §9.1.

    Raises Unreadable, Unwritable when such a decision cannot be removed.
    """
    knobs, deadline = house.setting.knobs, command.deadline_s
    spent = 0.0
    for attempt in range(1, knobs.runner_retries + 2):
        ended = house.setting.processes.run(command, take)
        spent += ended.seconds
        left = deadline - spent
        if attempt > knobs.runner_retries or not _worth_retrying(ended, knobs.runner_retry_match):
            break
        if deadline and left <= 0:
            break
        take(f"looop-retry: attempt {attempt} of {knobs.runner_retries + 1} failed, trying again\n".encode())
        if _pause(house, knobs.runner_retry_sleep * attempt):
            return Ended(stopped=True, seconds=spent)
        drop_stale_decision(house)
        command = _with_deadline(command, max(int(left), 1) if deadline else 0)
    return ended


def _worth_retrying(ended: Ended, pattern: str) -> bool:
    if ended.stopped or ended.timed_out or ended.spawn_error:
        return False
    if ended.code != 0:
        return True
    if not pattern.strip():
        return False
    try:
        return re.search(pattern, ended.output.decode("utf-8", "replace"), re.IGNORECASE) is not None
    except re.error:
        return False


def _pause(house: House, seconds: float) -> bool:
    """Wait, and say whether a stop was requested meanwhile."""
    stop = house.setting.stop
    if stop.fileno() >= 0:
        select.select([stop.fileno()], [], [], seconds)
    return stop.requested()


def _with_deadline(command: Command, deadline_s: int) -> Command:
    from msgspec.structs import replace

    return replace(command, deadline_s=deadline_s)


def _answer(house: House, ended: Ended) -> Answer:
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
    return Answer(text=last_decision(ended.output.decode("utf-8", "replace")), seconds=seconds)


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
    tail = ended.output.decode("utf-8", "replace").strip()[-400:]
    return f"exited with {ended.code}" + (f": {tail}" if tail else "")


def _now(house: House) -> str:
    return wall_clock(house.setting.clock, house.setting.clock.now())


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
