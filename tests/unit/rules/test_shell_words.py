"""The words of a command as the shell would read them, and their options."""

import pytest
import tree_sitter_bash
from tree_sitter import Language, Parser

from looop.rules.shell import tripped
from looop.rules.shell_words import Word, bare, has_option, leading, program_of, shown, split, unescaped, words_of


def words(command: str) -> list[Word]:
    """The words of a text that is one command."""
    root = Parser(Language(tree_sitter_bash.language())).parse(command.encode()).root_node
    return words_of(root.children[0])


@pytest.mark.parametrize(
    ("command", "texts"),
    [
        ("a b c", ["a", "b", "c"]),
        ("r''m 'a b' \"c d\"", ["rm", "a b", "c d"]),
        ("a\\ b c\\'d", ["a b", "c'd"]),
        ('x "\\$A \\"b\\" \\\\ \\n" $\'a\\x41\\tb\'', ["x", '$A "b" \\ \\n', "aA\tb"]),
        ('$"a b" $A"b"', ["a b", "$Ab"]),
        ("A=1 b > c", []),
        ("A=1", []),
    ],
)
def test_a_word_is_read_as_the_shell_reads_it(command: str, texts: list[str]) -> None:
    """Quotes and backslashes go, what stands in them stays; what is no command has no words."""
    assert [word.text for word in words(command)] == texts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\\nb", "a\nb"),
        ("a\\tb", "a\tb"),
        ("\\x41\\x4a", "AJ"),
        ("a\\x9b", "a\x9b"),
        ("a\\x9g", "a\tg"),
        ("a\\xz", "axz"),
        ("\\\\\\'", "\\'"),
    ],
)
def test_escapes_are_replaced(text: str, expected: str) -> None:
    """Those that can end a command or spell one are known, and what is none stays.

    Source: spec/edge-cases.md item 126.
    """
    assert unescaped(text) == expected


@pytest.mark.parametrize("word", ["$LOOOP_BIN", '"$LOOOP_BIN"', "${LOOOP_BIN}", '"${LOOOP_BIN:-looop}"'])
def test_our_own_name_is_known(word: str) -> None:
    """What a worker calls looop by is no unknown command."""
    assert program_of(words(f"{word} state")[0]) == "looop"


@pytest.mark.parametrize(
    ("command", "program"),
    [("/usr/bin/RM x", "rm"), ("$X/rm x", "rm"), ("$X x", None), ("$X/$Y x", None), ("r* x", None), ("'r*' x", "r*")],
)
def test_the_program_a_word_names(command: str, program: str | None) -> None:
    """Its folder may be anything, its name must be written out."""
    assert program_of(words(command)[0]) == program


def test_a_bracket_is_a_program() -> None:
    """`[` and `{` begin a test and a block, though the shell reads patterns with them too."""
    assert [program_of(bare(text)) for text in ("[", "{", "[a", "{a,b}")] == ["[", "{", None, None]


@pytest.mark.parametrize("word", ["a", "'a*'", '"a b"', "$'a'", "a\\*", "12", "a\"b\"'c'", '"a$"', '$"a"'])
@pytest.mark.parametrize("other", ["$A", '"$A"', "a$A", 'a"$A"', "*", "a?", "[ab]", "{a,b}", "$(a)", "`a`", '"`a`"'])
def test_a_literal_word_is_one_the_shell_leaves_alone(word: str, other: str) -> None:
    """Text and quotes are literal, whatever is replaced is not. Source: spec/beat.md §11."""
    assert words(word)[0].literal
    assert not words(f"a {other}")[1].literal


@pytest.mark.parametrize(("length", "expected"), [(1, 1), (60, 60), (61, 60), (500, 60)])
def test_a_long_word_is_shown_by_its_beginning(length: int, expected: int) -> None:
    """At most 60 characters of it, with an ellipsis where some are left out."""
    text = shown(bare("x" * length))
    assert (len(text), text.endswith("…")) == (expected, length > 60)
    assert text.rstrip("…") == "x" * (min(length, 59) if length > 60 else length)


@pytest.mark.parametrize(
    ("command", "valued", "options", "operands"),
    [
        ("a b -c d", "", ["-c"], ["b", "d"]),
        ("a -c d e", "-c", ["-c"], ["e"]),
        ("a -xc d e", "-c", ["-xc"], ["e"]),
        ("a -cx d", "-c", ["-cx"], ["d"]),
        ("a --long d e", "--long", ["--long"], ["e"]),
        ("a --long=d e", "--long", ["--long=d"], ["e"]),
        ("a -b -- -c", "", ["-b"], ["-c"]),
        ("a - +b ''", "", [], ["-", "+b", ""]),
    ],
)
def test_options_are_told_from_operands(command: str, valued: str, options: list[str], operands: list[str]) -> None:
    """An option may take the next word, `--` ends them, and `-` is an operand."""
    found, rest = split(words(command)[1:], valued)
    assert (found, [word.text for word in rest]) == (options, operands)


@pytest.mark.parametrize(
    ("command", "options", "operands"),
    [
        ("a -b c -d", ["-b"], ["c", "-d"]),
        ("a +b c", ["+b"], ["c"]),
        ("a -o x +o y c", ["-o", "+o"], ["c"]),
        ("a - b", [], ["-", "b"]),
        ("a -- -b", [], ["-b"]),
    ],
)
def test_a_wrapper_reads_options_up_to_its_command(command: str, options: list[str], operands: list[str]) -> None:
    """What follows the first operand is another command's; `+x` is an option too."""
    found, rest = leading(words(command)[1:], "-o +o")
    assert (found, [word.text for word in rest]) == (options, operands)


def test_an_option_is_found_alone_bundled_or_long() -> None:
    """A long option is no bundle of letters."""
    assert has_option(["-a", "-xf", "-b"], "rf")
    assert has_option(["--force"], "", "--force", "--other")
    assert not has_option(["--force", "-x"], "rf")


def test_a_bare_word_may_be_a_pattern() -> None:
    """What the shell would replace is not literal."""
    assert [bare(text).literal for text in ("a", ".", "*", "a?", "[a]", "\\*")] == [
        True,
        True,
        False,
        False,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("denied", "harmless"),
    [
        ('sh -c "rm -rf \\$HOME"', 'sh -c "rm -rf \\$TMP/x"'),
        ("printf 'sudo\\tx' | sh", "printf 'make\\tx' | sh"),
        ("printf 'true\\xasudo x' | sh", "printf 'a\\xz' | sh"),
        ("echo sleep 5 '&& sudo x' | sh", "echo sleep 5 | sh"),
    ],
)
def test_what_is_read_is_what_is_judged(denied: str, harmless: str) -> None:
    """An escape hides no command, and makes none. Source: spec/edge-cases.md item 126."""
    assert tripped(denied)
    assert tripped(harmless) is None
