"""Leases as a worker takes them: `looop claim`, `looop unclaim`, words, outputs, exit codes."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from looop.config.session import session_id
from looop.contract.leases import claim, unclaim
from looop.model.errors import Invalid, Refused, Unreadable
from looop.state.house import House
from tests.fakes.command import Looop, Said
from tests.fakes.crew import IDLE, no_worker_left
from tests.fakes.house import Home


class Fleet:
    """Sessions that live as long as the test says so."""

    def __init__(self, *live: str) -> None:
        self.live = set(live)
        self.readable = True

    def is_alive(self, session: str) -> bool:
        if not self.readable:
            raise Unreadable("cannot list the sessions")
        return session in self.live


@pytest.fixture
def fleet() -> Fleet:
    return Fleet("w1", "w2")


@pytest.fixture
def house(tmp_path: Path, fleet: Fleet) -> House:
    home = Home(tmp_path / "data")
    return replace(home.house, fleet=fleet)


@pytest.fixture
def looop(tmp_path: Path) -> Looop:
    return Looop(tmp_path).settle()


def test_a_live_holder_is_named(house: House, fleet: Fleet) -> None:
    """The refusal says who holds the lease, also when nobody can tell whether he lives. Source: spec/workers.md §8."""
    assert claim(house, "deploy", "w1") == "claimed deploy"
    for readable in (True, False):
        fleet.readable = readable
        with pytest.raises(Refused, match=r"^claim deploy: held by live session 'w1'$"):
            claim(house, "deploy", "w2")
        with pytest.raises(Refused, match=r"^unclaim deploy: not given up: held by live session 'w1'$"):
            unclaim(house, "deploy", "w2")
    assert house.leases.all()["deploy"]["session"] == "w1"
    unclaim(house, "deploy", "w1")
    assert claim(house, "deploy", "w2") == "claimed deploy"


def test_the_session_comes_from_the_environment(house: House) -> None:
    """Without --session a verb means the session it runs in; an empty one is none. Source: spec/workers.md §8."""
    setting = house.setting
    inside = replace(house, setting=replace(setting, env={**setting.env, "LOOOP_SESSION_ID": "w1"}))
    assert claim(inside, "deploy") == "claimed deploy"
    assert house.leases.all()["deploy"]["session"] == "w1"
    for outside, session in ((house, None), (inside, "")):
        with pytest.raises(Invalid, match="--session"):
            claim(outside, "deploy", session)
    assert (session_id({"LOOOP_SESSION_ID": "w1"}), session_id({})) == ("w1", "")


def test_an_empty_claim_is_waited_for_in_real_time(house: House, tmp_path: Path) -> None:
    """The waits for a claim that is being written are real and short, and then it says so. Source: edge case 191."""
    (tmp_path / "data" / "claims").mkdir()
    (tmp_path / "data" / "claims" / "deploy.json").touch()
    with pytest.raises(Refused, match="being written"):
        claim(house, "deploy", "w1")


def test_claim_and_unclaim_as_commands(looop: Looop) -> None:
    """Won says so, had already is silent, given up is silent; all of them succeed. Source: spec/workers.md §8."""
    inside = {"LOOOP_SESSION_ID": "w1"}
    said = [looop(verb, "deploy", env=inside) for verb in ("claim", "claim", "unclaim", "unclaim")]
    assert [(one.code, one.out) for one in said] == [(0, "claimed deploy\n"), *[(0, "")] * 3]
    assert looop("claim", "deploy", "--session", "w2", env=inside).out == "claimed deploy\n"
    assert json.loads(looop.read("claims/deploy.json"))["session"] == "w2"


def test_what_a_live_session_holds_is_not_given_up(looop: Looop) -> None:
    """Exit code 1 in a line, and the lease stays; what nobody holds is given up already.

    Source: edge case 194.
    """
    with no_worker_left(looop.data):
        looop.write("config.json", "{}")
        assert looop("worker", "start", "w", "do", "--command", IDLE).code == 0
        assert looop("claim", "deploy", "--session", "w").code == 0
        for verb in ("claim", "unclaim"):
            said = looop(verb, "deploy", "--session", "v")
            assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
            assert said.err.startswith(f"looop: {verb} deploy: ")
        assert json.loads(looop.read("claims/deploy.json"))["session"] == "w"
        assert looop("unclaim", "other", "--session", "v") == Said(0, "", "")


def test_a_lease_for_nobody_is_said_to_go(looop: Looop, house: House, fleet: Fleet) -> None:
    """Who claims for a session that does not live has the lease until the next beat, and is told so in one line.

    Source: spec/workers.md §8.
    """
    done = looop("claim", "deploy", "--session", "w7")
    assert (done.code, done.out) == (0, "claimed deploy\n")
    assert done.err == "looop: there is no live session 'w7': the next beat takes the lease deploy away again\n"
    looop("beat")
    assert not (looop.data / "claims" / "deploy.json").exists()
    heard: list[str] = []
    claim(house, "a", "w1", heard.append)
    fleet.readable = False
    claim(house, "b", "w7", heard.append)
    assert heard == [], "nothing is said of who lives, or may live"


@pytest.mark.parametrize("verb", ["claim", "unclaim"])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("deploy",), "--session S"),
        (("deploy", "--session", ""), "--session S"),
        (("../deploy", "--session", "w1"), "invalid claim '../deploy'"),
        (("deploy", "--session", "a/b"), "invalid session id 'a/b'"),
        ((), "NAME"),
    ],
)
def test_a_bad_claim_is_one_line(looop: Looop, verb: str, words: tuple[str, ...], said: str) -> None:
    """No session, no name and impossible ones end with exit code 1 and nothing written. Source: edge case 192."""
    done = looop(verb, *words)
    assert (done.code, done.out) == (1, "")
    assert said in done.err and done.err.count("\n") == 1
    assert list((looop.data / "claims").iterdir()) == []


def test_a_lease_that_cannot_be_read_is_an_error(looop: Looop) -> None:
    """A folder in the place of a lease is neither free nor held: exit code 1 and the path. Source: edge case 195."""
    (looop.data / "claims" / "deploy.json").mkdir()
    for verb in ("claim", "unclaim"):
        done = looop(verb, "deploy", "--session", "w1")
        assert (done.code, done.out) == (1, "")
        assert "claims/deploy.json" in done.err and done.err.count("\n") == 1
