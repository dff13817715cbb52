"""Sensors: executable files in `sensors/`, each printing one JSON object.

Note [What is a sensor]
Any executable file is one; a `.sh` or `.py` without its exec bit is one too, so that it can be reported instead of
being missed. Dot files, editors' backups and names that are not text are none. The stem is the name up to its
last dot; two files with one stem would share a snapshot, so both are refused.
Source: design §3 row 5, edge cases 57, 71, 243.
"""

import re

from msgspec import Struct

from looop.model.errors import Unreadable
from looop.model.world import Trust
from looop.state.codec import is_text, with_newline
from looop.store.protocol import Entry, Store

_BACKUP = re.compile(r"(~|\.bak|\.orig|\.rej|\.sw[a-z]|#)\Z")
_SCRIPT = (".sh", ".py")
_HEADER_LINES = 20
_INTERVAL = b"# looop:interval="
_TRUST = b"# looop:trust="
Header = tuple[int, Trust]
_NOTHING_DECLARED: Header = (0, "untrusted")


class Sensor(Struct, frozen=True):
    """One sensor file. `interval_s` is its declared cadence or 0; `rivals` are other files with the same stem."""

    file: str
    stem: str
    mtime_ns: int
    executable: bool
    interval_s: int
    trust: Trust
    rivals: tuple[str, ...] = ()


class Sensors:
    """The scripts that sense the world."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._headers: dict[Entry, Header] = {}

    def all(self) -> list[Sensor]:
        """Every sensor, sorted by file name. Raises Unreadable when the folder cannot be listed."""
        files = [entry for entry in self._store.list("sensors") if _is_sensor(entry)]
        stems = [_stem(entry.name) for entry in files]
        shared = {stem for stem in stems if stems.count(stem) > 1} if len(set(stems)) < len(stems) else set()
        return [
            self._describe(entry, tuple(other.name for other in files if _stem(other.name) == _stem(entry.name)))
            if _stem(entry.name) in shared
            else self._describe(entry, ())
            for entry in files
        ]

    def read(self, file: str) -> bytes | None:
        """The script of one sensor file. Raises Unreadable."""
        blob = self._store.read(f"sensors/{file}")
        return blob.data if blob else None

    def write(self, name: str, script: str) -> None:
        """Create or replace `sensors/<name>.sh`, executable before it is visible. Raises Unwritable. Edge case 116."""
        self._store.write(f"sensors/{name}.sh", with_newline(script), executable=True)

    def _describe(self, entry: Entry, rivals: tuple[str, ...]) -> Sensor:
        interval, trust = self._header(entry)
        return Sensor(
            file=entry.name,
            stem=_stem(entry.name),
            mtime_ns=entry.mtime_ns,
            executable=entry.executable,
            interval_s=interval,
            trust=trust,
            rivals=rivals,
        )

    def _header(self, entry: Entry) -> Header:
        """What the script declares, read anew when the file changed.

        A script that cannot be read declares nothing: it may still be run, and its run will say what is wrong.
        """
        if not entry.executable or entry.size <= 0:
            return _NOTHING_DECLARED
        if entry not in self._headers:
            self._headers = {known: header for known, header in self._headers.items() if known.name != entry.name}
            try:
                self._headers[entry] = _header(self.read(entry.name) or b"")
            except Unreadable:
                return _NOTHING_DECLARED
        return self._headers[entry]


def _is_sensor(entry: Entry) -> bool:
    name = entry.name
    if name.startswith(".") or _BACKUP.search(name) or not is_text(name):
        return False
    return entry.executable or name.endswith(_SCRIPT)


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name


def _header(script: bytes) -> Header:
    """The cadence and the trust a script declares in its first lines; the first directive of a kind decides."""
    interval: bytes | None = None
    trust: bytes | None = None
    for line in script.split(b"\n", _HEADER_LINES)[:_HEADER_LINES]:
        text = line.strip()
        if interval is None and text.startswith(_INTERVAL):
            interval = text[len(_INTERVAL) :].strip()
        elif trust is None and text.startswith(_TRUST):
            trust = text[len(_TRUST) :].strip()
    seconds = int(interval) if interval and interval.isdigit() and len(interval) <= 18 else 0
    return seconds, "trusted" if trust == b"trusted" else "untrusted"
