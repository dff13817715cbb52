"""Where notifications go: URLs that hold secrets, and the names under which they may be shown.

Note [What may be shown]
A URL may hold a password, or be one: most services have a token where others have a host. So a target is shown as its
scheme, its host only where the scheme is known to have one there, and eight digits that tell it from others. They come
of a slow hash, so that a weak password cannot be guessed from them by trying many.
"""

import os
import re
import stat
from collections.abc import Iterable
from hashlib import pbkdf2_hmac
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from looop.model.errors import Invalid, Refused, Unreadable

OWN = ("looop+http", "looop+https")
_HOSTS = {*OWN, "form", "forms", "gotify", "gotifys", "json", "jsons", "mailto", "mailtos", "xml", "xmls"}
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,40})://(\S{1,2000})")
_ROUNDS = 100_000
_MOST_BYTES = 1 << 16
_SHORTEST = 4


class Target(Struct, frozen=True):
    """One place to push to. `id` may be shown; `url` never, so it is kept out of every text made of this value."""

    id: str
    url: str

    def __repr__(self) -> str:
        return f"Target({self.id})"

    @property
    def is_own(self) -> bool:
        """Whether it is a webhook of ours, which needs no library."""
        return self.url.partition("://")[0].lower() in OWN

    def without_secrets(self, text: str) -> str:
        """`text` on its way to a person, with nothing in it that stands in the URL but a host that may be shown."""
        rest = self.url.partition("://")[2]
        parts = {part for piece in re.split(r"[/@:?&=#,;]+", rest) for part in (piece, unquote(piece))}
        shown = self.id.partition("://")[2].rpartition("#")[0]
        for part in sorted({rest, *parts} - {shown}, key=len, reverse=True):
            if len(part) >= _SHORTEST:
                text = text.replace(part, "***")
        return text


def targets_of(urls: Iterable[str], file: str = "") -> list[Target]:
    """The targets that were named, and those in `file`, each once. Raises Invalid, which shows no URL."""
    named = [(f"--to number {n}", url) for n, url in enumerate(urls, 1)]
    if file:
        lines = [line.strip() for line in read_secret(file, "file of targets").split("\n")]
        named += [(f"line {n} of {file}", url) for n, url in enumerate(lines, 1) if url and not url.startswith("#")]
    found = [_target(url.strip(), where) for where, url in named]
    return list({target.id: target for target in found}.values())


def read_secret(path: str, what: str) -> str:
    """The text of a file that nobody else can read; a pipe is as good. Raises Unreadable, Refused, Invalid."""
    try:
        with open(path, "rb") as file:
            found = os.fstat(file.fileno())
            if stat.S_ISREG(found.st_mode) and found.st_mode & 0o077:
                mode = f"{stat.S_IMODE(found.st_mode):04o}"
                raise Refused(f"the {what} {path} is open to others (mode {mode}): chmod 600 {path}")
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise Unreadable(f"cannot read the {what} {path}: {error.strerror}") from None
    if len(data) > _MOST_BYTES:
        raise Invalid(f"the {what} {path} is over {_MOST_BYTES} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Invalid(f"the {what} {path} is not UTF-8") from None


def _target(url: str, where: str) -> Target:
    match = _URL.fullmatch(url)
    if match is None or not url.isprintable():
        raise Invalid(f"{where} is no URL: expected scheme://… without blanks (docs/notify.md lists some)")
    scheme = match.group(1).lower()
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if scheme in OWN and (not host or "@" in parts.netloc):
        raise Invalid(f"{where}: expected {scheme}://HOST[:PORT]/PATH, without a user")
    shown = host if scheme in _HOSTS and re.fullmatch(r"[A-Za-z0-9.-]+|[0-9a-fA-F:]+", host) else ""
    shown += f":{port}" if shown and port and scheme in OWN else ""
    return Target(f"{scheme}://{shown}#{pbkdf2_hmac('sha256', url.encode(), b'looop notify', _ROUNDS, 4).hex()}", url)
