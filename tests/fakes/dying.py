"""Make this process kill itself before the n-th system call that matters.

Read and executed at the start of a process under test, which has no tests to import: `exec(open(path).read())`.
"""

import _signal
import _socket
import os

CALLS = (
    *("open", "close", "read", "write", "pwrite", "ftruncate", "fsync", "stat", "fstat", "lstat", "rename", "unlink"),
    *("mkdir", "rmdir", "makedirs", "listdir", "fork", "setsid", "posix_spawn", "posix_spawnp", "openpty", "ttyname"),
    *("waitpid", "waitid", "pipe", "dup2", "kill", "killpg", "pidfd_open", "set_blocking", "closerange"),
)
SIGNAL_CALLS = ("signal", "set_wakeup_fd", "pidfd_send_signal", "pthread_sigmask")


def arm(number: int, told: str) -> None:
    """Die before call `number`, and leave a file that says before which one."""
    real_open, real_write, real_kill, count = os.open, os.write, os.kill, [0]

    def step(name: str) -> None:
        count[0] += 1
        if count[0] == number:
            real_write(real_open(told, os.O_WRONLY | os.O_CREAT, 0o600), name.encode())
            real_kill(os.getpid(), 9)

    def mortal(name, call):  # type: ignore[no-untyped-def]
        def dying(*args, **options):  # type: ignore[no-untyped-def]
            step(name)
            return call(*args, **options)

        return dying

    for module, names in ((os, CALLS), (_signal, SIGNAL_CALLS)):
        for name in names:
            if hasattr(module, name):
                setattr(module, name, mortal(name, getattr(module, name)))

    class Socket(_socket.socket):
        __slots__ = ()

    for name in ("bind", "listen", "_accept", "recv", "send", "close"):
        setattr(Socket, name, mortal(name, getattr(_socket.socket, name)))
    _socket.socket = Socket  # type: ignore[misc]
