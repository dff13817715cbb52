"""Whether a runner says that a usage limit was reached, and until when. Pure.

A burst limit (429, "try again in 11s") is not meant: that is a failure like others, for the backoff. Meant is a limit
of a subscription, which lasts for hours or days and which no retry shortens.
Source: the wordings in claude-code #2087 #12789 #25583 #77978, codex #3031 #3899 #26668 #39603, pi #4172.
"""

import re
import time
from calendar import monthrange, timegm

_LONGEST = 35 * 86400
_JUST_PASSED = 15 * 60
_READ = 4096

_REACHED = re.compile(
    r"(?:usage|session|hour|daily|weekly|monthly|opus|sonnet)[ _]limit[ _](?:reached|exceeded|has been reached)"
    r"|(?:hit|reached|exceeded) your (?:[\w-]{1,20} ){0,3}(?:limit|quota)"
    r"|out of (?:extra )?usage|quota exceeded|insufficient_quota",
    re.IGNORECASE,
)
_EPOCH = re.compile(r"""limit reached\|(\d{10})(?:\d{3})?\b|"resets_at": ?(\d{10})\b""", re.IGNORECASE)
_SECONDS = re.compile(r'"resets_in_seconds": ?(\d{1,9})\b')
_SPAN = re.compile(
    r"(?:again|resets?) (?:in|after) (?:~|about )?((?:\d{1,6} ?[a-z]{1,7}\b[ ,]{0,2}|\d{1,6}[dhms]){1,5})",
    re.IGNORECASE,
)
_PIECE = re.compile(r"(\d{1,6}) ?(w|d|h|min|m|sec|s)", re.IGNORECASE)
_LENGTHS = {"w": 604800, "d": 86400, "h": 3600, "min": 60, "m": 60, "sec": 1, "s": 1}
_MOMENT = re.compile(
    r"(?:again|resets?) (?:at )?"
    r"(?:([a-z]{3})[a-z]{0,6} (\d{1,2})(?:st|nd|rd|th)?(?:,? (\d{4}))?(?:,? at|,)? )?"
    r"(\d{1,2})(?::(\d{2}))?(?:\s?([ap])\.?m\b)?(?: \((UTC|GMT)\))?",
    re.IGNORECASE,
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def limit_reached(text: str) -> bool:
    """Whether the text says that a usage limit was reached."""
    return _REACHED.search(text, 0, _READ) is not None


def parked_until(text: str, now: int, utc_offset_s: int) -> int | None:
    """When the limit that this text reports ends, as UTC seconds after `now`.

    None when it reports no limit, no time, or one that cannot be believed: impossible, past, more than five weeks off.
    A time of day is local, `utc_offset_s` east of UTC, unless the text says UTC. Source: design §6.
    """
    if not limit_reached(text):
        return None
    text = text[:_READ]
    until = _epoch(text) or _after(text, now) or _moment(text, now, utc_offset_s)
    return until if until is not None and now < until <= now + _LONGEST else None


def _epoch(text: str) -> int | None:
    found = _EPOCH.search(text)
    return int(found.group(1) or found.group(2)) if found else None


def _after(text: str, now: int) -> int | None:
    if found := _SECONDS.search(text):
        return now + int(found.group(1))
    if re.search(r"again in less than a minute", text, re.IGNORECASE):
        return now + 60
    if not (found := _SPAN.search(text)):
        return None
    pieces = _PIECE.findall(found.group(1))
    return now + sum(int(number) * _LENGTHS[unit.lower()] for number, unit in pieces)


def _moment(text: str, now: int, offset_s: int) -> int | None:
    for found in _MOMENT.finditer(text):
        month, day, year, hour, minute, half, utc = found.groups()
        second = _second_of_day(hour, minute, half)
        if second is not None:
            offset_s = 0 if utc else offset_s
            local = now + offset_s
            when = _dated(month, int(day), year, local) if month else _next_day(second, local)
            return None if when is None else when + second - offset_s
    return None


def _second_of_day(hour: str, minute: str | None, half: str | None) -> int | None:
    """None for what is no time of day; a bare number is none."""
    hours, minutes = int(hour), int(minute or 0)
    if minutes > 59 or not (1 <= hours <= 12 if half else minute and hours <= 23):
        return None
    if half:
        hours = hours % 12 + (12 if half.lower() == "p" else 0)
    return hours * 3600 + minutes * 60


def _next_day(second: int, local: int) -> int | None:
    """The midnight before the next such time of day, None when it has only just passed: the limit is over."""
    midnight = local - local % 86400
    if midnight + second > local:
        return midnight
    return None if midnight + second > local - _JUST_PASSED else midnight + 86400


def _dated(month: str, day: int, year: str | None, local: int) -> int | None:
    """The midnight that begins a date; without a year, of this one or, when that has long passed, the next."""
    if month.lower() not in _MONTHS:
        return None
    number, this_year = _MONTHS.index(month.lower()) + 1, time.gmtime(local).tm_year
    at = _midnight(int(year or this_year), number, day)
    if at is not None and not year and at < local - 2 * 86400:
        return _midnight(this_year + 1, number, day)
    return at


def _midnight(year: int, month: int, day: int) -> int | None:
    valid = 1970 <= year < 9999 and 1 <= day <= monthrange(year, month)[1]
    return timegm((year, month, day, 0, 0, 0)) if valid else None
