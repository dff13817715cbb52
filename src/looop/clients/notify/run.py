"""Pushing questions until asked to stop: what wakes us, what is pushed then, and nothing in between.

Note [Lanes]
Each target is a lane: one push at a time, in a thread that waits for the child which makes it. So a target that hangs
holds up no other; what comes up for it meanwhile goes as one message afterwards. Whoever has news rings the bell: the
watcher of the asks, a lane that is free again. Then everything is looked at anew, so a bell too many does no harm.
"""

import os
import select
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from threading import ExceptHookArgs, Thread

from looop.contract.local import Local
from looop.contract.notices import Wishes
from looop.contract.notifier import Notifier
from looop.contract.verbs import Stop
from looop.model.errors import LooopError
from looop.model.notices import Notice, Push
from looop.model.records import Ask
from looop.model.text import span

_LOOK_S = 600  # a suspended machine's timers stand still: how late it looks at the clock again
_AGAIN_S = 30
_GRACE_S = 5.0

Tell = Callable[[Notice], None]
Talk = Callable[[str], object]


def notify(local: Local, wishes: Wishes, stop: Stop, tell: Tell, talk: Talk) -> bool:
    """Push what has to be pushed, once or until `stop`; see contract.verbs.Engine.notify."""
    threading.excepthook = lambda fault: _confess(fault, talk)
    notifier = local.notifier(wishes)
    if wishes.test:
        return _test(notifier, tell)
    with notifier.alone():
        if wishes.once:
            return _once(local, notifier, tell, talk)
        notifier.look_at_targets()
        client = Client(local, notifier, stop, tell, talk)
        if not wishes.listen:
            return client.run()
        from looop.clients.notify.listen import listening

        with listening(notifier, local, wishes, stop, talk):
            return client.run()


class Bell:
    """Wakes whoever waits for it; for any thread."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)

    def ring(self) -> None:
        with suppress(BlockingIOError):
            os.write(self._writer, b"!")

    def wait(self, seconds: float, stop: Stop) -> None:
        """Return when it was rung, a stop is requested, or the time is over."""
        select.select([self._reader, stop.fileno()], [], [], seconds)
        with suppress(BlockingIOError):
            os.read(self._reader, 4096)


class Client:
    """One run. See Note [Lanes]."""

    def __init__(self, local: Local, notifier: Notifier, stop: Stop, tell: Tell, talk: Talk) -> None:
        self._local, self._notifier, self._stop = local, notifier, stop
        self._tell, self._talk = tell, talk
        self._bell = Bell()
        self._lanes: dict[str, Thread] = {}
        self._problem = ""

    def run(self) -> bool:
        """Push until asked to stop, then let what is on its way come to its end."""
        Thread(target=self._watch, daemon=True).start()
        if self._notifier.targets:
            self._talk(f"questions go to {', '.join(self._notifier.targets)}")
        while not self._stop.requested():
            self._bell.wait(self._pass(), self._stop)
        for lane in tuple(self._lanes.values()):
            lane.join(_GRACE_S)
        return True

    def _pass(self) -> float:
        """Begin every push that is due; for how many seconds there will be none, as far as can be told."""
        try:
            asked = self._local.asks()
            plan = self._notifier.plan(asked.pending, asked.now, tuple(self._lanes))
        except LooopError as error:
            self._say(str(error))
            return _AGAIN_S
        for push in plan.pushes:
            lane = Thread(target=self._push, args=(push, asked.pending), daemon=True)
            self._lanes[push.target] = lane
            lane.start()
        if plan.next_at is None:
            return _LOOK_S
        return min(max(plan.next_at - asked.now, 0.2), _LOOK_S)

    def _push(self, push: Push, asks: list[Ask]) -> None:
        """One push in its lane. One that could not be put on record is not made; it is tried again after a while."""
        try:
            self._tell(self._notifier.push(push, asks))
            self._problem = ""
        except LooopError as error:
            self._say(str(error))
            select.select([self._stop.fileno()], [], [], _AGAIN_S)
        finally:
            del self._lanes[push.target]
            self._bell.ring()

    def _watch(self) -> None:
        """Ring for every new question, and say when there is no pulse, which changes nothing for us."""
        try:
            for woke in self._local.changes("only-asks", self._stop, say=self._talk):
                if woke.pulse_down:
                    self._talk("no pulse runs (`looop up` starts one): questions that come all the same are pushed")
                self._bell.ring()
        except LooopError as error:
            self._talk(f"questions are looked for every {_LOOK_S} s only: {error}")

    def _say(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            self._talk(f"{problem}: trying again")


def _confess(fault: ExceptHookArgs, talk: Talk) -> None:
    """The top of every thread: a traceback is not for people, and might show a URL."""
    talk(f"a fault in looop itself: {fault.exc_type.__name__} in {fault.thread.name if fault.thread else 'a thread'}")


def _once(local: Local, notifier: Notifier, tell: Tell, talk: Talk) -> bool:
    asked = local.asks()
    plan = notifier.plan(asked.pending, asked.now)
    if not plan.pushes and plan.next_at is not None:
        talk(f"nothing is due now: the next push is in {span(max(plan.next_at - asked.now, 1))}")
    return _side_by_side([partial(notifier.push, push, asked.pending) for push in plan.pushes], tell)


def _test(notifier: Notifier, tell: Tell) -> bool:
    return _side_by_side([partial(notifier.test, name) for name in notifier.targets], tell)


def _side_by_side(jobs: Sequence[Callable[[], Notice]], tell: Tell) -> bool:
    """Do all of them at the same time; whether every one was sent. Raises the first error there was."""
    ended: list[Notice] = []
    errors: list[LooopError] = []

    def one(job: Callable[[], Notice]) -> None:
        try:
            ended.append(job())
        except LooopError as error:
            errors.append(error)

    lanes = [Thread(target=one, args=(job,), daemon=True) for job in jobs]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    for notice in ended:
        tell(notice)
    if errors:
        raise errors[0]
    return all(notice.outcome == "sent" for notice in ended)
