"""The gates of a beat over a real folder: when it decides, when it idles, and what a failure costs."""

import json
import os
from pathlib import Path
from typing import ClassVar

import pytest

from looop.config.file import Config
from looop.rules.world import digest
from tests.fakes.disk import QuickDisk
from tests.fakes.house import Home

NOOP = {"action": "noop", "journal": "looked"}


@pytest.fixture
def home(root: Path) -> Home:
    made = Home(root)
    made.write("PLAYBOOK.md", "judge well\n")
    made.says("s", {"signal": 1})
    made.decides(NOOP)
    return made


def test_an_unchanged_world_costs_nothing(home: Home) -> None:
    """The second beat asks nobody, makes no bundle, touches no backoff, and says `world_unchanged`.

    Source: spec/edge-cases.md item 21.
    """
    assert home.run_beat().ending == "decided"
    report = home.later(3600)
    assert (report.ending, report.reason) == ("idle", "world_unchanged")
    assert home.asked == 1 and len(home.bundles()) == 1
    assert home.events("world_unchanged") and home.codes()[-1] == "tick.skip"
    assert home.record(".tick-backoff") is None


def test_the_events_of_a_beat_stand_in_order(home: Home) -> None:
    """tick_start, sense_done, decide_start, decided: the order a reader of the log relies on.

    Source: spec/beat.md §1, §14.
    """
    home.run_beat()
    assert [row["event"] for row in home.rows] == ["tick_start", "sense_done", "decide_start", "decided"]
    decided = home.events("decided")[0]
    assert (decided["action"], decided["journal"]) == ("noop", "looked")
    assert decided["run_id"] == home.events("decide_start")[0]["run_id"] == home.bundles()[0].name


def test_only_signals_and_policy_move_the_world(home: Home) -> None:
    """A detail, a reordered object or an edited script wakes nobody; a signal, the PLAYBOOK and a goal do.

    Source: spec/edge-cases.md items 1-4, 10, 12.
    """
    home.says("s", {"signal": {"a": 1, "b": 2}, "detail": 1})
    home.run_beat()
    home.says("s", {"detail": 2, "signal": {"b": 2, "a": 1}})
    home.sensor("s", "# edited\ncat values/s")
    assert home.run_beat().ending == "idle"
    for change in ("values/s", "PLAYBOOK.md", "goals/g.md"):
        home.write(change, "3")
        assert home.run_beat().ending == "decided", change
    (home.root / "goals/archive").mkdir()
    (home.root / "goals/g.md").rename(home.root / "goals/archive/g.md")
    report = home.run_beat()
    assert [(change.kind, change.name) for change in report.changes or []] == [("removed", "goal:g")]


def test_a_null_signal_is_a_signal(home: Home) -> None:
    """`signal: null` hides the rest of the object from the hash, because the key decides.

    Source: spec/edge-cases.md item 3.
    """
    home.says("s", {"signal": None, "other": 1})
    home.run_beat()
    home.says("s", {"signal": None, "other": 2})
    assert home.run_beat().ending == "idle"


def test_bodies_of_equal_length_that_are_not_json_differ(home: Home) -> None:
    """Non-JSON readings are compared by content, in the hash and in what changed.

    Source: spec/edge-cases.md item 5.
    """
    home.write("values/s", "abc")
    home.run_beat()
    home.write("values/s", "abd")
    report = home.run_beat()
    change = (report.changes or [])[0]
    assert change.old != change.new and "3 bytes" in str(change.new)


def test_a_forced_beat_decides_over_an_unchanged_world(home: Home) -> None:
    """The first beat of a pulse decides anyway, and the prompt says that nothing changed.

    Source: spec/edge-cases.md items 17, 23.
    """
    home.run_beat()
    assert home.run_beat(forced=True).ending == "decided"
    assert "tick.forced" in home.codes()
    assert "=== WHAT CHANGED" in home.prompt and "this decide was forced" in home.prompt


