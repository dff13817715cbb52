"""What changes, one after the other: `wait` as a library, for any thread. Spec/cli.md §2, edge cases 209, 230-232.

Note [Nothing is missed]
Files are watched before the first marks are taken, and a change is whatever differs from the marks of what was said
last. So what happens while the caller is busy, or while the marks are being read, is found at the next look. Of what
the caller does not wait for, the old marks stay: it is named as soon as something else ends the wait.

Note [News]
A question is news once: to a caller that holds it already, or has been told of it, it is not. So a question that nobody
answers makes nobody spin. One that is settled is a change of `asks` for who waits for anything, and for nobody else.
A pulse that is gone is said once, and again only after it was back, which is said, too; everything else goes on.
"""

from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import closing, suppress
from threading import TIMEOUT_MAX, Timer
from time import monotonic

from looop.contract.observe import NO_WORLD, Damage, state_of
from looop.contract.verbs import Filter, Stop, Woke
from looop.model.errors import Invalid, LooopError
from looop.model.ids import require_numbered
from looop.rules.world import canonical, digest
from looop.runtime.command import pause
from looop.runtime.inotify import Kind
from looop.runtime.lock import is_held
from looop.runtime.stop import StopFlag
from looop.runtime.watch import Watcher
from looop.sense.gather import read_world
from looop.state.house import House
from looop.state.mailbox import Mail
from looop.state.open import NoStop

_WATCHED: dict[Filter, dict[str, Kind]] = {
    "any": {"": "all", "goals": "all", "snapshots": "all", "asks": "placed", "answers": "all"},
    "actionable": {"": "all", "asks": "placed"},
    "only-asks": {"asks": "placed"},
}
_ROOT_FILES = ("PLAYBOOK.md", "journal.md")
_ASKS = "asks/"
_ENDS: dict[Filter, set[str]] = {
    "any": {"asks", "goals", "journal", "playbook", "snapshots"},
    "actionable": {"journal"},
    "only-asks": set(),
}
_SETTLE_S = 0.05  # an editor empties a file before it fills it
_LOOK_S = 3600

Say = Callable[[str], object]


def changes(
    house: House, wanted: Filter, stop: Stop, held: Collection[str] | None = None, say: Say | None = None
) -> Iterator[Woke]:
    """What changes of the wanted kind, until `stop`; see Contract.changes. The first look is always made."""
    return _Watch(house, wanted, held, say).news(stop)


def wait_for(
    house: House,
    wanted: Filter,
    held: Collection[str] | None = None,
    timeout_s: int | None = None,
    say: Say | None = None,
) -> Woke:
    """The first change; one that names nothing when `timeout_s` is over before there is any."""
    watch, flag = _Watch(house, wanted, held, say, brief=True), StopFlag() if timeout_s is not None else None
    timer = Timer(min(timeout_s or 0, TIMEOUT_MAX), flag.request) if flag else None
    if timer:
        timer.daemon = True
        timer.start()
    try:
        with closing(watch.news(flag or NoStop())) as news:
            return next(news, None) or watch.woke([], watch.mail())
    finally:
        if timer and flag:
            timer.cancel()
            timer.join()
            flag.close()


def held_asks(house: House, since: str) -> frozenset[str]:
    """The asks that `since` says its writer knows; see Contract.held_asks. Raises Invalid, Unreadable."""
    if since == "now" or (since.isascii() and since.isdigit()):
        before = None if since == "now" else int(since[:18])
        pending = house.mailbox.pending(house.setting.clock.now(), house.fleet.living).pending
        return frozenset(ask.id for ask in pending if before is None or ask.ts < before)
    try:
        return frozenset(require_numbered(name, "ask id") for name in since.split(",") if since)
    except Invalid as error:
        raise Invalid(f"{error}; --new-asks takes a cursor of `looop wait --json`, `now`, or a UTC second") from None


