"""Is everything in order? Each thing is really tried: a file written, an event awaited, the runner asked.

Note [The trial decision]
It is a run like any other: every breaker must let it pass, it is announced, metered, and a row of the ledger; only its
decision is thrown away. It takes the pulse's lock, so it never meets the decision of a beat; while a pulse runs the
runner is not asked, and how that pulse fares is told instead. Source: design §6, spec/beat.md §9.
"""

import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from looop import __version__
from looop.config.file import NO_RUNNER, Config, load_config, program_word
from looop.config.presets import PRESETS, PROMPT_FILE
from looop.contract.observe import state_of
from looop.contract.verbs import StateView
from looop.decide.breakers import Breakers, Meter
from looop.decide.bundle import Bundle
from looop.decide.command import Answer, ask_command, drop_stale_decision
from looop.model.decision import parse_decision
from looop.model.errors import AlreadyRunning, Invalid, LooopError
from looop.model.facts import FACTS
from looop.model.prompt import Prompt
from looop.model.usage import Usage
from looop.rules import gates
from looop.rules.cadence import clamp_interval
from looop.runtime.clock import second_stamp
from looop.runtime.command import Command
from looop.runtime.lock import PulseLock
from looop.runtime.watch import Watcher
from looop.runtime.zones import local_zone, zone_of
from looop.state.codec import discard
from looop.state.house import House
from looop.state.ledger import KEY
from looop.state.open import NoStop

Status = Literal["ok", "warn", "fail"]
PROBE = ".doctor"
_TRIAL = """\
This is a trial: looop wants to know whether you answer. Nothing is to be done, so use no tool to look at anything.

Hand over one JSON object with two keys: `action`, which is noop, and `reason`, which is the one word well. Write it to
`.decision.json` in the working directory; if you cannot write files, make the object your final text.
"""
_TRIAL_S, _VERSION_S, _EVENT_S = 120, 20, 3.0
_LOW_BYTES, _FULL_BYTES = 1 << 30, 50 << 20
_SKEW_S = 120
_EPOCH = 1_700_000_000
_LATE_BEATS = 3


class Finding(Struct, frozen=True):
    """What was found about one subject, and what to do about it (empty when it is well)."""

    subject: str
    status: Status
    said: str
    remedy: str = ""


class Checkup(Struct, frozen=True):
    """All findings; healthy when none of them is a failure."""

    healthy: bool
    findings: list[Finding]


def check_up(house: House, *, ask: bool) -> Checkup:
    """Look at everything. Writes only a probe, which goes again, and what a run leaves. Never raises a LooopError."""
    findings = list(_findings(house, ask=ask))
    return Checkup(not any(finding.status == "fail" for finding in findings), findings)


def _findings(house: House, *, ask: bool) -> Iterator[Finding]:
    yield Finding("versions", "ok", f"looop {__version__}, Python {platform.python_version()}, {platform.platform()}")
    yield _guarded("data dir", lambda: _data_dir(house))
    yield _guarded("disk", lambda: _disk(house))
    yield _guarded("watching", lambda: _watching(house))
    yield _guarded("clock", lambda: _clock(house))
    yield _time_zone(house)
    view, config, told = state_of(house), Config(), list[str]()
    try:
        config = load_config(house.setting.config_file)
        yield _config(house, config)
    except LooopError as error:
        told.append(str(error))
        yield Finding("config", "fail", str(error), "mend the file; until then no runner is asked")
    yield _ledger(house, config)
    yield _records(view, told)
    yield _pulse(house, view, config)
    yield from _runner(house, config, view, ask=ask)
    yield from _worker(house, config)


