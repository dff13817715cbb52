"""A config file is changed key by key, and everything else stays as it was written."""

import json
import tomllib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looop.contract.config_text import edited, json_text, toml_text
from looop.model.errors import Refused

KEPT = """\
# who decides
tick_command = "old"   # on stdin
interval = 60

# money
max_daily_usd = 5

[price]   # a million tokens
input = 3
"""


def toml(text, edits):
    return toml_text(text, tomllib.loads(text), edits)


def test_a_value_is_replaced_and_comments_stay() -> None:
    """The line keeps its comment, all others are untouched. Source: design §3 row 14."""
    assert toml(KEPT, {("tick_command",): 'new "one"'}) == KEPT.replace('"old"', "'new \"one\"'")
    assert toml(KEPT, {("interval",): 30}) == KEPT.replace("60", "30")
    assert toml(KEPT, {("price", "input"): 4}) == KEPT.replace("input = 3", "input = 4")


def test_a_new_key_stands_above_the_tables() -> None:
    """It comes behind the last key of its table."""
    assert toml(KEPT, {("runner",): "none"}) == KEPT.replace("usd = 5\n", 'usd = 5\nrunner = "none"\n')
    assert toml(KEPT, {("price", "output"): 9}) == KEPT + "output = 9\n"
    assert toml("", {("runner",): "none"}) == 'runner = "none"\n'
    assert toml("# only words\n", {("runner",): "none"}) == '# only words\nrunner = "none"\n'


def test_a_new_table_comes_last() -> None:
    """A runner of its own gets a table; a name that is no bare key is quoted."""
    assert toml("a = 1\n", {("runners", "my agent", "tick"): "x"}) == 'a = 1\n\n[runners."my agent"]\ntick = "x"\n'
    text = '[runners.a]\ntick = "1"\n\n[runners.b]\ntick = "2"\n'
    assert toml(text, {("runners", "a", "tick"): "3"}) == text.replace('"1"', '"3"')


def test_a_key_that_goes_becomes_a_comment() -> None:
    """Nothing a person wrote is lost; one that is not there is fine."""
    assert toml('tick = "x" # mine\n', {("tick",): None}) == '# tick = "x" # mine\n'
    assert toml('a = "x"\n', {("tick",): None, ("runners", "b", "tick"): None}) == 'a = "x"\n'


def test_windows_line_ends_stay() -> None:
    """A file with CRLF keeps them."""
    assert toml('a = "x"\r\nb = 1\r\n', {("a",): "y"}) == 'a = "y"\r\nb = 1\r\n'


UNSAFE = [
    ('tick_command = """\nlong\n"""\n', {("tick_command",): "new"}),
    ('x = """\ninterval = 5\n"""\n', {("interval",): 3}),
    ('runners = {a = {tick = "x"}}\n', {("runners", "a", "tick"): "y"}),
    ('runners.a.tick = "x"\n', {("runners", "a", "tick"): "y"}),
    ('[[runners]]\ntick = "x"\n', {("runners", "a", "tick"): "y"}),
    ('x = """\n[table]\n"""\ny = 1\n', {("interval",): 3}),
    ("price = [\n 1,\n]\n", {("price",): 3}),
]


@pytest.mark.parametrize(("text", "edits"), UNSAFE)
def test_what_cannot_be_done_safely_is_left_to_a_person(text, edits) -> None:
    """Where lines do not tell, either the right thing comes out or a person is told what to add."""
    raw = tomllib.loads(text)
    try:
        wanted = edited(raw, edits)
    except (TypeError, ValueError, AttributeError):
        return
    try:
        assert tomllib.loads(toml_text(text, raw, edits)) == wanted
    except Refused as error:
        assert "by hand: " in str(error)
        assert all(".".join(path) in str(error) for path in edits)


@given(st.text(), st.text(min_size=1, max_size=8), st.integers(0, 10**6))
def test_any_text_comes_back(value: str, name: str, number: int) -> None:
    """Whatever a command says, the file that is written says it, or nothing is written."""
    edits = {("tick_command",): value, ("runners", name, "tick"): value, ("interval",): number}
    with suppress(Refused):
        assert tomllib.loads(toml(KEPT, edits)) == edited(tomllib.loads(KEPT), edits)


def test_json_keeps_what_it_does_not_know() -> None:
    """Unknown keys and their order stay; a key that is taken away goes. Source: design §3 row 14."""
    raw = {"z": {"deep": [1]}, "tick": "x", "interval": 60}
    text = json_text(raw, {("tick_command",): "y", ("tick",): None, ("interval",): 5})
    assert list(json.loads(text).items()) == [("z", {"deep": [1]}), ("interval", 5), ("tick_command", "y")]
    assert text.endswith("}\n")
    assert raw["tick"] == "x"