def test_a_forced_beat_respects_the_wait_and_the_cap(home: Home) -> None:
    """A crash-restart loop cannot spend without limit.

    Source: spec/edge-cases.md item 24.
    """
    home.runner("exit 1")
    assert home.run_beat(forced=True).ending == "failed"
    assert home.run_beat(forced=True).reason == "tick_backoff"
    home.furnish(max_decides_per_hour=1)
    assert home.later(100, forced=True).reason == "tick_capped"
    assert home.asked == 1


def test_a_failed_decide_leaves_the_world_open(home: Home) -> None:
    """The hash stays uncommitted, so the same world is tried again, and after a success it is settled.

    Source: spec/edge-cases.md items 28, 33.
    """
    home.runner("exit 3")
    assert home.run_beat().ending == "failed"
    assert home.record(".last-failure.json")["code"] == "tick.failed"
    home.decides(NOOP)
    assert home.later(60).ending == "decided"
    assert "=== LAST FAILURE" in home.prompt and "exited with 3" in home.prompt
    assert home.record(".tick-backoff") is None and home.record(".last-failure.json") is None
    assert home.run_beat().ending == "idle"


def test_the_wait_doubles_up_to_its_cap(home: Home) -> None:
    """60, 120, 240, then 300 seconds between attempts; LOOOP_BACKOFF_CAP sets the cap.

    Source: spec/beat.md §6.2, spec/edge-cases.md item 38, design §3 row 3.
    """
    home.runner("exit 1")
    home.run_beat()
    for fails, wait in enumerate((60, 120, 240, 300, 300), 1):
        assert home.later(wait - 1).reason == "tick_backoff"
        assert home.events("tick_backoff")[-1] | {"ts": 0} == {
            "ts": 0,
            "event": "tick_backoff",
            "fails": fails,
            "retry_in_s": 1,
        }
        assert home.later(1).ending == "failed"
    home.furnish(backoff_cap=10)
    assert home.later(10).ending == "failed"


def test_a_moving_world_does_not_cut_the_wait(home: Home) -> None:
    """Sensor churn while waiting changes nothing, and the count goes on growing.

    Source: spec/edge-cases.md items 30, 32, 268.
    """
    home.runner("echo $(date +%N) > values/s; exit 1")
    home.run_beat()
    home.says("s", {"signal": 2})
    assert home.run_beat().reason == "tick_backoff"
    home.later(60)
    assert home.record(".tick-backoff")["fails"] == 2


@pytest.mark.parametrize("path", ["PLAYBOOK.md", "goals/new.md"])
def test_a_policy_edit_cuts_the_wait_and_keeps_the_count(home: Home, path: str) -> None:
    """A person who edits PLAYBOOK or a goal is heard at once, but the failures are not forgotten.

    Source: spec/edge-cases.md item 31.
    """
    home.runner("exit 1")
    home.run_beat()
    home.write(path, "edited")
    assert home.run_beat().ending == "failed"
    assert "tick.backoff_cut" in home.codes()
    assert home.record(".tick-backoff")["fails"] == 2
    assert home.run_beat().reason == "tick_backoff"


def test_a_clock_set_back_does_not_crash_the_wait(home: Home) -> None:
    """A record from the future counts as just made.

    Source: spec/edge-cases.md item 37.
    """
    home.runner("exit 1")
    home.run_beat()
    assert home.later(-9000).reason == "tick_backoff"
    assert home.events("tick_backoff")[-1]["retry_in_s"] == 60


def test_a_huge_count_of_failures_is_capped(home: Home) -> None:
    """A count beyond all reason waits the cap, and the next failure is still recorded.

    Source: spec/edge-cases.md item 36.
    """
    home.write(".tick-backoff", json.dumps({"v": 1, "hash": "x", "fails": 10**30, "ts": home.clock.now() - 299}))
    home.runner("exit 1")
    home.run_beat()
    assert home.record(".tick-backoff")["fails"] == 10**30 + 1
    assert home.later(299).reason == "tick_backoff"
    assert home.later(1).ending == "failed"


