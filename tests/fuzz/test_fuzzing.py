"""The fuzzer's own tests: what it plays is what its targets mean, and it finds bugs that are planted for it."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.fuzz.mutate import VALUES, mutator
from tests.fuzz.planted import PLANTED
from tests.fuzz.play import Board, Player
from tests.fuzz.run import CACHE
from tests.fuzz.target import ROOT
from tests.fuzz.targets import SPLIT, TARGETS, mailbox, number, state, words

LIB = os.path.join(CACHE, "lib")
needs_atheris = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None and not os.path.isdir(os.path.join(LIB, "atheris")),
    reason="needs Atheris, which scripts/fuzz installs",
)


def fuzzed(tmp_path: Path, *words: str, lib: str = LIB) -> subprocess.CompletedProcess[str]:
    """The driver as scripts/fuzz starts it, with a cache of its own."""
    path = os.pathsep.join([os.path.join(ROOT, "src"), ROOT, lib])
    env = os.environ | {"PYTHONPATH": path, "LOOOP_FUZZ_CACHE": str(tmp_path)}
    program = [sys.executable, "-m", "tests.fuzz.run", *words]
    return subprocess.run(program, cwd=ROOT, env=env, capture_output=True, text=True, timeout=250)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", sorted(TARGETS))
def test_good_inputs_are_played(name: str) -> None:
    """Each target begins from inputs that keep their promise."""
    seeds = list(TARGETS[name].seeds())
    assert seeds
    for seed in Random(1).sample(seeds, min(len(seeds), 6)):
        TARGETS[name].one(seed)


def test_bytes_become_what_a_target_takes() -> None:
    """One byte names a file, a verb or a word; parts are cut where they say."""
    assert words(b"") == ["answer"]
    assert len(words(bytes(range(40)))) <= 10
    assert list(state(b"\x00{}" + SPLIT + b"\x01/").values()) == [b"{}", None]
    assert [(kind, data) for kind, _, data in mailbox(b"\x01\x00x" + SPLIT + b"\x02" + SPLIT)] == [("asks", b"x")]
    assert [number(data) for data in (b"12", b" -5\n", b"\x01\x00", b"", b"9" * 19)] == [12, -5, 256, 0, 0x3939393939]


def test_a_changed_input_mostly_keeps_its_form() -> None:
    """By tokens, JSON stays JSON often enough to get past a parser, and never grows over what is allowed."""
    change = mutator([b"word"], lambda data, most: data[:most])
    good = b'{"action": "noop", "reason": "calm", "tags": [1, 2, {"a": null}]}'
    changed = [change(good, 90, seed) for seed in range(2000)]
    assert max(map(len, changed)) <= 90
    assert len(set(changed)) > 1000
    assert sum(_is_json(data) for data in changed) > 700
    assert any(value in data for value in VALUES[:2] for data in changed)
    assert sum(b"word" in data for data in changed) > 5


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


def test_each_way_to_fail_is_kept_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An input that raises is saved, with its error and its place; another for the same is not, and the run goes on."""
    board = Board()
    player = Player("planted-key", PLANTED["planted-key"].one, str(tmp_path), board)
    for n in range(3):
        player.play(b'{"cadence": "every blue moon"%s}' % (b" " * n))
    player.play(b"fine")
    (kept,) = tmp_path.iterdir()
    assert kept.read_bytes() == b'{"cadence": "every blue moon"}'
    found = re.findall(r"^FAILED\t(.*)\t(.*)$", capsys.readouterr().out, re.MULTILINE)
    assert [(path, what[:23]) for path, what in found] == [(str(kept), "fuzz/planted.py:16: Key")]
    assert (board.count, board.data) == (4, b"fine")


def test_without_atheris_it_is_said(tmp_path: Path) -> None:
    """Where there is no Atheris the run says so in one line, and fails."""
    if importlib.util.find_spec("atheris"):
        pytest.skip("Atheris is installed beside the tests")
    done = fuzzed(tmp_path, "planted-key", lib="/nowhere")
    assert done.returncode == 1
    assert "Atheris" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(300)
@needs_atheris
@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("planted-key", "KeyError: 'every blue moon'"),
        ("planted-loop", "one input took more than 10 seconds"),
        ("planted-memory", "MemoryError"),
    ],
)
def test_planted_bugs_are_found(tmp_path: Path, name: str, what: str) -> None:
    """A bug behind a word, one that hangs and one that eats memory fail the run; their inputs fail again alone."""
    done = fuzzed(tmp_path, name, "--minutes", "3", "--failures", "1", "--seed", "5")
    assert done.returncode == 1, done.stdout + done.stderr
    assert what in done.stdout, done.stdout
    again = re.search(r"again: scripts/fuzz (\S+ --play \S+)", done.stdout)
    assert again
    assert fuzzed(tmp_path, *again[1].split(), lib="/nowhere").returncode == 1


@pytest.mark.slow
@pytest.mark.timeout(300)
@needs_atheris
def test_a_target_is_fuzzed_with_coverage(tmp_path: Path) -> None:
    """A target without bugs plays hundreds of inputs, reaches code that its seeds do not, and the run succeeds."""
    done = fuzzed(tmp_path, "condition", "--minutes", "0.1", "--seed", "5")
    assert done.returncode == 0, done.stdout + done.stderr
    row = re.search(r"^condition +(\d+) +\d+ +(\d+) → (\d+) +\d+ → \d+ +0$", done.stdout, re.MULTILINE)
    assert row, done.stdout
    assert int(row[1]) > 300
    assert int(row[3]) > int(row[2]) > 100
