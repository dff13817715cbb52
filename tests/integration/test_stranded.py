"""Questions that come due or lose their worker while real sessions come and go: what people, the beat and workers see.

Source: spec/workers.md §7, §9; users.md rows Reboot and Ask once; design §3 row 7.
"""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest

from looop.act.tend import tend
from looop.config.file import DEFAULT_SESSION_TTL_S as TTL
from looop.contract.ask import ask
from looop.contract.observe import state_of
from looop.contract.questions import Question
from looop.model.errors import Missing, Refused
from looop.model.records import Ask
from looop.session.kin import is_alive
from looop.state.open import NoStop
from tests.fakes.command import Looop
from tests.fakes.crew import Crew, no_worker_left
from tests.fakes.fleet import FakeFleet, dead, session
from tests.fakes.house import Home
from tests.fakes.sessions import SOURCE
from tests.fakes.waiting import until

ASKS = 'PYTHONPATH={} "$LOOOP_BIN" ask{} --prompt "May I?" > got; sleep 600; : {{{{prompt_file}}}}'
KEYED, UNKEYED = ASKS.format(SOURCE, " --key k"), ASKS.format(SOURCE, "")
needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at processes in /proc")


@pytest.fixture
def crew(root: Path) -> Iterator[Crew]:
    with no_worker_left(root):
        made = Crew(root)
        made.configure()
        yield made


def mail(home: Home) -> Any:
    return home.house.mailbox.pending(home.clock.now() + 5, home.house.fleet.living)


def pending(home: Home) -> list[str]:
    return [ask.id for ask in mail(home).pending]


def stranded(home: Home) -> list[str]:
    return [ask.id for ask in mail(home).stranded]


def asks_something(crew: Crew, command: str, ask_id: str = "w-1") -> None:
    """A worker that waits for an answer."""
    crew.start("w", command)
    until(lambda: pending(crew) == [ask_id], 20, ask_id)


def later_second(crew: Crew) -> None:
    """A session that starts now is told from the one before by the second it started in."""
    began = crew.session().started_at or 0
    until(lambda: crew.house.setting.clock.now() > began or os.stat(crew.write("tick", "")).st_mtime >= began + 1, 5)


@needs_proc
@pytest.mark.slow
def test_the_next_worker_takes_the_question_over(crew: Crew, root: Path) -> None:
    """Killed while it waits, a worker leaves its question stranded: shown as such, answered by nobody. Its successor
    asks under the same key, and the very same record waits again; the answer reaches it.
    """
    asks_something(crew, KEYED)
    before = crew.record("asks/w-1.json")
    assert before["generation"] == crew.session().started_at
    crew.kill("w")
    assert (pending(crew), stranded(crew)) == ([], ["w-1"])
    looop = Looop(root.parent)
    looop.data, looop.env["LOOOP_DATA_DIR"] = root, str(root)
    assert "✗ w-1 (w · just now) stranded: May I?" in looop("asks").out
    assert "✗ w-1 (w · just now) stranded: May I?" in looop("state").out
    assert "the session that asked is over" in looop("asks", "w-1").out
    for force in ((), ("--force",)):
        refused = looop("answer", *force, "w-1", "yes")
        assert (refused.code, refused.err.count("\n")) == (1, 1)
        assert "ask w-1 is stranded" in refused.err and "it waits again once w asks it again" in refused.err
    assert not (root / "answers/w-1.json").exists()
    later_second(crew)
    asks_something(crew, KEYED)
    assert crew.record("asks/w-1.json") == before | {"generation": crew.session().started_at}
    assert looop("answer", "w-1", "yes").code == 0
    until(lambda: (root / "got").read_text() == "yes\n", 20, "the answer")


@needs_proc
@pytest.mark.slow
def test_a_question_without_a_key_goes_with_its_worker(crew: Crew) -> None:
    """Nobody can take it over: the next beat settles it, once, its number is not used again, and the next worker's
    question is its own. A supervisor that died takes it along as well.
    """
    asks_something(crew, UNKEYED)
    found = crew.session()
    os.kill(found.pid, signal.SIGKILL)
    until(lambda: not is_alive(found.pid, found.born), what="the supervisor's end")
    assert stranded(crew) == ["w-1"]
    for _ in range(2):
        tend(crew.house, crew.clock.now())
    assert crew.record("answers/w-1.json")["outcome"] == "stranded"
    assert [row["ask_id"] for row in crew.events("ask_stranded")] == ["w-1"]
    assert (pending(crew), stranded(crew)) == ([], [])
    later_second(crew)
    asks_something(crew, UNKEYED, "w-2")


