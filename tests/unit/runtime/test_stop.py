"""The wish to end, by call and by real signals."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from looop.runtime.stop import StopFlag


@pytest.fixture
def flag() -> Iterator[StopFlag]:
    one = StopFlag()
    yield one
    one.close()


def readable(flag: StopFlag) -> bool:
    return bool(select.select([flag.fileno()], [], [], 0)[0])


def test_request(flag: StopFlag) -> None:
    """A request sets the flag and makes the descriptor readable, and both stay so however often one asks."""
    assert not flag.requested()
    assert not readable(flag)
    flag.request()
    assert flag.requested()
    assert flag.requested()
    assert readable(flag)


def test_many_requests(flag: StopFlag) -> None:
    """Requests beyond what a pipe holds neither block nor fail."""
    for _ in range(70_000):
        flag.request()
    assert flag.requested()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal(flag: StopFlag, number: signal.Signals) -> None:
    """SIGTERM, SIGINT and SIGHUP request a stop and raise nothing. Source: spec/edge-cases.md item 143."""
    flag.install()
    os.kill(os.getpid(), number)
    assert flag.requested()
    assert readable(flag)


def test_other_signals_do_not_request(flag: StopFlag) -> None:
    """A signal that has another handler may wake a waiter; asking settles that nothing was requested."""
    previous = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        flag.install()
        os.kill(os.getpid(), signal.SIGUSR1)
        assert readable(flag)
        assert not flag.requested()
        assert not readable(flag)
    finally:
        signal.signal(signal.SIGUSR1, previous)


def test_restore(flag: StopFlag) -> None:
    """`restore` puts back the handlers and the wakeup descriptor that were there, also when called twice."""
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    flag.install()
    assert signal.getsignal(signal.SIGTERM) != before[0]
    flag.restore()
    flag.restore()
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_not_inherited(flag: StopFlag) -> None:
    """Children do not inherit the pipe."""
    assert not os.get_inheritable(flag.fileno())


def test_an_ignored_hangup_stays_ignored(flag: StopFlag) -> None:
    """Under nohup a closed terminal does not end the pulse."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        flag.install()
        os.kill(os.getpid(), signal.SIGHUP)
        assert not flag.requested()
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_second_signal_ends(number: signal.Signals) -> None:
    """The same signal a second time ends the process at once, by that signal; a different one does not."""
    script = (
        "import os, signal, sys; from looop.runtime.stop import StopFlag; flag = StopFlag(); flag.install();"
        "other = signal.SIGINT if int(sys.argv[1]) == signal.SIGTERM else signal.SIGTERM;"
        "os.kill(os.getpid(), int(sys.argv[1])); os.kill(os.getpid(), other);"
        "print('still here', flush=True); os.kill(os.getpid(), int(sys.argv[1])); print('never')"
    )
    path = os.path.dirname(os.path.dirname(sys.modules["looop"].__file__ or ""))
    ended = subprocess.run(
        [sys.executable, "-c", script, str(int(number))], capture_output=True, text=True, env={"PYTHONPATH": path}
    )
    assert (ended.stdout, ended.returncode) == ("still here\n", -number)
