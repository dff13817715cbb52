"""The door to the readers of a runner's output: which one reads what. Spec/beat.md §9.2, §9.3.

A reader takes the stream line by line, tells a person what happens, knows at any time what the run has used, and says
at the end how it went. It never keeps the stream and never raises.
"""

import os
import re
import shlex
from collections import deque
from collections.abc import Mapping

from msgspec import Struct

from looop.config.api import CHILD
from looop.decide.stream_base import KEEP, Reader, Verdict, whole
from looop.decide.stream_claude import ClaudeReader
from looop.decide.stream_codex import CodexReader
from looop.decide.stream_cost import metered
from looop.decide.stream_limit import limit_reached, parked_until
from looop.decide.stream_model import ModelReader
from looop.decide.stream_opencode import OpencodeReader
from looop.decide.stream_pi import PiReader
from looop.decide.stream_rollout import Rollout, codex_home
from looop.model.usage import Tokens, Usage

__all__ = ["Reader", "TextReader", "Tokens", "Usage", "Verdict", "metered", "parked_until", "reader_for"]


class TextReader:
    """Reads plain text: every line passes through, its end is the final text, and EOF is its end.

    The exit status alone tells whether such a run failed, so `limit` counts only when it did.
    """

    def __init__(self) -> None:
        self._lines: deque[str] = deque()
        self._size = 0

    @property
    def usage(self) -> Usage:
        """Nothing: plain text is not metered."""
        return Usage()

    def feed(self, line: str | bytes) -> list[str]:
        """Take one line and pass it through; an empty one shows nothing."""
        text = whole(line) if isinstance(line, str) else line.decode("utf-8", "replace")
        text = text.rstrip("\r\n")
        self._keep(text)
        return [text] if text else []

    def verdict(self) -> Verdict:
        """The last lines, whole ones; `limit` when the last of all says that a usage limit was reached."""
        text = "\n".join(self._lines)
        last = text.rstrip().rpartition("\n")[2]
        return Verdict(ended=True, text=text, limit=last if limit_reached(last) else "")

    def _keep(self, text: str) -> None:
        self._lines.append(text)
        self._size += len(text) + 1
        while self._size > KEEP:
            self._size -= len(self._lines.popleft()) + 1


class _Program(Struct, frozen=True):
    """How a CLI is recognised: its package, and the flags that ask for JSON."""

    reader: type[Reader]
    package: str
    flags: tuple[tuple[str, ...], ...]


_CLAUDE_FLAGS = (("--output-format", "stream-json"), ("--output-format", "json"))
_PROGRAMS = {
    "claude": _Program(ClaudeReader, "claude-code", _CLAUDE_FLAGS),
    "codex": _Program(CodexReader, "codex", (("--json",), ("--experimental-json",))),
    "opencode": _Program(OpencodeReader, "opencode-ai", (("--format", "json"),)),
    "pi": _Program(PiReader, "pi-coding-agent", (("--mode", "json"),)),
    CHILD: _Program(ModelReader, CHILD, (("--settings",),)),
}


def reader_for(name: str, command: str, env: Mapping[str, str] | None = None, events: str | None = None) -> Reader:
    """A fresh reader for the output of this command line in this environment; `events` says whose events it prints.

    A CLI is taken by its program word when its JSON flag follows; a command that names none, by the runner's `name`
    when it carries the flag. Everything else is plain text. Source: spec/beat.md §9.2.
    """
    words = _words(command)
    kind = _PROGRAMS[events].reader if events else _kind(name, words)
    return CodexReader(Rollout(codex_home(words, env or {}))) if kind is CodexReader else kind()


def _kind(name: str, words: list[str]) -> type[Reader]:
    for at, word in enumerate(words):
        program = _PROGRAMS.get(_program_of(word))
        if program and _asks_for_json(words[at + 1 :], program):
            return program.reader
    named = _PROGRAMS.get(name)
    if named and name not in map(_program_of, words) and _asks_for_json(words, named):
        return named.reader
    return TextReader


def _asks_for_json(words: list[str], program: _Program) -> bool:
    """Whether one of the flags stands among the words, with its value beside it or behind `=`."""
    pairs = zip(words, [*words, ""][1:], strict=True)
    beside = {pair for word, value in pairs for pair in ((word,), (word, value), tuple(word.split("=", 1)))}
    return any(flag in beside for flag in program.flags)


def _program_of(word: str) -> str:
    """The CLI that a word starts, by path or package; else the word's last part."""
    base = os.path.basename(word)
    package = base.partition("@")[0]
    return next((name for name, program in _PROGRAMS.items() if package == program.package), base)


def _words(command: str) -> list[str]:
    """The words of a command line, and those of the script that it hands to a shell."""
    words = _split(command)
    pairs = zip(["", *words], words, strict=False)
    return [part for before, word in pairs for part in (_split(word) if _SCRIPT_FLAG.fullmatch(before) else [word])]


_SCRIPT_FLAG = re.compile(r"-[a-z]{0,3}c")


def _split(command: str) -> list[str]:
    """The words by the shell's rules, its operators apart; split at blanks where the quotes do not match."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        return list(lexer)
    except ValueError:
        return command.split()
