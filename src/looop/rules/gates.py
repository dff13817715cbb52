"""The gates between sensing and deciding: skip, noop TTL, backoff, hourly cap. First to close wins.

Each gate answers from what it remembers; what it cannot read keeps it closed. Source: spec/beat.md §6,
design §3 rows 3 and 4, edge cases 21-44.

Note [Forced decides that fail]
A forced decide over an unchanged world leaves no trace in the hashes when it fails: the next beat would skip
and the force be lost. The failure record therefore carries `armed`, and an armed record forces until a decide
succeeds or a real change fails in its place. Source: edge case 267.
"""

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from looop.model.records import AttemptLedger, Backoff, Failure, Fault, NoopMark, ShellOutput
from looop.model.world import World

HOUR_S = 3600
FAILS_WHEN_UNREADABLE = 4
_MAX_SHIFT = 20


class Limits(Struct, frozen=True):
    """The knobs the gates judge by; seconds and counts, 0 switches a gate off (not `backoff_cap_s`)."""

    noop_ttl_s: int = 21600
    decides_per_hour: int = 120
    backoff_cap_s: int = 300
    flap_streak: int = 5


class Memory(Struct, frozen=True):
    """What the last beats left behind, each as a value, None (absent), or a Fault."""

    last_hash: str | Fault | None = None
    baseline: dict[str, str] | Fault | None = None
    backoff: Backoff | Fault | None = None
    noop: NoopMark | Fault | None = None
    attempts: AttemptLedger | Fault | None = None
    failure: Failure | Fault | None = None
    shell: ShellOutput | Fault | None = None
    activity: dict[str, int] = {}


class Note(Struct, frozen=True):
    """A fact to put on record: its name and fields (see model/facts.py)."""

    name: str
    fields: dict[str, Any] = {}


class Verdict(Struct, frozen=True):
    """Whether to idle, what to put on record, and the repaired backoff record if the old one could not be used."""

    idle: bool
    notes: tuple[Note, ...]
    backoff: Backoff | None = None

    @property
    def waits(self) -> bool:
        """Whether it idles only because of an earlier failure."""
        return self.idle and self.notes[-1].name == "tick_backoff"


def weigh(world: World, memory: Memory, limits: Limits, now: int, *, forced: bool) -> Verdict:
    """Whether this beat may decide."""
    skip = _unchanged(world, memory, limits, now, forced=forced)
    if skip.idle:
        return skip
    wait, cap = _backing_off(world, memory, limits, now), capped(memory, limits, now)
    return _join(skip, wait, cap) if cap.idle else _join(skip, cap, wait)


def backoff_delay(fails: int, cap_s: int) -> int:
    """Seconds to wait after `fails` failures in a row: 60, 120, 240 … up to the cap."""
    return min(60 << min(fails - 1, _MAX_SHIFT), cap_s) if fails > 0 else 0


def after_failure(world: World, memory: Memory, now: int, source: str = "") -> Backoff:
    """The backoff record after one more failure of `source`; a lost record counts as four."""
    before = memory.backoff
    known = before.fails if isinstance(before, Backoff) else 0
    fails = FAILS_WHEN_UNREADABLE if isinstance(before, Fault) else known + 1
    armed = world.hash == memory.last_hash
    return Backoff(hash=world.policy_hash, fails=fails, ts=now, armed=armed, source=source)


def waits_for_another(memory: Memory, source: str) -> bool:
    """Whether the wait that is on record was earned by somebody else than `source`."""
    return isinstance(memory.backoff, Backoff) and memory.backoff.source not in ("", source)


def with_attempt(memory: Memory, now: int) -> AttemptLedger:
    """The ledger with an attempt at `now`, cut to the last hour."""
    return AttemptLedger(ts=[*_recent(memory.attempts, now), now])


def _unchanged(world: World, memory: Memory, limits: Limits, now: int, *, forced: bool) -> Verdict:
    last = memory.last_hash
    if isinstance(last, Fault):
        return _closed(Note("guard_degraded", {"guard": "skip", "key": last.key, "error": last.why}))
    if last != world.hash:
        return _open()
    if forced or (isinstance(memory.backoff, Backoff) and memory.backoff.armed):
        return _open(Note("forced"))
    if _noop_is_old(world, memory.noop, limits.noop_ttl_s, now):
        return _open(Note("noop_revisit"))
    return _closed(Note("world_unchanged"))


def _noop_is_old(world: World, noop: NoopMark | Fault | None, ttl_s: int, now: int) -> bool:
    return isinstance(noop, NoopMark) and ttl_s > 0 and noop.hash == world.hash and now - noop.ts >= ttl_s


def _backing_off(world: World, memory: Memory, limits: Limits, now: int) -> Verdict:
    record = memory.backoff
    if record is None:
        return _open()
    repaired: Backoff | None = None
    notes: tuple[Note, ...] = ()
    if isinstance(record, Fault):
        notes = (Note("guard_degraded", {"guard": "backoff", "key": record.key, "error": record.why}),)
        record = repaired = Backoff(hash=world.policy_hash, fails=FAILS_WHEN_UNREADABLE, ts=now)
    elif record.ts > now:  # the clock was set back: the wait starts anew, or it would never end
        record = repaired = replace(record, ts=now)
    remaining = backoff_delay(record.fails, limits.backoff_cap_s) - (now - record.ts)
    if remaining <= 0:
        return Verdict(idle=False, notes=notes, backoff=repaired)
    if record.hash != world.policy_hash:
        return Verdict(idle=False, notes=(*notes, Note("backoff_cut", {"fails": record.fails})), backoff=repaired)
    waiting = Note("tick_backoff", {"fails": record.fails, "retry_in_s": remaining})
    return Verdict(idle=True, notes=(*notes, waiting), backoff=repaired)


def capped(memory: Memory, limits: Limits, now: int) -> Verdict:
    """Whether the hour has had all the attempts it may have. Source: spec/beat.md §6.3."""
    if limits.decides_per_hour == 0:
        return _open()
    attempts = memory.attempts
    if isinstance(attempts, Fault):
        note = Note("guard_degraded", {"guard": "hourly cap", "key": attempts.key, "error": attempts.why})
        return _open(note) if attempts.kind == "corrupt" else _closed(note)
    recent, notes = _recent(attempts, now), _unusable(attempts)
    if len(recent) < limits.decides_per_hour:
        return _open(*notes)
    return _closed(*notes, Note("tick_capped", {"retry_in_s": min(recent) + HOUR_S - now}))


def _recent(attempts: AttemptLedger | Fault | None, now: int) -> list[int]:
    if not isinstance(attempts, AttemptLedger):
        return []
    return [ts for ts in attempts.ts if type(ts) is int and abs(now - ts) < HOUR_S]


def _unusable(attempts: AttemptLedger | None) -> list[Note]:
    """Entries that are no times are left out, and said. Source: spec/beat.md §6.3."""
    count = sum(type(ts) is not int for ts in attempts.ts) if attempts else 0
    said = {"guard": "hourly cap", "error": f"{count} entries are no times and do not count"}
    return [Note("guard_degraded", said)] if count else []


def _open(*notes: Note) -> Verdict:
    return Verdict(idle=False, notes=notes)


def _closed(*notes: Note) -> Verdict:
    return Verdict(idle=True, notes=notes)


def _join(*verdicts: Verdict) -> Verdict:
    repaired = [verdict.backoff for verdict in verdicts if verdict.backoff]
    return Verdict(
        idle=any(verdict.idle for verdict in verdicts),
        notes=tuple(note for verdict in verdicts for note in verdict.notes),
        backoff=repaired[0] if repaired else None,
    )
