"""What the tripwire refuses and which programs run others: a table of rules, and tables of wrappers and openers.

A rule sees the words of one simple command and answers with a sentence, or None. An opener finds what a command
would run in its turn: the words of another command, or text for a shell.

Note [Reserved words]: the grammar takes `time if x; then` for `time` with arguments, so a reserved word is a
wrapper that runs the rest.

Note [Places]: a command that goes through a whole tree is judged by where the tree begins: the root, a home, what
a home keeps that nothing can rebuild, a system folder, or wherever the command happens to run. Tests that come
before its deed let a `find` pass: by name anywhere but at the root, by state only where it happens to run.

Source: spec/beat.md §11; edge cases 126-128.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from functools import partial
from itertools import pairwise, product, takewhile
from typing import NamedTuple

from looop.rules.shell_words import Word, bare, has_option, leading, program_of, shown, split

Opened = list[Word] | str

BARE_FORCE = "`git push --force` without a branch may overwrite main: name the branch it pushes"

SHELLS = frozenset(["sh", "bash", "zsh", "dash", "ksh", "mksh", "ash", "fish", "csh", "tcsh", "rbash", "source", "."])
SHELL_VALUED = "-o +o -O +O --rcfile --init-file"
_INTERPRETER = re.compile(r"(?:python|perl|ruby|node|nodejs|php|lua|deno|bun|pwsh)[\d.]*")
_CODE_OPTION = re.compile(r"-[A-Za-z]*[cmeEpnr]|--(?:eval|print)")
_FETCHERS = frozenset({"curl", "wget"})
_STDIN = frozenset({"-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"})
_POWER = frozenset({"shutdown", "reboot", "halt", "poweroff"})
_RESERVED = ("do", "then", "else", "elif", "if", "while", "until", "{", "!")

_DISK = re.compile(r"/+dev/+(?:sd|nvme|disk|rdisk|hd|vd|xvd|mmcblk)")
_DD_TARGET = re.compile(r"of=/+dev/+(?!(?:null|zero|stdout|stderr)$)")
_ASSIGNMENT = re.compile(r"\w+\+?=|-$")
_ALL_NAMES = re.compile(r"[.*^$]*")
_ERASES = {
    "wipefs": re.compile(r"-\w*a\w*|--all"),
    "diskutil": re.compile(r"(?i)(?:erase|partition|zero|random|secureErase|delete)\w*"),
    "parted": re.compile(r"mklabel|mktable|mkpart|rm"),
    "sgdisk": re.compile(r"-\w*[Zo]\w*|--zap\S*|--clear"),
    "cryptsetup": re.compile(r"luksFormat|luksErase|erase"),
}

_VARIABLE = r"\$(?:{0})|\$\{{(?:{0})(?:\W[^}}]*)?\}}"
_WILD = r"[.?!^,{}\[\]]*\*[.*?!^,{}\[\]]*"
_BELOW = rf"(?:/(?:\.{{0,2}}|{_WILD}))*"
_HOME = rf"(?:~[\w.-]*|{_VARIABLE.format('HOME')}|/+(?:home|Users)/+[^/]+)"
_FOLDERS = (
    r"bin|boot|dev|etc|home|lib\w*|media|mnt|nix|opt|proc|root|run|sbin|srv|sys|usr|usr/(?:s?bin|lib|local|share)"
    r"|var|var/lib|Applications|Library|System|Users|Volumes|private|private/(?:etc|var)"
)
_PLACES = {
    "root": re.compile(rf"(?=/){_BELOW}"),
    "home": re.compile(_HOME + _BELOW),
    "kept": re.compile(rf"{_HOME}/+(?:Desktop|Documents|Library|Pictures|\.gnupg|\.ssh){_BELOW}"),
    "system": re.compile(rf"(?:/\.{{0,2}})*/(?:{_FOLDERS}|[^/$]*[*?\[{{][^/]*){_BELOW}"),
    "here": re.compile(
        rf"(?:\.{{1,2}}|{_WILD}|~\+|\$\(pwd\)|`pwd`|{_VARIABLE.format('PWD|OLDPWD|LOOOP_DATA_DIR')}){_BELOW}"
    ),
}
_ALL_PLACES = frozenset(_PLACES)
_LARGE_PLACES = frozenset({"root", "home", "system"})

_BY_NAME = rf" -(?:i?name|i?path|i?wholename|i?regex|inum|samefile) (?!{_WILD}(?: |$))"
_BY_STATE = r" -(?:empty|[acm]time|[acm]min|newer\w*|size|user|group|nouser|nogroup|perm|xtype|type [lps])(?= |$)"
_NARROWED = {
    "root": re.compile("(?!)"),
    **dict.fromkeys(("home", "kept", "system"), re.compile(_BY_NAME)),
    "here": re.compile(f"{_BY_NAME}|{_BY_STATE}"),
}
_NEGATED = re.compile(r" (?:!|-not) (?:\( .*? \)|-\w+ \S+)")
_RUNS = r" -(?:exec|ok)(?:dir)? (?:\S*sh -c )?(?:\S*/)?(?:{})(?= |$)"
_FIND_DOES = (
    ("may remove", re.compile(rf" -delete\b|{_RUNS.format('rm|rmdir|shred|truncate|unlink')}"), _ALL_PLACES),
    ("may change", re.compile(_RUNS.format("chmod|chown|chgrp|mv")), _LARGE_PLACES),
)


class _Wrapper(NamedTuple):
    """How a program runs its arguments: its options that take a value, and its own words before the command."""

    valued: str = ""
    skip: int = 0


def denied(program: str, words: list[Word]) -> str | None:
    """Why this command is refused by itself, whatever it runs or reads."""
    if program.startswith(("mkfs", "newfs", "mke2fs")):
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


def piped(source: list[Word], sink: list[Word]) -> list[Word]:
    """The one command two stages of a pipeline amount to, where `xargs` runs something on all `find` or `ls` names."""
    if not source or not sink or program_of(sink[0]) != "xargs":
        return []
    run = _unwrapped("xargs", sink)
    match program_of(source[0]):
        case "find":
            return [*source, bare("-exec"), *run]
        case "ls" if run and not split(source[1:])[1]:
            return [*run, bare("*")]
    return []


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
    options, operands = leading(words[1:], SHELL_VALUED if shell else "")
    given = not shell and any(map(_CODE_OPTION.match, options))
    return not given and (not operands or operands[0].text in _STDIN or (shell and has_option(options, "s")))


def _privilege(words: list[Word]) -> str:
    return f"`{shown(words[0])}` asks for another user's rights, and nobody is here to grant them"


def _power(words: list[Word]) -> str:
    return f"`{shown(words[0])}` takes the machine down"


def _service_power(words: list[Word]) -> str | None:
    verb = leading(words[1:])[1]
    down = bool(verb) and verb[0].text in _POWER | {"kexec", "0", "6"}
    return f"`{shown(words[0])} {shown(verb[0])}` takes the machine down" if down else None


def _rm(words: list[Word]) -> str | None:
    options, operands = split(words[1:])
    if not has_option(options, "rR", "--recursive"):
        return None
    command = "rm -rf" if has_option(options, "f", "--force") else "rm -r"
    return _sweeps(command, "removes", operands, _ALL_PLACES)


def _changes(words: list[Word]) -> str | None:
    options, operands = split(words[1:])
    deep = has_option(options, "R", "--recursive")
    return _sweeps(f"{shown(words[0])} -R", "changes", operands, _LARGE_PLACES) if deep else None


def _mv(words: list[Word]) -> str | None:
    options, operands = split(words[1:], "-t --target-directory -S --suffix")
    into = any(option.startswith(("-t", "--target")) for option in options)
    return _sweeps("mv", "takes away", operands if into else operands[:-1], _LARGE_PLACES) or _writes(words, last=True)


def _rsync(words: list[Word]) -> str | None:
    options, operands = split(words[1:])
    deletes = any(option.startswith("--del") for option in options)
    return _sweeps("rsync --delete", "removes", operands[-1:], _LARGE_PLACES) if deletes else None


def _find(words: list[Word]) -> str | None:
    rest = [word for word in words[1:] if not re.fullmatch(r"-[HLPEXdsx]+", word.text)]
    starts = list(takewhile(lambda word: not word.text.startswith(("-", "(", "!")), rest))
    tests = "".join(f" {word.text}" for word in rest[len(starts) :])
    clauses = re.split(r" -or?(?= )", _NEGATED.sub("", tests))
    for clause, (does, doing, places) in product(clauses, _FIND_DOES):
        if act := doing.search(clause):
            wide = {place for place in places if not _NARROWED[place].search(clause, 0, act.start())}
            if reason := _sweeps("find", does, starts or [bare(".")], wide):
                return reason
    return None


def _sweeps(command: str, does: str, operands: list[Word], places: AbstractSet[str | None]) -> str | None:
    for word in operands:
        if (place := _place(word)) in places:
            where = "wherever it happens to run: name the folder" if place == "here" else f"below {shown(word)}"
            return f"`{command} {shown(word)}` {does} everything {where}"
    return None


def _place(word: Word) -> str | None:
    """The place a word stands for by any spelling, but not a file merely called `~` or `*`; see Note [Places]."""
    quoted = {"'": "~$", "\\": "~$", '"': "~"}.get(word.source[:1], "")
    if word.text[:1] in quoted or (word.literal and "*" in word.text):
        return None
    return next((place for place, pattern in _PLACES.items() if pattern.fullmatch(word.text)), None)


def _git(words: list[Word]) -> str | None:
    rest = leading(words[1:], "-C -c --git-dir --work-tree --namespace --exec-path --config-env")[1]
    if not rest or rest[0].text != "push":
        return None
    options, refs = split(rest[1:], "-o --push-option --repo --receive-pack --exec")
    forced, deletes = has_option(options, "f", "--force"), has_option(options, "d", "--delete")
    for ref in (ref.text for ref in refs):
        source, colon, target = ref.lstrip("+").rpartition(":")
        branch = re.sub(r"^(?:refs/)?heads/", "", target)
        if branch not in {"main", "master"}:
            continue
        if deletes or (colon and not source):
            return f"`git push` deletes {branch}, which others build on"
        if forced or ref.startswith("+"):
            return f"`git push` with force onto {branch} overwrites the history others build on"
    targets = {ref.text for ref in refs[1:]}
    unnamed = (forced and not targets - {"HEAD", "@"}) or bool(targets & {"+HEAD", "+@"})
    return BARE_FORCE if unnamed and "--tags" not in options else None


def _dd(words: list[Word]) -> str | None:
    onto = [shown(word) for word in words if _DD_TARGET.match(word.text)]
    return f"`dd {onto[0]}` overwrites a device" if onto else None


def _writes(words: list[Word], *, last: bool) -> str | None:
    operands = split(words[1:])[1]
    onto = [shown(word) for word in (operands[-1:] if last else operands) if _DISK.match(word.text)]
    return f"`{shown(words[0])} {onto[0]}` overwrites a disk" if onto else None


def _erases(program: str, words: list[Word]) -> str | None:
    verbs = [shown(word) for word in words if _ERASES[program].fullmatch(word.text)]
    return f"`{shown(words[0])} {verbs[0]}` erases a disk" if verbs else None


def _kill(words: list[Word]) -> str | None:
    options, operands = leading(words[1:])
    every = "-1" in options[1:] or any(word.text == "-1" for word in operands)
    return _ends_all("kill -1") if every else None


def _kill_named(words: list[Word]) -> str | None:
    options, names = split(words[1:], "-u -U --euid --uid -g -G -P -t -s -F --signal")
    everyone = [word for word in names if _ALL_NAMES.fullmatch(word.text)]
    if everyone or (has_option(options, "uU", "--euid") and not names):
        return _ends_all(f"{shown(words[0])} {shown(everyone[0]) if everyone else '-u'}")
    return None


def _ends_all(command: str) -> str:
    return f"`{command}` ends every process it can reach"


def _crontab(words: list[Word]) -> str | None:
    removes = has_option(split(words)[0], "r")
    return "`crontab -r` removes every scheduled job" if removes else None


_RULES: dict[str, Callable[[list[Word]], str | None]] = {
    **dict.fromkeys(("sudo", "sudoedit", "doas", "pkexec"), _privilege),
    **dict.fromkeys(_POWER, _power),
    **dict.fromkeys(("systemctl", "init", "telinit"), _service_power),
    **dict.fromkeys(("tee", "shred", "truncate", "blkdiscard", "mkswap"), partial(_writes, last=False)),
    **dict.fromkeys(("chmod", "chown", "chgrp", "chflags"), _changes),
    **dict.fromkeys(("pkill", "killall"), _kill_named),
    **{program: partial(_erases, program) for program in _ERASES},
    "cp": partial(_writes, last=True),
    "mv": _mv,
    "rm": _rm,
    "find": _find,
    "rsync": _rsync,
    "kill": _kill,
    "killall5": lambda words: _ends_all(shown(words[0])),
    "crontab": _crontab,
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
    options, operands = leading(words[1:], SHELL_VALUED)
    if has_option(options, "c", "--command") and operands:
        yield operands[0].text


def _joined(words: list[Word]) -> Iterator[str]:
    yield " ".join(word.text for word in leading(words[1:], "-n --interval -q --equexit")[1])


def _trapped(words: list[Word]) -> Iterator[str]:
    yield from (word.text for word in leading(words[1:])[1][:1])


def _after_c(words: list[Word]) -> Iterator[str]:
    for word, code in pairwise(words):
        if re.fullmatch(r"-\w*c|--(?:session-)?command", word.text):
            yield code.text


def _flock(words: list[Word]) -> Iterator[Opened]:
    yield (run := _unwrapped("flock", words))
    yield from _after_c(run[:2])


def _env(words: list[Word]) -> Iterator[Opened]:
    for at, word in enumerate(words):
        if text := re.match(r"(?s)(?:-[iv0]*S|--split-string=?)(.*)", word.text):
            yield " ".join([text[1], *(later.text for later in words[at + 1 :])])
            return
    yield _unwrapped("env", words)


def _coproc(words: list[Word]) -> Iterator[Opened]:
    match words:
        case [_, _, Word(text="{"), *rest] | [_, *rest]:
            yield rest


def _found(words: list[Word]) -> Iterator[Opened]:
    start = None
    for at, word in enumerate(words):
        if start is None and word.text in {"-exec", "-execdir", "-ok", "-okdir"}:
            start = at + 1
        elif start is not None and word.text in {";", "+"}:
            yield words[start:at]
            start = None


_WRAPPERS: dict[str, _Wrapper] = {
    "env": _Wrapper("-u --unset -C --chdir -P"),
    "xargs": _Wrapper("-I -J -n -P -L -d -a -s -S -E -R --max-args --max-procs --max-chars --delimiter --arg-file"),
    "caffeinate": _Wrapper("-t -w"),
    "time": _Wrapper("-f -o --format --output"),
    "nice": _Wrapper("-n --adjustment"),
    "ionice": _Wrapper("-c -n -p --class --classdata --pid"),
    "timeout": _Wrapper("-s -k --signal --kill-after", skip=1),
    "stdbuf": _Wrapper("-i -o -e --input --output --error"),
    "command": _Wrapper("-v -V"),
    "exec": _Wrapper("-a"),
    "flock": _Wrapper("-w --wait --timeout -E --conflict-exit-code", skip=1),
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
