"""What the tripwire refuses and which programs run others: a table of rules, and tables of wrappers and openers.

A rule sees the words of one simple command and answers with a sentence, or None. An opener finds what a command
would run in its turn: the words of another command, or text for a shell.

Note [Reserved words]: the grammar takes `time if x; then` for `time` with arguments, so a reserved word is a
wrapper that runs the rest.

Source: spec/beat.md §11; edge cases 126-128.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

from looop.rules.shell_words import Word, has_option, leading, program_of, shown, split

Opened = list[Word] | str

BARE_FORCE = "`git push --force` without a branch may overwrite main: name the branch it pushes"

SHELLS = frozenset(["sh", "bash", "zsh", "dash", "ksh", "mksh", "ash", "fish", "csh", "tcsh", "rbash", "source", "."])
_SHELL_VALUED = "-o +o -O +O --rcfile --init-file"
_INTERPRETER = re.compile(r"(?:python|perl|ruby|node|nodejs|php|lua|deno|bun|pwsh)[\d.]*")
_CODE_OPTION = re.compile(r"-[A-Za-z]*[cmeEpnr]|--(?:eval|print)")
_FETCHERS = frozenset({"curl", "wget"})
_STDIN = frozenset({"-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"})
_POWER = frozenset({"shutdown", "reboot", "halt", "poweroff"})
_PROTECTED = frozenset({"main", "master"})
_EXEC = frozenset({"-exec", "-execdir", "-ok", "-okdir"})
_RESERVED = ("do", "then", "else", "elif", "if", "while", "until", "{", "!")

_DISK = re.compile(r"/+dev/+(?:sd|nvme|disk|rdisk|hd|vd|xvd|mmcblk)")
_DD_TARGET = re.compile(r"of=/+dev/+(?!(?:null|zero|stdout|stderr)$)")
_EVERYTHING = re.compile(r"(?:~[\w.-]*|\$HOME|\$\{HOME(?:\W[^}]*)?\})?(?:/(?:\.\*|\.{0,2}|\*))*")
_ASSIGNMENT = re.compile(r"\w+\+?=|-$")


class _Wrapper(NamedTuple):
    """How a program runs its arguments: its options that take a value, and its own words before the command."""

    valued: str = ""
    skip: int = 0


def denied(program: str, words: list[Word]) -> str | None:
    """Why this command is refused by itself, whatever it runs or reads."""
    if program.startswith("mkfs"):
        return f"`{program}` formats a disk"
    return _RULES[program](words) if program in _RULES else None


def denied_target(target: Word) -> str | None:
    """Why nothing may be redirected onto this file."""
    return f"the redirection onto {shown(target)} overwrites a disk" if _DISK.match(target.text) else None


def opened(program: str, words: list[Word]) -> Iterable[Opened]:
    """What this command would run in its turn."""
    if program in _OPENERS:
        return _OPENERS[program](words)
    return [_unwrapped(program, words)] if program in _WRAPPERS else []


def fetches(words: list[Word]) -> bool:
    """Whether this command downloads, itself or through wrappers."""
    while words and (program := program_of(words[0])) in _WRAPPERS:
        words = _unwrapped(program, words)
    return bool(words) and program in _FETCHERS


def runs_stdin(program: str, words: list[Word]) -> bool:
    """Whether a shell or an interpreter would run what it reads on its stdin."""
    shell = program in SHELLS
    if not shell and not _INTERPRETER.fullmatch(program):
        return False
    options, operands = leading(words[1:], _SHELL_VALUED if shell else "")
    if has_option(options, "--command", "c") if shell else any(map(_CODE_OPTION.match, options)):
        return False
    return not operands or operands[0].text in _STDIN or (shell and has_option(options, "--stdin", "s"))


def _privilege(words: list[Word]) -> str:
    return f"`{shown(words[0])}` asks for another user's rights, and nobody is here to grant them"


def _power(words: list[Word]) -> str:
    return f"`{shown(words[0])}` takes the machine down"


def _service_power(words: list[Word]) -> str | None:
    verb = leading(words[1:])[1][:1]
    down = bool(verb) and verb[0].text in _POWER | {"kexec", "0", "6"}
    return f"`{shown(words[0])} {shown(verb[0])}` takes the machine down" if down else None


def _rm(words: list[Word]) -> str | None:
    options, operands = split(words[1:])
    if not (has_option(options, "--recursive", "rR") and has_option(options, "--force", "f")):
        return None
    everything = [word.source for word in operands if _is_everything(word)]
    return f"`rm -rf {everything[0]}` removes everything below {everything[0]}" if everything else None


def _is_everything(word: Word) -> bool:
    """Whether a word is / or a home folder, by any spelling that is not a file merely called `~`."""
    quoted = {"'": "~$", "\\": "~$", '"': "~"}.get(word.source[:1], "")
    return bool(word.text) and word.text[0] not in quoted and bool(_EVERYTHING.fullmatch(word.text))


def _git(words: list[Word]) -> str | None:
    rest = leading(words[1:], "-C -c --git-dir --work-tree --namespace --exec-path --config-env")[1]
    if not rest or rest[0].text != "push":
        return None
    options, refs = split(rest[1:], "-o --push-option --repo --receive-pack --exec")
    forced = has_option(options, "--force", "f")
    for ref in (ref.text for ref in refs if forced or ref.text.startswith("+")):
        branch = re.sub(r"^(?:refs/)?heads/", "", ref.lstrip("+").rpartition(":")[2])
        if branch in _PROTECTED:
            return f"`git push` with force onto {branch} overwrites the history others build on"
    return BARE_FORCE if forced and len(refs) < 2 and "--tags" not in options else None


def _dd(words: list[Word]) -> str | None:
    onto = [shown(word) for word in words[1:] if _DD_TARGET.match(word.text)]
    return f"`dd {onto[0]}` overwrites a device" if onto else None


def _writes(words: list[Word], *, last: bool) -> str | None:
    operands = split(words[1:])[1]
    onto = [shown(word) for word in (operands[-1:] if last else operands) if _DISK.match(word.text)]
    return f"`{shown(words[0])} {onto[0]}` overwrites a disk" if onto else None


_RULES: dict[str, Callable[[list[Word]], str | None]] = {
    **dict.fromkeys(("sudo", "sudoedit", "doas", "pkexec"), _privilege),
    **dict.fromkeys(_POWER, _power),
    **dict.fromkeys(("systemctl", "init", "telinit"), _service_power),
    **dict.fromkeys(("cp", "mv"), partial(_writes, last=True)),
    **dict.fromkeys(("tee", "shred"), partial(_writes, last=False)),
    "rm": _rm,
    "git": _git,
    "dd": _dd,
}


def _unwrapped(program: str, words: list[Word]) -> list[Word]:
    """The command a wrapper would run, or nothing."""
    wrapper = _WRAPPERS[program]
    rest = leading(words[1:], wrapper.valued)[1][wrapper.skip :]
    start = next((at for at, word in enumerate(rest) if not _ASSIGNMENT.match(word.text)), len(rest))
    return rest[start:]


def _shell_code(words: list[Word]) -> Iterator[str]:
    options, operands = leading(words[1:], _SHELL_VALUED)
    if has_option(options, "--command", "c") and operands:
        yield operands[0].text


def _joined(words: list[Word]) -> Iterator[str]:
    yield " ".join(word.text for word in leading(words[1:], "-n --interval")[1])


def _trapped(words: list[Word]) -> Iterator[str]:
    yield from (word.text for word in leading(words[1:])[1][:1] if word.text != "-")


def _after_c(words: list[Word]) -> Iterator[str]:
    for at, word in enumerate(words[:-1]):
        if word.text in {"-c", "--command"}:
            yield words[at + 1].text


def _flock(words: list[Word]) -> Iterator[Opened]:
    yield _unwrapped("flock", words)
    yield from _after_c(words)


def _env(words: list[Word]) -> Iterator[Opened]:
    for at, word in enumerate(words):
        if text := re.match(r"(?s)(?:-[iv0]*S|--split-string=?)(.*)", word.text):
            yield " ".join([text[1], *(later.text for later in words[at + 1 :])])
            return
    yield _unwrapped("env", words)


def _coproc(words: list[Word]) -> Iterator[Opened]:
    yield words[2:] if len(words) > 2 and words[2].text == "{" else words[1:]


def _found(words: list[Word]) -> Iterator[Opened]:
    start = None
    for at, word in enumerate(words):
        if start is None and word.text in _EXEC:
            start = at + 1
        elif start is not None and word.text in {";", "+"}:
            yield words[start:at]
            start = None


_WRAPPERS: dict[str, _Wrapper] = {
    "env": _Wrapper("-u --unset -C --chdir -P"),
    "xargs": _Wrapper("-I -n -P -L -d -a -s -E -R --max-args --max-procs --max-lines --delimiter --arg-file --replace"),
    "time": _Wrapper("-f -o --format --output"),
    "nice": _Wrapper("-n --adjustment"),
    "ionice": _Wrapper("-c -n -p --class --classdata --pid"),
    "timeout": _Wrapper("-s -k --signal --kill-after", skip=1),
    "stdbuf": _Wrapper("-i -o -e --input --output --error"),
    "command": _Wrapper("-v -V"),
    "exec": _Wrapper("-a"),
    "flock": _Wrapper("-w --timeout -E --conflict-exit-code", skip=1),
    **dict.fromkeys(("nohup", "setsid", "builtin", "busybox", "toybox", *_RESERVED), _Wrapper()),
}
_OPENERS: dict[str, Callable[[list[Word]], Iterator[Opened]]] = {
    **dict.fromkeys(SHELLS, _shell_code),
    **dict.fromkeys(("eval", "watch"), _joined),
    **dict.fromkeys(("su", "runuser", "script"), _after_c),
    "flock": _flock,
    "env": _env,
    "coproc": _coproc,
    "trap": _trapped,
    "find": _found,
}
