"""What to push now, to whom, and when to look again: pure, over the asks that wait and the book of what was sent.

Note [Once]
An ask goes to a target once. A push counts from the row that announces it, so one that was cut off, or whose end nobody
knows, is not repeated: the nudge brings it again. Only a push that is known to have failed is made again, and the
longer its target has failed in a row, the later.

Note [Few messages]
All asks that are new to a target go as one message, a moment after the first of them was raised; all that are due for
a nudge go as one, too, and a target gets no two nudges within the time of the shortest. Quiet hours put off both.

Note [Clocks that were wrong]
The book's times are those of a clock that may have been far ahead. A pause that should have begun only after it could
be over is no pause. A step back by less makes no message.
"""

from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from looop.model.notices import Kind, Notice, Push
from looop.model.records import Ask

DAY_S = 86400
_AHEAD_S = 366 * DAY_S  # nothing is planned for later; calendars end, and somebody looks again long before
_FIRST_RETRY_S, _LAST_RETRY_S = 30, 900
_MOST_DOUBLINGS = 20


class Quiet(Struct, frozen=True):
    """The part of each local day in which nothing is pushed, in seconds since midnight; it may span midnight."""

    begins: int
    ends: int


class Settings(Struct, frozen=True):
    """Who is told, and when. `offset_s` says how far local time is ahead of UTC at a moment; `nudge_s` 0 is never."""

    targets: Sequence[str]
    offset_s: Callable[[int], int]
    batch_s: int = 5
    nudge_s: int = 14400
    quiet: Quiet | None = None


class Plan(Struct, frozen=True):
    """What to push now, at most one message for each target; and when there is more, None: not before an event."""

    pushes: list[Push]
    next_at: int | None


class Told(Struct, frozen=True):
    """That a target was told of an ask: when last, and how often it was nudged."""

    at: int
    nudges: int


class History:
    """What one target was told, in the order of the book's rows. See Note [Once]."""

    def __init__(self) -> None:
        self.told: dict[str, Told] = {}
        self.nudged_at: int | None = None
        self.fails, self.failed_at = 0, 0
        self._open: Notice | None = None
        self._before: tuple[dict[str, Told | None], int | None] = {}, None

    def take(self, row: Notice) -> None:
        """Go on by one row. The row that tells how a push ended takes the place of the one that announced it."""
        if row.outcome != "sending" and self._open and (self._open.asks, self._open.kind) == (row.asks, row.kind):
            self._take_back()
        if row.outcome != "failed":
            self._tell(row)
        if row.outcome in ("failed", "unknown"):
            self.fails, self.failed_at = self.fails + 1, row.ts
        elif row.outcome == "sent":
            self.fails = 0
        self._open = row if row.outcome == "sending" else None

    def ready_at(self, now: int) -> int:
        """When the target may be tried again."""
        pause = min(_FIRST_RETRY_S << min(self.fails - 1, _MOST_DOUBLINGS), _LAST_RETRY_S) if self.fails else 0
        return _after(self.failed_at, pause, now)

    def _tell(self, row: Notice) -> None:
        self._before = {ask: self.told.get(ask) for ask in row.asks}, self.nudged_at
        for ask in row.asks:
            known = self.told.get(ask)
            self.told[ask] = Told(row.ts, (known.nudges if known else 0) + (row.kind == "nudge"))
        if row.kind == "nudge":
            self.nudged_at = row.ts

    def _take_back(self) -> None:
        told, self.nudged_at = self._before
        for ask, before in told.items():
            if before is None:
                del self.told[ask]
            else:
                self.told[ask] = before


def plan(asks: Iterable[Ask], book: Iterable[Notice], now: int, settings: Settings) -> Plan:
    """What to push at `now`, for these asks that wait and this book. What is settled is in neither push nor nudge."""
    live = [ask for ask in asks if ask.expires is None or ask.expires > now]
    histories: dict[str, History] = {}
    for row in book:
        histories.setdefault(row.target, History()).take(row)
    pushes: dict[str, Push] = {}
    later: list[int] = []
    for target in settings.targets:
        for due, push in _wishes(target, live, histories.get(target, History()), now, settings):
            at = quiet_until(min(max(due, now), now + _AHEAD_S), settings)
            if at > now:
                later.append(at)
            else:
                pushes.setdefault(target, push)
    return Plan(list(pushes.values()), min(later, default=None))


def quiet_until(moment: int, settings: Settings) -> int:
    """`moment` itself outside of quiet hours, else when they end, by the clock on the wall, whatever it does."""
    at = moment
    while _is_quiet(at, settings):
        ahead = (settings.quiet.ends - _second_of_day(at, settings)) % DAY_S if settings.quiet else 0
        jump = settings.offset_s(at + ahead) - settings.offset_s(at)
        at += max(ahead - max(jump, 0), min(ahead, 60), 1)
    return at


def worth_keeping(book: Sequence[Notice], pending: Iterable[str], recent: int = 200) -> list[Notice]:
    """The rows that the book must keep: the newest, and all that say what was told of an ask that waits."""
    waiting, kept = set(pending), []
    next_outcome: dict[str, str] = {}
    for place in range(len(book) - 1, -1, -1):
        row = book[place]
        ended = row.outcome == "sending" and next_outcome.get(row.target, "sending") != "sending"
        matters = row.outcome != "failed" and not ended and not waiting.isdisjoint(row.asks)
        if matters or place >= len(book) - recent:
            kept.append(row)
        next_outcome[row.target] = row.outcome
    return kept[::-1]


def _wishes(target: str, live: list[Ask], history: History, now: int, settings: Settings) -> Iterable[tuple[int, Push]]:
    """What the target has to be told, and from when on, quiet hours aside. See Note [Few messages]."""
    fresh = [ask for ask in live if ask.id not in history.told]
    if fresh:
        window = min(ask.ts + settings.batch_s if ask.ts <= now else now for ask in fresh)
        yield max(window, history.ready_at(now)), _push(target, "new", fresh)
    dues = [(_nudge_at(history.told[ask.id], now, settings), ask) for ask in live if _is_nudged(ask, history, settings)]
    if dues:
        apart = 0 if history.nudged_at is None else _after(history.nudged_at, settings.nudge_s, now)
        at = max(min(due for due, _ in dues), apart, history.ready_at(now))
        yield at, _push(target, "nudge", [ask for due, ask in dues if due <= now])


def _is_nudged(ask: Ask, history: History, settings: Settings) -> bool:
    return settings.nudge_s > 0 and ask.urgency != "low" and ask.id in history.told


def _nudge_at(told: Told, now: int, settings: Settings) -> int:
    """The pauses double up to a day, or stay as they are where they are longer."""
    pause = settings.nudge_s << min(told.nudges, _MOST_DOUBLINGS)
    return _after(told.at, max(min(pause, DAY_S), settings.nudge_s), now)


def _after(moment: int, pause: int, now: int) -> int:
    """When a pause that began then is over; see Note [Clocks that were wrong]."""
    return moment + pause if moment <= now + pause else now


def _push(target: str, kind: Kind, asks: list[Ask]) -> Push:
    return Push(target, kind, [ask.id for ask in asks])


def _second_of_day(moment: int, settings: Settings) -> int:
    return (moment + settings.offset_s(moment)) % DAY_S


def _is_quiet(moment: int, settings: Settings) -> bool:
    if settings.quiet is None:
        return False
    begins, ends, second = settings.quiet.begins, settings.quiet.ends, _second_of_day(moment, settings)
    return begins <= second < ends if begins < ends else second >= begins or second < ends
