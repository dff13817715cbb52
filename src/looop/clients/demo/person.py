"""The person of the demo: types an answer where the question stands, gave it beforehand, or is not there at all."""

import os
import select
import sys
import termios
from collections.abc import Callable
from contextlib import suppress

from looop.clients.demo.page import Page
from looop.clients.demo.props import YES
from looop.contract.scratch import Scratch
from looop.model.errors import Invalid
from looop.model.records import Ask

_LOOK_S = 0.1


class Person:
    """Whoever answers. `given` is what --answer says, None without it."""

    def __init__(self, given: str | None, ground: Scratch, page: Page) -> None:
        self._given, self._ground, self._page = given, ground, page

    def answer(self, ask: Ask, waits: Callable[[], bool]) -> tuple[str, str]:
        """The answer and who gave it. "" when the question was answered elsewhere meanwhile: `waits` says whether.

        Raises Invalid for an answer that cannot be meant, KeyboardInterrupt where the input ends.
        """
        if self._given is not None:
            text, wrong = meant(self._given, ask.options)
            if wrong:
                raise Invalid(f"--answer {self._given!r}: {wrong}")
            return text, "given by --answer"
        if not _is_there():
            return YES, "nobody is at this terminal, so the demo says so itself; --answer says otherwise"
        return self._ask(ask, waits), "typed here"

    def _ask(self, ask: Ask, waits: Callable[[], bool]) -> str:
        choices = ", ".join(f"{n} {option}" for n, option in enumerate(ask.options, 1))
        with suppress(termios.error):
            termios.tcflush(0, termios.TCIFLUSH)  # what was typed before the question is no answer to it
        while True:
            self._page.prompt(f"Your answer ({choices}, or your own words):")
            line = self._line(waits)
            if line is None:
                return ""
            text, wrong = meant(line, ask.options)
            if not wrong:
                return text
            self._page.prose(wrong)

    def _line(self, waits: Callable[[], bool]) -> str | None:
        """A line that is typed; None when nobody waits for it any more."""
        while not select.select([0], [], [], _LOOK_S)[0]:
            self._ground.checkpoint()
            if not waits():
                self._page.gap()
                return None
        data = b""
        with suppress(OSError):  # the terminal is gone
            data = os.read(0, 1 << 16)
        self._ground.checkpoint()
        if not data:
            self._page.gap()
            raise KeyboardInterrupt
        return data.decode("utf-8", "replace")


def meant(text: str, options: list[str]) -> tuple[str, str]:
    """What an answer stands for: an option by its number or the beginning of its name, else its own words.

    The second value says what is wrong with it, "" when nothing is.
    """
    text = text.strip()
    if not text:
        return "", "an answer is needed; Ctrl-C ends the demo"
    if text.isascii() and text.isdigit():
        n = int(text) if len(text) < 4 else 0
        return (options[n - 1], "") if 1 <= n <= len(options) else ("", f"there are {len(options)} options")
    named = [option for option in options if option.lower().startswith(text.lower())]
    return (named[0] if len(named) == 1 else text), ""


def _is_there() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))
