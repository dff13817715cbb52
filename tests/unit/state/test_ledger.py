"""The cost ledger: what of it can be read, and setting aside what cannot."""

from pathlib import Path

import pytest

from looop.model.errors import Unreadable
from looop.model.records import CostRow
from looop.state.ledger import DAMAGED, KEY, CostLedger
from looop.store.files import FileStore
from looop.store.memory import MemoryStore
from tests.fakes.disk import Died, DyingDisk, QuickDisk, WatchedDisk

GOOD = b'{"ts":"2026-11-21T10:00:00Z","kind":"tick","id":"a","runner":"r","cost_usd":0.5}\n'
OTHER = b'{"ts":"2026-11-21T11:00:00Z","kind":"worker","id":"b","runner":"r","cost_usd":0.25}\n'
BAD = (b"{torn\n", b'{"ts":"soon","kind":"tick","id":"a","runner":"r"}\n', b"\xff\xfe\n")
NEGATIVE = b'{"ts":"2026-11-21T10:00:00Z","kind":"tick","id":"a","runner":"r","cost_usd":-1}\n'
NAN = b'{"ts":"2026-11-21T10:00:00Z","kind":"tick","id":"a","runner":"r","cost_usd":NaN}\n'


def test_damaged_lines_go_and_rows_stay() -> None:
    """Every line that is no row goes to cost.jsonl.damaged as it is; the rows keep their bytes and order."""
    store = MemoryStore()
    for line in (BAD[0], GOOD, BAD[1], BAD[2], OTHER, NEGATIVE, NAN):
        store.append(KEY, line)
    ledger = CostLedger(store)
    assert ledger.read().damaged == 5
    assert ledger.repair() == 5
    assert ledger.read().damaged == 0
    assert store.read(KEY).data == GOOD + OTHER
    assert store.read(DAMAGED).data == b"".join((*BAD, NEGATIVE, NAN))


@pytest.mark.parametrize("text", [None, b"", GOOD, GOOD + b"\n \n" + OTHER])
def test_a_whole_ledger_is_left_alone(text: bytes | None) -> None:
    """Without a damaged line nothing is written, and nothing is made."""
    store = MemoryStore()
    if text is not None:
        store.write(KEY, text)
    assert CostLedger(store).repair() == 0
    assert (store.read(KEY).data if text is not None else store.read(KEY)) == text
    assert store.read(DAMAGED) is None


def test_later_damage_is_added() -> None:
    """What was set aside before stays; a line that only ends like one that is there is another line."""
    store = MemoryStore()
    store.write(DAMAGED, b"older xb\n")
    store.write(KEY, b"xb\n" + GOOD)
    assert CostLedger(store).repair() == 1
    assert store.read(DAMAGED).data == b"older xb\nxb\n"
    store.append(KEY, b"new\n")
    assert CostLedger(store).repair() == 1
    assert store.read(DAMAGED).data == b"older xb\nxb\nnew\n"


def test_a_row_that_comes_meanwhile_is_kept() -> None:
    """A run that ends while the ledger is repaired is in the new ledger, too."""

    class Busy(MemoryStore):
        def swap(self, key, old, new):
            if not self.read(KEY).data.endswith(OTHER):
                self.append(KEY, OTHER)
            return super().swap(key, old, new)

    store = Busy()
    store.write(KEY, GOOD + BAD[0])
    assert CostLedger(store).repair() == 1
    assert store.read(KEY).data == GOOD + OTHER


def test_a_kill_at_any_call_leaves_the_old_ledger_or_the_new(tmp_path: Path) -> None:
    """Whatever call of the disk is the last: the rows are whole, every damaged line is somewhere, and the next repair
    ends the work without setting a line aside twice."""
    old, new, aside = GOOD + BAD[0] + OTHER + BAD[2], GOOD + OTHER, BAD[0] + BAD[2]
    watched = WatchedDisk()
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / KEY).write_bytes(old)
    CostLedger(FileStore(str(tmp_path / "all"), watched)).repair()
    assert len(watched.calls) > 10
    for at in range(len(watched.calls)):
        root = tmp_path / str(at)
        root.mkdir()
        (root / KEY).write_bytes(old)
        with pytest.raises(Died):
            CostLedger(FileStore(str(root), DyingDisk(at))).repair()
        left = (root / KEY).read_bytes()
        assert left in (old, new)
        if left == new:
            assert (root / DAMAGED).read_bytes() == aside
        CostLedger(FileStore(str(root), QuickDisk())).repair()
        assert ((root / KEY).read_bytes(), (root / DAMAGED).read_bytes()) == (new, aside)


def test_a_ledger_that_cannot_be_read_is_not_touched(tmp_path: Path) -> None:
    """A folder in its place is an error that says so, and stays."""
    (tmp_path / KEY).mkdir()
    with pytest.raises(Unreadable, match=KEY):
        CostLedger(FileStore(str(tmp_path))).repair()
    assert (tmp_path / KEY).is_dir()


def test_what_is_appended_is_read() -> None:
    """A row comes back as it was given, with its time."""
    store, row = MemoryStore(), CostRow("1970-01-01T00:01:00Z", "worker", "w", "r", tokens={"total": 5}, goal="g")
    CostLedger(store).append(row)
    assert CostLedger(store).read().rows == [(60, row)]


@pytest.mark.parametrize("torn", [b"{", GOOD[:20], b"\0\0\0"])
@pytest.mark.parametrize("before", [b"", GOOD, BAD[0] + GOOD])
def test_an_unfinished_end_is_set_aside(before: bytes, torn: bytes) -> None:
    """A last line that was never finished goes, once; damage further up stays for a person."""
    store = MemoryStore()
    store.write(KEY, before + torn)
    assert CostLedger(store).mend_end() and not CostLedger(store).mend_end()
    assert (store.read(KEY).data, store.read(DAMAGED).data) == (before, torn + b"\n")


@pytest.mark.parametrize("text", [b"", GOOD, GOOD.rstrip(b"\n"), GOOD + BAD[0]])
def test_a_finished_end_stays(text: bytes) -> None:
    """A whole row without its line end is a row, and a damaged line with one is no torn end."""
    store = MemoryStore()
    store.write(KEY, text)
    assert not CostLedger(store).mend_end() and store.read(KEY).data == text
