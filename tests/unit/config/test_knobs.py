"""Environment knobs and places: whole numbers in ASCII, defaults otherwise, absolute paths once."""

import os
from pathlib import Path

import pytest

from looop.config.knobs import Knobs, read_knobs, variable, whole_number
from looop.config.paths import child_environment, environment, find_paths
from looop.config.terminal import log_format, may_colour
from looop.model.errors import NoHome


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("5", 5),
        (" 07 ", 7),
        ("+3", 3),
        ("0", 0),
        ("9" * 18, 10**18 - 1),
        ("9" * 19, None),
        ("", None),
        ("-1", None),
        ("1_000", None),
        ("1.5", None),
        ("٣", None),
        ("²", None),
        ("1e3", None),
        ("++1", None),
    ],
)
def test_what_is_a_whole_number(text: str, number: int | None) -> None:
    """Plain ASCII digits, an optional plus, blanks around. Source: spec/edge-cases.md item 259."""
    assert whole_number(text) == number


def test_how_files_are_watched_is_one_of_three_words() -> None:
    """Anything but auto, events and poll is reported, and auto used. Source: design §3 row 6."""
    for word in ("auto", "events", "poll"):
        assert read_knobs({"LOOOP_WATCH": word})[0].watch == word
    knobs, (bad,) = read_knobs({"LOOOP_WATCH": "Poll"})
    assert (knobs.watch, bad.value, bad.default) == ("auto", "Poll", "auto")


def test_every_knob_has_its_variable_and_its_default() -> None:
    """Unset takes the documented default, a number takes effect, nonsense is reported. Source: spec/cli.md §3."""
    assert read_knobs({}) == (Knobs(), [])
    for field in Knobs.__struct_fields__:
        if field not in ("runner_retry_match", "watch"):
            knobs, bad = read_knobs({variable(field): "7"})
            assert getattr(knobs, field) == 7 and bad == []
            knobs, bad = read_knobs({variable(field): "seven"})
            assert knobs == Knobs() and [(knob.var, knob.value) for knob in bad] == [(variable(field), "seven")]


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("LOOOP_NOOP_TTL", 21600),
        ("LOOOP_FLAP_STREAK", 5),
        ("LOOOP_MAX_DECIDES_PER_HOUR", 120),
        ("LOOOP_BACKOFF_CAP", 300),
        ("LOOOP_TICK_TIMEOUT_SECS", 1800),
        ("LOOOP_SHELL_TIMEOUT_SECS", 300),
        ("LOOOP_SHELL_ALLOW_DANGEROUS", 0),
        ("LOOOP_SENSOR_TIMEOUT", 60),
        ("LOOOP_SENSOR_MAX_BYTES", 8192),
        ("LOOOP_PROMPT_MAX_BYTES", 262144),
        ("LOOOP_RUNNER_RETRIES", 0),
        ("LOOOP_RUNNER_RETRY_SLEEP", 3),
        ("LOOOP_RUNS_KEEP", 50),
        ("LOOOP_PLAYBOOK_KEEP", 20),
        ("LOOOP_EVENTS_MAX_BYTES", 5242880),
        ("LOOOP_JOURNAL_MAX_BYTES", 5242880),
        ("LOOOP_WAIT_POLL_MS", 1000),
        ("LOOOP_MIN_BEAT_GAP", 2),
    ],
)
def test_the_defaults_are_the_documented_ones(name: str, default: int) -> None:
    """The table of the specification, line by line. Source: spec/cli.md §3."""
    _, bad = read_knobs({name: "x"})
    assert [(knob.var, knob.default) for knob in bad] == [(name, default)]


def test_an_empty_knob_is_a_typo_and_the_pattern_is_text() -> None:
    """Empty counts as unparseable; the retry pattern is taken as it is. Source: spec/beat.md §14, §9.1."""
    knobs, bad = read_knobs({"LOOOP_NOOP_TTL": "", "LOOOP_RUNNER_RETRY_MATCH": " a|b "})
    assert [knob.var for knob in bad] == ["LOOOP_NOOP_TTL"] and knobs.runner_retry_match == " a|b "


def test_a_relative_data_dir_is_made_absolute_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every process below sees the same profile. Source: spec/edge-cases.md item 233."""
    monkeypatch.chdir(tmp_path)
    paths = find_paths({"LOOOP_DATA_DIR": "mine", "LOOOP_CONFIG": "conf.json"})
    assert (paths.data_dir, paths.config_file, paths.is_default) == (
        str(tmp_path / "mine"),
        str(tmp_path / "conf.json"),
        False,
    )
    child = child_environment(paths, "json", {"LOOOP_DATA_DIR": "mine", "X": "1"})
    assert child["LOOOP_DATA_DIR"] == str(tmp_path / "mine") and child["X"] == "1"
    assert child["LOOOP_CLAIMS_DIR"] == str(tmp_path / "mine/claims")


def test_the_default_place_follows_xdg_and_home() -> None:
    """XDG_STATE_HOME over HOME; neither is one clear error with exit code 2. Source: spec/cli.md §3."""
    assert find_paths({"XDG_STATE_HOME": "/x", "HOME": "/h"}).data_dir == "/x/looop"
    assert find_paths({"HOME": "/h", "LOOOP_DATA_DIR": ""}).data_dir == "/h/.local/state/looop"
    with pytest.raises(NoHome) as caught:
        find_paths({})
    assert caught.value.exit_code == 2 and "LOOOP_DATA_DIR" in str(caught.value)


def test_toml_comes_before_json(tmp_path: Path) -> None:
    """config.toml when it is there, even a dangling link, else config.json. Source: design §3, last lines."""
    environ = {"LOOOP_DATA_DIR": str(tmp_path)}
    assert find_paths(environ).config_file.endswith("config.json")
    os.symlink(tmp_path / "nowhere", tmp_path / "config.toml")
    assert find_paths(environ).config_file.endswith("config.toml")


def test_another_data_dir_inherits_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A house opened elsewhere takes none of this profile's variables along. Source: design §2."""
    monkeypatch.setenv("LOOOP_INTERVAL", "5")
    monkeypatch.setenv("OTHER", "1")
    elsewhere = environment("/elsewhere")
    assert {key for key in elsewhere if key.startswith("LOOOP_")} == {"LOOOP_DATA_DIR"} and elsewhere["OTHER"] == "1"
    assert environment()["LOOOP_INTERVAL"] == "5"


class Terminal:
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("environ", "colour"), [({}, True), ({"NO_COLOR": ""}, False), ({"NO_COLOR": "1"}, False)])
def test_colour_is_for_terminals_that_want_it(environ: dict[str, str], colour: bool) -> None:
    """NO_COLOR with any value ends it. Source: spec/cli.md §3, spec/edge-cases.md item 237."""
    assert may_colour(Terminal(), environ) is colour  # type: ignore[arg-type]


def test_the_log_format_is_json_only_on_request() -> None:
    """Anything but `json` is for people. Source: spec/cli.md §3."""
    assert [log_format({"LOOOP_LOG_FORMAT": value}) for value in ("json", "JSON", "")] == ["json", "human", "human"]
    assert log_format({}) == "human"
