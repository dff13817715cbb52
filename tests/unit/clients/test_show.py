"""Values become lines that are safe to show and fit where they are shown."""

import msgspec
import pytest

from looop.clients.cli.show import age, clip, columns, report_lines
from looop.model.report import BeatReport
from looop.model.text import one_line, visible
from looop.model.world import Change


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("日本 ⚑ é", "日本 ⚑ é"),
        ("a\nb\tc", "a b c"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\r\x07\x00\x7f", " \\x07\\x00\\x7f"),
        ("\u009b1m\u0085", "\\x9b1m\\x85"),
        ("\u202etxt\u2028\u2066", "\\u202etxt\\u2028\\u2066"),
        ("\udcff\udc9b", "\\xff\\x9b"),
        ("\ud83d", "\\ud83d"),
    ],
)
def test_one_line(text: str, shown: str) -> None:
    """Control characters, direction marks and broken bytes are made visible, all on one line.

    Source: spec/edge-cases.md items 238, 258.
    """
    assert one_line(text) == shown
    assert one_line(text).encode()


def test_visible_keeps_lines() -> None:
    """A text of several lines keeps its lines and tabs, nothing else that a terminal obeys.

    Source: spec/edge-cases.md item 238.
    """
    assert visible("a\n\tb\r\n\x1b[2J") == "a\n\tb\\x0d\n\\x1b[2J"


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("日本語", 6, "日本語"),
        ("日本語", 5, "日本…"),
        ("日本語", 4, "日…"),
        ("a日本語", 4, "a日…"),
        ("é" * 5, 5, "é" * 5),
        ("e\u0301" * 5, 5, "e\u0301" * 5),
        ("e\u0301" * 6, 5, "e\u0301" * 4 + "…"),
        ("", 3, ""),
        ("ab", 1, "…"),
        ("⚑ x", 3, "⚑ x"),
    ],
)
def test_clip(text: str, width: int, shown: str) -> None:
    """A clipped line takes at most so many columns: wide characters count two, combining ones none.

    Source: spec/edge-cases.md item 238.
    """
    assert clip(text, width) == shown
    assert sum(map(columns, clip(text, width))) <= width


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "never"),
        (0, "just now"),
        (44, "just now"),
        (45, "1m ago"),
        (89, "1m ago"),
        (90, "1m ago"),
        (120, "2m ago"),
        (3599, "59m ago"),
        (3600, "1h ago"),
        (86399, "23h ago"),
        (86400, "1d ago"),
        (8640000, "100d ago"),
    ],
)
def test_age(seconds: int | None, words: str) -> None:
    """Ages are words.

    Source: spec/cli.md §2 state, age words.
    """
    assert age(seconds) == words


def test_reports_are_clean_in_every_field() -> None:
    """A beat's report shows no control character, whichever field it came in.

    Source: spec/edge-cases.md item 238.
    """
    bad = "\x1b[31m"
    texts = dict.fromkeys(("reason", "source", "why", "action", "summary", "journal", "run_id"), bad)
    changes = [Change(kind, bad, trust="untrusted", old=bad, new=bad) for kind in ("added", "removed", "changed")]
    for ending in ("idle", "decided", "failed", "blocked", "stopped"):
        for dry_run in (True, False):
            report = msgspec.convert({"ending": ending, **texts}, BeatReport)
            report = msgspec.structs.replace(report, changes=changes, prompt_bytes=9)
            for one in (report, msgspec.structs.replace(report, action="")):
                assert "\x1b" not in "".join(report_lines(one, dry_run=dry_run))
