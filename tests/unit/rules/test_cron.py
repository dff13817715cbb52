"""Cron expressions: what they say, and when they run in zones whose clocks go forward and back."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from looop.model.errors import Invalid
from looop.rules import cron

BERLIN, NEW_YORK, LORD_HOWE = (ZoneInfo(name) for name in ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe"))
ZONES = [BERLIN, NEW_YORK, LORD_HOWE, ZoneInfo("America/Havana"), ZoneInfo("Pacific/Apia"), UTC]
EXPRESSIONS = [
    *("30 2 * * *", "0 * * * *", "* * * * *", "*/20 * * * *", "15,45 1-3 * * *", "*/30 2 * * *", "0 0 * * *"),
    *("30 */2 * * *", "0 9 * * MON-FRI", "0 0 L * *", "30 1 29 2 *", "0 3 * * 5L", "10 2 1 * 1", "59 23 31 12 *"),
]


def at(text: str) -> int:
    """UTC seconds of an RFC 3339 text."""
    return int(datetime.fromisoformat(text).timestamp())


def runs(expression: str, zone: ZoneInfo, since: str, until: str) -> list[str]:
    """The runs after `since` up to `until`, in local time."""
    found, moment = [], cron.following(cron.parse(expression), zone, at(since))
    while moment is not None and moment <= at(until):
        found.append(cron.stamp(moment, zone))
        moment = cron.following(cron.parse(expression), zone, moment)
    return found


def refusal(expression: str) -> str:
    with pytest.raises(Invalid) as raised:
        cron.parse(expression)
    return str(raised.value)


@pytest.mark.parametrize(
    ("expression", "part"),
    [
        ("61 * * * *", "field 1 (minute) is '61': expected 0-59"),
        ("x * * * *", "field 1 (minute) is 'x'"),
        ("0 24 * * *", "field 2 (hour) is '24': expected 0-23"),
        ("0 5-3 * * *", "field 2 (hour) is '5-3'"),
        ("*/0 * * * *", "field 1 (minute) is '*/0'"),
        ("0 0 32 * *", "field 3 (day-of-month) is '32': expected 1-31"),
        ("0 0 * 13 *", "field 4 (month) is '13': expected 1-12 or JAN-DEC"),
        ("0 0 * * 8", "field 5 (day-of-week) is '8': expected 0-7 or SUN-SAT"),
        ("0 0 * * FRI-MON", "field 5 (day-of-week) is 'FRI-MON'"),
        ("30 2 30 2 *", "it never runs: no month that field 4 (2) names has a day 30"),
        ("0 0 31 2,4 *", "it never runs: no month that field 4 (2,4) names has a day 31"),
        ("0 0 31 11 *", "it never runs: no month that field 4 (11) names has a day 31"),
        ("0 0 31 2 x", "field 5 (day-of-week) is 'x'"),
        ("* * * *", "has 4 fields: expected five, minute, hour, day-of-month, month, day-of-week"),
        ("* * * * * *", "has 6 fields: expected five"),
        ("", "has 0 fields: expected five"),
        ("@reboot", "no such word: expected one of @hourly, @daily"),
        ("٣ * * * *", "signs that are not ASCII"),
        ("9" * 5000, "has 5000 characters: at most 400 are allowed"),
    ],
)
def test_what_is_no_expression_is_refused_in_one_line(expression: str, part: str) -> None:
    """The field at fault stands there with what it may be; one that never runs is refused as such."""
    text = refusal(expression)
    assert part in text and "\n" not in text and len(text) < 500


def test_an_expression_may_be_as_long_as_is_said() -> None:
    """What fits is read, white space and all; one sign more is too long."""
    assert cron.parse("1 * * * *".ljust(cron.MAX_CHARS)).fields == "1 * * * *"
    assert f"at most {cron.MAX_CHARS} are allowed" in refusal("1 * * * *".ljust(cron.MAX_CHARS + 1))


@given(st.text(max_size=30) | st.lists(st.text("0123456789*/,-LW#MONJAN@", max_size=6), max_size=6).map(" ".join))
def test_any_text_is_an_expression_or_invalid(text: str) -> None:
    """Whatever is written is understood or refused, never anything else."""
    try:
        assert len(cron.parse(text).fields.split()) == 5
    except Invalid as error:
        assert "\n" not in str(error) or "\n" in text


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("@hourly", "2026-11-21T18:00:00+01:00"),
        ("@daily", "2026-11-22T00:00:00+01:00"),
        ("@midnight", "2026-11-22T00:00:00+01:00"),
        ("@Weekly", "2026-11-22T00:00:00+01:00"),
        ("@monthly", "2026-12-01T00:00:00+01:00"),
        ("@yearly", "2027-01-01T00:00:00+01:00"),
        (" @annually ", "2027-01-01T00:00:00+01:00"),
    ],
)
def test_words_for_common_expressions(word: str, expected: str) -> None:
    """Each word stands for its five fields."""
    moment = cron.following(cron.parse(word), BERLIN, at("2026-11-21T17:00:00+01:00"))
    assert moment is not None and cron.stamp(moment, BERLIN) == expected


def test_a_skipped_time_runs_once_when_the_clocks_have_gone_forward() -> None:
    """02:30 does not exist on that day: it runs at 03:00 in Berlin and New York, at 02:30 on Lord Howe Island."""
    day = "2026-03-28T12:00:00+01:00", "2026-03-30T12:00:00+02:00"
    assert runs("30 2 * * *", BERLIN, *day) == ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]
    assert runs("15,45 2 * * *", BERLIN, *day)[:1] == ["2026-03-29T03:00:00+02:00"]
    assert len(runs("15,45 2 * * *", BERLIN, *day)) == 3
    day = "2026-03-07T12:00:00-05:00", "2026-03-08T12:00:00-04:00"
    assert runs("30 2 * * *", NEW_YORK, *day) == ["2026-03-08T03:00:00-04:00"]
    day = "2026-10-03T12:00:00+10:30", "2026-10-04T12:00:00+11:00"
    assert runs("15 2 * * *", LORD_HOWE, *day) == ["2026-10-04T02:30:00+11:00"]


def test_a_doubled_time_runs_the_first_time_only() -> None:
    """02:30 comes twice on that day: the second one is no run."""
    day = "2026-10-24T12:00:00+02:00", "2026-10-25T12:00:00+01:00"
    assert runs("30 2 * * *", BERLIN, *day) == ["2026-10-25T02:30:00+02:00"]
    day = "2026-10-31T12:00:00-04:00", "2026-11-01T12:00:00-05:00"
    assert runs("30 1 * * *", NEW_YORK, *day) == ["2026-11-01T01:30:00-04:00"]
    day = "2026-04-04T12:00:00+11:00", "2026-04-05T12:00:00+10:30"
    assert runs("45 1 * * *", LORD_HOWE, *day) == ["2026-04-05T01:45:00+11:00"]


def test_hours_as_they_pass_run_through_both() -> None:
    """`0 * * * *` runs in each real hour: 23 times on the short day, 25 times on the long one; minutes likewise."""
    short = "2026-03-28T23:59:59+01:00", "2026-03-29T23:59:59+02:00"
    long = "2026-10-24T23:59:59+02:00", "2026-10-25T23:59:59+01:00"
    assert len(runs("0 * * * *", BERLIN, *short)) == 23
    assert len(runs("0 * * * *", BERLIN, *long)) == 25
    assert runs("0 * * * *", BERLIN, *long)[1:4] == [
        "2026-10-25T01:00:00+02:00",
        "2026-10-25T02:00:00+02:00",
        "2026-10-25T02:00:00+01:00",
    ]
    assert len(runs("*/5 * * * *", BERLIN, *long)) == 25 * 12
    assert runs("30 */2 * * *", BERLIN, *long)[:3] == [
        "2026-10-25T00:30:00+02:00",
        "2026-10-25T02:30:00+02:00",
        "2026-10-25T02:30:00+01:00",
    ]
    half = "2026-04-04T23:59:59+11:00", "2026-04-05T23:59:59+10:30"
    assert len(runs("*/10 * * * *", LORD_HOWE, *half)) == 24 * 6 + 3


@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK, LORD_HOWE, ZoneInfo("America/Havana"), UTC], ids=str)
@pytest.mark.parametrize("expression", ["30 2 * * *", "0 0 * * *", "15 1 * * *", "59 23 * * *"])
def test_a_daily_time_runs_once_on_every_day(expression: str, zone: ZoneInfo) -> None:
    """In ten years no date is left out and none has two."""
    found = runs(expression, zone, "2020-01-01T18:00:00+00:00", "2030-01-01T18:00:00+00:00")
    days = [datetime.fromisoformat(run).date() for run in found]
    assert days == [days[0] + timedelta(days=n) for n in range(len(days))]
    assert len(days) == 3653


def by_minute(expression: str, zone: ZoneInfo, since: int, until: int) -> list[int]:
    """The runs in (since, until], found by looking at every minute; `until - since` is a few hours."""
    spec, found = cron.parse(expression), []
    names = _namer(expression)
    for moment in range(since - since % 60 - 4 * 3600, until + 1, 60):
        local = datetime.fromtimestamp(moment, zone)
        before = datetime.fromtimestamp(moment - 60, zone)
        skipped = (local.replace(tzinfo=None) - before.replace(tzinfo=None)) // timedelta(minutes=1) - 1
        hits = [names(local.replace(tzinfo=None)) and (spec.passing or local.fold == 0)]
        hits += [
            names(local.replace(tzinfo=None) - timedelta(minutes=n + 1)) for n in range(skipped) if not spec.passing
        ]
        if any(hits) and since < moment <= until:
            found.append(moment)
    return found


def _namer(expression: str) -> Callable[[datetime], bool]:
    """Whether an expression names a local minute, by asking for the next one after the minute before."""
    from cronsim import CronSim

    fields = cron.parse(expression).fields
    return lambda naive: next(CronSim(fields, naive - timedelta(minutes=1))) == naive.replace(second=0)


@pytest.mark.parametrize("expression", EXPRESSIONS[:8])
@pytest.mark.parametrize(
    ("zone", "around"),
    [
        (BERLIN, "2026-03-29T01:00:00+00:00"),
        (BERLIN, "2026-10-25T01:00:00+00:00"),
        (NEW_YORK, "2026-11-01T06:00:00+00:00"),
        (LORD_HOWE, "2026-04-04T15:00:00+00:00"),
        (LORD_HOWE, "2026-10-03T15:30:00+00:00"),
        (ZoneInfo("America/Havana"), "2026-03-08T05:00:00+00:00"),
        (ZoneInfo("America/Havana"), "2026-11-01T05:00:00+00:00"),
    ],
    ids=str,
)
def test_around_a_change_of_the_clocks_nothing_is_missed(expression: str, zone: ZoneInfo, around: str) -> None:
    """Forward and backward agree with a look at every single minute."""
    since, until = at(around) - 2 * 3600, at(around) + 2 * 3600
    expected, spec = by_minute(expression, zone, since, until), cron.parse(expression)
    found, moment = [], cron.following(spec, zone, since)
    while moment is not None and moment <= until:
        found.append(moment)
        moment = cron.following(spec, zone, moment)
    assert found == expected
    back, moment = [], cron.latest(spec, zone, until)
    while moment is not None and moment > since:
        back.append(moment)
        moment = cron.latest(spec, zone, moment - 1)
    assert back[::-1] == expected


@settings(max_examples=300)
@given(st.sampled_from(EXPRESSIONS), st.sampled_from(ZONES), st.integers(1_500_000_000, 2_000_000_000))
def test_the_next_run_lies_ahead_and_the_last_one_does_not(expression: str, zone: ZoneInfo, now: int) -> None:
    """Between the two there is none, and each is found again from the other."""
    spec = cron.parse(expression)
    last, coming = cron.latest(spec, zone, now), cron.following(spec, zone, now)
    assert last is not None and coming is not None and last <= now < coming
    assert cron.following(spec, zone, last) == coming
    assert cron.latest(spec, zone, coming) == coming
    assert cron.latest(spec, zone, coming - 1) == last


@settings(max_examples=100)
@given(
    st.sampled_from(EXPRESSIONS[:8]),
    st.sampled_from(ZONES),
    st.integers(1_760_000_000, 1_800_000_000),
    st.lists(st.integers(-7200, 7200), max_size=12),
)
def test_what_is_remembered_is_what_would_be_found(expression: str, zone: ZoneInfo, now: int, steps: list[int]) -> None:
    """Windows that are kept say the same as a fresh look, also when the clock jumps to and fro."""
    spec = cron.parse(expression)
    for step in [0, *steps]:
        now += step
        seen = cron.window(spec, zone, now)
        cron._windows.clear()
        assert (seen.run, seen.next) == (cron.latest(spec, zone, now), cron.following(spec, zone, now))
        cron.window(spec, zone, now)


def test_a_window_is_kept_until_its_next_run() -> None:
    """A look between two runs finds what the first look found, at either end and without another search."""
    spec, run = cron.parse("0 * * * *"), at("2026-11-21T17:00:00+00:00")
    kept = cron.window(spec, UTC, run + 60)
    assert kept == cron.Window(since=run, run=run, next=run + 3600)
    assert all(cron.window(spec, UTC, moment) is kept for moment in (run, run + 59, run + 3599))
    assert cron.window(spec, UTC, run + 3600).run == run + 3600
    assert cron.window(spec, UTC, run - 1).next == run


def test_so_many_windows_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once there are as many as may be, they are all forgotten."""
    monkeypatch.setattr(cron, "_MOST_WINDOWS", 3)
    cron._windows.clear()
    seen = [cron.window(cron.parse(f"{n} 2 * * *"), UTC, 1_790_000_000) and len(cron._windows) for n in range(7)]
    assert seen == [1, 2, 3, 1, 2, 3, 1]


