"""What is stopped at every point when people and workers talk: questions, answers, words, pushes and replies."""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast
from unittest import mock

import msgspec

from looop.contract import targets
from looop.contract.delivery import Done
from looop.contract.mail import answer
from looop.contract.notices import Wishes
from looop.contract.notifier import Notifier
from looop.contract.replies import Replies, sign
from looop.contract.verbs import Contract
from looop.model.errors import Refused
from looop.model.records import Ask
from looop.runtime.command import Command, Ended
from looop.state.mailbox import Mailbox
from looop.state.notices import NONCES, Notices
from looop.state.tells import Tells
from looop.store.files import FileStore
from looop.store.open import open_overlay
from tests.crash.points import Operation, Place, text, texts
from tests.fakes.disk import QuickDisk
from tests.sim.machine import Effect

BORN, NEXT, NOW = 100, 500, 1000
ALL_BEFORE, IN_A_YEAR = 10**19, 365 * 86400
NUMBER = re.compile(r"w-(\d+)")
TOKEN = "t" * 20
Act = Callable[[Place], object]


def ask(**more: Any) -> Act:
    """Worker w asks, in the session that began at BORN."""
    return lambda place: Mailbox(place.store).ask(Ask(id="", worker="w", prompt="?", ts=BORN + 1, **more), 0)


def ask_anew(place: Place) -> None:
    """The next session of that worker asks the same."""
    Mailbox(place.store).ask(Ask(id="", worker="w", prompt="?", ts=NEXT + 1, key="k", generation=NEXT), NEXT)


def settle(words: str, now: int = NOW, *, force: bool = False) -> Act:
    """Question w-1 is answered, unless it is settled."""

    def act(place: Place) -> None:
        with suppress(Refused):
            Mailbox(place.store).answer("w-1", words, now, force=force)

    return act


def withdraw(place: Place) -> None:
    with suppress(Refused):
        Mailbox(place.store).withdraw("w-1", "moot", "w", NOW)


def answered(place: Place) -> None:
    ask(key="k")(place)
    settle("yes", 6)(place)


def twice(act: Act) -> Act:
    return lambda place: (act(place), act(place))


def mail(place: Place) -> dict[str, str | None]:
    """Every record of the mailbox; each question waits or is settled, and no number would be used again."""
    values = {
        f"{f}/{name}": body for f in ("asks", "answers", "asks/archive") for name, body in texts(place, f).items()
    }
    box = Mailbox(open_overlay(FileStore(str(place.root), QuickDisk())))
    waiting, settled = stand(box)
    asked = {key for key in values if not key.startswith("answers/") and not key.endswith(".answer.json")}
    assert len(asked) == len(waiting) + len(settled) and waiting.isdisjoint(settled), (asked, waiting, settled)
    used = {match[1] for key in values if (match := NUMBER.search(key))}
    box.archive(ALL_BEFORE)
    assert stand(box) == (waiting, settled), "what is answered is never pending again"
    another, _ = box.ask(Ask(id="", worker="w", prompt="another", ts=NOW), 0)
    assert another.id.removeprefix("w-") not in used
    return values


def stand(box: Mailbox) -> tuple[set[str], set[str]]:
    """The questions that wait, are stranded or due; and those that are settled."""
    found = box.pending(BORN, lambda: {"w": NEXT})
    assert found.damaged == []
    return {one.id for one in found.pending + found.stranded}, {pair.ask.id for pair in box.settled()}


def tell(*words: str, worker: str = "w") -> Act:
    return lambda place: [Tells(place.store, 0).tell(worker, msg, 5) for msg in words]


def hear(place: Place) -> None:
    Tells(place.store, 0).drain("w", 6)


def hear_later(place: Place) -> None:
    """What was heard before is older than it is to be kept."""
    Tells(place.store, 60).drain("w", place.clock.now() + IN_A_YEAR)


def words(place: Place) -> tuple[list[str], list[str]]:
    """What waits for workers, and what they have heard: each message is in one place."""

    def said(folder: str) -> list[str]:
        return sorted(msgspec.json.decode(body or "")["msg"] for body in texts(place, folder).values())

    return said("tells"), said("tells/consumed")


