"""How a worker fares, and from what that is derived. Source: spec/workers.md §5, edge cases 173-175, 275.

Note [A machine that sleeps]
While the machine is suspended nothing is printed and the wall clock goes on: by the clock alone every worker would be
stuck in the morning. The clock knows how long the machine has slept since its start. Each beat compares that with what
the record says; once it has grown by more than 30 s the beat notes it, and silence counts from that beat on. Until
then (a reader, or a disk that is full) the growth is taken off the silence. Nobody can tell whether that sleep lay
before or after the last output, so the silence is called shorter rather than longer, and it grows all the same. Setting
the wall clock is not a sleep.

Note [A record that tells nothing]
Absent, damaged or of another boot it means "never slept", and the beat writes it anew. "Slept just now" would be true
at every look for as long as it cannot be mended, and nothing would ever be stuck again. "Never slept" costs one false
alarm after a sleep, which somebody judges before anything is done about it.

Note [Two boots]
The counters of two boots are never compared: `boot` differs. Where the system has no word for its boot, a counter that
has gone down tells. One that has gone up instead passes for a sleep, which gives each worker its threshold anew, once.
"""

from typing import Literal

from msgspec import Struct

from looop.model.records import Awake
from looop.model.text import span
from looop.model.world import World

Word = Literal["busy", "waiting-ask", "stuck", "dead"]
SLEEP_S = 30


class Health(Struct, frozen=True):
    """The word, and what it was derived from."""

    word: Word
    derived_from: str


class Waits(Struct, frozen=True):
    """The question a worker is blocked on, and for how long it has waited."""

    ask: str
    age_s: int


class Silence(Struct, frozen=True):
    """Seconds without output: as they count, and by the clock, the machine's sleep included."""

    counted_s: int
    by_clock_s: int


class Sleep(Struct, frozen=True):
    """What is known of the machine's sleep: the record, None where it tells nothing, and the clock's word just now."""

    known: Awake | None
    asleep_s: float
    boot: str


def health(
    alive: bool,
    waits: Waits | None,
    silence: Silence | None,
    threshold_s: int,
    *,
    ended: str = "its supervisor is gone",
) -> Health:
    """The first that applies: dead, waiting for a person (however long), stuck, busy.

    Silence that is not known is not held against anybody; a threshold of 0 calls nobody stuck.
    """
    if not alive:
        return Health("dead", ended)
    if waits:
        return Health("waiting-ask", f"ask {waits.ask} has waited {span(waits.age_s)}")
    if silence is None:
        return Health("busy", "no output is on record")
    shown, slept = span(silence.by_clock_s), ""
    if silence.counted_s != silence.by_clock_s:
        slept = f", counted as {span(silence.counted_s)}: the machine slept"
    if 0 < threshold_s <= silence.counted_s:
        return Health("stuck", f"no output for {shown}{slept} (LOOOP_WORKER_STUCK_SECS {threshold_s})")
    return Health("busy", f"output {shown} ago{slept}")


def ending(state: str, exit_code: int | None, signal: int | None) -> str:
    """How a session that is not alive came to its end, in a few words."""
    if exit_code is not None:
        return f"it exited with {exit_code}"
    if signal is not None:
        return f"it was killed by signal {signal}"
    return {"killed": "it was killed", "exited": "it exited"}.get(state, "its supervisor is gone")


def silence_of(output_at: int | None, sleep: Sleep, now: int) -> Silence | None:
    """How long nothing has been printed, None when that is not known. See Note [A machine that sleeps]."""
    if output_at is None:
        return None
    since, unnoted = 0, 0
    if sleep.known and _is_same_boot(sleep.known, sleep):
        grown = sleep.asleep_s - sleep.known.asleep_s
        since, unnoted = sleep.known.since, int(grown) if grown > SLEEP_S else 0
    counted = now - max(output_at, since) - unnoted
    return Silence(counted_s=max(counted, 0), by_clock_s=max(now - output_at, 0))


def note_sleep(sleep: Sleep, now: int) -> Awake:
    """The record a beat leaves: the one it found, unless the machine has slept since or that one tells nothing.

    A record from the future, written while the clock was wrong, would forgive every silence until then.
    """
    known = sleep.known
    if known is None or not _is_same_boot(known, sleep):
        return Awake(asleep_s=round(sleep.asleep_s, 1), since=0, boot=sleep.boot)
    if sleep.asleep_s - known.asleep_s > SLEEP_S or known.since > now:
        return Awake(asleep_s=round(sleep.asleep_s, 1), since=now, boot=sleep.boot)
    return known


def live_workers(world: World) -> set[str] | None:
    """The ids of the workers that live in this world, None when it could not be told who does."""
    reading = world.readings.get("sys-sessions")
    if reading is None or not isinstance(reading.signal, list):
        return None
    if isinstance(reading.detail, dict) and "message" in reading.detail:
        return None
    rows = [row for row in reading.signal if isinstance(row, dict)]
    return {str(row.get("id")) for row in rows if row.get("health") != "dead"}


def _is_same_boot(known: Awake, sleep: Sleep) -> bool:
    return known.boot == sleep.boot and sleep.asleep_s > known.asleep_s - SLEEP_S
