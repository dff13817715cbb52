"""Escape sequences in the output of a terminal program: text without them, and where a piece may be cut.

Note [Moves are space]
A program that draws puts words apart by moving the cursor. A move to another row therefore reads as the end of a line,
and one along the row as a space; without that `--grep` would meet `Runthecommand`. A carriage return is a move, too.

Note [First byte]
Each alternative of `_SEQUENCE` starts with a literal byte, and what it reads as is told by the empty group at its end:
only then does the regular expression engine skip what is plain text, which is several times as fast.

Note [Bounded patience]
A sequence may be left open for ever. One longer than LONGEST is no longer waited for.
"""

import re

LONGEST = 1 << 16
_ESC = b"\x1b"
_STRING = rb"[\]PX^_][^\x07\x18\x1a\x1b]*"
_ROW = rb"\x1b\[[0-9;]*[ABEFHdf]"
_ROW_AT_END = re.compile(_ROW)
_ROWS = rb"(?:\r|" + _ROW + rb")*\n?"
_SEQUENCE = re.compile(
    rb"\r" + _ROWS + rb"()|" + _ROW + _ROWS + rb"()|\x1b\[[0-9]*[CG]()"
    rb"|\x1b(?:" + _STRING + rb"(?:\x07|\x1b\\|[\x18\x1a])?|\[[0-?]*[ -/]*[@-~]?|[ -/]*[0-~]?)"
)
_READS = {1: b"\n", 2: b"\n", 3: b" ", None: b""}
_OPEN = re.compile(rb"\x1b(?:" + _STRING + rb"|\[[0-?]*[ -/]*|[ -/]*)")
_OPEN_STRING = re.compile(rb"\x1b" + _STRING)
_HALF_CHARACTER = re.compile(rb"(?:[\xc2-\xf4]|[\xe0-\xf4][\x80-\xbf]|[\xf0-\xf4][\x80-\xbf]{2})\Z")
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def stripped(data: bytes) -> str:
    """What `data` says, without sequences and control characters; only newlines and tabs stay.

    Bytes that are not UTF-8 are U+FFFD. See Note [Moves are space]. Source: spec/workers.md §3.7.
    """
    text = _SEQUENCE.sub(lambda found: _READS[found.lastindex], data.replace(b"\r\n", b"\n"))
    return _CONTROLS.sub("", text.decode("utf-8", "replace"))


def whole(data: bytes) -> int:
    """How many bytes of `data` can be used alone: what is left may be half a character or half a sequence.

    Pieces cut so give the same text as all at once. See Note [Bounded patience]. Source: spec/workers.md §3.7.
    """
    end = _before_open(data)
    if end == len(data) and (half := _HALF_CHARACTER.search(data, max(end - 3, 0))):
        end = half.start()
    while len(data) - end <= LONGEST:
        start = data.rfind(_ESC, max(end - LONGEST, 0), end)
        if start >= 0 and _OPEN_STRING.fullmatch(data, start, end):
            break
        while data[end - 1 : end] == b"\r" and len(data) - end <= LONGEST:
            end -= 1
        if start < 0 or not _ROW_AT_END.fullmatch(data, start, end):
            break
        end = start
    return end if len(data) - end <= LONGEST else len(data)


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
