"""`looop schedule`: written by any of its triggers, shown with when it runs next, tried without being written."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.fakes.command import Looop


@pytest.fixture
def looop(tmp_path: Path) -> Looop:
    """looop over a seeded data dir, on a machine in Berlin."""
    made = Looop(tmp_path).settle()
    made.env["TZ"] = "Europe/Berlin"
    return made


def now() -> int:
    return int(datetime.now(UTC).timestamp())


def record(looop: Looop, name: str) -> dict[str, object]:
    found = json.loads(looop.read(f"schedules/{name}.json"))
    assert isinstance(found, dict)
    return found


def test_a_cron_schedule_is_written_with_the_machines_zone(looop: Looop) -> None:
    """Its record is pretty JSON with the zone by name; the summary is on stdout, the next run on stderr."""
    said = looop("schedule", "write", "nightly", "--cron", "30 2 * * *", "--catch-up", "all", "--note", "back up")
    assert said.out == "write-schedule nightly (cron 30 2 * * *, Europe/Berlin, catch-up all)\n"
    assert said.err.startswith("looop: next run in ") and said.err.endswith(" 02:30 Europe/Berlin\n")
    kept = record(looop, "nightly")
    assert abs(now() - kept.pop("anchor")) < 60  # type: ignore[operator]  # seconds
    expected = {"v": 1, "cron": "30 2 * * *", "tz": "Europe/Berlin", "catch_up": "all", "note": "back up"}
    assert kept == expected
    assert looop.read("schedules/nightly.json").startswith('{\n  "v": 1,\n  "cron": "30 2 * * *",\n  "tz"')
    assert "write-schedule nightly (cron 30 2 * * *, Europe/Berlin, catch-up all)" in looop("journal").out


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (("--cron", "@daily", "--tz", "UTC"), {"cron": "@daily", "tz": "UTC"}),
        (("--every", "1h", "--catch-up", "none"), {"every_s": 3600, "catch_up": "none"}),
        (("--every", "1h"), {"every_s": 3600}),
    ],
)
def test_only_what_was_said_is_kept(looop: Looop, words: tuple[str, ...], kept: dict[str, object]) -> None:
    """What was left out is not written. Source: spec/workers.md §11."""
    assert looop("schedule", "write", "x", *words).code == 0
    found = record(looop, "x")
    assert found.pop("anchor") and found == {"v": 1} | kept


@pytest.mark.parametrize(
    ("words", "clock"),
    [(("--at", "18:30"), "18:30"), (("--at", "7:05", "--tz", "Asia/Tokyo"), "07:05")],
)
def test_a_time_of_day_is_the_next_one(looop: Looop, words: tuple[str, ...], clock: str) -> None:
    """It is a plain one-shot, at that time in the machine's zone or the one that is named."""
    assert looop("schedule", "write", "x", *words).code == 0
    found = record(looop, "x")
    at = found.pop("at")
    assert found == {"v": 1} and isinstance(at, int) and now() < at <= now() + 25 * 3600
    from zoneinfo import ZoneInfo

    zone = ZoneInfo("Asia/Tokyo" if "--tz" in words else "Europe/Berlin")
    assert datetime.fromtimestamp(at, zone).strftime("%H:%M") == clock


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2099-06-01 12:00", "2099-06-01T12:00:00+02:00"),
        ("2099-06-01T12:00:00Z", "2099-06-01T12:00:00+00:00"),
        ("2099-06-01", "2099-06-01T00:00:00+02:00"),
        ("2037-03-29 02:30", "2037-03-29T03:00:00+02:00"),
    ],
)
def test_a_date_and_time(looop: Looop, time: str, expected: str) -> None:
    """Local time unless it says otherwise; one that is skipped means the moment the clocks have gone forward."""
    assert looop("schedule", "write", "x", "--at", time).code == 0
    assert record(looop, "x") == {"v": 1, "at": int(datetime.fromisoformat(expected).timestamp())}


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--cron", "30 2 30 2 *"), "it never runs: no month that field 4 (2) names has a day 30"),
        (("--cron", "30 25 * * *"), "field 2 (hour) is '25': expected 0-23"),
        (("--cron", "@daily", "--tz", "berlin"), "time zone 'berlin' is not known here: did you mean Europe/Berlin?"),
        (("--at", "2001-01-01 00:00"), "has passed already"),
        (("--at", "2099-01-01T18:00:00+02:00", "--tz", "Asia/Tokyo"), "has an offset of its own: leave it or --tz out"),
        (("--in", "0"), "--in must be at least 1s, not 0s"),
        (("--at", "tomorrow"), "'tomorrow' is no time: expected 18:00, 2026-12-24 18:00"),
        (("--at", "9999-12-31 23:59"), ""),
        ((), "give exactly one of --in, --at, --every and --cron"),
    ],
)
def test_what_cannot_be_is_refused(looop: Looop, words: tuple[str, ...], part: str) -> None:
    """One line that says what is wrong and what was expected, and nothing is written."""
    said = looop("schedule", "write", "x", *words)
    if part:
        assert (said.code, said.out) == (1, "")
        assert part in said.err and said.err.count("\n") == 1
        assert looop("schedule", "list").out == "(no schedules)\n"
    assert "Traceback" not in said.err


