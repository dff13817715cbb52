"""Time zones by name, from the zone data of this machine.

UTC needs no zone data. Every other zone does, and a slim container may have none: then that is said.
"""

import os
from collections.abc import Mapping
from datetime import UTC, tzinfo
from functools import lru_cache

from looop.model.errors import Invalid
from looop.model.text import clipped

_UTC_NAMES = ("UTC", "Etc/UTC", "UTC0", "GMT0", "Z")
_LOCALTIME = "/etc/localtime"
_EXAMPLE = "Europe/Berlin"
_NAME_ONE = f"name one with tz, such as {_EXAMPLE}"
_SHOWN_CHARS = 64
_NO_DATA = "there is no time zone data on this machine: install the package tzdata, or use UTC"


@lru_cache(maxsize=256)
def zone_of(name: str) -> tzinfo:
    """The rules of a zone such as `Europe/Berlin`; the same object each time. Raises Invalid for an unknown name."""
    if name in _UTC_NAMES:
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        shown = repr(clipped(name, _SHOWN_CHARS))
        raise Invalid(f"time zone {shown} is not known here" if _has_data() else f"{shown}: {_NO_DATA}") from None


def checked_zone(name: str) -> tzinfo:
    """As zone_of, for a name that somebody gives now: an unknown one is answered by the one that was likely meant."""
    try:
        return zone_of(name)
    except Invalid as error:
        if not _has_data():
            raise
        raise Invalid(f"{error}: {_meant(name)}") from None


def local_zone(env: Mapping[str, str], localtime: str = _LOCALTIME) -> str:
    """The name of the machine's zone: from TZ (unless that names the machine's file), else what that file,
    /etc/localtime, is a link to, else UTC.

    Raises Invalid where the machine has a zone and no name for it.
    """
    named = env.get("TZ", localtime).removeprefix(":")
    if named != localtime:
        return _from_variable(named)
    if not os.path.lexists(localtime):
        return "UTC"
    if os.path.islink(localtime):
        for path in (os.readlink(localtime), os.path.realpath(localtime)):
            if name := _below_zoneinfo(path):
                return "UTC" if name in _UTC_NAMES else name
    return _from_debian(os.path.join(os.path.dirname(localtime), "timezone"), localtime)


def _from_variable(value: str) -> str:
    name = _below_zoneinfo(value) or value
    if name in ("", *_UTC_NAMES):
        return "UTC"
    try:
        zone_of(name)
    except Invalid:
        raise Invalid(f"the machine's zone has no name that can be kept (TZ={value}): {_NAME_ONE}") from None
    return name


def _from_debian(path: str, localtime: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            name = file.readline().strip()
    except OSError:
        name = ""
    if not name:
        raise Invalid(f"the machine's zone has no name ({localtime} is a file of its own): {_NAME_ONE}")
    return name


def _below_zoneinfo(path: str) -> str:
    """`Europe/Berlin` of `/usr/share/zoneinfo/Europe/Berlin`; empty for another path."""
    name = path.partition("/zoneinfo/")[2]
    for variant in ("posix/", "right/"):
        name = name.removeprefix(variant)
    return name


def _has_data() -> bool:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo("Europe/Berlin")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _meant(name: str) -> str:
    from difflib import get_close_matches
    from zoneinfo import available_timezones

    known = {zone.lower(): zone for zone in available_timezones()}
    by_place = {zone.rpartition("/")[2]: zone for zone in known}
    wanted = name.lower().replace(" ", "_")
    close = get_close_matches(wanted, list(known), n=1) or get_close_matches(wanted, list(by_place), n=1)
    found = close and (known.get(close[0]) or known[by_place[close[0]]])
    return f"did you mean {found}?" if found else f"expected a name such as {_EXAMPLE}"
