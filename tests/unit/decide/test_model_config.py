"""A model API in the config: what is taken, what is refused, and where the key may lie."""

import os
from pathlib import Path
from typing import Any

import pytest

from looop.config.api import ModelApi, read_key
from looop.config.file import Config, parse_config
from looop.model.errors import Corrupt, LooopError

FINE = {"provider": "openai", "model": "gpt-5"}


def configured(path: str = "/etc/looop/config.toml", **table: Any) -> Config:
    return parse_config({"runner": "m", "runners": {"m": {**FINE, **table}}}, path)


def api_of(**table: Any) -> ModelApi:
    api = configured(**table).api
    assert api
    return api


def test_a_provider_and_a_model_are_enough() -> None:
    """The rest has defaults, the key in the provider's own variable included, and the label names both."""
    config = configured()
    assert config.runner == "openai/gpt-5" and config.warnings == ()
    assert config.api == ModelApi("openai", "gpt-5", "https://api.openai.com/v1", key_env="OPENAI_API_KEY")
    assert config.tick_command and "looop.decide.model" in config.tick_command
    claude = api_of(provider="anthropic", model="claude-sonnet-4-5")
    assert (claude.base_url, claude.key_env) == ("https://api.anthropic.com", "ANTHROPIC_API_KEY")


def test_everything_can_be_said() -> None:
    """Address, key, bound and price; a worker command beside them is kept."""
    price = {"input": 0, "output": 0}
    config = configured(
        base_url="http://127.0.0.1:8080/v1/", key_file="key", max_tokens=99, price=price, worker_command="claude"
    )
    assert config.api == ModelApi(
        "openai", "gpt-5", "http://127.0.0.1:8080/v1", key_file="/etc/looop/key", max_tokens=99, priced=True
    )
    assert config.worker_command == "claude" and config.price


def test_a_key_goes_to_no_other_address_unasked() -> None:
    """With a base_url and no word about a key, none is sent."""
    api = api_of(base_url="http://127.0.0.1:8080/v1")
    assert api.key_env is None and api.key_file is None and read_key(api) == ""


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"provider": "gemini"}, "runners.m.provider = 'gemini': expected one of anthropic, openai"),
        ({"provider": ""}, "expected one of"),
        ({"tick_command": "claude -p"}, "runners.m.provider = 'openai': expected either a provider or a tick_command"),
        ({"tick": "claude -p"}, "not both"),
        ({"model": ""}, "runners.m.model = '': expected the name of a model"),
        ({"model": "a b"}, "runners.m.model = 'a b'"),
        ({"model": 5}, "runners.m.model = 5: expected text"),
        ({"base_url": "127.0.0.1:8080"}, "runners.m.base_url = '127.0.0.1:8080': expected an http or https URL"),
        ({"base_url": "ftp://x/v1"}, "expected an http or https URL"),
        ({"base_url": "http://"}, "expected an http or https URL"),
        ({"base_url": "http://[::1/v1"}, "expected an http or https URL"),
        ({"base_url": "http://h:99999/v1"}, "expected an http or https URL"),
        ({"base_url": "http://h/v 1"}, "expected an http or https URL"),
        ({"base_url": "http://me:hunter2@h/v1"}, "without user, password"),
        ({"base_url": "http://h/v1?key=hunter2"}, "without user, password, query"),
        ({"base_url": "htp://me:hunter2@h/v1"}, "expected an http or https URL"),
        ({"max_tokens": 0}, "runners.m.max_tokens = 0: expected a whole number above 0"),
        ({"max_tokens": 1.5}, "expected a whole number"),
        ({"max_tokens": "many"}, "expected a number"),
        ({"key_env": "A", "key_file": "b"}, "runners.m.key_env and runners.m.key_file: expected one of the two"),
        ({"key_env": "sk-hunter2"}, "runners.m.key_env: expected the name of an environment variable, never the key"),
        ({"key_file": ""}, "runners.m.key_file: expected the path"),
    ],
)
def test_a_wrong_table_is_an_error_that_says_what_was_expected(table: dict[str, Any], said: str) -> None:
    """Key, value and expectation are named; what may be a secret is not shown.

    Source: the issue, "Bad input"; design §3, last lines.
    """
    with pytest.raises(Corrupt) as wrong:
        configured(**table)
    assert said in str(wrong.value) and "hunter2" not in str(wrong.value)


def test_a_missing_model_is_an_error() -> None:
    """A provider alone does not say whom to ask."""
    with pytest.raises(Corrupt, match=r"runners\.m\.model = None: expected the name of a model"):
        parse_config({"runner": "m", "runners": {"m": {"provider": "openai"}}}, "c")


def test_a_table_that_says_nothing_to_run_is_still_an_error() -> None:
    """A model without a provider is no runner."""
    with pytest.raises(Corrupt, match="has no tick_command"):
        parse_config({"runner": "m", "runners": {"m": {"model": "gpt-5"}}}, "c")


def test_the_key_comes_from_the_named_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """And from no other; an empty one is one that is not set."""
    monkeypatch.setenv("MY_KEY", " sk-1 \n")
    assert read_key(api_of(key_env="MY_KEY")) == "sk-1"
    monkeypatch.setenv("MY_KEY", "")
    with pytest.raises(LooopError, match="MY_KEY is not set"):
        read_key(api_of(key_env="MY_KEY"))


def test_the_key_comes_from_a_file_of_ours(tmp_path: Path) -> None:
    """A relative path is looked up beside the config."""
    file = tmp_path / "key"
    file.write_text("sk-1\n")
    for mode in (0o600, 0o400):
        file.chmod(mode)
        assert read_key(configured(str(tmp_path / "config.toml"), key_file="key").api or api_of()) == "sk-1"


def of_mode(file: Path, mode: int) -> None:
    file.write_text("sk-hunter2\n")
    file.chmod(mode)


def of_text(file: Path, text: str) -> None:
    file.touch(0o600)
    file.write_text(text)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda file: None, "cannot read the key file"),
        (lambda file: file.mkdir(), "is no regular file"),
        (lambda file: os.mkfifo(file, 0o600), "is no regular file"),
        (lambda file: of_mode(file, 0o644), "is open to others (mode 0644): chmod 600 "),
        (lambda file: of_mode(file, 0o620), "is open to others (mode 0620)"),
        (lambda file: of_text(file, ""), "does not hold a key"),
        (lambda file: of_text(file, "sk-hunter2\nsk-hunter2\n"), "does not hold a key"),
        (lambda file: of_text(file, "sk-hunter2é"), "does not hold a key"),
    ],
)
def test_a_file_that_is_not_ours_alone_is_refused(tmp_path: Path, make: Any, said: str) -> None:
    """One clear line that says what to do, and nothing of what the file holds.

    Source: the issue, "A key file readable by others".
    """
    file = tmp_path / "key"
    make(file)
    with pytest.raises(LooopError) as refused:
        read_key(api_of(key_file=str(file)))
    assert said in str(refused.value) and "hunter2" not in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """Its owner could change the key under us."""
    file = tmp_path / "key"
    of_mode(file, 0o600)
    os.chown(file, 12345, -1)
    with pytest.raises(LooopError, match=r"belongs to another user \(uid 12345\)"):
        read_key(api_of(key_file=str(file)))
