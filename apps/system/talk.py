"""Plain language in the shell: one standing conversation with the app chat, a line of the user's at a time.

The app asks for what the human says next; the line typed at the prompt is the answer. So it remembers what was
said before, and it is a process like any other: ps shows it waiting, Ctrl-C interrupts it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from ...kernel.errors import BadInput
from ...kernel.process import Process, State
from .arguments import Given
from .output import AppOutput
from .seat import Seat, Started

APP = "chat"
_PLAIN = "You:"  # what the app asks when it merely waits for the next line


class Talk:
    """The conversation. Owned by the event loop's thread."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self._lines: asyncio.Queue[str] = asyncio.Queue()
        self._waits = asyncio.Event()  # set while the app waits for a line
        self._hears: AppOutput | None = None  # where the answer to the last line goes
        self._process: Started | None = None

    async def begin(self, line: str, output: AppOutput, files: Mapping[str, Path]) -> Started:
        """Say a line; the process that answers, started if there is none. Its words go to ``output``.

        ``files`` are handed in, to stay: path in the process's tree to file on the host.
        Raises `BadInput` while the line before is not answered: two answers have no order.
        """
        if self._process is None or not self._process.alive:
            self._lines, self._waits = asyncio.Queue(), asyncio.Event()
            self._process = await self._seat.start(APP, Given(), self)
        elif await self._is_stopped(self._process):
            raise BadInput("the conversation is stopped", hint="fg goes on with it, new begins another")
        elif not self._waits.is_set():
            raise BadInput("the conversation is still answering", hint="fg shows it, new begins another")
        await self._seat.hand_in(self._process, files)
        self._hears = output
        self._waits.clear()
        self._lines.put_nowait(line)
        return self._process

    async def _is_stopped(self, process: Started) -> bool:
        rows = await self._seat.rows()
        return any(row["state"] == State.STOPPED.value for row in rows if row["pid"] == process.pid)

    def adopt(self, process: Process) -> None:
        """Go on with the conversation that an earlier shell had when it died; this is its output."""
        self._process = process
        process.came_back = False  # it ends with this shell, as its own would
        self._waits.set()  # it takes a line, also before it has caught up

    async def end(self) -> bool:
        """End the conversation, with all that it knows; False where there is none."""
        if self._process is None or not self._process.alive:
            return False
        await self._seat.signal(self._process.pid, "KILL")
        return True

    async def answered(self, process: Started) -> None:
        """Until it waits for the next line, or has ended."""
        waits = [asyncio.ensure_future(event.wait()) for event in (self._waits, process.ended)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    # -- the output of the process --

    def write(self, text: str) -> None:
        """To whoever said the last line."""
        if self._hears is not None:
            self._hears.write(text)

    async def room(self) -> None:
        """There is always some."""

    def progress(self, done: float, total: float, what: str) -> None:
        """To whoever said the last line."""
        if self._hears is not None:
            self._hears.progress(done, total, what)

    async def ask(self, question: str, choices: list[str]) -> str:
        """The next line; a question with choices, such as for a permission, goes to the human at once."""
        if choices and self._hears is not None:
            return await self._hears.ask(question, choices)
        if question != _PLAIN:
            self.write(f"{question}\n")
        if self._lines.empty():
            self._waits.set()
        return await self._lines.get()
