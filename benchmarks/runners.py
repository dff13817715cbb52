"""What one decide costs by each agent CLI: bytes sent, requests, seconds; with its tools, and in one request.

The whole run of the CLI is measured, from its start to its exit, over the prompt of a world with 10 goals and 20
sensors. The endpoint answers at once, so the seconds are the CLI's own. In one request means: claude and codex answer
by a schema, pi in words, claude and pi without tools.
"""

import itertools
import shutil
import sys

from paired import compare, pairs, title
from scratch import DECLARED, built, data_dir
from scripted import CLIS, GOAL, Endpoint, Options, Place, fresh, run, scenarios, unavailable

TURNS = {"claude": 11, "codex": 11, "pi": 11, "opencode": 3}
SCHEMA = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in GOAL},
    "required": list(GOAL),
    "additionalProperties": False,
}
ONE_REQUEST = {
    "claude": ("act", Options(schema=SCHEMA, tools=False)),
    "codex": ("act", Options(schema=SCHEMA)),
    "pi": ("act-said", Options(tools=False)),
}
_numbers = itertools.count(1)


def a_prompt() -> str:
    """What looop would ask in a world of middling size."""
    from looop.config.file import Config
    from looop.decide.bundle import prompt_input_of
    from looop.decide.inputs import inputs_of
    from looop.rules.prompt.build import build
    from looop.rules.reflexes import judge
    from looop.sense.gather import read_world

    with data_dir(10, 20, DECLARED) as root:
        house, _ = built(root)
        world, memory, now = read_world(house, house.sensors.all()), house.guards.recall(), house.setting.clock.now()
        judgement = judge(world, None, memory.activity, now)
        return build(prompt_input_of(*inputs_of(house, world, memory, judgement, Config(), now))).text


class Runner:
    """One CLI in one variant; calling it decides once and returns the seconds."""

    def __init__(self, endpoint: Endpoint, cli: str, way: tuple[str, Options], prompt: str) -> None:
        self._endpoint, self._cli, self._prompt = endpoint, cli, prompt
        self._scenario, self._options = way
        self.bytes = self.requests = 0

    def __call__(self) -> float:
        tag, root = f"t{next(_numbers)}", fresh()
        try:
            base = self._endpoint.base(self._scenario, tag)
            ran = run(self._cli, base, Place.make(root / "agent"), self._prompt, self._options)
        finally:
            shutil.rmtree(root, ignore_errors=True)
        if ran.code != 0:
            raise SystemExit(f"{self._cli} exited with {ran.code}: {ran.stderr}")
        sent = [seen for seen in self._endpoint.seen(tag) if seen.raw]
        self.bytes, self.requests = sum(seen.size for seen in sent), len(sent)
        return ran.seconds

    def weight(self) -> str:
        """What its last decide sent."""
        return f"{self.bytes:,} B in {self.requests}"


def main() -> None:
    title("runners: one decide by each agent CLI, with its tools : in one request, whole runs on the clock")
    if why := unavailable():
        print(f"  skipped: {why}")
        return
    prompt = a_prompt()
    print(f"  the prompt has {len(prompt.encode()):,} B")
    with Endpoint(scenarios()) as endpoint:
        for cli in CLIS:
            usual = Runner(endpoint, cli, ("act", Options()), prompt)
            other = Runner(endpoint, cli, ONE_REQUEST.get(cli, ("act", Options())), prompt)
            found = pairs(usual, other, TURNS[cli], warm=1)
            if cli in ONE_REQUEST:
                compare(f"{cli}: {usual.weight()} : {other.weight()}", found)
            else:
                print(f"  {f'{cli}: {usual.weight()}, there is no other way':<46} {found.ours:.2f} s")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
