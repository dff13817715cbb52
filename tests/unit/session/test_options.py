"""The words a supervisor is started with."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looop.session.options import Options, is_name, parse, size_of

HEAD = ["run", "--detached-id"]


def options(*words: str) -> Options:
    parsed = parse([*HEAD, *words])
    assert isinstance(parsed, Options), parsed
    return parsed


def test_what_a_start_says_is_what_a_session_is() -> None:
    """Every flag has its place; behind -- the words are the command's. Source: spec/workers.md §3.1."""
    parsed = options(
        "fix", "--root", "/d", "--max-log=9", "--size", "120x40", "--without", "X", "--", "a", "--", "--root"
    )
    assert (parsed.id, parsed.root, parsed.max_log, parsed.size) == ("fix", "/d", 9, (120, 40))
    assert (parsed.without, parsed.command) == ("X", ["a", "--", "--root"])


@pytest.mark.parametrize(
    "unknown",
    [
        ["--new"],
        ["--new", "value"],
        ["--new=value"],
        ["--new=value with -- in it"],
        ["--new", "--other", "5", "--third"],
        ["--timeout", "500", "--no-tty", "--idle-timeout=3"],
    ],
)
def test_a_flag_of_a_newer_program_is_passed_over(unknown: list[str]) -> None:
    """An unknown flag goes with its value, never with `--` or the flag behind it. Source: edge case 171."""
    for words in (["--root", "/d", *unknown], [*unknown, "--root", "/d"]):
        parsed = options("x", *words, "--", "true")
        assert (parsed.root, parsed.command) == ("/d", ["true"])


@pytest.mark.parametrize(
    "words",
    [
        ["x", "--", "true"],
        ["x", "--root", "--", "true"],
        ["x", "--root=", "--", "true"],
        ["x", "--root", "/d", "--"],
        ["", "--root", "/d", "--", "true"],
        ["..", "--root", "/d", "--", "true"],
        ["a/b", "--root", "/d", "--", "true"],
        ["--", "--root", "/d", "--"],
    ],
)
def test_what_is_missing_is_said(words: list[str]) -> None:
    """Without id, root and command there is no session, and one line says so. Source: spec/workers.md §3.1."""
    said = parse([*HEAD, *words])
    assert isinstance(said, str)
    assert said.startswith("run: ")
    assert "\n" not in said


@given(st.lists(st.text() | st.sampled_from(["--", "--root", "--size", "--max-log", "80x24", "²", "x"])))
def test_no_words_break_it(words: list[str]) -> None:
    """Whatever stands between, it parses or is told what is missing. Source: edge case 171."""
    assert isinstance(parse([*HEAD, "x", *words, "--", "true"]), Options | str)


@pytest.mark.parametrize("size", ["0x24", "80x", "80", "1000x2", "80x24x1", "²x3", "-1x3", "axb", ""])
def test_what_is_no_size_is_the_usual_one(size: str) -> None:
    """A size no terminal has is 80 by 24. Source: spec/workers.md §3.3."""
    assert options("x", "--root=/d", f"--size={size}", "--", "true").size == (80, 24)
    assert size_of(size.replace("x", " ").split()) is None


@pytest.mark.parametrize("name", ["", ".", "..", ".x", "a/b", "/", "a\0b", "../x"])
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    """What is no plain name names no session, whoever asks. Source: spec/workers.md §12."""
    assert not is_name(name)


@pytest.mark.parametrize("name", ["a", "日本", "a.b-c_d", "x" * 64, "-x", "a\nb"])
def test_a_plain_name_is_one(name: str) -> None:
    """The room of sessions takes every plain name; what an id is, is ruled elsewhere. Source: design §3 row 9."""
    assert is_name(name)
