"""A full disk: every write of a beat fails in turn. No traceback, no command run twice, and space heals it."""

import errno
from pathlib import Path

import pytest

from looop.decide import bundle
from tests.fakes.disk import QuickDisk, WatchedDisk
from tests.fakes.house import Home

WRITES = ("lock", "create", "write", "extend", "rename", "unlink", "mkdir")
APPEND = {"action": "run_shell", "cmd": "echo ran >> ran"}
REFLEX = """\
---
reflexes:
  - when: sensor.s.signal > 0
    move: {action: run_shell, cmd: "echo ran >> ran"}
---
"""


class FullDisk(WatchedDisk):
    """From the `at`-th changing call on, `count` of them find no space. `tried` counts them all.

    A disk that stays full still lets go of files.
    """

    def __init__(self) -> None:
        super().__init__()
        self.at, self.count, self.tried = -1, 0, 0

    def fill(self, at: int, count: int) -> None:
        self.at, self.count, self.tried = at, count, 0

    def meet(self, name, real, args):
        if name in ("sync", "sync_folder"):
            return None
        if name in WRITES and not (name == "unlink" and self.count > 1):
            self.tried += 1
            if 0 <= self.at < self.tried <= self.at + self.count:
                raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args)


def furnish(root: Path, *, by_reflex: bool) -> Home:
    home = Home(root, disk=FullDisk())
    home.write("PLAYBOOK.md", "judge\n")
    home.write("goals/g.md", "a goal\n")
    home.says("s", {"signal": 0})
    home.decides({"action": "noop"})
    home.run_beat()
    if by_reflex:
        home.write("goals/r.md", REFLEX)
    else:
        home.decides(APPEND)
    home.says("s", {"signal": 1})
    return home


def ran(home: Home) -> int:
    noted = home.root / "ran"
    return len(noted.read_text().splitlines()) if noted.exists() else 0


def decisions(home: Home) -> int:
    """How often somebody decided on the command: the reflex once on this world, the runner each time it is asked."""
    by_runner = home.asked - 1
    return by_runner if by_runner else 1


def count_writes(root: Path, *, by_reflex: bool) -> int:
    home = furnish(root, by_reflex=by_reflex)
    home.disk.fill(-1, 0)
    assert home.run_beat().ending == "decided" and ran(home) == 1
    return home.disk.tried


@pytest.mark.parametrize("by_reflex", [False, True], ids=["runner", "reflex"])
@pytest.mark.parametrize("count", [1, 10**6], ids=["one write", "from then on"])
def test_no_write_that_fails_repeats_a_command(tmp_path: Path, count: int, by_reflex: bool) -> None:
    """Whichever write finds no space, once or from then on: no exception, and one decision runs its command once.

    With space again the loop comes to rest by itself. Source: spec/edge-cases.md items 29, 118, 132, 240.
    """
    writes = count_writes(tmp_path / "count", by_reflex=by_reflex)
    assert writes > 20
    for at in range(writes):
        home = furnish(tmp_path / f"{at}", by_reflex=by_reflex)
        home.disk.fill(at, count)
        first = home.run_beat()
        assert first.ending in ("decided", "failed", "blocked", "idle"), at
        assert ran(home) <= decisions(home), at
        assert first.ending == "decided" or "No space left" in home.said, at
        home.disk.fill(-1, 0)
        if not by_reflex:
            home.decides({"action": "noop"})
        for _ in range(4):
            home.later(300)
        assert ran(home) <= 1, (at, ran(home))
        assert home.run_beat().reason == "world_unchanged", at
        assert not list(home.root.rglob("*.tmp")), at


