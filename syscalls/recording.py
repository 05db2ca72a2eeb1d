"""What processes ask and get, on disk: the intent of a call before it acts, its outcome before the process sees it."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ..kernel.errors import OSFault
from ..kernel.process import Process
from ..kernel.replay import CANCELLED
from ..kernel.translate import translated
from ..memory.journal import Asked, Journal, Write, appending
from ..memory.records import Records

T = TypeVar("T")


@dataclass
class Open:
    """A call without an outcome so far. Where only its outcome is kept, it has no entry until then: its id is 0."""

    asked: Asked
    name: str
    plain: dict[str, Any]
    within: int | None
    writing: Future[Any] | None = None  # its outcome, on its way to the disk


class Recorder:
    """Writes the journals of processes for the gate. Owned by the event loop's thread."""

    def __init__(self, journal: Journal, records: Records) -> None:
        self._journal = journal
        self._records = records

    async def ask(self, process: Process, name: str, plain: dict[str, Any], within: int | None) -> Open:
        """Put the intent of a call on disk; raises `Storage`."""
        writing = self._post(process, appending(process.pid, name, plain, within))
        try:
            asked: Asked = await _on_disk(writing)
        except OSFault as fault:
            # What the process does next rests on this error: the journal hears of it before anything else.
            process.owed.append(appending(process.pid, name, plain, within, fault.to_dict()))
            raise
        except asyncio.CancelledError:  # it stands in the journal all the same, or soon will
            _then(writing, lambda asked: self.give_up(process, Open(asked, name, plain, within)))
            raise
        return Open(asked, name, plain, within)

    def begin(self, name: str, plain: dict[str, Any], within: int | None) -> Open:
        """A call that changes nothing: nothing of it is on disk before its outcome."""
        return Open(Asked(0, 0, time.time()), name, plain, within)

    async def end(
        self, process: Process, call: Open, ok: bool, outcome: dict[str, Any], writes: Sequence[Write] = (),
        after: Sequence[Callable[[], None]] = (),
    ) -> None:  # fmt: skip
        """Put the outcome on disk, and with it ``writes`` and what was used, then do what comes ``after``."""
        writes = [*writes, self._records.using(process.pid, process.usage.kept())]
        call.writing = self._post(process, self._ending(process, call, ok, outcome, writes))
        try:
            await _on_disk(call.writing)
        except OSFault as fault:
            process.owed.append(self._ending(process, call, False, fault.to_dict()))
            raise
        except asyncio.CancelledError:  # too late to undo what others see: it comes about without its caller
            _then(call.writing, lambda _: _all(after))
            raise
        _all(after)

    def give_up(self, process: Process, call: Open) -> None:
        """Whoever made the call no longer waits: when its code runs again, it will not be answered either."""
        if not call.asked.id and call.writing is not None:  # its entry is being made, with an outcome nobody has seen
            _then(call.writing, lambda asked: self.give_up(process, replace(call, asked=asked)))
        elif process.dying is None and not process.ending:
            self._post(process, self._ending(process, call, False, {"code": CANCELLED}))

    def _ending(
        self, process: Process, call: Open, ok: bool, outcome: dict[str, Any], writes: Sequence[Write] = ()
    ) -> Write:
        if call.asked.id:
            return self._journal.ending(process.pid, call.asked.id, ok, outcome, writes)
        return self._journal.telling(
            process.pid, call.name, call.plain, call.within, call.asked.at, ok, outcome, writes
        )

    def _post(self, process: Process, write: Write) -> Future[Any]:
        """Write it, and before it what could not be written earlier."""
        if not process.owed:
            return self._journal.post(write)
        owed, process.owed = process.owed, []

        def together(connection: sqlite3.Connection) -> Any:
            for one in owed:
                one(connection)
            return write(connection)

        def still_owed() -> None:
            process.owed[:0] = owed

        writing = self._journal.post(together)
        _then(writing, lambda _: None, still_owed)
        return writing


async def _on_disk(writing: Future[T]) -> T:
    with translated():
        return await asyncio.wrap_future(writing)


def _then(
    writing: Future[T], act: Callable[[T], object], otherwise: Callable[[], object] = lambda: None
) -> None:  # fmt: skip
    """Do something on the event loop once a write is on disk, or something else if it failed."""
    loop = asyncio.get_running_loop()

    def done(written: Future[T]) -> None:
        if written.exception() is None:
            loop.call_soon_threadsafe(act, written.result())
        else:
            loop.call_soon_threadsafe(otherwise)

    writing.add_done_callback(done)


def _all(acts: Sequence[Callable[[], None]]) -> None:
    for act in acts:
        act()
