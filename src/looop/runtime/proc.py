"""The port through which everything is run.

The machinery is in runtime/children.py and loaded by the first run: most verbs start nothing.
"""

import os
from collections.abc import Sequence

from looop.runtime.command import Command, Ended, OnChunk, OnTick, Stop


class Processes:
    """Runs commands to their end. No group outlives an exception; a stop ends every run within 1.5 s."""

    def __init__(self, stop: Stop | None = None) -> None:
        self._stop = stop

    def run(
        self,
        command: Command,
        on_output: OnChunk | None = None,
        on_errors: OnChunk | None = None,
        on_tick: OnTick | None = None,
    ) -> Ended:
        """Run one command; `on_output` and `on_errors` get each raw chunk as it comes, `on_tick` comes every second.

        Each of them may raise to kill it.
        """
        from looop.runtime.children import Loop

        return Loop(self._stop, on_output, on_errors, on_tick).complete([command])[0]

    def kill_left(self, mark: str) -> None:
        """Kill what a run with this mark has left behind, when its loop died before it."""
        from looop.session.kin import kill_kin

        kill_kin(mark)

    def is_alive(self, pid: int) -> bool:
        """Whether some process has this pid, whoever owns it."""
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    def run_all(self, commands: Sequence[Command]) -> list[Ended]:
        """Run all of them side by side; results in the order given."""
        from looop.runtime.children import Loop

        return Loop(self._stop).complete(commands)
