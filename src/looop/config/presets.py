"""Ready-made wirings for the agent CLIs: the command that decides, and the one that works on a goal.

Note [Prompt on stdin]
A tick command reads the prompt on standard input: as an argument it would end at 131,072 bytes on Linux. Each asks for
its CLI's JSON events, which name what a run has cost.

Note [Task as an argument]
A worker's CLI needs its terminal as standard input, so the task is an argument. One of 131,072 bytes is none on Linux:
the CLI would not start ("Argument list too long"). From there on it is told where to read. pi reads a file by itself.

Note [A server of its own]
codex keeps a server in the background, which it shares between sessions: commands would run with the environment, and
so as the worker, of whoever started it, and end with that one. `--no-daemon` does without, also when one runs.

Note [One request]
A `-fast` tick command offers no tools and demands an answer of the decision's schema: one request instead of two or
three, a fraction of the bytes, and no file. Only claude and codex check an answer against a schema.
Source: spec/cli.md §4, docs/runners.md.
"""

from msgspec import Struct

PROMPT_FILE = "{{prompt_file}}"
CUSTOM = "custom"


class Preset(Struct, frozen=True):
    """One wiring. `program` is the CLI it needs."""

    name: str
    program: str
    tick_command: str
    worker_command: str
    about: str


_SCHEMA = '"$("$LOOOP_BIN" schema decision --flat)"'
_SCHEMA_FILE = '"$(f=runs/decision.schema.json; "$LOOOP_BIN" schema decision --strict >$f; echo $f)"'
_CLAUDE = "claude -p --output-format stream-json --include-partial-messages --verbose"
_LONGEST_ARGUMENT = 131_072
_TASK = (
    f'"$(f={PROMPT_FILE}; if [ $(wc -c <"$f") -lt {_LONGEST_ARGUMENT} ]; then cat "$f"; '
    'else echo "Read all of $f, in parts, and do what it says."; fi)"'
)
_CLAUDE_WORKER = f"claude --dangerously-skip-permissions --model opus {_TASK}"
_CODEX_WORKER = f"codex --no-daemon --dangerously-bypass-approvals-and-sandbox {_TASK}"

_ALL = (
    Preset(
        "claude",
        "claude",
        f"{_CLAUDE} --dangerously-skip-permissions --model sonnet",
        _CLAUDE_WORKER,
        "Claude Code, with its tools",
    ),
    Preset(
        "claude-fast",
        "claude",
        f'{_CLAUDE} --model sonnet --tools "" --strict-mcp-config --disable-slash-commands '
        f'--system-prompt "Decide as you are told." --json-schema {_SCHEMA}',
        _CLAUDE_WORKER,
        "Claude Code, one request without tools",
    ),
    Preset(
        "codex",
        "codex",
        "codex exec --json --dangerously-bypass-approvals-and-sandbox -",
        _CODEX_WORKER,
        "Codex, with its tools",
    ),
    Preset(
        "codex-fast",
        "codex",
        f"codex exec --json --sandbox read-only --skip-git-repo-check --output-schema {_SCHEMA_FILE} -",
        _CODEX_WORKER,
        "Codex, read-only, its answer checked against the schema",
    ),
    Preset(
        "opencode",
        "opencode",
        "opencode run --format json --title looop",
        f"opencode --prompt {_TASK}",
        "opencode, with the model of its own config",
    ),
    Preset(
        "pi",
        "pi",
        "pi -p --mode json -ne --model claude-sonnet-4-5 --thinking low",
        f"pi --model claude-opus-4-8 --thinking medium @{PROMPT_FILE}",
        "pi, without extensions",
    ),
)
PRESETS: dict[str, Preset] = {preset.name: preset for preset in _ALL}


def preset_of(tick_command: str | None) -> Preset | None:
    """The preset with this tick command, None when it is somebody's own."""
    return next((preset for preset in _ALL if preset.tick_command == tick_command), None)
