"""The child of a decide that asks a model API: `python -m looop.decide.model --settings JSON`, the prompt on stdin.

It is started, bounded, killed and read like any runner. It prints the events of decide/stream_model.py, ends with 0
when it has handed over one JSON object and with 1 otherwise, and never shows a traceback or the key.

Note [Silence]
What the SDKs log or warn of may hold whole requests, so their stderr leads nowhere; and every text is searched for the
key before it is printed, since an endpoint may send back what it was sent.

Note [Time]
The process is killed at its deadline. It gives up a little before, so that the reason is told; a pause that the
endpoint asks for and that does not fit is not waited for.
"""

import io
import itertools
import resource
import select
import signal
import sys
from contextlib import suppress
from time import monotonic
from typing import Any

import msgspec

from looop.config import api as config
from looop.config.api import ModelApi
from looop.decide.model_answer import Failed, Reply, decision_in, one_line
from looop.decide.model_fault import Fault, fault_of, not_json
from looop.decide.model_wire import Asked, Bend, Body, Wire
from looop.decide.stream_base import whole
from looop.model.errors import LooopError

_TRIES = 3
_FIRST_PAUSE_S = 0.5
_CONNECT_S = 10.0
_NO_DEADLINE_S = 1800.0
_MARGIN_S = 2.0
_SHORTEST_SECRET = 6
_MOST_MEMORY = 1 << 30


class Voice:
    """Prints events. What is said of the key is that it is one."""

    def __init__(self) -> None:
        self.secret = ""

    def say(self, kind: str, **fields: Any) -> None:
        """Print one event."""
        shortest = len(self.secret) if kind == "result" else _SHORTEST_SECRET
        clean = {name: self._clean(value, shortest) for name, value in fields.items()}
        line = msgspec.json.encode({"type": f"looop.{kind}", **clean}).decode()
        print(line, flush=True)  # noqa: T201  the child's stdout is its protocol

    def _clean(self, value: Any, shortest: int) -> Any:
        """The value without the key, nor its beginning where a text was cut in the middle of it."""
        if not isinstance(value, str):
            return value
        for length in range(len(self.secret), max(shortest, _SHORTEST_SECRET) - 1, -1):
            value = value.replace(self.secret[:length], "[the key]")
        return whole(value)


class Asking:
    """One decide: requests until there is an answer, no more is allowed, or time is up."""

    def __init__(self, api: ModelApi, wire: Wire, voice: Voice, ends: float) -> None:
        self._api, self._wire, self._voice, self._ends = api, wire, voice, ends
        self._bends = list(wire.bends)

    def reply(self, asked: Asked) -> Reply:
        """The answer, metered. Raises Failed."""
        body, tries = self._wire.body(asked), itertools.count(1)
        while True:
            try:
                return self._once(body)
            except self._wire.sdk.APIError as error:
                fault = fault_of(error, self._api)
            if bend := self._bend_for(fault):
                bend.change(body)
                self._voice.say("retry", why=f"{bend.said}: {fault.text}", wait_s=0)
            else:
                self._pause(fault, next(tries))

    def _once(self, body: Body) -> Reply:
        size = len(msgspec.json.encode(body))
        self._voice.say("request", label=self._api.label, host=self._api.base_url, bytes=size)
        left = self._ends - monotonic()
        if left <= 0:
            raise Failed("the time of this decide was over before it could ask (LOOOP_TICK_TIMEOUT_SECS)")
        response = self._wire.send(body, self._wire.sdk.Timeout(left, connect=min(left, _CONNECT_S)))
        reply = self._wire.read(self._decoded(response))
        self._meter(reply)
        return reply

    def _decoded(self, response: Any) -> Body:
        try:
            answer = msgspec.json.decode(response.content)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise Failed(not_json(self._api, response.headers.get("content-type", ""), response.text))
        return answer

    def _meter(self, reply: Reply) -> None:
        """Tell what the answer used. No answer is made of no tokens: such a figure is none."""
        from looop.decide.model_price import cost_of

        model = reply.model or self._api.model
        tokens = reply.tokens if reply.tokens and reply.tokens.total else None
        self._voice.say("usage", model=model, tokens=tokens, cost_usd=cost_of(self._api, model, tokens))

    def _bend_for(self, fault: Fault) -> Bend | None:
        """What a refused request can be changed into, each change once."""
        for bend in self._bends if fault.status in (400, 422) else ():
            if bend.words.search(fault.text):
                self._bends.remove(bend)
                return bend
        return None

    def _pause(self, fault: Fault, tried: int) -> None:
        """Wait before the next try. Raises Failed when there is none. See Note [Time]."""
        wait = fault.wait_s if fault.wait_s is not None else _FIRST_PAUSE_S * 2 ** (tried - 1)
        again = f" (asked {tried} times)" if tried > 1 else ""
        if not fault.retry or tried == _TRIES:
            raise Failed(fault.text + again)
        if wait >= self._ends - monotonic():
            raise Failed(f"{fault.text}{again}; it wants a pause of {wait:.0f}s, longer than this decide has")
        self._voice.say("retry", why=fault.text, wait_s=wait)
        select.select((), (), (), wait)


def main(argv: list[str]) -> int:
    """Ask once and return the exit status. Never raises."""
    voice, sys.stderr = Voice(), io.StringIO()
    try:
        voice.say("result", structured=_decide(argv, voice))
    except (Failed, LooopError) as error:
        voice.say("error", error=one_line(str(error), 380))
        return 1
    except Exception as error:  # noqa: BLE001  the top of a process: a line, never a traceback
        voice.say("error", error=one_line(f"the model runner broke: {type(error).__name__}: {error}", 380))
        return 1
    return 0


def _decide(argv: list[str], voice: Voice) -> str:
    began, deadline = monotonic(), config.deadline_s()
    limit = deadline - min(_MARGIN_S, deadline / 4) if deadline else _NO_DEADLINE_S
    api = _settings(argv)
    voice.secret = key = config.read_key(api)
    config.forget_sdk_settings()
    asked = _asked(sys.stdin.buffer.read(), config.stable_bytes())
    _bound(limit + _MARGIN_S / 4)
    return decision_in(Asking(api, _wire(api, key), voice, began + limit).reply(asked), api.max_tokens)


def _bound(seconds: float) -> None:
    """Give up when the time is over, however the endpoint drips, and before an endless answer fills the memory."""

    def over(*_: object) -> None:
        raise Failed(f"the endpoint had not answered after {seconds:.0f}s (LOOOP_TICK_TIMEOUT_SECS)")

    signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.1))
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _settings(argv: list[str]) -> ModelApi:
    try:
        return msgspec.json.decode(argv[argv.index("--settings") + 1], type=ModelApi)
    except (ValueError, IndexError) as error:
        raise Failed(f"{error}: looop starts this program, with --settings, for a runner with a `provider`") from None


def _asked(prompt: bytes, stable: int) -> Asked:
    """The prompt in its two parts; in one when the place given is none."""
    return Asked(*(part.decode("utf-8", "replace") for part in (prompt[:stable], prompt[stable:])))


def _wire(api: ModelApi, key: str) -> Wire:
    if api.provider == "anthropic":
        from looop.decide.model_anthropic import AnthropicWire

        return AnthropicWire(api, key)
    from looop.decide.model_openai import OpenaiWire

    return OpenaiWire(api, key)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
