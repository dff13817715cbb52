"""The front door: looks at the first word, then loads only the room that is asked for."""

import sys

from looop import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from looop.contract.notices import Wishes
    from looop.model.notices import Notice
    from looop.model.report import BeatReport
    from looop.pulse.main import Pulse


def main() -> int:
    """Run the command line and return its exit code."""
    words = sys.argv[1:]
    if words in (["version"], ["--version"], ["-V"]):
        return _tell(f"looop {__version__}\n")
    if words[:2] == ["run", "--detached-id"] and "--" in words[3:]:
        from looop.session.supervisor import main as supervise

        return supervise(words)
    from looop.clients.cli.app import run

    return run(words, Loop())


def _tell(text: str) -> int:
    """Write to stdout, if there is one and somebody reads it; without loading what the other verbs need for that."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except (OSError, AttributeError):
        sys.stdout = None  # or the interpreter tries again when it ends
        return 1
    return 0


class Loop:
    """Implements contract.verbs.Engine. The command line may not import the pulse; the front door may."""

    def __init__(self, data_dir: str | None = None) -> None:
        self._data_dir = data_dir

    def elsewhere(self, data_dir: str) -> "Loop":
        return Loop(data_dir)

    def pulse(self, *, park: bool = True) -> None:
        self._open(sys.stdout, only_problems=False, park=park).run()

    def beat(
        self, *, forced: bool = False, dry_run: bool = False, quiet: bool = False, park: bool = True
    ) -> "BeatReport":
        pulse = self._open(None if quiet else sys.stderr, only_problems=True, park=park)
        return pulse.rehearse(forced=forced) if dry_run else pulse.once(forced=forced)

    def demo(self, *, keep: bool, answer: str | None = None) -> None:
        from looop.clients.demo.story import tell

        tell(self, keep=keep, answer=answer)

    def notify(self, wishes: "Wishes", tell: "Callable[[Notice], None]", talk: "Callable[[str], object]") -> bool:
        from looop.clients.notify.run import notify
        from looop.contract.local import Local
        from looop.runtime.stop import StopFlag

        stop = StopFlag()
        try:
            local = Local(self._data_dir, stop)
            local.prepare()
            stop.install()
            return notify(local, wishes, stop, tell, talk)
        finally:
            stop.close()

    def _open(self, out: "TextIO | None", *, only_problems: bool, park: bool) -> "Pulse":
        from looop.config.terminal import log_format, may_colour
        from looop.pulse.main import open_pulse
        from looop.state.open import Voice, open_house

        voice = Voice(out, log_format(), out is not None and may_colour(out), only_problems)
        return open_pulse(lambda stop: open_house(voice, stop, self._data_dir), park=park)


if __name__ == "__main__":
    sys.exit(main())
