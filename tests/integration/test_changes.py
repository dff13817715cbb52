"""`wait` as a library: every change once, from any thread, and nothing missed while its caller is busy."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import Empty, Queue
from threading import Thread, active_count

import pytest

from looop.contract.changes import changes, held_asks, wait_for
from looop.contract.verbs import Filter, Woke
from looop.model.errors import Invalid
from looop.model.records import Ask
from looop.runtime.lock import PulseLock
from looop.runtime.stop import StopFlag
from tests.fakes.disk import QuickDisk
from tests.fakes.house import Home

READY_S, SOON_S, QUIET_S = 0.3, 5.0, 0.4


class Listening:
    """A thread that takes what changes, one after the other; `busy_s` is what it needs for each."""

    def __init__(self, home: Home, wanted: Filter, held: list[str] | None, busy_s: float) -> None:
        self.home, self.stop = home, StopFlag()
        self.heard: Queue[Woke] = Queue()
        self.thread = Thread(target=self._listen, args=(wanted, held, busy_s))
        self.thread.start()

    def _listen(self, wanted: Filter, held: list[str] | None, busy_s: float) -> None:
        for woke in changes(self.home.house, wanted, self.stop, held):
            self.heard.put(woke)
            time.sleep(busy_s)

    def next(self) -> Woke:
        return self.heard.get(timeout=SOON_S)

    def quiet(self) -> None:
        """Nothing more is said."""
        with pytest.raises(Empty):
            raise AssertionError(self.heard.get(timeout=QUIET_S).changed)

    def end(self) -> None:
        if not self.thread.is_alive():
            return
        self.stop.request()
        self.thread.join(SOON_S)
        assert not self.thread.is_alive()
        self.stop.close()


@pytest.fixture
def home(root: Path) -> Home:
    """A house with a goal and a PLAYBOOK, which looks for a pulse every 20 ms."""
    home = Home(root)
    home.furnish(wait_poll_ms=20)
    home.write("PLAYBOOK.md", "judge")
    home.write("goals/g.md", "wanted")
    for folder in ("asks", "answers", "snapshots"):
        (root / folder).mkdir()
    return home


@pytest.fixture
def pulse(home: Home) -> Iterator[PulseLock]:
    """What others know a pulse by."""
    lock = PulseLock(str(home.root))
    lock.acquire()
    yield lock
    lock.release()


@pytest.fixture
def listen(home: Home) -> Iterator[Callable[..., Listening]]:
    """Starts listeners and ends them."""
    started: list[Listening] = []

    def start(wanted: Filter = "any", held: list[str] | None = None, busy_s: float = 0) -> Listening:
        started.append(Listening(home, wanted, held, busy_s))
        time.sleep(READY_S)
        return started[-1]

    yield start
    for one in started:
        one.end()


def ask(home: Home, worker: str = "w") -> str:
    """A question on record; its id."""
    return home.house.mailbox.ask(Ask(id="", worker=worker, prompt="?", ts=home.clock.now()), 0)[0].id


def test_every_change_is_said_once(home: Home, pulse: PulseLock, listen: Callable[..., Listening]) -> None:
    """One listener in a thread hears of a goal, a reading, a journal line and a question, each once.

    Source: spec/cli.md §2 wait 3; spec/edge-cases.md item 232.
    """
    listener = listen()
    for path, text, kind in (
        ("goals/g.md", "other", "goals"),
        ("snapshots/s.json", "not JSON", "snapshots"),
        ("journal.md", "- a line\n", "journal"),
    ):
        home.write(path, text)
        woke = listener.next()
        assert (woke.changed, woke.new_asks, woke.cursor) == ([kind], [], "")
        listener.quiet()
    name = ask(home)
    woke = listener.next()
    assert (woke.changed, woke.new_asks, woke.cursor) == (["asks"], [name], name)
    assert [one.id for one in woke.state.asks] == [name]
    listener.quiet()


def test_a_held_question_does_not_make_it_spin(home: Home, pulse: PulseLock, listen: Callable[..., Listening]) -> None:
    """A pending question is said once for each listener, one that is held not at all; others still end the wait.

    Source: spec/edge-cases.md item 209.
    """
    first = ask(home)
    plain, holding = listen(), listen("only-asks", [first])
    woke = plain.next()
    assert (woke.changed, woke.new_asks) == (["asks"], [first])
    plain.quiet()
    holding.quiet()
    second = ask(home, "v")
    for listener in (plain, holding):
        woke = listener.next()
        assert (woke.changed, woke.new_asks, set(woke.cursor.split(","))) == (["asks"], [second], {first, second})
        listener.quiet()


def test_a_settled_question_is_a_change_for_those_who_want_all(
    home: Home, pulse: PulseLock, listen: Callable[..., Listening]
) -> None:
    """An answer is heard of by who listens for anything, not by who acts on questions or the journal only."""
    name = ask(home)
    anything, others = listen("any", [name]), [listen("only-asks", [name]), listen("actionable", [name])]
    home.house.mailbox.answer(name, "yes", 1)
    woke = anything.next()
    assert (woke.changed, woke.new_asks, woke.cursor) == (["asks"], [], "")
    for other in others:
        other.quiet()


def test_what_changes_while_the_first_marks_are_read_is_not_missed(
    home: Home, pulse: PulseLock, listen: Callable[..., Listening]
) -> None:
    """A goal that is edited right after it was read, before the first look is over, is said.

    Source: spec/edge-cases.md item 230.
    """

    class Edited(QuickDisk):
        edits = 0

        def read(self, path: str) -> tuple[bytes, int]:
            found = super().read(path)
            if path.endswith("goals/g.md") and not self.edits:
                self.edits = 1
                home.write("goals/g.md", "edited")
            return found

    home.disk = Edited()
    home.furnish(wait_poll_ms=20)
    listener = listen()
    assert listener.next().changed == ["goals"] and home.disk.edits == 1
    listener.quiet()


def test_what_changes_while_the_caller_is_busy_is_not_missed(
    home: Home, pulse: PulseLock, listen: Callable[..., Listening]
) -> None:
    """A goal, a reading and a question that come while the caller works on another change are said afterwards.

    Source: spec/edge-cases.md item 230.
    """
    listener = listen(busy_s=0.3)
    home.write("goals/g.md", "other")
    assert listener.next().changed == ["goals"]
    home.write("goals/g.md", "yet another")
    home.write("snapshots/s.json", "1")
    name = ask(home)
    woke = listener.next()
    assert (woke.changed, woke.new_asks) == (["asks"], [name])
    home.write("PLAYBOOK.md", "judge anew")
    assert listener.next().changed == ["goals", "playbook", "snapshots"]
    listener.quiet()


def test_a_dead_pulse_is_said_once(home: Home, listen: Callable[..., Listening]) -> None:
    """Without a pulse that is said once, files are watched all the same; then that it is back, and gone again.

    Source: spec/edge-cases.md items 209, 231.
    """
    lock, listener = PulseLock(str(home.root)), listen("only-asks")
    woke = listener.next()
    assert (woke.changed, woke.pulse_down, woke.state.pulse_alive) == (["pulse-down"], True, False)
    listener.quiet()
    name = ask(home)
    assert listener.next().new_asks == [name]
    lock.acquire()
    woke = listener.next()
    assert (woke.changed, woke.pulse_down, woke.state.pulse_alive) == (["pulse-up"], False, True)
    lock.release()
    assert listener.next().changed == ["pulse-down"]
    listener.quiet()


def test_listeners_end_when_they_are_asked_to(home: Home, pulse: PulseLock, listen: Callable[..., Listening]) -> None:
    """A stop ends a listener at once and gives its descriptors and threads back, however many there were."""
    before = len(os.listdir("/dev/fd")), active_count()
    for _ in range(3):
        listener = listen()
        began = time.monotonic()
        listener.end()
        assert time.monotonic() - began < 1
    assert (len(os.listdir("/dev/fd")), active_count()) == before


def test_a_wait_whose_time_is_up_names_nothing(home: Home, pulse: PulseLock) -> None:
    """After its time a wait returns the state with nothing changed and what is pending; at once for no time at all."""
    name = ask(home)
    for seconds in (0, 1):
        began = time.monotonic()
        woke = wait_for(home.house, "any", [name], seconds)
        assert (woke.changed, woke.new_asks, woke.cursor, woke.state.pulse_alive) == ([], [], name, True)
        assert seconds <= time.monotonic() - began < seconds + 0.9


def test_what_is_there_already_beats_the_time(home: Home) -> None:
    """A wait without any time still says that a question is pending, or that no pulse runs. Edge case 231."""
    assert wait_for(home.house, "any", None, 0).changed == ["pulse-down"]
    name = ask(home)
    assert wait_for(home.house, "any", None, 0).new_asks == [name]


def test_a_wait_may_be_given_more_time_than_there_is(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too long for a timer of this machine is no error, nor the end of the wait."""
    ask(home)
    failed: list[object] = []
    monkeypatch.setattr(threading, "excepthook", failed.append)
    assert wait_for(home.house, "only-asks", None, 10**17).new_asks == ["w-1"]
    assert failed == []


