"""An unchanged beat: against starting its sensors from a bare loop, and as the goals grow."""

import subprocess

from looop.sense.gather import read_world
from looop.sense.scripts import sensor_command
from paired import compare, each, figure, growth, pairs, title, wall
from scratch import built, data_dir, sensor_files

GOALS, SENSORS = 50, 20
SIZES = [10, 100, 1000]


def bare(files: list[str]) -> None:
    """Start every script and collect what it says, one after the other."""
    for path in files:
        process = subprocess.Popen([path], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.communicate()


def against_bare() -> None:
    with data_dir(GOALS, SENSORS) as root:
        house, beat = built(root)
        files = sensor_files(root, SENSORS)
        commands = [sensor_command(house, sensor) for sensor in house.sensors.all()]
        loop = each(1, lambda: bare(files))
        compare("CPU: a beat : its 20 scripts, bare", pairs(each(1, beat), loop, 61), 1.3)
        runs = each(1, lambda: house.setting.processes.run_all(commands))
        compare("CPU: of that, running the scripts : bare", pairs(runs, loop, 15))
        slow = each(1, lambda: bare(files), wall)
        compare("wall: a beat : its 20 scripts, bare", pairs(each(1, beat, wall), slow, 15))


def as_goals_grow() -> None:
    beats = []
    for goals in SIZES:
        with data_dir(goals) as root:
            house, beat = built(root)
            count = max(1, 200 // goals)
            found = pairs(each(count, beat), each(count, lambda house=house: read_world(house, [])), 15)
            compare(f"CPU: a beat over {goals} goals : reading them", found)
            beats.append(found.ours)
    figure("exponent of a beat's growth, 10 to 1,000", growth(SIZES, beats), "", 1.0)
    figure("exponent, 100 to 1,000 alone", growth(SIZES[1:], beats[1:]), "", 1.0)
    figure("CPU per goal at 1,000 goals", beats[-1] / SIZES[-1] * 1e6, "µs")


if __name__ == "__main__":
    title("idle_beat: a beat in which nothing changed, 50 goals and 20 sensors")
    against_bare()
    as_goals_grow()
