"""What programs print to a terminal, piece by piece, for tests that try all orders and all cuts."""

from collections.abc import Iterable, Iterator
from itertools import pairwise

from hypothesis import strategies as st

TEXT = [
    "word ",
    "日本e\u0301 👨\u200d👩\u200d👧",
    "31m",
    "\r\n",
    "\n",
    "\r",
    "\t",
    "\x08",
    "\x07",
    "\x18",
    "\\",
    "[",
    "]",
    "_",
]
STYLES = ["\x1b[1;31m", "\x1b[m", "\x1b[48;2;1;2;3m", "\x1b[38;5;200m", "\x1b[>4;2m", "\x1b(B"]
MOVES = ["\x1b[5;5H", "\x1b[3C", "\x1b[2J", "\x1b[K", "\x1b[3;8r", "\x1b[L", "\x1b[2S", "\x1b7", "\x1b8", "\x1bM"]
MODES = ["\x1b[?1049h", "\x1b[?1049l", "\x1b[?2026h", "\x1b[?2026l", "\x1b[?25l", "\x1b[>1u", "\x1b[<u"]
STRINGS = ["\x1b]0;title\x07", "\x1b]8;;http://x\x1b\\", "\x1bP+q\x1b\\", "\x1b_Ga=q;x\x1b\\"]
HALVES = [b"\x1b", b"\x1b[", b"\x1b]", b"\xff", b"\xe6\x97", b"\xc2\x9b", b"\x00"]
_ALL = [*(atom.encode() for atom in TEXT + STYLES + MOVES + MODES + STRINGS), *HALVES]

outputs = st.lists(st.sampled_from(_ALL), max_size=30).map(b"".join)
cuts = st.lists(st.integers(0, 250), max_size=6)


def cut(data: bytes, places: Iterable[int]) -> Iterator[bytes]:
    """`data` in pieces."""
    edges = [0, *sorted(min(place, len(data)) for place in places), len(data)]
    return (data[start:end] for start, end in pairwise(edges))
