"""Bugs to plant in the processes of a soak: for each promise a way to break it, which the soak has to find.

A process gets it through the environment, see planted/sitecustomize.py; each bug replaces something once and for all.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def _put(place: object, name: str, value: object) -> None:
    """In the place of what is there, for as long as this process lives."""
    setattr(place, name, value)


def _answer_overwritten() -> None:
    from looop.model.records import Answer
    from looop.state.codec import encode_record
    from looop.state.mailbox import Mailbox

    def answer(self: Any, ask_id: str, text: str, now: int, *_: Any, force: bool = False, by: str = "") -> Any:
        self._store.write(f"answers/{ask_id}.json", encode_record(Answer(answer=text, ts=now, by=by)))
        return self.ask_of(ask_id)

    _put(Mailbox, "answer", answer)


def _answer_too_early() -> None:
    """It is promised, and written a while later."""
    from looop.state.mailbox import Mailbox

    real = Mailbox.answer

    def answer(self: Any, ask_id: str, *args: Any, **options: Any) -> Any:
        if os.fork() == 0:
            time.sleep(0.3)
            real(self, ask_id, *args, **options)
            os._exit(0)
        return self.ask_of(ask_id)

    _put(Mailbox, "answer", answer)


def _told_twice() -> None:
    from looop.state.tells import Tells

    _put(Tells, "_take", lambda self, name, seen: seen)


def _told_before_asked() -> None:
    """Steering is taken when a wait begins, and lost when it is cut off or printed by nobody."""
    from looop.contract import ask

    real = ask._Wait.answer

    def answer(self: Any) -> str:
        self._house.tells.drain(self._asked.worker, self._house.setting.clock.now())
        return real(self)

    _put(ask._Wait, "answer", answer)


def _key_forgotten() -> None:
    from looop.state.mailbox import Mailbox

    _put(Mailbox, "_known", lambda self, question, since: None)


def _never_stranded() -> None:
    from looop.state.mailbox import Mailbox

    _put(Mailbox, "strand", lambda self, *_: [])


def _unannounced() -> None:
    from looop.act import shell

    _put(shell, "announce", lambda house, intent: lambda: None)


def _unmarked_reflex() -> None:
    from looop.pulse import commit

    _put(commit, "_keep_reflexes", lambda house, ledger: None)


def _torn_writes() -> None:
    """A file is written in its place."""
    from looop.store.files import FileStore

    def put(self: Any, path: str, data: bytes, **_: Any) -> None:
        half = len(data) // 2
        with open(path, "wb", buffering=0) as file:
            file.write(data[:half])
            time.sleep(0.02)
            file.write(data[half:])

    _put(FileStore, "_put", put)


def _unbilled() -> None:
    from looop.state.guards import Guards

    _put(Guards, "open_run", lambda self, run: None)


def _no_budget() -> None:
    from looop.decide.breakers import Breakers
    from looop.model.usage import Bill

    _put(Breakers, "_spent_today", lambda self, now: Bill())


def _orphans_left() -> None:
    from looop.act import tend, verify

    for room in (tend, verify):
        _put(room, "end_orphan", lambda house, session, now: None)


BUGS: dict[str, Callable[[], None]] = {
    "an answer overwrites another": _answer_overwritten,
    "an answer is promised before it is there": _answer_too_early,
    "a message is read and not taken away": _told_twice,
    "messages are taken before the answer is there": _told_before_asked,
    "a key is not looked for": _key_forgotten,
    "what is stranded is not settled": _never_stranded,
    "a command is not announced": _unannounced,
    "a reflex is not marked before its command runs": _unmarked_reflex,
    "a file is written in its place": _torn_writes,
    "a run of the agent is not announced": _unbilled,
    "the budget is not looked at": _no_budget,
    "what a dead supervisor left goes on": _orphans_left,
}


@contextmanager
def planted(bug: str) -> Iterator[None]:
    """The processes that are started meanwhile have this bug."""
    before = os.environ.get("PYTHONPATH", "")
    os.environ |= {"SOAK_BUG": bug, "PYTHONPATH": f"{Path(__file__).with_name('planted')}{os.pathsep}{before}"}
    try:
        yield
    finally:
        del os.environ["SOAK_BUG"]
        os.environ["PYTHONPATH"] = before
