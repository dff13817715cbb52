"""The one place that writes to stdout and stderr."""

import io
import json
import sys

import pytest

from looop.clients.cli import output
from looop.clients.cli.words import Duration


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("it broke", "looop: it broke\n"),
        ("looop: it broke", "looop: it broke\n"),
        (" two\nlines\n", "looop: two lines\n"),
        ("\x1b[31mred", "looop: \\x1b[31mred\n"),
    ],
)
def test_talk(message: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Talk is one clean line on stderr with our name in front once.

    Source: spec/cli.md §1 errors.
    """
    output.talk(message)
    assert capsys.readouterr() == ("", line)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("one\n", "looop: it said: one\n"),
        ("\n\n one\n  two\r\nthree \n\n", "looop: it said:\n   one\n    two\n  three\n"),
        ("a\n\x1b[2J\n", "looop: it said:\n  a\n  \\x1b[2J\n"),
        ("", ""),
        (" \n\n", ""),
    ],
)
def test_lines_of_others_stay_lines(text: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What a command printed is shown line by line, without a sign a terminal would obey; nothing is nothing.

    Source: spec/edge-cases.md item 238.
    """
    output.relay("it said", text)
    assert capsys.readouterr() == ("", said)


@pytest.mark.parametrize(
    "value", ["a\u009bb", "日本\u2028", "\udcff", {"\udcff": ["\ud800", 1, None]}, ["\x1b"], "\x7f"]
)
def test_json_is_plain(value: object, capsys: pytest.CaptureFixture[str]) -> None:
    """A JSON document is UTF-8, holds no character a terminal obeys, and says the same.

    Source: spec/edge-cases.md item 238.
    """
    output.print_json(value)
    text = capsys.readouterr().out
    assert text.encode()
    assert not [ch for ch in text if ch != "\n" and not ch.isprintable()]
    if "\\ud" not in ascii(value):
        assert json.loads(text) == value


def test_text_is_given_as_it_is_unless_to_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody's text reaches a pipe unchanged and a terminal made visible.

    Source: spec/edge-cases.md item 238.
    """
    for stream, expected in ((io.StringIO(), "a\x1b[1m\n"), (Terminal(), "a\\x1b[1m\n")):
        monkeypatch.setattr(sys, "stdout", stream)
        output.give("a\x1b[1m")
        assert stream.getvalue() == expected


def test_closed_streams_take_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program started without stdout or stderr still runs.

    Source: spec/cli.md §1.
    """
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    output.steady_streams()
    output.say("x")
    output.talk("y")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("30m", 1800), ("12h", 43200), ("1d", 86400), (" 5 ", 5), ("0", 0), (7, 7)],
)
def test_durations(text: object, seconds: int) -> None:
    """A duration is seconds, or a number with a unit.

    Source: design §8.
    """
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "soon", "1w", "-5", "1.5h", "1_0", "٣", "1h30m", "9" * 13, "h"])
def test_what_is_no_duration(text: str) -> None:
    """Anything else is refused with what was expected.

    Source: design §8; spec/edge-cases.md item 259.
    """
    with pytest.raises(Exception, match="expected 90, 90s, 30m, 12h or 1d"):
        Duration().convert(text, None, None)


def test_a_duration_ends_within_a_lifetime() -> None:
    """What nobody can mean is a slip of the finger, and refused. Source: design §8."""
    assert Duration().convert("36500d", None, None) == 36500 * 86400
    with pytest.raises(Exception, match="100 years at most"):
        Duration().convert("99999999999d", None, None)
