"""Run one shell command of the loop or of a person, screened, bounded, announced beforehand. Spec/beat.md §11, §12."""

from collections.abc import Callable

from msgspec import Struct

from looop.act.announce import announce, intent_of
from looop.model.errors import LooopError, Refused
from looop.model.records import ShellOutput
from looop.model.text import tail_text
from looop.rules.shell import tripped
from looop.runtime.command import Command, Ended
from looop.state.house import House

KEEP_BYTES = 2048
_SHOWN_CHARS = 512


class Busy(Refused):
    """The same command was begun before and may still run: not now."""


class ShellFailed(LooopError):
    """The command did not end well; the text carries its exit and the tail of its output."""


class Run(Struct, frozen=True):
    """What was run and how it ended. `close` takes the announcement back."""

    cmd: str
    exit_code: int
    output: str
    close: Callable[[], object]


def run_shell(
    house: House,
    cmd: str,
    label: str,
    now: int,
    *,
    by_person: bool = False,
    begin: Callable[[], object] | None = None,
) -> Run:
    """Run `cmd` with bash in the data dir. Raises Refused before, ShellFailed after; its output is kept either way.

    `begin` is called between the announcement and the run, so that whoever dies in between is found announced.

    The caller takes `Run.close` once the run is on record: until then the announcement stands. A person's own run
    does not take the place of output that the loop still has to see. Source: edge cases 121, 132.
    """
    knobs = house.setting.knobs
    if knobs.shell_allow_dangerous != 1 and (reason := tripped(cmd)):
        raise Refused(f"not run: {reason} (a person may allow it with LOOOP_SHELL_ALLOW_DANGEROUS=1)")
    intent = intent_of(house, "shell", cmd, now)
    if not by_person and house.intents.is_open(intent.fingerprint):
        raise Busy(f"not run: the same command was begun before and may still run: {cmd}")
    close = announce(house, intent)
    try:
        if begin:
            begin()
        ended = house.setting.processes.run(shell_command(house, cmd, intent.mark))
    except BaseException:
        close()
        raise
    run = _keep(house, cmd, ended, now, close, only_if_free=by_person)
    if ended.code != 0 or ended.stopped:
        close()
        raise ShellFailed(_failure(run, ended, label, knobs.shell_timeout_secs))
    return run


def shell_command(house: House, cmd: str, mark: str) -> Command:
    """How a shell command is run: bash without login, the data dir, no input, both outputs as one."""
    return Command(
        argv=("bash", "-c", "--", cmd),
        cwd=house.setting.root,
        env=house.setting.env,
        deadline_s=house.setting.knobs.shell_timeout_secs,
        keep=KEEP_BYTES,
        keep_end=True,
        merge_errors=True,
        mark=mark,
    )


def _keep(house: House, cmd: str, ended: Ended, now: int, close: Callable[[], object], *, only_if_free: bool) -> Run:
    output = tail_text(ended.output, KEEP_BYTES)
    if ended.timed_out:
        output += f"\n(stopped after {house.setting.knobs.shell_timeout_secs}s)"
    code = -1 if ended.code is None else ended.code
    run = Run(cmd=cmd, exit_code=code, output=output + ended.spawn_error, close=close)
    kept = ShellOutput(ts=now, cmd=cmd, exit_code=run.exit_code, output=run.output)
    house.best_effort("output of run_shell", lambda: house.guards.record_shell(kept, only_if_free=only_if_free))
    return run


def _failure(run: Run, ended: Ended, label: str, timeout_s: int) -> str:
    how = f"exit code {run.exit_code}"
    if ended.timed_out:
        how = f"stopped after {timeout_s}s (LOOOP_SHELL_TIMEOUT_SECS); it may have been carried out in part"
    elif ended.stopped:
        how = "stopped because the loop was asked to end; it may have been carried out in part"
    elif ended.signal is not None:
        how = f"killed by signal {ended.signal}"
    tail = run.output.strip()[-_SHOWN_CHARS:]
    return f"run-shell {label!r}: {how}" + (f": {tail}" if tail else ", and it printed nothing")
