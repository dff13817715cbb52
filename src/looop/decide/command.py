"""The command runner: any agent CLI or script that reads the prompt and writes `.decision.json`. Spec/beat.md §9.

Its exit status alone proves nothing: a decide needs exit 0 and a decision nobody had left there before.

Note [Where the decision is]
The file wins. Without one, the structured answer of a runner that gives one; else the last JSON object with an
`action` in its final text. stderr is talk, where some runners show what they read and do.
Source: design §3 row 8.
"""

import os
import re
from time import monotonic

from msgspec import Struct
from msgspec.structs import replace

from looop.config.api import DEADLINE, STABLE_BYTES
from looop.config.file import Config
from looop.decide.breakers import Meter, OverBudget
from looop.decide.bundle import Bundle, Tee
from looop.decide.streams import Reader, Verdict, metered, reader_for
from looop.model.errors import LooopError, Unreadable
from looop.model.prompt import Prompt
from looop.rules.final_text import last_decision
from looop.rules.launch import names_prompt, with_prompt
from looop.runtime.clock import wall_clock
from looop.runtime.command import Command, Ended, OnChunk, pause
from looop.state.codec import discard
from looop.state.house import House

DECISION = ".decision.json"
_KEEP_BYTES = 65536
_KEEP_ERRORS = 4096
_LOG_BYTES = 8 << 20
_STREAM_BYTES = 64 << 20
_SHOWN_CHARS = 400


class Answer(Struct, frozen=True):
    """What the runner left: the text of a decision, None when there is none, or why the run failed.

    `limit` is the runner's own word that its usage limit is reached; `over_budget` says that a breaker stopped it.
    """

    text: str | None = None
    error: str = ""
    stopped: bool = False
    over_budget: bool = False
    limit: str = ""
    seconds: float = 0.0


def drop_stale_decision(house: House) -> None:
    """Remove a decision that nobody asked for; it must never be executed. Raises Unreadable, Unwritable. Item 88."""
    try:
        if house.store.read(DECISION) is not None:
            discard(house.store, DECISION)
            house.events.emit("stale_decision")
    except Unreadable as error:
        raise Unreadable(f"{error}: remove it, nobody asked for it") from None


def ask_command(house: House, config: Config, bundle: Bundle, prompt: Prompt, meter: Meter) -> Answer:
    """Run the configured command on the bundle's prompt and collect its decision.

    Never raises for what the runner does. The meter has followed all of it.
    """
    copies = _Copies(house, bundle, config, meter)
    command = runner_command(house, config.tick_command or "", bundle)
    if config.api:
        command = replace(command, env={**house.setting.env, **_hints(prompt, command.deadline_s)})
    began = monotonic()
    try:
        ended = _run_with_retries(house, command, copies)
    except OverBudget as error:
        return Answer(error=str(error), over_budget=True, seconds=round(monotonic() - began, 1))
    except LooopError as error:
        return Answer(error=_cannot_consume(error))
    finally:
        copies.close()
    if copies.problem:
        house.events.emit("guard_degraded", guard="copy of the runner's output", error=copies.problem)
    return _answer(house, ended, copies.verdict, prompt.text)


def runner_command(house: House, tick_command: str, bundle: Bundle) -> Command:
    """How the runner is started: by path where the command names `{{prompt_file}}`, else on stdin."""
    prompt = bundle.file("prompt.md")
    return Command(
        argv=("bash", "-c", f"{{ {with_prompt(tick_command, prompt)}\n}}"),
        cwd=house.setting.root,
        env=house.setting.env,
        stdin=None if names_prompt(tick_command) else prompt,
        deadline_s=house.setting.knobs.tick_timeout_secs,
        keep=_KEEP_BYTES,
        keep_end=True,
        keep_errors=_KEEP_ERRORS,
        mark=bundle.mark,
    )


def _hints(prompt: Prompt, deadline_s: int) -> dict[str, str]:
    """What the child of a model API is told besides its settings: what may be cached, and how long it has."""
    titles = [title for title, _ in prompt.sections]
    stable = prompt.sections[: titles.index("PLAYBOOK") + 1] if "PLAYBOOK" in titles else []
    return {STABLE_BYTES: str(sum(size for _, size in stable)), DEADLINE: str(deadline_s)}


def _run_with_retries(house: House, command: Command, copies: "_Copies") -> Ended:
    """Each attempt gets the whole prompt anew, and what a failed one left is not the next one's decision. §9.1.

    All attempts and the pauses between them share one deadline, and `seconds` is their sum. Raises Unreadable,
    Unwritable when a failed attempt's decision cannot be removed.
    """
    knobs, began = house.setting.knobs, monotonic()
    attempts, limit = knobs.runner_retries + 1, command.deadline_s
    for attempt in range(1, attempts + 1):
        copies.begin()
        ended = house.setting.processes.run(command, copies.output, copies.errors, copies.tick)
        copies.flush()
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


