"""Starting and ending workers: everything is checked before anything is changed. Source: spec/workers.md §2.

Note [One at a time]
What is checked before a start must still hold at it, and what is written for a worker must be read by that worker: of
two starts under one id the loser would otherwise take away the winner's task and verify. So one at a time starts or
removes a worker, in the whole data dir.

Note [Generations]
A worker's id is used again and again. Before a new one starts, what was kept for the one before goes: its verdict,
what was told to it, and then its session, so that a kill in between leaves nothing that no session stands for. A start
that fails takes its own verify back; its prompt stays for a person to read.
"""

import os
import re
import shutil
from collections.abc import Callable
from functools import partial

from msgspec import Struct

from looop.act.announce import announce, intent_of
from looop.act.orphans import end_orphan
from looop.config.file import Config, is_assignment, load_config, program_word
from looop.config.session import session_id as session_id_in
from looop.model.errors import LooopError, Refused, Unreadable
from looop.model.ids import require_id
from looop.model.moves import StartWorker
from looop.model.records import Fault
from looop.rules.budget import budget_of, goal_exceeded
from looop.rules.contract_text import worker_prompt
from looop.rules.launch import Retries, launch_script
from looop.rules.shell import tripped
from looop.runtime.lock import workers_lock
from looop.session.fleet import Session
from looop.state.house import House
from looop.state.sessions import PULSE

_TERMINAL = "xterm-256color"
_PLAIN = re.compile(r"[\w./+@%:-]+")
_OF_THE_SHELL = (
    "! . : [ [[ alias bind builtin case cd command coproc declare dirs enable eval exec exit export false for function "
    "getopts hash if let local mapfile popd printf pushd pwd read readarray readonly select set shopt source test time "
    "times trap true type typeset ulimit umask unalias unset until wait while"
)


class Launch(Struct, frozen=True):
    """A start that passed every check: what bash will run, and as what it goes into the log."""

    move: StartWorker
    script: str
    prompt: str
    label: str


def start_worker(
    house: House, move: StartWorker, now: int, *, begin: Callable[[], object] | None = None
) -> Callable[[], object]:
    """Check, announce, then start a worker; what is returned takes the announcement back.

    `begin` is called once it is announced; it does not start when that raises. Raises a LooopError that says why not;
    then nothing runs.
    """
    try:
        with workers_lock(house.setting.root):
            launch = _validate(house, move)
            _note_unjudged(house, move.id, now)
            close = announce(house, intent_of(house, "start_worker", move.summary, now))
            try:
                if begin:
                    begin()
                _commit(house, launch)
            except LooopError:
                close()
                raise
    except LooopError as error:
        raise type(error)(f"start_worker {move.id!r} failed: {error}") from None
    house.events.emit("worker_started", worker=move.id, runner=launch.label)
    return close


def restart_worker(house: House, session_id: str) -> str:
    """End the worker if it is alive, and start the very same command again; returns its id.

    Its verify is owed anew. It is announced, so that a beat reports one that was cut off in between. Raises LooopError.
    """
    with workers_lock(house.setting.root):
        session = _worker(house, session_id, "restart")
        verify = house.verify.command(session.id)
        if isinstance(verify, Fault):
            raise Unreadable(f"not restarted: {verify.why}")
        _check_budget(house, _config(house), session.id)
        if not session.command:
            raise Refused(f"not restarted: the records of session {session.id} do not say what its command was")
        if not session.alive:
            _check_room(house, house.fleet.workers())
        now = house.setting.clock.now()
        close = announce(house, intent_of(house, "restart_worker", f"restart-worker {session.id}", now))
        try:
            _replace(house, session, verify.command if verify else None)
        except LooopError:
            close()
            raise
        close()
    house.events.emit("worker_started", worker=session.id, runner="the same command")
    return session.id


def _replace(house: House, session: Session, verify: str | None) -> None:
    if session.alive:
        house.fleet.kill(session)
    _end_generation(house, session.id)
    _spawn(house, session.id, verify, session.command)


def kill_worker(house: House, session_id: str, now: int) -> str:
    """End a live worker with all its processes; returns its id. Raises LooopError.

    What is told to it goes; that it must be verified stays. What a dead supervisor left is ended, too.
    Source: spec/workers.md §4, edge cases 160, 176, 277, 278.
    """
    session = _worker(house, session_id, "kill")
    if session.is_orphaned:
        end_orphan(house, session, now)
        return session.id
    if session_id_in(house.setting.env) == session.id:
        _note_killed(house, session.id)
        house.fleet.kill(session)
    else:
        house.fleet.kill(session)
        _note_killed(house, session.id)
    return session.id


def remove_worker(house: House, session: Session) -> bool:
    """Remove a session that is over with all that was kept for it; False when it is another by now, or still owed.

    Raises Unreadable, Unwritable. See Note [Generations].
    """
    with workers_lock(house.setting.root):
        now = house.fleet.exact(session.id)
        if now is None or now.alive or now.mark != session.mark or session.id in house.verify.obligations():
            return False
        return _end_generation(house, session.id)


def _note_unjudged(house: House, session_id: str, now: int) -> None:
    """A start takes the place of a worker that was never judged: nobody will, and that is put on record."""
    if session_id in house.verify.obligations():
        house.events.emit("verify_dropped", worker=session_id)
        house.note(f"the verify of the worker {session_id} before this one was never run", now)


def _note_killed(house: House, session_id: str) -> None:
    """Who ends itself, as workers do at last, is gone before anything else can be noted."""
    house.tells.discard(session_id)
    house.events.emit("worker_killed", worker=session_id)


