"""The mailbox as a worker and its person use it: ask and wait, take the answer, tell, hear.

Note [Waiting]
Whoever waits sleeps until the kernel reports a change of its own question or answer, and looks every few seconds all
the same, since events are hints. It is one process for each question, for days: it loads no more than it needs.

Note [Steering]
What was told to a worker while it waited rides on the answer. It is taken at the last moment, when the answer is there,
so that a wait that is cut off takes none of it away; and never by one whose reader has gone.

Source: spec/workers.md §9, §10.
"""

from collections.abc import Callable
from time import monotonic

from looop.config.session import session_id
from looop.contract.questions import Hearing, Question, Reply
from looop.model.errors import Corrupt, Invalid, LooopError, Missing, Refused, Unreadable
from looop.model.ids import require_id
from looop.model.records import Answer, Ask, Fault
from looop.model.text import one_line
from looop.model.workers import PULSE
from looop.runtime.command import Stop, pause
from looop.runtime.inotify import Kind
from looop.state.house import House

_WATCHED: dict[str, Kind] = {"answers": "placed", "asks": "gone"}  # of a hundred sleepers as few as can be wake
_LOOK_S = 10.0
_SETTLE_S = 0.25  # an editor empties a file before it fills it

Say = Callable[[str], object]


def ask(house: House, question: Question, stop: Stop, say: Say) -> Reply:
    """Put a question on record, wait for its answer, and return it with the steering that came meanwhile.

    `say` gets a sentence about what cannot be read just now, once each; `stop` ends the wait, the question stays.
    Raises Invalid; Missing when the question is withdrawn, Corrupt for an answer that is none, Refused when time is up;
    Unreadable, Unwritable.
    """
    worker = _worker(house, question.worker, "ask")
    if not question.prompt.strip():
        raise Invalid("the question is empty: say what you need to know with --prompt")
    now = house.setting.clock.now()
    wanted = Ask(
        id="",
        worker=worker,
        prompt=question.prompt,
        ts=now,
        reference=question.reference or None,
        options=question.options,
        key=require_id(question.key, "key") if question.key else "",
    )
    asked, is_new = house.mailbox.ask(wanted, _began(house, worker, now))
    if is_new:
        house.events.emit("ask", ask_id=asked.id, worker=worker)
    answer = _Wait(house, asked.id, stop, say).answer()
    return Reply(asked.id, answer, _heard_meanwhile(house, worker, say))


def took(house: House, ask_id: str) -> None:
    """The worker has its answer: the key of that question is free again. Raises Unreadable, Unwritable."""
    house.mailbox.take(ask_id, house.setting.clock.now())


def tell(house: House, worker: str, msg: str) -> str:
    """Leave a message for a live worker and say so. Raises Invalid, Refused, Unwritable; Unreadable: try again."""
    require_id(worker, "worker id")
    if not msg.strip():
        raise Invalid(f"nothing to tell: `looop tell {worker} WORDS…`")
    try:
        alive = worker != PULSE and house.fleet.is_alive(worker)
    except Unreadable as error:
        raise Unreadable(f"not told, since nobody knows whether {worker} lives: {error}: try again") from None
    if not alive:
        raise Refused(f"not told: there is no live worker {worker!r} (`looop worker list` shows them)")
    house.tells.tell(worker, msg.strip(), house.setting.clock.now())
    house.events.emit("tell", worker=worker, msg=one_line(msg.strip()))
    return f"told {worker}"


def told(house: House, worker: str | None) -> Hearing:
    """Take what waits for a worker. Raises Invalid, Unreadable."""
    return _hear(house, _worker(house, worker, "told"))


class _Wait:
    """The wait for one answer. See Note [Waiting]."""

    def __init__(self, house: House, ask_id: str, stop: Stop, say: Say) -> None:
        self._house, self._id, self._stop, self._say = house, ask_id, stop, say
        self._said: set[str] = set()

    def answer(self) -> str:
        """The answer, however long it takes; it is not taken for somebody who has gone."""
        found = self._look()
        if found is None:
            found = self._watch()
        if self._stop.requested():
            raise Refused(f"nobody reads the answer to {self._id} any more: it stays asked")
        return found

    def _watch(self) -> str:
        from looop.runtime.watch import Watcher

        setting = self._house.setting
        knobs = setting.knobs
        limit_s, poll_s = knobs.ask_timeout_s, max(knobs.ask_poll_ms, 10) / 1000
        mine = f"{self._id}.json"
        watcher = Watcher(setting.root, _WATCHED, mine, self._once, poll_s, setting.unwatched, brief=True)
        until = monotonic() + limit_s if limit_s else None
        watcher.start()
        try:
            while (found := self._look()) is None and not self._stop.requested():
                left = _LOOK_S if until is None else min(_LOOK_S, until - monotonic())
                if left <= 0:
                    raise Refused(f"no answer to {self._id} within {limit_s} s (LOOOP_ASK_TIMEOUT_S): it stays asked")
                watcher.wait(left, self._stop)
        finally:
            watcher.stop()
        return found or ""

    def _look(self) -> str | None:
        """The answer, None while there is none or it cannot be read, which is said. Raises Corrupt, Missing."""
        answer = self._read()
        if isinstance(answer, Answer):
            return answer.answer
        asked = self._house.mailbox.ask_of(self._id)
        if answer is None and asked is None:
            raise Missing(f"ask {self._id} was withdrawn, nobody will answer it: go on without, or ask anew")
        for fault in (answer, asked):
            if isinstance(fault, Fault):
                self._once(f"{fault.why}: still waiting")
        return None

    def _read(self) -> Answer | Fault | None:
        mailbox = self._house.mailbox
        answer = mailbox.answer_of(self._id)
        if isinstance(answer, Fault) and answer.kind == "corrupt":
            pause(self._stop, _SETTLE_S)
            answer = mailbox.answer_of(self._id)
        if isinstance(answer, Fault) and answer.kind == "corrupt":
            raise Corrupt(f"{answer.why}. `looop answer --force {self._id} …` repairs it; then ask again")
        return answer

    def _once(self, sentence: str) -> None:
        if sentence not in self._said:
            self._said.add(sentence)
            self._say(sentence)


def _worker(house: House, worker: str | None, verb: str) -> str:
    """Who calls: who it says it is, else the session it works in."""
    name = session_id(house.setting.env) if worker is None else worker
    if not name:
        raise Invalid(f"which worker is this? `looop {verb} WORKER`, or LOOOP_SESSION_ID, says so")
    return require_id(name, "worker id")


def _began(house: House, worker: str, now: int) -> int:
    """When this worker's session began, 0 for one without a session; now where nobody knows."""
    try:
        session = house.fleet.find(worker)
    except Unreadable:
        return now
    return (session.started_at or 0) if session else 0


def _hear(house: House, worker: str) -> Hearing:
    now = house.setting.clock.now()
    found = house.tells.drain(worker, now)
    if found.tells:
        house.events.emit("told", worker=worker, count=len(found.tells))
    return Hearing([one_line(tell.msg) for tell in found.tells], found.damaged)


def _heard_meanwhile(house: House, worker: str, say: Say) -> list[str]:
    """See Note [Steering]. What keeps it back must not keep the answer back."""
    try:
        hearing = _hear(house, worker)
    except LooopError as error:
        say(str(error))
        return []
    for sentence in hearing.damaged:
        say(sentence)
    return hearing.messages