@needs_proc
@pytest.mark.slow
def test_a_key_is_kept_as_long_as_a_session(crew: Crew) -> None:
    """A keyed question is left for the next session as long as sessions are kept; then the beat gives it up."""
    asks_something(crew, KEYED)
    crew.kill("w")
    tend(crew.house, crew.clock.now())
    assert stranded(crew) == ["w-1"]
    tend(crew.house, crew.clock.now() + TTL + 10)
    assert [(pair.ask.id, pair.answer.outcome) for pair in crew.house.mailbox.settled()] == [("w-1", "stranded")]
    assert stranded(crew) == []


@pytest.fixture
def home(root: Path) -> Home:
    made = Home(root)
    made.write("PLAYBOOK.md", "judge\n")
    return made


def staff(home: Home, *sessions: Any, broken: str = "") -> None:
    home.house = FakeFleet(*sessions, broken=broken).into(home.furnish())


def put(home: Home, worker: str = "w", **more: Any) -> str:
    now = home.clock.now()
    return home.house.mailbox.ask(Ask(id="", worker=worker, prompt="?", ts=now, **more), 0)[0].id


def test_the_beat_settles_what_is_due_and_nobody_waits_for(home: Home) -> None:
    """A question whose wait was cut off expires all the same, also while the fleet cannot be read; that is a fact on
    record, and a change of the reading.
    """
    now = home.clock.now()
    for broken in ("", "cannot enumerate the fleet"):
        staff(home, broken=broken)
        name = put(home, expires=home.clock.now() + 30, default="no")
        home.later(10)
        assert home.snapshot("sys-asks")["signal"] == {"pending": [name]}
        assert home.snapshot("sys-asks")["detail"][name]["expires_in_s"] == 20
        home.later(30)
        assert home.snapshot("sys-asks") == {"signal": {"pending": []}, "detail": {}}
        assert home.record(f"answers/{name}.json")["by"] == "nobody"
    assert [(row["ask_id"], row["default"]) for row in home.events("ask_expired")] == [("w-1", "no"), ("w-2", "no")]
    assert home.record("answers/w-1.json")["ts"] == now + 30


def test_a_stranded_question_blocks_nobody(home: Home) -> None:
    """A new session of the id that has not asked is busy, not waiting; the question stands aside in reading and state,
    and the prompt calls it STRANDED.
    """
    now = home.clock.now()
    staff(home, session("w", started_at=now - 5, output_at=now), session("v", started_at=now - 9, output_at=now))
    put(home, key="k", generation=now - 50, urgency="irreversible")
    put(home, "v", generation=now - 9)
    home.decides({"action": "noop", "reason": "x"})
    home.run_beat(forced=True)
    assert {row["id"]: row["health"] for row in home.snapshot("sys-sessions")["signal"]} == {
        "v": "waiting-ask",
        "w": "busy",
    }
    reading = home.snapshot("sys-asks")
    assert reading["signal"] == {"pending": ["v-1"]} and reading["detail"]["stranded"] == ["w-1"]
    view = state_of(home.house)
    assert ([ask.id for ask in view.asks], [ask.id for ask in view.stranded]) == (["v-1"], ["w-1"])
    assert "[STRANDED] w-1" in home.prompt and "[LIVE] v-1" in home.prompt


def test_while_the_fleet_cannot_be_read_nothing_is_stranded(home: Home) -> None:
    """Every question stays pending, that is said, and none is settled. Source: edge case 156."""
    staff(home, broken="cannot enumerate the fleet")
    put(home, generation=7)
    home.run_beat()
    assert home.snapshot("sys-asks")["signal"] == {"pending": ["w-1"]}
    assert any("no question can be called stranded" in sentence for sentence in state_of(home.house).damaged)
    assert home.record("answers/w-1.json") is None
    assert home.house.mailbox.answer("w-1", "yes", home.clock.now(), home.house.fleet.living).id == "w-1"


