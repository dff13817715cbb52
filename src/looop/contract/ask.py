"""The mailbox as a worker uses it: ask and wait, take the answer, hear what it was told; and telling it.

Note [Waiting]
Whoever waits sleeps until the kernel reports a change of its own question or answer, and looks every few seconds all
the same, since events are hints. It is one process for each question, for days: it loads no more than it needs.

Note [Steering]
What was told to a worker while it waited rides on the answer. It is taken at the last moment, when the answer is there,
so that a wait that is cut off takes none of it away; and never by one whose reader has gone.

Note [Coming due]
A question that is due is settled by its own wait in that second; it races a person's answer, and what is on record then
is what the worker gets. A settlement that cannot be written is tried again: a default must not be taken while somebody
may be told that the answer was.

Source: spec/workers.md §9, §10; design §3 row 7.
"""

from collections.abc import Callable
from time import monotonic

from msgspec.structs import replace

from looop.config.session import session_id
from looop.contract.questions import Hearing, Question, Reply, by_whom
from looop.model.errors import Corrupt, Invalid, LooopError, Missing, Refused, Unreadable
from looop.model.ids import require_id
from looop.model.records import Answer, Ask, Fault
from looop.model.text import one_line, span
from looop.model.workers import PULSE
from looop.rules.answers import is_refusal
from looop.runtime.clock import minute_stamp
from looop.runtime.command import Stop, pause
from looop.runtime.inotify import Kind
from looop.state.house import House
from looop.state.mailbox import Settled

_WATCHED: dict[str, Kind] = {"answers": "placed", "asks": "gone"}  # of a hundred sleepers as few as can be wake
_LOOK_S = 10.0
_SETTLE_S = 0.25  # an editor empties a file before it fills it
_LAST_SECOND_S = 0.05  # the clock tells whole seconds

Say = Callable[[str], object]


def ask(house: House, question: Question, stop: Stop, say: Say) -> Reply:
    """Put a question on record, wait for its answer, and return it with the steering that came meanwhile.

    What a person has refused before is not asked again, unless the question says why it is. `say` gets a sentence about
    what cannot be read just now and about who decided, if nobody did; `stop` ends the wait, the question stays.
    Raises Invalid; Missing when the question is withdrawn or stranded, Corrupt for an answer that is none, Refused when
    time is up; Unreadable, Unwritable.
    """
    now = house.setting.clock.now()
    wanted = _worded(question, _worker(house, question.worker, "ask"), now)
    since, generation = _began(house, wanted.worker, now)
    wanted = replace(wanted, generation=generation)
    refused = house.mailbox.refusal(wanted, since)
    if refused and not question.again.strip():
        return _refused(house, wanted, refused, say)
    if refused:
        wanted = replace(wanted, again=f"{wanted.again} (refused on {_date(house, refused.answer.ts)})")
    asked, is_new = house.mailbox.ask(wanted, since)
    if is_new:
        house.events.emit("ask", ask_id=asked.id, worker=asked.worker)
    elif (asked.expires is None, asked.default) != (wanted.expires is None, wanted.default):
        say(f"ask {asked.id} is on record in other terms, which hold: {_terms(asked)}")
    answer = _Wait(house, asked, stop, say).answer()
    return Reply(asked.id, answer, _heard_meanwhile(house, asked.worker, say))


