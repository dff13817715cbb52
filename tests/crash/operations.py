"""The operations that are stopped at every point: beats of each kind of move, and steps of the books."""

import json
from collections.abc import Callable
from typing import Any
from unittest import mock

import msgspec

from looop.contract import setup
from looop.model.notices import Nonce, Notice
from looop.model.records import VerifyResult
from looop.state.codec import LineLog
from looop.state.house import EVENTS
from looop.state.journal import Journal
from looop.state.leases import Leases
from looop.state.ledger import CostLedger
from looop.state.notices import Nonces, Notices
from looop.state.playbook import Playbook
from looop.state.seed import seed
from looop.state.verify import Verify
from looop.store.files import FileStore
from tests.crash.mail import MAIL
from tests.crash.points import CONFIG, Operation, Place, text, texts
from tests.crash.sessions import SESSIONS
from tests.fakes.crew import IDLE
from tests.sim.machine import Answer

BODY, SCRIPT = "new\n", "#!/bin/sh\necho 1\n"
Effect = Callable[[Place], Any]


class Kind(msgspec.Struct, frozen=True):
    """A kind of move: the move and what it has done to the world.

    One that is `announced` must not happen twice; one that is `once` cannot, so its reflex looks whether it did.
    """

    move: dict[str, Any]
    effect: Effect
    announced: bool = False
    once: bool = False


def _playbook(place: Place) -> tuple[str | None, bool]:
    """The PLAYBOOK, and whether the old one is kept or in force."""
    body = text(place, "PLAYBOOK.md")
    return body, body == "judge\n" or "judge\n" in texts(place, "playbook.d").values()


KINDS = {
    "noop": Kind({"action": "noop"}, lambda place: None),
    "run_shell": Kind({"action": "run_shell", "cmd": "mend"}, lambda place: len(place.machine.effects), True),
    "write_goal": Kind({"action": "write_goal", "id": "n", "body": BODY}, lambda place: text(place, "goals/n.md")),
    "archive_goal": Kind(
        {"action": "archive_goal", "id": "old"},
        lambda place: (text(place, "goals/old.md"), texts(place, "goals/archive")),
        once=True,
    ),
    "write_sensor": Kind(
        {"action": "write_sensor", "name": "s1", "script": SCRIPT}, lambda place: text(place, "sensors/s1.sh")
    ),
    "write_playbook": Kind({"action": "write_playbook", "body": BODY}, _playbook),
    "start_worker": Kind(
        {"action": "start_worker", "id": "n", "prompt": "do"}, lambda place: place.fleet.starts["n"], True, True
    ),
    "kill_worker": Kind({"action": "kill_worker", "id": "w"}, lambda place: place.fleet.sessions["w"].alive, once=True),
    "write_schedule": Kind(
        {"action": "write_schedule", "name": "n", "every_s": 900000},
        lambda place: "every_s" in (text(place, "schedules/n.json") or ""),
    ),
    "drop_schedule": Kind({"action": "drop_schedule", "name": "d"}, lambda place: text(place, "schedules/d.json")),
}


def world(place: Place, kind: Kind, by: str) -> None:
    """A data dir in which all was decided, and then the world changes so that this move is due."""
    move = f"---\nreflexes:\n  - when: sensor.s0.signal == 7\n    move: {json.dumps(kind.move)}\n---\n"
    files = {
        "PLAYBOOK.md": "judge\n",
        "goals/g.md": move if by == "reflex" else "prose\n",
        "goals/old.md": "done\n",
        "sensors/s0.sh": SCRIPT,
        "config.json": json.dumps({"worker_command": IDLE}),
        "schedules/d.json": '{"v": 1, "name": "d", "every_s": 900000, "set_at": 1}\n',
    }
    for path, body in files.items():
        place.home.write(path, body, 0o755 if path.endswith(".sh") else None)
    arrange(place, kind, by)
    place.machine.values["s0"] = 1
    endings = [place.home.run_beat().ending for _ in range(2)]
    assert endings == ["decided", "idle"], endings


def arrange(place: Place, kind: Kind, by: str) -> None:
    """A live worker, an agent that does not repeat what it finds done, a sensor that says seven."""
    if kind.move["action"] == "kill_worker":
        place.fleet.start("w", ["sleep"], {}, max_log=0)
    place.with_runner = by == "runner"
    place.home.config = CONFIG if place.with_runner else place.home.config
    place.machine.values["s0"] = 7
    before = kind.effect(place)

    def agent() -> Answer:
        told = "was interrupted" in (text(place, "journal.md") or "")
        is_due = place.machine.values["s0"] == 7 and not told and kind.effect(place) == before
        return Answer(json.dumps(kind.move if is_due else {"action": "noop"}))

    place.machine.agent = agent


def beat_of(name: str, by: str) -> Operation:
    kind = KINDS[name]
    return Operation(
        act=lambda place: place.home.run_beat(),
        reading=kind.effect,
        prepare=lambda place: world(place, kind, by),
        arrange=lambda place: arrange(place, kind, by),
        cuts=2,
    )


BEATS = {f"{name} by a {by}": beat_of(name, by) for name in KINDS for by in ("reflex", "runner")}

OLD, LATER = 1_700_000_000, 1_700_000_500
ROW = '{"ts": "2026-01-01T00:00:00Z", "kind": "tick", "id": "%d", "runner": "r", "cost_usd": 1}\n'


