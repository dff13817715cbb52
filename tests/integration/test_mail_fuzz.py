"""Whatever stands in the mailbox' files, by hand, crash or malice: no traceback, no raw escape, one warning each."""

import io
import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from looop.__main__ import Loop
from looop.clients.cli.app import _perform
from looop.clients.cli.output import talk
from looop.contract.ask import ask, told
from looop.contract.questions import Question
from looop.model.errors import LooopError
from tests.fakes.house import Home
from tests.fakes.week import CutOff

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

ESCAPE = "\x1b[31mred\x1b]0;title\x07 \x9b2J \u202e"
HUGE = 10**40
GOOD: dict[str, dict[str, Any]] = {
    "asks": {"v": 1, "id": "w-1", "worker": "w", "prompt": "?", "ts": 5, "key": "k", "options": ["a", "b"]},
    "answers": {"answer": "yes", "ts": 6},
    "tells": {"v": 1, "id": "w-1", "worker": "w", "msg": "mind the gap", "ts": 5},
}
FIELDS = sorted({*GOOD["asks"], *GOOD["answers"], *GOOD["tells"], "detach", "taken", "expires", "urgency", "outcome"})
NAMES = [b"w-1", b"w-2", b"w-" + b"9" * 30, b"w-\xd9\xa3", b"..", b"a\\b", b"w-1\x1b[31m", b"w-\xff\xfe", b"w 1", b"-"]

VERBS = (
    *("asks", "asks --json", "asks w-1", "asks --all", "asks --all --json", "state", "told w", "told w-1 --json"),
    *("answer w-1 yes", "answer w-1 --option 2", "answer w-1 --force no", "ask withdraw w-1", "ask withdraw w-2"),
)

odd_values = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([HUGE, -HUGE, 2**63, 2**64, -1, 0, 1.5, ESCAPE, "w\0-1", "\ud800", "", "../w", "x" * 5000]),
    st.recursive(
        st.integers() | st.text(max_size=8), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    ),
)


def texts_of(record: dict[str, Any]) -> st.SearchStrategy[bytes]:
    """Records of which some fields are odd or missing, cut off somewhere, or not records at all."""
    changed = st.dictionaries(st.sampled_from(FIELDS), odd_values, max_size=4).map(lambda odd: record | odd)
    missing = st.sampled_from(sorted(record)).map(lambda gone: {k: v for k, v in record.items() if k != gone})
    whole = (changed | missing | odd_values).map(lambda value: json.dumps(value).encode())
    cut = st.tuples(whole, st.integers(0, 80)).map(lambda pair: pair[0][: pair[1]])
    deep = st.just(b"[" * 100_000) | st.just(b'{"worker":' * 3_000 + b"1" + b"}" * 3_000)
    return whole | cut | deep | st.binary(max_size=60)


folders = st.sampled_from(["asks", "answers", "tells"])
files = folders.flatmap(lambda folder: st.tuples(st.just(folder), st.sampled_from(NAMES), texts_of(GOOD[folder])))
Files = list[tuple[str, bytes, bytes]]


def encoded(**fields: Any) -> bytes:
    return json.dumps(GOOD["asks"] | fields).encode()


@given(st.lists(files, max_size=5))
@example([("asks", b"w-1", encoded(prompt=ESCAPE, options=[ESCAPE], reference=ESCAPE, worker=ESCAPE, id=ESCAPE))])
@example([("asks", b"w-1", encoded(ts=HUGE)), ("answers", b"w-1", b'{"answer": "yes", "ts": 1e999}')])
@example([("asks", b"w-1", encoded(ts=2**63 - 1, expires=2**63 - 1, taken=2**63 - 1))])
@example([("asks", b"w-1", encoded(id="w\0-1", worker="w\0")), ("answers", b"w-1", b"\xff")])
@example([("asks", b"w-1", encoded(v=2)), ("asks", b"w-2", b"{"), ("tells", b"w-1", b"{"), ("answers", b"w-1", b"")])
@settings(deadline=None, max_examples=50, suppress_health_check=list(HealthCheck))
def test_nothing_in_the_mailbox_breaks_anything(found: Files) -> None:
    """Verbs, the contract and beats over such files raise errors of ours or none, print nothing a terminal obeys, and
    each process says of each damage once what it is.

    Source: spec/workers.md §9, §12; edge cases 198, 211, 212, 238, 243.
    """
    with place(found) as home:
        beats(home)
        contract(home)
        for words in VERBS:
            verb(*words.split())
        contract(home)
        beats(home)


@contextmanager
def place(found: Files) -> Iterator[Home]:
    """A data dir with these files, and the environment of one who works in it."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="looop-fuzz-") as folder:
        home = Home(Path(folder) / "data")
        home.write("PLAYBOOK.md", "judge\n")
        for where, name, data in found:
            (home.root / where).mkdir(exist_ok=True)
            Path(os.fsdecode(os.path.join(os.fsencode(home.root), where.encode(), name + b".json"))).write_bytes(data)
        os.environ["LOOOP_DATA_DIR"] = str(home.root)
        try:
            yield home
        finally:
            os.environ.clear()
            os.environ.update(before)


def beats(home: Home) -> None:
    """Three beats of one process: each ends as a beat does, and what is damaged is said once."""
    home.furnish()
    home.rows.clear()
    for _ in range(3):
        assert home.later(60).ending in ("decided", "idle")
    said = Counter(row["error"] for row in home.events("guard_degraded"))
    assert set(said.values()) <= {1}, said
    assert clean(home.out.getvalue())


def contract(home: Home) -> None:
    """What a worker does: it asks under a key and is cut off, and hears; its errors are ours, and clean."""
    said: list[str] = []
    attempts: list[Callable[[], object]] = [
        lambda: ask(home.house, Question("?", worker="w", key="k"), CutOff(), said.append),
        lambda: told(home.house, "w"),
    ]
    for attempt in attempts:
        with suppress(LooopError):
            attempt()
    assert set(Counter(said).values()) <= {1}, said


def verb(*words: str) -> None:
    """One command, as a process of its own would run it: it ends with 0 or with an error of ours, and talks cleanly."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            _perform(list(words), Loop())
        except LooopError as error:
            talk(str(error))
        except SystemExit as end:
            assert end.code in (0, 1), (words, end)
    assert clean(out.getvalue()) and clean(err.getvalue()), (words, out.getvalue(), err.getvalue())
    assert set(Counter(err.getvalue().splitlines()).values()) <= {1}, (words, err.getvalue())
    if "--json" in words:
        json.loads(out.getvalue())


def clean(text: str) -> bool:
    """Whether a terminal would only print it."""
    return all(ch.isprintable() or ch in "\n\t" for ch in text)