def _answer(house: House, ended: Ended, verdict: Verdict, prompt: str) -> Answer:
    """Exit 0 proves nothing: the stream must have come to its end without an error, and a decision be there."""
    seconds = round(ended.seconds, 1)
    if ended.stopped:
        return Answer(stopped=True, seconds=seconds)
    if why := _why_failed(house, ended, verdict):
        return Answer(error=f"the runner command failed: {why}", limit=verdict.limit, seconds=seconds)
    try:
        blob = house.store.read(DECISION)
        if blob is not None:
            discard(house.store, DECISION)
    except LooopError as error:
        return Answer(error=_cannot_consume(error), seconds=seconds)
    if blob is not None:
        return Answer(text=blob.data.decode("utf-8", "replace"), seconds=seconds)
    text = verdict.structured or last_decision(verdict.text, prompt)
    if text is None and verdict.denied:
        return Answer(error=f"the runner was refused its tools ({', '.join(verdict.denied)})", seconds=seconds)
    return Answer(text=text, seconds=seconds)


def _cannot_consume(error: LooopError) -> str:
    return f"there may be a decision, but it cannot be consumed: {error}"


def _why_failed(house: House, ended: Ended, verdict: Verdict) -> str:
    if ended.spawn_error:
        return ended.spawn_error
    if ended.timed_out:
        limit = house.setting.knobs.tick_timeout_secs
        return f"timed out after {limit}s (LOOOP_TICK_TIMEOUT_SECS), its process group was killed"
    if ended.signal is not None:
        return f"killed by signal {ended.signal}"
    if ended.code != 0:
        tail = (verdict.error or _all_text(ended).strip())[-_SHOWN_CHARS:]
        return f"exited with {ended.code}" + (f": {tail}" if tail else "")
    return verdict.error or ("" if verdict.ended else "its output broke off before its end mark")


def _all_text(ended: Ended) -> str:
    return (ended.output + b"\n" + ended.errors).decode("utf-8", "replace")


class _Copies:
    """What the runner says, as it comes: raw in `stream.jsonl`, in lines for people, in figures for the meter."""

    def __init__(self, house: House, bundle: Bundle, config: Config, meter: Meter) -> None:
        self._clock, self._config, self._meter = house.setting.clock, config, meter
        self._env = house.setting.env
        self._tee = Tee([bundle.file("output.log"), os.path.join(house.setting.root, "tick.log")], _LOG_BYTES)
        self._raw = Tee([bundle.file("stream.jsonl")], _STREAM_BYTES)
        self._lines, self._error_lines = _Lines(self._hear), _Lines(self._hear_error)
        self.errors, self.tick = self._error_lines.feed, meter.check
        self._reader = self._new_reader()

    @property
    def problem(self) -> str:
        """Which copy failed and why, empty when none did."""
        return self._tee.problem or self._raw.problem

    @property
    def verdict(self) -> Verdict:
        """What the stream of the last attempt said of itself."""
        return self._reader.verdict()

    def flush(self) -> None:
        """An attempt is over: what it left without a line end is a line. Raises OverBudget."""
        self._error_lines.end()
        self._lines.end()

    def begin(self) -> None:
        """A new attempt: its output is a stream of its own."""
        self._reader = self._new_reader()
        self._meter.follow(self._reader)

    def _new_reader(self) -> Reader:
        config = self._config
        reader = reader_for(config.runner, config.tick_command or "", self._env, config.events)
        return metered(reader, config.cost)

    def output(self, chunk: bytes) -> None:
        self._raw.write(chunk)
        self._lines.feed(chunk)

    def note(self, line: str) -> None:
        stamp = wall_clock(self._clock, self._clock.now())
        self._tee.write(f"[{stamp}] {line}\n".encode("utf-8", "replace"))

    def close(self) -> None:
        self._tee.close()
        self._raw.close()

    def _hear(self, line: bytes) -> None:
        for said in self._reader.feed(line):
            for part in said.split("\n"):
                if part := part.rstrip():
                    self.note(part)
        self._meter.check()

    def _hear_error(self, line: bytes) -> None:
        if text := line.decode("utf-8", "replace").rstrip():
            self.note(text)


class _Lines:
    """Cuts a byte stream into lines; what has no newline at the end is still a line. Items 94, 95."""

    _LONGEST = 1 << 24

    def __init__(self, on_line: OnChunk) -> None:
        self._on_line, self._rest = on_line, bytearray()

    def feed(self, chunk: bytes) -> None:
        first, *others = chunk.split(b"\n")
        self._rest += first
        for line in others:
            self.end()
            self._rest += line
        if len(self._rest) > self._LONGEST:
            self.end()

    def end(self) -> None:
        if self._rest:
            line, self._rest = bytes(self._rest), bytearray()
            self._on_line(line)