def test_a_machine_whose_zone_has_no_name_asks_for_one(looop: Looop) -> None:
    """A zone that is a rule cannot be kept; --tz helps."""
    looop.env["TZ"] = "CET-1CEST,M3.5.0,M10.5.0/3"
    said = looop("schedule", "write", "x", "--cron", "@daily")
    assert said.code == 1 and "name one with tz, such as Europe/Berlin" in said.err
    assert looop("schedule", "write", "x", "--cron", "@daily", "--tz", "UTC").code == 0


def test_the_zone_is_kept_when_the_machine_moves(looop: Looop) -> None:
    """What was written in Berlin runs at Berlin's half past two, wherever the data dir is."""
    looop("schedule", "write", "nightly", "--cron", "30 2 * * *")
    looop.env["TZ"] = "America/New_York"
    assert " 02:30 Europe/Berlin · cron 30 2 * * *, catch-up one\n" in looop("schedule", "list").out


def test_the_list_says_what_runs_when(looop: Looop) -> None:
    """Name, signal, then in words when it runs next and what it is; --json is the records, null where broken."""
    looop("schedule", "write", "c", "--cron", "0 9 * * MON-FRI", "--note", "stand-up")
    looop("schedule", "write", "e", "--every", "2h")
    looop("schedule", "write", "i", "--in", "90m")
    looop.write("schedules/a.json", '{"at": 1}')
    looop.write("schedules/b.json", "{")
    looop.write("schedules/z.json", '{"cron": "0 9 * * *"}')
    said = looop("schedule", "list")
    rows = dict(line.split("\t", 1) for line in said.out.splitlines())
    assert list(rows) == ["a", "b", "c", "e", "i", "z"]
    assert rows["a"].startswith('"due"\tdue for ')
    assert rows["b"].startswith('"unparseable"\tschedules/b.json is not what it should be')
    assert rows["c"].startswith('{"run":null}\tin ')
    assert rows["c"].endswith(" 09:00 Europe/Berlin · cron 0 9 * * MON-FRI, catch-up one · stand-up")
    assert rows["e"].startswith(('{"period":0}\tin 1h, ', '{"period":0}\tin 2h, ')) and rows["e"].endswith(
        " · every 2h"
    )
    assert rows["i"].startswith('"pending"\tin 1h, ') and rows["i"].endswith(" · once")
    assert rows["z"] == '"invalid"\ta cron schedule names its time zone: "tz": "Europe/Berlin"'
    assert said.err.count("\n") == 1 and "schedules/b.json" in said.err
    records = json.loads(looop("schedule", "list", "--json").out)
    assert records["b"] is None and records["a"] == {"at": 1} and records["c"]["tz"] == "Europe/Berlin"


def test_one_is_shown_with_its_next_runs(looop: Looop) -> None:
    """Five of them, in its own zone; --json has them as moments and as local time."""
    looop("schedule", "write", "c", "--cron", "0 9 1 * *", "--tz", "Asia/Tokyo", "--note", "rent")
    lines = looop("schedule", "show", "c").out.splitlines()
    assert lines[:4] == ["c", '  signal  {"run":null}', "  is      cron 0 9 1 * *, catch-up one", "  note    rent"]
    assert len(lines) == 9 and all(line.endswith(" 09:00 Asia/Tokyo") for line in lines[4:])
    shown = json.loads(looop("schedule", "show", "c", "--json").out)
    assert [run["time"][8:] for run in shown["next"]] == ["01T09:00:00+09:00"] * 5
    assert shown["next"][0]["at"] - now() - shown["next"][0]["in_s"] in (-2, -1, 0)
    assert shown["detail"]["next_due"] == shown["next"][0]["time"]
    missing = looop("schedule", "show", "nope")
    assert missing.code == 1 and "no schedule 'nope'" in missing.err


def test_a_time_in_a_named_zone_is_said_in_that_zone(looop: Looop) -> None:
    """What was asked for and what is answered are the same time of day, and the zone stands beside it."""
    said = looop("schedule", "write", "x", "--at", "2099-06-01 12:00", "--tz", "Asia/Tokyo")
    assert said.err.rstrip().endswith("Mon 01 Jun 2099 12:00 Asia/Tokyo")


@pytest.mark.parametrize(("given", "shown"), [("90s", "90s"), ("90m", "90m"), ("48h", "2d"), ("3601s", "3601s")])
def test_an_interval_is_said_in_its_largest_exact_unit(looop: Looop, given: str, shown: str) -> None:
    """A person reads `every 2d`, and no interval is rounded."""
    looop("schedule", "write", "x", "--every", given)
    assert looop("schedule", "list").out.endswith(f" · every {shown}\n")


def test_an_expression_can_be_tried(looop: Looop) -> None:
    """Its next five runs are printed and nothing is written."""
    said = looop("schedule", "next", "@yearly", "--tz", "UTC")
    assert [line.rpartition(", ")[2][4:10] for line in said.out.splitlines()] == ["01 Jan"] * 5
    assert len(json.loads(looop("schedule", "next", "@hourly", "--json").out)) == 5
    assert looop("schedule", "list").out == "(no schedules)\n"
    wrong = looop("schedule", "next", "* * *")
    assert wrong.code == 1 and wrong.err.startswith("looop: cron '* * *' has 3 fields")


def test_a_moment_no_calendar_reaches_is_shown(looop: Looop) -> None:
    """A huge `at` has no date, and is no trouble. Source: spec/edge-cases.md item 217."""
    looop.write("schedules/x.json", json.dumps({"at": 2**62}))
    assert looop("schedule", "list").out.startswith('x\t"pending"\tin ')
    assert looop("schedule", "show", "x", "--json").code == 0
