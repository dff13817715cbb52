"""From an abstract step to the turn that says it with the tools on offer. Pure functions."""

import json
import shlex
from typing import Any

from tests.agents.dialects import Asked, Call, Reply, Tool
from tests.agents.scenarios import Step, Usage

_WRITERS = ("write", "write_file")
_SHELLS = ("bash", "shell", "exec_command", "shell_command")
_ANSWER_TOOL = "StructuredOutput"


def reply_to(step: Step, asked: Asked, usage: Usage, model: str) -> Reply:
    """The turn for `step`. Raises LookupError when no tool on offer can do what the step wants."""
    text = str(step.get("text", ""))
    calls: tuple[Call, ...] = ()
    if asked.title:
        text = "Scripted title" if asked.shape is None else json.dumps({"title": "Scripted title"})
    elif "write" in step and (tool := _answer_tool(asked)):
        calls = tuple(Call(tool, line) for line in step["body"].splitlines())
    elif "write" in step and asked.shape is not None:
        text = step["body"]
    elif "write" in step:
        calls = (_write(step["write"], step["body"], asked.tools),)
    elif "bash" in step:
        calls = (_bash(step["bash"], asked.tools),)
    return Reply(text=text, calls=calls, usage=usage, cut=bool(step.get("cut")), model=model)


def _answer_tool(asked: Asked) -> str:
    """The tool an answer in a shape goes through, or nothing: the forced one, or the one claude offers for it."""
    if asked.forced:
        return asked.forced
    return _ANSWER_TOOL if any(tool.name == _ANSWER_TOOL for tool in asked.tools) else ""


def _write(path: str, body: str, tools: tuple[Tool, ...]) -> Call:
    for tool in tools:
        if tool.name.lower() in _WRITERS:
            return _call(tool, {"file_path": path, "filePath": path, "path": path, "content": body})
    return _bash(f"printf %s {shlex.quote(body)} > {shlex.quote(path)}", tools)


def _bash(command: str, tools: tuple[Tool, ...]) -> Call:
    for tool in tools:
        if tool.name.lower() in _SHELLS:
            return _call(tool, {"command": command, "cmd": command, "description": "a scripted command"})
    raise LookupError(f"no tool for a command among {[tool.name for tool in tools]}")


def _call(tool: Tool, arguments: dict[str, Any]) -> Call:
    """A call with those of the arguments that the tool knows."""
    known = tool.schema.get("properties", {})
    return Call(tool.name, json.dumps({name: value for name, value in arguments.items() if name in known}))
