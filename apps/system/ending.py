"""Ctrl-C and SIGTERM while an event loop works: what is under way ends in order.

An exception out of a signal handler would tear the loop away from a step of the engine or from a commit. So the loop
is told instead. Where no `Ending` stands they come as exceptions, at once: `main` sees to that.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from ...kernel.errors import Interrupted, OSFault, Terminated

if TYPE_CHECKING:
    from .seat import Seat, Started

_HANDLED = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def held_back() -> Iterator[None]:
    """Signals come when the block is over: for C that calls Python back, where an exception would be lost."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.signal(number, lambda sent, _: came.append(sent)) for number in _HANDLED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])


class Ending:
    """Signals for the task that it is made in, until its block is left. Owned by the event loop's thread.

    Ctrl-C sends INT to what this terminal has started, KILL when it comes again, and is ignored after that. Where none
    of it lived, and on SIGTERM, the task is cancelled, once, and `guard` raises `Interrupted` or `Terminated` instead.
    """

    def __init__(self) -> None:
        self.fault: OSFault | None = None  # why the task was cancelled
        self._seat: Seat | None = None
        self._task = asyncio.current_task()
        self._interrupts = 0
        self._closing = False
        self._sending: set[asyncio.Task[None]] = set()

    @contextmanager
    def guard(self, seat: Seat | None = None) -> Iterator[None]:
        """Signals act on ``seat`` and the task while the block runs; after it, until `release`, they do nothing."""
        self._seat = seat
        self.listen()
        try:
            yield
        except asyncio.CancelledError:
            if self.fault is None or self._task is None:
                raise
            self._task.uncancel()
            raise self.fault from None
        finally:
            self._closing = True
            self.listen()  # the shell had handlers of its own, and took them away

    async def let_go(self) -> None:
        """After SIGTERM the processes get the moment to tidy up that TERM gives them."""
        if self._seat is None or not isinstance(self.fault, Terminated):
            return
        living = self._seat.living()
        for process in living:
            await self._signal(process, "TERM")
        for process in living:
            await process.ended.wait()

    def release(self) -> None:
        """Leave the signals to others again."""
        if threading.current_thread() is threading.main_thread():
            loop = asyncio.get_running_loop()
            for number in _HANDLED:
                loop.remove_signal_handler(number)

    def listen(self) -> None:
        """Take the signals, as if none had come before; also after somebody else had them."""
        self._interrupts = 0
        if threading.current_thread() is threading.main_thread():  # no other thread can be told of signals
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGINT, self._interrupted)
            loop.add_signal_handler(signal.SIGTERM, self._break_off, Terminated("ended by TERM"))

    def _interrupted(self) -> None:
        self._interrupts += 1
        if self._closing or self._interrupts > 2:
            return
        living = self._seat.living() if self._seat is not None else []
        for process in living:
            sending = asyncio.ensure_future(self._signal(process, "INT" if self._interrupts == 1 else "KILL"))
            self._sending.add(sending)
            sending.add_done_callback(self._sending.discard)
        if not living and self._interrupts == 1:  # else what the first has ended is about to be told
            self._break_off(Interrupted("interrupted"))

    def _break_off(self, fault: OSFault) -> None:
        if self.fault is None and not self._closing and self._task is not None:
            self.fault = fault
            self._task.cancel()

    async def _signal(self, process: Started, name: str) -> None:
        assert self._seat is not None
        with suppress(OSFault):  # it has ended meanwhile, or the llmos that ran it
            await self._seat.signal(process.pid, name)