def _validate(house: House, move: StartWorker) -> Launch:
    """The checks of spec/workers.md §2.1, and those of money and harm."""
    require_id(move.id, "worker id")
    if not move.prompt.strip():
        raise Refused("missing prompt: say what the worker is to do")
    config = _config(house)
    _check_budget(house, config, move.id)
    _check_verify(house, move.verify or "")
    override = (move.command or "").strip()
    if not override and not config.worker_command:
        raise Refused("no worker_command is configured: `looop init` sets one, or give the command with the move")
    _not_pulse(move.id, "start")
    workers = house.fleet.workers()
    _check_room(house, workers)
    if any(worker.alive for worker in workers if worker.id == move.id):
        raise Refused(f"worker {move.id} is already running: `looop screenshot {move.id}` shows it")
    template, root = config.worker_command or "", house.setting.root
    script = launch_script(template, move.command, _prompt_file(house, move.id), root, move.id, _retries(house))
    _check_program(house, override or template, "give another command" if override else "`looop init` another")
    label = program_word(override or template)
    return Launch(move, script, worker_prompt(move.id, root, move.prompt, runner=label), label)


def _commit(house: House, launch: Launch) -> None:
    move = launch.move
    _end_generation(house, move.id)
    house.store.write(f"prompts/{move.id}.md", launch.prompt.encode("utf-8", "replace"))
    _spawn(house, move.id, move.verify, ["bash", "-c", launch.script])


def _end_generation(house: House, session_id: str) -> bool:
    """See Note [Generations]."""
    house.verify.clear(session_id)
    house.tells.discard(session_id)
    return house.fleet.reap(session_id)


def _spawn(house: House, session_id: str, verify: str | None, command: list[str]) -> None:
    """Start the session; what must be verified is on record before, and taken back when there is nothing to verify."""
    knobs = house.setting.knobs
    env = dict(house.setting.env) | {"LOOOP_SESSION_ID": session_id, "TERM": _TERMINAL}
    if verify and verify.strip():
        house.verify.declare(session_id, verify)
    try:
        house.fleet.start(session_id, command, env, max_log=knobs.session_log_max_bytes, size=_size(house))
    except LooopError:
        house.best_effort("verify", partial(house.verify.clear, session_id))
        raise


def _size(house: House) -> tuple[int, int]:
    return house.setting.knobs.session_cols, house.setting.knobs.session_rows


def _config(house: House) -> Config:
    try:
        return load_config(house.setting.config_file)
    except LooopError as error:
        raise Refused(f"cannot load the config: {error}") from None


def _worker(house: House, session_id: str, verb: str) -> Session:
    """The session somebody means, also by its legacy name; never the pulse. Raises Refused, Missing, Unreadable."""
    session = house.fleet.require(_not_pulse(session_id, verb))
    _not_pulse(session.id, verb)
    return session


def _not_pulse(session_id: str, verb: str) -> str:
    if session_id == PULSE:
        raise Refused(
            f"cannot {verb} {PULSE!r}: that id is reserved for the pulse, which `looop up` starts and `looop down` "
            f"ends; `looop screenshot {PULSE}` shows it"
        )
    return session_id


def _check_room(house: House, workers: list[Session]) -> None:
    cap, alive = house.setting.knobs.max_workers, sum(worker.alive for worker in workers)
    if cap and alive >= cap:
        raise Refused(f"{alive} workers are alive and {cap} is the most (LOOOP_MAX_WORKERS): end one first")


def _check_budget(house: House, config: Config, goal: str) -> None:
    """A goal over its budget gets no worker; nor does one whose spending is not known. Source: design §6."""
    budget = budget_of(house.setting.knobs, config)
    if budget.goal_usd is None:
        return
    ledger = house.ledger.read()
    if ledger.damaged:
        raise Refused(f"cost.jsonl has {ledger.damaged} damaged lines: `looop cost repair` sets them aside")
    if why := goal_exceeded(budget, ledger.rows, goal):
        raise Refused(why)


def _check_verify(house: House, command: str) -> None:
    """A verify must only look, so it is screened as a command of the loop is."""
    if house.setting.knobs.shell_allow_dangerous != 1 and (reason := tripped(command)):
        raise Refused(
            f"its verify would never run: {reason} (a person may allow it with LOOOP_SHELL_ALLOW_DANGEROUS=1)"
        )


def _check_program(house: House, command: str, instead: str) -> None:
    """The command's program must be there, where its word can be told without a shell. Source: edge case 236."""
    word = _program_in(command)
    if word is None or word in _OF_THE_SHELL.split():
        return
    place = os.path.join(house.setting.root, word) if "/" in word else word
    if shutil.which(place, path=house.setting.env.get("PATH")) is None:
        raise Refused(f"{word} is not on the PATH, or cannot be run: install it, or {instead}")


def _program_in(command: str) -> str | None:
    """The program's word, None where only a shell could tell it."""
    for word in command.split():
        if is_assignment(word) and _PLAIN.fullmatch(word.replace("=", "", 1)):
            continue
        is_quoted = len(word) > 2 and word[0] == word[-1] and word[0] in "\"'"
        plain = word[1:-1] if is_quoted else word
        return plain if _PLAIN.fullmatch(plain) else None
    return None


def _prompt_file(house: House, session_id: str) -> str:
    return os.path.join(house.setting.root, "prompts", f"{session_id}.md")


def _retries(house: House) -> Retries:
    knobs = house.setting.knobs
    return Retries(knobs.runner_retries, knobs.runner_retry_match, knobs.runner_retry_sleep)