def test_what_never_runs_has_no_run() -> None:
    """The second Monday is never the first of a month: there is no run, before or after, and none is counted."""
    spec, now = cron.parse("0 0 */31 * 1#2"), at("2026-11-21T17:00:00+00:00")
    for moment in (now, now + 1):
        assert cron.window(spec, BERLIN, moment) == cron.Window(since=now, run=None, next=None)
    assert (cron.earlier(spec, BERLIN, now, 1), cron.count(spec, BERLIN, now, now + 10**9)) == (now, 0)


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_the_machines_own_zone_changes_nothing(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found around a change of the clocks is the same wherever the machine says it is."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        spec, since = cron.parse("*/30 * * * *"), at("2026-10-25T00:00:00+02:00")
        moments = [since + 1800 * n for n in range(12)]
        assert [cron.following(spec, BERLIN, moment - 1) for moment in moments] == moments
        assert [cron.latest(spec, BERLIN, moment + 1) for moment in moments] == moments
    finally:
        monkeypatch.undo()
        time.tzset()


def test_an_offset_is_how_far_a_clock_is_ahead() -> None:
    """Seconds, below zero west of Greenwich, zero there."""
    zones = (UTC, BERLIN, NEW_YORK)
    assert [cron.offset_s(zone, at("2026-11-21T00:00:00+00:00")) for zone in zones] == [0, 3600, -5 * 3600]


@given(st.sampled_from(EXPRESSIONS), st.sampled_from(ZONES), st.integers() | st.sampled_from([-(2**70), 2**70]))
def test_no_moment_is_too_far(expression: str, zone: ZoneInfo, now: int) -> None:
    """The first and the last day of any calendar make no trouble. Source: spec/edge-cases.md item 217."""
    seen = cron.window(cron.parse(expression), zone, now)
    assert seen.run is None or seen.next is None or seen.run < seen.next


def test_runs_are_counted_up_to_a_bound() -> None:
    """Between two moments, both left out; nobody counts half a million."""
    spec, start = cron.parse("0 * * * *"), at("2026-11-21T00:00:00+00:00")
    assert cron.count(spec, UTC, start, start + 3600) == 0
    assert cron.count(spec, UTC, start, start + 3601) == 1
    assert cron.count(spec, UTC, start, start + 5 * 3600) == 4
    assert cron.count(cron.parse("* * * * *"), UTC, start, start + 10**9) == cron.MOST_COUNTED


@pytest.mark.parametrize(
    ("naive", "expected"),
    [
        ("2026-03-29T02:30:00", "2026-03-29T03:00:00+02:00"),
        ("2026-10-25T02:30:00", "2026-10-25T02:30:00+02:00"),
        ("2026-06-01T02:30:00", "2026-06-01T02:30:00+02:00"),
    ],
)
def test_a_local_time_has_one_moment(naive: str, expected: str) -> None:
    """The first of two, the end of the gap for one that is skipped."""
    assert cron.stamp(cron.moment_of(datetime.fromisoformat(naive), BERLIN), BERLIN) == expected


@pytest.mark.parametrize(
    ("gap", "minutes", "zone", "end"),
    [
        ("2026-03-29T02:00:00", 60, BERLIN, "2026-03-29T03:00:00+02:00"),
        ("2026-10-04T02:00:00", 30, LORD_HOWE, "2026-10-04T02:30:00+11:00"),
        ("2011-12-30T00:00:00", 24 * 60, ZoneInfo("Pacific/Apia"), "2011-12-31T00:00:00+14:00"),
    ],
)
def test_every_time_that_is_skipped_has_the_end_of_the_gap(gap: str, minutes: int, zone: ZoneInfo, end: str) -> None:
    """An hour, half an hour, or a whole day: each minute of it is the moment at which the clocks have gone forward."""
    skipped = [datetime.fromisoformat(gap) + timedelta(minutes=n) for n in range(minutes)]
    assert {cron.stamp(cron.moment_of(naive, zone), zone) for naive in skipped} == {end}


def test_a_stamp_is_read_back() -> None:
    """What is published names its moment; anything else names none."""
    assert cron.from_stamp("2026-03-29T03:00:00+02:00") == at("2026-03-29T01:00:00+00:00")
    assert [cron.from_stamp(text) for text in (None, 5, "soon", "2026-03-29T03:00:00", {})] == [None] * 5


def test_the_runs_before_a_run() -> None:
    """So many runs back, by the calendar's own steps; none back is the run itself."""
    spec, start = cron.parse("0 0 * * MON-FRI"), at("2026-11-23T00:00:00+00:00")
    assert [cron.earlier(spec, UTC, start, by) for by in (0, 1, 2)] == [start, start - 3 * 86400, start - 4 * 86400]