def test_what_cannot_be_settled_costs_the_beat_nothing(home: Home) -> None:
    """Without a place for settlements the beat goes on and says so; afterwards it settles what is due.

    Source: spec/beat.md §1, edge case 240.
    """
    staff(home, dead("w"))
    put(home, expires=home.clock.now() + 1)
    put(home, generation=7)
    (home.root / "answers").write_text("in the way")
    home.later(10)
    assert {row["guard"] for row in home.events("guard_degraded")} >= {"mailbox"}
    (home.root / "answers").unlink()
    home.later(10)
    assert [home.record(f"answers/w-{n}.json")["outcome"] for n in (1, 2)] == ["expired", "stranded"]


def test_settled_questions_are_put_away_however_they_were(home: Home) -> None:
    """Expired, withdrawn and stranded ones go to the archive as answered ones do, and still refuse an answer.

    Source: edge case 271.
    """
    now = home.clock.now()
    put(home, expires=now)
    put(home)
    home.house.mailbox.withdraw("w-2", "moot", "w", now)
    put(home, generation=7)
    staff(home)
    tend(home.house, now)
    for n in (1, 2, 3):
        os.utime(home.root / f"answers/w-{n}.json", (1, 1))
    tend(home.house, now)
    assert sorted(path.name for path in (home.root / "asks/archive").glob("*.answer.json")) == [
        f"w-{n}.answer.json" for n in (1, 2, 3)
    ]
    with pytest.raises(Refused, match="stranded"):
        home.house.mailbox.answer("w-3", "yes", now)
    assert put(home) == "w-4"
    assert json.loads((home.root / "asks/archive/w-3.json").read_bytes())["generation"] == -1


def test_who_asks_for_a_session_that_is_over_is_not_stranded(home: Home) -> None:
    """A person or a script may ask in the name of a worker that has ended: somebody waits, so it is asked."""
    staff(home, session("w", "exited", started_at=7, exit_code=0))
    waiting = Thread(target=lambda: ask(home.house, Question("?", "w"), home.stop, lambda _: None))
    waiting.start()
    until(lambda: pending(home) == ["w-1"], what="the question")
    assert "generation" not in home.record("asks/w-1.json")
    home.house.mailbox.answer("w-1", "yes", home.clock.now())
    waiting.join(10)
    assert not waiting.is_alive()


def test_what_outlives_its_session_asks_for_nobody(home: Home) -> None:
    """What a dead supervisor or an ended worker has left may ask, for as long as it lives: that is a question of the
    session that is over, so the next beat settles it, and nobody is asked for ever.

    Source: docs/asking.md, when the worker is gone.
    """
    for fleet in (dead("w", started_at=7), session("w", alive=False, is_orphaned=True, started_at=7)):
        staff(home, fleet)
        env = {**home.house.setting.env, "LOOOP_SESSION_ID": "w"}
        house = msgspec.structs.replace(home.house, setting=msgspec.structs.replace(home.house.setting, env=env))
        told: list[str] = []
        waiting = Thread(target=lambda house=house, told=told: told.append(refused_to(house)))  # type: ignore[misc]
        waiting.start()
        until(lambda: stranded(home) != [], what="the question")
        assert pending(home) == []
        home.house.mailbox.strand(home.house.fleet.living, 0, home.clock.now())
        waiting.join(10)
        assert len(told) == 1 and "stranded" in told[0], told


def refused_to(house: Any) -> str:
    with pytest.raises(Missing) as refused:
        ask(house, Question("?"), NoStop(), lambda _: None)
    return str(refused.value)


def test_an_old_question_outlives_a_restart(home: Home) -> None:
    """What counts is how long nobody has waited, not when it was asked: who is started anew after a week takes its
    question over; while nobody does it is given up, a session's retention after the last one ended or this one began.

    Source: design §3 row 7, promise 4.
    """
    born = home.clock.now()
    put(home, key="k", generation=born)
    home.clock.move(3 * TTL)
    now = home.clock.now()
    for fleet in (session("w", started_at=now), session("w", started_at=born), dead("w", changed_at=now)):
        staff(home, fleet)
        tend(home.house, now)
        assert home.record("answers/w-1.json") is None, fleet
    assert home.events("ask_stranded") == []
    staff(home, session("w", started_at=now))
    tend(home.house, now + TTL)
    assert [row["ask_id"] for row in home.events("ask_stranded")] == ["w-1"]
