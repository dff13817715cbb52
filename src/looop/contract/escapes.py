"""Escape sequences in the output of a terminal program: text without them, and where a piece may be cut.

Note [Moves are space]
A program that draws puts words apart by moving the cursor. A move to another row therefore reads as the end of a line,
and one along the row as a space; without that `--grep` would meet `Runthecommand`. A carriage return is a move, too.

Note [Bounded patience]
A sequence may be left open for ever. One longer than LONGEST is no longer waited for.
"""

import re

LONGEST = 1 << 16
_ESC = b"\x1b"
_STRING = rb"[\]PX^_][^\x07\x18\x1a\x1b]*"
_ROW = re.compile(rb"(?:\r|\x1b\[[0-9;]*[ABEFHdf])+\n?")
_ROW_AT_END = re.compile(rb"\x1b\[[0-9;]*[ABEFHdf]")
_COLUMN = re.compile(rb"\x1b\[[0-9]*[CG]")
_OTHER = re.compile(
    rb"\x1b(?:" + _STRING + rb"(?:\x07|\x1b\\|[\x18\x1a])?|\[[0-?]*[ -/]*[@-~]?|[ -/]*[0-~]?)|\xc2[\x80-\x9f]"
)
_OPEN = re.compile(rb"\x1b(?:" + _STRING + rb"|\[[0-?]*[ -/]*|[ -/]*)")
_OPEN_STRING = re.compile(rb"\x1b" + _STRING)
_HALF_CHARACTER = re.compile(rb"(?:[\xc2-\xf4]|[\xe0-\xf4][\x80-\xbf]|[\xf0-\xf4][\x80-\xbf]{2})\Z")
_CONTROLS = bytes({*range(32), 127} - {9, 10})


def stripped(data: bytes) -> str:
    """What `data` says, without sequences and control characters; only newlines and tabs stay.

    Bytes that are not UTF-8 are U+FFFD. See Note [Moves are space]. Source: spec/workers.md §3.7.
    """
    text = _OTHER.sub(b"", _COLUMN.sub(b" ", _ROW.sub(b"\n", data)))
    return text.translate(None, _CONTROLS).decode("utf-8", "replace")


def whole(data: bytes) -> int:
    """How many bytes of `data` can be used alone: what is left may be half a character or half a sequence.

    Pieces cut so give the same text as all at once. See Note [Bounded patience]. Source: spec/workers.md §3.7.
    """
    end = _before_open(data)
    if end == len(data) and (half := _HALF_CHARACTER.search(data, max(end - 3, 0))):
        end = half.start()
    while True:
        end = len(data[:end].rstrip(b"\r")) if data[end - 1 : end] == b"\r" else end
        start = data.rfind(_ESC, max(end - LONGEST, 0), end)
        if start < 0 or not _ROW_AT_END.fullmatch(data, start, end):
            return end if len(data) - end <= LONGEST else len(data)
        end = start


def _before_open(data: bytes) -> int:
    """Where the sequence starts that is not closed yet; the end where there is none."""
    end = len(data)
    start = data.rfind(_ESC, max(end - LONGEST, 0))
    if start < 0 or not _OPEN.fullmatch(data, start):
        return end
    if start == end - 1:
        outer = data.rfind(_ESC, max(end - LONGEST, 0), start)
        if outer >= 0 and _OPEN_STRING.fullmatch(data, outer, start):
            return outer
    return start
