"""The pieces every section is made of: escaping, clipping, one-line values, sizes, headers, local time.

Note [What a frame is]
A line that starts with `=== ` opens a section and one that starts with `---` opens an item, so no text from
outside may start a line like that: it gets a backslash in front. Lines end at \\n; a lone \\r counts as well,
because a reader in text mode turns it into \\n.
"""

import re
from datetime import datetime, timedelta

from msgspec import Struct

NAME_CHARS = 200
_FRAME = re.compile(r"(?<![^\r\n])(===|---)")
_LINE_ENDS = re.compile(r"[\r\n]+")
_EPOCH = datetime(1970, 1, 1)
_LAST_SECOND = 253402300799


class Section(Struct, frozen=True):
    """One section as it stands in the prompt, the blank line before it included."""

    title: str
    text: str


def section(title: str, qualifier: str, body: str) -> Section:
    """A section under its header line; `body` is already safe and ends without a line end."""
    return Section(title, f"{header(title, qualifier)}{body}\n")


def header(title: str, qualifier: str) -> str:
    """The blank line and the header line that open a section."""
    return f"\n=== {title} ({qualifier}) ===\n" if qualifier else f"\n=== {title} ===\n"


def body(text: str, limit: int = 0) -> str:
    """Foreign text of many lines, clipped to `limit` characters (0 = whole), unable to forge a frame.

    See Note [What a frame is]. Source: edge cases 75-77.
    """
    return _FRAME.sub(r"\\\1", encodable(clip(text.rstrip("\r\n"), limit)))


def line(text: str, limit: int = NAME_CHARS) -> str:
    """Foreign text as one line: line ends become blanks, then as `body`."""
    return body(_LINE_ENDS.sub(" ", text.strip("\r\n")), limit)


def clip(text: str, limit: int) -> str:
    """The first `limit` characters, with `…` where something was cut; 0 cuts nothing."""
    return text[:limit] + "…" if 0 < limit < len(text) else text


def encodable(text: str) -> str:
    """`text` with a `?` for each lone surrogate, such as a foreign file name can hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def size(text: str) -> int:
    """Bytes of `text` in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8"))


def local_time(instant: int, utc_offset_s: int) -> str:
    """`2026-07-28 14:03 +02:00`: a numeric offset, as abbreviations are ambiguous. Source: edge case 86."""
    local = _EPOCH + timedelta(seconds=min(max(instant + utc_offset_s, 0), _LAST_SECOND))
    hours, minutes = divmod(abs(utc_offset_s) // 60, 60)
    return f"{local:%Y-%m-%d %H:%M} {'-' if utc_offset_s < 0 else '+'}{hours:02}:{minutes:02}"
