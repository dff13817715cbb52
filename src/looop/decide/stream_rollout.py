"""What codex has used so far, from the session file it keeps beside its stream. Version 0.169.0.

The stream tells the usage of a turn once the turn has ended well: never of one that fails, is killed or runs away. The
session file, `sessions/<year>/<month>/<day>/rollout-<time>-<thread>.jsonl` in codex's home, has it after every answer
of the model, before the tool that the answer calls runs. Where there is none (`--ephemeral`, a thread begun on another
day) nothing more is known than what the stream says.
"""

import os
from collections.abc import Mapping, Sequence
from string import Template

from looop.decide.stream_base import at, at_least, decode, name_at, text_at, tokens_at
from looop.model.usage import Tokens

USAGE = (("input_tokens",), ("output_tokens",), ("cached_input_tokens",), ("cache_write_input_tokens",))
_KINDS = ("token_usage_record", "event_msg", "turn_context")
_TELLING = (b"token_usage", b'"turn_context"')
_DAY_DEPTH = 3


class Rollout:
    """The session file of one thread: `tokens` as codex counts them, and `model`. Never raises."""

    def __init__(self, home: str) -> None:
        self._home, self._path, self._read = home, "", 0
        self.tokens: Tokens | None = None
        self.model: str | None = None

    def look(self, thread: str) -> None:
        """Take in what was added since the last look."""
        if not self._home:
            return
        try:
            self._path = self._path or _find(os.path.join(self._home, "sessions"), thread)
            if self._path:
                self._take()
        except OSError:
            return

    def _take(self) -> None:
        """One line at a time, whole ones only."""
        with open(self._path, "rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._read += len(line)
                if any(word in line for word in _TELLING):
                    self._hear(line)

    def _hear(self, line: bytes) -> None:
        event = decode(line.rstrip(b"\n"), _KINDS)
        payload = at(event, "payload")
        if text_at(event, "type") == "turn_context":
            self.model = name_at(payload, "model") or self.model
        for used in (at(payload, "thread_token_usage"), at(payload, "info", "total_token_usage")):
            self.tokens = at_least(self.tokens, tokens_at(used, *USAGE))


def codex_home(words: Sequence[str], env: Mapping[str, str]) -> str:
    """Codex's home for a command line in this environment: set in the line itself, in the environment, or `~/.codex`.

    Empty when there is none.
    """
    inline = next((word.partition("=")[2] for word in words if word.startswith("CODEX_HOME=")), "")
    home = env.get("HOME", "")
    given = Template(inline).safe_substitute(env) or env.get("CODEX_HOME", "")
    if given.startswith("~/"):
        return home + given[1:]
    return given or (os.path.join(home, ".codex") if home else "")


def _find(folder: str, thread: str) -> str:
    """The file of this thread among those of the newest day, empty when it is not there. Raises OSError."""
    for _ in range(_DAY_DEPTH):
        folder = os.path.join(folder, max((name for name in os.listdir(folder) if name.isdigit()), default=""))
    ending = f"-{thread}.jsonl"
    return next((os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(ending)), "")
