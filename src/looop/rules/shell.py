"""A tripwire for shell commands that run with nobody watching: it catches accidents, it is not a sandbox.

The command is parsed with bash's grammar and every simple command in it is judged by its unquoted words, so a
dangerous word inside quotes is only a word. What cannot be read (a name that is not literal, text piped into a
shell, a syntax error) is refused, with the way to write it instead. Someone who wants past this will get past it.

Note [Feed]: what a shell would read on its stdin decides whether it runs unseen text. A feed is that text, or
None inside it where it is unknown; no feed at all is harmless, because commands run here with /dev/null as stdin.

Note [Grammar gaps]: tree-sitter-bash takes words after a redirection for more of its targets, `time if x` for the
arguments of `time` and `\\<newline>` for a space, and leaves backticks in a here-doc (and the first substitution
of a `<<-` one) unparsed. Each has its repair below.

Note [ASCII only]: the grammar's scanner reads outside its tables on `{` before a far character and takes the
process down (tree-sitter-bash #337). Nothing outside ASCII has a meaning in shell syntax, so `_` stands in for it.

Source: spec/beat.md §11; edge cases 126-128.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

MAX_BYTES = 64 * 1024
MAX_NESTING = 16

UNREADABLE = "this cannot be read as shell: check its quotes and brackets, or put it in a script and run that"
TOO_DEEP = f"commands are nested more than {MAX_NESTING} deep here, too deep to be checked: write a script"
PIPED = "text is piped into a shell: cannot be checked, write the commands out"
FETCHED = "a download is piped into an interpreter and would run unread: save it, read it, then run it"
BARE_FORCE = "`git push --force` without a branch may overwrite main: name the branch it pushes"

_SHELLS = frozenset(["sh", "bash", "zsh", "dash", "ksh", "mksh", "ash", "fish", "csh", "tcsh", "rbash"])
_SOURCES = frozenset({"source", "."})
_INTERPRETER = re.compile(r"(?:python|perl|ruby|node|nodejs|php|lua|deno|bun|pwsh)[\d.]*")
_FETCHERS = frozenset({"curl", "wget"})
_STDIN = frozenset({"-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"})
_POWER = frozenset(["shutdown", "reboot", "halt", "poweroff"])
_PROTECTED = frozenset({"main", "master"})
_EXEC = frozenset(["-exec", "-execdir", "-ok", "-okdir"])
_RESERVED = ["do", "then", "else", "elif", "if", "while", "until", "{", "!"]

_DISK = re.compile(r"/+dev/+(?:sd|nvme|disk|rdisk|hd|vd|xvd|mmcblk)")
_DD_TARGET = re.compile(r"of=/+dev/+(?!(?:null|zero|stdout|stderr)$)")
_EVERYTHING = re.compile(r"(?:~[\w.-]*|\$HOME|\$\{HOME(?:\W[^}]*)?\})?(?:/(?:\.\*|\.{0,2}|\*))*")
_OWN_NAME = re.compile(r"\$(?:LOOOP_BIN|\{LOOOP_BIN(?::-looop)?\})")
_PLAIN = re.compile(r"[\w.+@:-]+")
_GLOB = re.compile(r"(?<!\\)[*?\[{]")
_ASSIGNMENT = re.compile(r"\w+\+?=|-$")
_CODE_OPTION = re.compile(r"-[A-Za-z]*[cmeEpnr]|--(?:eval|print|version|help)")
_ESCAPE = re.compile(r"\\(x[\da-fA-F]{1,2}|u[\da-fA-F]{1,4}|[0-7]{1,4}|.)", re.DOTALL)
_ESCAPED = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "a": "\a",
    "b": "\b",
    "e": "\x1b",
    "E": "\x1b",
    "f": "\f",
    "v": "\v",
}
_QUOTED_ESCAPE = re.compile(r'\\([$`"\\\n])')
_FROM_COMMAND = re.compile(r"0?<\s*<\(")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_BACKTICKS = re.compile(r"(?<!\\)`([^`]*)`")


class Word(NamedTuple):
    """One word: unquoted, as written, and whether the shell would leave it as it is."""

    text: str
    source: str
    literal: bool


class Feed(NamedTuple):
    """What arrives on a command's stdin; see Note [Feed]."""

    text: str | None = None
    fetched: bool = False