def took(house: House, ask_id: str) -> None:
    """The worker has its answer: the key of that question is free again.

    Where that cannot be put on record, the same call gets the same answer again. Never raises.
    """
    house.best_effort("mailbox", lambda: house.mailbox.take(ask_id, house.setting.clock.now()))


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

    def __init__(self, house: House, asked: Ask, stop: Stop, say: Say) -> None:
        self._house, self._id, self._asked, self._stop, self._say = house, asked.id, asked, stop, say
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
                watcher.wait(self._at_most(left), self._stop)
        finally:
            watcher.stop()
        return found or ""

    def _look(self) -> str | None:
        """What the worker gets, None while there is nothing or it cannot be read, which is said.

        Raises Corrupt, Missing, Refused.
        """
        answer = self._read()
        if isinstance(answer, Answer):
            return self._outcome(answer)
        asked = self._house.mailbox.ask_of(self._id)
        if answer is None and asked is not None:
            answer = self._expire()
        if answer is None and asked is None and (away := self._house.mailbox.put_away(self._id)):
            answer = away.answer
        if isinstance(answer, Answer):
            return self._outcome(answer)
        if answer is None and asked is None:
            raise Missing(f"ask {self._id} was withdrawn, nobody will answer it: go on without, or ask anew")
        for fault in (answer, asked):
            if isinstance(fault, Fault):
                self._once(f"{fault.why}: still waiting")
        return None

    def _expire(self) -> Answer | Fault | None:
        """How the question was settled, if it is due. See Note [Coming due]."""
        due, default, mailbox = self._asked.expires, self._asked.default, self._house.mailbox
        if due is None or due > self._house.setting.clock.now():
            return None
        try:
            if mailbox.expire_one(self._id, default, due):
                self._house.events.emit("ask_expired", ask_id=self._id, worker=self._asked.worker, default=default)
        except LooopError as error:
            self._once(f"{error}: ask {self._id} is due, and stays asked until that can be put on record")
        return mailbox.answer_of(self._id)

    def _at_most(self, seconds: float) -> float:
        """So long, or until the question is due; one that cannot be settled is looked at as often as any other."""
        left = (self._asked.expires or 0) - self._house.setting.clock.now()
        return seconds if left <= 0 else min(seconds, max(left - 1, _LAST_SECOND_S))

    def _outcome(self, settled: Answer) -> str:
        """What the worker gets. An error is told once: the key of the question is free then."""
        if settled.outcome == "answered":
            return settled.answer
        nobody = f"nobody answered ask {self._id} within {span(max(settled.ts - self._asked.ts, 0))}"
        if settled.outcome == "expired" and settled.answer:
            self._once(f"{nobody}: nobody decided, this is your default")
            return settled.answer
        took(self._house, self._id)
        if settled.outcome == "expired":
            raise Refused(f"{nobody}, and it has no default: nobody decided; go on without, or ask anew")
        if settled.outcome == "withdrawn":
            why = f": {one_line(settled.answer)}" if settled.answer else ""
            raise Missing(f"ask {self._id} was withdrawn by {by_whom(settled.by)}{why} (go on without, or ask anew)")
        raise Missing(f"ask {self._id} is stranded, its session was taken for dead: ask anew")

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


def _worded(question: Question, worker: str, now: int) -> Ask:
    """The question as a record without an id. Raises Invalid."""
    if not question.prompt.strip():
        raise Invalid("the question is empty: say what you need to know with --prompt")
    _check_default(question)
    return Ask(
        id="",
        worker=worker,
        prompt=question.prompt,
        ts=now,
        reference=question.reference or None,
        options=question.options,
        key=require_id(question.key, "key") if question.key else "",
        urgency=question.urgency,
        expires=None if question.timeout_s is None else now + question.timeout_s,
        default=question.default or "",
        again=question.again.strip(),
    )


def _terms(asked: Ask) -> str:
    """How long a person has, and what the worker gets then."""
    if asked.expires is None:
        return "no time limit"
    return f"{span(asked.expires - asked.ts)}, then {repr(asked.default) if asked.default else 'an error'}"


def _check_default(question: Question) -> None:
    """Raises Invalid where time that runs out would do harm, or nothing."""
    default = question.default
    if question.timeout_s is not None and question.timeout_s < 1:
        raise Invalid("--timeout must be at least 1s: nobody can answer in no time")
    if default is None:
        return
    if question.timeout_s is None:
        raise Invalid("--default is what you get when time runs out: it needs --timeout")
    if not default.strip():
        raise Invalid("--default is empty: leave it out to get an error when time runs out")
    if question.options and default not in question.options:
        raise Invalid(f"--default {default!r} is none of the options: {', '.join(question.options)}")
    if question.urgency == "irreversible" and not is_refusal(default):
        raise Invalid(f"--default {default!r} is no refusal, and what is irreversible never happens by itself: say no")


def _began(house: House, worker: str, now: int) -> tuple[int, int]:
    """When this worker's session began, 0 for one without a session, now where nobody knows; and its generation.

    What outlives its session still asks for it: nobody may take that for a question from outside.
    """
    try:
        session = house.fleet.find(worker)
    except Unreadable:
        return now, 0
    began = (session.started_at or 0) if session else 0
    mine = session and session.id == worker and (session.alive or session_id(house.setting.env) == worker)
    return began, began if mine else 0


def _refused(house: House, wanted: Ask, refused: Settled, say: Say) -> Reply:
    """What a person said no to, as the answer of this time, too."""
    date, ask_id = _date(house, refused.answer.ts), refused.ask.id
    house.events.emit("ask_refused", ask_id=ask_id, worker=wanted.worker, key=wanted.key)
    say(f"refused on {date} as ask {ask_id}: not asked again; --again WHY asks all the same")
    return Reply(ask_id, refused.answer.answer, _heard_meanwhile(house, wanted.worker, say), remembered=True)


def _date(house: House, ts: int) -> str:
    return minute_stamp(house.setting.clock, ts)


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
