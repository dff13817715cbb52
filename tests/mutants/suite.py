"""The tests a mutant is judged by: which lines each of them runs, and how long it takes."""

import contextlib
import io
import os
import pickle
import sys
from collections import defaultdict
from typing import NamedTuple

import hypothesis
import msgspec
import pytest
import yaml

LOADED = (hypothesis, msgspec, yaml)  # by every fork alike, so they are loaded once


class Suite(NamedTuple):
    """The tests that use a module: `lines` names those that run a line; `order` has all of them, the quickest first."""

    lines: dict[int, set[str]]
    order: list[str]
    seconds: float

    def ranks(self, line: int) -> dict[str, int]:
        """In which order to run the tests for a change of that line."""
        here = self.lines.get(line, set())
        first = [name for name in self.order if name in here]
        return {name: n for n, name in enumerate([*first, *(name for name in self.order if name not in here)])}


class Recorder:
    """A pytest plugin that gives each test a context of its own and keeps how long it took."""

    def __init__(self, trace: "object") -> None:
        self.trace, self.seconds = trace, dict[str, float]()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.trace.switch_context(nodeid)  # type: ignore[attr-defined]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        if report.failed:
            print(report.longreprtext, file=sys.__stderr__)


class Chooser:
    """A pytest plugin that runs the tests it was given, in their order."""

    def __init__(self, ranks: dict[str, int]) -> None:
        self.ranks = ranks

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted((item for item in items if item.nodeid in self.ranks), key=lambda i: self.ranks[i.nodeid])


def measure(slot: str, files: list[str], paths: list[str]) -> dict[str, Suite]:
    """The suite of each module. Ends the program when a test fails on the code as it is."""
    notes = os.path.join(slot, "notes")
    pid = os.fork()
    if pid == 0:
        os._exit(_measure(slot, files, paths, notes))
    if os.waitpid(pid, 0)[1] != 0:
        sys.exit(f"the tests in {', '.join(files)} fail on the code as it is: run scripts/test on them first")
    with open(notes, "rb") as file:
        return pickle.load(file)


def verdict(slot: str, ranks: dict[str, int]) -> int:
    """pytest's exit code for those tests; for a process that does nothing else."""
    sys.dont_write_bytecode = True
    files = sorted({name.partition("::")[0] for name in ranks})
    return _pytest(slot, ["-x", *files], [Chooser(ranks)])


def _measure(slot: str, files: list[str], paths: list[str], notes: str) -> int:
    import coverage

    trace = coverage.Coverage(data_file=None, config_file=False, include=[f"{slot}/{path}" for path in paths])
    recorder = Recorder(trace)
    trace.start()
    code = _pytest(slot, files, [recorder])
    trace.stop()
    suites = {}
    for path in paths:
        found = trace.get_data().contexts_by_lineno(os.path.realpath(f"{slot}/{path}"))
        used = {name for names in found.values() for name in names if name}
        files = {name.partition("::")[0] for name in used}  # with those that only look at a default, and run no line
        tests = [name for name in recorder.seconds if name.partition("::")[0] in files]
        order = sorted(tests, key=lambda name: (round(recorder.seconds[name], 2), name))
        lines = defaultdict(set, {line: used if names == [""] else {*names} - {""} for line, names in found.items()})
        suites[path] = Suite(lines, order, sum(recorder.seconds[name] for name in order))
    with open(notes, "wb") as file:
        pickle.dump(suites, file)
    return code


def _pytest(slot: str, arguments: list[str], plugins: list[object]) -> int:
    """Run pytest in this process on the tree in `slot`, quietly."""
    os.chdir(slot)
    for name in [name for name in sys.modules if name == "tests"]:  # or it would stay the one of this tree
        del sys.modules[name]
    sys.path[:] = [f"{slot}/src", slot, *(path for path in sys.path if not os.path.exists(f"{path}/looop/rules"))]
    os.environ["PYTHONPATH"] = f"{slot}/src:{slot}"
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    hypothesis.settings.register_profile("mutants", derandomize=True, database=None, deadline=None)
    hypothesis.settings.load_profile("mutants")
    quiet = ["--tb=short", f"--basetemp={slot}/temp", "--rootdir", slot]
    quiet += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # libraries are loaded before pytest sees them
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return int(pytest.main([*quiet, *arguments], plugins=plugins))
