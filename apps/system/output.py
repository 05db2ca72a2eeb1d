"""Where a process's output goes: kept, and passed on while somebody watches."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from rich.text import Text

from ...kernel.errors import Denied, OSFault
from ...kernel.plain import plain
from .describe import shown
from .display import clean, err
from .registry import AppInfo
from .seat import Started

KEPT = 2**20
"""Characters that are kept, at least, of what a sink has had."""

Sink = Callable[[str], None]
Asker = Callable[[str, list[str]], Awaitable[str]]
OnProgress = Callable[[float, str], None]
"""Told how far the work is, 0 to 1, and what is being done."""


class AppOutput:
    """The output of one process (or of all stages of a job). Owned by the event loop's thread.

    ``text`` is what was written; of what a sink has had, the end.
    """

    def __init__(
        self, ask: Asker | None = None, sink: Sink | None = None, on_progress: OnProgress | None = None
    ) -> None:
        self.text = ""
        self.broken = False  # whoever read has gone
        self._ask = ask
        self._sink = sink
        self._on_progress = on_progress
        self._passed = 0  # characters that a sink has had

    def write(self, text: str) -> None:
        """Keep it, and pass it on."""
        self.text += text
        self._pass_on()

    async def room(self) -> None:
        """There is always some: a sink that is slow blocks."""

    def watch(self, sink: Sink | None) -> None:
        """Pass on what was kept and all that comes; None: keep only."""
        self._sink = sink
        self._pass_on()

    def _pass_on(self) -> None:
        if self._sink is not None and self._passed < len(self.text):
            try:
                self._sink(self.text[self._passed :])
            except BrokenPipeError:
                self.broken = True
                raise
            self.text = self.text[-KEPT:] if len(self.text) > 2 * KEPT else self.text
            self._passed = len(self.text)

    @property
    def answers(self) -> bool:
        """Whether somebody is there to ask."""
        return self._ask is not None

    def progress(self, done: float, total: float, what: str) -> None:
        """How far the work is."""
        if self._on_progress is not None:
            self._on_progress(min(done / total, 1.0), clean(what))

    async def ask(self, question: str, choices: list[str]) -> str:
        """The human's answer."""
        if self._ask is None:
            raise Denied(f"nobody is there to answer {question!r}", hint="run it on a terminal")
        return await self._ask(question, choices)


async def ask_terminal(question: str, choices: list[str]) -> str:
    """Ask on standard error, read a line from standard input; can be cancelled while it waits."""
    console = err()
    while True:
        console.print(Text(clean(question) + (f" [{'/'.join(choices)}]" if choices else "")), end=" ")
        answer = (await _line()).strip()
        if answer in choices or not choices:
            return answer
        console.print(Text(f"please answer one of: {', '.join(choices)}"))


async def _line() -> str:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(sys.stdin, _resolve, ready)
    try:
        await ready
    finally:
        loop.remove_reader(sys.stdin)
    line = sys.stdin.readline()
    if not line:
        raise Denied("the question was not answered", hint="standard input is closed")
    return line


def _resolve(ready: "asyncio.Future[None]") -> None:
    if not ready.done():  # the reader is called again as long as the line has not been read
        ready.set_result(None)


async def remainder(info: AppInfo, process: Started, written: str) -> Text:
    """The result as the app shows it; empty when the process has written just that already.

    Plain words: an app shows what stands in files and tables, and a [word] of those is no markup.
    """
    if process.result is None:
        return Text()
    words = clean(await asyncio.to_thread(shown, info, process.result))
    return Text() if words.strip() in written else Text(words)


def plain_result(process: Started) -> dict[str, Any]:
    """The result, or the error, as one JSON object."""
    if process.error is not None:
        return {"error": process.error.to_dict()}
    result = plain(process.result)
    return result if isinstance(result, dict) else {"result": result}


def fault_line(fault: OSFault, who: str = "llmos") -> Text:
    """An error in one line, for standard error."""
    text = Text(f"{who}: ", style="bold red")
    text.append(clean(" ".join(fault.message.split())), style="not bold default")
    if fault.hint:
        text.append(clean(f" ({fault.hint})"), style="not bold dim")
    return text
