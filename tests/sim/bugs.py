"""Bugs to plant: for each promise ways to break it, each of which the simulator has to find."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Any
from unittest import mock
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from looop.act import tend, verify
from looop.contract import notifier
from looop.decide import breakers, decider, reflex
from looop.model.errors import LooopError
from looop.model.moves import Noop
from looop.model.records import Answer, Fault, ReflexLedger
from looop.model.usage import Bill
from looop.pulse import beat, commit
from looop.rules import due, gates, notify, reflexes
from looop.sense import schedules as sensed
from looop.state import goals, guards, leases, ledger, mailbox, schedules, tells
from looop.state import verify as verify_book
from looop.state.codec import encode_record, with_newline

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


def _never_committed() -> AbstractContextManager[Any]:
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


def _baseline_left() -> AbstractContextManager[Any]:
    def commit_hash(self: Any, world: Any) -> None:
        self._store.write(guards.LAST_HASH, world.hash.encode() + b"\n")

    return mock.patch.object(guards.Guards, "commit", commit_hash)


def _hash_cut_short() -> AbstractContextManager[Any]:
    real = gates._unchanged

    def unchanged(world: Any, memory: Any, *args: Any, **more: Any) -> Any:
        is_like = isinstance(memory.last_hash, str) and memory.last_hash[:1] == world.hash[:1]
        return real(world, replace(memory, last_hash=world.hash) if is_like else memory, *args, **more)

    return mock.patch.object(gates, "_unchanged", unchanged)


def _missed_run_lost() -> AbstractContextManager[Any]:
    def choose(line: Any, policy: str, now: int, before: Any) -> Any:
        return due._if_in_time(line, line.latest(now), now, before or due.Before())

    return mock.patch.object(due, "choose", choose)


def _clocks_never_change() -> AbstractContextManager[Any]:
    def of_today(name: str) -> tzinfo:
        offset = datetime.fromtimestamp(1_790_000_000, ZoneInfo(name)).utcoffset() if name != "UTC" else timedelta()
        return timezone(offset or timedelta())

    return mock.patch.object(sensed, "zone_of", of_today)


def _job_for_each_world() -> AbstractContextManager[Any]:
    return _all(
        mock.patch.object(reflexes._Due, "served_by", lambda self, expression: ""),
        mock.patch.object(guards.Guards, "stamp", lambda self, goal, now: None),
    )


def _made_up_in_turn() -> AbstractContextManager[Any]:
    def by_neglect(world: Any, ledger: Any, activity: Any, now: int) -> Any:
        judged = judge(world, ledger, activity, now)
        held = sorted(judged.held, key=lambda firing: (activity.get(firing.goal, 0), firing.goal))
        return replace(judged, held=held)

    judge = reflexes.judge
    return mock.patch.object(reflex, "judge", by_neglect)


def _damaged_breaker_open() -> AbstractContextManager[Any]:
    real = guards.Guards._read

    def read(self: Any, key: str, kind: Any) -> Any:
        found = real(self, key, kind)
        return None if key in (guards.PARKED, guards.UNMETERED) and isinstance(found, Fault) else found

    return mock.patch.object(guards.Guards, "_read", read)


def _damaged_reflexes_open() -> AbstractContextManager[Any]:
    def reflexes_of(self: Any) -> Any:
        found = self._read(guards.REFLEXES, ReflexLedger)
        return None if isinstance(found, Fault) else found

    return mock.patch.object(guards.Guards, "reflexes", reflexes_of)


def _damaged_wait_open() -> AbstractContextManager[Any]:
    real = gates._backing_off

    def backing_off(world: Any, memory: Any, *args: Any) -> Any:
        return real(world, replace(memory, backoff=None) if isinstance(memory.backoff, Fault) else memory, *args)

    return mock.patch.object(gates, "_backing_off", backing_off)


def _uncapped() -> AbstractContextManager[Any]:
    return mock.patch.object(gates, "capped", lambda memory, limits, now: gates._open())


def _never_parked() -> AbstractContextManager[Any]:
    return mock.patch.object(breakers.Breakers, "_parked", lambda self, now: None)


def _unmetered_for_ever() -> AbstractContextManager[Any]:
    return mock.patch.object(breakers.Breakers, "_blind", lambda self: None)


def _endless_wait() -> AbstractContextManager[Any]:
    real = gates.backoff_delay
    return mock.patch.object(gates, "backoff_delay", lambda fails, cap_s: real(fails, cap_s) if fails < 3 else 10**9)


def _pushed_unannounced() -> AbstractContextManager[Any]:
    real = notifier.Notifier._write

    def write(self: Any, row: Any) -> None:
        if row.outcome != "sending":
            real(self, row)

    return mock.patch.object(notifier.Notifier, "_write", write)


def _doubt_is_failure() -> AbstractContextManager[Any]:
    real = notify.History.take

    def take(self: Any, row: Any) -> None:
        real(self, replace(row, outcome="failed") if row.outcome == "unknown" else row)

    return mock.patch.object(notify.History, "take", take)


def _failed_push_is_over() -> AbstractContextManager[Any]:
    real = notify.History.take

    def take(self: Any, row: Any) -> None:
        real(self, replace(row, outcome="unknown") if row.outcome == "failed" else row)

    return mock.patch.object(notify.History, "take", take)


def _told_to_successor() -> AbstractContextManager[Any]:
    return mock.patch.object(tells.Tells, "discard", lambda self, worker: None)


def _answered_to_successor() -> AbstractContextManager[Any]:
    return mock.patch.object(mailbox, "is_owed", lambda ask, answer, generation, since: not ask.taken)


def _expired_is_yes() -> AbstractContextManager[Any]:
    def answer_of(self: Any, ask_id: str) -> Any:
        found = _answer_of(self, ask_id)
        return replace(found, answer="yes") if isinstance(found, Answer) and found.outcome == "expired" else found

    return mock.patch.object(mailbox.Mailbox, "answer_of", answer_of)


_answer_of = mailbox.Mailbox.answer_of


def _judged_again() -> AbstractContextManager[Any]:
    return mock.patch.object(verify_book.Verify, "_is_open", lambda self, worker: True)


def _goal_not_durable() -> AbstractContextManager[Any]:
    def write(self: Any, goal: str, body: str) -> None:
        self._store.write(f"goals/{goal}.md", with_newline(body), durable=False)

    return mock.patch.object(goals.Goals, "write", write)


@contextmanager
def _all(*patches: AbstractContextManager[Any]) -> Iterator[None]:
    with ExitStack() as stack:
        for patch in patches:
            stack.enter_context(patch)
        yield


class Bug(Struct, frozen=True):
    """What it breaks (a name in PROMISES), and how it is planted."""

    promise: str
    plant: Patch


BUGS: dict[str, Bug] = {
    "two moves in one beat": Bug("one move", _two_moves),
    "a reflex is not marked before its command runs": Bug("once", _unmarked_reflex),
    "a stale decision is not removed": Bug("once", _stale_decision),
    "a world counts as decided when its hash begins like the last one": Bug("decided", _hash_cut_short),
    "a world is committed before its move": Bug("memory", _committed_early),
    "a commit is forgotten": Bug("memory", _never_committed),
    "the hash is committed without its baseline": Bug("memory", _baseline_left),
    "the budget is not looked at": Bug("money", _no_budget),
    "a run cut off by a crash is not billed": Bug("money", _crash_unbilled),
    "runs without a figure go on for ever": Bug("money", _unmetered_for_ever),
    "the hourly cap is not looked at": Bug("pace", _uncapped),
    "a usage limit parks nobody": Bug("pace", _never_parked),
    "an unreadable ledger counts as empty": Bug("guards", _open_guard),
    "a damaged breaker record counts as none": Bug("guards", _damaged_breaker_open),
    "a damaged record of reflexes counts as none": Bug("guards", _damaged_reflexes_open),
    "a damaged record of failures is no wait": Bug("guards", _damaged_wait_open),
    "an ask's number is used again after the archive": Bug("questions", _number_reused),
    "the fourth question is not shown": Bug("questions", _ask_hidden),
    "an answer overwrites another": Bug("settled once", _answer_overwritten),
    "a withdrawal overwrites an answer": Bug("settled once", _settled_again),
    "a question expires before its time": Bug("settled once", _early_expiry),
    "a successor gets its predecessor's answer": Bug("answers", _answered_to_successor),
    "what expired is taken for a yes": Bug("answers", _expired_is_yes),
    "a message is read and not taken away": Bug("messages", _told_twice),
    "a worker's end takes everybody's messages": Bug("messages", _tells_dropped),
    "a message waits for the worker's successor": Bug("messages", _told_to_successor),
    "a push is not announced before it is made": Bug("pushes", _pushed_unannounced),
    "a push that may have arrived is made again": Bug("pushes", _doubt_is_failure),
    "a failed push is not made again": Bug("pushes", _failed_push_is_over),
    "a schedule is written without being synced": Bug("files", _schedule_not_durable),
    "a goal is written without being synced": Bug("files", _goal_not_durable),
    "a run that was missed is not shown": Bug("runs", _missed_run_lost),
    "a schedule does not know that clocks change": Bug("runs", _clocks_never_change),
    "a scheduled job is done on each world": Bug("runs", _job_for_each_world),
    "another reflex goes before a run that is made up for": Bug("runs", _made_up_in_turn),
    "a live worker's lease is given away": Bug("leases", _lease_taken_over),
    "a wait after failures never ends": Bug("progress", _endless_wait),
    "a dead worker is not verified": Bug("verdicts", _never_verified),
    "a worker is judged although its verdict is on record": Bug("verdicts", _judged_again),
    "an orphan is left alone": Bug("orphans", _orphan_left),
}
