"""What the workers that ask have on record of their calls, and whether what they got is what was said."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from msgspec import Struct

from looop.contract.questions import STEERED
from tests.soak.ledger import Fate, fate_of

_BULLET = "• "
_WHY = re.compile(r"ask (\S+) was (withdrawn)|nobody answered ask (\S+) within|ask (\S+) is (stranded)")


class Call(Struct):
    """One call of a worker; `code` is None while it runs, or when its worker was killed meanwhile."""

    worker: str
    generation: int
    call: int
    what: str
    about: str
    options: list[str]
    begin: float
    pid: int = 0
    code: int | None = None
    out: str = ""
    err: str = ""
    end: float = 0.0

    @property
    def id(self) -> tuple[str, int, int]:
        return self.worker, self.generation, self.call

    @property
    def is_whole(self) -> bool:
        """Whether it came to its own end."""
        return self.code is not None and self.code >= 0

    @property
    def fate(self) -> Fate:
        """As an act of the ledger."""
        return fate_of(self.code)

    @property
    def key(self) -> str:
        return self._option("--key")

    @property
    def default(self) -> str:
        return self._option("--default")

    @property
    def steering(self) -> list[str]:
        """The messages that it printed."""
        head = self.out.partition("\n---\n")[0] if self.out.startswith(STEERED) else ""
        lines = self.out if self.what == "told" else head
        return [line.removeprefix(_BULLET) for line in lines.splitlines() if line.startswith(_BULLET)]

    @property
    def answer(self) -> str:
        """The answer that it printed; empty for none."""
        if self.what != "ask":
            return ""
        body = self.out.partition("\n---\n")[2] if self.out.startswith(STEERED) else self.out
        return body.removesuffix("\n")

    @property
    def refusal(self) -> tuple[str, str]:
        """Which question it got no answer to, and why: how that one was settled. Empty for another reason."""
        found = _WHY.search(self.err)
        if not found:
            return "", ""
        ask_id = found[1] or found[3] or found[4]
        return ask_id.rstrip(":"), found[2] or found[5] or "expired"

    def _option(self, name: str) -> str:
        return self.options[self.options.index(name) + 1] if name in self.options else ""


class Log:
    """All calls, as far as they were read. `heard` counts how often each message was printed."""

    def __init__(self, path: Path) -> None:
        self._path, self._at = path, 0
        self.calls: dict[tuple[str, int, int], Call] = {}
        self.heard: Counter[str] = Counter()

    def read(self) -> list[Call]:
        """What is new since the last time: the calls that have ended."""
        ended = []
        for row in self._rows():
            call = Call(**row)
            self.calls[call.id] = call
            if call.code is not None:
                self.heard.update(call.steering)
                ended.append(call)
        return ended

    def _rows(self) -> list[dict[str, Any]]:
        if not self._path.exists():
            return []
        with open(self._path, "rb") as file:
            file.seek(self._at)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._at += len(whole)
        return [json.loads(line) for line in whole.splitlines()]

    def waiting(self) -> dict[int, Call]:
        """The questions that are being asked, by the pid of who asks."""
        return {call.pid: call for call in self.calls.values() if call.what == "ask" and call.pid and call.code is None}

    def withdrawals(self) -> list[Call]:
        return [call for call in self.calls.values() if call.what == "withdraw"]

    def latest(self, worker: str, generation: int) -> Call | None:
        """The last call that this generation has begun."""
        mine = [call for call in self.calls.values() if (call.worker, call.generation) == (worker, generation)]
        return max(mine, key=lambda call: call.call, default=None)

    def killed(self) -> Counter[str]:
        """How many calls the workers have killed themselves, by verb, and what else killed them."""
        return Counter(call.what for call in self.calls.values() if call.code is not None and call.code < 0)
