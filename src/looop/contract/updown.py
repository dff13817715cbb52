"""The pulse as a session of its own: `up` starts it, `down` ends it and then the workers. Source: spec/cli.md §2.

Note [Pulse before workers]
A dying beat may still start a worker. So the pulse goes first, and is seen to be gone, before the workers are ended;
nothing is reported that was not seen. Source: edge case 227.

Note [Which config]
The pulse is told of a config only if somebody asked for one. Where nobody did it looks for itself, at each beat: a
`config.toml` that is written later then counts.
"""

import signal
from contextlib import suppress
from time import monotonic

from msgspec import Struct

from looop.config.file import load_config
from looop.config.paths import Paths, is_there, program
from looop.config.terminal import log_format
from looop.model.errors import Refused, Unwritable
from looop.runtime.command import pause
from looop.runtime.lock import holder, is_held, signal_holder, startup_lock
from looop.state.house import House
from looop.state.open import settle
from looop.state.sessions import PULSE

_START_S, _END_S, _LOOK_S = 5.0, 5.0, 0.02


class Down(Struct, frozen=True):
    """What `down` saw: whether a pulse was ended, which workers were, and what would not end, in a sentence each."""

    pulse_stopped: bool
    workers: list[str]
    left: list[str]


def up(house: House, paths: Paths, *, json_log: bool = False) -> bool:
    """Start the pulse as a session; False when one runs already. Raises Refused, Unreadable, Unwritable."""
    path = paths.config_file
    if not is_there(path):
        raise Refused(f"not initialized, there is no {path}: run `looop init` (or `looop init --runner none`)")
    load_config(path)
    settle(house)
    root, env = house.setting.root, _environment(house, paths, json_log=json_log)
    with startup_lock(root):
        if is_held(root):
            return False
        if house.fleet.is_alive(PULSE):
            _await_lock(house)
            return False
        house.fleet.reap(PULSE)
        house.fleet.start(PULSE, [program(), "pulse"], env, max_log=house.setting.knobs.session_log_max_bytes)
        _await_lock(house)
    return True


def down(house: House) -> Down:
    """End the pulse however it was started, then every worker, also what dead supervisors left. Raises Unreadable.

    The workers are left alone where the pulse does not end. See Note [Pulse before workers].
    """
    house.fleet.all()
    root = house.setting.root
    ran = is_held(root) or house.fleet.is_alive(PULSE)
    if not _end_pulse(house):
        return Down(False, [], [f"the pulse (pid {holder(root) or '?'}) does not end: nothing else was ended"])
    workers, ended, left = house.fleet.workers(), [], []
    for worker in workers:
        try:
            if worker.alive:
                house.fleet.kill(worker)
                ended.append(worker.id)
            elif worker.is_orphaned:
                house.fleet.sweep(worker)
        except (Refused, Unwritable) as error:
            left.append(str(error))
    known = {worker.id for worker in workers}
    late = [worker.id for worker in house.fleet.workers() if worker.alive and worker.id not in known]
    left += [f"worker {worker_id} has come up meanwhile: `looop down` again ends it" for worker_id in late]
    return Down(ran, ended, left)


def _environment(house: House, paths: Paths, *, json_log: bool) -> dict[str, str]:
    """Ours, but for what belongs to a session. See Note [Which config]."""
    env = dict(house.setting.env) | {"LOOOP_LOG_FORMAT": "json" if json_log else log_format()}
    env.pop("LOOOP_SESSION_ID", None)
    if not paths.given_config:
        del env["LOOOP_CONFIG"]
    return env


def _await_lock(house: House) -> None:
    """Return once the pulse holds its lock. Raises Refused with what it said, when it ended or does not come up."""
    deadline = monotonic() + _START_S
    while not is_held(house.setting.root):
        if monotonic() > deadline or not house.fleet.is_alive(PULSE):
            raise Refused(f"the pulse did not come up; `looop log {PULSE}` shows what it said")
        pause(house.setting.stop, _LOOK_S)


def _end_pulse(house: House) -> bool:
    """Ask the pulse to end, wherever it runs and even if it is stopped; a session that does not hear is killed."""
    root = house.setting.root
    for number in (signal.SIGTERM, signal.SIGCONT):
        signal_holder(root, number)
    deadline = monotonic() + _END_S
    while is_held(root) or house.fleet.is_alive(PULSE):
        if monotonic() > deadline:
            break
        pause(house.setting.stop, _LOOK_S)
    session = house.fleet.find(PULSE)
    if session and session.alive:
        with suppress(Refused):
            house.fleet.kill(session)
    return not is_held(root) and not house.fleet.is_alive(PULSE)
