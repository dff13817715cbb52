"""Regenerate tests/data/streams: what each agent CLI prints, scenario by scenario, against the scripted endpoint.

    .venv/bin/python -m tests.agents.record                    # all of it, some ten minutes
    .venv/bin/python -m tests.agents.record pi codex-decide    # the recordings whose names begin so

`<cli>-<scenario>.jsonl` is the standard output as it came, but for paths and ports of the machine. `index.json` holds
for each of them the exit code, whether the run had to be killed, its standard error, the number of steps asked of the
model, and the decision left in the working directory.
"""

import json
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.agents.cli import CACHE, CLIS, LIMIT_S, ROOT, Options, Place, Ran, run, unavailable
from tests.agents.endpoint import Endpoint

STREAMS = ROOT / "tests/data/streams"
LARGEST = 100_000
_PROMPT = "Decide what to do next and write the decision as JSON to .decision.json.\n"
_AT = "/looop"
_SCHEMA = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("action", "reason", "journal")},
    "required": ["action", "reason", "journal"],
    "additionalProperties": False,
}
_EVERYWHERE = (
    *("decide", "bash", "bashfail", "prose", "cutjson"),
    *("err400", "err401", "err404", "err429", "err500", "err529", "late500"),
    *("truncate", "truncate1", "garbage", "html", "empty", "reset", "midstream", "hang"),
)
_ENDLESS = {"hang": 25.0, "html": 15.0, "empty": 15.0}


class Take(NamedTuple):
    """One recording to make: its name, and the run that gives it."""

    name: str
    cli: str
    scenario: str
    options: Options
    limit_s: float


def takes() -> Iterator[Take]:
    """Every recording there is."""
    for cli in CLIS:
        for scenario in _EVERYWHERE:
            limit = _ENDLESS.get(scenario, LIMIT_S[cli])
            yield Take(f"{cli}-{scenario}", cli, scenario, Options(), limit)
        yield Take(f"{cli}-flaky500", cli, "flaky500", Options(retries=2), LIMIT_S[cli])
    yield Take("claude-denied", "claude", "decide", Options(trusted=False), LIMIT_S["claude"])
    for cli in ("claude", "codex"):
        yield Take(f"{cli}-schema", cli, "decide", Options(schema=_SCHEMA), LIMIT_S[cli])


def record(take: Take, endpoint: Endpoint) -> dict[str, Any]:
    """Make one recording and return its entry for the index."""
    with tempfile.TemporaryDirectory() as folder:
        place = Place.make(Path(folder).resolve() / "looop")
        ran = run(take.cli, endpoint.base(take.scenario, take.name), place, _PROMPT, take.options, take.limit_s)
        text = without_machine(ran.stdout.read_text(errors="replace"), place)
        if len(text) > LARGEST:
            raise SystemExit(f"{take.name}: {len(text)} characters are too many to keep")
        (STREAMS / f"{take.name}.jsonl").write_text(text)
        return _entry(ran, place, sum(seen.step is not None for seen in endpoint.seen(take.name)))


def without_machine(text: str, place: Place) -> str:
    """`text` with neither the paths nor the ports of this machine in it."""
    for path, stand_in in ((place.root, _AT), (CACHE, "/opt/agents"), (ROOT, "/opt/looop")):
        text = text.replace(str(path), stand_in).replace(_slug(str(path)), _slug(stand_in))
    return re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:8000", text)


def _slug(path: str) -> str:
    """How claude names the folder of a project."""
    return re.sub(r"[^A-Za-z0-9]", "-", path)


def _entry(ran: Ran, place: Place, steps: int) -> dict[str, Any]:
    decision = place.decision.read_text() if place.decision.exists() else None
    stderr = without_machine(ran.stderr, place)
    return {"code": ran.code, "killed": ran.late, "stderr": stderr, "steps": steps, "decision": decision}


def main(wanted: list[str]) -> None:
    """Record what was asked for, and keep the index entries of the rest."""
    if why := unavailable():
        raise SystemExit(why)
    STREAMS.mkdir(parents=True, exist_ok=True)
    index_file = STREAMS / "index.json"
    index = json.loads(index_file.read_text()) if index_file.exists() else {}
    with Endpoint() as endpoint:
        for take in takes():
            if wanted and not take.name.startswith(tuple(wanted)):
                continue
            index[take.name] = record(take, endpoint)
            print(take.name, {key: index[take.name][key] for key in ("code", "killed", "steps")}, flush=True)
            index_file.write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
