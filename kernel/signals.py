"""Signals: what they do to a process, at once or at the next boundary of a step."""

import asyncio
from typing import Protocol

from .process import Process, Signal

GRACE = 2.0
"""Seconds that a process has to tidy up after TERM before it is killed."""


class Wakes(Protocol):
    """Where a process computes."""

    def wake(self) -> None:
        """A process may compute again."""


def deliver(process: Process, signal: Signal, core: Wakes) -> None:
    """Carry out a signal; does nothing to a process that has ended."""
    if not process.alive:
        return
    for hook in process.on_signal:
        hook(signal)
    if signal is Signal.STOP:
        process.stop()
    elif signal is Signal.CONT:
        process.go()
        core.wake()
    elif signal is Signal.INT:
        process.interrupted = not process.calls  # outside a call it waits for the next one
        for call in process.calls:
            process.calls[call] = Signal.INT
            call.cancel()
    else:
        _end(process, signal)


def _end(process: Process, signal: Signal) -> None:
    if process.dying is Signal.KILL or process.ending:
        return  # what is tidied up must not be broken off: then it would never count as ended
    process.dying = signal
    process.go()  # a stopped process can still be ended
    assert process.task is not None
    process.task.cancel()
    if signal is Signal.TERM:
        asyncio.get_running_loop().call_later(GRACE, _still_there, process)
    else:
        asyncio.get_running_loop().call_later(0.1, _cancel_again, process)


def _still_there(process: Process) -> None:
    if process.dying is Signal.TERM:
        _end(process, Signal.KILL)


def _cancel_again(process: Process) -> None:
    """An app's code may swallow a cancellation; every call it makes is refused, and it is cancelled again."""
    if not process.ending:
        assert process.task is not None
        process.task.cancel()
        asyncio.get_running_loop().call_later(0.1, _cancel_again, process)
