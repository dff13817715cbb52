"""One fact, one record: a row of the event log and a log line."""

import io
import json

import pytest

from looop.model.errors import Unwritable
from looop.model.facts import FACTS
from looop.runtime.events import Events
from tests.fakes.clock import StillClock

NOW = 1_700_000_000


def made(**options):
    rows, out = [], io.StringIO()
    return Events(StillClock(NOW), rows.append, out, **options), rows, out


def test_a_fact_becomes_a_row_and_a_line():
    """The same record is written to the file under its event name and shown under its code. Spec/beat.md §14."""
    events, rows, out = made(style="json")
    events.emit("tick_backoff", fails=3, retry_in_s=60)
    row, line = json.loads(rows[0]), json.loads(out.getvalue())
    assert (row["event"], row["fails"], row["retry_in_s"]) == ("tick_backoff", 3, 60)
    assert (line["event"], line["level"], line["fails"]) == ("tick.backoff", "warn", 3)
    assert "60s" in line["msg"]


def test_times_are_utc():
    """Rows carry milliseconds, lines seconds, both in UTC with a Z. Source: edge case 279."""
    events, rows, out = made(style="json")
    events.emit("tick_capped", retry_in_s=1)
    assert json.loads(rows[0])["ts"] == "2023-11-14T22:13:20.000Z"
    assert json.loads(out.getvalue())["ts"] == "2023-11-14T22:13:20Z"


def test_fields_cannot_replace_the_record_itself():
    """Caller fields never overwrite ts, event, level or msg. Source: edge case 247."""
    events, rows, out = made(style="json")
    events.emit("tick_error", error="x", ts="forged", event="forged", level="forged", msg="forged")
    events.emit("tick_capped", retry_in_s=1, ts="forged", event="forged")
    assert "forged" not in out.getvalue()
    assert "forged" not in rows[0]


def test_the_json_log_has_sorted_keys():
    """Keys of a JSON line are sorted. Source: spec/beat.md §14."""
    events, _, out = made(style="json")
    events.emit("tick_backoff", fails=3, retry_in_s=60)
    keys = list(json.loads(out.getvalue()))
    assert keys == sorted(keys)


def test_people_get_local_time_and_one_line():
    """A human line is `[HH:MM:SS] text` in local time, whatever newlines its fields hold."""
    clock = StillClock(NOW, offset_s=3600)
    out = io.StringIO()
    Events(clock, None, out).emit("tick_error", error="a\nb\r\nc")
    assert out.getvalue() == "[23:13:20] a b  c\n"


@pytest.mark.parametrize(("name", "code"), [("tick_error", "\x1b[31m"), ("tick_capped", "\x1b[33m")])
def test_colour_is_only_there_when_asked_for(name, code):
    """Errors are red and warnings yellow with colour, plain without."""
    for colour in (True, False):
        out = io.StringIO()
        Events(StillClock(NOW), None, out, colour=colour).emit(name, error="x", retry_in_s=1)
        assert (code in out.getvalue()) is colour


def test_a_reader_that_went_away_costs_only_the_log():
    """A closed pipe never stops the loop, and rows are still kept. Source: edge case 144."""

    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    rows = []
    events = Events(StillClock(NOW), rows.append, Gone())
    events.emit("tick_capped", retry_in_s=1)
    events.emit("tick_capped", retry_in_s=1)
    assert len(rows) == 2


def test_a_file_that_cannot_be_written_is_said_once(capsys):
    """A full disk costs the rows, not the loop, and stderr says so once."""

    def full(_row):
        raise Unwritable("no space left")

    events = Events(StillClock(NOW), full, None)
    events.emit("tick_start")
    events.emit("tick_start")
    assert capsys.readouterr().err.count("no space left") == 1


def test_rows_are_kept_again_once_there_is_space(capsys):
    """A full disk ends with the space, not with the process; a new episode is said anew."""
    rows, space = [], []

    def sink(row):
        if not space:
            raise Unwritable("no space left")
        rows.append(row)

    events = Events(StillClock(NOW), sink, None)
    events.emit("tick_start")
    space.append(True)
    events.emit("tick_start")
    space.clear()
    events.emit("tick_start")
    assert len(rows) == 1
    assert capsys.readouterr().err.count("no space left") == 2


def test_half_characters_do_not_break_the_record():
    """Bytes that are not UTF-8, in a file name say, become question marks. Source: issue 'Bad input'."""
    events, rows, out = made(style="json")
    events.emit("tick_failed", error="bad \udcff name", fails=1, replay="")
    assert "bad ? name" in rows[0]
    assert "bad ? name" in out.getvalue()


def test_every_fact_can_be_shown():
    """Each sentence of the table is a valid format string over named fields."""
    import string

    for name, fact in FACTS.items():
        fields = [field for _, field, _, _ in string.Formatter().parse(fact.text) if field]
        fact.text.format(**dict.fromkeys(fields, "x"))
        assert fact.code or fact.row, name


def test_both_failures_are_the_same_event():
    """A failed beat is `tick_failed` in the event log, whatever its code. Source: spec/beat.md §13."""
    events, rows, _ = made()
    for name in ("tick_failed", "no_decision"):
        events.emit(name, fails=1, error="x", replay="y")
    assert {json.loads(row)["event"] for row in rows} == {"tick_failed"}


def test_a_log_can_be_kept_to_problems():
    """With only_problems the log shows warnings and errors; every row is kept all the same."""
    events, rows, out = made(only_problems=True)
    events.emit("decided", kind="x", journal="x", secs=0)
    events.emit("tick_capped", retry_in_s=1)
    assert len(rows) == 2
    assert out.getvalue().count("\n") == 1