def test_a_hash_that_cannot_be_written_is_decided_again(root: Path) -> None:
    """The move stands and the beat says loudly what it could not keep; the next one decides the same world again.

    Source: spec/edge-cases.md item 29.
    """

    class Full(QuickDisk):
        full = True

        def rename(self, source: str, target: str) -> None:
            if self.full and target.endswith(".last-tick-hash"):
                raise OSError(errno.ENOSPC, "No space left on device")
            super().rename(source, target)

    home = Home(root, disk=Full())
    home.decides(APPEND)
    assert home.run_beat().ending == "decided" and ran(home) == 1
    (warning,) = [line for line in home.lines if line["event"] == "tick.guard_degraded"]
    assert warning["level"] == "warn" and ".last-tick-hash" in warning["msg"] and "No space left" in warning["msg"]
    home.disk.full = False
    home.decides({"action": "noop"})
    assert home.run_beat().ending == "decided" and home.asked == 2
    assert home.run_beat().reason == "world_unchanged" and ran(home) == 1


def test_a_full_disk_asks_nobody(root: Path) -> None:
    """When nothing can be recorded, nobody is asked, nothing is executed, and the beat says why each time.

    Source: spec/edge-cases.md items 40, 41.
    """
    home = furnish(root, by_reflex=False)
    home.write("PLAYBOOK.md", "judge anew\n")
    home.disk.fill(0, 10**6)
    for _ in range(3):
        assert home.later(60).ending == "blocked"
    assert home.asked == 1 and ran(home) == 0
    assert len(home.bundles()) == 1
    home.disk.fill(-1, 0)
    assert home.run_beat().ending == "decided" and ran(home) == 1


def test_a_decision_that_cannot_be_removed_is_a_failure(root: Path) -> None:
    """The runner has worked, but its decision cannot be consumed: it is not executed, and the wait begins.

    Source: spec/edge-cases.md item 107, spec/beat.md §10.
    """

    class Sticky(QuickDisk):
        stuck = True

        def unlink(self, path):
            if self.stuck and path.endswith(".decision.json"):
                raise OSError(errno.ENOSPC, "No space left on device")
            super().unlink(path)

    home = Home(root, disk=Sticky())
    home.decides(APPEND)
    report = home.run_beat()
    assert report.ending == "failed" and "cannot be consumed" in report.reason
    assert home.record(".tick-backoff")["fails"] == 1 and ran(home) == 0
    assert len((home.root / "cost.jsonl").read_text().splitlines()) == 1
    assert home.later(60).ending == "blocked"
    home.disk.stuck = False
    assert home.run_beat().ending == "decided" and ran(home) == 1
    assert "tick.stale_decision" in home.codes()


@pytest.mark.parametrize("name", ["world.json", "memory.json", "prompt.md"])
def test_a_bundle_without_its_inputs_asks_nobody(root: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The runner is never started with a prompt that could not be written; no husk of a bundle stays behind.

    Source: spec/edge-cases.md items 39, 40.
    """
    home = Home(root)
    home.decides({"action": "noop"})
    fail_writing(monkeypatch, name)
    for _ in range(3):
        report = home.run_beat()
        assert report.ending == "blocked" and name in report.reason
    assert home.asked == 0 and home.bundles() == []
    assert home.record(".decide-ledger.json") is None and home.record(".tick-backoff") is None
    monkeypatch.undo()
    assert home.run_beat().ending == "decided"


@pytest.mark.parametrize("name", ["decision.json", "outcome.json", "output.log", "stream.jsonl"])
def test_a_bundle_without_its_ending_changes_nothing(root: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Once the runner has been paid for, a copy that cannot be written is a warning and the move is made.

    Source: spec/edge-cases.md item 96, design §7.
    """
    home = Home(root)
    home.decides(APPEND)
    fail_writing(monkeypatch, name)
    assert home.run_beat().ending == "decided"
    assert ran(home) == 1 and name in home.said
    assert [code for code in home.codes() if code == "tick.guard_degraded"] == ["tick.guard_degraded"]


def fail_writing(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def opened(path, mode="r", **options):
        if str(path).endswith(name) and "w" in mode:
            raise OSError(errno.ENOSPC, "No space left on device")
        return open(path, mode, **options)

    monkeypatch.setattr(bundle, "open", opened, raising=False)
