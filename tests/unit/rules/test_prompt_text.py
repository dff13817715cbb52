"""The pieces of a section: clipped, escaped, on one line, and the time."""

import pytest

from looop.rules.prompt.text import NAME_CHARS, body, clip, line, local_time, size


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [("abc", 0, "abc"), ("abc", 1, "a…"), ("abc", 2, "ab…"), ("abc", 3, "abc"), ("", 1, ""), ("", 0, "")],
)
def test_what_is_cut_says_so(text: str, limit: int, expected: str) -> None:
    """A text that fits is whole, one that does not ends in an ellipsis. Source: spec/edge-cases.md item 77."""
    assert clip(text, limit) == expected


@pytest.mark.parametrize("text", ["a\ud800b", "é\udfffü", "\ud800"])
def test_half_a_character_becomes_a_question_mark(text: str) -> None:
    """What a foreign file name can hold is shown, and the prompt can be written."""
    assert body(text) == "".join("?" if "\ud800" <= char <= "\udfff" else char for char in text)


def test_a_name_is_one_line_of_bounded_length() -> None:
    """Line ends become one blank each run, and 200 characters are enough for a name.

    Source: spec/edge-cases.md item 76.
    """
    assert line("\r\na\r\n\nb\n") == "a b"
    assert NAME_CHARS == 200
    assert (line("x" * 200), line("x" * 201)) == ("x" * 200, "x" * 200 + "…")


def test_a_size_is_in_bytes() -> None:
    """A budget is paid in bytes of UTF-8. Source: spec/beat.md §8."""
    assert [size(text) for text in ("", "abc", "ü€")] == [0, 3, 5]


@pytest.mark.parametrize(
    ("instant", "offset", "expected"),
    [
        (0, 0, "1970-01-01 00:00 +00:00"),
        (-(10**12), 60, "1970-01-01 00:00 +00:01"),
        (10**12, -60, "9999-12-31 23:59 -00:01"),
        (253402300799, 0, "9999-12-31 23:59 +00:00"),
        (0, 86340, "1970-01-01 23:59 +23:59"),
    ],
)
def test_any_moment_can_be_told(instant: int, offset: int, expected: str) -> None:
    """A stamp from a broken clock is the first or the last minute there is. Source: spec/edge-cases.md item 86."""
    assert local_time(instant, offset) == expected
