"""The mailbox as a person uses it: what waits, what was settled and how, answering, withdrawing.

Source: spec/workers.md §9; design §3 row 7.
"""

from looop.config.session import session_id
from looop.contract.questions import AskView, Questions, by_whom
from looop.model.errors import Corrupt, Invalid, Missing, Refused, Unreadable
from looop.model.ids import require_numbered
from looop.model.records import Answer, Ask, Fault
from looop.model.text import one_line
from looop.rules.answers import PERSON, state_of
from looop.runtime.clock import minute_stamp
from looop.state.house import House
from looop.state.mailbox import NOBODY, AlreadySettled, IsStranded

_MOST_BYTES = 1 << 20
_NO_MORE = "the worker waits no more"


def asks(house: House, *, everything: bool = False) -> Questions:
    """The open questions; with `everything` the settled ones, too. Raises Unreadable."""
    now = house.setting.clock.now()
    mail = house.mailbox.pending(now, house.fleet.living)
    found = house.mailbox.settled() if everything else []
    settled = [AskView(pair.ask, state_of(pair.answer), pair.answer) for pair in found]
    return Questions(mail.pending, now, mail.damaged, mail.stranded, settled)


def ask_of(house: House, ask_id: str) -> AskView:
    """One question, also from the archive. Raises Invalid, Missing, Unreadable, Corrupt."""
    require_numbered(ask_id, "ask id")
    asked, settled = house.mailbox.ask_of(ask_id), house.mailbox.answer_of(ask_id)
    if asked is None and (away := house.mailbox.put_away(ask_id)):
        return AskView(away.ask, state_of(away.answer), away.answer)
    if asked is None:
        raise Missing(f"no ask {ask_id!r}: `looop asks --all` shows those there are")
    if isinstance(asked, Fault):
        raise (Unreadable if asked.kind == "unreadable" else Corrupt)(asked.why)
    now = house.setting.clock.now()
    if settled is None and asked.expires is not None and asked.expires <= now:
        settled = Answer(asked.default, asked.expires, "expired", NOBODY)
    known = settled if isinstance(settled, Answer) else None
    stranded = house.mailbox.pending(now, house.fleet.living).stranded if known is None else []
    return AskView(asked, state_of(known, stranded=asked in stranded), known)


def answer(
    house: House, ask_id: str, text: str = "", *, option: int | None = None, force: bool = False, by: str = ""
) -> str:
    """Answer a question with a text, or with its n-th option, and say so; `force` replaces an answer.

    `by` names the way it came; without one a worker that answers is put on record. Raises Invalid, Missing, Refused,
    Unreadable, Unwritable.
    """
    require_numbered(ask_id, "ask id")
    text = text if option is None else _option(house, ask_id, text, option)
    _check(text)
    now = house.setting.clock.now()
    who = f"a person, by {by}" if by else session_id(house.setting.env)
    try:
        ask = house.mailbox.answer(ask_id, text, now, house.fleet.living, force=force, by=who)
    except AlreadySettled as error:
        raise Refused(_why_settled(house, error)) from None
    except IsStranded as error:
        raise Refused(_why_stranded(error.ask)) from None
    house.events.emit("answer", ask_id=ask_id, worker=ask.worker, **({"by": who} if who else {}))
    return f"answered {ask_id}"


def withdraw(house: House, ask_id: str, why: str = "") -> str:
    """Settle a question that has become moot, and say so. A worker withdraws its own, a person any.

    Raises Invalid, Missing, Refused, Unreadable, Unwritable.
    """
    require_numbered(ask_id, "ask id")
    by, asked = session_id(house.setting.env) or PERSON, house.mailbox.ask_of(ask_id)
    if by != PERSON and isinstance(asked, Ask) and asked.worker != by:
        raise Refused(f"ask {ask_id} is a question of {asked.worker}: worker {by} withdraws its own only")
    try:
        ask = house.mailbox.withdraw(ask_id, why.strip(), by, house.setting.clock.now())
    except AlreadySettled as error:
        raise Refused(_why_settled(house, error, "nothing is left to withdraw")) from None
    house.events.emit("ask_withdrawn", ask_id=ask_id, worker=ask.worker, by=by)
    return f"withdrew {ask_id}"


def _option(house: House, ask_id: str, text: str, number: int) -> str:
    if text.strip():
        raise Invalid("the answer is either a text or an --option")
    options = ask_of(house, ask_id).ask.options
    if not 1 <= number <= len(options):
        there_are = ", ".join(f"{n} {one_line(option)}" for n, option in enumerate(options, 1)) or "none"
        raise Invalid(f"ask {ask_id} has no option {number}: there are {there_are}")
    return options[number - 1]


def _check(text: str) -> None:
    """Raises Invalid for what is no answer."""
    if not text.strip():
        raise Invalid("the answer is empty: give it as words, or on standard input")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise Invalid("the answer is not UTF-8: nothing was answered") from None
    if size > _MOST_BYTES:
        raise Invalid(f"the answer has {size} bytes, over the {_MOST_BYTES} it may have: put it into a file, name that")


def _why_settled(house: House, error: AlreadySettled, then: str = "") -> str:
    """Why nothing can be settled any more, and since when; `then` in place of how an answer is replaced."""
    ask_id, found = error.ask.id, error.found
    if found is None:
        return f"ask {ask_id} has a damaged answer: `looop answer --force {ask_id} …` repairs it"
    date = minute_stamp(house.setting.clock, found.ts)
    if found.outcome == "answered":
        then = then or f"`looop answer --force {ask_id} …` replaces the answer"
        return f"ask {ask_id} was already answered on {date}: {then}"
    if found.outcome == "expired":
        got = f"its default {found.answer!r}" if found.answer else "an error"
        return f"ask {ask_id} expired on {date} unanswered; nobody decided; the worker got {got}, and waits no more"
    if found.outcome == "withdrawn":
        why = f": {one_line(found.answer)}" if found.answer else ""
        return f"ask {ask_id} was withdrawn on {date} by {by_whom(found.by)}{why}; {_NO_MORE}"
    return f"ask {ask_id} was stranded on {date}, its worker's session was over; {_NO_MORE}"


def _why_stranded(ask: Ask) -> str:
    again = f"; it waits again once {ask.worker} asks it again" if ask.key else ""
    return f"ask {ask.id} is stranded: the session of {ask.worker} that asked it is over, {_NO_MORE}{again}"
