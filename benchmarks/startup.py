"""Starting the program: against a bare interpreter, as a person and as a shell prompt would."""

import os
import subprocess
import sys

from paired import Pairs, child_cpu, clean_env, compare, figure, pairs, title
from scratch import beaten, data_dir

PAIRS = 41
OWN_MODULES = "import sys; before = set(sys.modules); import looop; print(*sorted(set(sys.modules) - before))"


def against_bare(words: list[str], env: dict[str, str]) -> Pairs:
    """`looop <words>` against an interpreter that does nothing, in the same environment."""
    bare, ours = [sys.executable, "-c", "pass"], [sys.executable, "-m", "looop", *words]
    return pairs(lambda: child_cpu(ours, env), lambda: child_cpu(bare, env), PAIRS)


def main() -> None:
    title("startup: CPU of a command against `python -c pass`")
    imported = subprocess.run([sys.executable, "-c", OWN_MODULES], env=clean_env(), capture_output=True, text=True)
    others = [name for name in imported.stdout.split() if name != "looop"]
    figure("modules `import looop` brings besides itself", len(others), " ".join(others), 0)
    with data_dir(goals=10, sensors=5) as root:
        beaten(root)
        env = clean_env(LOOOP_DATA_DIR=root)
        compare("looop version", against_bare(["version"], env), 3)
        compare("looop state, 10 goals and 5 sensors", against_bare(["state"], env), 7)
        compare("looop state --json", against_bare(["state", "--json"], env))
        compare("looop goal list", against_bare(["goal", "list"], env))
        compare("looop asks", against_bare(["asks"], env))
        asks = ["ask", "w", "--prompt", "May I?", "--timeout", "1", "--default", "no"]
        compare("looop ask, until its default of 1 s", against_bare(asks, env))
        compare("looop beat (idle)", against_bare(["beat"], env))
        script = os.path.join(os.path.dirname(sys.executable), "looop")
        if os.access(script, os.X_OK):
            bare = [sys.executable, "-c", "pass"]
            found = pairs(lambda: child_cpu([script, "version"], env), lambda: child_cpu(bare, env), PAIRS)
            compare("looop version, by the installed script", found, 3)


if __name__ == "__main__":
    main()
