"""The clock and the words made of it."""

import sys
import time

import pytest

from looop.runtime import clock
from looop.runtime.clock import SystemClock, midnight, minute_stamp, second_stamp, utc_stamp, wall_clock
from tests.fakes.clock import StillClock

NOW = 1_700_000_000  # 2023-11-14 22:13:20 UTC


def test_seconds_are_truncated(monkeypatch):
    """The time is cut to whole seconds, never rounded up. Source: edge case 265."""
    monkeypatch.setattr(time, "time", lambda: 10.999)
    assert SystemClock().now() == 10


@pytest.mark.parametrize(
    ("offset_s", "minute", "second", "wall"),
    [
        (0, "2023-11-14 22:13", "20231114-221320", "22:13:20"),
        (7200, "2023-11-15 00:13", "20231115-001320", "00:13:20"),
        (-18000, "2023-11-14 17:13", "20231114-171320", "17:13:20"),
    ],
)
def test_people_see_local_time(offset_s, minute, second, wall):
    """Journal, run ids and log lines are in local time. Source: design §8."""
    fake = StillClock(NOW, offset_s)
    assert (minute_stamp(fake, NOW), second_stamp(fake, NOW), wall_clock(fake, NOW)) == (minute, second, wall)


def test_records_are_in_utc():
    """Events and the ledger are stamped in UTC."""
    assert utc_stamp(NOW) == "2023-11-14T22:13:20Z"


@pytest.mark.parametrize(("offset_s", "since"), [(0, 80000), (7200, 800), (-18000, 62000)])
def test_today_is_the_local_day(offset_s, since):
    """The day begins at local midnight though rows are stamped UTC. Source: edge case 55."""
    assert midnight(StillClock(NOW, offset_s), NOW) == NOW - since


def test_the_system_clock_knows_its_zone():
    """The offset is that of the machine's zone at the given time."""
    assert SystemClock().utc_offset_s(NOW) == time.localtime(NOW).tm_gmtoff
    assert clock.minute_stamp(SystemClock(), NOW) == time.strftime("%Y-%m-%d %H:%M", time.localtime(NOW))


@pytest.mark.skipif(sys.platform != "linux", reason="reads the clocks of Linux")
def test_sleep_is_what_two_clocks_differ_by():
    """The clock that goes on in suspend less the one that stops, and never less than nothing. Source: edge case 275."""
    measured = time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
    assert SystemClock().asleep_s() == pytest.approx(max(measured, 0.0), abs=0.5)


@pytest.mark.parametrize(
    ("platform", "clocks", "asleep_s"),
    [
        ("linux", {"CLOCK_BOOTTIME": 500.0, "CLOCK_MONOTONIC": 200.0}, 300.0),
        ("linux", {"CLOCK_BOOTTIME": 200.0, "CLOCK_MONOTONIC": 200.001}, 0.0),
        ("darwin", {"CLOCK_MONOTONIC": 500.0, "CLOCK_UPTIME_RAW": 200.0}, 300.0),
        ("freebsd14", {}, 0.0),
    ],
)
def test_each_system_has_its_pair_of_clocks(monkeypatch, platform, clocks, asleep_s):
    """Linux and macOS name them differently, others do not say; the time of day is in none. Source: edge case 275."""
    monkeypatch.setattr(sys, "platform", platform)
    for name in clocks:
        monkeypatch.setattr(time, name, name, raising=False)
    monkeypatch.setattr(time, "clock_gettime", clocks.__getitem__)
    assert SystemClock().asleep_s() == asleep_s


def test_the_boot_has_a_word_that_stays():
    """Two looks in one boot agree, and on Linux there is one. Source: edge case 275."""
    assert SystemClock().boot() == SystemClock().boot()
    assert bool(SystemClock().boot()) == (sys.platform == "linux")