def test_what_is_known_since_when(home: Home) -> None:
    """`now` holds all that are pending, a second those before it, a cursor those it names; no cursor holds none."""
    early = ask(home)
    home.clock.move(10)
    late = ask(home)
    since = home.clock.now()
    assert held_asks(home.house, "now") == {early, late}
    assert held_asks(home.house, str(since)) == {early}
    assert held_asks(home.house, str(since - 11)) == set()
    assert held_asks(home.house, "9" * 5000) == {early, late}
    assert held_asks(home.house, f"{early},gone-7") == {early, "gone-7"}
    assert held_asks(home.house, "") == set()


@pytest.mark.parametrize("since", [",", "w-1,", "w 1", "../w-1", "?", "1.5e3\n", "٣٤,"])
def test_what_says_no_moment_is_refused(home: Home, since: str) -> None:
    """A moment that is none of the three is refused, with what was expected."""
    with pytest.raises(Invalid, match="--new-asks takes a cursor"):
        held_asks(home.house, since)


def test_a_cursor_carries_over_to_the_next_wait(home: Home, pulse: PulseLock) -> None:
    """With the last cursor each wait names a question once: two waits for two questions, the third waits."""
    cursor, heard = "", list[list[str]]()
    for worker in ("w", "v"):
        ask(home, worker)
        woke = wait_for(home.house, "only-asks", held_asks(home.house, cursor), 5)
        cursor, heard = woke.cursor, [*heard, woke.new_asks]
    assert heard == [["w-1"], ["v-1"]]
    with ThreadPoolExecutor(1) as pool:
        waiting: Future[Woke] = pool.submit(
            wait_for, home.house, "only-asks", held_asks(home.house, cursor), int(QUIET_S) + 1
        )
        assert waiting.result().changed == []
