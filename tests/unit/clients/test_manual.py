"""The manual and the messages name what exists, all of it and nothing else."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from looop.clients.cli.parser import looop
from looop.config.knobs import Knobs, variable
from looop.contract.surroundings import knob_names
from looop.rules.cel import holds
from looop.rules.goals import parse_goal

SOURCE = Path(__file__).parents[3] / "src/looop"
MANUAL = (SOURCE / "clients/cli/manual.txt").read_text(encoding="utf-8")
SWITCHES = ("LOOOP_DATA_DIR", "LOOOP_CONFIG", "LOOOP_LOG_FORMAT", "NO_COLOR", "LOOOP_DEBUG")
MENTION = re.compile(r"(?:`|^ {2,})looop ([a-z][a-z-]*(?: [a-z][a-z-]*)*)", re.MULTILINE)
SEED_SPEAKS_OF_LATER = {"up", "down", "init", "answer"}


def verbs(group: click.Group = looop, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every verb with the words that call it, groups included."""
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None, name
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from verbs(command, (*path, name))


VERBS = dict(verbs())
LEAVES = {
    path: command
    for path, command in VERBS.items()
    if not isinstance(command, click.Group) or command.invoke_without_command
}
FLAGS = {
    opt
    for command in LEAVES.values()
    for param in command.params
    if isinstance(param, click.Option)
    for opt in param.opts
}


def usage() -> str:
    """The part of the manual that lists the verbs."""
    return MANUAL.split("\nUSAGE\n")[1].split("\nEXIT CODES\n")[0]


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_verb_and_flag_is_in_the_manual(path: tuple[str, ...]) -> None:
    """The manual shows how every verb is called, with each of its flags.

    Source: spec/cli.md §8, every parser flag appears in the manual.
    """
    begin = rf"^ +{path[2]}\b" if path[:2] == ("sensor", "add") else rf"^  looop {' '.join(path)}\b"
    entries = [line for line in usage().split("\n") if re.match(begin, line)]
    assert entries, path
    for param in LEAVES[path].params:
        if isinstance(param, click.Option) and not (path[:2] == ("sensor", "add") and "--journal" in param.opts):
            assert any(opt in entry for entry in entries for opt in param.opts), (path, param.opts)


def test_the_manual_invents_no_flag() -> None:
    """Every flag in the usage part is one the parser knows.

    Source: spec/cli.md §8.
    """
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", usage()))
    assert named - {"--version", "--help"} <= FLAGS


@pytest.mark.parametrize("name", [*knob_names(), *SWITCHES])
def test_every_variable_is_in_the_manual(name: str) -> None:
    """The manual explains every environment variable once.

    Source: spec/cli.md §3, §8.
    """
    assert len(re.findall(rf"^  {name} ", MANUAL, re.MULTILINE)) == 1


def test_the_manual_invents_no_variable() -> None:
    """Every variable the manual explains is read by the program.

    Source: spec/cli.md §3.
    """
    part = MANUAL.split("\nENVIRONMENT\n")[1].split("\nNOT THERE YET\n")[0]
    assert set(re.findall(r"^  ([A-Z][A-Z_]+)", part, re.MULTILINE)) == {*knob_names(), *SWITCHES}


@pytest.mark.parametrize("field", Knobs.__struct_fields__)
def test_the_manual_states_the_defaults(field: str) -> None:
    """The manual gives each knob's default, the one the program uses.

    Source: spec/cli.md §3.
    """
    line = next(line for line in MANUAL.split("\n") if line.startswith(f"  {variable(field)} "))
    default = getattr(Knobs(), field)
    said = line.rsplit("(", 1)[1].rstrip(")")
    assert said.startswith("config, ") if default is None else said == (str(default) if default != "" else "none")


def test_messages_name_real_verbs() -> None:
    """Wherever a text of ours says `looop <verb>`, the parser knows that verb.

    Source: spec/cli.md §8, messages mention only real verbs.
    """
    unknown = set()
    for file in [*SOURCE.rglob("*.py"), SOURCE / "clients/cli/manual.txt"]:
        for words in MENTION.findall(file.read_text(encoding="utf-8")):
            if not known(words.split()) and not (file.name == "seed.py" and words.split()[0] in SEED_SPEAKS_OF_LATER):
                unknown.add(f"{file.relative_to(SOURCE)}: looop {words}")
    assert not unknown


def known(words: list[str]) -> bool:
    """Whether the first words call a verb; a group alone may be named, too."""
    first = (words[0],)
    if not isinstance(VERBS.get(first), click.Group):
        return first in VERBS
    group, ctx = VERBS[first], click.Context(VERBS[first])
    assert isinstance(group, click.Group)
    return len(words) == 1 or group.get_command(ctx, words[1]) is not None


def test_the_example_goal_of_the_manual_works() -> None:
    """The goal in the manual can be pasted, and is judged whatever a repository has to say, null included.

    Source: docs/guide.md, conditions.
    """
    lines = re.search(r"(?ms)^      ---\n.*?^      ---\n", MANUAL)
    assert lines
    spec = parse_goal(re.sub(r"(?m)^      ", "", lines[0]))
    (reflex,) = spec.reflexes
    for behind, dirty, acts in ((2, False, True), (2, True, False), (2, None, False), (0, False, False), (None,) * 3):
        scope = {"sensor": {"repo": {"signal": {"behind": behind, "dirty": dirty}, "detail": {}}}}
        assert holds(reflex.when, scope) is bool(acts)
        assert holds(spec.done or "", scope) is (behind == 0)


def test_the_manual_fits_a_terminal() -> None:
    """No line of the manual is longer than 100 columns, or ends in a space.

    Source: style of the manual.
    """
    for line in MANUAL.split("\n"):
        assert len(line) <= 100, line
        assert line == line.rstrip(), line


def test_every_verb_has_help() -> None:
    """Every verb and every flag says in a line what it is for.

    Source: spec/cli.md §1 help.
    """
    for path, command in VERBS.items():
        assert command.get_short_help_str(200), path
        for param in command.params:
            assert not isinstance(param, click.Option) or param.help, (path, param.name)
