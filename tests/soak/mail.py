"""No question lost, no answer lost or overwritten, no message lost or told twice: the disk against the ledger."""

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.soak.crew import IDS, Crew
from tests.soak.heard import Call, Log
from tests.soak.ledger import Act, Register
from tests.soak.people import People, Said

Record = dict[str, Any]
_FIXED = ("id", "worker", "prompt", "ts", "key", "expires", "default", "options", "urgency")
_LATE_S = 3


class Mail:
    """The questions, answers and messages of one data dir, as they were seen last."""

    def __init__(self, root: Path, crew: Crew, people: People) -> None:
        self.root, self.crew, self.people = root, crew, people
        self.log = Log(crew.log)
        self.asks: dict[str, Record] = {}
        self.seen: dict[str, tuple[object, float]] = {}
        self._withdrawals: dict[tuple[str, int, int], Act] = {}
        self._ended: list[Call] = []
        self._got: list[Call] = []

    def check(self) -> list[str]:
        """What is wrong now, however far the processes are.

        What has ended before the disk is read must be there; what began before that was over may be.
        """
        self.people.calls.gather()
        self.listen()
        self._close()
        now, answers, asks = time.monotonic(), self._records("answers"), self._records("asks")
        self.listen()
        return [
            *self._check_asks(asks),
            *self._check_answers(answers, now),
            *self._check_got(answers),
            *self._check_tells(),
        ]

    def late(self) -> list[str]:
        """What is not yet as it must be once the loop has come to rest."""
        answers, asks = self._records("answers"), self._records("asks")
        self.listen()
        open_ones = {name: ask for name, ask in asks.items() if name not in answers}
        return [*self._unsettled(open_ones), *self._waiting_in_vain(answers, asks)]

    def _unsettled(self, open_ones: dict[str, Record]) -> Iterator[str]:
        for name, ask in open_ones.items():
            if ask["worker"] not in IDS:
                continue
            if ask.get("expires") and ask["expires"] < time.time() - _LATE_S:
                yield f"ask {name} is due, and not settled"
            if not ask["key"] and ask["generation"] != self.crew.began(ask["worker"]):
                yield f"ask {name} of a session that is over is not settled (generation {ask['generation']})"

    def _waiting_in_vain(self, answers: dict[str, Record], asks: dict[str, Record]) -> Iterator[str]:
        """A worker whose question nobody can see, or whose answer does not come."""
        for worker in IDS:
            call = self.log.latest(worker, self.crew.generation[worker]) if self.crew.is_asking(worker) else None
            if call is None or call.what != "ask" or call.code is not None:
                continue
            mine = [ask for ask in asks.values() if _is_about(call, ask)]
            if not mine:
                yield f"{worker} waits for an answer to {call.about!r}, which is not on record"
            elif all(ask["id"] in answers for ask in mine):
                yield f"{worker} waits for an answer to {call.about!r}, which is there"

    def listen(self) -> None:
        """Read on in the workers' log: their withdrawals are acts like any other."""
        self._ended += self.log.read()
        for call in self.log.withdrawals():
            if call.id not in self._withdrawals:
                place, why = self.people.of(call.about), call.options[1]
                self._withdrawals[call.id] = place.begin(("withdrawn", why), call.begin, forced=False)

    def _close(self) -> None:
        """What has ended by now is what it has come to."""
        for call in self._ended:
            if call.what == "withdraw":
                act = self._withdrawals[call.id]
                act.fate, act.end = call.fate, call.end
        self._got += [call for call in self._ended if call.what == "ask"]
        self._ended = []

    def _check_asks(self, asks: dict[str, Record]) -> Iterator[str]:
        """Every question stays as it was put; one call is one question, until its worker has had the answer."""
        for name, before in self.asks.items():
            if name not in asks:
                yield f"ask {name} is gone: {before}"
            elif changed := [key for key in _FIXED if asks[name].get(key) != before.get(key)]:
                yield f"ask {name} has changed in {changed}: {before} became {asks[name]}"
        self.asks |= asks
        untaken = defaultdict(list)
        for name, ask in asks.items():
            if ask["key"] and not ask.get("taken"):
                untaken[ask["prompt"]].append(name)
        for prompt, names in untaken.items():
            if len(names) > 1:
                yield f"{prompt!r} is on record as {names}"

    def _check_answers(self, answers: dict[str, Record], now: float) -> Iterator[str]:
        """Each question is settled once; what was promised stands."""
        for name, ask in self.asks.items():
            place, found = self.people.settled.get(name, Register()), answers.get(name)
            value = _settlement(found)
            seen, when = self.seen.get(name, (None, now))
            if why := place.settled_twice():
                yield f"ask {name} {why}"
            if value != seen and seen is not None and not place.may_change(when):
                yield f"ask {name} was settled as {seen}, and now is {value}"
            if value is not None:
                self.seen[name] = (value, now if value != seen else when)
            if value is None or value[0] in ("answered", "withdrawn"):
                if why := place.wrong(value):
                    yield f"ask {name} {why}"
            elif place.done:
                yield f"ask {name} is {value}, after {place.done[0].value} was promised"
            elif value[0] == "expired" and (found or {}).get("answer") != ask.get("default", ""):
                yield f"ask {name} expired with {value}, and has the default {ask.get('default')!r}"

    def _check_got(self, answers: dict[str, Record]) -> Iterator[str]:
        """What a worker went on with is what was said to one of its questions of that name."""
        got, self._got = self._got, []
        for call in got:
            mine = [name for name, ask in self.asks.items() if _is_about(call, ask)]
            ask_id, outcome = call.refusal
            if "Traceback" in call.err:
                yield f"{call.id}: {call.err}"
            elif call.answer:
                said = {self._text_of(name, answers) for name in mine} | self._replaced(mine)
                if call.answer not in said:
                    yield f"{call.id} asked {call.about!r} and got {call.answer!r}, which nobody said to {mine}: {said}"
            elif call.code and call.code > 0 and (answers.get(ask_id) or {}).get("outcome", "answered") != outcome:
                why = call.err.strip()
                yield f"{call.id} asked {call.about!r} in vain ({why}), but {ask_id} is {answers.get(ask_id)}"

    def _text_of(self, name: str, answers: dict[str, Record]) -> object:
        return (answers.get(name) or {}).get("answer")

    def _replaced(self, names: list[str]) -> set[object]:
        """Answers that may have stood there and were replaced by force."""
        found: set[object] = set()
        for name in names:
            acts = self.people.settled.get(name, Register()).acts
            if any(act.forced and act.may_stand for act in acts):
                found |= {act.value[1] for act in acts if act.may_stand and isinstance(act.value, tuple)}
        return found

    def _check_tells(self) -> Iterator[str]:
        """A message waits, was taken by one call, or has gone with its worker; a call that ended has printed it."""
        before = {row["msg"] for row in self._records("tells/consumed").values()}
        waiting, taken = self._records("tells"), self._records("tells/consumed")
        times = Counter(row["msg"] for row in taken.values())
        times.update(row["msg"] for row in waiting.values() if row["msg"] in before or row["msg"] not in times)
        for msg, count in (times | self.log.heard).items():
            if count > 1:
                yield f"{msg!r} was told {count} times"
        for msg in self.log.heard.keys() - {row["msg"] for row in taken.values()}:
            yield f"{msg!r} was heard, and is not put away"
        for msg, said in self.people.tells.items():
            if said.fate == "done" and msg not in times and not self._went(said):
                yield f"{msg!r} was told to {said.worker}, and is lost"
        whole = {(call.worker, call.pid) for call in self.log.calls.values() if call.is_whole}
        for name, row in taken.items():
            if row["msg"] not in self.log.heard and (row["worker"], int(name.split(".")[1])) in whole:
                yield f"{row['msg']!r} was taken by a call of {row['worker']} that ended without printing it"

    def _went(self, said: Said) -> bool:
        """Whether it may have gone with its worker: another one of that id has begun since."""
        return self.crew.generation[said.worker] > said.generation

    def _records(self, folder: str) -> dict[str, Record]:
        """All records of a folder by name. One that cannot be decoded was never whole."""
        found = {}
        for file in (self.root / folder).glob("[!.]*.json"):
            try:
                found[file.stem] = {"key": "", "generation": 0} | json.loads(file.read_bytes())
            except FileNotFoundError:
                continue
            except ValueError:
                found[file.stem] = {
                    "worker": "torn",
                    "key": "",
                    "prompt": f"torn {file.name}",
                    "answer": "torn",
                    "msg": "torn",
                }
        return found


def _is_about(call: Call, ask: Record) -> bool:
    """Whether this may be the question of that call: its words, or its name for it."""
    return bool(ask["worker"] == call.worker and (ask["prompt"] == call.about or (call.key and ask["key"] == call.key)))


def _settlement(found: Record | None) -> tuple[str, object] | None:
    return None if found is None else (found.get("outcome", "answered"), found.get("answer"))
