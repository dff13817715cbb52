"""Contests over one record: two processes do the same thing in the same instant, round after round; then we count."""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from looop.model.errors import Refused
from looop.model.records import Answer, Ask
from looop.state.leases import HeldByLive, Leases, Won
from looop.state.mailbox import Mailbox
from looop.store.files import FileStore
from looop.store.fsio import Disk
from tests.fakes.disk import QuickDisk
from tests.fakes.racing import Track, side_by_side

NOW = 2_000_000_000
BLOCK = 100  # rounds of one data dir: an ask reads all names of its folder


class Ground(Struct):
    """The books of one data dir."""

    mailbox: Mailbox
    leases: Leases


Act = Callable[[Ground, str, int], str]


class Contest(Struct, frozen=True):
    """What two do at once: `act` tells "W" to the winner alone; `wrong` names what is not as it must be afterwards.

    Each gets the ground and the round's worker; `act` also who acts, 0 or 1, and `wrong` what both were told.
    """

    act: Act
    wrong: Callable[[Ground, str, list[str]], str]
    prepare: Callable[[Ground, str], object] = lambda _ground, _worker: None


class Tally(Struct):
    """How a contest ended. `first` are the rounds that racer 0 won; `lost` and `doubled` must be 0."""

    rounds: int
    winners: int = 0
    losers: int = 0
    first: int = 0
    lost: int = 0
    doubled: int = 0
    seconds: float = 0.0


