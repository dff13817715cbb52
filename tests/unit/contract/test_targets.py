"""Targets: what of a URL may be shown, and that nothing else ever is."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from looop.contract.targets import targets_of
from looop.model.errors import Invalid, Refused, Unreadable


def only(url: str):
    (target,) = targets_of([url])
    return target


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("json://user:hunter22@example.org/t0ken", "json://example.org#"),
        ("mailtos://me:hunter22@gmail.com?to=you@x.org", "mailtos://gmail.com#"),
        ("looop+http://127.0.0.1:8791/hook", "looop+http://127.0.0.1:8791#"),
        ("looop+http://[::1]:8791/hook", "looop+http://::1:8791#"),
        ("tgram://12345:AbCdEf/678", "tgram://#"),
        ("slack://TokenA/TokenB/TokenC", "slack://#"),
        ("ntfy://my-secret-topic", "ntfy://#"),
        ("SLACK://TokenA/TokenB", "slack://#"),
        ("dbus://_", "dbus://#"),
    ],
)
def test_a_target_is_named_without_its_secrets(url, shown):
    """The host is shown only where it is one; a hash tells targets apart."""
    target = only(url)
    assert target.id[:-8] == shown
    assert target.url == url
    assert repr(target) == f"Target({target.id})"


def test_the_same_url_is_one_target():
    """Named twice it gets one push; another password is another target."""
    assert len(targets_of(["json://a:b@x", "json://a:b@x", "json://a:c@x"])) == 2


@given(
    st.text("abcdefXYZ0123456789-_", min_size=4, max_size=30),
    st.text("abcdefXYZ0123456789-_", min_size=4, max_size=30),
)
@settings(max_examples=20, deadline=None)
def test_what_libraries_say_is_cleared_of_secrets(password, token):
    """No part of the URL is left in a text on its way to a person, percent-encoded or not."""
    target = only(f"tgram://user:{password}@{token}/%40{token}?key={password}")
    text = f"cannot reach {target.url}: {password} at https://api/bot{token}/send, @{token}"
    for secret in (password, token):
        assert secret not in target.without_secrets(text).replace("***", "")


@pytest.mark.parametrize("url", ["", "x", "json:/x", "://x", "json://", "json://a b", "json://a\x1bb", "1json://x"])
def test_what_is_no_url_is_refused_without_being_shown(url):
    """The error says which one it is by its number."""
    with pytest.raises(Invalid) as caught:
        targets_of(["json://ok", url])
    assert str(caught.value).startswith("--to number 2 is no URL")


def test_a_file_of_targets(tmp_path):
    """Comments and empty lines are left out; an error names the line."""
    file = tmp_path / "targets"
    file.write_text("# mine\n\n  json://a/b  \r\njson://c\n")
    file.chmod(0o600)
    assert [target.url for target in targets_of(["json://z"], str(file))] == ["json://z", "json://a/b", "json://c"]
    file.write_text("json://a\n\nhunter22\n")
    with pytest.raises(Invalid, match=r"line 3 of .*/targets is no URL"):
        targets_of([], str(file))


def test_a_file_of_targets_is_its_owners_alone(tmp_path):
    """What others can read is refused; what is not there or no text is said."""
    file = tmp_path / "targets"
    file.write_bytes(b"\xff")
    file.chmod(0o640)
    with pytest.raises(Refused, match="chmod 600"):
        targets_of([], str(file))
    file.chmod(0o600)
    with pytest.raises(Invalid, match="UTF-8"):
        targets_of([], str(file))
    file.write_bytes(b"x" * 70_000)
    with pytest.raises(Invalid, match="over 65536"):
        targets_of([], str(file))
    with pytest.raises(Unreadable, match="No such file"):
        targets_of([], str(file) + "x")


def test_targets_may_come_through_a_pipe():
    """A program that keeps secrets can hand them over without a file."""
    reader, writer = os.pipe()
    os.write(writer, b"json://a\n")
    os.close(writer)
    try:
        assert [target.url for target in targets_of([], f"/dev/fd/{reader}")] == ["json://a"]
    finally:
        os.close(reader)