class _Watch:
    """One caller's view: what it has been told of, and the marks of the rest. See Note [Nothing is missed]."""

    def __init__(
        self, house: House, wanted: Filter, held: Collection[str] | None, say: Say | None, *, brief: bool = False
    ) -> None:
        self._brief = brief
        self._house, self._ends, self._folders = house, _ENDS[wanted], _WATCHED[wanted]
        self._say = say or (lambda _: None)
        self._known = set(held or ())
        self._pending: list[str] = []
        self._pulse = True
        self._marks: dict[str, str] = {}
        self._poll_s = max(house.setting.knobs.wait_poll_ms, 10) / 1000

    def news(self, stop: Stop) -> Generator[Woke, None, None]:
        """Every change, until `stop`."""
        setting = self._house.setting
        why_not, brief = setting.unwatched, self._brief
        watcher = Watcher(setting.root, self._folders, _matters, self._say, self._poll_s, why_not, brief=brief)
        watcher.start()
        try:
            self._marks = self._read_marks() if self._ends else {}
            self._pending = self._ids(self.mail())
            unsettled = warm = False
            while True:
                mail = self.mail()
                woke = self._asked(mail) or (None if unsettled else self._changed(mail) or self._beating(mail))
                if woke:
                    yield woke
                if stop.requested():
                    return
                if unsettled and not woke:
                    pause(stop, _SETTLE_S)
                    unsettled = False
                elif not woke:
                    warm = warm or bool(state_of(self._house, mail))
                    unsettled = self._sleep(watcher, stop)
        finally:
            watcher.stop()

    def mail(self) -> Mail | None:
        """The asks that wait, None while they cannot be listed."""
        with suppress(LooopError):
            return self._house.mailbox.pending(self._house.setting.clock.now(), self._house.fleet.living)
        return None

    def woke(self, changed: list[str], mail: Mail | None) -> Woke:
        """What is said, and from now on known. The state has the very asks that were looked at."""
        pending = self._ids(mail)
        new = [name for name in pending if name not in self._known]
        self._known.update(pending)
        self._pending = pending
        return Woke(changed, state_of(self._house, mail), new, ",".join(pending))

    def _asked(self, mail: Mail | None) -> Woke | None:
        return None if self._known.issuperset(self._ids(mail)) else self.woke(["asks"], mail)

    def _changed(self, mail: Mail | None) -> Woke | None:
        if not self._ends:
            return None
        marks = self._read_marks()
        changed = {kind for kind, mark in marks.items() if mark != self._marks[kind]}
        if self._ids(mail) != self._pending:
            changed.add("asks")
        if not changed & self._ends:
            return None
        self._marks = marks
        return self.woke(sorted(changed), mail)

    def _beating(self, mail: Mail | None) -> Woke | None:
        beating = is_held(self._house.setting.root)
        if beating == self._pulse:
            return None
        self._pulse = beating
        return self.woke(["pulse-up" if beating else "pulse-down"], mail)

    def _sleep(self, watcher: Watcher, stop: Stop) -> bool:
        """Return when a file changed, the pulse came or went, or much time has passed; the kernel reports the first,
        looking the second. Says whether somebody may still be writing: a question is there at once and whole.
        """
        ends = monotonic() + _LOOK_S
        while not (changed := watcher.wait(self._poll_s, stop)):
            if stop.requested() or is_held(self._house.setting.root) != self._pulse or monotonic() > ends:
                return False
        return not all(path.startswith(_ASKS) for path in changed)

    def _ids(self, mail: Mail | None) -> list[str]:
        return self._pending if mail is None else [ask.id for ask in mail.pending]

    def _read_marks(self) -> dict[str, str]:
        """One mark per category; equal marks mean that nothing a person would notice has changed."""
        damage = Damage()
        world = damage.spare(lambda: read_world(self._house, []), NO_WORLD)
        marks: dict[str, list[str]] = {"goals": [], "playbook": [], "snapshots": [*damage]}
        for name, item in sorted(world.items.items()):
            kind = "playbook" if name == "playbook" else "goals" if name.startswith("goal:") else "snapshots"
            marks[kind].append(f"{name}={item.value}")
        marks["journal"] = damage.spare(lambda: _journal(self._house), list[str]())
        return {kind: digest(canonical(mark).encode()) for kind, mark in marks.items()}


def _journal(house: House) -> list[str]:
    return [f"{entry.size} {entry.mtime_ns}" for entry in house.store.list("") if entry.name == "journal.md"]


def _matters(folder: str, name: str) -> bool:
    return name in _ROOT_FILES if folder == "" else not name.startswith(".")
