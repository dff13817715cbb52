"""What may be the name of something."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looop.model.errors import Invalid
from looop.model.ids import RULE, index_of, is_id, next_numbered, require_id, require_numbered


@pytest.mark.parametrize("text", ["a", "7", "-", "_", "a.b", "tests-green", "a..b", "A_1.x-2", "x" * 64, "looop-x"])
def test_plain_ids(text: str) -> None:
    """Letters, digits, dash, underscore and inner dots name things, up to 64 of them. Source: design §3 row 9."""
    assert is_id(text)


@pytest.mark.parametrize("text", ["größe", "цель", "目标", "هدف", "٣", "𐐀" * 50, "ß" * 64])
def test_letters_of_any_script(text: str) -> None:
    """Letters and digits of any script are allowed. Source: spec/edge-cases.md item 112."""
    assert is_id(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "..", ".hidden", "../up", "a/b", "a\\b", "/etc"),
        *("a b", " a", "a ", "a\n", "\ta", "a\u00a0b", "a\u2028b", "a\u3000b"),
        *("a\x00", "\x1b[31m", "a\x7f", "a\u200bb", "a\u202eb", "\ufeffa"),
        *("a:b", "a*", "a,b", "a|b", "~", "$x", "a'b", "½", "²", "①", "😀"),
    ],
)
def test_what_is_not_an_id(text: str) -> None:
    """Traversal, dotfiles, separators, spaces and control signs are refused. Source: spec/edge-cases.md item 112."""
    assert not is_id(text)


@pytest.mark.parametrize("text", ["e\u0301", "\u0301", "क\u093f"])
def test_combining_characters_are_refused(text: str) -> None:
    """What can be written in two ways (a letter and a mark apart) cannot name two files. Source: design §3 row 9."""
    assert any(unicodedata.category(sign).startswith("M") for sign in text)
    assert not is_id(text)


def test_lone_surrogates_are_refused() -> None:
    """A name that is no text cannot be written to a file or a log. Source: spec/edge-cases.md item 112."""
    assert not is_id("a\ud800")


@pytest.mark.parametrize(
    ("text", "fits"),
    [("a" * 64, True), ("a" * 65, False), ("é" * 64, True), ("目" * 64, True), ("𐐀" * 50, True), ("𐐀" * 51, False)],
)
def test_length_is_bounded_in_characters_and_bytes(text: str, fits: bool) -> None:
    """At most 64 characters and at most 200 bytes. Source: design §3 row 9; spec/edge-cases.md item 261."""
    assert is_id(text) is fits


def test_the_byte_bound_is_exactly_200() -> None:
    """200 bytes fit, one byte more does not. Source: design §3 row 9."""
    assert is_id("𐐀" * 49 + "abcd")
    assert not is_id("𐐀" * 49 + "abcde")


def test_require_id_returns_the_id() -> None:
    """A good id comes back as it is. Source: design §3 row 9."""
    assert require_id("größe", "goal id") == "größe"


def test_refusal_names_the_thing_the_value_and_the_rule() -> None:
    """The message says what was named, shows the value so that it can be seen, and states the rule."""
    with pytest.raises(Invalid) as caught:
        require_id("a b\n", "sensor name")
    assert str(caught.value) == f"invalid sensor name 'a b\\n': expected {RULE}"


@given(st.text(max_size=70))
def test_an_id_is_always_a_safe_file_name(text: str) -> None:
    """Whatever passes has no separator, space or control sign, does not hide, and fits a file name with a suffix."""
    if is_id(text):
        assert not set(text) & set("/\\\0\n\r\t ")
        assert not text.startswith(".")
        assert text.isprintable()
        assert len(f"{text}-12345.json".encode()) <= 255


@pytest.mark.parametrize(
    ("name", "owner", "number"),
    [
        ("w-1", "w", 1),
        ("w-12", "w", 12),
        ("w-007", "w", 7),
        ("w-1-2", "w-1", 2),
        *(
            (name, "w", None)
            for name in ("w", "w-", "w-1-2", "w-x", "w-1x", "w-+1", "w- 1", "w-²", "w-٣", "v-1", "ww-1")
        ),
    ],
)
def test_a_number_belongs_to_one_owner(name: str, owner: str, number: int | None) -> None:
    """What stands behind the owner's id and a dash is a number only if it is all digits. Source: edge case 197."""
    assert index_of(name, owner) == number


def test_numbers_go_on_after_the_highest() -> None:
    """The next one is above all of the owner's, from 1 on; others do not count. Source: spec/workers.md §9."""
    assert next_numbered("w", []) == "w-1"
    assert next_numbered("w", ["w-9", "w-10", "v-50", "w-1-99", "w-x"]) == "w-11"


def test_an_id_with_a_number_may_be_longer() -> None:
    """Whatever a worker may be called, its questions can be named; nothing else gets in. Source: edge case 197."""
    for text in ("w", "w-1", "x" * 64, "x" * 64 + "-1", "ß" * 64 + "-120"):
        assert require_numbered(text, "ask id") == text
    for text in ("", "x" * 65, "x" * 65 + "-1", "../x-1", ".x-1", "x" * 64 + "-", "x" * 64 + "-a", "x-" + "1" * 90):
        with pytest.raises(Invalid, match="invalid ask id"):
            require_numbered(text, "ask id")