def test_a_forced_decide_that_fails_stays_armed(home: Home) -> None:
    """It is tried again over the unchanged world, after the wait, until it succeeds.

    Source: spec/edge-cases.md item 267, design §3 row 4.
    """
    home.run_beat()
    home.runner("exit 1")
    assert home.run_beat(forced=True).ending == "failed"
    assert home.later(59).reason == "tick_backoff"
    assert home.later(1).ending == "failed"
    home.decides(NOOP)
    assert home.later(120).ending == "decided"
    assert home.run_beat().reason == "world_unchanged"


def test_an_armed_decide_gives_way_to_a_real_change(home: Home) -> None:
    """When a real change fails in its place, the old world is settled again and asks nobody.

    Source: spec/edge-cases.md item 267, design §3 row 4.
    """
    home.run_beat()
    home.runner("exit 1")
    home.run_beat(forced=True)
    assert home.record(".tick-backoff")["armed"] is True
    home.says("s", {"signal": 2})
    assert home.later(60).ending == "failed"
    assert home.record(".tick-backoff")["armed"] is False
    home.says("s", {"signal": 1})
    assert home.later(120).reason == "world_unchanged"


def test_an_old_noop_is_looked_at_again_once_per_window(home: Home) -> None:
    """After the TTL the same world is decided once more, and the new noop restarts the clock.

    Source: spec/edge-cases.md item 25.
    """
    home.furnish(noop_ttl=100)
    home.run_beat()
    assert home.later(99).ending == "idle"
    assert home.later(1).ending == "decided"
    assert home.events("noop_revisit") and "tick.revisit" in home.codes()
    assert home.later(99).ending == "idle"
    assert home.later(1).ending == "decided"


def test_only_a_noop_on_this_world_is_revisited(home: Home) -> None:
    """Another move deletes the record; a noop on another world, a TTL of 0 and a corrupt record never revisit.

    Source: spec/edge-cases.md items 26, 27.
    """
    home.run_beat()
    kept = home.record(".noop-at.json")
    for content in ({"v": 1, "ts": 0, "hash": "other"}, {"ts": 0}, {"hash": 5}):
        home.write(".noop-at.json", json.dumps(content))
        assert home.later(30000).ending == "idle", content
    home.write(".noop-at.json", json.dumps({"hash": kept["hash"]}))
    assert home.run_beat().ending == "decided"
    home.furnish(noop_ttl=0)
    assert home.later(10**6).ending == "idle"
    home.decides({"action": "write_goal", "id": "g", "body": "x"})
    home.run_beat(forced=True)
    assert home.record(".noop-at.json") is None


def test_each_file_is_read_once_a_beat(root: Path) -> None:
    """A reading and a goal that differ each time they are read are one value to hash, baseline and prompt.

    Source: spec/edge-cases.md item 13.
    """

    class Restless(QuickDisk):
        times: ClassVar[dict[str, int]] = {}

        def read(self, path: str) -> tuple[bytes, int]:
            data, mtime_ns = super().read(path)
            name = os.path.basename(path)
            if name in ("sensor-s.json", "g.md"):
                self.times[name] = self.times.get(name, 0) + 1
                data = b"read %d" % self.times[name]
            return data, mtime_ns

    home = Home(root, disk=Restless())
    home.write("goals/g.md", "x")
    home.says("s", 1)
    home.decides(NOOP)
    report = home.run_beat()
    times = dict(Restless.times)
    items = home.record(".last-world.json")
    assert times == {"sensor-s.json": 1, "g.md": 1}
    assert digest(b"read 1") in items["snap:sensor-s"] and items["goal:g"] == digest(b"read 1")
    assert home.record(".noop-at.json")["hash"] == report.world_hash
    assert home.prompt.count("read 1") == 2 and "read 2" not in home.prompt