class _Wrapper(NamedTuple):
    """A program that runs its arguments: options that take a value, words before the command, inert options."""

    valued: str = ""
    skip: int = 0
    inert: str = ""


_Opened = list[Word] | str
_Rule = Callable[[list[Word]], str | None]
_Opener = Callable[[list[Word]], Iterable[_Opened]]


def tripped(command: str) -> str | None:
    """Why this command must not run unattended, in one sentence; None when nothing tripped. Never raises."""
    if "\0" in command or any("\ud800" <= char <= "\udfff" for char in command):
        return "this is not text a shell can read: it holds a NUL or a broken character"
    if len(command.encode()) > MAX_BYTES:
        return f"this is longer than {MAX_BYTES // 1024} KiB, too long to be checked: put it in a script and run that"
    inspection = _Inspection()
    joined = re.sub(r"(?<=\S)\\\n(?=\S)", "", command)
    return inspection.script(command, None, 0) or inspection.script(joined, None, 0)


class _Inspection:
    """One look at a command and at every text it would run; each text is read once."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, Feed | None]] = set()

    def script(self, text: str, feed: Feed | None, level: int) -> str | None:
        """What trips in `text` run as a script with `feed` on its stdin."""
        if level > MAX_NESTING:
            return TOO_DEEP
        if (text, feed) in self._seen:
            return None
        self._seen.add((text, feed))
        root = _parser().parse(_NOT_ASCII.sub("_", text).encode()).root_node
        if root.has_error:
            return UNREADABLE
        fetches, todo = _fetches(root), [(root, feed)]
        while todo:
            node, fed = todo.pop()
            if reason := self._node(node, fed, level):
                return reason
            todo.extend(reversed(_inside(node, fed, fetches)))
        return None

    def _node(self, node: Node, feed: Feed | None, level: int) -> str | None:
        if node.type == "command":
            return self._command(_words(node), _own_feed(node, feed, []), level)
        if node.type == "redirected_statement" and (late := _late_words(node)):
            return self._command(_words(_last_command(node)) + late, _own_feed(node, feed, []), level)
        if node.type == "file_redirect":
            return _redirect(node)
        if node.type == "heredoc_redirect" and (text := _unparsed_heredoc(node)):
            return self.script(text, None, level + 1)
        return None

    def _command(self, words: list[Word], feed: Feed | None, level: int) -> str | None:
        if not words:
            return None
        if level > MAX_NESTING:
            return TOO_DEEP
        program = _program(words[0])
        if program is None:
            return f"the command name `{_shown(words[0].source)}` is not literal: write the command out"
        if reason := _judge(program, words) or self._reading(program, words, feed, level):
            return reason
        opener = _OPENERS.get(program)
        for opened in opener(words) if opener else ():
            run = self.script if isinstance(opened, str) else self._command
            if reason := run(opened, feed, level + 1):  # type: ignore[arg-type] # one of the two, by its type
                return reason
        return None

    def _reading(self, program: str, words: list[Word], feed: Feed | None, level: int) -> str | None:
        shell = program in _SHELLS or program in _SOURCES
        if not shell and not _INTERPRETER.fullmatch(program):
            return None
        from_stdin = _reads_stdin(words) if shell else _interprets_stdin(words)
        if feed and feed.fetched and (shell or from_stdin):
            return FETCHED
        if shell and any(word.source.startswith("<(") for word in _leading(words[1:])[1][:1]):
            return f"`{program}` would run what `<(…)` prints: cannot be checked, write the commands out"
        if not (shell and from_stdin and feed):
            return None
        return PIPED if feed.text is None else self.script(feed.text, None, level + 1)


@cache
def _parser() -> Parser:
    import tree_sitter_bash
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_bash.language()))


def _inside(node: Node, feed: Feed | None, fetches: list[int]) -> list[tuple[Node, Feed | None]]:
    """The children of a node, each with what it would read on stdin."""
    if node.type == "pipeline":
        return _stages(node, feed, fetches)
    if node.type == "redirected_statement":
        body, own = node.child_by_field_name("body"), _own_feed(node, feed, fetches)
        after = _output(body, own, fetches) if body else feed
        return [(child, own if child == body else after) for child in node.children]
    if node.type == "process_substitution" and node.children[0].type == ">(":
        feed = Feed()
    return [(child, feed) for child in node.children]


def _stages(node: Node, feed: Feed | None, fetches: list[int]) -> list[tuple[Node, Feed | None]]:
    stages: list[tuple[Node, Feed | None]] = []
    for stage in node.named_children:
        stages.append((stage, feed))
        feed = _output(stage, feed, fetches)
    return stages


def _own_feed(node: Node, feed: Feed | None, fetches: list[int]) -> Feed | None:
    """What the redirections of a command put on its stdin, or what it inherits."""
    for child in node.children:
        if child.type == "heredoc_redirect":
            feed = Feed("".join(_text(part) for part in child.children if part.type == "heredoc_body"))
        elif child.type == "herestring_redirect":
            feed = Feed(_word(child.children[-1]).text)
        elif child.type == "file_redirect" and _FROM_COMMAND.match(_text(child)):
            feed = Feed(None, _within(child, fetches))
    return feed


def _output(node: Node, feed: Feed | None, fetches: list[int]) -> Feed:
    """What a pipeline stage hands to the next one: known for echo, printf and a bare cat."""
    text = None
    if node.type == "command":
        words = _words(node)
        name = words[0].text if words else ""
        if name in _PRINTERS:
            text = _PRINTERS[name](words[1:])
        elif name == "cat" and len(words) == 1 and feed:
            text = feed.text
    return Feed(text, _within(node, fetches) or bool(feed and feed.fetched))


def _fetches(root: Node) -> list[int]:
    """Where in the script a program that downloads is run, in ascending order."""
    found: list[int] = []
    todo = [root] if re.search(rb"curl|wget", root.text or b"", re.IGNORECASE) else []
    while todo:
        node = todo.pop()
        if node.type == "command" and _innermost(_words(node)) in _FETCHERS:
            found.append(node.start_byte)
        todo.extend(reversed(node.children))
    return found


def _within(node: Node, fetches: list[int]) -> bool:
    return bisect_left(fetches, node.start_byte) < bisect_left(fetches, node.end_byte)


def _innermost(words: list[Word]) -> str | None:
    program = _program(words[0]) if words else None
    for _ in range(MAX_NESTING):
        if program not in _WRAPPERS:
            break
        words = _unwrapped(_WRAPPERS[program], words)
        program = _program(words[0]) if words else None
    return program


def _late_words(node: Node) -> list[Word]:
    """The arguments after a redirection; see Note [Grammar gaps]."""
    late: list[Node] = []
    for child in node.children:
        if child.type in {"file_redirect", "heredoc_redirect"}:
            late += child.children_by_field_name("destination")[1:] + child.children_by_field_name("argument")
    return [_word(word) for word in late]


def _last_command(node: Node) -> Node:
    last = node.child_by_field_name("body")
    while last is not None and last.type in {"pipeline", "list", "negated_command"}:
        last = last.named_children[-1]
    return last or node


def _unparsed_heredoc(node: Node) -> str | None:
    """A here-doc the grammar reads only in part, rewritten so that it reads it all; see Note [Grammar gaps]."""
    parts = {child.type: _text(child) for child in node.children}
    body = parts.get("heredoc_body", "")
    if re.search(r"[\"'\\]", parts.get("heredoc_start", "")) or not ("`" in body or ("<<-" in parts and "$(" in body)):
        return None
    body = _BACKTICKS.sub(r"$(\1)", re.sub(r"^\t+", "", body, flags=re.MULTILINE))
    return f": <<LOOOP\n{body.rstrip()}\nLOOOP\n"


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")


def _words(node: Node) -> list[Word]:
    name = node.child_by_field_name("name")
    if name is None:
        return []
    return [
        _word(name.children[0] if name.children else name),
        *map(_word, node.children_by_field_name("argument")),
    ]


def _word(node: Node) -> Word:
    return Word(_unquoted(node), _text(node), _is_literal(node))


def _unquoted(node: Node) -> str:
    text = _text(node)
    if node.type == "concatenation":
        return "".join(map(_unquoted, node.children))
    return _UNQUOTE[node.type](text) if node.type in _UNQUOTE else text


def _is_literal(node: Node) -> bool:
    if node.type == "word":
        return not _GLOB.search(_text(node))
    if node.type in {"string", "translated_string", "concatenation"}:
        return all(map(_is_literal, node.children))
    return node.type in {"raw_string", "ansi_c_string", "number", "string_content", '"', "$"}


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda match: _escape(match[1]), text)


def _escape(code: str) -> str:
    if code[0] in "xu" and len(code) > 1:
        return chr(int(code[1:], 16))
    return chr(int(code, 8) & 0xFF) if code[0] in "01234567" else _ESCAPED.get(code, code)


def _double_quoted(text: str) -> str:
    return _QUOTED_ESCAPE.sub(lambda match: match[1].strip("\n"), text[text.index('"') + 1 : -1])


_UNQUOTE: dict[str, Callable[[str], str]] = {
    "word": lambda text: re.sub(r"\\(.)", r"\1", text),
    "raw_string": lambda text: text[1:-1],
    "ansi_c_string": lambda text: _unescaped(text[2:-1]),
    "string": _double_quoted,
    "translated_string": _double_quoted,
}


def _program(word: Word) -> str | None:
    """The program a word names, without its folder; None when only the shell could tell."""
    if _OWN_NAME.fullmatch(word.source.strip('"')):
        return "looop"
    folder, slash, name = word.text.rpartition("/")
    if word.literal or word.text in {"[", "{"} or (folder and slash and _PLAIN.fullmatch(name)):
        return name.lower()
    return None


def _shown(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"


def _echoed(words: list[Word]) -> str | None:
    options, rest = [], list(words)
    while rest and re.fullmatch(r"-[neE]+", rest[0].text):
        options.append(rest.pop(0).text)
    text = " ".join(word.text for word in rest)
    if not all(word.literal for word in rest):
        return None
    return _unescaped(text) if "e" in "".join(options) else text


def _formatted(words: list[Word]) -> str | None:
    if not words or not all(word.literal for word in words):
        return None
    form, values = words[0].text, [word.text for word in words[1:]]
    if form in {"%s", "%s\\n", "%s\n", "%b", "%b\\n"}:
        return "\n".join(map(_unescaped, values) if "b" in form else values)
    return None if "%" in form else _unescaped(form)


_PRINTERS: dict[str, Callable[[list[Word]], str | None]] = {"echo": _echoed, "printf": _formatted}


def _split(words: list[Word], valued: str = "", *, leading: bool = False) -> tuple[list[str], list[Word]]:
    """Options and operands, in any order as git and GNU programs read them; or all from the first operand on."""
    options: list[str] = []
    operands: list[Word] = []
    taking, at = valued.split(), 0
    while at < len(words):
        word, at = words[at], at + 1
        if word.text == "--":
            return options, operands + words[at:]
        if word.text[:1] in {"-", "+"} and (word.text[:1] == "-" or leading) and len(word.text) > 1:
            options.append(word.text)
            at += _takes_next(word.text, taking)
        elif leading:
            return options, words[at - 1 :]
        else:
            operands.append(word)
    return options, operands


_leading = partial(_split, leading=True)


def _takes_next(option: str, taking: list[str]) -> bool:
    if option.startswith("--") or not taking:
        return option in taking
    ends = (at for at, letter in enumerate(option[1:], 2) if option[0] + letter in taking)
    return next(ends, 0) == len(option)


def _has(options: list[str], long: str, letters: str) -> bool:
    return any(o == long or (not o.startswith("--") and bool(set(letters) & set(o[1:]))) for o in options)


def _judge(program: str, words: list[Word]) -> str | None:
    if program.startswith("mkfs"):
        return f"`{program}` formats a disk"
    return _RULES[program](words) if program in _RULES else None


def _privilege(words: list[Word]) -> str:
    return f"`{_shown(words[0].text)}` asks for another user's rights, and nobody is here to grant them"


def _power(words: list[Word]) -> str:
    return f"`{_shown(words[0].text)}` takes the machine down"


def _service_power(words: list[Word]) -> str | None:
    down = _POWER | {"kexec", "0", "6"}
    found = [word.text for word in _leading(words[1:])[1][:1] if word.text in down]
    return f"`{words[0].text} {found[0]}` takes the machine down" if found else None


def _rm(words: list[Word]) -> str | None:
    options, operands = _split(words[1:])
    if not (_has(options, "--recursive", "rR") and _has(options, "--force", "f")):
        return None
    everything = [word.source for word in operands if _is_everything(word)]
    return f"`rm -rf {everything[0]}` removes everything below {everything[0]}" if everything else None


def _is_everything(word: Word) -> bool:
    """Whether a word is / or a home folder, by any spelling that is not a file merely called `~`."""
    quoted = {"'": "~$", "\\": "~$", '"': "~"}.get(word.source[:1], "")
    return bool(word.text) and word.text[0] not in quoted and bool(_EVERYTHING.fullmatch(word.text))


def _git(words: list[Word]) -> str | None:
    rest = _leading(words[1:], "-C -c --git-dir --work-tree --namespace --exec-path --config-env")[1]
    if not rest or rest[0].text != "push":
        return None
    options, refs = _split(rest[1:], "-o --push-option --repo --receive-pack --exec")
    forced = _has(options, "--force", "f")
    for ref in (ref.text for ref in refs if forced or ref.text.startswith("+")):
        branch = re.sub(r"^(?:refs/)?heads/", "", ref.lstrip("+").rpartition(":")[2])
        if branch in _PROTECTED:
            return f"`git push` with force onto {branch} overwrites the history others build on"
    return BARE_FORCE if forced and len(refs) < 2 and "--tags" not in options else None


def _dd(words: list[Word]) -> str | None:
    onto = [word.text for word in words[1:] if _DD_TARGET.match(word.text)]
    return f"`dd {_shown(onto[0])}` overwrites a device" if onto else None


def _writes(words: list[Word], *, last: bool) -> str | None:
    operands = _split(words[1:])[1]
    onto = [word.text for word in (operands[-1:] if last else operands) if _DISK.match(word.text)]
    return f"`{words[0].text} {_shown(onto[0])}` overwrites a disk" if onto else None


def _redirect(node: Node) -> str | None:
    target = node.child_by_field_name("destination")
    if target is None or not any(">" in child.type for child in node.children if not child.is_named):
        return None
    name = _word(target).text
    return f"the redirection onto {_shown(name)} overwrites a disk" if _DISK.match(name) else None


_RULES: dict[str, _Rule] = {
    **dict.fromkeys(("sudo", "sudoedit", "doas", "pkexec"), _privilege),
    **dict.fromkeys(_POWER, _power),
    **dict.fromkeys(("systemctl", "init", "telinit"), _service_power),
    **dict.fromkeys(("cp", "mv"), partial(_writes, last=True)),
    **dict.fromkeys(("tee", "shred"), partial(_writes, last=False)),
    "rm": _rm,
    "git": _git,
    "dd": _dd,
}


def _unwrapped(wrapper: _Wrapper, words: list[Word]) -> list[Word]:
    """The command a wrapper would run, or nothing."""
    options, rest = _leading(words[1:], wrapper.valued)
    if set(options) & set(wrapper.inert.split()):
        return []
    rest = rest[wrapper.skip :]
    start = next((at for at, word in enumerate(rest) if not _ASSIGNMENT.match(word.text)), len(rest))
    return rest[start:]


def _unwrap(wrapper: _Wrapper, words: list[Word]) -> list[_Opened]:
    return [_unwrapped(wrapper, words)]


def _shell_code(words: list[Word]) -> Iterator[str]:
    options, operands = _leading(words[1:], _SHELL_VALUED)
    if _has(options, "--command", "c") and operands:
        yield operands[0].text


def _reads_stdin(words: list[Word]) -> bool:
    options, operands = _leading(words[1:], _SHELL_VALUED)
    if _has(options, "--command", "c"):
        return False
    return not operands or operands[0].text in _STDIN or _has(options, "--stdin", "s")


def _interprets_stdin(words: list[Word]) -> bool:
    options, operands = _leading(words[1:])
    return not any(map(_CODE_OPTION.match, options)) and (not operands or operands[0].text in _STDIN)


def _joined(words: list[Word]) -> Iterator[str]:
    yield " ".join(word.text for word in _leading(words[1:], "-n --interval")[1])


def _trapped(words: list[Word]) -> Iterator[str]:
    yield from (word.text for word in _leading(words[1:])[1][:1] if word.text != "-")


def _after_c(words: list[Word]) -> Iterator[str]:
    for at, word in enumerate(words[:-1]):
        if word.text in {"-c", "--command"}:
            yield words[at + 1].text


def _env(words: list[Word]) -> Iterator[_Opened]:
    for at, word in enumerate(words):
        if split := re.match(r"(?s)(?:-[iv0]*S|--split-string=?)(.*)", word.text):
            yield " ".join([split[1], *(later.text for later in words[at + 1 :])])
            return
    yield _unwrapped(_WRAPPERS["env"], words)


def _coproc(words: list[Word]) -> Iterator[_Opened]:
    yield words[2:] if len(words) > 2 and words[2].text == "{" else words[1:]


def _found(words: list[Word]) -> Iterator[_Opened]:
    start = None
    for at, word in enumerate(words):
        if start is None and word.text in _EXEC:
            start = at + 1
        elif start is not None and word.text in {";", "+"}:
            yield words[start:at]
            start = None


_SHELL_VALUED = "-o +o -O +O --rcfile --init-file"
_WRAPPERS: dict[str, _Wrapper] = {
    "env": _Wrapper("-u --unset -C --chdir -P"),
    "xargs": _Wrapper("-I -n -P -L -d -a -s -E -R --max-args --max-procs --max-lines --delimiter --arg-file --replace"),
    "time": _Wrapper("-f -o --format --output"),
    "nice": _Wrapper("-n --adjustment"),
    "ionice": _Wrapper("-c -n --class --classdata", inert="-p --pid"),
    "timeout": _Wrapper("-s -k --signal --kill-after", skip=1),
    "stdbuf": _Wrapper("-i -o -e --input --output --error"),
    "command": _Wrapper(inert="-v -V"),
    "exec": _Wrapper("-a"),
    "flock": _Wrapper("-w --timeout -E --conflict-exit-code", skip=1),
    **dict.fromkeys(("nohup", "setsid", "builtin", "busybox", "toybox", *_RESERVED), _Wrapper()),
}
_OPENERS: dict[str, _Opener] = {
    **{program: partial(_unwrap, wrapper) for program, wrapper in _WRAPPERS.items()},
    **dict.fromkeys(_SHELLS, _shell_code),
    **dict.fromkeys(("eval", "watch"), _joined),
    **dict.fromkeys(("su", "runuser", "script"), _after_c),
    "flock": lambda words: [_unwrapped(_WRAPPERS["flock"], words), *_after_c(words)],
    "env": _env,
    "coproc": _coproc,
    "trap": _trapped,
    "find": _found,
}
