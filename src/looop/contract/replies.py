"""Answers that come over the network: who signed them, when, whether they were taken before, and what becomes of them.

Note [Signed]
A text is signed together with its time and its nonce, which stand in it: HMAC-SHA256 over `ts.nonce.text`, by the
token. A reply counts for five minutes, once: its nonce is on disk before it is carried out, so that no restart lets it
in again. A push is signed the same way, and has no field `ask`, so it cannot be sent back as a reply.
"""

import hmac
import os
import re
from hashlib import sha256
from threading import Lock

import msgspec
from msgspec import Struct

from looop.contract.targets import read_secret
from looop.contract.verbs import Contract
from looop.model.errors import Corrupt, Invalid, LooopError, Missing, Refused
from looop.model.notices import Nonce
from looop.model.records import Answer
from looop.model.text import to_json
from looop.state.house import House
from looop.state.notices import Nonces

TOKEN = "notify.token"
SIGNATURE = "X-Looop-Signature"
FRESH_S = 300
_NONCE = re.compile(r"[A-Za-z0-9_-]{8,64}")
_TOKEN = re.compile(r"[\x21-\x7e]{16,200}")


class Said(Struct, frozen=True):
    """What the sender of a reply gets: an HTTP status, and a sentence."""

    status: int
    text: str

    @property
    def line(self) -> bytes:
        """One line of JSON."""
        return to_json({"ok": self.status == 200, "message" if self.status == 200 else "error": self.text}) + b"\n"


class _Reply(Struct, frozen=True):
    ask: str
    ts: int
    nonce: str
    answer: str | None = None
    option: int | None = None


class Replies:
    """Takes replies that were signed with `token`, one at a time; for any thread."""

    def __init__(self, contract: Contract, house: House, token: str) -> None:
        self._contract, self._house, self._token = contract, house, token
        self._nonces = Nonces(house.store)
        self._one = Lock()

    def take(self, signature: str, body: bytes) -> Said:
        """Carry a reply out if it is genuine, fresh and new. Never raises for what came in. See Note [Signed]."""
        try:
            reply = msgspec.json.decode(body, type=_Reply)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return Said(400, "expected JSON: {ask, answer or option, ts, nonce}")
        now = self._house.setting.clock.now()
        if not _NONCE.fullmatch(reply.nonce) or not is_signed(self._token, reply.ts, reply.nonce, body, signature):
            return Said(401, f"the signature does not fit: {SIGNATURE}: sha256=HMAC of ts.nonce.body")
        if abs(now - reply.ts) > FRESH_S:
            return Said(401, f"signed more than {FRESH_S} s ago, or in the future: sign it anew")
        with self._one:
            try:
                if not self._nonces.take(Nonce(reply.ts, reply.nonce), now - FRESH_S):
                    return Said(409, "this reply was taken already: each needs a nonce of its own")
                return self._answer(reply)
            except LooopError as error:
                return Said(503, str(error))

    def _answer(self, reply: _Reply) -> Said:
        try:
            if (reply.answer is None) == (reply.option is None):
                raise Invalid("expected either an answer or an option")
            said = self._contract.answer(reply.ask, reply.answer or "", option=reply.option, by="notify")
            return Said(200, said)
        except Missing as error:
            return Said(404, str(error))
        except Invalid as error:
            return Said(400, str(error))
        except (Refused, Corrupt) as error:
            settled = self._house.mailbox.answer_of(reply.ask)
            gone = settled is None or (isinstance(settled, Answer) and settled.outcome != "answered")
            return Said(410 if gone else 409, str(error))


def is_signed(token: str, ts: int, nonce: str, body: bytes, signature: str) -> bool:
    """Whether the signature is the one of the token; the time this takes tells nothing."""
    return hmac.compare_digest(sign(token, ts, nonce, body).encode(), signature.encode("utf-8", "replace"))


def sign(token: str, ts: int, nonce: str, body: bytes) -> str:
    """The value of the signature's header. See Note [Signed]."""
    return "sha256=" + hmac.new(token.encode(), f"{ts}.{nonce}.".encode() + body, sha256).hexdigest()


def token_of(house: House, path: str = "") -> str:
    """The token in that file; else the data dir's own, which is made when it is missing, for nobody else to read.

    Call it before there are threads. Raises Unreadable, Unwritable, Refused, Invalid.
    """
    if not path:
        before = os.umask(0o077)
        try:
            house.store.create(TOKEN, os.urandom(32).hex().encode() + b"\n")
        finally:
            os.umask(before)
        path = os.path.join(house.setting.root, TOKEN)
    token = read_secret(path, "token file").strip()
    if not _TOKEN.fullmatch(token):
        raise Invalid(f"the token file {path} does not hold a token: expected one line of 16 to 200 characters")
    return token
