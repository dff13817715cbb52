"""Building a prompt: against starting one process, which every decide by a runner does anyway."""

import os

from looop.config.file import Config
from looop.decide.bundle import prompt_input_of
from looop.decide.inputs import inputs_of
from looop.rules.prompt.build import build
from looop.rules.reflexes import judge
from looop.sense.gather import read_world
from paired import clean_env, compare, each, figure, growth, pairs, title
from scratch import DECLARED, built, data_dir

SIZES = [10, 100, 1000]


def start_one(env: dict[str, str]) -> None:
    """Start the cheapest process there is, and wait for it."""
    os.waitpid(os.posix_spawn("/bin/sh", ["sh", "-c", ":"], env), 0)


def measured(goals: int, sensors: int) -> float:
    """CPU seconds of one build; printed against starting a process."""
    with data_dir(goals, sensors, DECLARED) as root:
        house, _ = built(root)
        world, memory, now = read_world(house, house.sensors.all()), house.guards.recall(), house.setting.clock.now()
        judgement = judge(world, None, memory.activity, now)

        def whole() -> object:
            return build(prompt_input_of(*inputs_of(house, world, memory, judgement, Config(), now)))

        prompt = whole()
        count = max(1, 500 // goals)
        env = clean_env()
        found = pairs(each(count, whole), each(10, lambda: start_one(env)), 21)
        target = 2.0 if goals <= 50 else None
        compare(f"{goals} goals, {sensors} readings ({len(prompt.text) // 1024} kB)", found, target)
        return found.ours


def main() -> None:
    title("prompt: CPU of gathering its inputs and building it, against starting `sh -c :`")
    measured(50, 20)
    figure("exponent of its growth, 10 to 1,000 goals", growth(SIZES, [measured(size, 0) for size in SIZES]), "", 1.0)


if __name__ == "__main__":
    main()
