"""A scratch folder with a git repository in it, for showing the loop at work; it goes away whatever happens.

Note [Signals become questions]
While the folder stands, a signal that asks to end is only noted; `checkpoint` raises it where everything is in
order, so the folder is removed exactly once. A beat notes signals for itself and would swallow ours, so a beat is
run with signals `held`: they arrive right after it. A broken pipe is an ordinary error here.

Note [Nobody else's git]
A person's git may sign, hook, template, rewrite or redirect every commit. While the folder stands this process has
no GIT_* variables, no user's and no system's git config, and a home of its own; sensors and reflexes inherit that.
The repository's own config says the same again, so that a kept one behaves the same later.
"""

import os
import shlex
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from types import FrameType

from looop.config.paths import program
from looop.model.errors import LooopError, Missing, Unwritable
from looop.runtime.command import Command, pause
from looop.runtime.proc import Processes
from looop.state.house import House
from looop.state.open import NoStop, open_house

_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_DEADLINE_S = 60
_LAST_WORDS_S, _LOOK_S = 2.0, 0.05
_HINT = "install it (apt-get, dnf, apk or brew install {0}) and try again"
_GIT_CONFIG = """\
[user]
\tname = looop demo
\temail = demo@looop.invalid
[commit]
\tgpgsign = false
[core]
\thooksPath = /dev/null
\tautocrlf = false
[gc]
\tauto = 0
[maintenance]
\tauto = false
"""


class Failed(LooopError):
    """A command of the scratch world did not end well."""


@contextmanager
def scratch(*, keep: bool) -> Iterator["Scratch"]:
    """A fresh scratch folder, gone afterwards unless `keep`.

    Raises Missing without git or bash, Unwritable when the folder cannot be made or removed.
    """
    signals = _Signals()
    with signals.noted():
        ground = Scratch(_make_folder(), signals)
        try:
            with _nobody_elses_git(ground.root):
                for name in ("git", "bash"):
                    _require(name)
                yield ground
        finally:
            if not keep:
                _remove(ground.root)


