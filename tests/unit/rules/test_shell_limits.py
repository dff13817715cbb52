"""What the tripwire can be asked to read: how long, how deep, here-docs, and what one command prints for another."""

import pytest

from looop.rules.shell import MAX_BYTES, MAX_NESTING, PIPED, TOO_DEEP, UNREADABLE, tripped

DEEP = {
    "wrappers": ("{0}ls", 1),
    "wrappers, on two lines": ("{0}l\\\ns", 1),
    "a string": ("eval '{0}ls'", 0),
    "what a shell reads": ("sh <<< '{0}ls'", 0),
    "what is piped into a shell": ("echo '{0}ls' | sh", 0),
    "a here-doc": ("cat <<E\n`{0}ls`\nE", 0),
}


def test_the_length_bound_is_exact() -> None:
    """As many bytes as allowed are allowed; beyond, the message says how many and what to do.

    Source: docs/safety.md.
    """
    assert MAX_BYTES == 16384
    assert tripped("#" * 16384) is None
    assert (
        tripped("#" * 16385)
        == "this is longer than 16384 bytes, too long to be checked: put it in a script and run that"
    )


@pytest.mark.parametrize("kind", DEEP)
def test_the_nesting_bound_is_exact(kind: str) -> None:
    """Sixteen commands in one another are looked at, whatever opens them; one more is refused.

    Source: docs/safety.md."""
    form, spare = DEEP[kind]
    most = MAX_NESTING - 1 + spare
    assert MAX_NESTING == 16
    assert tripped(form.format("env " * most)) is None
    assert tripped(form.format("env " * (most + 1))) == TOO_DEEP


@pytest.mark.parametrize("broken", ["\ud800", "\udabc", "\udfff", "\0"])
def test_what_is_no_text_is_refused(broken: str) -> None:
    """Half a character, or a NUL, is nothing a shell could be given. Source: spec/beat.md §11."""
    assert "not text" in (tripped(f"echo {broken}") or "")
    assert tripped("echo \ud7ff\ue000") is None


@pytest.mark.parametrize(
    ("denied", "harmless"),
    [
        ("rm > log -r /", "rm > log -r x"),
        ("rm -r > log /", "rm -r > log x"),
        ("! rm -r > log -f /", "! rm -r > log -f x"),
        ("a | rm -r > log /", "a | rm -r > log x"),
        ("a && rm -r > log /", "a && rm -r > log x"),
        ("(a) > log sudo x", "(a) > log"),
        ("2> /dev/sda cat x", "2> /dev/null cat x"),
    ],
)
def test_a_redirection_hides_no_argument(denied: str, harmless: str) -> None:
    """The words after a redirection are the command's, as those before it. Source: spec/edge-cases.md item 126."""
    assert tripped(denied)
    assert tripped(harmless) is None


@pytest.mark.parametrize(
    ("denied", "harmless"),
    [
        ("cat <<E\n  $(sudo x)\nE", "cat <<E\n  $(date)\nE"),
        ("cat <<E\na\n  $(sudo x)\nE", "cat <<E\na\n  $(date)\nE"),
        ("cat <<E\na\n\t`sudo x` b\nE", "cat <<'E'\na\n\t`sudo x` b\nE"),
        ("cat <<E\n$(date) `sudo x`\nE", "cat <<\\E\n$(date) `sudo x`\nE"),
        ('cat <<"E"; sudo x\n$(date)\nE', 'cat <<"E"\n$(sudo x)\nE'),
        ("cat <<E\n`if`\nE", "cat <<E\nif `date`\nE"),
        ("cat <<E\nE\nsudo x", "cat <<E\nE"),
        ("sh <<E\nLOOOP\nsudo x\nE", "cat <<E\nLOOOP\nsudo is no more\nE"),
    ],
)
def test_a_here_doc_hides_no_substitution(denied: str, harmless: str) -> None:
    """What the shell would run inside a here-doc is judged, its text is not. Source: spec/edge-cases.md item 126."""
    assert tripped(denied)
    assert tripped(harmless) is None


@pytest.mark.parametrize(
    ("denied", "harmless"),
    [
        ("printf %s 'sudo x' | sh", "printf %s ls | sh"),
        ("printf '%s\\n' true 'sudo x' | sh", "printf '%s\\n' true ls | sh"),
        ("printf $'%s\\n' 'sudo x' | sh", "printf $'%s\\n' ls | sh"),
        ("printf 'true\\nsudo x' | sh", "printf 'true\\nls' | sh"),
        ("echo -e 'true\\nsudo x' | sh", "echo 'true\\nsudo x' | sh"),
        ("echo sudo x | cat | sh", "echo ls | cat | sh"),
        ("cat <<E | sh\nsudo x\nE", "cat <<E | sh\nls\nE"),
    ],
)
def test_what_is_printed_for_a_shell_is_judged(denied: str, harmless: str) -> None:
    """A text that can be told from the command is read as the shell would read it.

    Source: spec/edge-cases.md item 126.
    """
    assert tripped(denied)
    assert tripped(harmless) is None


@pytest.mark.parametrize("printing", ["printf %d 1", "printf -- ls", "cat f", "cat -", 'echo "$X"', "echo *", "printf"])
def test_what_cannot_be_told_is_refused(printing: str) -> None:
    """Nobody has seen what the shell would run. Source: spec/beat.md §11."""
    assert tripped(f"{printing} | sh") == PIPED


@pytest.mark.parametrize("command", ["sh -c 'if'", "eval 'a ('", "sh <<< 'a)'", "echo ' |' | sh"])
def test_a_string_is_shell_too(command: str) -> None:
    """A string that a shell would run is refused when it cannot be read. Source: spec/beat.md §11."""
    assert tripped(command) == UNREADABLE
