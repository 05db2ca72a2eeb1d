"""Keeping watch over an app in a process of its own: when it ends, nothing that it started lives on.

The watcher is a subreaper (prctl(2), PR_SET_CHILD_SUBREAPER): whatever loses its parent below it becomes its child,
also what has left the process group or the session. It ends with the exit code or by the signal of the app.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

_PDEATHSIG, _SUBREAPER = 1, 36  # linux/prctl.h


def fork() -> int:
    """The app's pid in the watcher; 0 in the app. Each ends when its parent does."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PDEATHSIG, signal.SIGTERM)
    libc.prctl(_SUBREAPER, 1)
    # Both wait until somebody asks for them, even those that come before `over` does.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGTERM})
    pid = os.fork()
    if not pid:
        libc.prctl(_PDEATHSIG, signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


def over(app: int) -> NoReturn:
    """Wait for the app, or for TERM, which is the order to end everything; then end as the app has."""
    status: int | None = None
    while status is None:
        told = signal.sigwait({signal.SIGCHLD, signal.SIGTERM})
        status = _reap(app)
        if told == signal.SIGTERM and status is None:
            break
    while children := _children():
        for pid in children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in children:
            with suppress(ChildProcessError):
                _, ended = os.waitpid(pid, 0)
                status = ended if pid == app else status
    _leave(status or 0)


def _reap(app: int) -> int | None:
    """Collect what has ended; the app's status, if it is among that."""
    found = None
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            found = ended[1] if ended[0] == app else found
    return found


def _children() -> list[int]:
    return [int(pid) for pid in Path("/proc/thread-self/children").read_text().split()]


def _leave(status: int) -> NoReturn:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the app's own core, if any, is the one to keep
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status))