def test_the_moves_own_effects_are_news_next_time(home: Home) -> None:
    """The baseline is the world as sensed before the move, so what the move did shows up once.

    Source: spec/edge-cases.md items 14, 15.
    """
    home.decides({"action": "write_goal", "id": "g", "body": "x"})
    home.run_beat()
    home.decides(NOOP)
    report = home.run_beat()
    assert [(change.kind, change.name) for change in report.changes or []] == [("added", "goal:g")]
    assert home.run_beat().ending == "idle"


def test_a_change_while_the_runner_works_is_news_next_time(home: Home) -> None:
    """What changes after sensing belongs to the next beat, once.

    Source: spec/edge-cases.md items 13, 14.
    """
    home.decides(NOOP, then="echo 9 > values/s")
    home.run_beat()
    home.decides(NOOP)
    report = home.run_beat()
    assert [(change.name, change.new) for change in report.changes or []] == [("snap:sensor-s", "9")]
    assert home.run_beat().ending == "idle"


def test_attempts_count_toward_the_cap_and_not_successes(home: Home) -> None:
    """Failures use up the hour as well; the cap says when the oldest leaves the window, at least 1 s.

    Source: spec/edge-cases.md items 41, 42.
    """
    home.furnish(max_decides_per_hour=2, backoff_cap=1)
    home.runner("exit 1")
    home.run_beat()
    home.later(600)
    report = home.later(600)
    assert (report.ending, report.reason, home.asked) == ("idle", "tick_capped", 2)
    assert home.events("tick_capped")[-1]["retry_in_s"] == 2400
    assert home.later(2399).ending == "idle"
    assert home.events("tick_capped")[-1]["retry_in_s"] == 1
    assert home.later(1).ending == "failed"


def test_the_attempt_is_counted_before_the_runner_starts(home: Home) -> None:
    """A crash after the launch has been counted.

    Source: spec/edge-cases.md item 41, spec/beat.md §6.3.
    """
    home.runner('cp .decide-ledger.json "$0.seen"; exit 1')
    home.run_beat()
    assert json.loads((home.tools / "agent.seen").read_text())["ts"] == [home.clock.now()]


def test_a_cap_of_zero_is_no_cap_and_free_decides_do_not_count(home: Home) -> None:
    """0 switches the cap off; without a runner nothing is spent and nothing counted.

    Source: spec/edge-cases.md item 44, design §4.
    """
    home.furnish(max_decides_per_hour=0)
    for _ in range(3):
        assert home.run_beat(forced=True).ending == "decided"
    assert len(home.record(".decide-ledger.json")["ts"]) == 3
    home.config = Config()
    assert home.run_beat(forced=True).source == "none"
    assert len(home.record(".decide-ledger.json")["ts"]) == 3


def test_a_restless_sensor_is_reported_once(home: Home) -> None:
    """A signal that changes at every beat warns once, when it crosses the threshold, and stands in the prompt.

    Source: spec/edge-cases.md items 45, 47.
    """
    home.furnish(flap_streak=3)
    for number in range(6):
        home.says("s", {"signal": number})
        home.run_beat()
    assert [(row["sensor"], row["streak"]) for row in home.events("sensor_flapping")] == [("sensor-s", 3)]
    assert home.codes().count("sense.flapping") == 1
    assert "=== FLAPPING SENSORS" in home.prompt and "sensor-s" in home.prompt.split("=== FLAPPING")[1]


def test_an_intermittent_flapper_is_found_too(home: Home) -> None:
    """A still beat takes one from the streak and does not reset it; the detector runs on idle beats as well.

    Source: spec/edge-cases.md item 46, spec/beat.md §6.4.
    """
    home.furnish(flap_streak=3)
    number = 0
    for step in range(9):
        number += step % 3 != 2
        home.says("s", {"signal": number})
        home.run_beat()
    assert len(home.events("sensor_flapping")) == 1
