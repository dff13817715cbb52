"""Schedules through real beats in virtual time: a wake for a run, missed runs, and jobs that need no model."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from looop.pulse.cadence import _deadlines
from tests.fakes.clock import StillClock
from tests.fakes.house import Home

HOUR, DAY = 3600, 86400
START = int(datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp())
JOB = """\
---
reflexes:
  - when: {when}
    move: {{action: run_shell, cmd: {cmd}}}
---
"""


@pytest.fixture
def home(root: Path) -> Home:
    made = Home(root, clock=StillClock(START))
    made.write("PLAYBOOK.md", "judge\n")
    made.furnish(noop_ttl=0, max_decides_per_hour=0, flap_streak=0)
    return made


def write(home: Home, name: str, **fields: Any) -> None:
    """A schedule as a person would write it by hand."""
    home.write(
        f"schedules/{name}.json", json.dumps({"v": 1, "cron": "0 * * * *", "tz": "UTC", "anchor": START} | fields)
    )


def job(home: Home, name: str = "backup", *, when: str = "due.nightly", cmd: str = "date >> ran") -> None:
    home.write(f"goals/{name}.md", JOB.format(when=json.dumps(when), cmd=json.dumps(cmd)))


def ran(home: Home, file: str = "ran") -> int:
    """How often the job has run."""
    path = home.root / file
    return len(path.read_text().splitlines()) if path.exists() else 0


def signal(home: Home, name: str) -> Any:
    return home.snapshot("sys-schedules")["signal"][name]


def run(hours: int) -> dict[str, str]:
    return {"run": datetime.fromtimestamp(START + hours * HOUR, UTC).isoformat()}


def to(home: Home, moment: int) -> Any:
    """A beat at that moment."""
    return home.later(moment - home.clock.now())


@pytest.mark.slow
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"])
@pytest.mark.parametrize("year", [2027, 2028])
def test_a_year_of_nights_has_a_wake_for_each(root: Path, zone: str, year: int) -> None:
    """`30 2 * * *` wakes the loop 365 or 366 times, once on each date, skipped and doubled hours included.

    The loop beats at each deadline of its own, and once in between. Source: the issue, "DST tested both directions".
    """
    begin = int(datetime(year, 1, 1, tzinfo=ZoneInfo(zone)).timestamp())
    end = int(datetime(year + 1, 1, 1, tzinfo=ZoneInfo(zone)).timestamp())
    home = Home(root, clock=StillClock(begin))
    home.furnish(noop_ttl=0, flap_streak=0, runs_keep=1)
    write(home, "nightly", cron="30 2 * * *", tz=zone, anchor=begin)
    home.run_beat()
    days = []
    while (due := max(deadline or 0 for deadline in _deadlines(home.house, home.clock.now()))) < end:
        assert to(home, (home.clock.now() + due) // 2).ending == "idle"
        assert to(home, due).ending == "decided"
        days.append(datetime.fromisoformat(signal(home, "nightly")["run"]).date())
    length = (date(year + 1, 1, 1) - date(year, 1, 1)).days
    assert days == [date(year, 1, 1) + timedelta(days=n) for n in range(length)] and length in (365, 366)


def test_the_pulse_sleeps_until_the_next_run(home: Home) -> None:
    """A run by the calendar ends the sleep; what cannot be understood has no deadline. Source: design §3 row 6."""
    write(home, "nightly", cron="30 2 * * *", tz="Europe/Berlin")
    write(home, "odd", tz="Nowhere")
    assert _deadlines(home.house, START) == [None, START + 13 * HOUR + 1800]


def test_one_wake_after_a_long_pause(home: Home) -> None:
    """However many runs were missed, the loop decides once, and is told how many. Source: edge case 214."""
    write(home, "nightly")
    home.run_beat()
    assert to(home, START + 30 * HOUR + 5).ending == "decided"
    assert signal(home, "nightly") == run(30)
    assert home.snapshot("sys-schedules")["detail"]["nightly"]["missed"] == 29
    assert home.later(60).ending == "idle"


def test_all_missed_runs_wake_one_after_the_other(home: Home) -> None:
    """Each decision moves on by one run; a beat that fails does not."""
    write(home, "nightly", catch_up="all")
    home.run_beat()
    home.clock.move(4 * HOUR)
    seen = []
    for _ in range(5):
        ending = home.later(60).ending
        seen.append((ending, signal(home, "nightly")))
    assert seen == [("decided", run(n)) for n in (1, 2, 3, 4)] + [("idle", run(4))]
    home.runner("exit 1")
    home.clock.move(2 * HOUR)
    assert [home.later(60).ending, home.later(600).ending] == ["failed", "failed"]
    assert signal(home, "nightly") == run(5)
    home.decides({"action": "noop"})
    assert [home.later(600).ending, signal(home, "nightly")] == ["decided", run(5)]
    assert [home.later(60).ending, signal(home, "nightly")] == ["decided", run(6)]


def test_runs_that_are_skipped_are_said_once(home: Home) -> None:
    """`all` makes up for a hundred; the rest is put on record, and not again at each beat that waits."""
    write(home, "nightly", catch_up="all")
    home.run_beat()
    home.runner("exit 1")
    home.clock.move(130 * HOUR)
    for seconds in (60, 60, 60):
        home.later(seconds)
    assert [(row["schedule"], row["count"]) for row in home.events("schedule_skipped")] == [("nightly", 30)]
    assert signal(home, "nightly") == run(31)


def test_none_lets_missed_runs_pass(home: Home) -> None:
    """A run nobody came in time for does not wake the loop; the next one that is noticed does."""
    write(home, "nightly", catch_up="none")
    home.run_beat()
    assert to(home, START + HOUR + 301).ending == "idle"
    assert home.snapshot("sys-schedules")["detail"]["nightly"]["missed"] == 1
    assert to(home, START + 2 * HOUR + 299).ending == "decided"
    assert signal(home, "nightly") == run(2)


def test_in_time_means_two_intervals(home: Home) -> None:
    """With a long interval a run may be noticed later; environment before config."""
    write(home, "nightly", catch_up="none")
    home.write("config.toml", "interval = 1000\n")
    home.run_beat()
    assert to(home, START + HOUR + 1999).ending == "decided"
    assert to(home, START + 2 * HOUR + 2001).ending == "idle"
    home.furnish(noop_ttl=0, interval=1200)
    assert to(home, START + 3 * HOUR + 2399).ending == "decided"
    home.write("config.toml", "interval = [")
    home.furnish(noop_ttl=0)
    assert to(home, START + 4 * HOUR + 301).ending == "idle"


@pytest.mark.parametrize("broken", [".last-world.json", "snapshots/sys-schedules.json"])
def test_what_was_shown_cannot_be_read(home: Home, broken: str) -> None:
    """Then missed runs count as one, which is said; the beat goes on."""
    write(home, "nightly", catch_up="all")
    home.run_beat()
    home.write(broken, '{"snap:sys')
    to(home, START + 5 * HOUR + 10)
    assert signal(home, "nightly") == run(5)
    (row,) = home.events("schedule_degraded")
    assert broken in row["error"]


@pytest.mark.parametrize("seen", ["(non-JSON, 0 bytes)", '{"error":true}', '{"nightly":"unparseable"}'])
def test_what_the_last_decision_did_not_see_is_not_made_up_for_again(home: Home, seen: str) -> None:
    """It could not read the schedules: what was shown before is not known, and the runs of a year are not due anew."""
    write(home, "nightly", catch_up="all", anchor=START - 365 * DAY)
    home.run_beat()
    baseline = json.loads((home.root / ".last-world.json").read_text())
    home.write(".last-world.json", json.dumps(baseline | {"snap:sys-schedules": seen}))
    to(home, START + 5 * HOUR + 10)
    assert signal(home, "nightly") == run(5)
    assert home.snapshot("sys-schedules")["ran"]["nightly"] == START + 5 * HOUR


def test_plain_ones_read_nothing_that_was_shown(home: Home) -> None:
    """One-shots and recurring ones are what they were: no memory is asked for, no word is added."""
    home.write("schedules/often.json", json.dumps({"v": 1, "every_s": HOUR, "anchor": START}))
    home.run_beat()
    home.write(".last-world.json", "{")
    to(home, START + HOUR)
    assert home.events("schedule_degraded") == []
    assert signal(home, "often") == {"period": 1}


def test_a_damaged_zone_is_a_reading_and_not_the_end(home: Home) -> None:
    """A schedule whose zone is not known here reads invalid with the reason; the others go on."""
    write(home, "nightly", tz="Mars/Olympus")
    write(home, "hourly")
    home.run_beat()
    assert signal(home, "nightly") == "invalid" and signal(home, "hourly") == {"run": None}
    assert "Mars/Olympus" in home.snapshot("sys-schedules")["detail"]["nightly"]["why"]


def test_a_decision_writes_a_schedule_with_its_zone(home: Home) -> None:
    """The machine's zone is written down by name, so that the data dir can move; the journal names it."""
    home.decides({"action": "write_schedule", "name": "n", "cron": " 30 2 * * * ", "catch_up": "none", "note": "why"})
    home.house.setting.env["TZ"] = "Europe/Berlin"  # type: ignore[index]  # the test's own dict
    home.run_beat()
    assert home.record("schedules/n.json") == {
        "v": 1,
        "cron": "30 2 * * *",
        "tz": "Europe/Berlin",
        "anchor": START,
        "catch_up": "none",
        "note": "why",
    }
    assert home.journal()[-1] == "write-schedule n (cron 30 2 * * *, Europe/Berlin, catch-up none)"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"cron": "30 2 30 2 *"}, "it never runs"),
        ({"cron": "99 2 * * *", "tz": "UTC"}, "field 1 (minute) is '99'"),
        ({"cron": "@daily", "tz": "Berlin"}, "did you mean Europe/Berlin?"),
    ],
)
def test_a_decision_that_never_runs_fails_with_a_reason(home: Home, fields: dict[str, str], why: str) -> None:
    """Nothing is written, the next prompt says why, and a goal whose reflex would write it is refused, too."""
    move = {"action": "write_schedule", "name": "n"} | fields
    home.decides(move)
    report = home.run_beat()
    assert report.ending == "failed" and why in report.reason
    assert home.record("schedules/n.json") is None
    body = f"---\nreflexes:\n  - when: 'true'\n    move: {json.dumps(move)}\n---\n"
    home.decides({"action": "write_goal", "id": "g", "body": body})
    report = home.later(600)
    assert report.ending == "failed" and "reflex #0 would never run" in report.reason and why in report.reason