def open_ground(root: Path, turn: int, disk: Disk) -> Ground:
    """The books of the data dir in which this round takes place."""
    store = FileStore(str(root / str(turn // BLOCK)), disk)
    return Ground(Mailbox(store), Leases(store))


def hold(contest: Contest, root: Path, rounds: int, disk: Callable[[], Disk] = QuickDisk) -> Tally:
    """Hold so many rounds between two processes, and count what came of them."""
    for turn in range(rounds):
        contest.prepare(open_ground(root, turn, QuickDisk()), worker_of(turn))
    track, began = Track(), time.monotonic()
    told = side_by_side(*(_racer(contest, root, rounds, track, me, disk) for me in (0, 1)))
    tally = Tally(rounds, seconds=time.monotonic() - began)
    for turn, pair in enumerate(zip(*map(msgspec.json.decode, told), strict=True)):
        wrong = contest.wrong(open_ground(root, turn, QuickDisk()), worker_of(turn), list(pair))
        tally.lost += wrong == "lost"
        tally.doubled += wrong == "doubled"
        tally.winners += pair.count("W")
        tally.losers += 2 - pair.count("W")
        tally.first += pair[0] == "W"
    return tally


def worker_of(turn: int) -> str:
    """The worker a round is about."""
    return f"w{turn}"


def _racer(
    contest: Contest, root: Path, rounds: int, track: Track, me: int, disk: Callable[[], Disk]
) -> Callable[[], bytes]:
    def run() -> bytes:
        told = []
        for turn in range(rounds):
            if turn % BLOCK == 0:
                ground = open_ground(root, turn, disk())
            track.meet(me, 1 - me, turn + 1)
            told.append(contest.act(ground, worker_of(turn), me))
        return msgspec.json.encode(told)

    return run


def _claim(ground: Ground, worker: str, me: int) -> str:
    claimed = ground.leases.claim(worker, f"s{me}", NOW, lambda _: True, time.sleep)
    assert claimed == Won() or claimed == HeldByLive(f"s{1 - me}"), claimed
    return "W" if claimed == Won() else "held"


def _claim_wrong(ground: Ground, worker: str, told: list[str]) -> str:
    if told.count("W") != 1:
        return "doubled" if told.count("W") else "lost"
    record = ground.leases.all().get(worker)
    return "" if record and record["session"] == f"s{told.index('W')}" else "lost"


def _answer(ground: Ground, worker: str, me: int) -> str:
    try:
        ground.mailbox.answer(f"{worker}-1", f"by {me}", NOW)
    except Refused as error:
        assert "is already " in str(error), error
        return "settled"
    return "W"


def _answer_wrong(ground: Ground, worker: str, told: list[str]) -> str:
    if told.count("W") != 1:
        return "doubled" if told.count("W") else "lost"
    answer = ground.mailbox.answer_of(f"{worker}-1")
    return "" if isinstance(answer, Answer) and answer.answer == f"by {told.index('W')}" else "lost"


def question(worker: str, prompt: str = "?", key: str = "") -> Ask:
    """A question that has no number yet."""
    return Ask(id="", worker=worker, prompt=prompt, ts=NOW, key=key)


def _ask(ground: Ground, worker: str, me: int) -> str:
    asked, new = ground.mailbox.ask(question(worker, f"by {me}"), 0)
    assert new and asked.prompt == f"by {me}", asked
    return "W" if asked.id == f"{worker}-1" else asked.id


def _ask_wrong(ground: Ground, worker: str, told: list[str]) -> str:
    """Both survive: who came first has number 1, the other number 2, each with its own words."""
    if told.count("W") != 1:
        return "doubled"
    found = [ground.mailbox.ask_of(f"{worker}-{n}") for n in (1, 2)]
    prompts = [ask.prompt for ask in found if isinstance(ask, Ask)]
    first = told.index("W")
    return "" if prompts == [f"by {first}", f"by {1 - first}"] and told[1 - first] == f"{worker}-2" else "lost"


def _ask_keyed(ground: Ground, worker: str, me: int) -> str:
    asked, new = ground.mailbox.ask(question(worker, f"by {me}", key="k"), 0)
    return "W" if new else asked.prompt


def _ask_keyed_wrong(ground: Ground, worker: str, told: list[str]) -> str:
    """One record, and the loser was given the winner's."""
    if told.count("W") != 1 or ground.mailbox.ask_of(f"{worker}-2") is not None:
        return "doubled" if "W" in told else "lost"
    first, asked = told.index("W"), ground.mailbox.ask_of(f"{worker}-1")
    same = isinstance(asked, Ask) and asked.prompt == told[1 - first] == f"by {first}"
    return "" if same else "lost"


def _put(ground: Ground, worker: str) -> object:
    return ground.mailbox.ask(question(worker), 0)


def _put_keyed(ground: Ground, worker: str) -> object:
    return ground.mailbox.ask(question(worker, key="k"), 0)


def _ask_again(ground: Ground, worker: str, me: int) -> str:
    """The same again, as a call does that was cut off."""
    asked, new = ground.mailbox.ask(question(worker, key="k"), 0)
    return "new" if new else asked.id


def _ask_again_wrong(ground: Ground, worker: str, told: list[str]) -> str:
    """The question is the one that was there, and its answer stays."""
    if told[0] != f"{worker}-1" or ground.mailbox.ask_of(f"{worker}-2") is not None:
        return "doubled"
    return _answer_wrong(ground, worker, told)


BORN = NOW - 100


def _put_due(ground: Ground, worker: str) -> object:
    return ground.mailbox.ask(msgspec.structs.replace(question(worker), expires=NOW + 1, default="no"), 0)


def _put_stranded(ground: Ground, worker: str) -> object:
    return ground.mailbox.ask(msgspec.structs.replace(question(worker, key="k"), generation=BORN), 0)


def _either(first: Act, second: Act) -> Act:
    """Racer 0 does the one, racer 1 the other."""
    return lambda ground, worker, me: (second if me else first)(ground, worker, me)


def _expire(ground: Ground, worker: str, me: int) -> str:
    """In the second after the other's, as the question's own wait does."""
    return "W" if ground.mailbox.expire_one(f"{worker}-1", "no", NOW + 1) else "settled"


def _withdraw(ground: Ground, worker: str, me: int) -> str:
    try:
        ground.mailbox.withdraw(f"{worker}-1", f"by {me}", "person", NOW)
    except Refused:
        return "settled"
    return "W"


def _settled_wrong(*outcomes: str) -> Callable[[Ground, str, list[str]], str]:
    """One settles it, and what is on record is that one's."""

    def wrong(ground: Ground, worker: str, told: list[str]) -> str:
        if told.count("W") != 1:
            return "doubled" if told.count("W") else "lost"
        found = ground.mailbox.answer_of(f"{worker}-1")
        return "" if isinstance(found, Answer) and found.outcome == outcomes[told.index("W")] else "lost"

    return wrong


def _take_over_or_give_up(ground: Ground, worker: str, me: int) -> str:
    """Racer 0 is the next session of the worker, racer 1 a beat that has found the one before dead."""
    if me:
        return "W" if ground.mailbox.give_up(_stranded(worker), NOW) else "taken over"
    wanted = msgspec.structs.replace(question(worker, key="k"), generation=NOW)
    asked, new = ground.mailbox.ask(wanted, NOW)
    assert asked.id == f"{worker}-{2 if new else 1}", asked
    return "given up" if new else "W"


def _stranded(worker: str) -> Ask:
    return msgspec.structs.replace(question(worker, key="k"), id=f"{worker}-1", generation=BORN)


def _take_over_wrong(ground: Ground, worker: str, told: list[str]) -> str:
    """Taken over, it is open in the new session; given up, it is settled, and the new session's question is open."""
    if told.count("W") != 1:
        return "doubled" if told.count("W") else "lost"
    first, second = (ground.mailbox.ask_of(f"{worker}-{n}") for n in (1, 2))
    settled, over = ground.mailbox.answer_of(f"{worker}-1"), told[0] == "W"
    waits = first if over else second
    right = isinstance(waits, Ask) and waits.generation == NOW and (settled is None) == over == (second is None)
    return "" if right else "lost"


CONTESTS = {
    "two claims": Contest(_claim, _claim_wrong),
    "two answers": Contest(_answer, _answer_wrong, _put),
    "two asks": Contest(_ask, _ask_wrong),
    "two asks, one key": Contest(_ask_keyed, _ask_keyed_wrong),
    "an ask again, an answer": Contest(_either(_ask_again, _answer), _ask_again_wrong, _put_keyed),
    "an answer, an expiry": Contest(_either(_answer, _expire), _settled_wrong("answered", "expired"), _put_due),
    "an answer, a withdrawal": Contest(_either(_answer, _withdraw), _settled_wrong("answered", "withdrawn"), _put),
    "a withdrawal, an expiry": Contest(_either(_withdraw, _expire), _settled_wrong("withdrawn", "expired"), _put_due),
    "taken over, given up": Contest(_take_over_or_give_up, _take_over_wrong, _put_stranded),
}
