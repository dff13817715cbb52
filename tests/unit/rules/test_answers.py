"""What counts as a refusal, as tables and for any words."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from looop.model.records import Answer, Ask, Fault
from looop.rules.answers import is_due, is_owed, is_persons, is_refusal, is_stranded, state_of

REFUSALS = [
    *("no", "No", "NO!", "n", "N.", " no \n", "nope", "never", "Never!", "deny", "denied", "refuse", "refused"),
    *("reject", "rejected", "don't", "don’t", "Do not", "not now", "not yet"),
    *("no.", "no, not before Monday", "no,thanks", "no; ask again tomorrow", "no: too risky", "no - too risky"),
    *("no — later", "no – later", "no-", "no\nbecause of the freeze", "no\r\nreally", "no .", "no not that", "no way"),
    *("no never", "no thanks", "no thank you", "No thanks, I will do it", "no. Wait for review"),
]
OTHERS = [
    *("", " ", "yes", "y", "ok", "no problem", "no worries", "no objections", "no objection, go ahead", "No problem!"),
    *("nothing to add, go", "none", "november", "notify me", "know", "no. 5", "No.5 it is", "no-one minds, go ahead"),
    *("no-brainer: yes", "nowhere", "stop the old one and go on", "cancel the other one", "never mind, do it"),
    *(
        "don't wait, go",
        "do not ask again, just do it",
        "not now but yes",
        "yes, no problem",
        "ja",
        "no?",
        "nö",
        "neither",
    ),
    *("no.2", "denying nothing", "n/a", "nn", "abort? no", "not", "do", "refuses", "stop", "Stop.", "cancel", "abort"),
]


def ask(**fields: object) -> Ask:
    """A question of the worker `w`."""
    return Ask(**{"id": "w-1", "worker": "w", "prompt": "?"} | fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", REFUSALS)
def test_a_refusal_is_told(text: str) -> None:
    """A plain no, with or without its reason behind it, is a refusal. Source: users.md row Ask once."""
    assert is_refusal(text)


@pytest.mark.parametrize("text", OTHERS)
def test_what_may_mean_anything_else_is_none(text: str) -> None:
    """What only begins like a no is none: in doubt a person is asked again, and nothing expires into a yes."""
    assert not is_refusal(text)


@given(st.text())
@example("no" * 10_000)
@example("no " + " " * 10_000)
def test_any_text_is_judged(text: str) -> None:
    """Whatever is answered, there is a verdict; white space around it and case change nothing."""
    assert is_refusal(text) is is_refusal(f" \t{text}\n")
    if text.isascii():
        assert is_refusal(text) is is_refusal(text.upper())


@given(st.sampled_from(",;:!—–\n"), st.text())
def test_a_no_may_have_any_reason(mark: str, reason: str) -> None:
    """Behind a no and a mark that ends it anything may stand."""
    assert is_refusal(f"no{mark}{reason}")


@given(st.sampled_from(["no", "n", "never", "deny"]), st.text(st.characters(categories=("L", "N")), min_size=1))
def test_a_longer_word_is_another_word(word: str, more: str) -> None:
    """A refusal is a word of its own, unless what follows completes another refusal."""
    assert not is_refusal(word + more) or (word + more).lower() in ("no", "nope", "never")


def test_how_a_question_stands() -> None:
    """Refusals are told from other answers; only what has no settlement is pending or stranded."""
    assert (state_of(None), state_of(None, stranded=True)) == ("pending", "stranded")
    assert (state_of(Answer("no, later")), state_of(Answer("no problem"))) == ("refused", "answered")
    for outcome in ("expired", "withdrawn", "stranded"):
        assert state_of(Answer("no", outcome=outcome), stranded=True) == outcome  # type: ignore[arg-type]


@pytest.mark.parametrize(("by", "persons"), [("", True), ("person", True), ("Ann B", True), ("w", False)])
def test_a_person_is_told_from_a_worker(by: str, persons: bool) -> None:
    """Nobody named, `person`, and a name that can be no worker's id are people. Source: docs/asking.md."""
    assert is_persons(Answer("no", by=by)) is persons


@pytest.mark.parametrize(("expires", "due"), [(None, False), (9, True), (10, True), (11, False), (0, True)])
def test_time_is_over_from_its_second_on(expires: int | None, due: bool) -> None:
    """At the second of its expiry a question is over; without one it never is. Source: docs/asking.md."""
    assert is_due(ask(expires=expires), 10) is due


@pytest.mark.parametrize(("generation", "stranded"), [(0, False), (5, False), (4, True), (6, True), (-1, True)])
def test_a_question_belongs_to_the_session_that_asked(generation: int, stranded: bool) -> None:
    """It is stranded when that session is over or another follows it, never without one. Source: docs/asking.md."""
    assert is_stranded(ask(generation=generation), {"w": 5, "v": generation}) is stranded
    assert is_stranded(ask(generation=generation), {"v": 5}) is (generation != 0)


@pytest.mark.parametrize(
    ("ts", "asked_in", "owed"),
    [(101, 1, True), (101, 0, True), (100, 1, False), (99, 1, True), (99, 2, False), (99, 0, False), (99, -1, False)],
)
def test_an_answer_is_owed_to_who_asked_or_took_over(ts: int, asked_in: int, owed: bool) -> None:
    """The session that began at 100 asked it since, or has taken it over from before. Source: docs/asking.md."""
    assert is_owed(ask(ts=ts, generation=asked_in), Answer("yes"), 1, 100) is owed


def test_without_a_session_nothing_is_taken_over() -> None:
    """Who asks outside of a session is owed what was asked since, and nothing older. Source: docs/asking.md."""
    assert [is_owed(ask(ts=ts), Answer("yes"), 0, 100) for ts in (99, 101)] == [False, True]


@pytest.mark.parametrize(
    ("answer", "taken", "owed"),
    [
        (Answer("yes"), 0, True),
        (Answer("yes"), 1, False),
        (Answer("no", outcome="expired"), 0, True),
        (Answer("moot", outcome="withdrawn"), 0, True),
        (Answer("moot", outcome="withdrawn", by="v"), 0, True),
        (Answer("moot", outcome="withdrawn", by="w"), 0, False),
        (Answer("yes", by="w"), 0, True),
        (Answer("", outcome="stranded"), 0, False),
        (Fault("answers/w-1.json", "corrupt", "why"), 0, True),
        (None, 0, True),
    ],
)
def test_a_key_is_free_once_its_answer_is_had(answer: Answer | Fault | None, taken: int, owed: bool) -> None:
    """Neither what was taken, nor what the worker withdrew itself, nor what is stranded is waited for.

    Source: docs/asking.md.
    """
    assert is_owed(ask(ts=101, taken=taken), answer, 7, 100) is owed


@pytest.mark.parametrize(
    ("asked_by", "asks", "owed"), [(5, 5, True), (5, 7, False), (0, 7, True), (5, 0, True)], ids=str
)
def test_an_answer_is_not_a_successors_whatever_the_clock_says(asked_by: int, asks: int, owed: bool) -> None:
    """Asked at 9 and begun anew after the clock was set back to 7; where a session is not known, the time decides."""
    found = ask(ts=9, key="k", generation=asked_by)
    assert is_owed(found, Answer("yes", ts=9), asks, since=7) is owed
