"""A tripwire for shell commands that run with nobody watching: it catches accidents, it is not a sandbox.

The command is parsed with bash's grammar and every simple command in it is judged by its unquoted words, so a
dangerous word inside quotes is only a word. What cannot be read (a name that is not literal, text piped into a
shell, a syntax error) is refused, with the way to write it instead. Someone who wants past this will get past it.

Note [Feed]: what a shell would read on its stdin decides whether it runs unseen text. A feed is that text, or
None inside it where it is unknown; no feed at all is harmless, because commands run here with /dev/null as stdin.

Note [Grammar gaps]: tree-sitter-bash takes words after a redirection for more of its targets and `\\<newline>`
for a space, and leaves backticks in a here-doc (and a first substitution after blanks) unparsed. Each has its
repair below.

Note [ASCII only]: the grammar's scanner reads outside its tables on `{` before a far character and takes the
process down (tree-sitter-bash #337). Nothing outside ASCII has a meaning in shell syntax, so `_` stands in for it.

Source: spec/beat.md §11; edge cases 126-128.
"""

import re
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from looop.rules.shell_table import (
    SHELL_VALUED,
    SHELLS,
    Opened,
    denied,
    denied_target,
    fetches,
    opened,
    piped,
    runs_stdin,
)
from looop.rules.shell_words import (
    Word,
    has_option,
    leading,
    program_of,
    shown,
    text_of,
    unescaped,
    word_of,
    words_of,
)

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

MAX_BYTES = 16 * 1024
MAX_NESTING = 16

UNREADABLE = "this cannot be read as shell: check its quotes and brackets, or put it in a script and run that"
TOO_DEEP = f"commands are nested more than {MAX_NESTING} deep here, too deep to be checked: write a script"
PIPED = "text is piped into a shell: cannot be checked, write the commands out"
FETCHED = "a download is piped into an interpreter and would run unread: save it, read it, then run it"

_FROM_COMMAND = re.compile(r"<\s*<\(")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_BACKTICKS = re.compile(r"(?<!\\)`([^`]*)`")


class Feed(NamedTuple):
    """What arrives on a command's stdin; see Note [Feed]."""

    text: str | None = None
    fetched: bool = False


def tripped(command: str) -> str | None:
    """Why this command must not run unattended, in one line; None when nothing tripped. Never raises."""
    if not command.strip():
        return None
    if "\0" in command or any("\ud800" <= char <= "\udfff" for char in command):
        return "this is not text a shell can read: it holds a NUL or a broken character"
    if len(command.encode()) > MAX_BYTES:
        return f"this is longer than {MAX_BYTES} bytes, too long to be checked: put it in a script and run that"
    inspection = _Inspection()
    joined = re.sub(r"(?<=\S)\\\n(?=\S)", "", command)
    reason = inspection.run(command, None, 0) or inspection.run(joined, None, 0)
    return reason and " ".join(reason.split())


