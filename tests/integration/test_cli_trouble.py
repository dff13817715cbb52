"""What `state`, `asks` and `wait` say when the loop fails, or when a file cannot be read."""

import json
import os
import time
from pathlib import Path

import pytest

from tests.fakes.command import Looop


@pytest.fixture
def looop(tmp_path: Path) -> Looop:
    """looop over a seeded data dir without a pending question."""
    return Looop(tmp_path).settle()


@pytest.fixture
def failing(looop: Looop) -> Looop:
    """looop whose runner has failed once."""
    looop.write("config.json", '{"tick_command": "echo no luck; echo at all; exit 3"}')
    assert looop("beat").code == 1
    return looop


def test_state_says_that_the_loop_fails(failing: Looop) -> None:
    """`state` shows how often the loop failed in a row, why last, on one line, and when it tries again.

    Source: design §1, a loop that fails says so; spec/beat.md §6.2.
    """
    lines = failing("state").out.split("\n")
    (line,) = [line for line in lines if line.startswith("! ")]
    assert line.startswith("! failed once, retry in ")
    assert line.endswith("exited with 3: no luck at all")
    view = failing("state", "--json").json
    assert view["failing"]["fails"] == 1
    assert view["failing"]["error"].endswith("no luck at all")
    assert 50 < view["failing"]["retry_in_s"] <= 60
    assert view["damaged"] == []


def test_the_wait_grows_and_ends(failing: Looop) -> None:
    """The wait is the one of the gates, up to the cap; once it is over the next beat tries again.

    Source: design §3 row 3.
    """
    record = json.loads(failing.read(".tick-backoff"))
    failing.write(".tick-backoff", json.dumps(record | {"fails": 3}))
    assert 200 < failing("state", "--json").json["failing"]["retry_in_s"] <= 240
    assert failing("state", "--json", env={"LOOOP_BACKOFF_CAP": "100"}).json["failing"]["retry_in_s"] <= 100
    failing.write(".tick-backoff", json.dumps(record | {"fails": 3, "ts": int(time.time()) - 900}))
    assert "! failed 3 times in a row, retry at the next beat: " in failing("state").out


def test_an_edit_tries_at_once(failing: Looop) -> None:
    """After an edit of a goal nothing is waited for.

    Source: design §3 row 3.
    """
    failing.write("goals/new.md", "wanted\n")
    assert failing("state", "--json").json["failing"]["retry_in_s"] == 0


def test_a_success_ends_it(failing: Looop) -> None:
    """Once a beat succeeds, nothing fails any more.

    Source: spec/edge-cases.md item 33.
    """
    failing.write("config.json", "{}")
    failing("goal", "write", "x", "y")
    assert failing("beat").code == 0
    assert failing("state", "--json").json["failing"] is None
    assert "! " not in failing("state").out


def test_a_long_error_is_clipped(failing: Looop) -> None:
    """The error is one line of bounded length, whatever the record holds.

    Source: spec/edge-cases.md item 238.
    """
    failure = json.loads(failing.read(".last-failure.json"))
    failing.write(".last-failure.json", json.dumps(failure | {"error": "a\x1b[31m\nb " * 500}))
    error = failing("state", "--json").json["failing"]["error"]
    assert len(error) <= 200
    assert error.endswith("…")
    assert error.isprintable()
    os.remove(failing.data / ".last-failure.json")
    assert failing("state", "--json").json["failing"]["fails"] == 1


CONFIGS = [
    ("config.json", "{", "not JSON"),
    ("config.json", '{"interval": "x"}', "interval = 'x': expected a number"),
    ("config.toml", "interval =", "not TOML"),
    ("config.toml", 'runner = "x"', "no tick_command"),
]


@pytest.mark.parametrize(("name", "text", "said"), CONFIGS, ids=[text for _, text, _ in CONFIGS])
def test_a_bad_config_is_shown(looop: Looop, name: str, text: str, said: str) -> None:
    """`state` names a config that cannot be used, and what is wrong with it, in one line.

    Source: spec/edge-cases.md items 234, 260.
    """
    looop.write(name, text)
    (sentence,) = looop("state", "--json").json["damaged"]
    assert name in sentence
    assert said in sentence
    assert "\n" not in sentence
    plain = looop("state")
    assert (plain.code, plain.err) == (0, "")
    assert [line[2:] for line in plain.out.split("\n") if line.startswith("! ")] == [sentence]