def _nobody_lives(session: str) -> bool:
    return False


def claimed(place: Place, name: str = "l", session: str = "a", now: int = LATER) -> None:
    Leases(place.store).claim(name, session, now, _nobody_lives, lambda seconds: None)


def holders(place: Place) -> dict[str, Any]:
    """Who holds what, since when."""
    found = Leases(FileStore(str(place.root))).all()
    return {name: record and (record["session"], record["ts"]) for name, record in found.items()}


JOURNAL = ("one" * 8, "two" * 8, "2.5" * 8, "three")


def tail(place: Place) -> list[str]:
    """The whole lines of the journal: the last may be torn."""
    lines = Journal(FileStore(str(place.root)), 0).tail(100)
    return [line for line in lines if line[8:] in JOURNAL]


def _journal(place: Place) -> Journal:
    return Journal(place.store, 60)


def _files(*keys: str) -> Effect:
    return lambda place: {key: text(place, key) for key in keys}


def _history(place: Place) -> Any:
    return text(place, "PLAYBOOK.md"), sorted(map(str, texts(place, "playbook.d").values()))


def _init(place: Place) -> None:
    with mock.patch.object(setup, "open_files", lambda folder: place.store):
        setup.write(setup.plan(place.house, setup.Wiring(runner="claude")))


def _seeded(place: Place) -> Any:
    keys = ("PLAYBOOK.md", ".gitignore", *(f"{f}/{n}" for f in ("goals", "sensors", "asks") for n in texts(place, f)))
    return sorted(key for key in keys if text(place, key))


NOTICES = [Notice(n, "t", "new", [f"w-{n}"], "sent") for n in range(5)]


def _noticed(place: Place) -> None:
    for row in NOTICES:
        Notices(place.store).append(row)


def _shrink(place: Place) -> None:
    book = Notices(place.store)
    book._least = 10
    book.shrink(1000, lambda rows: [row for row in rows if row.ts > 2])


def _nonces(place: Place) -> None:
    for n in range(105):
        Nonces(place.store).take(Nonce(n, f"n{n}"), 0)


def _judged(place: Place) -> None:
    Verify(place.store).declare("w", "old")
    Verify(place.store).record("w", VerifyResult(ok=False, exit_code=1))


def _verdict(place: Place) -> tuple[str | None, bool]:
    """What a worker is judged by, and whether it was; what is new was not."""
    command, is_judged = text(place, "verify/w.cmd"), text(place, "verify/w.json") is not None
    assert not (command == "new" and is_judged)
    return command, is_judged


def _damaged(place: Place) -> None:
    place.home.write("cost.jsonl", ROW % 1 + "torn\n" + ROW % 2 + "{\n")


BOOKS = {
    "claim a free lease": Operation(claimed, holders),
    "claim a dead one's lease": Operation(claimed, holders, lambda place: claimed(place, session="b", now=OLD)),
    "claim again": Operation(claimed, holders, lambda place: claimed(place, now=OLD)),
    "unclaim": Operation(lambda place: Leases(place.store).unclaim("l", "a", _nobody_lives), holders, claimed),
    "reap two leases": Operation(
        lambda place: Leases(place.store).reap(set(), _nobody_lives, LATER),
        holders,
        lambda place: (claimed(place), claimed(place, "m")),
        between=1,
    ),
    "journal rotation": Operation(
        lambda place: _journal(place).write(JOURNAL[3], "12:00"),
        tail,
        lambda place: [_journal(place).write(word, "12:00") for word in JOURNAL[:3]],
        again=False,
    ),
    "events rotation": Operation(
        lambda place: LineLog(place.store, EVENTS, 10).append(JOURNAL[1], durable=False),
        lambda place: [line for line in LineLog(FileStore(str(place.root)), EVENTS, 0).tail(9) if line in JOURNAL],
        lambda place: LineLog(place.store, EVENTS, 10).append(JOURNAL[0]),
        again=False,
        durable=False,
    ),
    "seed of a fresh data dir": Operation(lambda place: seed(place.store, 5), _seeded, between=6),
    "init": Operation(_init, _files("config.toml", "config.json")),
    "init over a config": Operation(
        _init, _files("config.toml"), lambda place: place.home.write("config.toml", "interval = 60\n")
    ),
    "playbook history": Operation(
        lambda place: Playbook(place.store, 2).write("four", "s4"),
        _history,
        lambda place: [Playbook(place.store, 0).write(body, f"s{n}") for n, body in enumerate(("one", "two", "three"))],
        between=2,
        again=False,
    ),
    "verify of a new worker": Operation(
        lambda place: Verify(place.store).declare("w", "new"),
        _verdict,
        _judged,
        between=1,
    ),
    "verify forgotten": Operation(lambda place: Verify(place.store).clear("w"), _verdict, _judged, between=1),
    "cost repair": Operation(
        lambda place: CostLedger(place.store).repair(), _files("cost.jsonl", "cost.jsonl.damaged"), _damaged, between=1
    ),
    "notices compaction": Operation(
        _shrink, _files("notices.jsonl", "notices.jsonl.1"), _noticed, between=1, again=False
    ),
    "nonces compaction": Operation(
        lambda place: Nonces(place.store).take(Nonce(500, "new"), 400), _files(".notify-nonces.jsonl"), _nonces
    ),
}
OPERATIONS = BEATS | BOOKS | MAIL | SESSIONS
