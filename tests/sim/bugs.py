"""Bugs to plant: for each promise a way to break it, which the simulator has to find."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any
from unittest import mock

from looop.act import tend, verify
from looop.decide import breakers, decider
from looop.model.errors import LooopError
from looop.model.moves import Noop
from looop.model.records import Answer
from looop.model.usage import Bill
from looop.pulse import beat, commit
from looop.state import guards, leases, ledger, mailbox, schedules, tells
from looop.state.codec import encode_record

Patch = Callable[[], AbstractContextManager[Any]]


def _two_moves() -> AbstractContextManager[Any]:
    real = commit._commit

    def twice(house: Any, *args: Any) -> Any:
        commit.perform(house, Noop(), house.setting.clock.now())
        return real(house, *args)

    return mock.patch.object(commit, "_commit", twice)


def _unmarked_reflex() -> AbstractContextManager[Any]:
    return mock.patch.object(commit, "_keep_reflexes", lambda house, ledger: None)


def _stale_decision() -> AbstractContextManager[Any]:
    return mock.patch.object(decider, "drop_stale_decision", lambda house: None)


def _number_reused() -> AbstractContextManager[Any]:
    return mock.patch.object(mailbox, "_ARCHIVE", "asks/elsewhere")


def _answer_overwritten() -> AbstractContextManager[Any]:
    def answer(self: Any, ask_id: str, text: str, now: int, *_: Any, force: bool = False) -> Any:
        self._store.write(f"answers/{ask_id}.json", encode_record(Answer(answer=text, ts=now)))
        return self.ask_of(ask_id)

    return mock.patch.object(mailbox.Mailbox, "answer", answer)


def _early_expiry() -> AbstractContextManager[Any]:
    return mock.patch.object(mailbox.Mailbox, "expire", lambda self, now: _expire(self, now + 1800))


_expire = mailbox.Mailbox.expire


def _settled_again() -> AbstractContextManager[Any]:
    def withdraw(self: Any, ask_id: str, why: str, by: str, now: int) -> None:
        settled = Answer(answer=why, ts=now, outcome="withdrawn", by=by)
        self._store.write(f"answers/{ask_id}.json", encode_record(settled))

    return mock.patch.object(mailbox.Mailbox, "withdraw", withdraw)


def _ask_hidden() -> AbstractContextManager[Any]:
    real = mailbox.Mailbox.pending

    def pending(self: Any, *args: Any) -> Any:
        mail = real(self, *args)
        mail.pending[3:] = []
        return mail

    return mock.patch.object(mailbox.Mailbox, "pending", pending)


def _told_twice() -> AbstractContextManager[Any]:
    return mock.patch.object(tells.Tells, "_take", lambda self, name, seen: seen)


def _tells_dropped() -> AbstractContextManager[Any]:
    def discard(self: Any, worker: str) -> None:
        for entry in self._store.list("tells"):
            self._store.move(f"tells/{entry.name}", f"tells/consumed/{entry.name}", replace=True)

    return mock.patch.object(tells.Tells, "discard", discard)


def _no_budget() -> AbstractContextManager[Any]:
    return mock.patch.object(breakers.Breakers, "_spent_today", lambda self, now: Bill())


def _crash_unbilled() -> AbstractContextManager[Any]:
    def forget(house: Any) -> None:
        house.guards.close_run()

    return _all(
        mock.patch.object(beat, "sweep_open_run", forget), mock.patch.object(breakers, "sweep_open_run", forget)
    )


def _open_guard() -> AbstractContextManager[Any]:
    real = ledger.CostLedger.read

    def read(self: Any) -> Any:
        try:
            return real(self)
        except LooopError:
            return ledger.Rows([], 0)

    return mock.patch.object(ledger.CostLedger, "read", read)


def _committed_early() -> AbstractContextManager[Any]:
    real = commit.conclude

    def conclude(house: Any, world: Any, *args: Any) -> Any:
        house.best_effort("commit", lambda: house.guards.commit(world))
        return real(house, world, *args)

    return mock.patch.object(beat, "conclude", conclude)


def _never_at_rest() -> AbstractContextManager[Any]:
    return mock.patch.object(guards.Guards, "commit", lambda self, world: None)


def _schedule_not_durable() -> AbstractContextManager[Any]:
    def write(self: Any, name: str, schedule: Any) -> None:
        self._store.write(f"schedules/{name}.json", encode_record(schedule), durable=False)

    return mock.patch.object(schedules.Schedules, "write", write)


def _lease_taken_over() -> AbstractContextManager[Any]:
    return mock.patch.object(leases, "_may_live", lambda holder, is_alive: False)


def _never_verified() -> AbstractContextManager[Any]:
    return mock.patch.object(verify, "_judge", lambda house, due, now: None)


def _orphan_left() -> AbstractContextManager[Any]:
    def leave(house: Any, session: Any, now: int) -> None:
        """Nobody ends it."""

    return _all(mock.patch.object(tend, "end_orphan", leave), mock.patch.object(verify, "end_orphan", leave))


@contextmanager
def _all(*patches: AbstractContextManager[Any]) -> Iterator[None]:
    with ExitStack() as stack:
        for patch in patches:
            stack.enter_context(patch)
        yield


BUGS: dict[str, Patch] = {
    "two moves in one beat": _two_moves,
    "a reflex is not marked before its command runs": _unmarked_reflex,
    "a stale decision is not removed": _stale_decision,
    "an ask's number is used again after the archive": _number_reused,
    "an answer overwrites another": _answer_overwritten,
    "a question expires before its time": _early_expiry,
    "a withdrawal overwrites an answer": _settled_again,
    "the fourth question is not shown": _ask_hidden,
    "a message is read and not taken away": _told_twice,
    "a worker's end takes everybody's messages": _tells_dropped,
    "the budget is not looked at": _no_budget,
    "a run cut off by a crash is not billed": _crash_unbilled,
    "an unreadable ledger counts as empty": _open_guard,
    "a world is committed before its move": _committed_early,
    "a commit is forgotten": _never_at_rest,
    "a schedule is written without being synced": _schedule_not_durable,
    "a live worker's lease is given away": _lease_taken_over,
    "a dead worker is not verified": _never_verified,
    "an orphan is left alone": _orphan_left,
}
