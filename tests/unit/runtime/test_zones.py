"""Time zones by name: those of this machine's zone data, and the machine's own."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from looop.model.errors import Invalid
from looop.runtime.zones import checked_zone, local_zone, zone_of


def test_a_zone_is_found_once() -> None:
    """The same object each time, with the rules of its name."""
    berlin = zone_of("Europe/Berlin")
    assert berlin is zone_of("Europe/Berlin")
    assert datetime(2026, 7, 1, tzinfo=berlin).isoformat() == "2026-07-01T00:00:00+02:00"


@pytest.mark.parametrize("name", ["UTC", "Etc/UTC"])
def test_utc_needs_no_zone_data(name: str) -> None:
    """It is there on the slimmest machine."""
    assert zone_of(name) is UTC


@pytest.mark.parametrize(
    "name", ["", "Nowhere", "Europe", "../Europe/Berlin", "/etc/passwd", "a\0b", "\ud800", "x" * 999]
)
def test_what_is_no_zone_is_invalid(name: str) -> None:
    """Whatever was written is refused in one line."""
    with pytest.raises(Invalid, match="is not known here"):
        zone_of(name)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Berlin", "did you mean Europe/Berlin?"),
        ("europe/berlin", "did you mean Europe/Berlin?"),
        ("new york", "did you mean America/New_York?"),
        ("qqqqqq", "expected a name such as Europe/Berlin"),
    ],
)
def test_the_zone_that_was_likely_meant_is_named(name: str, hint: str) -> None:
    """A city or another spelling is enough to be told its name."""
    with pytest.raises(Invalid) as raised:
        checked_zone(name)
    assert str(raised.value).endswith(hint)


def test_a_machine_without_zone_data_is_told_what_to_install() -> None:
    """UTC works there; any other zone names the package that is missing."""
    script = (
        "from looop.runtime.zones import checked_zone, zone_of\n"
        "from looop.model.errors import Invalid\n"
        "print(zone_of('UTC'))\n"
        "try: checked_zone('Europe/Berlin')\n"
        "except Invalid as error: print(error)\n"
    )
    env = {"PYTHONTZPATH": "", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    told = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True).stdout
    assert told.splitlines() == [
        "UTC",
        "'Europe/Berlin': there is no time zone data on this machine: install the package tzdata, or use UTC",
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Europe/Berlin", "Europe/Berlin"),
        (":Europe/Berlin", "Europe/Berlin"),
        ("/usr/share/zoneinfo/Asia/Tokyo", "Asia/Tokyo"),
        (":/usr/share/zoneinfo/posix/Asia/Tokyo", "Asia/Tokyo"),
        ("", "UTC"),
        ("UTC0", "UTC"),
    ],
)
def test_the_machines_zone_by_variable(value: str, expected: str) -> None:
    """TZ comes first, in each of its spellings that name a zone."""
    assert local_zone({"TZ": value}) == expected


@pytest.mark.parametrize("value", ["CET-1CEST,M3.5.0,M10.5.0/3", "Nowhere"])
def test_a_zone_without_a_name_is_asked_for(value: str) -> None:
    """A rule in place of a name cannot be kept with a schedule."""
    with pytest.raises(Invalid, match="name one with tz, such as Europe/Berlin"):
        local_zone({"TZ": value})


def test_a_variable_that_names_the_machines_own_file_says_nothing(tmp_path: Path) -> None:
    """`TZ=:/etc/localtime`, which spares programs a look at that file, is the zone the file is a link to."""
    localtime = tmp_path / "localtime"
    localtime.symlink_to("/usr/share/zoneinfo/Asia/Tokyo")
    for value in (f":{localtime}", str(localtime)):
        assert local_zone({"TZ": value}, str(localtime)) == "Asia/Tokyo"


def test_the_machines_zone_by_link(tmp_path: Path) -> None:
    """Without TZ what /etc/localtime points to counts, else the name in /etc/timezone; no such file means UTC."""
    link = tmp_path / "localtime"
    assert local_zone({}, str(link)) == "UTC"
    for target, expected in (
        ("/usr/share/zoneinfo/Europe/Berlin", "Europe/Berlin"),
        ("/var/db/timezone/zoneinfo/America/New_York", "America/New_York"),
        ("../usr/share/zoneinfo/Etc/UTC", "UTC"),
    ):
        link.symlink_to(target)
        assert local_zone({}, str(link)) == expected
        link.unlink()
    link.write_bytes(b"TZif2")
    with pytest.raises(Invalid, match="is a file of its own"):
        local_zone({}, str(link))
    (tmp_path / "timezone").write_text("Asia/Tokyo\n")
    assert local_zone({}, str(link)) == "Asia/Tokyo"
