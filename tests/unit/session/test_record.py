"""The records of a session: whole or the one before, on any disk, and a folder that says who made it."""

import errno
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from looop.session.kin import birth
from looop.session.record import META, STATUS, Folder, is_left_over, read_record, remove, settle, stamp, temporary
from tests.fakes.tiny import fill, tiny_disk


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    (tmp_path / "s").mkdir()
    folder = Folder(str(tmp_path / "s"))
    folder.write_meta({"id": "s"})
    yield folder
    folder.close()


def path_in(folder: Folder, name: str) -> str:
    return os.path.join(folder.path, name)


def test_a_record_reads_back(folder: Folder) -> None:
    """What is written is read, by path and by folder; the file is what other programs read. Source: workers.md §3.2."""
    folder.write_status({"state": "running", "error": "日本 \udcff"})
    assert read_record(path_in(folder, STATUS)) == read_record(STATUS, folder.fd)
    assert read_record(path_in(folder, META)) == {"id": "s"}
    assert json.loads(Path(path_in(folder, STATUS)).read_text())["error"] == "日本 \udcff"
    assert sorted(os.listdir(folder.path)) == sorted([META, STATUS])


def test_the_folder_is_the_same_wherever_it_is_moved(folder: Folder, tmp_path: Path) -> None:
    """A data dir that is moved takes its sessions along. Source: spec/workers.md §3.2."""
    os.rename(folder.path, tmp_path / "moved")
    folder.write_status({"state": "exited"})
    assert read_record(str(tmp_path / "moved" / STATUS)) == {"state": "exited"}
    assert not folder.is_gone()


def test_a_removed_folder_takes_no_record(folder: Folder) -> None:
    """Where the folder is gone, or only its record, nothing is written any more. Source: users.md, Orphans."""
    os.unlink(path_in(folder, META))
    assert folder.is_gone()
    with pytest.raises(FileNotFoundError, match="removed"):
        folder.write_status({"state": "running"})
    os.rmdir(folder.path)
    assert folder.is_gone()
    with pytest.raises(FileNotFoundError):
        folder.write_status({"state": "running"})


@pytest.mark.parametrize("data", [b"", b'{"state": "runn', b"[1]", b"null", b"\xff\xfe"])
def test_half_a_record_is_a_value_error(folder: Folder, data: bytes) -> None:
    """What a crash left is told from what is absent. Source: spec/workers.md §3.3."""
    Path(path_in(folder, STATUS)).write_bytes(data)
    with pytest.raises(ValueError):
        read_record(path_in(folder, STATUS))


def test_what_is_absent_is_none_and_what_is_no_file_an_error(folder: Folder) -> None:
    """Absent is None; a folder, a pipe, or what may not be read is never taken for it. Source: workers.md §3.3."""
    assert read_record(path_in(folder, STATUS)) is None
    os.mkdir(path_in(folder, STATUS))
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    with pytest.raises(OSError):
        read_record(path_in(folder, STATUS))
    os.rmdir(path_in(folder, STATUS))
    os.mkfifo(path_in(folder, STATUS))
    with pytest.raises(ValueError):
        read_record(path_in(folder, STATUS))
    assert before in (0, len(os.listdir("/proc/self/fd")))


def test_a_command_of_two_megabytes_is_a_record(folder: Folder) -> None:
    """A command may be as long as the kernel allows, and is still found. Source: spec/workers.md §3.2."""
    record = {"cmd": ["日" * 40_000] * 15}
    folder.write_meta(record)
    assert read_record(path_in(folder, META)) == record


def test_the_last_word_fits_a_full_disk(tmp_path: Path) -> None:
    """On a full disk a status takes the place of the one before; a later process can do that, too.

    Source: edge case 240.
    """
    with tiny_disk(tmp_path / "disk", 64) as disk:
        (disk / "s").mkdir()
        folder = Folder(str(disk / "s"))
        folder.write_meta({"id": "s"})
        folder.write_status({"state": "running", "problem": "x" * 900})
        fill(disk)
        folder.write_status({"state": "exited", "exit_code": 3})
        assert read_record(STATUS, folder.fd) == {"state": "exited", "exit_code": 3}
        folder.close()
        later = Folder(str(disk / "s"))
        later.write_status({"state": "killed"})
        assert read_record(STATUS, later.fd) == {"state": "killed"}
        assert sorted(os.listdir(disk / "s")) == sorted([META, STATUS])
        later.close()