def test_a_nightly_job_needs_no_model(home: Home) -> None:
    """A reflex on a schedule runs once a night for as long as it lives, and is never called a lack of progress.

    Beats between and after change nothing. Source: design §4.
    """
    write(home, "nightly", cron="30 2 * * *", tz="Europe/Berlin")
    job(home)
    home.run_beat()
    assert ran(home) == 0
    for night in range(1, 11):
        home.clock.move((START + 12 * HOUR + 5400 + (night - 1) * DAY) - home.clock.now())
        report = home.run_beat()
        assert (report.source, report.action) == ("reflex backup#0", "run_shell"), night
        assert [home.later(5, forced=True).source, home.later(3600).ending] == ["none", "idle"]
        assert ran(home) == night
    assert not any("suspended" in line for line in home.journal())
    assert home.asked == 0 and home.record(".last-failure.json") is None


@pytest.mark.parametrize("catch_up", ["one", "all", "none"])
def test_a_job_and_the_runs_it_missed(home: Home, catch_up: str) -> None:
    """After three days off: once, once for each, or not at all until the next run."""
    write(home, "nightly", cron="0 0 * * *", catch_up=catch_up)
    job(home)
    home.run_beat()
    to(home, START + 12 * HOUR + 10)
    assert ran(home) == 1
    home.clock.move(3 * DAY + HOUR)
    for _ in range(8):
        home.later(60)
    assert ran(home) == {"one": 2, "all": 4, "none": 1}[catch_up]
    to(home, START + 12 * HOUR + 4 * DAY + 10)
    assert ran(home) == {"one": 3, "all": 5, "none": 2}[catch_up]


