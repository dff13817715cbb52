"""The words of a push: all one needs, bounded, and nothing a screen would obey."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looop.model.records import Ask
from looop.rules.notice_text import MOST_CHARS, body, fields, plain, title

NOON = 1_795_262_400
FIELDS = st.fixed_dictionaries(
    {
        "prompt": st.text(max_size=3000),
        "worker": st.text(min_size=1, max_size=100),
        "options": st.lists(st.text(max_size=300), max_size=40),
        "reference": st.none() | st.text(max_size=900),
        "expires": st.none() | st.integers(-(10**12), 10**15),
        "default": st.text(max_size=900),
        "urgency": st.sampled_from(["low", "normal", "irreversible"]),
    }
)


def ask(name: str = "w-1", **more: object) -> Ask:
    return Ask(**{"id": name, "worker": "w", "prompt": "May I?", "ts": NOON} | more)  # type: ignore[arg-type]


def utc(_: int) -> int:
    return 0


@pytest.mark.parametrize(
    ("asks", "kind", "said"),
    [
        ([ask()], "new", "looop: w asks"),
        ([ask(urgency="irreversible")], "new", "looop: w asks (irreversible)"),
        ([ask(), ask("v-1"), ask("u-1")], "new", "looop: 3 questions"),
        ([ask()], "nudge", "looop: w still waits, 4h now"),
        ([ask(), ask("v-1", urgency="irreversible")], "nudge", "looop: 2 questions still wait, 4h now (irreversible)"),
    ],
)
def test_the_title_says_who_and_how_many(asks, kind, said):
    """One worker is named, several questions are counted, what cannot be undone is marked."""
    assert title(asks, kind, NOON + 4 * 3600) == said


def test_the_body_has_all_one_needs_to_answer():
    """Who asks what, what to read, the options, until when and what happens then, how to answer."""
    asked = ask(
        prompt="Merge?\n\nAll is green.",
        reference="reports/w.md",
        options=["yes", "no"],
        urgency="irreversible",
        expires=NOON + 5400,
        default="no",
    )
    assert body([asked], lambda _: 3600).split("\n") == [
        "w-1 (w) · IRREVERSIBLE",
        "Merge?",
        "",
        "All is green.",
        "ref: reports/w.md",
        "options: 1 yes · 2 no",
        "until 2026-11-21 14:30 +0100, then: no",
        "looop answer w-1 …",
    ]


def test_without_a_default_nobody_has_decided():
    """The end of a question without a default is said for what it is."""
    assert "until 2026-11-21 12:00 +0000, then nobody has decided" in body([ask(expires=NOON)], utc)


@given(st.lists(FIELDS, min_size=1, max_size=40))
def test_every_message_is_bounded_and_harmless(found):
    """Whatever workers write: a title of one line, a body a chat takes, a bounded document; no control character."""
    asks = [ask(f"w-{n}", **more) for n, more in enumerate(found)]
    texts = [title(asks, "new", NOON), body(asks, utc)]
    assert len(texts[0]) < 120
    assert "\n" not in texts[0]
    assert len(texts[1]) <= MOST_CHARS
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", "".join(texts))
    assert len(json.dumps(fields(asks, "new"))) < 1_000_000
    named = {one["id"] for one in fields(asks, "new")["asks"]} | set(fields(asks, "new")["more"])
    assert named == {one.id for one in asks}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("a\x00b\rc", "a b c"),
        ("one\r\ntwo", "one\ntwo"),
        ("\u202eevil", "evil"),
        ("x" * 20, "xxxxxxxxxx…"),
    ],
)
def test_what_a_screen_would_obey_is_taken_out(text, said):
    """Escape sequences go, control and direction characters too; lines stay."""
    assert plain(text, 10) == said


def test_one_question_always_fits():
    """However long all its parts are, a question stands in its message with its options and how to answer it."""
    long = ask(
        f"{'w' * 64}-123456",
        worker="w" * 64,
        prompt="word " * 999,
        reference="r" * 999,
        options=["o" * 99] * 12,
        urgency="irreversible",
        expires=10**18,
        default="d" * 99,
    )
    said = body([long, long], utc), body([long], utc)
    assert all(f"looop answer {long.id}" in text and "9 oooo" in text for text in said)
    assert max(map(len, said)) <= MOST_CHARS
