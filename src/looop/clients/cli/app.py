"""The command line's front: the words, the exit codes, the end of every error. Spec/cli.md §1.

`state` is what prompts, status bars and scripts ask for again and again, so its two plain spellings go by without the
parser, which costs more than the answer.

Note [Gone at once]
Somebody waits for the end of `ask` and `wait`, and an interpreter takes several milliseconds to take itself apart. All
they have is written and nothing of theirs outlives them, so they leave without that.
"""

import os
import signal
import sys
from contextlib import suppress

from looop.clients.cli.output import show_state, steady_streams, talk
from looop.contract.verbs import Engine
from looop.model.errors import LooopError

_LONG_LIVED = ("pulse", "beat", "demo", "notify")
_ALIASES = {"-h": "help", "--help": "help", "-V": "version", "--version": "version"}
_GLANCES = {("state",): False, ("state", "--json"): True}


def run(words: list[str], engine: Engine) -> int:
    """Run one command line and return its exit code."""
    words = _plain(words)
    steady_streams()
    if not words or words[0] not in _LONG_LIVED:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        _end_with_children(signal.SIGTERM, signal.SIGHUP)
    try:
        code = _perform(words, engine)
        _flush(words)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except LooopError as error:
        return _fail(str(error), error.exit_code, error)
    except OSError as error:
        return _lost_output(error)
    except Exception as error:  # noqa: BLE001 - the top of the process: a traceback is not for people
        return _fail(f"a fault in looop itself: {type(error).__name__}: {error} (LOOOP_DEBUG=1 shows where)", 1, error)
    return _leave(code) if words[:1] in (["ask"], ["wait"]) else code


def _end_with_children(*numbers: signal.Signals) -> None:
    """End on these signals as on Ctrl-C, which takes what was started along; one that is ignored stays so (nohup)."""
    for number in numbers:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


def _end(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def _plain(words: list[str]) -> list[str]:
    """The words without the old namespace, options that stand for a verb replaced by it. Spec/cli.md §1."""
    words = words[1:] if words[:1] == ["_"] else words
    if words[:1] and words[0] in _ALIASES:
        return [_ALIASES[words[0]]]
    return words


def _perform(words: list[str], engine: Engine) -> int:
    as_json = _GLANCES.get(tuple(words))
    if as_json is None:
        from looop.clients.cli.parser import parse

        return parse(words, engine)
    from looop.contract.local import open_local

    show_state(open_local().state(), as_json=as_json)
    return 0


def _fail(message: str, code: int, error: Exception | None = None) -> int:
    from looop.contract.surroundings import debugging

    if error is not None and debugging():
        import traceback

        traceback.print_exception(error)
    talk(message)
    return code


def _lost_output(error: OSError) -> int:
    """Nobody reads on, which needs no word; or what is read or written fails us, which does.

    The streams go: the interpreter would try to write what is left when it ends.
    """
    if not isinstance(error, BrokenPipeError):
        with suppress(OSError):
            _fail(f"cannot go on: {error.strerror or error}", 1, error)
    _silence()
    return 1


def _flush(words: list[str]) -> None:
    """See that all is written; a pulse whose reader went away has done its work all the same."""
    try:
        sys.stdout.flush()
    except OSError:
        if words[:1] != ["pulse"]:
            raise
        _silence()


def _leave(code: int) -> int:
    """End this process here. See Note [Gone at once]."""
    with suppress(OSError):
        sys.stderr.flush()
    os._exit(code)


def _silence() -> None:
    """Let what is still to be written go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)  # noqa: TID251  nothing durable
    for fd in (1, 2):
        os.dup2(nowhere, fd)
