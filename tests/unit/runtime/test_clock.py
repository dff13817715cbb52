"""The clock and the words made of it."""

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
