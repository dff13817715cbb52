"""Leases: `claims/<name>.json`, who works on what. A lease is worth as much as its session: it ends with it.

Note [Bytes as identity]
A lease is changed or removed only while it holds the very bytes that were judged, and each acquisition writes a nonce,
so that no two are alike. Whoever judged an older generation therefore cannot take away the lease of a newer one, though
both may bear the same session id. Bodies of older versions, `{session,name}`, are read as they are.

Note [Empty]
We write a lease in one step; older versions created the file first. One that is empty is being written for its first
ten seconds, and debris afterwards. Anything else without a holder is debris at once.
"""

import os
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from looop.model.errors import Invalid, Refused, Unreadable
from looop.model.ids import is_id, require_id
from looop.state.codec import encode_record, names_in
from looop.store.protocol import Blob, Store

_FOLDER = "claims"
_ROUNDS = 8
_WAIT_S = 0.025
_GRACE_S = 10

IsAlive = Callable[[str], bool]


class Won(Struct, frozen=True):
    """The lease is ours now: it was free, or its holder is gone."""


class AlreadyOwned(Struct, frozen=True):
    """The session held the lease before; it has been refreshed."""


class HeldByLive(Struct, frozen=True):
    """Another session holds the lease and lives, or may live."""

    holder: str


Claimed = Won | AlreadyOwned | HeldByLive


class _Lease(Struct, frozen=True):
    session: str
    name: str
    ts: int
    nonce: str


class _Holder(Struct, frozen=True):
    session: str = ""


class Leases:
    """The claims as they stand on disk, and how they change hands. Source: spec/workers.md §8, edge cases 185-195.

    `is_alive` tells whether a session lives; where it raises Unreadable the session is taken for alive.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def all(self) -> dict[str, Any]:
        """Each lease's record as JSON by name, None where it does not parse. Raises Unreadable for the folder."""
        return {name: self._record(name) for name in names_in(self._store, _FOLDER, ".json")}

    def claim(self, name: str, session: str, now: int, is_alive: IsAlive, pause: Callable[[float], object]) -> Claimed:
        """Take the lease `name` for a session; of many callers exactly one wins, and nobody ever sees it half taken.

        `pause` lets seconds pass while an older version writes. Raises Invalid, Refused when it keeps changing hands,
        Unreadable, Unwritable.
        """
        key, fresh = _key(name), _body(name, session, now)
        for _ in range(_ROUNDS):
            if self._store.create(key, fresh):
                return Won()
            blob = self._store.read(key)
            if blob is None:
                continue
            if _is_in_flight(blob, now):
                pause(_WAIT_S)
                continue
            holder = _holder(blob)
            if holder != session and _may_live(holder, is_alive):
                return HeldByLive(holder)
            if self._store.swap(key, blob.data, fresh):
                return AlreadyOwned() if holder == session else Won()
        raise Refused(f"claim {name}: it keeps changing hands, or is being written: try again in some seconds")

    def unclaim(self, name: str, session: str, is_alive: IsAlive) -> bool:
        """Give a lease up; True once it is nobody's. False, and nothing is changed, where another session may need it.

        Raises Invalid, Unreadable, Unwritable.
        """
        key = _key(name)
        _require_session(session)
        blob = self._store.read(key)
        if blob is None:
            return True
        holder = _holder(blob)
        if holder != session and _may_live(holder, is_alive):
            return False
        return self._store.swap(key, blob.data, None)

    def reap(self, alive: set[str], is_alive: IsAlive, now: int) -> list[tuple[str, str]]:
        """Remove the leases nobody holds; their names with who held them, "" for nobody.

        `alive` are the sessions that lived when the fleet was listed; a holder that is not among them is asked for once
        more, since it may have started meanwhile. A lease that cannot be read stays. Raises Unreadable for the folder,
        Unwritable.
        """
        reaped = []
        for name in names_in(self._store, _FOLDER, ".json"):
            blob = self._read(name)
            if blob is None or _is_in_flight(blob, now):
                continue
            holder = _holder(blob)
            lives = holder in alive or _may_live(holder, is_alive)
            if not lives and self._store.swap(f"{_FOLDER}/{name}.json", blob.data, None):
                reaped.append((name, holder))
        return reaped

    def _read(self, name: str) -> Blob | None:
        try:
            return self._store.read(f"{_FOLDER}/{name}.json")
        except Unreadable:
            return None

    def _record(self, name: str) -> Any:
        blob = self._read(name)
        try:
            return msgspec.json.decode(blob.data) if blob else None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None


def _key(name: str) -> str:
    return f"{_FOLDER}/{require_id(name, 'claim')}.json"


def _body(name: str, session: str, now: int) -> bytes:
    """See Note [Bytes as identity]."""
    return encode_record(_Lease(_require_session(session), name, now, os.urandom(8).hex()))


def _require_session(session: str) -> str:
    if not session:
        raise Invalid("a lease belongs to a session, and this is none: say whose it is with --session S")
    return require_id(session, "session id")


def _holder(blob: Blob) -> str:
    """Who holds the lease, "" for nobody."""
    try:
        return msgspec.json.decode(blob.data, type=_Holder).session
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def _is_in_flight(blob: Blob, now: int) -> bool:
    """See Note [Empty]."""
    return not blob.data and now * 10**9 - blob.mtime_ns < _GRACE_S * 10**9


def _may_live(holder: str, is_alive: IsAlive) -> bool:
    """Whether a holder must be respected. What is no session id names no session."""
    try:
        return is_id(holder) and is_alive(holder)
    except Unreadable:
        return True
