"""Setting up a runner: without a terminal, on one, and over whatever config is there."""

import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import tomllib
from fcntl import ioctl
from pathlib import Path

import pytest

from looop.config.presets import PRESETS
from tests.fakes.command import Looop

CLAUDE = PRESETS["claude"]
LIMIT_S = 20
CTRL_C = "\x03"


@pytest.fixture
def looop(tmp_path: Path) -> Looop:
    """looop over a data dir that does not exist yet, on a machine with pi alone."""
    looop = Looop(tmp_path)
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "pi").write_text("#!/bin/sh\necho 9.9.9\n")
    (tools / "pi").chmod(0o755)
    looop.env["PATH"] = f"{tools}:/usr/bin:/bin"
    return looop


def config(looop: Looop, name: str = "config.json") -> dict:
    """What the config holds."""
    text = looop.read(name)
    return tomllib.loads(text) if name.endswith(".toml") else json.loads(text)


def talk(looop: Looop, *answers: str, words: tuple[str, ...] = ("init",)) -> tuple[int, str]:
    """Run on a terminal and type each answer once the program asks; the exit code and all that was shown."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "looop", *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=looop.folder,
        env=looop.env,
    )
    os.close(theirs)
    shown, left, deadline = "", list(answers), time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        if not select.select([ours], [], [], 0.3)[0]:
            if process.poll() is not None:
                break
            if left and shown.rstrip(" ").endswith(":"):
                answer = left.pop(0)
                process.send_signal(signal.SIGINT) if answer == CTRL_C else os.write(ours, answer.encode())
                shown += "\n"
            continue
        try:
            shown += os.read(ours, 65536).decode()
        except OSError:
            break
    os.close(ours)
    return process.wait(5), shown.replace("\r\n", "\n")


def test_a_preset_by_name(looop: Looop) -> None:
    """The config gets its two commands; what was written is printed; the data dir is made.

    Source: spec/cli.md §6, design §3 row 14.
    """
    said = looop("init", "--runner", "claude", "--interval", "2m")
    assert said.code == 0, said.err
    assert said.out.startswith(f"Wrote {looop.data}/config.json (runner: claude).\n")
    assert CLAUDE.tick_command in said.out
    wanted = {"tick_command": CLAUDE.tick_command, "worker_command": CLAUDE.worker_command, "interval": 120}
    assert config(looop) == wanted
    assert (looop.data / "PLAYBOOK.md").exists()
    assert "claude is not on the PATH" in said.out
    assert looop("state", "--json").json["runner"] == "claude"


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_chosen(looop: Looop, name: str) -> None:
    """Each preset makes a config that is read without a word, and a second time nothing is written.

    Source: spec/cli.md §4.
    """
    assert looop("init", "--runner", name, "--json").json["runner"] == name
    before = (looop.data / "config.json").stat().st_mtime_ns
    again = looop("init", "--runner", name)
    assert again.out == f"{looop.data}/config.json says so already (runner: {name}): nothing to write\n"
    assert (looop.data / "config.json").stat().st_mtime_ns == before
    assert looop("beat", "--dry-run", "--json").err == ""


def test_commands_of_ones_own(looop: Looop) -> None:
    """--tick and --worker win over the preset, and stand alone as well; then the program names the runner.

    Source: design §3 row 14.
    """
    looop("init", "--runner", "claude", "--tick", "my-agent -x")
    assert config(looop) == {"tick_command": "my-agent -x", "worker_command": CLAUDE.worker_command}
    said = looop("init", "--tick", "other", "--worker", "w {{prompt_file}}")
    assert "tick_command = 'other' (was 'my-agent -x')" in said.out
    assert "(runner: other)" in said.out
    assert config(looop) == {"tick_command": "other", "worker_command": "w {{prompt_file}}"}


def test_the_rest_of_the_config_stays(looop: Looop) -> None:
    """Unknown keys, limits and intervals are kept; an old name makes room for the new one, and that is said.

    Source: design §3 row 14.
    """
    looop.write("config.json", '{"future": {"x": 1}, "tick": "old", "interval": 7, "max_daily_usd": 3}', mode=0o600)
    said = looop("init", "--runner", "pi")
    assert said.code == 0
    assert "tick: 'old' is taken away" in said.out
    pi = PRESETS["pi"]
    assert list(config(looop).items()) == [
        ("future", {"x": 1}),
        ("interval", 7),
        ("max_daily_usd", 3),
        ("tick_command", pi.tick_command),
        ("worker_command", pi.worker_command),
    ]
    assert (looop.data / "config.json").stat().st_mode & 0o777 == 0o600


def test_toml_keeps_its_comments(looop: Looop) -> None:
    """Where there is a config.toml it is changed line by line, comments and all.

    Source: design §3, last lines.
    """
    text = '# mine\ntick_command = "old" # on stdin\n\n[price] # dear\ninput = 3\n'
    looop.write("config.toml", text)
    assert looop("init", "--tick", 'agent "quoted"').code == 0
    assert looop.read("config.toml") == text.replace('"old"', "'agent \"quoted\"'")
    assert not (looop.data / "config.json").exists()


def test_toml_that_cannot_be_changed_safely(looop: Looop) -> None:
    """A person is told what to put where; the file stays as it is.

    Source: design §3 row 14.
    """
    text = 'tick_command = """\nlong \\\n"""\n'
    looop.write("config.toml", text)
    said = looop("init", "--tick", "agent")
    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert 'put into it by hand: tick_command = "agent"' in said.err
    assert looop.read("config.toml") == text


def test_runners_by_name(looop: Looop) -> None:
    """A config that names its runners gets one more and the choice of it; one that it has is only chosen.

    Source: spec/cli.md §4, old config.
    """
    old = {"default": "mine", "runners": {"mine": {"tick": "a", "interactive": "b {{prompt_file}}"}}}
    looop.write("config.json", json.dumps(old))
    assert looop("init", "--runner", "claude").code == 0
    found = config(looop)
    assert found["runner"] == "claude" and "default" not in found
    assert found["runners"]["mine"] == old["runners"]["mine"]
    assert found["runners"]["claude"]["tick_command"] == CLAUDE.tick_command
    assert looop("init", "--runner", "mine").code == 0
    assert config(looop) == found | {"runner": "mine"}
    assert looop("init", "--tick", "c").code == 0
    assert config(looop)["runners"]["mine"] == {"tick_command": "c", "interactive": "b {{prompt_file}}"}


def test_no_runner(looop: Looop) -> None:
    """`none` keeps the commands and asks nobody; a preset after it decides again.

    Source: design §4.
    """
    looop("init", "--runner", "pi")
    looop("init", "--runner", "none")
    assert config(looop)["runner"] == "none"
    assert looop("state", "--json").json["runner"] == "none"
    looop("init", "--runner", "claude")
    assert looop("state", "--json").json["runner"] == "claude"


@pytest.mark.parametrize("broken", ["{", '{"interval": "soon"}', "[]", "\x00", '{"runner": "x", "runners": {"y": {}}}'])
def test_a_corrupt_config_is_not_touched(looop: Looop, broken: str) -> None:
    """It is named in a line and stays, whatever is asked for.

    Source: edge case 234.
    """
    looop.write("config.json", broken)
    for words in (("--runner", "pi"), ("--tick", "x"), ()):
        said = looop("init", *words)
        assert (said.code, said.out) == (1, "")
        assert "config.json" in said.err
        assert "Traceback" not in said.err
        assert looop.read("config.json") == broken
    assert not (looop.data / "PLAYBOOK.md").exists()


REFUSED = [
    (("--runner", "claud"), "did you mean `claude`?"),
    (("--runner", "zzz"), "expected none, claude"),
    (("--worker", "agent"), "expected {{prompt_file}} in it"),
    (("--tick", " "), "expected a command"),
    (("--tick", "a\nb"), "expected one line"),
    (("--interval", "soon"), "is not a duration"),
    (("--interval", "0"), "at least 1s"),
    (("--runner", "custom"), "no runner 'custom'"),
    (("claude",), "unexpected extra argument"),
]


@pytest.mark.parametrize(("words", "why"), REFUSED, ids=repr)
def test_wishes_that_cannot_be(looop: Looop, words: tuple[str, ...], why: str) -> None:
    """One line says why, and nothing is made.

    Source: spec/cli.md §6, edge case 239.
    """
    said = looop("init", *words)
    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1), said
    assert why in said.err
    assert not looop.data.exists()


def test_without_a_terminal_and_without_wishes(looop: Looop) -> None:
    """A note says that nothing is asked; a fresh data dir gets no runner, a config that is there stays.

    Source: spec/cli.md §6, edge case 239.
    """
    said = looop("init")
    assert said.code == 0
    assert "no terminal" in said.err
    assert config(looop) == {"runner": "none"}
    looop.write("config.json", '{"tick_command": "x"}')
    said = looop("init")
    assert (said.code, looop.read("config.json")) == (0, '{"tick_command": "x"}')
    assert "nothing to write" in said.out


def test_a_key_without_effect_is_shown(looop: Looop) -> None:
    """`state` says which key of the config does nothing and what was meant, `--json` has it too; and that there is one.

    Source: design §3.
    """
    assert looop("state", "--json").json["configured"] is False
    looop.write("config.json", '{"intervall": 5}')
    assert f"! {looop.data}/config.json: unknown key intervall: did you mean interval?" in looop("state").out
    shown = looop("state", "--json").json
    assert shown["configured"] is True and len(shown["warnings"]) == 1 and shown["damaged"] == []


def test_another_place_and_a_link(looop: Looop, tmp_path: Path) -> None:
    """LOOOP_CONFIG is where it is written; a link stays a link.

    Source: spec/cli.md §3.
    """
    real = tmp_path / "dotfiles" / "looop.json"
    real.parent.mkdir()
    real.write_text("{}")
    link = tmp_path / "linked.json"
    link.symlink_to(real)
    said = looop("init", "--tick", "x", env={"LOOOP_CONFIG": str(link)})
    assert said.out.startswith(f"Wrote {link} ")
    assert link.is_symlink()
    assert json.loads(real.read_text()) == {"tick_command": "x"}
    assert not (looop.data / "config.json").exists()


def test_json(looop: Looop) -> None:
    """Scripts get the path, the runner, and what was changed.

    Source: docs/contract.md.
    """
    found = looop("init", "--tick", "cat", "--json").json
    wanted = {"path": f"{looop.data}/config.json", "runner": "cat", "changes": ["tick_command = 'cat'"], "doubts": []}
    assert found == wanted


def test_the_wizard(looop: Looop) -> None:
    """It shows what is installed and takes that for granted, shows what it will write, and writes it.

    Source: spec/cli.md §6.
    """
    code, shown = talk(looop, "\n", "\n", "\n", "\n")
    assert code == 0, shown
    assert f"found: {looop.folder}/tools/pi" in shown
    assert "claude       Claude Code, with its tools (not installed)" in shown
    assert "Runner [pi]:" in shown
    assert shown.index("tick_command = ") < shown.index("Write this?") < shown.index("Wrote ")
    assert config(looop)["tick_command"] == PRESETS["pi"].tick_command


def test_the_wizard_takes_a_number_and_other_commands(looop: Looop) -> None:
    """A number chooses, a word that is none asks again, and a worker needs to find its task.

    Source: spec/cli.md §6.
    """
    code, shown = talk(looop, "99\n", "1\n", "my tick\n", "my worker\n", "my {{prompt_file}}\n", "y\n")
    assert code == 0, shown
    assert "there is no '99'" in shown
    assert "the worker command needs {{prompt_file}}" in shown
    assert config(looop) == {"tick_command": "my tick", "worker_command": "my {{prompt_file}}"}


def test_the_wizard_keeps_what_is_there(looop: Looop) -> None:
    """A runner of somebody's own is what Enter keeps; its commands are what `custom` begins with.

    Source: spec/cli.md §6.
    """
    text = '{"tick_command": "mine", "worker_command": "w {{prompt_file}}"}'
    looop.write("config.json", text)
    code, shown = talk(looop, "\n")
    assert (code, looop.read("config.json")) == (0, text)
    assert "as it is now: mine" in shown
    code, shown = talk(looop, "custom\n", "\n", "other {{prompt_file}}\n", "\n")
    assert config(looop) == {"tick_command": "mine", "worker_command": "other {{prompt_file}}"}


def test_a_model_api_is_left_alone(looop: Looop) -> None:
    """Where an API decides, the wizard keeps it, and a command of one's own gets a table of its own.

    Source: design §4.
    """
    api = {"provider": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m"}
    looop.write("config.json", json.dumps({"runner": "local", "runners": {"local": api}}))
    code, shown = talk(looop, "\n")
    assert code == 0 and "as it is now: openai/m" in shown, shown
    assert looop("init", "--tick", "mine").code == 0
    wanted = {"runner": "custom", "runners": {"local": api, "custom": {"tick_command": "mine"}}}
    assert config(looop) == wanted
    assert looop("init", "--runner", "local").code == 0
    assert config(looop) == wanted | {"runner": "local"}


@pytest.mark.parametrize("answers", [(CTRL_C,), ("\x04",), ("pi\n", CTRL_C), ("pi\n", "\n", "\n", "n\n")], ids=repr)
def test_the_wizard_is_left(looop: Looop, answers: tuple[str, ...]) -> None:
    """Ctrl-C, Ctrl-D and a no end it with 130, and nothing at all has been made.

    Source: spec/cli.md §6, edge case 239.
    """
    code, shown = talk(looop, *answers)
    assert code == 130
    assert "aborted (no config written)." in shown
    assert not looop.data.exists()


def test_somebody_else_writes_meanwhile(looop: Looop) -> None:
    """A config that changed while the wizard asked is not overwritten.

    Source: design §3 row 14.
    """
    from looop.contract.local import Local
    from looop.contract.setup import Wiring
    from looop.model.errors import Refused

    looop.write("config.json", "{}")
    local = Local(str(looop.data))
    plan = local.plan_setup(Wiring(tick_command="x"))
    looop.write("config.json", '{"interval": 5}')
    with pytest.raises(Refused, match="changed by somebody else"):
        local.write_setup(plan)
    assert config(looop) == {"interval": 5}