def test_a_job_that_is_due_once(home: Home) -> None:
    """A one-shot that stays due runs its job once, whatever else changes."""
    home.write("schedules/tea.json", json.dumps({"at": START + HOUR}))
    job(home, when="due.tea")
    home.says("s", {"signal": 0})
    home.run_beat()
    assert ran(home) == 0
    for number in range(1, 6):
        home.says("s", {"signal": number})
        home.later(HOUR)
    assert ran(home) == 1


def test_a_one_shot_that_is_set_anew_is_due_anew(home: Home) -> None:
    """Also when nobody looked while it was pending."""
    job(home, when="due.tea")
    home.write("schedules/tea.json", json.dumps({"at": START + HOUR}))
    home.run_beat()
    home.later(HOUR)
    home.write("schedules/tea.json", json.dumps({"at": START + 2 * HOUR}))
    home.says("s", {"signal": 1})
    home.later(2 * HOUR)
    assert ran(home) == 2


def test_a_job_in_each_period(home: Home) -> None:
    """A recurring schedule is due once a period, not when it is written."""
    home.write("schedules/often.json", json.dumps({"v": 1, "every_s": HOUR, "anchor": START}))
    job(home, when="due.often")
    home.run_beat()
    assert ran(home) == 0
    for _ in range(12):
        home.later(HOUR // 2)
    assert ran(home) == 6


def test_a_job_that_fails_is_tried_again_and_afresh_with_each_run(home: Home) -> None:
    """Three failures suspend it for this night; the next night it is tried again."""
    write(home, "nightly", cron="0 0 * * *")
    job(home, cmd="echo x >> ran; exit 1")
    home.says("s", {"signal": 0})
    home.run_beat()
    for night in (1, 2, 3):
        home.clock.move((START + 12 * HOUR + (night - 1) * DAY) - home.clock.now())
        for number in range(6):
            home.says("s", {"signal": [night, number]})
            home.later(600)
        assert ran(home) == 3 * night
    assert sum("#0 suspended:" in line for line in home.journal()) == 3


def test_a_job_is_done_once_though_its_goals_record_is_lost(home: Home) -> None:
    """When the record of what was acted on is damaged, what a reflex remembers of its run still holds it back."""
    write(home, "nightly")
    job(home)
    home.says("s", {"signal": 0})
    home.run_beat()
    home.later(HOUR)
    assert ran(home) == 1
    home.says("s", {"signal": "the condition is seen to be false"})
    home.later(60)
    for number in (1, 2, 3):
        home.write(".goal-activity.json", "{")
        home.says("s", {"signal": number})
        home.later(60)
    assert ran(home) == 1
    home.later(HOUR)
    assert ran(home) == 2


class Ticking(StillClock):
    """A clock that goes on by `step` seconds with every look."""

    step = 0

    def now(self) -> int:
        self.move(self.step)
        return super().now()


def test_a_run_during_a_long_beat_is_not_lost(root: Path) -> None:
    """A goal that is acted on in a beat that began before the run has not been acted on since it."""
    clock = Ticking(START)
    home = Home(root, clock=clock)
    write(home, "nightly")
    job(home)
    home.decides({"action": "write_goal", "id": "backup", "body": (home.root / "goals/backup.md").read_text()})
    clock.move(HOUR - 10)
    clock.step = 9
    assert home.run_beat().ending == "decided"
    clock.step = 0
    assert clock.now() > START + HOUR and home.record(".goal-activity.json")["backup"] == START + HOUR - 1
    home.later(10)
    assert ran(home) == 1


def test_a_clock_set_back_runs_no_job_twice(home: Home) -> None:
    """A step back over the run and forward again leaves one run of it."""
    write(home, "nightly")
    job(home)
    home.says("s", {"signal": 0})
    home.run_beat()
    to(home, START + HOUR + 2)
    for seconds in (-30, 10, 30, 5):
        home.says("s", {"signal": seconds})
        home.later(seconds)
    assert ran(home) == 1


def test_a_clock_that_was_years_ahead_does_not_end_a_job(home: Home) -> None:
    """A goal that was acted on far in the future has not been acted on: its job is done at the next run."""
    write(home, "nightly")
    job(home)
    home.run_beat()
    home.write(".goal-activity.json", json.dumps({"backup": START + 3650 * DAY}))
    home.later(HOUR)
    assert ran(home) == 1


def test_a_goal_reads_unknown_over_a_schedule_that_is_not_there(home: Home) -> None:
    """So does one over a schedule that makes no sense: nobody guesses."""
    job(home, when="due.nightly")
    report = home.run_beat()
    assert "nightly" in report.goals[0].why
    write(home, "nightly", tz="Nowhere")
    assert "nightly" in home.later(60).goals[0].why
    write(home, "nightly")
    assert home.later(60).goals[0].why == ""


def test_a_thousand_schedules(home: Home) -> None:
    """They are all read and all shown; an idle beat over them stays idle."""
    for number in range(1000):
        write(home, f"s{number}", cron=f"{number % 60} {number % 24} * * *", tz=("UTC", "Europe/Berlin")[number % 2])
    home.run_beat()
    assert len(home.snapshot("sys-schedules")["signal"]) == 1000
    assert home.later(1).ending == "idle"