def test_the_first_word_does_not_begin_what_cannot_be_written(tmp_path: Path) -> None:
    """A record that fits in part only is an error, and leaves no part. Source: edge case 240."""
    with tiny_disk(tmp_path / "disk", 64) as disk:
        (disk / "s").mkdir()
        folder = Folder(str(disk / "s"))
        with pytest.raises(OSError, match="No space left"):
            folder.write_meta({"cmd": ["x" * 100_000]})
        assert os.listdir(disk / "s") == []
        folder.close()


def test_a_folder_that_cannot_be_synced_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some file systems sync no folders, and one may be gone by now: what is on the disk is as much as they give."""
    synced: list[int] = []

    def refuse(fd: int) -> None:
        synced.append(os.fstat(fd).st_ino)
        raise OSError(errno.EINVAL, "no")

    monkeypatch.setattr(os, "fsync", refuse)
    before = os.listdir("/dev/fd")
    settle(str(tmp_path))
    settle(str(tmp_path / "gone"))
    assert synced == [os.stat(tmp_path).st_ino]
    assert os.listdir("/dev/fd") == before


def test_a_limit_on_files_is_a_full_disk(folder: Folder) -> None:
    """Where the kernel takes a part of a write and then no more, the part is no record. Source: edge case 240."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from looop.session.record import Folder\n"
        "folder = Folder(sys.argv[2])\n"
        "try:\n    folder.write_meta({'cmd': ['x' * 9000]})\nexcept OSError as error:\n    print(error.strerror)"
    )
    source = os.path.dirname(os.path.dirname(sys.modules["looop"].__file__ or ""))
    told = subprocess.run(
        [sys.executable, "-c", script, source, folder.path],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
        capture_output=True,
        text=True,
    )
    assert told.stdout in ("No space left on device\n", "File too large\n")
    assert read_record(META, folder.fd) == {"id": "s"}
    assert os.listdir(folder.path) == [META]


def test_a_temporary_name_says_whose_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody who lives has made is left alone; what the dead have left is not. Source: edge case 155."""
    ours = temporary()
    assert not is_left_over(ours)
    assert ours != temporary()
    child = subprocess.run(
        [sys.executable, "-c", "from looop.session.record import temporary; print(temporary())"],
        env={"PYTHONPATH": os.path.dirname(os.path.dirname(sys.modules["looop"].__file__ or ""))},
        capture_output=True,
        text=True,
    )
    assert is_left_over(child.stdout.strip())
    if born := birth(os.getpid()):
        assert is_left_over(ours.replace(born, "other-123"))


@pytest.mark.parametrize("name", ["", "a", ".", ".tmp", ".a.tmp", ".1.tmp", ".x.y.z.tmp", ".1.2.3.4.tmp", "1.2.3.tmp"])
def test_what_others_have_made_is_no_left_over(name: str) -> None:
    """Only names of our own making are ever removed. Source: edge case 168."""
    assert not is_left_over(name)


def test_remove_takes_everything_but_what_links_lead_to(tmp_path: Path) -> None:
    """A folder goes with all that is in it; what a link points at stays. Source: spec/workers.md §7."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("")
    grave = tmp_path / "grave"
    (grave / "deep" / "er").mkdir(parents=True)
    (grave / "deep" / "file").write_text("")
    (grave / "deep" / "link").symlink_to(tmp_path / "kept")
    (grave / "dangling").symlink_to(tmp_path / "nowhere")
    remove(str(grave))
    assert not grave.exists()
    assert (tmp_path / "kept" / "file").exists()
    remove(str(grave))


def test_a_time_is_rfc_3339() -> None:
    """Times on disk are what the reference program writes. Source: spec/workers.md §3.2."""
    assert stamp(1_795_268_060.9) == "2026-11-21T13:34:20Z"
