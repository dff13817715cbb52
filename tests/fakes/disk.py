"""Disks that misbehave: the real one with one call that fails, tears or is never made because the process died."""

import os

from looop.store.fsio import Disk

CALLS = frozenset(name for name in vars(Disk) if not name.startswith("_"))


class Died(BaseException):
    """The process is gone; nothing of ours catches this."""


class WatchedDisk(Disk):
    """The real disk, which writes down the name of each call in `calls`."""

    def __init__(self):
        self.calls = []

    def __getattribute__(self, name):
        real = super().__getattribute__(name)
        if name not in CALLS:
            return real

        def call(*args):
            self.calls.append(name)
            return self.meet(name, real, args)

        return call

    def meet(self, name, real, args):
        return real(*args)

    def step(self, name, what):
        """Something besides the disk happens: a point at which a process may die, like a call."""
        self.calls.append(name)
        self.meet(name, _nothing, ())


class DyingDisk(WatchedDisk):
    """The process dies just before the n-th call; whatever it still had open is closed by the kernel."""

    def __init__(self, at):
        super().__init__()
        self.at, self.held = at, set()

    def meet(self, name, real, args):
        if len(self.calls) >= self.at:
            while self.held:
                os.close(self.held.pop())
            raise Died(name)
        result = real(*args)
        if name in ("lock", "create", "extend"):
            self.held.add(result)
        elif name == "close":
            self.held.discard(args[0])
        return result


class QuickDeath(DyingDisk):
    """Dies before the n-th call; waits for no medium."""

    def meet(self, name, real, args):
        return super().meet(name, _nothing if name.startswith("sync") else real, args)


class FailingDisk(WatchedDisk):
    """The n-th call (a number), or every call of one kind (a name), fails. A failed close has closed all the same."""

    def __init__(self, at, number):
        super().__init__()
        self.at, self.number = at, number

    def meet(self, name, real, args):
        if self.at not in (len(self.calls), name):
            return real(*args)
        if name == "close":
            real(*args)
        raise OSError(self.number, os.strerror(self.number))


class TearingDisk(Disk):
    """Every write takes half of what it is given, and with `dies` it is the last thing the process did."""

    def __init__(self, dies=False):
        self.dies = dies

    def write(self, fd, data):
        taken = super().write(fd, data[: (len(data) + 1) // 2])
        if self.dies:
            os.close(fd)
            raise Died("write")
        return taken


class QuickDisk(Disk):
    """The real disk without waiting for the medium, for races: what others see does not depend on it."""

    def sync(self, fd):
        pass

    def sync_folder(self, path):
        pass

    def step(self, name, what):
        pass


def _nothing(*args):
    pass
