"""Completion scripts work in the shells they are for."""

import shutil
from pathlib import Path

import pytest

from tests.fakes.command import Looop

ASK_BASH = """\
eval "$(looop completion bash)"
{setup}
COMP_WORDS=({words}); COMP_CWORD={last}
_looop_completion looop
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def looop(tmp_path: Path) -> Looop:
    """looop over a seeded data dir with a goal, a sensor, a schedule and an older PLAYBOOK."""
    looop = Looop(tmp_path).settle()
    looop.write("goals/tests-green.md", "x")
    looop.write("schedules/weekly.json", '{"at": 1}')
    looop.write("playbook.d/20300131-120000.md", "old")
    looop.write("goals/odd\nname.md", "x")
    return looop


CASES = [
    (("g",), {"goal"}),
    (("s",), {"state", "schema", "sensor", "schedule", "service", "screenshot", "send"}),
    (("goal", ""), {"write", "archive", "list", "show"}),
    (("goal", "w"), {"write", "w"}),
    (("schedule", "ls"), {"ls"}),
    (("goal", "show", ""), {"tests-green", "setup", "playbook-daily"}),
    (("goal", "archive", "te"), {"tests-green"}),
    (("goal", "w", "te"), {"tests-green"}),
    (("sensor", "run", ""), {"today"}),
    (("sensor", "add", ""), {"command", "disk", "git-repo", "http", "today"}),
    (("sensor", "add", "http", "--e"), {"--expect"}),
    (("schedule", "rm", ""), {"weekly"}),
    (("playbook", "show", ""), {"20300131-120000"}),
    (("completion", ""), {"bash", "zsh", "fish"}),
    (("schema", ""), {"decision"}),
    (("wait", "--"), {"--json", "--actionable", "--only-asks", "--new-asks", "--timeout", "--help"}),
    (("beat", "--dry"), {"--dry-run"}),
    (("help", "st"), {"state"}),
    (("cost", ""), {"add", "repair"}),
    (("cost", "--"), {"--since", "--by", "--json", "--help"}),
    (("cost", "--by", ""), {"day", "kind", "runner", "model", "goal"}),
    (("cost", "add", ""), {"worker"}),
    (("cost", "add", "worker", "w", "pi", "1", "--goal", "te"), {"tests-green"}),
    (("init", "--runner", "c"), {"claude", "claude-fast", "codex", "codex-fast"}),
    (("doctor", "--no"), {"--no-ask"}),
    (("worker", ""), {"start", "kill", "list", "restart", "show", "prune"}),
    (("worker", "start", "te"), {"tests-green"}),
    (("log", ""), {"pulse"}),
    (("service", ""), {"install", "uninstall", "status"}),
    (("pulse", "--no"), {"--no-park"}),
]


@pytest.mark.parametrize(("words", "expected"), CASES, ids=[" ".join(words) for words, _ in CASES])
def test_bash(looop: Looop, words: tuple[str, ...], expected: set[str]) -> None:
    """In bash the function completes verbs, short names, flags, and what is in the data dir.

    Source: spec/cli.md §8.
    """
    asked = " ".join(f"'{word}'" for word in ("looop", *words))
    said = looop.in_shell(ASK_BASH.format(setup="", words=asked, last=len(words)))
    assert (said.code, said.err) == (0, "")
    assert set(said.out.split()) == expected


def test_bash_without_a_data_dir(looop: Looop) -> None:
    """Where nothing can be read, completion offers nothing and says nothing.

    Source: spec/cli.md §8.
    """
    words = {"words": "looop goal show ''", "last": 3}
    for setup in ("unset HOME LOOOP_DATA_DIR", "export LOOOP_DATA_DIR=/dev/null/x"):
        said = looop.in_shell(ASK_BASH.format(setup=setup, **words))
        assert (said.out.strip(), said.err) == ("", "")


def test_completion_makes_nothing(looop: Looop) -> None:
    """Pressing Tab never makes a data dir.

    Source: spec/cli.md §2 config.
    """
    elsewhere = looop.folder / "elsewhere"
    env = {"LOOOP_DATA_DIR": str(elsewhere)}
    said = looop.in_shell(ASK_BASH.format(setup="", words="looop goal show ''", last=3), env=env)
    assert (said.out.strip(), said.err, elsewhere.exists()) == ("", "", False)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_are_whole(looop: Looop, shell: str) -> None:
    """Each shell gets a script that registers itself; where the shell is there, it accepts it.

    Source: spec/cli.md §8.
    """
    said = looop("completion", shell)
    assert (said.code, said.err) == (0, "")
    assert f"_LOOOP_COMPLETE={shell}_complete" in said.out
    if shutil.which(shell):
        (looop.folder / "script").write_text(said.out)
        assert looop.in_shell(f"{shell} -n script").err == ""


@pytest.mark.parametrize(
    ("shell", "env"),
    [
        ("zsh", {"COMP_WORDS": "looop goal show te", "COMP_CWORD": "3"}),
        ("fish", {"COMP_WORDS": "looop goal show te", "COMP_CWORD": "te"}),
    ],
)
def test_other_shells(looop: Looop, shell: str, env: dict[str, str]) -> None:
    """What zsh and fish ask the program for is answered with the ids in the data dir.

    Source: spec/cli.md §8.
    """
    said = looop(env=env | {"_LOOOP_COMPLETE": f"{shell}_complete"})
    assert (said.code, said.err) == (0, "")
    assert "tests-green" in said.out
    assert "setup" not in said.out