class Scratch:
    """The folder `root`, with a place for a data dir and one for a repository in it; neither exists yet."""

    def __init__(self, root: str, signals: "_Signals") -> None:
        self.root = root
        self.data_dir = os.path.join(root, "looop")
        self.app = os.path.join(root, "app")
        self._signals = signals

    def checkpoint(self) -> None:
        """Raise KeyboardInterrupt or SystemExit if a signal asked to end. See Note [Signals become questions]."""
        self._signals.answer()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Signals that ask to end wait until the body is through."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def start_repository(self) -> None:
        """An empty git repository in `app`, on branch main, that asks nothing of anybody's configuration."""
        os.mkdir(self.app)
        self.git("init", "--quiet", "--template=")
        self.git("symbolic-ref", "HEAD", "refs/heads/main")
        _write(os.path.join(self.app, ".git", "config"), _GIT_CONFIG, append=True)

    def commit(self, subject: str, files: Mapping[str, str]) -> str:
        """Write these files, commit them, and return the short id of the commit."""
        for name, body in files.items():
            _write(os.path.join(self.app, name), body)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", subject)
        return self.git("rev-parse", "--short", "HEAD")

    def path(self, name: str) -> str:
        """Where a file beside the repository is."""
        return os.path.join(self.root, name)

    def write(self, name: str, text: str) -> None:
        """Write a file beside the repository."""
        _write(self.path(name), text)

    def read(self, name: str) -> str:
        """What a file beside the repository says; "" while there is none."""
        try:
            with open(self.path(name), encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def looop(self, *words: str) -> str:
        """What a looop command prints for this data dir, run as a person runs it. Raises Failed."""
        return self.run(program(), *words, env=dict(self._house().setting.env, PYTHONIOENCODING="utf-8"))

    def git(self, *words: str) -> str:
        """What git prints in the repository. Raises Failed."""
        return self.run("git", *words)

    def run(self, *argv: str, env: Mapping[str, str] | None = None) -> str:
        """What a command prints in the repository. Raises Failed."""
        ended = Processes().run(Command(argv=argv, cwd=self.app, env=env, deadline_s=_DEADLINE_S))
        self.checkpoint()
        said = ended.output.decode("utf-8", "replace").strip()
        if ended.code != 0:
            why = ended.spawn_error or ended.errors.decode("utf-8", "replace").strip() or said
            raise Failed(f"`{shlex.join(argv)}` in {self.app}: exit code {ended.code}: {why}")
        return said

    def model_calls(self) -> int:
        """How often a model was asked: each time leaves a row in the ledger and a prompt in a run bundle."""
        ledger = self._house().ledger.read()
        runs = os.path.join(self.data_dir, "runs")
        prompts = [name for name in os.listdir(runs) if os.path.exists(os.path.join(runs, name, "prompt.md"))]
        return max(len(ledger.rows) + ledger.damaged, len(prompts))

    def program(self) -> str:
        """The word to type for looop in this terminal: short where a short one will do."""
        if shutil.which("looop"):
            return "looop"
        path, here = program(), os.path.join(os.path.abspath(""), "")
        return shlex.quote(path.removeprefix(here))

    def _house(self) -> House:
        return open_house(data_dir=self.data_dir)[0]


class _Signals:
    """Notes the first signal that asks to end. See Note [Signals become questions]."""

    def __init__(self) -> None:
        self._first = 0

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note them inside; a signal that is ignored outside stays ignored."""
        heard = [number for number in _ENDS if signal.getsignal(number) != signal.SIG_IGN]
        before = {number: signal.signal(number, self._note) for number in heard}
        before[signal.SIGPIPE] = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def answer(self) -> None:
        """Raise what the noted signal asks for, if any."""
        if self._first == signal.SIGINT:
            raise KeyboardInterrupt
        if self._first:
            raise SystemExit(128 + self._first)

    def _note(self, number: int, _: FrameType | None) -> None:
        self._first = self._first or number


@contextmanager
def _nobody_elses_git(home: str) -> Iterator[None]:
    """See Note [Nobody else's git]."""
    environ = os.environ  # noqa: TID251 - it is changed here, not read: what a house inherits has no other door
    before = dict(environ)
    for name in [name for name in environ if name.startswith("GIT_")]:
        del environ[name]
    plain = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    environ.update(plain | {"HOME": home, "XDG_CONFIG_HOME": home, "GIT_TERMINAL_PROMPT": "0"})
    try:
        yield
    finally:
        environ.clear()
        environ.update(before)


def _require(name: str) -> None:
    ended = Processes().run(Command(argv=(name, "--version"), cwd="/", deadline_s=_DEADLINE_S))
    if ended.code != 0:
        broken = ended.errors.decode("utf-8", "replace").strip().split("\n", 1)[0]
        how = f"does not run here: {broken}" if broken else "is not on the PATH"
        raise Missing(f"the demo needs {name}, which {how}: {_HINT.format(name)}")


def _make_folder() -> str:
    try:
        return tempfile.mkdtemp(prefix="looop-demo-")
    except OSError as error:
        raise Unwritable(f"cannot make a scratch folder: {error.strerror} (TMPDIR says where it should be)") from None


def _remove(root: str) -> None:
    """Remove the folder, also while the supervisor of a worker that has just ended writes its last record there."""
    deadline = monotonic() + _LAST_WORDS_S
    while True:
        try:
            return shutil.rmtree(root)
        except OSError as error:
            if monotonic() > deadline:
                why = f"{error.strerror}; remove it by hand"
                raise Unwritable(f"cannot remove the scratch folder {root}: {why}") from None
        pause(NoStop(), _LOOK_S)


def _write(path: str, text: str, *, append: bool = False) -> None:
    with open(path, "a" if append else "w", encoding="utf-8") as file:
        file.write(text)
