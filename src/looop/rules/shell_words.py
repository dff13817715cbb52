"""Words out of bash's syntax tree: unquoted as the shell would, and told apart into options and operands.

Nothing here knows a dangerous word from a harmless one.
"""

import re
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tree_sitter import Node

_OWN_NAME = re.compile(r"\$(?:LOOOP_BIN|\{LOOOP_BIN(?::-looop)?\})")
_PLAIN = re.compile(r"[\w.+@:-]+")
_GLOB = re.compile(r"(?<!\\)[*?\[{]")
_ESCAPE = re.compile(r"\\(x[\da-fA-F]{1,2}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t"}
_QUOTED_ESCAPE = re.compile(r'\\(?:\n|([$`"\\]))')


class Word(NamedTuple):
    """One word: unquoted, as written, and whether the shell would leave it as it is."""

    text: str
    source: str
    literal: bool


def words_of(node: "Node") -> list[Word]:
    """The words of a command, its name first; none when the node is no command."""
    name = node.child_by_field_name("name") if node.type == "command" else None
    if name is None:
        return []
    nodes = [name.children[0] if name.children else name, *node.children_by_field_name("argument")]
    return list(map(word_of, nodes))


def word_of(node: "Node") -> Word:
    """The word a node stands for."""
    return Word(_unquoted(node), text_of(node), _is_literal(node))


def bare(text: str) -> Word:
    """The word that is written so, without quotes."""
    return Word(text, text, not _GLOB.search(text))


def text_of(node: "Node") -> str:
    """The source a node spans."""
    return (node.text or b"").decode()


def unescaped(text: str) -> str:
    """`text` with its backslash escapes replaced, as in `$'…'` and `echo -e`: those that matter in a command."""
    return _ESCAPE.sub(lambda match: _escape(match[1]), text)


def program_of(word: Word) -> str | None:
    """The program a word names, without its folder; None when only the shell could tell."""
    if _OWN_NAME.fullmatch(word.source.strip('"')):
        return "looop"
    folder, _, name = word.text.rpartition("/")
    if word.literal or word.text in {"[", "{"} or (folder and _PLAIN.fullmatch(name)):
        return name.lower()
    return None


def shown(word: Word) -> str:
    """A word for a sentence: as written, and not long."""
    return word.source if len(word.source) <= 60 else word.source[:59] + "…"


def split(words: list[Word], valued: str = "", *, lead_only: bool = False) -> tuple[list[str], list[Word]]:
    """Options and operands, in any order as git and GNU programs read them; `valued` options take the next word."""
    options: list[str] = []
    operands: list[Word] = []
    taking, at = valued.split(), 0
    while at < len(words):
        word, at = words[at], at + 1
        if word.text == "--":
            return options, operands + words[at:]
        if len(word.text) > 1 and (word.text[0] == "-" or (lead_only and word.text[0] == "+")):
            options.append(word.text)
            at += _takes_next(word.text, taking)
        elif lead_only:
            return options, words[at - 1 :]
        else:
            operands.append(word)
    return options, operands


leading = partial(split, lead_only=True)
"""Options up to the first operand, as shells and wrappers read them (`+x` is one too); then all the rest."""


def has_option(options: list[str], letters: str, *long: str) -> bool:
    """Whether one of `letters`, alone or bundled, or of the `long` ones is among the options."""
    return any(o in long or (not o.startswith("--") and bool(set(letters) & set(o))) for o in options)


def _unquoted(node: "Node") -> str:
    text = text_of(node)
    match node.type:
        case "concatenation":
            return "".join(map(_unquoted, node.children))
        case "word":
            return re.sub(r"\\(.)", r"\1", text)
        case "raw_string":
            return text[1:-1]
        case "ansi_c_string":
            return unescaped(text[2:-1])
        case "string" | "translated_string":
            return _QUOTED_ESCAPE.sub(r"\1", text[text.index('"') + 1 : -1])
    return text


def _is_literal(node: "Node") -> bool:
    if node.type == "word":
        return not _GLOB.search(text_of(node))
    if node.type in {"string", "translated_string", "concatenation"}:
        return all(map(_is_literal, node.children))
    return node.type in {"raw_string", "ansi_c_string", "number", "string_content", '"', "$"}


def _escape(code: str) -> str:
    return chr(int(code[1:], 16)) if code[0] == "x" and len(code) > 1 else _ESCAPED.get(code, code)


def _takes_next(option: str, taking: list[str]) -> bool:
    if option.startswith("--") or not taking:
        return option in taking
    ends = (at for at, letter in enumerate(option[1:], 2) if option[0] + letter in taking)
    return next(ends, None) == len(option)
