"""Text from outside, cut to what is kept of it."""

import pytest

from looop.model.text import tail_text


@pytest.mark.parametrize(
    ("data", "most", "shown"),
    [
        (b"", 4, ""),
        (b"", 0, ""),
        (b"abc", 4, "abc"),
        ("xé".encode()[-1:], 1, ""),
        ("é日".encode()[1:], 4, "日"),
        ("𐐀ab".encode()[1:], 5, "ab"),
        (b"\x80abc", 9, "\ufffdabc"),
        (b"\x80\x80\x80\x80abc", 7, "\ufffdabc"),
        (b"\xff\xffab", 4, "\ufffd\ufffdab"),
        ("日本".encode(), 6, "日本"),
    ],
)
def test_a_tail_begins_with_a_whole_character(data: bytes, most: int, shown: str) -> None:
    """Only where something was cut off, and at most what one character can leave. Source: edge case 261."""
    assert tail_text(data, most) == shown
