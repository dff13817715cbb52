"""The acts around a question: the worker asks, the loop goes on meanwhile, a person answers, the worker goes on."""

import json
from time import monotonic

from msgspec import Struct

from looop.clients.demo.person import Person
from looop.clients.demo.props import GOAL, MARK
from looop.clients.demo.stage import LOOK_S, Stage, seen_in
from looop.model.records import Ask

ASKED = ["ask", "answer"]
_ASK_S, _ANSWER_S, _GLANCE_S = 60, 10, 0.001


class Exchange(Struct, frozen=True):
    """A question that was settled: what the worker was told, and for how many seconds a person was waited for."""

    ask: Ask
    answer: str
    waited_s: float


def settle(stage: Stage, person: Person) -> Exchange:
    """From the question to the worker that goes on. Raises NotAsPromised, and what the person's answer raises."""
    ask = _hear(stage)
    _meanwhile(stage, ask)
    return _answer(stage, ask, person)


def record_of(stage: Stage, ask_id: str = "") -> list[str]:
    """What the event log has about a question, or about all of them, in order."""
    rows = [json.loads(row) for row in stage.contract.events(1000)]
    return [row["event"] for row in rows if row.get("ask_id") and ask_id in ("", row["ask_id"])]


def _hear(stage: Stage) -> Ask:
    """The worker's question as `looop asks` shows it."""
    began = monotonic()

    def question() -> Ask | None:
        row = stage.contract.worker(GOAL).row
        stage.expect(row.alive, f"worker {GOAL} to ask", row.derived_from)
        return next(iter(stage.contract.asks().pending), None)

    ask = stage.until(question, "ask", _ASK_S, LOOK_S)
    stage.page.scene("The worker asks: whether this was meant is for a person to say", f"{_ms(began)} ms")
    stage.page.item("$ looop asks", "command")
    shown = stage.ground.looop("asks")
    stage.page.quote(shown)
    stage.expect(ask.id in shown and ask.worker == GOAL, f"a question of {GOAL}", shown)
    return ask


def _meanwhile(stage: Stage, ask: Ask) -> None:
    """A beat, while the worker waits: the loop waits for nobody."""
    report, ms = stage.beat()
    stage.show("the worker waits, the loop does not", report, ms, briefly=True)
    row, calls = stage.contract.worker(GOAL).row, stage.ground.model_calls()
    stage.page.row("worker", f"{row.health}: {row.derived_from}")
    stage.page.row("spent", f"nothing: {calls} model calls", "good")
    stage.expect(report.action == "noop", "a beat with nothing to do", seen_in(report))
    stage.expect(row.health == "waiting-ask" and row.ask == ask.id, f"{GOAL} to wait", row.derived_from)
    stage.expect(calls == 0, "no model to be asked", f"{calls} model calls")


def _answer(stage: Stage, ask: Ask, person: Person) -> Exchange:
    """Give the answer, and see the worker go on with it. What it was told it writes down itself."""
    stage.page.gap()
    began = monotonic()
    text, who = person.answer(ask, lambda: _pending(stage, ask))
    waited_s, given = monotonic() - began, monotonic()
    if text:
        stage.contract.answer(ask.id, text)
    heard = stage.until(lambda: _heard(stage), "go on once it is answered", _ANSWER_S, _GLANCE_S)
    took = f"answer → worker went on: {_ms(given)} ms" if text else ""
    stage.page.row("answer", f"{heard} ({who if text else 'given elsewhere'})", "good")
    stage.page.row("took", took or "not measured: it was not given here")
    record = record_of(stage, ask.id)
    stage.page.row("events", f"{', '.join(record)}: one question, one answer")
    stage.expect(not text or heard == text, f"the worker to hear {text!r}", f"it heard {heard!r}")
    stage.expect(record == ASKED, "one question and one answer on record", f"there are {record}")
    stage.expect(not _pending(stage, ask), f"{ask.id} to wait no more", "it is still pending")
    return Exchange(ask, heard, waited_s)


def _pending(stage: Stage, ask: Ask) -> bool:
    return any(waits.id == ask.id for waits in stage.contract.asks().pending)


def _heard(stage: Stage) -> str | None:
    """What the worker has written down, once it is whole."""
    text = stage.ground.read(MARK)
    return text[:-1] if text.endswith("\n") else None


def _ms(since: float) -> int:
    return round((monotonic() - since) * 1000)
