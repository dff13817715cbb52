"""A model API as a person configures it: whose it is, where, which model, and where the key lies.

Note [The key]
Only the child that asks (decide/model.py) ever holds the key, and it reads it itself. Settings carry the name of a
variable or the path of a file. Without either, the provider's own variable is used at the provider's own address only:
a key is never sent to an address that it was not given for.
"""

import os
import re
import stat
import sys
from typing import Any

import msgspec
from msgspec import Struct

from looop.config.knobs import whole_number
from looop.model.errors import Corrupt, Refused, Unreadable

CHILD = "looop.decide.model"
STABLE_BYTES = "LOOOP_PROMPT_STABLE_BYTES"
DEADLINE = "LOOOP_DEADLINE_SECS"
API_KEYS: dict[str, tuple[type, ...]] = {
    "provider": (str,),
    "base_url": (str,),
    "model": (str,),
    "key_env": (str,),
    "key_file": (str,),
    "max_tokens": (int, float),
}
_MAX_TOKENS = 8192
_KEY_BYTES = 16384
_SDK_VARIABLES = ("ANTHROPIC_", "OPENAI_")
_MODEL = re.compile(r"[^\s{}]{1,200}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEY = re.compile(r"[!#-\[\]-~]+")  # no quote and no backslash: then JSON writes it as it is


class Provider(Struct, frozen=True):
    """Where a provider is, and the variable in which its key usually lies."""

    base_url: str
    key_env: str


PROVIDERS = {
    "anthropic": Provider("https://api.anthropic.com", "ANTHROPIC_API_KEY"),
    "openai": Provider("https://api.openai.com/v1", "OPENAI_API_KEY"),
}


class ModelApi(Struct, frozen=True):
    """Whom to ask, and how. At most one of `key_env` and `key_file` is set; `priced`: a person gave the price."""

    provider: str
    model: str
    base_url: str
    key_env: str | None = None
    key_file: str | None = None
    max_tokens: int = _MAX_TOKENS
    priced: bool = False

    @property
    def label(self) -> str:
        """What this runner is called."""
        return f"{self.provider}/{self.model}"

    @property
    def own_address(self) -> bool:
        """Whether the provider itself is asked, and not some other endpoint that speaks its language."""
        from urllib.parse import urlsplit

        return urlsplit(self.base_url).hostname == urlsplit(PROVIDERS[self.provider].base_url).hostname

    @property
    def command(self) -> str:
        """The command line of the child that asks. Nothing in it looks like a placeholder of the prompt's path."""
        import shlex

        settings = msgspec.json.encode(self).decode().replace("{{", r"{\u007b")
        return shlex.join([sys.executable, "-P", "-W", "ignore", "-m", CHILD, "--settings", settings])


def model_api(table: dict[str, Any], path: str, where: str) -> ModelApi | None:
    """The API that a runner's table describes, None when it describes none. Raises Corrupt."""
    if "provider" not in table:
        return None

    def wrong(key: str, expected: str) -> Corrupt:
        return Corrupt(f"{path}: {where}{key} = {table.get(key)!r}: expected {expected}")

    name, given, model = table["provider"], table.get("max_tokens", _MAX_TOKENS), table.get("model", "")
    if name not in PROVIDERS:
        raise wrong("provider", f"one of {', '.join(PROVIDERS)} (openai: any endpoint that speaks its chat API)")
    if table.get("tick_command") or table.get("tick"):
        raise wrong("provider", "either a provider or a tick_command, not both")
    if not _MODEL.fullmatch(model):
        raise wrong("model", "the name of a model")
    if given != int(given) or given < 1:
        raise wrong("max_tokens", "a whole number above 0")
    key_env, key_file = _key_place(table, path, where)
    return ModelApi(
        provider=name,
        model=model,
        base_url=_base_url(table, path, where) if "base_url" in table else PROVIDERS[name].base_url,
        key_env=key_env,
        key_file=key_file,
        max_tokens=int(given),
        priced="price" in table,
    )


def _base_url(table: dict[str, Any], path: str, where: str) -> str:
    """The address, without a slash at its end. What may hold a secret is not shown. Raises Corrupt."""
    from urllib.parse import urlsplit

    url, expected = table["base_url"], "an http or https URL such as http://127.0.0.1:8080/v1"
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and _MODEL.fullmatch(url)
    except ValueError:
        whole = False
    if whole and ("@" in parts.netloc or "?" in url or "#" in url):
        raise Corrupt(f"{path}: {where}base_url: expected {expected}, without user, password, query or fragment")
    if not whole:
        raise Corrupt(f"{path}: {where}base_url = {url.rpartition('@')[2]!r}: expected {expected}")
    return str(url).rstrip("/")


def _key_place(table: dict[str, Any], path: str, where: str) -> tuple[str | None, str | None]:
    """The variable or the file that holds the key. See Note [The key]. Raises Corrupt."""
    variable, file = table.get("key_env"), table.get("key_file")
    if variable is not None and file is not None:
        raise Corrupt(f"{path}: {where}key_env and {where}key_file: expected one of the two")
    if variable is not None and not _VARIABLE.fullmatch(variable):
        raise Corrupt(f"{path}: {where}key_env: expected the name of an environment variable, never the key itself")
    if file is not None:
        if not file or not file.isprintable():
            raise Corrupt(f"{path}: {where}key_file: expected the path of a file that holds the key")
        return None, os.path.join(os.path.dirname(os.path.abspath(path)), os.path.expanduser(file))
    if variable is None and "base_url" not in table:
        variable = PROVIDERS[table["provider"]].key_env
    return variable, None


def read_key(api: ModelApi) -> str:
    """The key, empty when none is configured. No error says anything of what it read. Raises Refused, Unreadable."""
    if api.key_file:
        return _checked(_file_text(api.key_file), f"the key file {api.key_file}")
    if not api.key_env:
        return ""
    text = os.environ.get(api.key_env, "")
    if not text.strip():
        raise Refused(f"the environment variable {api.key_env} is not set: the key is expected there (key_env)")
    return _checked(text, f"the environment variable {api.key_env}")


def _file_text(path: str) -> str:
    """What the file holds, if it is a file of ours that nobody else can read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Unreadable(f"cannot read the key file {path}: {error.strerror}") from None
    try:
        _require_ours(path, os.fstat(fd))
        return os.read(fd, _KEY_BYTES).decode("utf-8", "replace")
    finally:
        os.close(fd)


def _require_ours(path: str, found: os.stat_result) -> None:
    """Raises Refused for a file that somebody else owns or may read."""
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISREG(found.st_mode):
        raise Refused(f"the key file {path} is no regular file")
    if found.st_uid != os.geteuid():
        raise Refused(f"the key file {path} belongs to another user (uid {found.st_uid})")
    if mode & 0o077:
        raise Refused(f"the key file {path} is open to others (mode {mode:04o}): chmod 600 {path}")


def _checked(text: str, place: str) -> str:
    key = text.strip()
    if not _KEY.fullmatch(key):
        raise Refused(f"{place} does not hold a key: expected one line of ASCII, no blanks or quotes")
    return key


def forget_sdk_settings() -> None:
    """Remove from the environment what would change the SDKs behind the config's back: addresses, headers, logs."""
    for name in [name for name in os.environ if name.startswith(_SDK_VARIABLES)]:
        del os.environ[name]


def stable_bytes() -> int:
    """How many bytes at the start of the prompt stay the same from beat to beat; 0 when nobody said so."""
    return whole_number(os.environ.get(STABLE_BYTES, "")) or 0


def deadline_s() -> int:
    """After how many seconds this process will be killed; 0 is never."""
    return whole_number(os.environ.get(DEADLINE, "")) or 0