def post(place: Place) -> None:
    """Every message arrives."""
    machine = place.machine

    def deliver(command: Command) -> Ended:
        machine.store.step("run", "post")
        machine.effects.append(Effect(command.argv[-1], machine.visit, machine.beat))
        machine.store.step("ran", "post")
        return Ended(code=0, output=msgspec.json.encode(Done()) + b"\n")

    machine.post = deliver


def push(place: Place) -> None:
    """One look of the notifier at what waits."""
    with mock.patch.object(targets, "_ROUNDS", 1):  # the name of a target is hard to guess, which takes time
        notifier = Notifier(place.house, Wishes(urls=("looop+http://h/x",), once=True))
    now = place.clock.now()
    asks = place.house.mailbox.pending(now).pending
    for one in notifier.plan(asks, now).pushes:
        notifier.push(one, asks)


def pushed(place: Place) -> bool:
    """Whether it was announced, which is once, before it is sent; without an end on record nobody knows more."""
    outcomes = [row.outcome for row in Notices(FileStore(str(place.root), QuickDisk())).rows()]
    arrived = len(place.machine.effects)
    assert arrived <= len(outcomes) and outcomes in ([], ["sending"], ["sending", "sent"]), outcomes
    assert arrived or "sent" not in outcomes
    return bool(outcomes)


class Answering:
    """The part of the contract that replies need."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def answer(self, ask_id: str, words: str, **how: Any) -> str:
        return answer(self._place.house, ask_id, words, **how)


def reply(place: Place) -> None:
    """A signed answer comes in; each has a nonce of its own."""
    now, nonce = place.clock.now(), os.urandom(8).hex()
    body = msgspec.json.encode({"ask": "w-1", "answer": "yes", "ts": now, "nonce": nonce})
    replies = Replies(cast(Contract, Answering(place)), place.house, TOKEN)
    assert replies.take(sign(TOKEN, now, nonce, body), body).status in (200, 409, 503)


def replied(place: Place) -> str | None:
    """The answer, whose nonce was on record before it."""
    found = text(place, "answers/w-1.json")
    assert found is None or "nonce" in (text(place, NONCES) or "")
    return found


MAIL = {
    "ask": Operation(ask(), mail, again=False),
    "ask a second": Operation(ask(), mail, ask(), again=False),
    "ask with a key": Operation(ask(key="k"), mail),
    "take over": Operation(ask_anew, mail, ask(key="k", generation=BORN)),
    "answer": Operation(settle("yes"), mail, ask(key="k")),
    "answer by force": Operation(settle("no", force=True), mail, answered),
    "answer late": Operation(settle("yes"), mail, ask(expires=NOW, default="no")),
    "take an answer": Operation(lambda place: Mailbox(place.store).take("w-1", NOW), mail, answered),
    "withdraw": Operation(withdraw, mail, ask(key="k")),
    "expire two": Operation(
        lambda place: Mailbox(place.store).expire(NOW), mail, twice(ask(expires=NOW, default="no")), between=1
    ),
    "give up": Operation(
        lambda place: Mailbox(place.store).strand(lambda: {"w": NEXT}, NOW, NOW),
        mail,
        ask(key="k", generation=BORN),
        between=1,
    ),
    "put away": Operation(lambda place: Mailbox(place.store).archive(ALL_BEFORE), mail, answered, between=1),
    "tell": Operation(tell("one"), words, again=False),
    "told two": Operation(hear, words, tell("one", "two"), between=1),
    "told and tidied up": Operation(
        hear_later, words, lambda place: (tell("old")(place), hear(place), tell("new")(place)), between=1, again=False
    ),
    "untell two": Operation(
        lambda place: Tells(place.store, 0).discard("w"),
        words,
        lambda place: (tell("one", "two")(place), tell("other", worker="v")(place)),
        between=1,
    ),
    "push": Operation(push, pushed, ask(), post),
    "reply": Operation(reply, replied, ask()),
}
