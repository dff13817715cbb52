"""Notifications as a client drives them: what is to be pushed, a push, a reply. The watching is the client's.

A push is announced in the book, on disk, before its child is started; see rules/notify.py, Note [Once].
"""

import os
import re
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from functools import partial
from threading import Lock

from msgspec.structs import replace

from looop.contract.deliver import Delivered, deliver, require_library, require_understood
from looop.contract.delivery import Order
from looop.contract.notices import Wishes
from looop.contract.replies import SIGNATURE, Replies, sign, token_of
from looop.contract.targets import Target, targets_of
from looop.contract.verbs import Contract
from looop.model.errors import Invalid
from looop.model.notices import Notice, Push
from looop.model.records import Ask
from looop.model.text import to_json
from looop.rules import cron, notice_text
from looop.rules.notify import Plan, Quiet, Settings, plan, worth_keeping
from looop.runtime.lock import notify_lock
from looop.runtime.zones import checked_zone
from looop.state.house import House
from looop.state.notices import Notices

_QUIET = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])")
_TEST = "This is a test of looop notify. Questions of workers will arrive like this."


class Notifier:
    """Everything around pushes of one data dir. Its methods are for any thread; the first look is the maker's.

    Raises what bad wishes raise: Invalid, Refused, Missing, Unreadable, Unwritable.
    """

    def __init__(self, house: House, wishes: Wishes) -> None:
        self._house, self._wishes = house, wishes
        self._targets = {target.id: target for target in targets_of(wishes.urls, wishes.file)}
        if not self._targets and not wishes.listen:
            raise Invalid("nowhere to push to: name a target with --to URL or --to-file FILE (see docs/notify.md)")
        require_library(list(self._targets.values()))
        self._offset_s = _offsets(wishes.zone) if wishes.zone else self._house.setting.clock.utc_offset_s
        self._settings = Settings(
            targets=list(self._targets),
            offset_s=self._offset_s,
            batch_s=0 if wishes.once else wishes.batch_s,
            nudge_s=wishes.nudge_s,
            quiet=_quiet(wishes.quiet),
        )
        own = wishes.listen or any(target.is_own for target in self._targets.values())
        self._token = token_of(self._house, wishes.token_file) if own else ""
        self._book, self._one = Notices(self._house.store), Lock()
        self.reply_url = ""

    @property
    def targets(self) -> list[str]:
        """The names of the targets, without their secrets."""
        return list(self._targets)

    def alone(self) -> AbstractContextManager[None]:
        """Hold what lets one at a time push for this data dir. Raises Refused, Unwritable."""
        return notify_lock(self._house.setting.root)

    def look_at_targets(self) -> None:
        """Raises Invalid where a URL is not understood. Takes half a second where the library is needed."""
        require_understood(self._house, list(self._targets.values()))

    def replies(self, contract: Contract) -> Replies:
        """What takes the replies, and answers by this contract."""
        return Replies(contract, self._house, self._token)

    def plan(self, asks: Collection[Ask], now: int, busy: Collection[str] = ()) -> Plan:
        """What to push now to targets that are not busy. Raises Unreadable, Corrupt: no push without the book."""
        idle = [target for target in self._targets if target not in busy]
        return plan(asks, self._book.rows(), now, replace(self._settings, targets=idle))

    def push(self, push: Push, asks: Collection[Ask]) -> Notice:
        """Announce a push, make it, and put on record how it ended. Raises Unwritable before it is made, never after.

        `asks` are those that wait.
        """
        meant = [ask for ask in asks if ask.id in set(push.asks)]
        target, now = self._targets[push.target], self._house.setting.clock.now()
        self._write(Notice(now, push.target, push.kind, push.asks, "sending"))
        return self._ended(push, deliver(self._house, target, self._order(target, push, meant, now)))

    def test(self, name: str) -> Notice:
        """Push a test message to one target, which is on no record."""
        done = self._tested(name)
        return Notice(self._house.setting.clock.now(), name, "test", [], done.outcome, done.error)

    def _tested(self, name: str) -> Delivered:
        target, now = self._targets[name], self._house.setting.clock.now()
        if target.is_own:
            return deliver(self._house, target, self._signed(target, {"kind": "test", "asks": [], "count": 0}, now))
        order = Order(urls=[target.url], limit_s=self._wishes.limit_s, title="looop: a test", body=_TEST)
        return deliver(self._house, target, order)

    def _order(self, target: Target, push: Push, asks: list[Ask], now: int) -> Order:
        if target.is_own:
            return self._signed(target, notice_text.fields(asks, push.kind), now)
        return Order(
            urls=[target.url],
            limit_s=self._wishes.limit_s,
            title=notice_text.title(asks, push.kind, now),
            body=notice_text.body(asks, self._offset_s),
            grave=any(ask.urgency == "irreversible" for ask in asks),
        )

    def _signed(self, target: Target, fields: dict[str, object], now: int) -> Order:
        nonce = os.urandom(16).hex()
        reply = {"url": self.reply_url} if self.reply_url else None
        body = to_json({**fields, "reply": reply, "ts": now, "nonce": nonce})
        headers = {"Content-Type": "application/json", SIGNATURE: sign(self._token, now, nonce, body)}
        return Order(urls=[target.url], limit_s=self._wishes.limit_s, body=body.decode(), headers=headers)

    def _ended(self, push: Push, done: Delivered) -> Notice:
        now, house = self._house.setting.clock.now(), self._house
        row = Notice(now, push.target, push.kind, push.asks, done.outcome, done.error)
        with self._one:
            if done.outcome == "sent":
                house.events.emit("notified", target=push.target, kind=push.kind, count=len(push.asks))
            else:
                house.events.emit("notify_failed", target=push.target, outcome=done.outcome, error=done.error)
        house.best_effort("book of notices", lambda: self._write(row))
        return row

    def _write(self, row: Notice) -> None:
        with self._one:
            size = self._book.append(row)
            if row.outcome != "sending":
                self._book.shrink(size, self._worth_keeping)

    def _worth_keeping(self, rows: Sequence[Notice]) -> list[Notice]:
        """Judged by what waits now, the stranded included, which may be taken over; all, where that cannot be told."""
        mail = self._house.mailbox.pending(self._house.setting.clock.now())
        return list(rows) if mail.damaged else worth_keeping(rows, [ask.id for ask in mail.pending])


def _quiet(text: str) -> Quiet | None:
    if not text:
        return None
    match = _QUIET.fullmatch(text)
    if match is None:
        raise Invalid(f"--quiet {text!r} is no span of the day: expected HH:MM-HH:MM, such as 22:00-07:00")
    hours = [int(part) for part in match.groups()]
    begins, ends = hours[0] * 3600 + hours[1] * 60, hours[2] * 3600 + hours[3] * 60
    if begins == ends:
        raise Invalid(f"--quiet {text} leaves no time of the day to push in: its ends must differ")
    return Quiet(begins, ends)


def _offsets(zone: str) -> Callable[[int], int]:
    try:
        return partial(cron.offset_s, checked_zone(zone))
    except Invalid as error:
        raise Invalid(f"--tz: {error}") from None