def test_a_good_config_is_not_damage(looop: Looop) -> None:
    """A config that can be read says nothing in `state`.

    Source: docs/contract.md.
    """
    looop.write("config.toml", "interval = 30\n")
    assert looop("state", "--json").json["damaged"] == []


BROKEN = [
    ("journal.md", "journal.md"),
    ("cost.jsonl", "cost.jsonl"),
    ("goals/setup.md", "goals/setup.md"),
    ("PLAYBOOK.md", "PLAYBOOK.md"),
    (".tick-backoff", ".tick-backoff"),
    (".last-failure.json", ".last-failure.json"),
    (".last-tick-hash", ".last-tick-hash"),
    (".decide-ledger.json", ".decide-ledger.json"),
    (".reflexes.json", ".reflexes.json"),
    ("config.json", "config.json"),
]


def spoil(looop: Looop, path: str) -> None:
    """A folder or a pipe where a file should be: even root cannot read it."""
    target = looop.data / path
    if target.exists():
        target.unlink()
    if path.startswith("goals/"):
        os.mkfifo(target)
    else:
        target.mkdir()


@pytest.mark.parametrize(("path", "named"), BROKEN, ids=[path for path, _ in BROKEN])
def test_what_cannot_be_read_is_a_sentence(looop: Looop, path: str, named: str) -> None:
    """One file that cannot be read costs `state`, `asks` and `wait` nothing but what stood in it.

    Source: design §5; spec/beat.md §0.
    """
    looop("beat")
    spoil(looop, path)
    said = looop("state", "--json")
    assert said.code == 0, said.err
    assert len([sentence for sentence in said.json["damaged"] if named in sentence]) == 1
    assert said.json["goals"] == ["playbook-daily", "setup"]
    plain = looop("state")
    assert plain.code == 0
    assert any(line.startswith("! ") and named in line for line in plain.out.split("\n"))
    assert looop("asks").code == 0
    assert looop("wait").code == 2


@pytest.mark.parametrize("folder", ["goals", "snapshots", "sensors", "asks"])
def test_a_folder_that_is_a_file(looop: Looop, folder: str) -> None:
    """A folder that cannot be listed is a sentence, too; the rest of the view is there.

    Source: design §5.
    """
    looop("goal", "write", "x", "y")
    os.rename(looop.data / folder, looop.data / "away")
    looop.write(folder, "in the way")
    for words, code in ((("state", "--json"), 0), (("wait", "--json"), 2)):
        said = looop(*words)
        assert said.code == code, said.err
        assert any(folder in sentence for sentence in said.json["damaged"])
        assert len(said.json["journal_tail"]) == 1


def test_rows_of_the_ledger_that_are_none(looop: Looop) -> None:
    """Rows of the ledger that cannot be read are counted, and what is whole is added up.

    Source: design §6.
    """
    row = {"ts": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "kind": "tick", "id": "a", "runner": "r"}
    looop.write("cost.jsonl", json.dumps(row | {"cost_usd": 0.5}) + "\nbroken\n{\n")
    view = looop("state", "--json").json
    assert view["spent_today_usd"] == 0.5
    (sentence,) = view["damaged"]
    assert sentence.startswith("cost.jsonl: 2 rows")


def test_asks_reads_only_the_asks(looop: Looop) -> None:
    """`asks` shows ages without the state: nothing it does not need can stop it.

    Source: spec/cli.md §2 asks.
    """
    looop.write("asks/q.json", '{"id": "q", "worker": "w", "prompt": "Go?", "ts": 1}')
    for path in ("snapshots", "goals"):
        os.rename(looop.data / path, looop.data / f"{path}-away")
        looop.write(path, "in the way")
    said = looop("asks")
    assert (said.code, said.out.split(":")[0][:4]) == (0, "⚑ q ")
    assert "d ago): Go?" in said.out


def test_asks_names_what_is_damaged(looop: Looop) -> None:
    """A question that cannot be read is named on stderr; stdout holds the others.

    Source: spec/edge-cases.md item 198.
    """
    looop.write("asks/broken.json", "{")
    looop.write("asks/q.json", '{"id": "q", "worker": "w", "prompt": "Go?", "ts": 1}')
    said = looop("asks", "--json")
    assert said.code == 0
    assert [ask["id"] for ask in said.json] == ["q"]
    assert said.err.count("asks/broken.json") == said.err.count("\n") == 1
