"""The supervisor's JSON is the JSON everybody else reads and writes."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looop.session.light import dumps, loads
from tests.fakes.sessions import SOURCE

TEXT = st.text(st.characters(codec=None, categories=None))  # lone surrogates, too: the kernel's words have them
WRITTEN = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner) | st.tuples(inner, inner),
    max_leaves=20,
)
READ = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(WRITTEN)
def test_what_is_written_is_json(value: object) -> None:
    """Whatever a record may hold reads back, with `json`, as what `json` itself would have written."""
    assert json.loads(dumps(value)) == json.loads(json.dumps(value))
    assert dumps(value).isascii()
    assert "\n" not in dumps(value)


@given(READ, st.sampled_from([None, 1, "\t"]), st.booleans())
def test_all_json_is_read(value: object, indent: object, ascii_only: bool) -> None:
    """A record another program wrote reads as `json` reads it, however it is laid out."""
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)  # type: ignore[arg-type]
    assert repr(loads(text.encode())) == repr(json.loads(text))


@given(st.binary(max_size=40) | st.text(st.sampled_from('{}[]":,0-.eE+truefalsn \\u"'), max_size=20).map(str.encode))
def test_what_is_not_json_is_a_value_error(data: bytes) -> None:
    """No bytes make the reader raise anything but ValueError, and it takes nothing `json` refuses."""
    try:
        value = loads(data)
    except ValueError:
        return
    assert repr(value) == repr(json.loads(data.decode().strip()))


@pytest.mark.parametrize("data", [b"", b"{", b'{"a":1', b"1 2", b"{} {}", b'"\xff"', b"[" * 100_000, b"9" * 5_000])
def test_a_cut_record_is_a_value_error(data: bytes) -> None:
    """What a crash or an attacker leaves is a ValueError, however deep or long. Source: spec/workers.md §3.3."""
    with pytest.raises(ValueError):
        loads(data)


NOT_JSON = [
    b"",
    b"{",
    b"{]",
    b'{"a" 5}',
    b"[1,",
    b"[1 2]",
    b'{"a":1,}',
    b'"\\x"',
    b'"\\u12"',
    b'"a\nb"',
    b"{1:2}",
    b"[" * 100_000,
]


@pytest.mark.parametrize("data", NOT_JSON)
def test_so_it_is_where_the_standard_package_was_never_loaded(data: bytes) -> None:
    """In a supervisor, too, what is no JSON is a ValueError and nothing else. Source: §3.4."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from looop.session.light import loads\n"
        "try:\n    loads(sys.stdin.buffer.read())\nexcept ValueError:\n    print('json' in sys.modules)"
    )
    command = [sys.executable, "-I", "-S", "-E", "-c", script, SOURCE]
    assert subprocess.run(command, input=data, capture_output=True).stdout in (b"False\n", b"True\n")
