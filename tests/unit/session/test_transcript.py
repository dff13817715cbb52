"""The transcript: byte for byte, bounded, and a full disk costs output and nothing else."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looop.session.record import LOG, OLDER_LOG, Folder
from looop.session.transcript import Transcript, _note_modes
from tests.fakes.tiny import fill, tiny_disk

MARK = re.compile(rb"\x1b_looop;([^\x1b]*)\x1b\\")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    folder = Folder(str(tmp_path))
    yield folder
    folder.close()


def read(folder: Folder, name: str = LOG) -> bytes:
    return Path(folder.path, name).read_bytes()


def marks(data: bytes) -> list[str]:
    return [found.decode() for found in MARK.findall(data)]


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=30))
def test_what_is_printed_is_kept(tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes]) -> None:
    """Without a bound the log is the output, byte for byte, and its size is the total. Source: workers.md §3.2."""
    folder = Folder(str(tmp_path_factory.mktemp("s")))
    transcript = Transcript(folder, (80, 24), 0)
    for chunk in chunks:
        transcript.write(chunk)
    assert read(folder) == b"".join(chunks)
    assert transcript.total == len(read(folder))
    assert transcript.tail(7) == read(folder)[-7:]
    folder.close()


@given(st.lists(st.binary(min_size=1, max_size=300).filter(lambda data: b"\x1b" not in data), max_size=40))
def test_a_bound_keeps_one_to_two_bounds(tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes]) -> None:
    """The end of the output is there, from the offset the first mark names. Source: users.md, Disk."""
    folder = Folder(str(tmp_path_factory.mktemp("s")))
    transcript, limit = Transcript(folder, (80, 24), 1000), 1000
    for chunk in chunks:
        transcript.write(chunk)
    whole = b"".join(chunks)
    kept = (read(folder, OLDER_LOG) if os.path.exists(os.path.join(folder.path, OLDER_LOG)) else b"") + read(folder)
    first = re.match(rb"\x1b_looop;size=80x24;offset=(\d+)\x1b\\", kept)
    assert MARK.sub(b"", kept) == whole[int(first[1]) if first else 0 :]
    assert min(len(whole), limit) <= len(MARK.sub(b"", kept)) < 2 * (limit + 300)
    assert transcript.total == len(whole)
    folder.close()


def test_a_generation_begins_with_the_modes_in_force(folder: Folder) -> None:
    """Somebody who reads from the middle gets the terminal into the mode it was in. See Note [Rotation]."""
    transcript = Transcript(folder, (80, 24), 100)
    transcript.write(b"\x1b[?1049h\x1b[?25l\x1b[?1;2004h" + b"x" * 100 + b"\x1b[?2004l")
    transcript.write(b"later")
    assert read(folder) == b"\x1b_looop;size=80x24;offset=132\x1b\\\x1b[?1049h\x1b[?25l\x1b[?1hlater"
    transcript.write(b"y" * 100)
    transcript.write(b"last")
    assert read(folder).endswith(b"\x1b[?1049h\x1b[?25l\x1b[?1hlast")


@given(
    st.lists(
        st.sampled_from([b"\x1b[?25h", b"\x1b[?25l", b"\x1b[?1;7h", b"\x1b[?7l", b"\x1bc", b"x", b"\x1b[?", b"\x1b"])
    ),
    st.integers(1, 9),
)
def test_modes_are_found_across_every_cut(parts: list[bytes], step: int) -> None:
    """Where the log is cut into chunks makes no difference to what is found. See Note [Rotation]."""
    data = b"".join(parts)
    whole: dict[bytes, bool] = {}
    _note_modes(data, whole)
    found: dict[bytes, bool] = {}
    rest = b""
    for at in range(0, len(data), step):
        rest = _note_modes(rest + data[at : at + step], found)
    assert list(found.items()) == list(whole.items())


def test_a_reset_resets_the_modes(folder: Folder) -> None:
    """After a full reset of the terminal only what came after it is in force. See Note [Rotation]."""
    transcript = Transcript(folder, (80, 24), 10)
    transcript.write(b"\x1b[?1049h\x1bc\x1b[?25l\x1b[?7h")
    transcript.write(b"x")
    assert read(folder).endswith(b"\x1b\\\x1b[?25lx")


def test_sizes_are_marked(folder: Folder) -> None:
    """A size other than the usual one stands at the start, each change where it happens. See Note [Marks]."""
    transcript = Transcript(folder, (100, 30), 10)
    transcript.write(b"012345678")
    transcript.resize((120, 40))
    assert read(folder) == b"\x1b_looop;size=100x30\x1b\\012345678\x1b_looop;size=120x40\x1b\\"
    transcript.write(b"x")
    assert marks(read(folder)) == ["size=120x40;offset=51"]


def test_changes_of_size_alone_are_bounded_too(folder: Folder) -> None:
    """Whoever changes the size for ever fills no disk. Source: users.md, Disk."""
    transcript = Transcript(folder, (80, 24), 1000)
    for turn in range(1000):
        transcript.resize((80 + turn % 2, 24))
    assert sum(os.path.getsize(os.path.join(folder.path, name)) for name in (LOG, OLDER_LOG)) < 3000


def test_a_removed_log_is_begun_anew(folder: Folder) -> None:
    """A log somebody removed is missed, and another is begun. Source: spec/workers.md §3.2."""
    transcript = Transcript(folder, (80, 24), 0)
    transcript.write(b"one")
    assert not transcript.is_removed()
    os.unlink(os.path.join(folder.path, LOG))
    assert transcript.is_removed()
    transcript.reopen()
    transcript.write(b"two")
    assert read(folder) == b"two"


def test_what_cannot_be_rotated_is_bounded_all_the_same(folder: Folder) -> None:
    """Where the older log cannot be replaced, the log begins anew and a problem says why. Source: users.md, Disk."""
    os.mkdir(os.path.join(folder.path, OLDER_LOG))
    transcript = Transcript(folder, (80, 24), 1000)
    for _ in range(100):
        transcript.write(b"x" * 100)
        assert os.path.getsize(os.path.join(folder.path, LOG)) <= 1200
    assert OLDER_LOG in transcript.problem
    assert transcript.total > 10_000, "the marks count, too"


def test_without_a_log_there_is_a_problem_and_no_error(folder: Folder) -> None:
    """A log that cannot be opened costs the output, until it can be. Source: edge case 240."""
    os.mkdir(os.path.join(folder.path, LOG))
    transcript = Transcript(folder, (80, 24), 100)
    transcript.write(b"lost" * 100)
    assert "Is a directory" in transcript.problem
    assert (transcript.total, transcript.tail(9), transcript.is_removed()) == (0, b"", False)
    os.rmdir(os.path.join(folder.path, LOG))
    transcript.write(b"kept")
    assert read(folder) == b"\x1b_looop;lost=400\x1b\\kept"


def test_a_full_disk_costs_what_it_did_not_take(tmp_path: Path) -> None:
    """On a full disk the log says how much is missing as soon as there is room, and where. Source: edge case 240."""
    with tiny_disk(tmp_path / "disk", 64) as disk:
        folder = Folder(str(disk))
        transcript = Transcript(folder, (80, 24), 0)
        transcript.write(b"before")
        ballast = fill(disk)
        for _ in range(20):
            transcript.write(b"x" * 1000)
        assert "No space left" in transcript.problem
        kept = transcript.total - len(b"before")
        ballast.unlink()
        transcript.write(b"after")
        assert read(folder) == b"before" + b"x" * kept + b"\x1b_looop;lost=%d\x1b\\after" % (20_000 - kept)
        folder.close()
