"""Where questions are pushed to: two targets that take a message, refuse it, or leave one wondering."""

import json
import os
from random import Random
from unittest import mock

from looop.contract import notifier as notifiers
from looop.contract.notices import Wishes
from looop.contract.notifier import Notifier
from looop.contract.targets import targets_of
from looop.model.notices import Push
from looop.model.records import Ask
from looop.runtime.command import Command, Ended
from looop.state.codec import encode_record
from looop.state.house import House
from looop.state.notices import BOOK
from tests.fakes.clock import StillClock
from tests.fakes.disk import Died
from tests.sim.disk import SimStore
from tests.sim.promises import Broken

NUDGE_S = 14400
TARGETS = targets_of(("looop+http://127.0.0.1:9/a", "looop+http://127.0.0.1:9/b"))
_STEP_BACK_S = 600


class Post:
    """What arrived where; `sane` while every message does. `doubtful` are those of which nobody can know."""

    def __init__(self, root: str, store: SimStore, clock: StillClock, rng: Random) -> None:
        self._store, self._clock, self._rng = store, clock, rng
        self._token_file = os.path.join(root, "token")
        with open(self._token_file, "w", encoding="ascii") as file:
            file.write("a-token-of-the-simulator\n")
        os.chmod(self._token_file, 0o600)
        self.sane = False
        self.arrived: dict[tuple[str, str], int] = {}
        self.doubtful: set[tuple[str, str]] = set()
        self._under_way: Push | None = None

    def notifier(self, house: House) -> Notifier:
        """What a process of `looop notify` has; the names of targets are made by a slow hash, so once."""
        with mock.patch.object(notifiers, "targets_of", lambda urls, file: TARGETS):
            return Notifier(house, Wishes(nudge_s=NUDGE_S, token_file=self._token_file))

    def push_all(self, house: House, notifier: Notifier) -> None:
        """What such a process does when it is woken. Raises LooopError."""
        now = house.setting.clock.now()
        asks = house.mailbox.pending(now, house.fleet.living).pending
        for push in notifier.plan(asks, now).pushes:
            self._push(notifier, push, asks)

    def _push(self, notifier: Notifier, push: Push, asks: list[Ask]) -> None:
        self._under_way = push
        try:
            row = notifier.push(push, asks)
        except Died:
            self.doubt(push)
            raise
        finally:
            self._under_way = None
        # A failure that the disk did not take is known to nobody later: only the announcement is left, and that counts.
        if row.outcome == "failed" and not (self._store.peek(BOOK) or b"").endswith(encode_record(row)):
            self.doubt(push)

    def doubt(self, push: Push) -> None:
        """Nobody can know whether it arrived."""
        self.doubtful |= {(push.target, ask) for ask in push.asks}

    def deliver(self, command: Command) -> Ended:
        """The child that makes a push."""
        order, push = json.loads(command.feed), self._under_way
        assert push
        self._store.step("run", f"push to {order['urls'][0]}")
        chance = 1.0 if self.sane else self._rng.random()
        if chance < 0.15:
            return Ended(code=1, output=b'{"error": "the service is down"}\n', seconds=1.0)
        if chance < 0.3:
            self.doubt(push)
        if chance > 0.22:
            self._take(push)
        self._store.step("ran", f"push to {order['urls'][0]}")
        return Ended(timed_out=True, seconds=30.0) if chance < 0.3 else Ended(code=0, output=b"{}\n", seconds=1.0)

    def _take(self, push: Push) -> None:
        now = self._clock.now()
        for ask in push.asks:
            before = self.arrived.get((push.target, ask))
            if before is not None and push.kind == "new":
                raise Broken("pushes", f"ask {ask} is pushed to {push.target} as new, and was before")
            if before is not None and now - before < NUDGE_S - _STEP_BACK_S:
                raise Broken("pushes", f"{push.target} is nudged about ask {ask} {now - before} s after the last push")
            self.arrived[push.target, ask] = now

    def check_rest(self, pending: list[Ask]) -> None:
        """Nothing is in the way any more: whoever waits was pushed to every target."""
        for ask in pending:
            for target in TARGETS:
                if (target.id, ask.id) not in self.arrived.keys() | self.doubtful:
                    raise Broken("pushes", f"ask {ask.id} waits, and was never pushed to {target.id}")
