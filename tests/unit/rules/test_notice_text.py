"""The words of a push: all one needs, bounded, and nothing a screen would obey."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

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
        ([ask(ts=NOON + 5 * 3600)], "nudge", "looop: w still waits, 0s now"),
        ([ask("v-1", ts=NOON + 3600), ask()], "nudge", "looop: 2 questions still wait, 4h now"),
        ([ask(worker="two\nlines")], "new", "looop: two lines asks"),
        ([ask(worker="w" * 60)], "new", f"looop: {'w' * 60} asks"),
        ([ask(worker="w" * 61)], "new", f"looop: {'w' * 60}… asks"),
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


def test_a_plain_question_has_no_more_than_that():
    """Without options, reference, default or an end nothing is said of them; several stand apart."""
    assert body([ask(), ask("v-1", worker="v")], utc).split("\n\n") == [
        "w-1 (w)\nMay I?\nlooop answer w-1 …",
        "v-1 (v)\nMay I?\nlooop answer v-1 …",
    ]


@pytest.mark.parametrize(("expires", "said"), [(0, "1970-01-01 00:00 +0000"), (10**18, f"{10**18} s UTC")])
def test_every_time_can_be_said(expires, said):
    """The first second of the calendar is a time; one that no calendar has stands as seconds."""
    assert f"until {said}, then nobody has decided" in body([ask(expires=expires)], utc)


@pytest.mark.parametrize(("part", "room"), [("worker", 64), ("prompt", 700), ("reference", 200), ("default", 60)])
def test_each_part_has_its_room(part, room):
    """What fits stands whole; one character more, and it is cut and says so."""
    whole, cut = (body([ask(expires=NOON, **{part: "x" * chars})], utc) for chars in (room, room + 1))
    assert "x" * room in whole and "x…" not in whole
    assert "x" * room + "…" in cut


def test_options_have_their_room():
    """The first nine, each up to forty characters: they are answered by one digit."""
    said = body([ask(options=["x" * 40, "y" * 41, *"345678", "last", "left out"])], utc)
    assert f"\noptions: 1 {'x' * 40} · 2 {'y' * 40}… · 3 3 · " in said
    assert " · 9 last\n" in said and "left out" not in said


def test_a_prompt_among_others_is_shorter():
    """Alone it has 12 lines, among others three, and 200 characters."""
    lines = [str(line) for line in range(20)]
    for asks, most in (([ask()], 12), ([ask(), ask("v-1")], 3)):
        whole, cut = (replace(asks[0], prompt="\n".join(lines[:count])) for count in (most, most + 1))
        shown = [body([one, *asks[1:]], utc).split("\nlooop answer w-1")[0].split("\n")[1:] for one in (whole, cut)]
        assert shown == [lines[:most], [*lines[:most], "…"]]
    many = body([ask(prompt="x" * 200), ask(prompt="y" * 201)], utc)
    assert "x" * 200 + "\n" in many and "y" * 200 + "…" in many


def test_the_first_questions_are_told_as_far_as_there_is_room():
    """Questions are told in order and whole; from the first without room on they are only counted."""
    asks = [ask(f"w-{n}", prompt="x" * 145) for n in range(10)]
    assert body(asks, utc).count("looop answer") == 10
    asks[9] = ask("w-9", prompt="x" * 146)
    said = body([*asks, ask("w-10")], utc)
    assert said.count("looop answer") == 9
    assert said.endswith("looop answer w-8 …\n\nand 2 more: looop asks")


def test_a_program_gets_every_field_of_a_question():
    """The fields that are promised, options and default without what a screen obeys. Source: docs/notify.md."""
    asked = ask(prompt="a\nb", options=["y\nes", "no"], urgency="low", expires=NOON + 1, default="n\x1b[1mo")
    assert fields([asked], "nudge") == {
        "kind": "nudge",
        "asks": [
            {
                "id": "w-1",
                "worker": "w",
                "prompt": "a\nb",
                "options": ["y es", "no"],
                "urgency": "low",
                "expires": NOON + 1,
                "default": "no",
                "ts": NOON,
            }
        ],
        "more": [],
        "count": 1,
    }


def test_a_program_gets_twenty_questions_and_the_ids_of_a_thousand():
    """How much of each is bounded as promised: 20 questions, 1,000 ids, how many there are. Source: docs/notify.md."""
    long = ask("w-0", prompt="p" * 1001, options=["o" * 200, "o" * 201] * 11, default="d" * 201)
    found = fields([long] + [ask(f"w-{n}") for n in range(1, 1100)], "new")
    assert (len(found["asks"]), found["asks"][19]["id"], found["count"]) == (20, "w-19", 1100)
    assert (len(found["more"]), found["more"][0]) == (1000, "w-20")
    first = found["asks"][0]
    assert (first["prompt"], first["default"]) == ("p" * 1000 + "…", "d" * 200 + "…")
    assert first["options"] == ["o" * 200, "o" * 200 + "…"] * 10


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
