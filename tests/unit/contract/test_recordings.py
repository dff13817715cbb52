"""Real agents at work, recorded at 120x40: their replay shows what the recorder saw.

The recorder looked with a simpler terminal (pyte), before and after a key it sent, at the byte the table names.
"""

import os
import re

import pytest

from looop.contract import ghostty
from looop.contract.ghostty import open_emulator
from looop.contract.screens import shot
from tests.fakes.output import cut

pytestmark = pytest.mark.skipif(isinstance(ghostty.library(), str), reason="there is no wheel of libghostty-vt here")
PTY = os.path.join(os.path.dirname(__file__), "..", "..", "data", "pty")
SECTIONS = re.compile(r"--- after b'.*' ---\n")
SAME = [
    ("claude", 0, 14857),
    ("claude-dialog-apikey", 0, 1018),
    ("claude-dialog-bypass", 0, 1601),
    ("claude-dialog-onboarding", 0, 3283),
    ("claude-dialog-permission", 0, 4633),
    ("claude-dialog-trust", 0, 1493),
    ("claude-dialog-trust", 1, 1752),
    ("claude-err401", 0, 3429),
    ("claude-err500", 0, 4766),
    ("claude-hang", 0, 4153),
    ("claude-noalt", 0, 5659),
    ("codex", 0, 55390),
    ("codex-dialog-newmodel", 0, 13485),
    ("codex-dialog-trust", 0, 13629),
    ("codex-err500", 0, 32039),
    ("codex-hang", 0, 24436),
    ("codex-hang", 1, 24637),
    ("pi", 0, 74382),
]
LEFT = "the recorder knew no alternate screen, so its picture of the program lay under the words after it"
KITTY = "the recorder printed the kitty keyboard sequences as `1u1uu`, and knew no alternate screen"
OTHER = [
    ("claude-dialog-permission", 1, LEFT, "Resume this session with:"),
    ("claude-err500", 1, LEFT, "Resume this session with:"),
    ("claude-hang", 1, LEFT, "Resume this session with:"),
    ("codex-config-error", 0, KITTY, "Error loading configuration:"),
    ("codex-config-error", 1, KITTY, "Error loading configuration:"),
]


def recorded(name, count=None):
    """The bytes of a recording, or the first of them."""
    with open(os.path.join(PTY, f"{name}.raw"), "rb") as file:
        return file.read(count)


def saved(name):
    """The pictures the recorder took, each without blank rows and cells at its end."""
    with open(os.path.join(PTY, f"{name}.screen.txt"), encoding="utf-8") as file:
        pictures = SECTIONS.split(file.read())
    return ["\n".join(line.rstrip() for line in picture.split("\n")).rstrip("\n") for picture in pictures]


def replayed(pieces):
    """The screen after these pieces."""
    emulator = open_emulator(120, 40)
    for piece in pieces:
        emulator.feed(piece)
    return emulator.screen()


def test_every_recording_is_looked_at():
    """The tables name every picture of every recording, once."""
    pictures = {
        (name[:-4], n) for name in os.listdir(PTY) if name.endswith(".raw") for n in range(len(saved(name[:-4])))
    }
    assert sorted(pictures) == sorted([(name, n) for name, n, _ in SAME] + [(name, n) for name, n, *_ in OTHER])


@pytest.mark.parametrize(("name", "picture", "count"), SAME)
def test_the_replay_shows_what_the_recorder_saw(name, picture, count):
    """At the byte where the recorder looked, both terminals show the same. Source: spec/edge-cases.md item 250."""
    assert shot(replayed([recorded(name, count)]), "plain").text == saved(name)[picture]


@pytest.mark.parametrize(("name", "picture", "why", "shown"), OTHER)
def test_where_the_recorder_saw_something_else(name, picture, why, shown):
    """Once the program has left the alternate screen, only the words after it are there."""
    screen = replayed([recorded(name)])
    text = shot(screen, "plain").text
    assert text != saved(name)[picture], why
    assert text.lstrip().startswith(shown)
    assert not screen.alternate_screen


@pytest.mark.parametrize("name", sorted({name for name, *_ in SAME + OTHER}))
def test_cuts_change_nothing(name):
    """In pieces of 1, 7 and 4096 bytes a recording gives the screen that it gives at once."""
    data = recorded(name)
    whole = replayed([data])
    for size in (1, 7, 4096):
        assert replayed(cut(data, range(0, len(data), size))) == whole


@pytest.mark.parametrize(("name", "picture", "count"), SAME)
def test_the_rendering_with_colours_can_be_shown_again(name, picture, count):
    """Printed on another terminal, the rendering with colours is the same screen, cell by cell, colour by colour."""
    screen = replayed([recorded(name, count)])
    copy = open_emulator(120, 40)
    copy.feed("\r\n".join(shot(screen, "ansi", trim=False).text.split("\n")).encode())
    assert copy.screen().lines == screen.lines