class _Inspection:
    """One look at a command and at every text it would run; each text is read once."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, Feed | None]] = set()

    def run(self, code: Opened, feed: Feed | None, level: int) -> str | None:
        """What trips in `code`, a script or the words of a command, run with `feed` on its stdin."""
        if level > MAX_NESTING:
            return TOO_DEEP
        return self._script(code, feed, level) if isinstance(code, str) else self._command(code, feed, level)

    def _script(self, text: str, feed: Feed | None, level: int) -> str | None:
        if (text, feed) in self._seen:
            return None
        self._seen.add((text, feed))
        root = _parser().parse(_NOT_ASCII.sub("_", text).encode()).root_node
        if root.has_error:
            return UNREADABLE
        flow, todo = _Flow(root), [(root, feed)]
        while todo:
            node, fed = todo.pop()
            if reason := self._node(node, flow.own(node, fed), level):
                return reason
            todo.extend(reversed(flow.inside(node, fed)))
        return None

    def _node(self, node: "Node", feed: Feed | None, level: int) -> str | None:
        match node.type:
            case "command":
                return self._command(words_of(node), feed, level)
            case "pipeline":
                return self._pipeline(list(map(_stage_words, node.named_children)), level)
            case "redirected_statement" if late := _late_words(node):
                return self._command(words_of(_last_command(node)) + late, feed, level)
            case "file_redirect":
                return _redirect(node)
            case "function_definition" if name := _multiplies(node):
                return f"`{name}` starts copies of itself without end"
            case "heredoc_redirect" if text := _unparsed_heredoc(node):
                return self.run(text, None, level + 1)
        return None

    def _pipeline(self, stages: list[list[Word]], level: int) -> str | None:
        joined = (self._command(words, None, level) for words in map(piped, stages, stages[1:]))
        return next(filter(None, joined), None)

    def _command(self, words: list[Word], feed: Feed | None, level: int) -> str | None:
        if not words:
            return None
        program = program_of(words[0])
        if program is None:
            return f"the command name `{shown(words[0])}` is not literal: write the command out"
        if reason := denied(program, words) or self._reading(program, words, feed, level):
            return reason
        for code in opened(program, words):
            if reason := self.run(code, feed, level + 1):
                return reason
        return None

    def _reading(self, program: str, words: list[Word], feed: Feed | None, level: int) -> str | None:
        shell, from_stdin = program in SHELLS, runs_stdin(program, words)
        if feed and feed.fetched and (shell or from_stdin):
            return FETCHED
        if shell and any(word.source.startswith("<(") for word in leading(words[1:], SHELL_VALUED)[1][:1]):
            return f"`{program}` would run what `<(…)` prints: cannot be checked, write the commands out"
        if not (shell and from_stdin and feed):
            return None
        return PIPED if feed.text is None else self.run(feed.text, None, level + 1)


class _Flow:
    """What the parts of one script read on their stdin; see Note [Feed]."""

    def __init__(self, root: "Node") -> None:
        self._fetches: list[int] = []
        todo = [root]
        while todo:
            node = todo.pop()
            if fetches(words_of(node)):
                self._fetches.append(node.start_byte)
            todo.extend(node.children)

    def own(self, node: "Node", feed: Feed | None) -> Feed | None:
        """What the redirections of a command put on its stdin, or what it inherits."""
        for child in node.children:
            if child.type == "heredoc_redirect":
                feed = Feed("".join(text_of(part) for part in child.children if part.type == "heredoc_body"))
            elif child.type == "herestring_redirect":
                feed = Feed(word_of(child.children[-1]).text)
            elif child.type == "file_redirect" and _FROM_COMMAND.match(text_of(child)):
                feed = Feed(None, self._fetching(child))
        return feed

    def inside(self, node: "Node", feed: Feed | None) -> list[tuple["Node", Feed | None]]:
        """The children of a node, each with what it would read on its stdin."""
        match node.type:
            case "pipeline":
                return self._stages(node, feed)
            case "redirected_statement" if body := node.child_by_field_name("body"):
                own = self.own(node, feed)
                after = self._output(body, own)
                return [(child, own if child == body else after) for child in node.children]
            case "process_substitution" if node.children[0].type == ">(":
                feed = Feed()
        return [(child, feed) for child in node.children]

    def _stages(self, node: "Node", feed: Feed | None) -> list[tuple["Node", Feed | None]]:
        stages: list[tuple[Node, Feed | None]] = []
        for stage in node.named_children:
            stages.append((stage, feed))
            feed = self._output(stage, feed)
        return stages

    def _output(self, node: "Node", feed: Feed | None) -> Feed:
        return Feed(_printed(words_of(node), feed), bool(feed and feed.fetched) or self._fetching(node))

    def _fetching(self, node: "Node") -> bool:
        return any(node.start_byte <= at < node.end_byte for at in self._fetches)


@cache
def _parser() -> "Parser":
    import tree_sitter_bash
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_bash.language()))


def _late_words(node: "Node") -> list[Word]:
    """The arguments after a redirection; see Note [Grammar gaps]."""
    late: list[Node] = []
    for child in node.children:
        if child.type in {"file_redirect", "heredoc_redirect"}:
            late += child.children_by_field_name("destination")[1:] + child.children_by_field_name("argument")
    return list(map(word_of, late))


def _stage_words(node: "Node") -> list[Word]:
    stage = node.child_by_field_name("body") if node.type == "redirected_statement" else node
    return words_of(stage) if stage else []


def _last_command(node: "Node") -> "Node":
    last = node.child_by_field_name("body")
    while last is not None and last.type in {"pipeline", "list", "negated_command"}:
        last = last.named_children[-1]
    return last or node


def _unparsed_heredoc(node: "Node") -> str | None:
    """A here-doc the grammar may read only in part, rewritten so that it reads it all; see Note [Grammar gaps]."""
    parts = {child.type: text_of(child) for child in node.children}
    body = parts.get("heredoc_body", "")
    if re.search(r"[\"'\\]", parts.get("heredoc_start", "")) or not ("`" in body or "$(" in body):
        return None
    body = _BACKTICKS.sub(r"$(\1)", re.sub(r"^\s+", "", body, flags=re.MULTILINE))
    return f": <<LOOOP\n{body.rstrip()}\nLOOOP\n"


def _multiplies(node: "Node") -> str | None:
    """The name of a function that calls itself twice with no argument that could end it: a fork bomb."""
    name, calls, todo = node.child_by_field_name("name"), 0, list(node.children)
    while name and todo:
        inner = todo.pop()
        if [word.text for word in words_of(inner)] == [text_of(name)]:
            calls += 1
        todo.extend(inner.children)
    return text_of(name) if name and calls > 1 else None


def _redirect(node: "Node") -> str | None:
    target = node.child_by_field_name("destination")
    writes = any(">" in child.type for child in node.children)
    return denied_target(word_of(target)) if target and writes else None


def _printed(words: list[Word], feed: Feed | None) -> str | None:
    """What a command prints, where that can be told: echo, printf of a plain text or of lines, a bare cat."""
    if not all(word.literal for word in words):
        return None
    match [word.text for word in words]:
        case ["cat"] if feed:
            return feed.text
        case ["echo", *_]:
            options, rest = leading(words[1:])
            text = " ".join(word.text for word in rest)
            return unescaped(text) if has_option(options, "e") else text
        case ["printf", "%s" | "%s\\n" | "%s\n", *lines]:
            return "\n".join(lines)
        case ["printf", text, *_] if not re.search("^-|%", text):
            return unescaped(text)
    return None
