"""Tells: what a person has to say to a worker, each delivered at most once. Source: spec/workers.md §10.

Note [Won, then read]
Ids of tells are used again. Whoever has moved one away has won it, and delivers what it reads in its own copy: what it
had seen under that name before may have been somebody else's, and have gone. What cannot be read just then is put back.
"""

import os
from collections import Counter

from msgspec import Struct

from looop.model.errors import LooopError, Refused
from looop.model.ids import index_of, next_numbered
from looop.model.records import Fault, Tell
from looop.state.codec import discard, encode_record, names_in, read_record
from looop.store.protocol import Store

_TRIES = 20
_TAKEN = "tells/consumed"


class Told(Struct, frozen=True):
    """What was delivered, oldest first, and what could not be, as sentences."""

    tells: list[Tell]
    damaged: list[str]


class Tells:
    """`tells/<worker>-<n>.json`, moved to `tells/consumed/` when it is delivered. Edge cases 203-207, 211, 212, 273.

    `keep_s` is how long what was delivered is kept, 0 for good.
    """

    def __init__(self, store: Store, keep_s: int) -> None:
        self._store, self._keep_s = store, keep_s

    def tell(self, worker: str, msg: str, now: int) -> Tell:
        """Leave a message for a worker. Raises Refused, Unreadable, Unwritable."""
        for _ in range(_TRIES):
            new_id = next_numbered(worker, names_in(self._store, "tells", ".json"))
            tell = Tell(id=new_id, worker=worker, msg=msg, ts=now)
            if self._store.create(_key(new_id), encode_record(tell)):
                return tell
        raise Refused(f"{worker} is told too much at once: try again in some seconds")

    def drain(self, worker: str, now: int) -> Told:
        """Take what waits for a worker; of many at once one gets each message. Raises Unreadable for the folder.

        What cannot be taken stays for the next time, and is in `damaged`. See Note [Won, then read].
        """
        tells, damaged = [], self._expire(now)
        for name in names_in(self._store, "tells", ".json"):
            found = read_record(self._store, _key(name), Tell)
            try:
                won = self._take(name, found) if isinstance(found, Tell) and found.worker == worker else None
            except LooopError as error:
                damaged.append(f"{error}: it stays for the next time")
                continue
            tells += [won] if isinstance(won, Tell) else []
            damaged += [fault.why for fault in (found, won) if isinstance(fault, Fault)]
        damaged += [f"tell {tell.id} is of a newer version ({tell.v}): read as it is" for tell in tells if tell.v > 1]
        return Told(sorted(tells, key=lambda tell: (tell.ts, index_of(tell.id, worker) or 0)), damaged)

    def waiting(self) -> Counter[str]:
        """How many messages wait for each worker. Raises Unreadable."""
        names = names_in(self._store, "tells", ".json")
        records = [read_record(self._store, _key(name), Tell) for name in names]
        return Counter(tell.worker for tell in records if isinstance(tell, Tell))

    def discard(self, worker: str) -> None:
        """What was told to a worker and never read goes with it. Raises Unreadable, Unwritable."""
        for name in names_in(self._store, "tells", ".json"):
            tell = read_record(self._store, _key(name), Tell)
            if isinstance(tell, Tell) and tell.worker == worker:
                discard(self._store, _key(name))

    def _take(self, name: str, seen: Tell) -> Tell | Fault | None:
        taken = f"{_TAKEN}/{name}.{os.getpid()}.{os.urandom(6).hex()}.json"
        if not self._store.move(_key(name), taken):
            return None
        won = read_record(self._store, taken, Tell) or seen
        if isinstance(won, Fault) and won.kind == "unreadable":
            self._store.move(taken, _key(name))
        return won

    def _expire(self, now: int) -> list[str]:
        """Remove what was delivered and is older than it is to be kept; what resists, as sentences."""
        try:
            for entry in self._store.list(_TAKEN) if self._keep_s else []:
                if 0 <= entry.mtime_ns < (now - self._keep_s) * 10**9:
                    discard(self._store, f"{_TAKEN}/{entry.name}")
        except LooopError as error:
            return [str(error)]
        return []


def _key(tell_id: str) -> str:
    return f"tells/{tell_id}.json"
