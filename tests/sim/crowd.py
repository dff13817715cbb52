"""Several processes on one machine, of which one runs at a time: who goes on, and who dies, is the seed's choice.

Each is a greenlet that gives way before its store's operations and around what it runs, so they come in any order;
nothing happens between two of them, as nothing can on a disk that is only touched by them.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any
from unittest import mock

from greenlet import getcurrent, greenlet

from looop.act import launch, verify
from tests.fakes.disk import Died

FIRST_PID = 4_000_000


class Process:
    """One process. `fuse` counts down its steps to its death; `error` is what it ended with, None if well.

    With `dies_of_agent` it dies when its agent has just answered.

    `patience` counts down its steps until it is asked to end, which it is then for good: `is_to_end`. What is dead does
    nothing any more, whatever its code would do on the way out.
    """

    def __init__(
        self, name: str, pid: int, run: Callable[[], object], fuse: int | None, patience: int | None = None
    ) -> None:
        self.name, self.pid, self.fuse, self.patience = name, pid, fuse, patience
        self.is_to_end = self.is_dead = self.dies_of_agent = False
        self.error: BaseException | None = None
        self._run = run
        self.thread = greenlet(self._whole)

    def _whole(self) -> None:
        try:
            self._run()
        except Died as death:
            self.error = death

    def steps_into_death(self, name: str, key: str) -> bool:
        """One step nearer; whether this is the one."""
        if self.patience is not None:
            self.patience -= 1
            self.is_to_end = self.patience <= 0
        if self.dies_of_agent and (name, key) == ("ran", "agent"):
            self.fuse = 0
        if self.fuse is None:
            return False
        self.fuse -= 1
        self.is_dead = self.fuse <= 0
        return self.is_dead


class Crowd:
    """The processes that run together. `gives_way` is the chance that one lets another go first at a step."""

    def __init__(self, rng: Random) -> None:
        self._rng, self._next_pid = rng, FIRST_PID
        self._hub: greenlet | None = None
        self._running: dict[Any, Process] = {}
        self._turn: Process | None = None
        self._held_by: Process | None = None
        self.gives_way = 0.3
        self.power_fails = False

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Pids and the start lock are this crowd's."""
        locks = [mock.patch.object(module, "workers_lock", self._lock) for module in (launch, verify)]
        with mock.patch.object(os, "getpid", self.pid), locks[0], locks[1]:
            yield

    def pid(self) -> int:
        """Of the process that runs now."""
        return self._turn.pid if self._turn else FIRST_PID - 1

    def who(self) -> str:
        """The process that runs now, by name."""
        return f"{self._turn.name} {self._turn.pid - FIRST_PID}" if self._turn else "the world"

    def is_to_end(self) -> bool:
        """Whether the process that runs now was asked to end."""
        return self._turn is not None and self._turn.is_to_end

    def new_pid(self) -> int:
        self._next_pid += 1
        return self._next_pid

    def run(self, processes: list[Process], *, with_power: bool = False) -> bool:
        """Run them together to their ends; whether the power failed, with which one dies `with_power`.

        Errors of theirs are raised.
        """
        self._hub, self.power_fails = getcurrent(), False
        self._running = {process.thread: process for process in processes}
        try:
            while self._running and not self.power_fails:
                self._turn = self._rng.choice(list(self._running.values()))
                self._turn.thread.switch()
                if self._turn.thread.dead:
                    del self._running[self._turn.thread]
                    self.power_fails = with_power and self._turn.is_dead
            for process in self._running.values():
                self._turn, process.is_dead, process.error = process, True, Died("power")
                if process.thread:
                    process.thread.throw(process.error)
        finally:
            self._turn = self._hub = self._held_by = None
        return self.power_fails

    def step(self, name: str, key: str) -> bool:
        """The process that runs is about to do something: others may go first. Whether it dies of it."""
        if self._turn is None:
            return False
        if self._turn.is_dead:
            raise Died(name)
        if self._rng.random() < self.gives_way:
            self._give_way()
        return self._turn.steps_into_death(name, key)

    def _give_way(self) -> None:
        if self._hub and len(self._running) > 1:
            self._hub.switch()

    @contextmanager
    def _lock(self, root: str) -> Iterator[None]:
        while self._held_by is not None:
            self._give_way()
        self._held_by = self._turn
        try:
            yield
        finally:
            self._held_by = None