def _guarded(subject: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except LooopError as error:
        return Finding(
            subject, "fail", str(error), "see who owns the data dir, and whether its disk is full or read-only"
        )
    except OSError as error:
        return Finding(subject, "fail", f"{error.filename or subject}: {error.strerror}", "mend that and look again")


def _data_dir(house: House) -> Finding:
    house.store.write(PROBE, b"well\n")
    blob = house.store.read(PROBE)
    discard(house.store, PROBE)
    if blob is None or blob.data != b"well\n":
        return Finding("data dir", "fail", f"{house.setting.root}: what is written is not there", "use another disk")
    return Finding("data dir", "ok", f"{house.setting.root} can be written")


def _disk(house: House) -> Finding:
    found = os.statvfs(house.setting.root)
    free = found.f_bavail * found.f_frsize
    said = f"{free / (1 << 30):.1f} GiB free"
    if found.f_files and not found.f_favail:
        return Finding("disk", "fail", f"{said}, but no free inode", "remove files")
    if free < _LOW_BYTES:
        return Finding("disk", "fail" if free < _FULL_BYTES else "warn", said, "make room: looop writes at every beat")
    return Finding("disk", "ok", said)


def _watching(house: House) -> Finding:
    """A real change must end a real wait."""
    degraded, why_not = list[str](), house.setting.unwatched
    watcher = Watcher(house.setting.root, ("",), lambda _, name: name == PROBE, degraded.append, why_not=why_not)
    watcher.start()
    try:
        house.store.write(PROBE, b"watched\n", durable=False)
        seen = watcher.wait(_EVENT_S, NoStop())
    finally:
        watcher.stop()
        discard(house.store, PROBE)
    if degraded and not why_not:
        return Finding("watching", "warn", degraded[0], "raise fs.inotify.max_user_watches and max_user_instances")
    if degraded and house.setting.knobs.watch == "auto":
        return Finding("watching", "warn", degraded[0], "a data dir on a local disk; or LOOOP_WATCH=events")
    if degraded:
        return Finding("watching", "ok", degraded[0])
    if not seen:
        said = f"a changed file was not noticed within {_EVENT_S:g}s (a network disk?)"
        return Finding("watching", "warn", said, "the pulse looks again at every interval: keep it short")
    return Finding("watching", "ok", "a changed file is noticed at once")


def _clock(house: House) -> Finding:
    """The clock against the newest files: what was written in the future says that it was set back since."""
    now = house.setting.clock.now()
    entries = [entry for folder in ("", "snapshots", "goals") for entry in house.store.list(folder)]
    newest = max(entries, key=lambda entry: entry.mtime_ns, default=None)
    ahead = newest.mtime_ns // 10**9 - now if newest else 0
    if now < _EPOCH:
        return Finding("clock", "fail", f"the clock says {now} seconds since 1970", "set the clock (NTP)")
    if newest and ahead > _SKEW_S:
        said = f"{newest.name} was written {ahead}s in the future: the clock is slow, or was set back"
        return Finding("clock", "warn", said, "set the clock (NTP); budgets and waits go by it")
    return Finding("clock", "ok", "not behind the newest files")


def _time_zone(house: House) -> Finding:
    """The zone that calendar schedules go by when they name none."""
    try:
        name = local_zone(house.setting.env)
        zone_of(name)
    except Invalid as error:
        return Finding("time zone", "warn", str(error), "schedules with --at or --cron need it; others do not")
    return Finding("time zone", "ok", name)


def _config(house: House, config: Config) -> Finding:
    path = house.setting.config_file
    if config.warnings:
        return Finding("config", "warn", "; ".join(config.warnings), f"mend {path}")
    if not os.path.exists(path):
        return Finding("config", "ok", f"no {path}: reflexes alone decide")
    return Finding("config", "ok", path)


def _ledger(house: House, config: Config) -> Finding:
    guarded = Breakers(house, config).budget.daily and config.tick_command is not None
    try:
        ledger = house.ledger.read()
    except LooopError as error:
        return Finding("ledger", "fail", str(error), f"make {KEY} readable")
    if ledger.damaged:
        said = f"{ledger.damaged} damaged lines" + (": while a budget is set nobody is asked" if guarded else "")
        return Finding("ledger", "fail" if guarded else "warn", said, "`looop cost repair` sets them aside")
    return Finding("ledger", "ok", f"{len(ledger.rows)} rows")


def _records(view: StateView, told: list[str]) -> Finding:
    others = [sentence for sentence in view.damaged if sentence not in told and KEY not in sentence]
    if others:
        return Finding("records", "warn", "; ".join(others), "mend or remove what is named")
    return Finding("records", "ok", "all can be read")


def _pulse(house: House, view: StateView, config: Config) -> Finding:
    age, knob = view.last_beat_age_s, house.setting.knobs.interval
    interval = clamp_interval(config.interval if knob is None else knob)
    last = "no beat yet" if age is None else f"last beat {age}s ago"
    if not view.pulse_alive:
        return Finding("pulse", "warn", f"DOWN, {last}", "`looop pulse` starts it")
    if view.failing:
        remedy = "`looop state` and `looop events` say more"
        return Finding(
            "pulse", "warn", f"live, {last}, failed {view.failing.fails} times: {view.failing.error}", remedy
        )
    if age is not None and age > _LATE_BEATS * interval + _SKEW_S:
        return Finding(
            "pulse", "warn", f"live, but {last} at an interval of {interval}s", "is a runner or sensor hanging?"
        )
    return Finding("pulse", "ok", f"live, {last}")


def _runner(house: House, config: Config, view: StateView, *, ask: bool) -> Iterator[Finding]:
    command = config.tick_command
    if command is None:
        yield Finding("runner", "ok", f"{NO_RUNNER}: reflexes alone decide; `looop init` sets one up")
        return
    found = Finding("runner", "ok", config.runner) if config.api else _program(house, "runner", command)
    yield found
    if found.status == "fail":
        return
    if not ask:
        yield Finding("decision", "ok", "not asked (--no-ask)")
        return
    if view.pulse_alive:
        yield Finding("decision", "ok", "not asked: the pulse does, and says how it fares")
        return
    yield _guarded("decision", lambda: _trial(house, config))


def _worker(house: House, config: Config) -> Iterator[Finding]:
    command = config.worker_command
    if command is None:
        return
    found = _program(house, "worker", command)
    if PROMPT_FILE not in command:
        said = f"worker_command has no {PROMPT_FILE}: a worker would not find its task"
        found = Finding("worker", "warn", said, "`looop init --worker` sets another")
    elif f"$(cat {PROMPT_FILE})" in command and found.status == "ok":
        said = "worker_command hands the task over as an argument: one of 128 KiB or more does not start"
        found = Finding("worker", "warn", said, "`looop init` writes a command that takes any")
    yield replace(found, status="warn") if found.status == "fail" else found


def _program(house: House, subject: str, command: str) -> Finding:
    """Whether the program of a command is there, and which version of it where that can be asked safely."""
    name, first = program_word(command), command.split(maxsplit=1)[0]
    word = first if os.path.basename(first) == name else name
    if any(sign in word for sign in "$`\\'\"(){}"):
        return Finding(subject, "ok", f"{word}: only the shell can tell which program that is")
    kind, _, path = _said(
        house, ("bash", "-c", 'type -t -- "$1" && { type -P -- "$1" || :; }', "bash", word)
    ).partition("\n")
    if not kind:
        return Finding(subject, "fail", f"{word} is not there or cannot be run", "install it, or `looop init` another")
    if name not in {preset.program for preset in PRESETS.values()} or not path:
        return Finding(subject, "ok", path or f"{word} of the shell")
    version = _said(house, (path, "--version"))
    if not version:
        return Finding(subject, "fail", f"{path} --version says nothing", f"install {name} anew")
    return Finding(subject, "ok", f"{path}, version {version.partition(chr(10))[0]}")


def _said(house: House, argv: tuple[str, ...]) -> str:
    """What a harmless command printed, empty when it failed."""
    setting = house.setting
    ended = setting.processes.run(Command(argv=argv, cwd=setting.root, env=setting.env, deadline_s=_VERSION_S))
    return ended.output.decode("utf-8", "replace").strip() if ended.code == 0 else ""


def _trial(house: House, config: Config) -> Finding:
    """Ask the runner for a decision that is not made. See Note [The trial decision]."""
    now, breakers = house.setting.clock.now(), Breakers(house, config)
    memory = house.guards.recall()
    capped = [note for note in gates.capped(memory, house.limits, now).notes if note.name == "tick_capped"]
    meter = breakers.admit(now)
    if capped or isinstance(meter, gates.Note):
        note = meter if isinstance(meter, gates.Note) else capped[0]
        why = FACTS[note.name].text.format(**note.fields)
        return Finding("decision", "warn", f"not asked: {why}", "`looop state` and `looop cost` say more")
    lock = PulseLock(house.setting.root)
    try:
        lock.acquire()
    except AlreadyRunning:
        return Finding("decision", "ok", "not asked: a pulse has just started, and does")
    try:
        with tempfile.TemporaryDirectory(prefix="looop-doctor-") as folder:
            answer, usage = _ask(
                house, config, breakers, meter, Bundle(f"doctor-{second_stamp(house.setting.clock, now)}", folder)
            )
    finally:
        lock.release()
    by_hand = "run the tick command by hand, with its prompt on stdin (docs/runners.md)"
    return _verdict(answer, usage, "mend key, address or model in the config" if config.api else by_hand)


def _ask(house: House, config: Config, breakers: Breakers, meter: Meter, bundle: Bundle) -> tuple[Answer, Usage]:
    now, knobs = house.setting.clock.now(), house.setting.knobs
    limit = min(knobs.tick_timeout_secs or _TRIAL_S, _TRIAL_S)
    bounded = replace(
        house, setting=replace(house.setting, knobs=replace(knobs, tick_timeout_secs=limit, runner_retries=0))
    )
    drop_stale_decision(house)
    bundle.write("prompt.md", _TRIAL.encode())
    breakers.announce(bundle, now)
    house.guards.record_attempts(gates.with_attempt(house.guards.recall(), now))
    answer = ask_command(bounded, config, bundle, Prompt(_TRIAL, [], {}), meter)
    breakers.park(answer.limit)
    ended_well = not (answer.error or answer.stopped)
    return answer, breakers.settle(bundle.run_id, meter.usage, None, ended_well=ended_well)


def _verdict(answer: Answer, usage: Usage, remedy: str) -> Finding:
    tokens = f", {usage.tokens.total} tokens" if usage.tokens else ""
    bill = f"{answer.seconds}s, cost {'unknown' if usage.cost_usd is None else f'{usage.cost_usd:.4f} USD'}{tokens}"
    if answer.error or answer.stopped or answer.text is None:
        why = answer.error or ("stopped" if answer.stopped else "it ended well and left no decision")
        return Finding("decision", "fail", f"{why} ({bill})", remedy)
    try:
        move = parse_decision(answer.text).move
    except Invalid as error:
        return Finding("decision", "fail", f"{error} ({bill})", "`looop schema decision` says what is expected")
    if usage.cost_usd is None:
        cure = "ask for its JSON output, give it a `cost`, or set max_daily_usd = 0 if it costs nothing"
        return Finding("decision", "warn", f"it decided {move.action} ({bill}): no figure for the budget", cure)
    return Finding("decision", "ok", f"it decided {move.action} ({bill})")
