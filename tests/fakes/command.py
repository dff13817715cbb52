"""The real program as a person or a script runs it: a process, its words, its environment, its two outputs."""

import errno
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from fcntl import ioctl
from pathlib import Path
from typing import Any

from msgspec import Struct

from looop.state.seed import FOLDERS, seed
from looop.store.files import FileStore
from tests.fakes.disk import QuickDisk

_PROGRAM = (sys.executable, "-m", "looop")
_LIMIT_S = 30


class Said(Struct, frozen=True):
    """How a command ended and what it said; bytes that are not UTF-8 stand as U+FFFD."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document on stdout, decoded as strictly as Python can."""
        return json.loads(self.out, parse_constant=no_constant)


class Looop:
    """looop over a data dir of the test; its working directory and HOME are the test's, too."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data = folder, folder / "data"
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("LOOOP_", "XDG_"))}
        self.env: dict[str, str] = inherited | {
            "PATH": f"{os.path.dirname(sys.executable)}:{os.environ.get('PATH', '/usr/bin:/bin')}",
            "HOME": str(folder),
            "LOOOP_DATA_DIR": str(self.data),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
        }

    def __call__(
        self, *words: str | bytes, stdin: str | bytes = b"", env: Mapping[str, str | None] | None = None
    ) -> Said:
        """Run one command to its end; a None in `env` takes the variable away."""
        done = subprocess.run(
            [*_PROGRAM, *words],
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            cwd=self.folder,
            env=self._with(env),
            timeout=_LIMIT_S,
        )
        return Said(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))

    def settle(self) -> "Looop":
        """A seeded data dir without a pending question, made in this process: a start costs more than the seed."""
        for folder in FOLDERS:
            (self.data / folder).mkdir(parents=True, exist_ok=True)
        seed(FileStore(str(self.data), QuickDisk()), 1)
        self.write("answers/setup-1.json", '{"answer": "x", "ts": 1}')
        return self

    def start(self, *words: str, env: Mapping[str, str | None] | None = None) -> "subprocess.Popen[str]":
        """Run one command beside the test, which has to end it."""
        return subprocess.Popen(
            [*_PROGRAM, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.folder,
            env=self._with(env),
            text=True,
        )

    def in_shell(self, script: str, *, env: Mapping[str, str | None] | None = None, shell: str = "bash") -> Said:
        """Run shell text in which `looop` is the program."""
        function = f'looop() {{ "{sys.executable}" -m looop "$@"; }}\n'
        done = subprocess.run(
            [shell, "-c", function + script],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=self.folder,
            env=self._with(env),
            text=True,
            errors="replace",
            timeout=_LIMIT_S,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def on_terminal(
        self, *words: str, columns: int = 80, env: Mapping[str, str | None] | None = None
    ) -> tuple[int, str]:
        """Run one command on a terminal of its own; its exit code and all that it wrote there."""
        ours, theirs = pty.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        process = subprocess.Popen(
            [*_PROGRAM, *words], stdin=theirs, stdout=theirs, stderr=theirs, cwd=self.folder, env=self._with(env)
        )
        os.close(theirs)
        try:
            text = _drain(ours)
        finally:
            os.close(ours)
        return process.wait(_LIMIT_S), text

    def write(self, path: str | bytes, text: str | bytes, mode: int = 0o644) -> None:
        """A file of the data dir, there in one step, as a careful program would put it."""
        name = os.path.join(os.fsencode(self.data), os.fsencode(path))
        folder, last = os.path.split(name)
        draft = os.path.join(folder, b"." + last)
        os.makedirs(folder, exist_ok=True)
        with open(draft, "wb") as file:
            file.write(text.encode() if isinstance(text, str) else text)
        os.chmod(draft, mode)
        os.replace(draft, name)

    def read(self, path: str) -> str:
        """The text of a file in the data dir."""
        return (self.data / path).read_text(encoding="utf-8")

    def _with(self, changes: Mapping[str, str | None] | None) -> dict[str, str]:
        merged: dict[str, str | None] = {**self.env, **(changes or {})}
        return {key: value for key, value in merged.items() if value is not None}


def no_constant(name: str) -> None:
    """JSON knows no NaN and no Infinity."""
    raise AssertionError(f"not JSON: {name}")


def _drain(fd: int) -> str:
    """Everything until the other side of the terminal is closed."""
    chunks = []
    while True:
        try:
            chunk = os.read(fd, 65536)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            break
        if not chunk:
            break
        chunks.append(chunk)
    return b"".join(chunks).decode("utf-8", "replace")
